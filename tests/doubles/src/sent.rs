//! A request as it left, and the answers that come back.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use octo_sts_verifier::ports::{BodyError, Inbound, Outbound};
use serde_json::Value;

/// A request as it left.
#[derive(Debug, Clone)]
pub struct Sent {
    /// In capitals.
    pub method: String,
    /// The whole address.
    pub uri: Uri,
    /// Its authority.
    pub host: String,
    /// Its path and query.
    pub path: String,
    /// All of them.
    pub headers: HeaderMap,
    /// The body as JSON; null if it is none.
    pub body: Value,
    /// The body as it is.
    pub bytes: Bytes,
    /// From sending to the last byte of the answer.
    pub timeout: Duration,
    /// Bytes of the answer that are read.
    pub max_body: usize,
}

/// `METHOD host/path?query`
impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.method, self.host, self.path)
    }
}

impl From<Outbound> for Sent {
    fn from(outbound: Outbound) -> Self {
        let (parts, bytes) = outbound.request.into_parts();
        for value in parts.headers.get_all(AUTHORIZATION) {
            assert!(value.is_sensitive(), "a credential that could be printed");
        }
        Self {
            method: parts.method.to_string(),
            host: parts.uri.authority().map(ToString::to_string).unwrap_or_default(),
            path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            uri: parts.uri,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
            bytes,
            timeout: outbound.timeout,
            max_body: outbound.max_body,
        }
    }
}

impl Sent {
    /// A header's value; empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The token behind `Bearer`.
    #[must_use]
    pub fn credential(&self) -> Option<&str> {
        let value = self.headers.get(AUTHORIZATION)?.to_str().unwrap();
        Some(value.strip_prefix("Bearer ").expect("a bearer token"))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }
}

/// An answer without headers.
pub fn inbound(status: u16, body: impl Into<Bytes>) -> Inbound {
    let status = StatusCode::from_u16(status).unwrap();
    Inbound { status, headers: HeaderMap::new(), body: Ok(body.into()) }
}

/// An answer with headers.
pub fn inbound_with(status: u16, headers: &[(&'static str, &str)], body: impl Into<Bytes>) -> Inbound {
    let mut inbound = inbound(status, body);
    for (name, value) in headers {
        inbound.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    inbound
}

/// A status whose body does not come.
#[must_use]
pub fn bodiless(status: u16, error: BodyError) -> Inbound {
    Inbound { body: Err(error), ..inbound(status, Bytes::new()) }
}

/// What the Worker hands over: the headers of these names alone. A service that read another one would never see it.
#[must_use]
pub fn only(names: &[HeaderName], headers: &HeaderMap) -> HeaderMap {
    let named = |name: &HeaderName| names.contains(name);
    headers
        .iter()
        .filter(|(name, _)| named(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
