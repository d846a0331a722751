//! The claims of a token: which must be there, their shapes, and their times.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value};

use super::quoted::Quoted;
use crate::time::Timestamp;

/// For subjects and audiences, as the Go service has it (OIDC Core 2 has it for `sub`).
const MAX_CHARACTERS: usize = 255;

/// No issuer is known to name more than a few.
const MAX_AUDIENCES: usize = 32;

/// How far an issuer's clock may be ahead of ours.
const CLOCK_LEEWAY: Duration = Duration::from_secs(60);

/// Why claims are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimsError {
    /// A required claim is not there.
    Missing(&'static str),
    /// A claim that must be a text is not.
    NotText(&'static str),
    /// A claim that must be a time is not a number from 0 to the end of the year 9999.
    NotTime(&'static str),
    /// `sub` has a shape that no policy could name safely.
    Subject(String),
    /// `aud` is neither a text nor an array of 1 to 32 texts.
    Audiences,
    /// One audience has a shape that no policy could name safely.
    Audience(String),
    /// `exp` is not after now.
    Expired(Timestamp),
    /// `iat` is more than a minute ahead.
    IssuedInFuture(Timestamp),
    /// `nbf` is more than a minute ahead.
    NotYetValid(Timestamp),
    /// `exp` is not after `iat`.
    ExpiresBeforeIssued,
    /// From `iat` to `exp` is longer than the server takes.
    Lifetime(Duration),
}

impl ClaimsError {
    /// A stable name without any value.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "claim_missing",
            Self::NotText(_) => "claim_not_text",
            Self::NotTime(_) => "claim_not_time",
            Self::Subject(_) => "subject_shape",
            Self::Audiences => "audience_count",
            Self::Audience(_) => "audience_shape",
            Self::Expired(_) => "expired",
            Self::IssuedInFuture(_) => "issued_in_future",
            Self::NotYetValid(_) => "not_yet_valid",
            Self::ExpiresBeforeIssued => "expires_before_issued",
            Self::Lifetime(_) => "lifetime",
        }
    }
}

impl fmt::Display for ClaimsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "the token has no claim `{name}`"),
            Self::NotText(name) => write!(f, "the token's claim `{name}` is not a text"),
            Self::NotTime(name) => {
                write!(f, "the token's claim `{name}` is not a time in seconds since 1970")
            }
            Self::Subject(subject) => {
                write!(
                    f,
                    "the token's subject {} has a character or length that is not allowed",
                    Quoted(subject)
                )
            }
            Self::Audiences => {
                write!(f, "the token's audience is neither a text nor a list of 1 to {MAX_AUDIENCES} texts")
            }
            Self::Audience(audience) => {
                write!(
                    f,
                    "the token's audience {} has a character or length that is not allowed",
                    Quoted(audience)
                )
            }
            Self::Expired(at) => write!(f, "the token expired at `{}`", at.to_rfc3339()),
            Self::IssuedInFuture(at) => {
                write!(f, "the token was issued in the future, at `{}`", at.to_rfc3339())
            }
            Self::NotYetValid(at) => write!(f, "the token is not valid before `{}`", at.to_rfc3339()),
            Self::ExpiresBeforeIssued => f.write_str("the token expires before it was issued"),
            Self::Lifetime(lifetime) => {
                write!(
                    f,
                    "the token's lifetime of `{}` seconds is longer than this server accepts",
                    lifetime.as_secs()
                )
            }
        }
    }
}

impl std::error::Error for ClaimsError {}

/// A text that has the shape of a subject: 1 to 255 printable characters without quotes, brackets, white space and
/// the characters that shells and markup act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectShape(String);

/// A text that has the shape of an audience: as a subject, and without `|` and `@`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudienceShape(String);

impl SubjectShape {
    /// The subject.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AudienceShape {
    /// The audience.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SubjectShape {
    type Err = ClaimsError;

    fn from_str(text: &str) -> Result<Self, ClaimsError> {
        if is_identifier(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ClaimsError::Subject(text.to_owned()))
        }
    }
}

impl FromStr for AudienceShape {
    type Err = ClaimsError;

    fn from_str(text: &str) -> Result<Self, ClaimsError> {
        if is_identifier(text) && !text.contains(['|', '@']) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ClaimsError::Audience(text.to_owned()))
        }
    }
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_CHARACTERS && text.chars().all(is_identifier_character)
}

fn is_identifier_character(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_graphic()
            && !matches!(
                character,
                '"' | '\'' | '`' | '\\' | '<' | '>' | ';' | '&' | '$' | '(' | ')' | '{' | '}' | '[' | ']'
            );
    }
    is_printable(character)
}

