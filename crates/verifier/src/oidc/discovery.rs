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
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use futures_util::FutureExt as _;
    use futures_util::future::{self, LocalBoxFuture};
    use http::HeaderValue;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::ports::Inbound;

    const ISSUER: &str = "https://issuer.example.com";

    /// Gives its answers in order, whatever the request, and records the requests.
    struct Script {
        answers: RefCell<VecDeque<Result<Inbound, FetchError>>>,
        sent: RefCell<Vec<Outbound>>,
    }

    impl Script {
        fn new(answers: impl IntoIterator<Item = Result<Inbound, FetchError>>) -> Self {
            Self { answers: RefCell::new(answers.into_iter().collect()), sent: RefCell::new(Vec::new()) }
        }

        fn asked_for(&self) -> Vec<String> {
            self.sent.borrow().iter().map(|outbound| outbound.request.uri().to_string()).collect()
        }
    }

    impl Fetch for Script {
        fn send(&self, outbound: Outbound) -> LocalBoxFuture<'_, Result<Inbound, FetchError>> {
            self.sent.borrow_mut().push(outbound);
            future::ready(self.answers.borrow_mut().pop_front().expect("one answer for each request"))
                .boxed_local()
        }
    }

    fn answer(status: u16, body: impl Into<Bytes>) -> Result<Inbound, FetchError> {
        let status = StatusCode::from_u16(status).unwrap();
        Ok(Inbound { status, headers: HeaderMap::new(), body: Ok(body.into()) })
    }

    fn broken(status: u16, error: BodyError) -> Result<Inbound, FetchError> {
        let status = StatusCode::from_u16(status).unwrap();
        Ok(Inbound { status, headers: HeaderMap::new(), body: Err(error) })
    }

    fn discovery(issuer: &str, jwks_uri: &str) -> Result<Inbound, FetchError> {
        answer(200, json!({ "issuer": issuer, "jwks_uri": jwks_uri, "extra": [true] }).to_string())
    }

    fn good_discovery() -> Result<Inbound, FetchError> {
        discovery(ISSUER, "https://keys.example.com/jwks")
    }

    fn good_keys() -> Result<Inbound, FetchError> {
        answer(200, KEYS)
    }

    const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn rules() -> IssuerRules {
        IssuerRules { allowed: None, own_domain: "sts.example.com".to_owned(), allow_loopback_http: false }
    }

    fn fetch_from(issuer: &str, rules: &IssuerRules, script: &Script) -> Result<FetchedKeys, KeysError> {
        let outcome = pollster::block_on(fetch_keys(&Issuer::parse(issuer, rules).unwrap(), rules, script));
        assert!(script.answers.borrow().is_empty(), "every answer was asked for");
        outcome
    }

    fn fetched(
        answers: impl IntoIterator<Item = Result<Inbound, FetchError>>,
    ) -> Result<FetchedKeys, KeysError> {
        fetch_from(ISSUER, &rules(), &Script::new(answers))
    }

    #[test]
    fn asks_for_two_documents_within_the_limits() {
        let script = Script::new([good_discovery(), good_keys()]);
        let fetched = fetch_from(ISSUER, &rules(), &script).unwrap();
        assert_eq!(fetched.keys.keys().len(), 1);
        assert_eq!(fetched.max_age, None);
        assert_eq!(
            script.asked_for(),
            ["https://issuer.example.com/.well-known/openid-configuration", "https://keys.example.com/jwks"]
        );
        for outbound in script.sent.borrow().iter() {
            assert_eq!(outbound.request.method(), Method::GET);
            assert!(outbound.request.body().is_empty());
            let mut headers: Vec<_> = outbound
                .request
                .headers()
                .iter()
                .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
                .collect();
            headers.sort_unstable();
            assert_eq!(headers, [("accept", "application/json"), ("user-agent", "octo-sts-worker")]);
            assert_eq!(outbound.timeout, Duration::from_secs(5));
            assert_eq!(outbound.max_body, 102_400);
        }
    }

    #[test]
    fn one_trailing_slash_of_the_issuer_is_not_doubled() {
        for (issuer, location) in [
            ("https://acme.auth0.example/", "https://acme.auth0.example/.well-known/openid-configuration"),
            ("https://example.com/a/b", "https://example.com/a/b/.well-known/openid-configuration"),
            ("https://example.com/a/b/", "https://example.com/a/b/.well-known/openid-configuration"),
            ("https://example.com:443", "https://example.com:443/.well-known/openid-configuration"),
        ] {
            let script = Script::new([discovery(issuer, "https://example.com/keys"), good_keys()]);
            fetch_from(issuer, &rules(), &script).unwrap();
            assert_eq!(script.asked_for()[0], location);
        }
    }

    #[test]
    fn the_document_must_be_of_this_issuer_byte_for_byte() {
        for other in [
            "https://other.example.com",
            "https://issuer.example.com/",
            "https://ISSUER.example.com",
            "https://issuer.example.com:443",
            " https://issuer.example.com",
            "",
        ] {
            let outcome = fetched([discovery(other, "https://keys.example.com/jwks")]);
            assert_eq!(
                outcome,
                Err(KeysError::Unusable(Document::Discovery, Unusable::OtherIssuer)),
                "{other}"
            );
        }
        for body in [
            r#"{"jwks_uri":"https://keys.example.com"}"#,
            r#"{"issuer":null,"jwks_uri":"https://keys.example.com"}"#,
            r#"{"issuer":["https://issuer.example.com"],"jwks_uri":"https://keys.example.com"}"#,
        ] {
            let outcome = fetched([answer(200, body)]);
            assert_eq!(
                outcome,
                Err(KeysError::Unusable(Document::Discovery, Unusable::OtherIssuer)),
                "{body}"
            );
        }
    }

    #[test]
    fn addresses_of_keys_of_well_known_services_are_accepted() {
        for location in [
            "https://www.googleapis.com/oauth2/v3/certs",
            "https://token.actions.githubusercontent.com/.well-known/jwks",
            "https://login.microsoftonline.com/0e1c2c8b-4b2c-4d3f-9d3a-3f1f3f0d3c11/discovery/v2.0/keys",
            "https://acme.b2clogin.com/acme.onmicrosoft.com/discovery/v2.0/keys?p=b2c_1_sign_in",
            "https://gitlab.com/oauth/discovery/keys",
            "https://oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF/keys",
            "https://dev-123.okta.com/oauth2/default/v1/keys",
            "https://issuer.example.com:443/keys",
            "https://example.com/a%20b/$keys;v=1/(x)",
            "https://example.com",
        ] {
            let script = Script::new([discovery(ISSUER, location), good_keys()]);
            assert!(fetch_from(ISSUER, &rules(), &script).is_ok(), "{location}");
            assert_eq!(script.asked_for()[1].trim_end_matches('/'), location);
        }
    }

    #[test]
    fn addresses_of_keys_obey_the_rules_for_issuers() {
        let long = format!("https://example.com/{}", "a".repeat(2048));
        for location in [
            "",
            "/jwks",
            "//keys.example.com/jwks",
            "keys.example.com",
            "http://keys.example.com/jwks",
            "http://issuer.example.com/jwks",
            "HTTPS://keys.example.com",
            "ftp://keys.example.com",
            "https://user@keys.example.com",
            "https://keys.example.com#x",
            "https://keys.example.com/a b",
            "https://keys.example.com/a\\b",
            "https://keys.example.com\\@10.0.0.1",
            "https://keys.example.com/ä",
            "https://keys.example.com/\n",
            "https://keys.example.com./",
            "https://keys.example.com:8443/",
            "https://issuer.example.com:8443/",
            "https://10.0.0.1/jwks",
            "https://2130706433/",
            "https://[::1]/",
            "https://169.254.169.254/latest/meta-data",
            "https://localhost/jwks",
            "http://localhost/jwks",
            "https://intranet/jwks",
            "https://vault.internal/",
            "https://printer.local/",
            "https://sts.example.com/jwks",
            "https://STS.EXAMPLE.COM",
            &long,
        ] {
            let outcome = fetched([discovery(ISSUER, location)]);
            assert_eq!(
                outcome,
                Err(KeysError::Unusable(Document::Discovery, Unusable::JwksUri)),
                "{location}"
            );
        }
        for body in [
            json!({ "issuer": ISSUER }),
            json!({ "issuer": ISSUER, "jwks_uri": null }),
            json!({ "issuer": ISSUER, "jwks_uri": ["https://keys.example.com"] }),
            json!({ "issuer": ISSUER, "jwks": { "keys": [] } }),
        ] {
            let outcome = fetched([answer(200, body.to_string())]);
            assert_eq!(outcome, Err(KeysError::Unusable(Document::Discovery, Unusable::JwksUri)), "{body}");
        }
    }

    #[test]
    fn a_listed_issuer_may_keep_its_keys_at_its_own_place_alone() {
        let issuer = "https://10.0.0.1:8443/oidc";
        let listed = IssuerRules { allowed: Some(vec![issuer.to_owned()]), ..rules() };
        for location in ["https://10.0.0.1:8443/keys", "https://keys.example.com"] {
            let script = Script::new([discovery(issuer, location), good_keys()]);
            assert!(fetch_from(issuer, &listed, &script).is_ok(), "{location}");
        }
        for location in [
            "https://10.0.0.1/keys",
            "https://10.0.0.1:8444/keys",
            "https://10.0.0.2:8443/keys",
            "http://10.0.0.1:8443/keys",
        ] {
            let script = Script::new([discovery(issuer, location)]);
            assert!(fetch_from(issuer, &listed, &script).is_err(), "{location}");
        }
    }

    #[test]
    fn loopback_keys_are_for_development_alone() {
        let development = IssuerRules { allow_loopback_http: true, ..rules() };
        let issuer = "http://localhost:8080";
        for location in ["http://localhost:8080/jwks", "http://127.0.0.1:9000/jwks", "https://[::1]:1/jwks"] {
            let script = Script::new([discovery(issuer, location), good_keys()]);
            assert!(fetch_from(issuer, &development, &script).is_ok(), "{location}");
        }
        let script = Script::new([discovery(issuer, "http://keys.example.com/jwks")]);
        assert!(fetch_from(issuer, &development, &script).is_err());
    }

    /// The outcome, for the first or the second document.
    type Verdict = fn(Document) -> KeysError;

    #[test]
    fn an_outage_is_told_from_an_unusable_answer() {
        use {Document::Discovery, KeysError::Unavailable as Out, KeysError::Unusable as Bad};
        let too_long = format!("{}{KEYS}", " ".repeat(102_400));
        let table: Vec<(Verdict, Result<Inbound, FetchError>)> = vec![
            (|document| Out(document, Outage::Limited), answer(429, "")),
            (|document| Out(document, Outage::ServerError), answer(500, "")),
            (|document| Out(document, Outage::ServerError), answer(503, KEYS)),
            (|document| Out(document, Outage::ServerError), answer(599, "")),
            (|document| Out(document, Outage::ServerError), broken(502, BodyError::Interrupted)),
            (|document| Out(document, Outage::TimedOut), Err(FetchError::TimedOut)),
            (|document| Out(document, Outage::TimedOut), broken(200, BodyError::TimedOut)),
            (|document| Bad(document, Unusable::Status), answer(301, "")),
            (|document| Bad(document, Unusable::Status), answer(302, KEYS)),
            (|document| Bad(document, Unusable::Status), answer(304, "")),
            (|document| Bad(document, Unusable::Status), answer(201, KEYS)),
            (|document| Bad(document, Unusable::Status), answer(206, KEYS)),
            (|document| Bad(document, Unusable::Status), answer(401, "")),
            (|document| Bad(document, Unusable::Status), answer(404, KEYS)),
            (|document| Bad(document, Unusable::Status), answer(403, "")),
            (|document| Bad(document, Unusable::Status), broken(404, BodyError::Interrupted)),
            (|document| Bad(document, Unusable::TooLarge), broken(200, BodyError::TooLarge)),
            (|document| Bad(document, Unusable::TooLarge), answer(200, too_long)),
            (|document| Bad(document, Unusable::Json), answer(200, "")),
            (|document| Bad(document, Unusable::Json), answer(200, "<!doctype html>")),
            (|document| Bad(document, Unusable::Json), answer(200, "[]")),
            (|document| Bad(document, Unusable::Json), answer(200, "null")),
            (|document| Bad(document, Unusable::Json), answer(200, format!("{KEYS} {{}}"))),
            (|document| Bad(document, Unusable::Json), answer(200, &b"{\"issuer\":\"\xff\"}"[..])),
            (|document| Bad(document, Unusable::Json), answer(200, r#"{"issuer":"a","issuer":"a"}"#)),
            (
                |document| Bad(document, Unusable::Json),
                answer(200, format!("{{\"a\":{}{}}}", "[".repeat(16), "]".repeat(16))),
            ),
        ];
        for (expected, given) in table {
            let shown = format!("{given:?}");
            let again = given.as_ref().map_or_else(
                |error| Err(*error),
                |inbound| {
                    Ok(Inbound {
                        status: inbound.status,
                        headers: inbound.headers.clone(),
                        body: inbound.body.clone(),
                    })
                },
            );
            assert_eq!(fetched([given]), Err(expected(Discovery)), "{shown}");
            assert_eq!(fetched([good_discovery(), again]), Err(expected(Document::Keys)), "{shown}");
        }
    }

    #[test]
    fn only_a_failed_network_is_tried_once_more() {
        let down = || Err(FetchError::Network);
        let cut = || broken(200, BodyError::Interrupted);
        assert!(fetched([down(), good_discovery(), good_keys()]).is_ok());
        assert!(fetched([cut(), good_discovery(), cut(), good_keys()]).is_ok());
        assert!(fetched([good_discovery(), down(), good_keys()]).is_ok());
        let lost = |document| Err(KeysError::Unavailable(document, Outage::Network));
        assert_eq!(fetched([down(), down()]), lost(Document::Discovery));
        assert_eq!(fetched([down(), cut()]), lost(Document::Discovery));
        assert_eq!(fetched([good_discovery(), cut(), down()]), lost(Document::Keys));
        assert_eq!(
            fetched([down(), Err(FetchError::TimedOut)]),
            Err(KeysError::Unavailable(Document::Discovery, Outage::TimedOut))
        );
    }

    #[test]
    fn a_set_without_keys_or_with_too_many_is_unusable() {
        let unusable = |why| Err(KeysError::Unusable(Document::Keys, why));
        for none in [r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#] {
            assert_eq!(fetched([good_discovery(), answer(200, none)]), unusable(Unusable::NoKeys));
        }
        assert_eq!(fetched([good_discovery(), answer(200, "{}")]), unusable(Unusable::NoKeys));
        let many = json!({ "keys": vec![1; 101] }).to_string();
        assert_eq!(fetched([good_discovery(), answer(200, many)]), unusable(Unusable::TooManyKeys));
    }

    #[test]
    fn the_type_of_the_content_does_not_matter() {
        let mut keys = good_keys().unwrap();
        keys.headers.insert("content-type", HeaderValue::from_static("application/jwk-set+json"));
        assert!(fetched([good_discovery(), Ok(keys)]).is_ok());
    }

    #[test]
    fn cache_control_is_read_from_the_keys_alone() {
        let with = |mut inbound: Inbound, values: &[&str]| {
            for value in values {
                inbound.headers.append(CACHE_CONTROL, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            Ok(inbound)
        };
        for (values, expected) in [
            (&[][..], None),
            (&["max-age=3600"], Some(3600)),
            (&["public, Max-Age=\"60\" , must-revalidate"], Some(60)),
            (&["max-age=0"], Some(0)),
            (&["no-store"], Some(0)),
            (&["max-age=3600, no-cache"], Some(0)),
            (&["no-cache=\"set-cookie\", max-age=9"], Some(0)),
            (&["max-age=100", "max-age=50"], Some(50)),
            (&["max-age=99999999999999999999"], Some(u64::from(u32::MAX))),
            (&["max-age=-1"], None),
            (&["max-age=1.5"], None),
            (&["max-age"], None),
            (&["s-maxage=5, x-max-age=6, private"], None),
            (&["\u{ff}max-age=1", "max-age=2"], Some(2)),
        ] {
            let discovery = with(good_discovery().unwrap(), &["no-store"]);
            let fetched = fetched([discovery, with(good_keys().unwrap(), values)]).unwrap();
            assert_eq!(fetched.max_age, expected.map(Duration::from_secs), "{values:?}");
        }
    }

    #[test]
    fn messages_tell_the_document_and_not_the_answer() {
        assert_eq!(
            KeysError::Unavailable(Document::Discovery, Outage::ServerError).to_string(),
            "the discovery document of the token's issuer is not available"
        );
        assert_eq!(
            KeysError::Unusable(Document::Keys, Unusable::Status).to_string(),
            "the key set of the token's issuer is not usable: it is not served where it should be"
        );
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
