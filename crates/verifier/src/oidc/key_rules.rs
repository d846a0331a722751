//! How long an issuer's keys are valid, and what a failed fetch means for existing ones. These are only rules: the
//! caller stores the keys, in a Worker's cache or a program's memory.

use std::time::Duration;

use super::discovery::KeysError;

/// How long keys are fresh if the issuer says nothing, and the bounds of what it may say.
const FRESH_FOR: Duration = Duration::from_secs(15 * 60);
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);

/// How much longer keys are used while the issuer does not answer.
pub const STALE_FOR: Duration = Duration::from_secs(3600);

/// After a failed fetch, and after one for an unknown key, the next one waits this long.
pub const COOL_DOWN: Duration = Duration::from_secs(60);

/// The result of a fetch of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchOutcome {
    /// There are keys.
    Fetched,
    /// The issuer did not answer; later it may.
    Unavailable,
    /// The issuer's answer contains no usable keys.
    Unusable,
}

impl From<KeysError> for FetchOutcome {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Unavailable(..) => Self::Unavailable,
            KeysError::Unusable(..) => Self::Unusable,
        }
    }
}

/// Whether keys may be used at their age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeysAge {
    /// They are fresh.
    Fresh,
    /// They must be fetched again, but are used while the issuer does not answer.
    Stale,
    /// They must not be used.
    Over,
}

impl KeysAge {
    /// What `age` means for keys that are fresh for `fresh_for`.
    #[must_use]
    pub fn of(age: Duration, fresh_for: Duration) -> Self {
        if age < fresh_for {
            Self::Fresh
        } else if age < fresh_for + STALE_FOR {
            Self::Stale
        } else {
            Self::Over
        }
    }

    /// Whether keys of this age are used after this result of the last fetch. Stale keys are used only while the issuer
    /// does not answer: an issuer that gives another answer may have withdrawn them.
    #[must_use]
    pub fn serves(self, outcome: FetchOutcome) -> bool {
        match self {
            Self::Fresh => true,
            Self::Stale => outcome == FetchOutcome::Unavailable,
            Self::Over => false,
        }
    }
}

/// How long fetched keys are fresh: what the issuer says, from a minute to an hour, or else a quarter of an hour.
///
/// ```
/// use std::time::Duration;
/// use octo_sts_verifier::oidc::fresh_for;
/// assert_eq!(fresh_for(None), Duration::from_secs(900));
/// assert_eq!(fresh_for(Some(Duration::ZERO)), Duration::from_secs(60));
/// ```
#[must_use]
pub fn fresh_for(max_age: Option<Duration>) -> Duration {
    max_age.unwrap_or(FRESH_FOR).clamp(SHORTEST, LONGEST)
}

/// How long the last attempt, made `ago`, still blocks the next one.
#[must_use]
pub fn cool_down_left(ago: Duration) -> Option<Duration> {
    COOL_DOWN.checked_sub(ago).filter(|rest| !rest.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_issuer_may_shorten_and_lengthen_within_bounds() {
        for (said, held) in [(0, 60), (59, 60), (60, 60), (300, 300), (3600, 3600), (86_400, 3600)] {
            assert_eq!(fresh_for(Some(seconds(said))), seconds(held), "{said}");
        }
    }

    #[test]
    fn stale_keys_serve_only_while_the_issuer_does_not_answer() {
        use FetchOutcome::{Fetched, Unavailable, Unusable};
        for (age, expected) in [
            (0, [true; 3]),
            (899, [true; 3]),
            (900, [false, true, false]),
            (4499, [false, true, false]),
            (4500, [false; 3]),
        ] {
            let age = KeysAge::of(seconds(age), seconds(900));
            assert_eq!(
                [Fetched, Unavailable, Unusable].map(|outcome| age.serves(outcome)),
                expected,
                "{age:?}"
            );
        }
    }

    #[test]
    fn an_attempt_forbids_the_next_for_a_minute() {
        assert_eq!(cool_down_left(Duration::ZERO), Some(COOL_DOWN));
        assert_eq!(cool_down_left(seconds(59)), Some(seconds(1)));
        assert_eq!(cool_down_left(seconds(60)), None);
    }
}
