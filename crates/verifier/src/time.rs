//! Instants as plain values. The platform reads `now` once per request and passes it down as an argument.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};

/// A moment, in milliseconds since the Unix epoch. Ordered; may lie before the epoch (a hostile claim says so).
///
/// ```
/// use std::time::Duration;
/// use octo_sts_verifier::time::Timestamp;
/// let issued = Timestamp::from_unix_seconds(1_800_000_000).unwrap();
/// assert_eq!(issued.plus(Duration::from_secs(60)).since(issued), Duration::from_secs(60));
/// assert_eq!(issued.to_rfc3339(), "2027-01-15T08:00:00.000Z");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// No honest clock, claim or answer goes beyond this (the year 9999), and RFC 3339 cannot express it.
const MAX_UNIX_SECONDS: i64 = 253_402_300_799;

impl Timestamp {
    /// From whole seconds, as in JWT claims and most headers. `None` outside the years 1 to 9999.
    #[must_use]
    pub const fn from_unix_seconds(seconds: i64) -> Option<Self> {
        if seconds > MAX_UNIX_SECONDS || seconds < -62_135_596_800 {
            None
        } else {
            Some(Self(seconds * 1000))
        }
    }

    /// From milliseconds, as platforms count. `None` outside the years 1 to 9999.
    #[must_use]
    pub const fn from_unix_millis(millis: i64) -> Option<Self> {
        match Self::from_unix_seconds(millis.div_euclid(1000)) {
            Some(_) => Some(Self(millis)),
            None => None,
        }
    }

    /// From RFC 3339 text, as GitHub writes `expires_at`.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        Self::from_unix_millis(DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis())
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn unix_millis(self) -> i64 {
        self.0
    }

    /// RFC 3339 in UTC with milliseconds, as in audit events.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        DateTime::from_timestamp_millis(self.0)
            .unwrap_or_default()
            .to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// How long ago `earlier` was; zero if it is in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This moment moved into the future.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment moved into the past.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_rfc3339() {
        let moment = Timestamp::from_rfc3339("2026-11-20T18:00:00Z").unwrap();
        assert_eq!(moment.unix_seconds(), 1_795_197_600);
        assert_eq!(moment.to_rfc3339(), "2026-11-20T18:00:00.000Z");
        assert_eq!(Timestamp::from_rfc3339("2026-11-20T19:00:00+01:00"), Some(moment));
        assert_eq!(Timestamp::from_rfc3339("soon"), None);
    }

    #[test]
    fn refuses_what_no_calendar_holds() {
        assert_eq!(Timestamp::from_unix_seconds(i64::MAX), None);
        assert_eq!(Timestamp::from_unix_seconds(i64::MIN), None);
        assert_eq!(Timestamp::from_unix_millis(i64::MAX), None);
    }

    #[test]
    fn a_moment_ahead_is_no_time_ago() {
        let now = Timestamp::from_unix_seconds(100).unwrap();
        assert_eq!(now.since(now.plus(Duration::from_secs(5))), Duration::ZERO);
        assert_eq!(now.since(now.minus(Duration::from_secs(5))), Duration::from_secs(5));
    }
}
