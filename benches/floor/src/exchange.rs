use std::cell::OnceCell;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use js_sys::{Array, JSON, JsString, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{CryptoKey, Headers, Request, RequestInit, Response, SubtleCrypto, WorkerGlobalScope};
use worker::Env;

const MINT: &str = "https://api.github.com/app/installations/1001/access_tokens";
const ASKED: &str = r#"{"repositories":["app"],"permissions":{"contents":"read","issues":"write"}}"#;

thread_local! {
    static KEY: OnceCell<CryptoKey> = const { OnceCell::new() };
}

pub(crate) async fn exchange(request: &Request, env: &Env) -> Result<Response, JsValue> {
    let authorization = request.headers().get("authorization")?.ok_or("no authorization")?;
    let token = authorization.strip_prefix("Bearer ").ok_or("no bearer token")?;
    let (signed, signature) = token.rsplit_once('.').ok_or("no token")?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| "no base64url")?;
    let verified = subtle()?.verify_with_str_and_js_u8_array_and_js_u8_array(
        "RSASSA-PKCS1-v1_5",
        &key(env).await?,
        &Uint8Array::from(&*signature),
        &Uint8Array::from(signed.as_bytes()),
    )?;
    if JsFuture::from(verified).await? != JsValue::TRUE {
        return Err("not verified".into());
    }

    let headers = Headers::new()?;
    headers.set("authorization", "Bearer of-the-app")?;
    headers.set("user-agent", "floor")?;
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_headers_headers(&headers);
    init.set_body(&JsValue::from_str(ASKED));
    let answer = JsFuture::from(global().fetch_with_str_and_init(MINT, &init)).await?;
    let body = JsFuture::from(answer.unchecked_into::<Response>().text()?).await?;
    Response::new_with_opt_str(Some(&String::from(body.unchecked_into::<JsString>())))
}

/// Imported by the isolate's first request.
async fn key(env: &Env) -> Result<CryptoKey, JsValue> {
    if let Some(key) = KEY.with(|key| key.get().cloned()) {
        return Ok(key);
    }
    let jwk = Reflect::get(env, &JsValue::from_str("JWK"))?.unchecked_into::<JsString>();
    let jwk: Object = JSON::parse(&String::from(jwk))?.unchecked_into();
    let algorithm = Object::new();
    Reflect::set(&algorithm, &"name".into(), &"RSASSA-PKCS1-v1_5".into())?;
    Reflect::set(&algorithm, &"hash".into(), &"SHA-256".into())?;
    let usages = Array::of1(&"verify".into());
    let key = subtle()?.import_key_with_object("jwk", &jwk, &algorithm, false, &usages)?;
    let key: CryptoKey = JsFuture::from(key).await?.unchecked_into();
    Ok(KEY.with(|kept| kept.get_or_init(|| key).clone()))
}

fn global() -> WorkerGlobalScope {
    js_sys::global().unchecked_into()
}

fn subtle() -> Result<SubtleCrypto, JsValue> {
    Ok(global().crypto()?.subtle())
}
