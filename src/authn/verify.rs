//! Steps 3 to 7 of the order of checks: the token's shape, its issuer, its expiry, the issuer's keys, signature and
//! claims.

use futures_util::FutureExt as _;

use crate::authn::{Authn, issuer_keys};
use crate::config::AuthnConfig;
use crate::context::Context;
use crate::oidc::{self, Issuer, UnverifiedToken, VerifiedClaims, VerifyError, VerifyRules};
use crate::problem::Problem;
use crate::time::Timestamp;

/// A token from an accepted issuer, not yet verified.
pub(crate) struct Presented {
    /// Well-formed and nothing more.
    pub(crate) token: UnverifiedToken,
    /// Whom it says it is from.
    pub(crate) issuer: Issuer,
}

/// Steps 3 to 5, without network or signature.
///
/// # Errors
/// [`Problem::InvalidToken`]: malformed, of an issuer that is not spoken to, or expired.
pub(crate) fn present(credential: &str, config: &AuthnConfig, now: Timestamp) -> Result<Presented, Problem> {
    // 3. the token's shape
    present_token(parse(credential)?, config, now)
}

/// Step 3 alone: a token from anybody.
///
/// # Errors
/// [`Problem::InvalidToken`]: malformed.
pub(crate) fn parse(credential: &str) -> Result<UnverifiedToken, Problem> {
    UnverifiedToken::parse(credential).map_err(refused)
}

/// Steps 4 and 5.
///
/// # Errors
/// [`Problem::InvalidToken`]: of an issuer that is not spoken to, or expired.
pub(crate) fn present_token(
    token: UnverifiedToken,
    config: &AuthnConfig,
    now: Timestamp,
) -> Result<Presented, Problem> {
    // 4. its unverified issuer is one we accept
    let issuer = Issuer::parse(token.issuer().map_err(refused)?, &config.issuers).map_err(refused)?;

    // 5. its unverified expiry: saves the fetch, and reveals nothing that the caller does not know
    token.check_not_expired(now).map_err(refused)?;
    Ok(Presented { token, issuer })
}

impl Authn {
    /// Steps 6 and 7. If the keys lack the token's `kid`, they may be outdated: KV's keys are tried if they are newer,
    /// then the issuer's.
    ///
    /// # Errors
    /// [`Problem::InvalidToken`], or [`Problem::Unavailable`] when the issuer does not answer.
    pub(crate) async fn verified(
        &self,
        presented: &Presented,
        config: &AuthnConfig,
        context: &Context,
    ) -> Result<VerifiedClaims, Problem> {
        let Presented { token, issuer } = presented;
        let rules = VerifyRules { max_lifetime: config.max_token_lifetime };
        let signatures = &*context.ports.signatures;
        let mut keys = issuer_keys::keys(issuer, self, config, context).boxed_local().await?;
        loop {
            let set = keys.set().ok_or(Problem::Internal)?;
            let unknown =
                match oidc::verify(token, issuer, set, &rules, context.now, signatures).boxed_local().await {
                    Err(unknown @ VerifyError::UnknownKey { .. }) => unknown,
                    other => return other.map_err(refused),
                };
            // From memory to KV, from KV to the issuer, and no further: it ends.
            keys = issuer_keys::newer_keys(keys, issuer, self, config, context)
                .boxed_local()
                .await?
                .ok_or_else(|| refused(unknown))?;
        }
    }
}

/// The token's own faults, as an answer to its bearer.
fn refused(error: impl std::fmt::Display) -> Problem {
    Problem::InvalidToken(error.to_string())
}
