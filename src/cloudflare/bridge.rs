//! `web_sys` requests and responses as the core's `http` values, and back.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use js_sys::Uint8Array;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use super::body;
use crate::api;
use crate::ports::Truncated;

/// `http` cannot express the request: its method or path does not follow RFC 9110.
pub(super) struct Unreadable;

#[wasm_bindgen]
extern "C" {
    /// A UUID, made at random (RFC 9562, version 4).
    // `web_sys` reaches it in three calls.
    #[wasm_bindgen(js_namespace = crypto, js_name = randomUUID)]
    pub(super) fn random_uuid() -> String;
}

/// The runtime's global scope: `fetch`, `crypto`, timers.
pub(super) fn global() -> web_sys::WorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Reads a request; of its body no more than one byte above what its route accepts, so that `api` can tell.
///
/// A repeated header appears once, its values joined with `, ` (Fetch standard).
pub(super) async fn read_request(
    request: &web_sys::Request,
    url: &str,
) -> Result<Request<Bytes>, Unreadable> {
    let method = Method::from_bytes(request.method().as_bytes()).map_err(|_| Unreadable)?;
    let (target, mut truncated) = match path_and_query(url) {
        Some(target) => (target, false),
        // An unparsable query must not prevent routing by path.
        None => (path_and_query(url.split('?').next().unwrap_or_default()).ok_or(Unreadable)?, true),
    };
    let headers = read_headers(&request.headers(), api::headers(&method));
    let limit = api::body_limit(&method, target.path(), &headers);
    let body = match request.body() {
        Some(stream) if limit > 0 => {
            let body = body::read(&stream, limit.saturating_add(1)).await;
            truncated |= body.is_err();
            body.unwrap_or_default()
        }
        Some(_) | None => Bytes::new(),
    };
    let mut read = Request::new(body);
    if truncated {
        read.extensions_mut().insert(Truncated);
    }
    *read.method_mut() = method;
    *read.uri_mut() = Uri::from(target);
    *read.headers_mut() = headers;
    Ok(read)
}

/// What follows the authority, unchanged. The runtime has already made it a WHATWG URL: dot segments are resolved, and
/// there is always a path.
fn path_and_query(url: &str) -> Option<PathAndQuery> {
    let (_scheme, rest) = url.split_once("://")?;
    let (_authority, rest) = rest.split_once('/')?;
    let before_fragment = rest.split('#').next()?;
    PathAndQuery::try_from(format!("/{before_fragment}")).ok()
}

/// The headers with these names as `http` has them. Copying all of them cost a tenth of an exchange:
/// GitHub sends two dozen, each of them an array and two strings on both sides, and the service reads hardly any.
///
/// A value that `http` refuses (a control character, which no runtime lets through) is left out: a missing header can
/// only restrict, never allow.
pub(super) fn read_headers(headers: &web_sys::Headers, names: &[HeaderName]) -> HeaderMap {
    let mut read = HeaderMap::new();
    for name in names {
        let Ok(Some(value)) = headers.get(name.as_str()) else { continue };
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            read.insert(name.clone(), value);
        }
    }
    read
}

/// Headers as the runtime has them; an error where a value is not text.
pub(super) fn write_headers(headers: &HeaderMap) -> Result<web_sys::Headers, JsValue> {
    let written = web_sys::Headers::new()?;
    for (name, value) in headers {
        let value = value.to_str().map_err(|_| JsValue::from_str("a header value is not ASCII"))?;
        written.append(name.as_str(), value)?;
    }
    Ok(written)
}

/// The answer. An empty body becomes no body, as 204 and HEAD require.
pub(super) fn write_response(response: &Response<Bytes>) -> Result<web_sys::Response, JsValue> {
    let init = web_sys::ResponseInit::new();
    init.set_status(response.status().as_u16());
    init.set_headers_headers(&write_headers(response.headers())?);
    let body = (!response.body().is_empty()).then(|| Uint8Array::from(&**response.body()));
    web_sys::Response::new_with_opt_js_u8_array_and_init(body.as_ref(), &init)
}
