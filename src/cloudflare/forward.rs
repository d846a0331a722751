//! Requests through the proxy: the bodies are the runtime's own streams in both directions and never pass through wasm.
//! The outgoing request is derived from the incoming one, and the answer from the upstream's; headers are edited in
//! place. `forward.js` makes the runtime's objects, in as few calls as possible.
//!
//! Nothing here reads, tees or wraps a body, and nothing sets `encodeBody`: any of these would send the bytes through
//! wasm, or keep unread bytes in memory.

use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Request, RequestInit, Response};

use super::collect::{Collected, collect};
use super::head::MessageHead;
use super::{bridge, now};
use crate::api::{self, App, Arrival, Forward, Outcome};
use crate::federation::Signer;
use crate::ports::{Headers as _, Ports};
use crate::proxy::{Collect, EditLines, Edits, Head, Inquiry, NoHead, Plan};

#[wasm_bindgen(module = "/src/cloudflare/forward.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn edit(headers: &web_sys::Headers, edits: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(catch)]
    fn readdressed(request: &Request, url: &str, edits: &str) -> Result<Request, JsValue>;
    fn send(request: &Request, out: &Request, limit: f64) -> Promise;
    #[wasm_bindgen(catch)]
    fn passed(answer: &Response, edits: &str) -> Result<Response, JsValue>;
}

/// Answers a request below the proxy.
pub(super) async fn answer(
    request: &Request,
    url: &str,
    app: &Rc<App>,
    arrival: Arrival,
    ports: Ports,
) -> Result<Response, JsValue> {
    let head = MessageHead::of(request, request.headers());
    let method = head.start().map_or_else(|| request.method(), str::to_owned);
    let inquiry = Inquiry { method: &method, url, headers: &head };
    match api::forward(app, &inquiry, arrival, ports).await {
        Outcome::Answer(answer) => bridge::write_response(&answer),
        Outcome::Forward(forward) => pass(request, *forward).await,
    }
}

async fn pass(request: &Request, forward: Forward) -> Result<Response, JsValue> {
    let answer = match send_planned(request, &forward.plan).await {
        Ok(answer) => answer,
        Err(why) => return given_up(forward, why),
    };
    let head = MessageHead::of(&answer, answer.headers());
    match forward.settle(Ok(Head { status: answer.status(), headers: &head })) {
        Ok(edits) => edited(&answer, &edits),
        Err(instead) => bridge::write_response(&instead),
    }
}

fn given_up(forward: Forward, why: NoHead) -> Result<Response, JsValue> {
    match forward.settle(Err(why)) {
        Ok(_) => Err(JsValue::from_str("there is no answer")),
        Err(instead) => bridge::write_response(&instead),
    }
}

/// Sends the request, and waits for the head of an answer.
async fn send_planned(request: &Request, plan: &Plan) -> Result<Response, NoHead> {
    // Held until there is an answer: until then the runtime may need the bytes.
    let collected = match &plan.collect {
        Some(Collect { most, .. }) => Some(collect(request, *most).await?),
        None => None,
    };
    let edits = plan.edits().map_err(|_| NoHead::Failed)?;
    let out = match (&collected, &plan.collect) {
        (Some(collected), Some(Collect { signer, .. })) => rebuilt(request, plan, &edits, collected, signer),
        // The request itself instead of an init, so that the method, the headers and the body with its length are kept.
        _ => readdressed(request, &plan.url, edits.as_str()),
    };
    let out = out.map_err(|_| NoHead::Failed)?;
    let answer = JsFuture::from(send(request, &out, plan.first_byte_timeout.as_secs_f64() * 1000.0)).await;
    let answer = answer.map_err(|_| NoHead::Failed)?;
    match answer.as_string().as_deref() {
        None => Ok(answer.unchecked_into()),
        Some("late") => Err(NoHead::Late),
        Some("hung_up") => Err(NoHead::HungUp),
        Some(_) => Err(NoHead::Failed),
    }
}

/// A request with a body that was collected, signed.
fn rebuilt(
    request: &Request,
    plan: &Plan,
    edits: &EditLines,
    collected: &Collected,
    signer: &Signer,
) -> Result<Request, JsValue> {
    let init = RequestInit::new();
    init.set_method(&request.method());
    init.set_headers_headers(&request.headers());
    if let Some(bytes) = &collected.bytes {
        init.set_body(bytes);
    }
    let out = Request::new_with_str_and_init(&plan.url, &init)?;
    edit(&out.headers(), edits.as_str())?;
    sign(&out, signer, &collected.sha256)?;
    Ok(out)
}

/// Signs what is sent, with the address as the runtime has rewritten it.
fn sign(out: &Request, signer: &Signer, sha256: &str) -> Result<(), JsValue> {
    let head = MessageHead::of(out, out.headers());
    let names = head.names();
    let values: Vec<String> = names.iter().map(|name| head.value(name).unwrap_or_default()).collect();
    let sent: Vec<(&str, &str)> =
        names.iter().zip(&values).map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let now = now().ok_or("the clock shows no date")?;
    let signed =
        signer.sign(&out.method(), &out.url(), &sent, sha256, now).ok_or("the address is invalid")?;
    for (name, value) in signed {
        out.headers().set(name.as_str(), value.expose())?;
    }
    Ok(())
}

/// The answer with its stream, its status and its edited headers.
fn edited(answer: &Response, edits: &Edits) -> Result<Response, JsValue> {
    let edits = edits.lines().map_err(|_| "a header's value has a line break")?;
    passed(answer, edits.as_str())
}
