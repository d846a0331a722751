//! The verifier of a server: which issuers and audiences it accepts, and the way from a bearer text to claims.

mod builder;

use std::fmt;
use std::sync::Arc;

use octo_sts_verifier::oidc::bearer::{self, BearerError};
use octo_sts_verifier::oidc::{self, Issuer, OpenToken, UnverifiedToken, VerifiedClaims, VerifyRules};
use octo_sts_verifier::time::Timestamp;

use crate::issuer_keys::{Found, IssuerKeys, Surroundings};
use crate::refusal::{Failure, Refusal};

pub use builder::{BuildError, VerifierBuilder};

/// Verifies tokens. Cheap to clone, for sharing in a whole server: clones share one cache of keys.
///
/// ```no_run
/// # async fn example(token: &str) -> Result<(), Box<dyn std::error::Error>> {
/// use octo_sts::Verifier;
///
/// let verifier = Verifier::builder()
///     .issuer("https://token.actions.githubusercontent.com")
///     .audience("api.example.com")
///     .build()?;
/// let verified = verifier.verify(token).await?;
/// assert_eq!(verified.claims().audiences(), ["api.example.com"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

/// Who verified the token whose claims a request has: another verifier may accept more.
#[cfg(any(feature = "axum", feature = "tower"))]
#[derive(Clone)]
#[cfg_attr(
    not(feature = "axum"),
    expect(dead_code, reason = "the layer writes it, and the extractor reads it")
)]
pub(crate) struct VerifiedBy(pub(crate) Verifier);

struct Inner {
    issuers: Vec<Arc<IssuerKeys>>,
    audiences: Vec<String>,
    rules: VerifyRules,
    surroundings: Arc<Surroundings>,
    #[cfg(feature = "allow")]
    allow: crate::allow::Allow,
}

impl Verifier {
    /// Starts with nothing accepted.
    #[must_use]
    pub fn builder() -> VerifierBuilder {
        VerifierBuilder::new()
    }

    /// Whether both are clones of one verifier.
    #[cfg(feature = "axum")]
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Verifies a token: its shape, its issuer, its signature with the issuer's keys, its times, its audience, and the
    /// rules of `allow`. The future is `Send` and runs on any runtime; it waits only while keys are fetched, on a
    /// separate thread, once for any number of callers.
    ///
    /// # Errors
    /// See [`Refusal`]. Its `Display` is for the log, not for whoever sent the token.
    pub async fn verify(&self, token: &str) -> Result<VerifiedClaims, Refusal> {
        let inner = &*self.0;
        let now = (inner.surroundings.clock)();
        let (open, keys) = inner.taken_apart(token, now)?;
        // With keys at hand the claims that were just read count; a caller who waits keeps the token alone.
        let (token, found, error) = match keys.at_hand(now) {
            Some(found) => match verified_open(open, keys.issuer(), &found, &inner.rules, now) {
                Ok(verified) => return inner.admitted(verified),
                Err((error, token)) => (token, found, error),
            },
            None => {
                let token = Box::new(open.close());
                let found = keys.keys(now, &inner.surroundings).await?;
                match verified(&token, keys.issuer(), &found, &inner.rules, now) {
                    Ok(verified) => return inner.admitted(verified),
                    Err(error) => (Some(token), found, error),
                }
            }
        };
        let verified = match (token, &error) {
            (Some(token), oidc::VerifyError::UnknownKey { .. }) => {
                match keys.newer(&found, now, &inner.surroundings).await? {
                    Some(newer) => verified(&token, keys.issuer(), &newer, &inner.rules, now),
                    None => Err(error),
                }
            }
            _ => Err(error),
        };
        inner.admitted(verified.map_err(Failure::Verify)?)
    }

