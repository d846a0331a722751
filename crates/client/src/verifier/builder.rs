//! What a verifier accepts, asked for part by part and checked at the end.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use octo_sts_verifier::oidc::{
    self, AudienceShape, ClaimsError, Issuer, IssuerError, IssuerRules, VerifyRules,
};
use octo_sts_verifier::time::Timestamp;

use super::{Inner, Verifier};
use crate::issuer_keys::{IssuerKeys, Surroundings};
use crate::transport::{NativeTransport, Transport};

/// From `iat` to `exp`, by default. The service has the same default.
const MAX_LIFETIME: Duration = Duration::from_secs(86_400);

/// Each has a key set in memory.
const MAX_ISSUERS: usize = 64;

/// What a [`Verifier`] accepts. Issuer and audience are required: there is no "anybody".
///
/// ```
/// use octo_sts::{BuildError, Verifier};
/// let without_audience = Verifier::builder().issuer("https://token.actions.githubusercontent.com").build();
/// assert_eq!(without_audience.unwrap_err(), BuildError::NoAudience);
/// ```
pub struct VerifierBuilder {
    issuers: Vec<String>,
    audiences: Vec<String>,
    max_lifetime: Duration,
    allow_loopback_http: bool,
    transport: Option<Arc<dyn Transport>>,
    clock: Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>,
    #[cfg(feature = "allow")]
    allow: Vec<String>,
}

/// Why there is no verifier.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// No issuer was named.
    NoIssuer,
    /// More than 64 issuers.
    TooManyIssuers,
    /// Text that is not an issuer, or an issuer with plain HTTP.
    Issuer(IssuerError),
    /// No audience was named. Without one, a token for another server would work here.
    NoAudience,
    /// Text that no token can have as its audience.
    Audience(ClaimsError),
    /// A rule of `allow` is not in the language of trust policies; the texts are one line for each problem.
    Allow(Vec<String>),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoIssuer => f.write_str(
                "no issuer is named; for GitHub Actions it is `https://token.actions.githubusercontent.com`",
            ),
            Self::TooManyIssuers => write!(f, "more than {MAX_ISSUERS} issuers"),
            Self::Issuer(error) => error.fmt(f),
            Self::NoAudience => f.write_str("no audience is named; use the host name of your server"),
            Self::Audience(ClaimsError::Audience(audience)) => write!(
                f,
                "the audience {} has a character or length that is not allowed",
                oidc::Quoted(audience)
            ),
            Self::Audience(error) => error.fmt(f),
            Self::Allow(problems) => write!(f, "a rule is not valid: {}", problems.join("; ")),
        }
    }
}

impl std::error::Error for BuildError {}

impl VerifierBuilder {
    pub(super) fn new() -> Self {
        Self {
            issuers: Vec::new(),
            audiences: Vec::new(),
            max_lifetime: MAX_LIFETIME,
            allow_loopback_http: false,
            transport: None,
            clock: None,
            #[cfg(feature = "allow")]
            allow: Vec::new(),
        }
    }

