//! The OAuth exchange: a POST that exchanges an assertion for an access token (RFC 8693, RFC 7523, RFC 6749 4.4 with
//! RFC 7523 2.2). Its request and its answer are values, and providers are configurations of it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use serde_json::{Map, Value};

use super::failure::{NotGranted, Reason};
use crate::json::{Shape, parse_members};
use crate::ports::{BodyError, Fetch, Inbound, Outbound};
use crate::secret::Secret;
use crate::time::Timestamp;

/// From sending to the last byte.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of an answer.
const MAX_ANSWER: usize = 64 * 1024;

/// Bytes of a token: what every header can hold.
const MAX_TOKEN: usize = 16 * 1024;

/// The default if a provider omits what RFC 6749 only recommends.
const DEFAULT_LIFE: Duration = Duration::from_secs(3600);

pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub(super) const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// How the members of a request are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// `application/x-www-form-urlencoded`
    Form,
    /// `application/json`
    Json,
}

/// An exchange, without the assertion.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) url: Uri,
    pub(super) encoding: Encoding,
    /// Only for the exchange.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// All members but the assertion.
    pub(super) members: Vec<(String, String)>,
    /// The member that the assertion is in.
    pub(super) assertion: &'static str,
    /// If the provider says more than OAuth's `error`.
    pub(super) code: fn(&Map<String, Value>) -> Option<String>,
}

/// The result of an exchange.
#[derive(Debug)]
pub(super) struct Granted<T> {
    pub(super) credential: T,
    /// Counted from before the exchange was sent.
    pub(super) life: Duration,
}

impl Exchange {
    /// The request.
    pub(super) fn request(&self, assertion: &Secret) -> Result<Request<Bytes>, NotGranted> {
        let members = self.members.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let members: Vec<(&str, &str)> = members.chain([(self.assertion, assertion.expose())]).collect();
        let (content_type, body) = match self.encoding {
            Encoding::Form => ("application/x-www-form-urlencoded", form(&members)),
            Encoding::Json => {
                let object = members.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
                ("application/json", Value::Object(object.collect()).to_string())
            }
        };
        let mut request = post(&self.url, content_type, body)?;
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        Ok(request)
    }

    /// Exchanges an assertion.
    pub(super) async fn trade(
        &self,
        assertion: &Secret,
        fetch: &dyn Fetch,
    ) -> Result<Granted<Secret>, NotGranted> {
        let answer = send(self.request(assertion)?, fetch).await?;
        let body = body_of(&answer, |body| oauth_code(body, self.code))?;
        access_token(body).map_err(|failure| failure.with(answer.status))
    }
}

/// A POST that asks for JSON.
pub(super) fn post(
    url: &Uri,
    content_type: &'static str,
    body: String,
) -> Result<Request<Bytes>, NotGranted> {
    Request::builder()
        .method(Method::POST)
        .uri(url.clone())
        .header(CONTENT_TYPE, content_type)
        .header(ACCEPT, "application/json")
        .body(Bytes::from(body))
        .map_err(|_| NotGranted::of(Reason::NotSent))
}

/// Sends one leg.
pub(super) async fn send(request: Request<Bytes>, fetch: &dyn Fetch) -> Result<Inbound, NotGranted> {
    let outbound = Outbound { request, timeout: TIMEOUT, max_body: MAX_ANSWER };
    fetch.send(outbound).await.map_err(|error| NotGranted::of(error.into()))
}

/// The body of a successful answer; from any other, only the provider's code.
pub(super) fn body_of(
    answer: &Inbound,
    code: impl Fn(&[u8]) -> Option<String>,
) -> Result<&Bytes, NotGranted> {
    let refusal = |reason| NotGranted { status: Some(answer.status), ..NotGranted::of(reason) };
    if answer.status.is_success() {
        return answer.body.as_ref().map_err(|error| {
            refusal(match error {
                BodyError::TooLarge => Reason::TooLarge,
                BodyError::Interrupted => Reason::Interrupted,
                BodyError::TimedOut => Reason::TimedOut,
            })
        });
    }
    let code = answer.body.as_ref().ok().and_then(|body| code(body)).and_then(|code| plain_code(&code));
    Err(NotGranted { code, retry_after: retry_after(answer), ..refusal(Reason::Refused) })
}

/// `access_token` and `expires_in` (RFC 6749, 5.1).
fn access_token(body: &[u8]) -> Result<Granted<Secret>, NotGranted> {
    const SHAPE: Shape = Shape(&[("access_token", Shape::ALL), ("expires_in", Shape::ALL)]);
    let unreadable = || NotGranted::of(Reason::Unreadable);
    let Ok(Value::Object(mut members)) = parse_members(body, SHAPE) else { return Err(unreadable()) };
    let credential = members.remove("access_token").and_then(token).ok_or_else(unreadable)?;
    let life = match members.get("expires_in") {
        None => DEFAULT_LIFE,
        // Some providers write the number as a text.
        Some(value) => {
            let seconds = value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
            Duration::from_secs(seconds.ok_or_else(unreadable)?)
        }
    };
    alive(credential, life)
}

/// A credential that expires at once is useless.
pub(super) fn alive<T>(credential: T, life: Duration) -> Result<Granted<T>, NotGranted> {
    if life.is_zero() { Err(NotGranted::of(Reason::Expired)) } else { Ok(Granted { credential, life }) }
}

/// The same for a credential that expires at an instant.
pub(super) fn alive_until<T>(
    credential: T,
    end: Timestamp,
    now: Timestamp,
) -> Result<Granted<T>, NotGranted> {
    alive(credential, end.since(now))
}

/// Text that is a valid header value.
pub(super) fn token(value: Value) -> Option<Secret> {
    let Value::String(text) = value else { return None };
    let token = Secret::new(text);
    let is_token = (1..=MAX_TOKEN).contains(&token.expose().len())
        && token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    is_token.then_some(token)
}

/// The code of an OAuth refusal: `error`, or the code in its object.
pub(super) fn oauth_code(body: &[u8], more: fn(&Map<String, Value>) -> Option<String>) -> Option<String> {
    let Ok(Value::Object(members)) = parse_members(body, Shape::ALL) else { return None };
    more(&members).or_else(|| match members.get("error")? {
        Value::String(code) => Some(code.clone()),
        // Google has a number in `code`, Anthropic a `type` alone. OpenAI's `type` is the same for everything.
        Value::Object(error) => {
            ["status", "code", "type"].iter().find_map(|name| Some(error.get(*name)?.as_str()?.to_owned()))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    })
}

/// For providers that say no more than OAuth.
pub(super) const fn nothing_more(_: &Map<String, Value>) -> Option<String> {
    None
}

/// A code goes to the log, so it must look like one: whoever wrote the answer had a secret of ours.
fn plain_code(code: &str) -> Option<String> {
    let is_code = (1..=64).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    is_code.then(|| code.to_owned())
}

/// When to try again, in seconds, as the provider says.
fn retry_after(answer: &Inbound) -> Option<Duration> {
    let seconds = answer.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).clamp(Duration::from_secs(1), Duration::from_secs(300)))
}

/// `application/x-www-form-urlencoded`
pub(super) fn form(members: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("{}={}", percent_encoded(name), percent_encoded(value)))
        .collect();
    pairs.join("&")
}

/// Percent-encoding of everything but the unreserved characters (RFC 3986, 2.3), which every reader understands in the
/// same way.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
