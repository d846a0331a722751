//! Why a token is not accepted, and how an HTTP server answers.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use octo_sts_verifier::oidc::bearer::BearerError;
use octo_sts_verifier::oidc::{self, IssuerError, KeysError, Quoted, TokenError};

/// What exactly failed, for the log. A caller gets only [`Refusal::public_message`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// A request without an `Authorization` header.
    NoCredential,
    /// An `Authorization` header that holds no bearer token.
    BadCredential(BearerError),
    /// Not a token, or an expired one.
    Token(TokenError),
    /// From an issuer that is not accepted here.
    Issuer(IssuerError),
    /// The signature or the claims are refused.
    Verify(oidc::VerifyError),
    /// Intended for somebody else; the text is the audience, or the first of several.
    Audience(String),
    /// The issuer's answer contains no usable keys.
    NoKeys(Option<KeysError>),
    /// The issuer did not answer, and there are no usable cached keys.
    Unavailable(Option<KeysError>),
    /// No rule of `allow` admits the token; the text names the failing step.
    Denied(String),
}

/// A token that is not accepted.
///
/// ```
/// let verifier = octo_sts::Verifier::builder()
///     .issuer("https://token.actions.githubusercontent.com")
///     .audience("api.example.com")
///     .build()?;
/// let refusal = verifier.verify_blocking("a.b.c").unwrap_err();
/// // For whoever sent it:
/// assert_eq!((refusal.status().as_u16(), refusal.public_message()), (401, "the token is not accepted"));
/// // For the log:
/// assert_eq!(refusal.code(), "header_encoding");
/// assert_eq!(refusal.to_string(), "the token's header is not strict base64url");
/// # Ok::<(), octo_sts::BuildError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    failure: Failure,
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn unavailable(error: Option<KeysError>, retry_after: Duration) -> Self {
        Self { failure: Failure::Unavailable(error), retry_after: Some(retry_after) }
    }

    /// What failed.
    #[must_use]
    pub const fn failure(&self) -> &Failure {
        &self.failure
    }

    /// The stable name of the rule that failed, without any value.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match &self.failure {
            Failure::NoCredential => "no_credential",
            Failure::BadCredential(_) => "bad_credential",
            Failure::Token(error) => error.code(),
            Failure::Issuer(error) => error.code(),
            Failure::Verify(error) => error.code(),
            Failure::Audience(_) => "audience",
            Failure::NoKeys(Some(error)) | Failure::Unavailable(Some(error)) => error.code(),
            Failure::NoKeys(None) => "issuer_keys",
            Failure::Unavailable(None) => "issuer_unavailable",
            Failure::Denied(_) => "denied",
        }
    }

    /// The HTTP status: 401 for the token, 403 for a rule, 503 if the issuer cannot be reached.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match &self.failure {
            Failure::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Failure::Denied(_) => StatusCode::FORBIDDEN,
            Failure::NoCredential
            | Failure::BadCredential(_)
            | Failure::Token(_)
            | Failure::Issuer(_)
            | Failure::Verify(_)
            | Failure::Audience(_)
            | Failure::NoKeys(_) => StatusCode::UNAUTHORIZED,
        }
    }

    /// What a caller may know: for a token only that it is not accepted, for a rule the step that failed.
    #[must_use]
    pub fn public_message(&self) -> &str {
        match &self.failure {
            Failure::NoCredential => "a bearer token is required",
            Failure::Denied(step) => step,
            Failure::Unavailable(_) => "the token's issuer did not answer",
            Failure::BadCredential(_)
            | Failure::Token(_)
            | Failure::Issuer(_)
            | Failure::Verify(_)
            | Failure::Audience(_)
            | Failure::NoKeys(_) => "the token is not accepted",
        }
    }

    /// The `WWW-Authenticate` header (RFC 6750 section 3) of a 401 or 403.
    #[must_use]
    pub const fn challenge(&self) -> Option<&'static str> {
        match &self.failure {
            Failure::NoCredential => Some("Bearer"),
            Failure::Denied(_) => Some("Bearer error=\"insufficient_scope\""),
            Failure::Unavailable(_) => None,
            Failure::BadCredential(_)
            | Failure::Token(_)
            | Failure::Issuer(_)
            | Failure::Verify(_)
            | Failure::Audience(_)
            | Failure::NoKeys(_) => Some("Bearer error=\"invalid_token\""),
        }
    }

    /// When to try again, if that may help.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The same in whole seconds, at least one, for `Retry-After`.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|rest| rest.as_secs().max(1))
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { failure, retry_after: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            Failure::NoCredential => f.write_str("the `authorization` header is missing"),
            Failure::BadCredential(why) => write!(f, "{why}"),
            Failure::Token(error) => error.fmt(f),
            Failure::Issuer(error) => error.fmt(f),
            Failure::Verify(error) => error.fmt(f),
            Failure::Audience(audience) => {
                write!(f, "the token's audience {} is not this server", Quoted(audience))
            }
            Failure::NoKeys(Some(error)) | Failure::Unavailable(Some(error)) => error.fmt(f),
            Failure::NoKeys(None) => f.write_str("the token's issuer publishes no usable keys"),
            Failure::Unavailable(None) => f.write_str("the token's issuer did not answer"),
            Failure::Denied(step) => f.write_str(step),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.failure {
            Failure::Token(error) => Some(error),
            Failure::Issuer(error) => Some(error),
            Failure::Verify(error) => Some(error),
            Failure::NoKeys(Some(error)) | Failure::Unavailable(Some(error)) => Some(error),
            Failure::NoCredential
            | Failure::BadCredential(_)
            | Failure::Audience(_)
            | Failure::NoKeys(None)
            | Failure::Unavailable(None)
            | Failure::Denied(_) => None,
        }
    }
}