/// Letters, marks, numbers, punctuation and symbols: Go's `unicode.IsPrint`. The standard library knows it too, but
/// only tells through `str::escape_debug`, which escapes what is not printable. Marks are escaped at the start of a
/// text, hence the letter before.
fn is_printable(character: char) -> bool {
    let mut buffer = String::with_capacity(5);
    buffer.push('a');
    buffer.push(character);
    buffer.escape_debug().eq(buffer.chars())
}

/// The claims of a token, well-formed: `iss`, `sub` and `aud` are there and have their shapes. No authority: anybody
/// can make them.
///
/// ```
/// use octo_sts_worker::oidc::Claims;
/// let object = serde_json::json!({"iss": "https://example.com", "sub": "repo:acme/app", "aud": "sts.example.com"});
/// let claims = Claims::from_object(object.as_object().unwrap().clone())?;
/// assert_eq!(claims.subject(), "repo:acme/app");
/// assert_eq!(claims.audiences(), ["sts.example.com"]);
/// # Ok::<(), octo_sts_worker::oidc::ClaimsError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    issuer: String,
    subject: String,
    audiences: Vec<String>,
    all: Map<String, Value>,
}

impl Claims {
    /// Reads the claims. Times are not looked at: whether a token is valid now is for [`super::verify`].
    ///
    /// # Errors
    /// When `iss`, `sub` or `aud` is missing or has another shape.
    pub fn from_object(all: Map<String, Value>) -> Result<Self, ClaimsError> {
        let issuer = required_text(&all, "iss")?.to_owned();
        let SubjectShape(subject) = required_text(&all, "sub")?.parse()?;
        let audiences = match all.get("aud") {
            None => return Err(ClaimsError::Missing("aud")),
            Some(Value::String(audience)) => vec![checked_audience(audience)?],
            Some(Value::Array(list)) if (1..=MAX_AUDIENCES).contains(&list.len()) => list
                .iter()
                .map(|audience| audience.as_str().ok_or(ClaimsError::Audiences).and_then(checked_audience))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(ClaimsError::Audiences),
        };
        Ok(Self { issuer, subject, audiences, all })
    }

    /// `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// `aud`, as a list even where the token has a single text.
    #[must_use]
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Any claim by its exact name.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.all.get(name)
    }

    /// All claims.
    #[must_use]
    pub const fn all(&self) -> &Map<String, Value> {
        &self.all
    }
}

fn checked_audience(text: &str) -> Result<String, ClaimsError> {
    text.parse().map(|AudienceShape(audience)| audience)
}

fn required_text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, ClaimsError> {
    claims.get(name).ok_or(ClaimsError::Missing(name))?.as_str().ok_or(ClaimsError::NotText(name))
}

/// A required time (RFC 7519, `NumericDate`: seconds, possibly with a fraction).
pub(super) fn numeric_date(
    claims: &Map<String, Value>,
    name: &'static str,
) -> Result<Timestamp, ClaimsError> {
    let number = match claims.get(name) {
        None => return Err(ClaimsError::Missing(name)),
        Some(Value::Number(number)) => number,
        Some(_) => return Err(ClaimsError::NotTime(name)),
    };
    let moment = match number.as_i64() {
        Some(seconds) if seconds >= 0 => Timestamp::from_unix_seconds(seconds),
        Some(_) => None,
        // A fraction, or a number beyond `i64`. This conversion refuses what is negative, not finite or too large.
        None => number
            .as_f64()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|since_epoch| i64::try_from(since_epoch.as_millis()).ok())
            .and_then(Timestamp::from_unix_millis),
    };
    moment.ok_or(ClaimsError::NotTime(name))
}

/// Whether a token with these claims is valid now.
pub(super) fn check_times(
    claims: &Map<String, Value>,
    max_lifetime: Duration,
    now: Timestamp,
) -> Result<(), ClaimsError> {
    let expires_at = numeric_date(claims, "exp")?;
    let issued_at = numeric_date(claims, "iat")?;
    // No leeway here: a token that is over has been replaced by its issuer long ago.
    if expires_at <= now {
        return Err(ClaimsError::Expired(expires_at));
    }
    if issued_at > now.plus(CLOCK_LEEWAY) {
        return Err(ClaimsError::IssuedInFuture(issued_at));
    }
    if claims.contains_key("nbf") {
        let not_before = numeric_date(claims, "nbf")?;
        if not_before > now.plus(CLOCK_LEEWAY) {
            return Err(ClaimsError::NotYetValid(not_before));
        }
    }
    if expires_at <= issued_at {
        return Err(ClaimsError::ExpiresBeforeIssued);
    }
    let lifetime = expires_at.since(issued_at);
    if lifetime > max_lifetime {
        return Err(ClaimsError::Lifetime(lifetime));
    }
    Ok(())
}
