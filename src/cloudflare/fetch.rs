//! HTTP to issuers and GitHub, over the runtime's `fetch`.

use std::pin::pin;

use bytes::Bytes;
use futures_util::future::{Either, FutureExt, LocalBoxFuture, select};
use http::StatusCode;
use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, RequestCache, RequestInit, RequestRedirect};
use worker::Delay;

use super::{body, bridge};
use crate::ports::{BodyError, Fetch, FetchError, Inbound, Outbound};

/// The global `fetch`.
pub(super) struct GlobalFetch;

impl Fetch for GlobalFetch {
    fn send(&self, outbound: Outbound) -> LocalBoxFuture<'_, Result<Inbound, FetchError>> {
        send(outbound).boxed_local()
    }
}

async fn send(outbound: Outbound) -> Result<Inbound, FetchError> {
    let abort = AbortController::new().map_err(|_| FetchError::Network)?;
    let init = request_init(&outbound, &abort).map_err(|_| FetchError::Network)?;
    // One clock for the headers and the body: a peer that trickles bytes gains nothing.
    let mut deadline = pin!(Delay::from(outbound.timeout));

    let url = outbound.request.uri().to_string();
    let answer = JsFuture::from(bridge::global().fetch_with_str_and_init(&url, &init));
    let response: web_sys::Response = match select(answer, deadline.as_mut()).await {
        Either::Left((Ok(response), _)) => response.unchecked_into(),
        Either::Left((Err(_), _)) => return Err(FetchError::Network),
        Either::Right(((), _)) => {
            abort.abort();
            return Err(FetchError::TimedOut);
        }
    };
    let status = StatusCode::from_u16(response.status()).map_err(|_| FetchError::Network)?;
    let headers = bridge::read_headers(&response.headers());

    let Some(stream) = response.body() else {
        return Ok(Inbound { status, headers, body: Ok(Bytes::new()) });
    };
    let whole = pin!(body::read(&stream, outbound.max_body.saturating_add(1)));
    let body = match select(whole, deadline.as_mut()).await {
        Either::Left((Ok(bytes), _)) if bytes.len() > outbound.max_body => Err(BodyError::TooLarge),
        Either::Left((Ok(bytes), _)) => Ok(bytes),
        Either::Left((Err(body::Interrupted), _)) => Err(BodyError::Interrupted),
        Either::Right(((), _)) => {
            abort.abort();
            Err(BodyError::TimedOut)
        }
    };
    Ok(Inbound { status, headers, body })
}

fn request_init(outbound: &Outbound, abort: &AbortController) -> Result<RequestInit, JsValue> {
    let request = &outbound.request;
    let init = RequestInit::new();
    init.set_method(request.method().as_str());
    init.set_headers_headers(&bridge::write_headers(request.headers())?);
    // A redirect is an answer like any other; following it would carry `Authorization` to wherever it points.
    init.set_redirect(RequestRedirect::Manual);
    // Cloudflare's own cache stands between us and the origin. Our caches have rules about staleness (a removed policy
    // must not live on), and it knows none of them.
    init.set_cache(RequestCache::NoStore);
    init.set_signal(Some(&abort.signal()));
    if !request.body().is_empty() {
        init.set_body(&Uint8Array::from(&**request.body()));
    }
    Ok(init)
}
