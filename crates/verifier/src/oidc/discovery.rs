//! An issuer's keys: discovery (OpenID Connect Discovery 1.0 section 4) and the JWK set it points to.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::Value;

use super::endpoint::Endpoint;
use super::issuer::{Issuer, IssuerRules};
use crate::jose::{JwkSet, JwkSetError};
use crate::json;
use crate::ports::{BodyError, Fetch, FetchError, Outbound};

/// For one document, from sending to its last byte.
const TIMEOUT: Duration = Duration::from_secs(5);

/// After decompression. Real documents have 1 to 20 KiB.
const MAX_BODY: usize = 100 * 1024;

/// Longer than any known address of keys.
const MAX_JWKS_URI: usize = 2048;

/// What an issuer serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedKeys {
    /// The keys.
    pub keys: JwkSet,
    /// How long the issuer says they may be cached (`Cache-Control`), unchanged: zero for `no-store` and `no-cache`.
    /// The cache has its own bounds.
    pub max_age: Option<Duration>,
}

/// Which of the two documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// `/.well-known/openid-configuration`.
    Discovery,
    /// What `jwks_uri` points to.
    Keys,
}

/// How an issuer failed to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// Not reachable, or cut off, twice.
    Network,
    /// Not within the time limit.
    TimedOut,
    /// A status of 5xx.
    ServerError,
    /// 429, or 403 with `Retry-After`: not now.
    Limited,
}

/// What is wrong with an issuer's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// A status other than 200 that is not an [`Outage`]. Redirects are not followed, because they would bypass every
    /// rule about hosts.
    Status,
    /// Longer than 100 KiB.
    TooLarge,
    /// Not a strict JSON object.
    Json,
    /// The discovery document names another issuer.
    OtherIssuer,
    /// The discovery document has no `jwks_uri`, or one that breaks the rules for issuers' hosts.
    JwksUri,
    /// The key set has no array `keys`, or no key in it that could verify anything.
    NoKeys,
    /// The key set has more than 100 keys.
    TooManyKeys,
}

/// Why there are no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeysError {
    /// The issuer did not answer; later it may.
    Unavailable(Document, Outage),
    /// The issuer's answer contains no usable keys.
    Unusable(Document, Unusable),
}

impl KeysError {
    /// A stable name without any value.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_, Outage::Network) => "issuer_unreachable",
            Self::Unavailable(_, Outage::TimedOut) => "issuer_timed_out",
            Self::Unavailable(_, Outage::ServerError) => "issuer_server_error",
            Self::Unavailable(_, Outage::Limited) => "issuer_limits_us",
            Self::Unusable(_, Unusable::Status) => "issuer_document_status",
            Self::Unusable(_, Unusable::TooLarge) => "issuer_document_too_large",
            Self::Unusable(_, Unusable::Json) => "issuer_document_json",
            Self::Unusable(_, Unusable::OtherIssuer) => "issuer_document_other_issuer",
            Self::Unusable(_, Unusable::JwksUri) => "issuer_document_jwks_uri",
            Self::Unusable(_, Unusable::NoKeys) => "issuer_document_no_keys",
            Self::Unusable(_, Unusable::TooManyKeys) => "issuer_document_too_many_keys",
        }
    }
}

impl fmt::Display for KeysError {
    /// Coarse on purpose, and without the status, so that the answer to a token cannot be used to scan hosts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let document = match self {
            Self::Unavailable(document, _) | Self::Unusable(document, _) => match document {
                Document::Discovery => "the discovery document of the token's issuer",
                Document::Keys => "the key set of the token's issuer",
            },
        };
        match self {
            Self::Unavailable(..) => write!(f, "{document} is not available"),
            Self::Unusable(_, why) => {
                let why = match why {
                    Unusable::Status => "it is not served where it should be",
                    Unusable::TooLarge => "it is longer than 102400 bytes",
                    Unusable::Json => "it is not a json object",
                    Unusable::OtherIssuer => "it names another issuer",
                    Unusable::JwksUri => "its `jwks_uri` is missing or not accepted",
                    Unusable::NoKeys => "it has no keys",
                    Unusable::TooManyKeys => "it has more than 100 keys",
                };
                write!(f, "{document} is not usable: {why}")
            }
        }
    }
}

impl std::error::Error for KeysError {}

/// Asks an issuer for its keys: two requests, each repeated once if the network failed.
///
/// # Errors
/// See [`KeysError`].
pub async fn fetch_keys(
    issuer: &Issuer,
    rules: &IssuerRules,
    fetch: &dyn Fetch,
) -> Result<FetchedKeys, KeysError> {
    let base = issuer.as_str();
    let base = base.strip_suffix('/').unwrap_or(base);
    let location = format!("{base}/.well-known/openid-configuration");
    let (body, _) = fetch_document(Document::Discovery, &location, fetch).await?;
    let location =
        keys_location(&body, issuer, rules).map_err(|why| KeysError::Unusable(Document::Discovery, why))?;

    let (body, headers) = fetch_document(Document::Keys, &location, fetch).await?;
    let keys = JwkSet::parse(&body).map_err(|error| {
        KeysError::Unusable(
            Document::Keys,
            match error {
                JwkSetError::Json(_) => Unusable::Json,
                JwkSetError::NoKeys => Unusable::NoKeys,
                JwkSetError::TooManyKeys => Unusable::TooManyKeys,
            },
        )
    })?;
    if keys.keys().is_empty() {
        // Never stored over valid keys.
        return Err(KeysError::Unusable(Document::Keys, Unusable::NoKeys));
    }
    Ok(FetchedKeys { keys, max_age: max_age(&headers) })
}

