//! What an HTTP server answers to a request whose token is not accepted.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response};
use serde_json::json;

use crate::refusal::Refusal;

/// Status, challenge and a body with one member: all that a caller may know. The reason is in the log.
pub(crate) fn answer<B: From<String>>(refusal: &Refusal) -> Response<B> {
    let body = json!({ "detail": refusal.public_message() }).to_string();
    let mut response = Response::new(B::from(body));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(challenge) = refusal.challenge() {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if let Some(seconds) = refusal.retry_after_seconds() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
