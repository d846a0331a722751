//! Why there is no credential. Of the provider's text, only its code is kept.

use std::time::Duration;

use http::StatusCode;

use crate::oidc::Quoted;
use crate::ports::FetchError;

/// The caller's message for every failure of an exchange.
const UNAVAILABLE: &str = "the upstream's credential is not available";

/// When to try again if the provider does not say.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why a request has no credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The caller's token may not be exchanged here.
    CallerToken(String),
    /// The calling principal's name is not a valid subject.
    Subject(String),
    /// No assertion, or nothing in exchange for it. Try again then.
    Unavailable(Duration),
    /// The Worker secret of this name is missing or empty.
    Secret(&'static str),
}

impl Failure {
    /// The text for the caller.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::CallerToken(text) | Self::Subject(text) => text.clone(),
            Self::Unavailable(_) => UNAVAILABLE.to_owned(),
            Self::Secret(name) => format!("the service is not configured: `{name}`"),
        }
    }

    pub(super) fn audience(audience: &str) -> Self {
        Self::CallerToken(format!("this upstream takes a token with the audience {}", Quoted(audience)))
    }

    pub(super) fn session() -> Self {
        Self::CallerToken("this upstream takes an oidc token and no session token".to_owned())
    }

    pub(super) fn subject() -> Self {
        Self::Subject(
            "the subject is too long: the token's issuer and subject together have more than 255 characters"
                .to_owned(),
        )
    }

    pub(super) fn unavailable(after: Option<Duration>) -> Self {
        Self::Unavailable(after.unwrap_or(RETRY_AFTER))
    }
}

/// A leg of an exchange that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotGranted {
    pub(super) reason: Reason,
    pub(super) status: Option<StatusCode>,
    /// The provider's code; never its text.
    pub(super) code: Option<String>,
    pub(super) retry_after: Option<Duration>,
    /// Which leg, if there are two.
    pub(super) leg: Option<&'static str>,
}

impl NotGranted {
    pub(super) const fn of(reason: Reason) -> Self {
        Self { reason, status: None, code: None, retry_after: None, leg: None }
    }

    /// The same of an answer with a status.
    pub(super) fn with(self, status: StatusCode) -> Self {
        Self { status: Some(status), ..self }
    }

    /// The word in the log.
    pub(super) fn fields(&self) -> Vec<(&'static str, &str)> {
        let status = self.status.as_ref().map(|status| ("status", status.as_str()));
        let code = self.code.as_deref().map(|code| ("code", code));
        let leg = self.leg.map(|leg| ("leg", leg));
        [leg, status, Some(("reason", self.reason.code())), code].into_iter().flatten().collect()
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The request cannot be written.
    NotSent,
    /// The host cannot be reached.
    Network,
    /// Not within the time limit.
    TimedOut,
    /// The answer broke off.
    Interrupted,
    /// The answer is above its cap.
    TooLarge,
    /// The provider said no.
    Refused,
    /// The provider said no for now.
    Temporary,
    /// A successful status, but an unexpected answer.
    Unreadable,
    /// The granted credential has already expired.
    Expired,
}

impl Reason {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Network => "network",
            Self::TimedOut => "timed_out",
            Self::Interrupted => "interrupted",
            Self::TooLarge => "too_large",
            Self::Refused => "refused",
            Self::Temporary => "temporary",
            Self::Unreadable => "unreadable",
            Self::Expired => "expired",
        }
    }
}

impl From<FetchError> for Reason {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Network => Self::Network,
            FetchError::TimedOut => Self::TimedOut,
        }
    }
}