/// Reads `jwks_uri` from a discovery document that really belongs to this issuer.
fn keys_location(body: &[u8], issuer: &Issuer, rules: &IssuerRules) -> Result<String, Unusable> {
    let document = json::parse_object(body, json::MAX_DEPTH).map_err(|_| Unusable::Json)?;
    // OpenID Connect Discovery 4.3: otherwise one issuer could issue another's identities.
    if document.get("issuer").and_then(Value::as_str) != Some(issuer.as_str()) {
        return Err(Unusable::OtherIssuer);
    }
    let location = document.get("jwks_uri").and_then(Value::as_str).ok_or(Unusable::JwksUri)?;
    if is_keys_location(location, issuer, rules) { Ok(location.to_owned()) } else { Err(Unusable::JwksUri) }
}

/// The rules for issuers' hosts, but with more characters in the path and a query, which real issuers have.
fn is_keys_location(location: &str, issuer: &Issuer, rules: &IssuerRules) -> bool {
    let is_plain = location.len() <= MAX_JWKS_URI && location.bytes().all(is_uri_character);
    let (Ok(keys), Ok(own)) = (Endpoint::parse(location), issuer.endpoint()) else {
        return false;
    };
    // The issuer's own host was checked with the issuer, maybe by the operator's list.
    is_plain && (keys.is_same_origin(&own) || keys.check_reach(rules).is_ok())
}

/// RFC 3986 section 2, without `#`: a fragment is not sent, so it is not allowed here.
const fn is_uri_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b'?' | b'[' | b']' | b'@' | b'%')
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

/// Fetches one document, and once more if the network failed: the common case is a connection that was closed while
/// idle, and trying again costs nothing. A timeout is not retried, because the caller has waited long enough.
async fn fetch_document(
    document: Document,
    location: &str,
    fetch: &dyn Fetch,
) -> Result<(Bytes, HeaderMap), KeysError> {
    match fetch_once(document, location, fetch).await {
        Err(KeysError::Unavailable(_, Outage::Network)) => fetch_once(document, location, fetch).await,
        outcome => outcome,
    }
}

async fn fetch_once(
    document: Document,
    location: &str,
    fetch: &dyn Fetch,
) -> Result<(Bytes, HeaderMap), KeysError> {
    let unavailable = |outage| KeysError::Unavailable(document, outage);
    let unusable = |why| KeysError::Unusable(document, why);
    let request = Request::builder()
        .method(Method::GET)
        .uri(location)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "octo-sts-worker")
        .body(Bytes::new())
        .map_err(|_| unusable(Unusable::JwksUri))?;
    let answer =
        fetch.send(Outbound { request, timeout: TIMEOUT, max_body: MAX_BODY }).await.map_err(|error| {
            match error {
                FetchError::Network => unavailable(Outage::Network),
                FetchError::TimedOut => unavailable(Outage::TimedOut),
            }
        })?;
    if answer.status.is_server_error() {
        return Err(unavailable(Outage::ServerError));
    }
    let is_limited = match answer.status {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::FORBIDDEN => answer.headers.contains_key(RETRY_AFTER),
        _ => false,
    };
    if is_limited {
        return Err(unavailable(Outage::Limited));
    }
    if answer.status != StatusCode::OK {
        return Err(unusable(Unusable::Status));
    }
    let body = answer.body.map_err(|error| match error {
        BodyError::TooLarge => unusable(Unusable::TooLarge),
        BodyError::Interrupted => unavailable(Outage::Network),
        BodyError::TimedOut => unavailable(Outage::TimedOut),
    })?;
    // The port cuts off at the limit; this does not rely on it.
    if body.len() > MAX_BODY {
        return Err(unusable(Unusable::TooLarge));
    }
    Ok((body, answer.headers))
}

/// The duration in `Cache-Control` (RFC 9111 section 5.2.2). The shortest wins; unreadable directives are ignored.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|directive| {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => Some(Duration::ZERO),
                "max-age" => seconds(argument.trim().trim_matches('"')),
                _ => None,
            }
        })
        .min()
}

/// RFC 9111 section 1.2.2: a number that overflows counts as a very large one.
fn seconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Duration::from_secs(text.parse::<u32>().unwrap_or(u32::MAX).into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://issuer.example.com";

    fn rules() -> IssuerRules {
        IssuerRules { allowed: None, own_domain: "sts.example.com".to_owned(), allow_loopback_http: false }
    }

    proptest! {
        #[test]
        fn any_document_gets_an_answer(body in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,60}") {
            let issuer = Issuer::parse(ISSUER, &rules()).unwrap();
            prop_assert!(keys_location(&body, &issuer, &rules()).is_err());
            let document = json!({ "issuer": ISSUER, "jwks_uri": text }).to_string();
            prop_assert!(keys_location(document.as_bytes(), &issuer, &rules()).is_err(), "random text is no address");
        }

        #[test]
        fn an_accepted_address_can_be_sent(tail in r"[!-~]{0,40}") {
            let issuer = Issuer::parse(ISSUER, &rules()).unwrap();
            let location = format!("https://keys.example.com/{tail}");
            if is_keys_location(&location, &issuer, &rules()) {
                let uri: http::Uri = location.parse().unwrap();
                prop_assert_eq!(uri.host(), Some("keys.example.com"));
                prop_assert_eq!(uri.to_string(), location);
            }
        }
    }
}
