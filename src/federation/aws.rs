//! AWS with `AssumeRoleWithWebIdentity`: the assertion becomes a session of a role, which signs requests or creates
//! Bedrock's short-term key. <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>

use std::ops::RangeInclusive;
use std::rc::Rc;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, Uri};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::credential::{ASSERTION_LIFETIME, Identity, NO_MANNERS, Provider, Reader, Trade};
use super::engine::{Granted, alive_until, body_of, form, post, send};
use super::failure::{NotGranted, Reason};
use super::members::Rule;
use super::sigv4::{Keys, Scope, Signer, bedrock_key};
use super::xml;
use crate::json::{Shape, parse_members};
use crate::ports::{Fetch, Inbound};
use crate::secret::Secret;
use crate::time::Timestamp;

pub(super) const KIND: &str = "aws";

pub(super) const AUDIENCE: &str = "sts.amazonaws.com";
pub(super) const BEDROCK: &str = "bedrock";

pub(super) const DEFAULT_SECONDS: u32 = 3600;
pub(super) const SESSION_SECONDS: RangeInclusive<u32> = 900..=43_200;

const ROLE: Rule = (is_role, "it is not the arn of a role, such as `arn:aws:iam::123456789012:role/example`");
const REGION: Rule = (is_label, "it is not a region, such as `eu-central-1`");
const SERVICE: Rule = (is_label, "it is not a service's signing name, such as `bedrock`");

/// What AWS accepts as a session's name.
const MAX_SESSION_NAME: usize = 64;

/// How much of a subject's hash a session's name shows: 64 bits.
const HASH_CHARACTERS: usize = 16;

/// A role in an account, what is called with it, and how.
#[derive(Debug)]
pub(super) struct Aws {
    url: Uri,
    role_arn: String,
    seconds: u32,
    session: String,
    names_subject: bool,
    scope: Rc<Scope>,
    sign: Sign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    SigV4,
    BedrockKey,
}

/// What a request gets.
#[derive(Debug)]
pub(super) enum AwsCredential {
    /// Bedrock's short-term key.
    Key(Secret),
    /// Something to sign it with.
    Signer(Signer),
}

pub(super) fn parse(reader: &mut Reader<'_>) -> Option<Trade> {
    let audience = reader.audience(Some(AUDIENCE));
    let identity = reader.identity();
    let name = reader.upstream.name;
    let members = reader.members()?;
    let role_arn = members.text("role_arn", ROLE);
    let region = members.text("region", REGION);
    let service = members.text("service", SERVICE);
    let seconds = members.number_or("session_seconds", DEFAULT_SECONDS, &SESSION_SECONDS);
    let sign = members.word("sign", &[("sigv4", Sign::SigV4), ("bedrock-key", Sign::BedrockKey)]);
    if sign == Some(Sign::BedrockKey) && service.as_deref().is_some_and(|service| service != BEDROCK) {
        members.problem("service", "it is not `bedrock`, whose key `bedrock-key` makes");
        return None;
    }
    let region = region?;
    let aws = Aws {
        url: format!("https://sts.{region}.amazonaws.com/").parse().ok()?,
        role_arn: role_arn?,
        seconds: seconds?,
        session: format!("sts-{name}"),
        names_subject: identity? != Identity::Service,
        scope: Rc::new(Scope { region, service: service? }),
        sign: sign?,
    };
    Some(Trade {
        kind: KIND,
        identity: identity?,
        audience: audience?,
        lifetime: ASSERTION_LIFETIME,
        provider: Provider::Aws(aws),
        manners: &NO_MANNERS,
    })
}

impl Aws {
    pub(super) const fn signs_bodies(&self) -> bool {
        matches!(self.sign, Sign::SigV4)
    }

    /// Exchanges an assertion about a subject for a session.
    pub(super) async fn trade(
        &self,
        assertion: &Secret,
        subject: &str,
        now: Timestamp,
        fetch: &dyn Fetch,
    ) -> Result<Granted<AwsCredential>, NotGranted> {
        let answer = send(self.request(assertion, subject)?, fetch).await?;
        let body = body_of(&answer, |body| code_of(body).map(|(code, _)| code)).map_err(|failure| {
            let is_temporary = answer.body.as_ref().is_ok_and(|body| is_temporary(body));
            if is_temporary { NotGranted { reason: Reason::Temporary, ..failure } } else { failure }
        })?;
        let session = Session::parse(body).ok_or_else(|| unreadable(&answer))?;
        let granted =
            alive_until(session.keys, session.end, now).map_err(|failure| failure.with(answer.status))?;
        let credential = match self.sign {
            Sign::SigV4 => {
                AwsCredential::Signer(Signer::new(Rc::new(granted.credential), Rc::clone(&self.scope)))
            }
            Sign::BedrockKey => {
                let key = bedrock_key(&granted.credential, &self.scope.region, granted.life, now);
                AwsCredential::Key(key.ok_or_else(|| unreadable(&answer))?)
            }
        };
        Ok(Granted { credential, life: granted.life })
    }

