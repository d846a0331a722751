//! One call with its retries, and the parsing of the answer.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use octo_sts_verifier::ports::{Inbound, Outbound};
use octo_sts_verifier::secret::Secret;
use serde_json::{Map, Value};

use super::error::ClientError;
use crate::transport::Transport;

/// From sending to the last byte. The service itself gives up after 25 seconds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Far larger than any honest answer.
const MAX_BODY: usize = 256 * 1024;

/// How often a request is sent at most.
const TRIES: u32 = 3;

/// If the wait would be longer, failing is better.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The length of a server's message that is kept.
const MAX_MESSAGE: usize = 512;

/// A request that may be sent again.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) bearer: Option<Secret>,
    pub(super) body: Option<(&'static str, Secret)>,
}

/// The way to the network, and how to wait between tries.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) pause: Arc<dyn Fn(Duration) + Send + Sync>,
}

impl Way {
    pub(super) fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, pause: Arc::new(thread::sleep) }
    }

    /// Sends the request, and repeats it after 429 and 5xx, which say that it had no effect. Without an answer, that is
    /// not known.
    pub(super) fn send(&self, call: &Call) -> Result<(StatusCode, Bytes), ClientError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let inbound = self.transport.send(call.outbound()?).map_err(|_| ClientError::NoAnswer)?;
            let Inbound { status, headers, body } = inbound;
            if status.is_success() {
                return Ok((status, body.map_err(|_| ClientError::Unreadable)?));
            }
            let retry_after = retry_after(&headers);
            let may_pass = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
            let wait = retry_after.unwrap_or(Duration::from_secs(tried.into()));
            // 501 and a wait of minutes do not resolve while a job waits.
            if may_pass && status != StatusCode::NOT_IMPLEMENTED && tried < TRIES && wait <= LONGEST_WAIT {
                (self.pause)(wait);
                continue;
            }
            return Err(refused(status, body.unwrap_or_default().as_ref(), retry_after));
        }
    }
}

impl Call {
    fn outbound(&self) -> Result<Outbound, ClientError> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.url)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("octo-sts/", env!("CARGO_PKG_VERSION")));
        if let Some(bearer) = &self.bearer {
            let value = Secret::new(format!("Bearer {}", bearer.expose()));
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| {
                ClientError::Input("the token has a character that is not allowed in a token".to_owned())
            })?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let body = match &self.body {
            Some((content_type, body)) => {
                request = request.header(CONTENT_TYPE, *content_type);
                Bytes::copy_from_slice(body.expose().as_bytes())
            }
            None => Bytes::new(),
        };
        let request = request.body(body).map_err(|_| {
            ClientError::Input("the address has a character that is not allowed in an address".to_owned())
        })?;
        Ok(Outbound { request, timeout: TIMEOUT, max_body: MAX_BODY })
    }
}

/// The JSON object of a successful answer.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, ClientError> {
    serde_json::from_slice(body).map_err(|_| ClientError::Unreadable)
}

/// A token in an answer: text that is valid in a header.
pub(super) fn token(object: &mut Map<String, Value>, name: &str) -> Result<Secret, ClientError> {
    match object.remove(name) {
        Some(Value::String(text)) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) => {
            Ok(Secret::new(text))
        }
        _ => Err(ClientError::Unreadable),
    }
}

fn refused(status: StatusCode, body: &[u8], retry_after: Option<Duration>) -> ClientError {
    let object: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| object.get(name).and_then(Value::as_str).map(one_line).unwrap_or_default();
    let message = if object.contains_key("message") { text("message") } else { text("error_description") };
    ClientError::Refused {
        status: status.as_u16(),
        error: text("error"),
        message,
        request_id: text("request_id"),
        retry_after,
    }
}

/// A server's text, made safe for a terminal or a log.
fn one_line(text: &str) -> String {
    text.chars().take(MAX_MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A base address that a token may be sent to: `https`, or `http` to this machine.
pub(super) fn is_safe(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let is_loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    let has_user = uri.authority().is_none_or(|authority| authority.as_str().contains('@'));
    !host.is_empty()
        && !has_user
        && (uri.scheme_str() == Some("https") || uri.scheme_str() == Some("http") && is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_tls_or_stays_on_the_machine() {
        for url in [
            "https://sts.example.com",
            "https://sts.example.com:8443/x?y",
            "http://127.0.0.1:1",
            "http://[::1]:1",
            "http://localhost",
        ] {
            assert!(is_safe(url), "{url}");
        }
        for url in [
            "http://sts.example.com",
            "http://localhost.example.com",
            "ftp://a",
            "sts.example.com",
            "/a",
            "",
            "https://a@b",
            "http://127.0.0.1@evil.example.com",
        ] {
            assert!(!is_safe(url), "{url}");
        }
    }

    #[test]
    fn everything_but_plain_letters_is_encoded() {
        assert_eq!(encoded("https://a.b/c d&e=ü~"), "https%3A%2F%2Fa.b%2Fc%20d%26e%3D%C3%BC~");
    }

    #[test]
    fn a_refusal_is_one_line_whatever_the_server_wrote() {
        let body = br#"{"error":"permission_denied","message":"no\u001b[31m\nway","request_id":"r1"}"#;
        let error = refused(StatusCode::FORBIDDEN, body, None);
        assert_eq!(error.to_string(), "no [31m way (status 403, `permission_denied`), request r1");
        assert_eq!(
            refused(StatusCode::BAD_GATEWAY, b"<html>", None).to_string(),
            "the server answered with the status 502"
        );
    }
}
