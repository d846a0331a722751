//! What GitHub's answer means. 404, 403, 422, 429, 5xx and silence are different facts and stay different variants.

use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, RETRY_AFTER};

use crate::ports::BodyError;
use crate::time::Timestamp;

const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// GitHub recommends a minute if it says nothing.
const DEFAULT_RATE_LIMIT_PAUSE: Duration = Duration::from_secs(60);

/// After a failure that may be over the next moment.
const DEFAULT_PAUSE: Duration = Duration::from_secs(5);

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Primary or secondary rate limit.
    RateLimited(RetryHint),
    /// 401: the credential is not valid (any more).
    Unauthorized,
    /// 403 other than a rate limit.
    Forbidden,
    /// 404.
    NotFound,
    /// 3xx, never followed: a renamed repository must not lead to another owner's. For most callers "not found".
    Redirected,
    /// 422: understood and refused.
    Unprocessable,
    /// 5xx.
    ServerError,
    /// A status that the call's page does not name (400, 410, 451, …).
    Unexpected,
    /// No answer within the time limit, or none at all.
    NoAnswer,
    /// 2xx whose body was cut off.
    BrokenOff,
    /// 2xx whose body is not as documented.
    Unreadable,
    /// 2xx whose body is longer than the call allows.
    TooLarge,
    /// The request could not be built.
    Unsendable,
}

/// When GitHub says that trying again makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryHint {
    /// `Retry-After`, in seconds.
    After(Duration),
    /// `X-RateLimit-Reset`, in seconds since the epoch.
    At(i64),
    /// GitHub did not say.
    Unknown,
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::TooLarge,
            BodyError::Interrupted | BodyError::TimedOut => Self::BrokenOff,
        }
    }
}

impl Failure {
    /// The `Retry-After` for the caller: what GitHub said, between a second and an hour.
    #[must_use]
    pub fn retry_after(self, now: Timestamp) -> Duration {
        let said = match self {
            Self::RateLimited(RetryHint::After(duration)) => duration,
            Self::RateLimited(RetryHint::At(seconds)) => {
                Duration::from_secs(u64::try_from(seconds.saturating_sub(now.unix_seconds())).unwrap_or(0))
            }
            Self::RateLimited(RetryHint::Unknown) => DEFAULT_RATE_LIMIT_PAUSE,
            Self::Unauthorized
            | Self::Forbidden
            | Self::NotFound
            | Self::Redirected
            | Self::Unprocessable
            | Self::ServerError
            | Self::Unexpected
            | Self::NoAnswer
            | Self::BrokenOff
            | Self::Unreadable
            | Self::TooLarge
            | Self::Unsendable => DEFAULT_PAUSE,
        };
        said.clamp(Duration::from_secs(1), Duration::from_secs(3600))
    }

    /// Stable, for logs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::RateLimited(_) => "rate_limited",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Redirected => "redirected",
            Self::Unprocessable => "unprocessable",
            Self::ServerError => "server_error",
            Self::Unexpected => "unexpected_status",
            Self::NoAnswer => "no_answer",
            Self::BrokenOff => "broken_off",
            Self::Unreadable => "unreadable",
            Self::TooLarge => "too_large",
            Self::Unsendable => "unsendable",
        }
    }
}

/// Lets 2xx pass. The rate-limit headers come first: GitHub sends them with 403, 429 and even 422.
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>
pub(super) fn classify(status: StatusCode, headers: &HeaderMap) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    Err(match status.as_u16() {
        429 => Failure::RateLimited(retry_hint(headers)),
        403 | 422 if is_rate_limit(headers) => Failure::RateLimited(retry_hint(headers)),
        401 => Failure::Unauthorized,
        403 => Failure::Forbidden,
        300..=399 => Failure::Redirected,
        404 => Failure::NotFound,
        422 => Failure::Unprocessable,
        500..=599 => Failure::ServerError,
        _ => Failure::Unexpected,
    })
}

fn is_rate_limit(headers: &HeaderMap) -> bool {
    headers.contains_key(RETRY_AFTER) || number(headers, &RATE_LIMIT_REMAINING) == Some(0)
}

fn retry_hint(headers: &HeaderMap) -> RetryHint {
    if let Some(seconds) = number(headers, &RETRY_AFTER) {
        return RetryHint::After(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    }
    number(headers, &RATE_LIMIT_RESET).map_or(RetryHint::Unknown, RetryHint::At)
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, headers: &[(&'static str, &'static str)]) -> Result<(), Failure> {
        let map = headers.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap())).collect();
        classify(StatusCode::from_u16(status).unwrap(), &map)
    }

    #[test]
    fn every_fact_has_its_variant() {
        for (status, failure) in [
            (301, Failure::Redirected),
            (302, Failure::Redirected),
            (400, Failure::Unexpected),
            (409, Failure::Unexpected),
            (410, Failure::Unexpected),
            (451, Failure::Unexpected),
            (401, Failure::Unauthorized),
            (403, Failure::Forbidden),
            (404, Failure::NotFound),
            (422, Failure::Unprocessable),
            (429, Failure::RateLimited(RetryHint::Unknown)),
            (500, Failure::ServerError),
            (503, Failure::ServerError),
        ] {
            assert_eq!(answered(status, &[]), Err(failure), "{status}");
        }
        assert_eq!(answered(201, &[("x-ratelimit-remaining", "0")]), Ok(()));
    }

    #[test]
    fn headers_decide_before_the_status() {
        let after = Failure::RateLimited(RetryHint::After(Duration::from_secs(60)));
        for status in [403, 422, 429] {
            assert_eq!(answered(status, &[("retry-after", "60")]), Err(after), "{status}");
            assert_eq!(
                answered(status, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795197600")]),
                Err(Failure::RateLimited(RetryHint::At(1_795_197_600))),
                "{status}"
            );
        }
        assert_eq!(answered(403, &[("x-ratelimit-remaining", "10")]), Err(Failure::Forbidden));
        assert_eq!(answered(500, &[("retry-after", "60")]), Err(Failure::ServerError));
    }
}