    /// Like [`Verifier::verify`], for programs without an async runtime: waits on the calling thread.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub fn verify_blocking(&self, token: &str) -> Result<VerifiedClaims, Refusal> {
        pollster::block_on(self.verify(token))
    }

    /// Verifies the bearer token of a request: exactly one `Authorization` header with the scheme `Bearer`. The reason
    /// of a refusal goes to the log.
    ///
    /// ```no_run
    /// # async fn example(verifier: octo_sts::Verifier, request: http::Request<String>) {
    /// match verifier.verify_headers(request.headers()).await {
    ///     Ok(verified) => println!("{}", verified.claims().subject()),
    ///     Err(refusal) => println!("{}: {}", refusal.status(), refusal.public_message()),
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Verifier::verify`], and if there is no such header.
    pub async fn verify_headers(&self, headers: &http::HeaderMap) -> Result<VerifiedClaims, Refusal> {
        // How long a token may be, its reader knows.
        let outcome = match bearer::credential(headers, usize::MAX) {
            Ok(token) => self.verify(token).await,
            Err(BearerError::Missing) => Err(Failure::NoCredential.into()),
            Err(error) => Err(Failure::BadCredential(error).into()),
        };
        if let Err(refusal) = &outcome {
            log::warn!("token not accepted: reason={} {refusal}", refusal.code());
        }
        outcome
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers: Vec<&str> = self.0.issuers.iter().map(|keys| keys.issuer().as_str()).collect();
        f.debug_struct("Verifier")
            .field("issuers", &issuers)
            .field("audiences", &self.0.audiences)
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Everything that can be checked without a key.
    fn taken_apart<'a>(
        &self,
        token: &'a str,
        now: Timestamp,
    ) -> Result<(OpenToken<'a>, Arc<IssuerKeys>), Failure> {
        let token = OpenToken::parse(token).map_err(Failure::Token)?;
        let unverified_issuer = token.issuer().map_err(Failure::Token)?;
        let known = self.issuers.iter().find(|keys| keys.issuer().as_str() == unverified_issuer);
        let Some(keys) = known else {
            return Err(match Issuer::parse(unverified_issuer, &self.surroundings.rules) {
                Err(error) => Failure::Issuer(error),
                // These rules list exactly `issuers`, so this cannot happen.
                Ok(_) => Failure::NoKeys(None),
            });
        };
        let keys = Arc::clone(keys);
        token.check_not_expired(now).map_err(Failure::Token)?;
        Ok((token, keys))
    }

    /// The audience, and the rules of `allow`.
    fn admitted(&self, verified: VerifiedClaims) -> Result<VerifiedClaims, Refusal> {
        let given = verified.claims().audiences();
        let audience = self.audiences.iter().find(|audience| given.contains(audience));
        let Some(audience) = audience else {
            return Err(Failure::Audience(given.first().cloned().unwrap_or_default()).into());
        };
        #[cfg(feature = "allow")]
        self.allow.check(&verified, audience).map_err(Failure::Denied)?;
        #[cfg(not(feature = "allow"))]
        let _ = audience;
        Ok(verified)
    }
}

/// The verifier's own check. It only computes and never waits, because AWS-LC is synchronous.
fn verified(
    token: &UnverifiedToken,
    issuer: &Issuer,
    found: &Found,
    rules: &VerifyRules,
    now: Timestamp,
) -> Result<VerifiedClaims, oidc::VerifyError> {
    let keys = &found.keys;
    pollster::block_on(oidc::verify(token, issuer, &keys.set, rules, now, &keys.prepared))
}

/// The same for a token whose claims were just read.
fn verified_open(
    open: OpenToken<'_>,
    issuer: &Issuer,
    found: &Found,
    rules: &VerifyRules,
    now: Timestamp,
) -> Result<VerifiedClaims, (oidc::VerifyError, Option<Box<UnverifiedToken>>)> {
    let keys = &found.keys;
    pollster::block_on(oidc::verify_open(open, issuer, &keys.set, rules, now, &keys.prepared))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_future_can_be_moved_between_threads() {
        fn is_send<T: Send>(_: &T) {}
        fn is_send_and_sync<T: Send + Sync + 'static>() {}
        is_send_and_sync::<Verifier>();
        let verifier = Verifier::builder()
            .issuer("https://token.actions.githubusercontent.com")
            .audience("a")
            .build()
            .unwrap();
        is_send(&verifier.verify("a.b.c"));
        assert_eq!(verifier.verify_blocking("a.b.c").unwrap_err().code(), "header_encoding");
    }
}
