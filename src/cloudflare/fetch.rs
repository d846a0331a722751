//! HTTP to issuers and GitHub, over the runtime's `fetch`.

use bytes::Bytes;
use futures_util::future::{FutureExt, LocalBoxFuture};
use http::StatusCode;
use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, RequestCache, RequestInit, RequestRedirect};

use super::{body, bridge};
use crate::ports::{ANSWER_HEADERS, BodyError, Fetch, FetchError, Inbound, Outbound};

/// The global `fetch`.
pub(super) struct GlobalFetch;

impl Fetch for GlobalFetch {
    fn send(&self, outbound: Outbound) -> LocalBoxFuture<'_, Result<Inbound, FetchError>> {
        send(outbound).boxed_local()
    }
}

async fn send(outbound: Outbound) -> Result<Inbound, FetchError> {
    // One time limit for headers and body, by the runtime's own clock, so a peer that trickles bytes gains nothing.
    let deadline =
        AbortSignal::timeout_with_u32(u32::try_from(outbound.timeout.as_millis()).unwrap_or(u32::MAX));
    let init = request_init(&outbound, &deadline).map_err(|_| FetchError::Network)?;
    let url = outbound.request.uri().to_string();
    let answer = JsFuture::from(bridge::global().fetch_with_str_and_init(&url, &init)).await;
    let failure = if deadline.aborted() { FetchError::TimedOut } else { FetchError::Network };
    let response: web_sys::Response = answer.map_err(|_| failure)?.unchecked_into();
    let status = StatusCode::from_u16(response.status()).map_err(|_| FetchError::Network)?;
    let headers = bridge::read_headers(&response.headers(), &ANSWER_HEADERS);

    let Some(stream) = response.body() else {
        return Ok(Inbound { status, headers, body: Ok(Bytes::new()) });
    };
    let body = match body::read(&stream, outbound.max_body.saturating_add(1)).await {
        Ok(bytes) if bytes.len() > outbound.max_body => Err(BodyError::TooLarge),
        Ok(bytes) => Ok(bytes),
        Err(body::Interrupted) if deadline.aborted() => Err(BodyError::TimedOut),
        Err(body::Interrupted) => Err(BodyError::Interrupted),
    };
    Ok(Inbound { status, headers, body })
}

fn request_init(outbound: &Outbound, deadline: &AbortSignal) -> Result<RequestInit, JsValue> {
    let request = &outbound.request;
    let init = RequestInit::new();
    init.set_method(request.method().as_str());
    init.set_headers_headers(&bridge::write_headers(request.headers())?);
    // A redirect is an answer like any other; following it would carry `Authorization` to wherever it points.
    init.set_redirect(RequestRedirect::Manual);
    // Cloudflare's own cache is between us and the origin. Our caches have rules about staleness (a removed policy must
    // not survive), and Cloudflare's knows none of them.
    init.set_cache(RequestCache::NoStore);
    init.set_signal(Some(deadline));
    if !request.body().is_empty() {
        init.set_body(&Uint8Array::from(&**request.body()));
    }
    Ok(init)
}