    /// Accepts tokens of this issuer; may be called several times. Compared byte for byte. An issuer named here may be
    /// inside your own network; plain HTTP is still refused.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    /// Accepts tokens for this audience; may be called several times, and one must match.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// The longest time from `iat` to `exp`. A day by default.
    #[must_use]
    pub const fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = lifetime;
        self
    }

    /// Admits `http` on `localhost`, `127.0.0.1` and `[::1]`. For development and tests.
    #[must_use]
    pub const fn allow_loopback_http(mut self, allow: bool) -> Self {
        self.allow_loopback_http = allow;
        self
    }

    /// A rule in the language of trust policies, as YAML or JSON: `issuer`, `subject`, `audience`, their `_pattern`
    /// forms, and `claim_pattern`. May be called several times; one rule that holds suffices. Without any rule every
    /// verified token is admitted; a token that no rule admits is [`Failure::Denied`](crate::Failure::Denied).
    ///
    /// ```
    /// # fn main() -> Result<(), octo_sts::BuildError> {
    /// let verifier = octo_sts::Verifier::builder()
    ///     .issuer("https://token.actions.githubusercontent.com")
    ///     .audience("api.example.com")
    ///     .allow("
    /// issuer: https://token.actions.githubusercontent.com
    /// subject_pattern: repo:acme/[^:/]+:ref:refs/heads/main
    /// claim_pattern: {event_name: push}
    /// ")
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "allow")]
    #[must_use]
    pub fn allow(mut self, rule: impl Into<String>) -> Self {
        self.allow.push(rule.into());
        self
    }

    /// A transport other than the machine's network.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// A clock other than the machine's, for tests.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Checks the settings. Nothing is fetched before the first token.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(self) -> Result<Verifier, BuildError> {
        if self.issuers.is_empty() {
            return Err(BuildError::NoIssuer);
        }
        if self.issuers.len() > MAX_ISSUERS {
            return Err(BuildError::TooManyIssuers);
        }
        if self.audiences.is_empty() {
            return Err(BuildError::NoAudience);
        }
        for audience in &self.audiences {
            let _: AudienceShape = audience.parse().map_err(BuildError::Audience)?;
        }
        let rules = IssuerRules {
            allowed: Some(self.issuers.clone()),
            own_domain: String::new(),
            allow_loopback_http: self.allow_loopback_http,
        };
        let mut issuers: Vec<Arc<IssuerKeys>> = Vec::with_capacity(self.issuers.len());
        for text in &self.issuers {
            let issuer = Issuer::parse(text, &rules).map_err(BuildError::Issuer)?;
            if !issuers.iter().any(|known| *known.issuer() == issuer) {
                issuers.push(Arc::new(IssuerKeys::new(issuer)));
            }
        }
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemTime::now));
        let surroundings = Surroundings {
            rules,
            transport: self.transport.unwrap_or_else(|| Arc::new(NativeTransport::default())),
            clock: Arc::new(move || timestamp(clock())),
        };
        Ok(Verifier(Arc::new(Inner {
            issuers,
            audiences: self.audiences,
            rules: VerifyRules { max_lifetime: self.max_lifetime },
            surroundings: Arc::new(surroundings),
            #[cfg(feature = "allow")]
            allow: crate::allow::Allow::load(&self.allow).map_err(BuildError::Allow)?,
        })))
    }
}

impl fmt::Debug for VerifierBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifierBuilder")
            .field("issuers", &self.issuers)
            .field("audiences", &self.audiences)
            .finish_non_exhaustive()
    }
}

/// An unset clock gives a time at which no token is valid, so it admits nothing.
fn timestamp(now: SystemTime) -> Timestamp {
    let millis = now.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_millis()).ok());
    millis.and_then(Timestamp::from_unix_millis).unwrap_or(LAST)
}

/// Every token has expired by then.
const LAST: Timestamp = match Timestamp::from_unix_seconds(253_402_300_799) {
    Some(last) => last,
    None => panic!("the year 9999 is within the calendar"),
};

#[cfg(test)]
mod tests {
    use super::*;

    const GITHUB: &str = "https://token.actions.githubusercontent.com";

    #[test]
    fn issuer_and_audience_are_required_and_have_their_shapes() {
        let build = |issuers: &[&str], audiences: &[&str]| {
            let mut builder = Verifier::builder();
            for issuer in issuers {
                builder = builder.issuer(*issuer);
            }
            for audience in audiences {
                builder = builder.audience(*audience);
            }
            builder.build().map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(build(&[GITHUB], &["api.example.com"]), Ok(()));
        assert_eq!(build(&["https://10.0.0.1:8443", GITHUB], &["api.example.com"]), Ok(()), "it is listed");
        let refused = |issuers: &[&str], audiences: &[&str]| build(issuers, audiences).unwrap_err();
        assert!(refused(&[], &["a"]).starts_with("no issuer is named"));
        assert!(refused(&[GITHUB], &[]).starts_with("no audience is named"));
        assert!(refused(&[GITHUB], &["a b"]).contains("the audience `a b`"));
        assert!(refused(&[GITHUB; 65], &["a"]).starts_with("more than 64"));
        for issuer in
            ["http://localhost:80", "http://issuer.example.com", "token.actions.githubusercontent.com", ""]
        {
            assert!(refused(&[issuer], &["a"]).contains("is not accepted"), "{issuer}");
        }
    }

    #[test]
    fn a_clock_that_is_not_set_lets_nothing_in() {
        assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(1)), LAST);
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(5)).unix_seconds(), 5);
    }
}