    fn request(&self, assertion: &Secret, subject: &str) -> Result<Request<Bytes>, NotGranted> {
        let session = self.session_name(subject);
        let seconds = self.seconds.to_string();
        let body = form(&[
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", &self.role_arn),
            ("RoleSessionName", &session),
            ("WebIdentityToken", assertion.expose()),
            ("DurationSeconds", &seconds),
        ]);
        let mut request = post(&self.url, "application/x-www-form-urlencoded", body)?;
        request.headers_mut().insert(ACCEPT, http::HeaderValue::from_static("application/json"));
        Ok(request)
    }

    /// The session's name in AWS's logs. A session that several callers share names none of them.
    fn session_name(&self, subject: &str) -> String {
        if !self.names_subject {
            return self.session.chars().take(MAX_SESSION_NAME).collect();
        }
        let hash: String = hex::encode(Sha256::digest(subject)).chars().take(HASH_CHARACTERS).collect();
        format!("{}-{hash}", self.session)
    }
}

fn unreadable(answer: &Inbound) -> NotGranted {
    NotGranted::of(Reason::Unreadable).with(answer.status)
}

struct Session {
    keys: Keys,
    end: Timestamp,
}

impl Session {
    /// The session in an answer, which is JSON if AWS honored the request for it, and otherwise XML.
    fn parse(body: &[u8]) -> Option<Self> {
        match parse_members(body, Shape::ALL) {
            Ok(json) => Self::of_json(json),
            Err(_) => Self::of_xml(body),
        }
    }

    fn of_json(mut json: Value) -> Option<Self> {
        let path = "/AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials";
        let members = json.pointer_mut(path)?.as_object_mut()?;
        let end = match members.get("Expiration")? {
            Value::String(text) => Timestamp::from_rfc3339(text),
            Value::Number(number) => whole_seconds(number).and_then(Timestamp::from_unix_seconds),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }?;
        let mut text = |name| match members.remove(name) {
            Some(Value::String(text)) => Some(Secret::new(text)),
            _ => None,
        };
        let keys = Keys::new(text("AccessKeyId")?, text("SecretAccessKey")?, text("SessionToken")?)?;
        Some(Self { keys, end })
    }

    fn of_xml(body: &[u8]) -> Option<Self> {
        let mut document = xml::parse(body)?;
        let mut text = |name: &str| {
            document.take(&[
                "AssumeRoleWithWebIdentityResponse",
                "AssumeRoleWithWebIdentityResult",
                "Credentials",
                name,
            ])
        };
        let end = Timestamp::from_rfc3339(text("Expiration")?.expose())?;
        let keys = Keys::new(text("AccessKeyId")?, text("SecretAccessKey")?, text("SessionToken")?)?;
        Some(Self { keys, end })
    }
}

/// AWS writes seconds as a number with an exponent or a fraction.
fn whole_seconds(number: &serde_json::Number) -> Option<i64> {
    number.as_i64().or_else(|| format!("{:.0}", number.as_f64()?.floor()).parse().ok())
}

/// `Code` and `Message` of a refusal.
fn code_of(body: &[u8]) -> Option<(String, String)> {
    if let Ok(json) = parse_members(body, Shape::ALL) {
        let text = |name: &str| Some(json.pointer(name)?.as_str()?.to_owned());
        return Some((text("/Error/Code")?, text("/Error/Message").unwrap_or_default()));
    }
    let mut document = xml::parse(body)?;
    let code = document.take(&["ErrorResponse", "Error", "Code"])?;
    let message = document.take(&["ErrorResponse", "Error", "Message"]);
    Some((code.expose().to_owned(), message.map(|text| text.expose().to_owned()).unwrap_or_default()))
}

/// AWS could not fetch our key set: the only refusal that can be distinguished from a final one just by its text.
fn is_temporary(body: &[u8]) -> bool {
    code_of(body).is_some_and(|(code, message)| {
        code == "IDPCommunicationError" || message.contains("Couldn't retrieve verification key")
    })
}

/// Whether an upstream's refusal says that the session has expired.
pub(super) fn says_expired(error_type: &str) -> bool {
    let name = error_type.split(':').next().unwrap_or_default();
    matches!(name, "ExpiredTokenException" | "UnrecognizedClientException")
}

fn is_role(text: &str) -> bool {
    let mut parts = text.splitn(6, ':');
    let fits = [
        |part: &str| part == "arn",
        |part: &str| part == "aws" || part.strip_prefix("aws-").is_some_and(is_label),
        |part: &str| part == "iam",
        |part: &str| part.is_empty(),
        |part: &str| part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_digit()),
        |part: &str| part.strip_prefix("role/").is_some_and(is_role_name),
    ]
    .into_iter()
    .all(|fits| parts.next().is_some_and(fits));
    fits && text.len() <= 2048
}

fn is_role_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@/-".contains(&byte))
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
