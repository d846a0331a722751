//! Test builds only (feature `vectors`): published signatures through the same port that the Worker verifies tokens
//! with, so that Web Crypto is asked the same questions as the native implementation. `tests/vectors.rs` writes the
//! questions, `tests/e2e/vectors.test.mjs` asks them. A release Worker has no such route.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::signatures::WebCrypto;
use super::{body, bridge};
use crate::jose::{Algorithm, JwkSet};
use crate::ports::Signatures;

/// A longer set of questions is cut off.
const MAX_QUESTIONS: usize = 16 * 1024 * 1024;

/// Panics with the text of `POST /panic`, once composed and once from the source, to test what is logged of it.
#[expect(clippy::panic, reason = "to see what a panic writes")]
pub(super) async fn panic_on_request(request: &web_sys::Request) {
    if let (true, Some(stream)) = (request.url().ends_with("/panic"), request.body()) {
        let text = body::read(&stream, MAX_QUESTIONS).await.unwrap_or_default();
        panic!("cannot work on {}", String::from_utf8_lossy(&text));
    }
}

/// The verdicts on the vectors of `POST /vectors`, in their order: `true`, `false`, or `null` if the vector, the key or
/// the operation was refused. `None` for every other request.
pub(super) async fn answer(request: &web_sys::Request) -> worker::Result<Option<web_sys::Response>> {
    let (true, Some(stream)) = (request.url().ends_with("/vectors"), request.body()) else { return Ok(None) };
    let questions = body::read(&stream, MAX_QUESTIONS).await.map_err(|body::Interrupted| "no questions")?;
    let questions: Vec<Value> = serde_json::from_slice(&questions)?;
    let mut verdicts = Vec::with_capacity(questions.len());
    for question in &questions {
        verdicts.push(verdict(question).await);
    }
    let response = http::Response::new(Value::from_iter(verdicts).to_string().into());
    Ok(Some(bridge::write_response(&response)?))
}

async fn verdict(question: &Value) -> Option<bool> {
    let text = |name: &str| question.get(name)?.as_str();
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    let algorithm: Algorithm = text("alg")?.parse().ok()?;
    let keys = JwkSet::parse(json!({ "keys": [question.get("jwk")?] }).to_string().as_bytes()).ok()?;
    let key = keys.keys().first()?;
    WebCrypto.verify(algorithm, key, &bytes("message")?, &bytes("signature")?).await.ok()
}
