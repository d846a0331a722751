//! Single use of an OIDC token (`SINGLE_USE_TOKENS`), between the decision and the mint. Not earlier: a refusal changes
//! nothing, and a client may come back with the same token. Not later: two requests with one token would both mint.
//!
//! [`once`] is a bracket around the mint, and the mint accepts only the [`Cleared`] grant that the bracket provides. So
//! no token is minted without it, and the OIDC token stays used only if the mint succeeds.

use std::time::Duration;

use crate::config::SingleUse;
use crate::context::Context;
use crate::oidc::{ClaimsError, TokenError, UnverifiedToken};
use crate::policy::Grant;
use crate::ports::Level;
use crate::problem::Problem;
use crate::reservation::Verdict;

/// How much longer than the token's validity a use is recorded. This covers the time from the token's verification to
/// here, and the difference between two clocks. Beyond it the store refuses, so a token whose record is gone is never
/// used again.
const LEEWAY: Duration = Duration::from_secs(60);

/// The same as after failures other than GitHub's rate limit.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A grant to mint for. If single use is required, only this request holds the OIDC token. Only [`once`] makes it.
pub(crate) struct Cleared<'a>(&'a Grant);

impl Cleared<'_> {
    /// What the policy granted.
    pub(crate) const fn grant(&self) -> &Grant {
        self.0
    }
}

/// Mints at most once for a token, if the rule requires that. A failed mint releases the token, whatever the reason,
/// because nothing was delivered. This includes a mint without an answer: even if GitHub minted, nobody has seen that
/// token, and it expires within the hour.
///
/// # Errors
/// The token was used or has expired, the store did not answer, or the mint's own error.
pub(crate) async fn once<T>(
    grant: &Grant,
    token: &UnverifiedToken,
    rule: SingleUse,
    context: &Context,
    mint: impl AsyncFnOnce(Cleared<'_>) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let writes = grant.permissions().allow_changes();
    used_up(writes, token, rule, context, async || mint(Cleared(grant)).await).await
}

/// The same for anything else that uses up a token; `writes` says whether that counts as writing.
///
/// # Errors
/// As [`once`].
pub(crate) async fn used_up<T>(
    writes: bool,
    token: &UnverifiedToken,
    rule: SingleUse,
    context: &Context,
    work: impl AsyncFnOnce() -> Result<T, Problem>,
) -> Result<T, Problem> {
    let required = match rule {
        SingleUse::Never => false,
        SingleUse::Writes => writes,
        SingleUse::Always => true,
    };
    let reserved = if required { Some(reserve(token, context).await?) } else { None };
    let outcome = work().await;
    if let (Some(name), Err(_)) = (reserved, &outcome) {
        release(&name, context).await;
    }
    outcome
}

/// The name under which the token is reserved.
async fn reserve(token: &UnverifiedToken, context: &Context) -> Result<String, Problem> {
    let refused = |error: TokenError| Problem::InvalidToken(error.to_string());
    let expires_at = token.expires_at().map_err(refused)?;
    let name = token.fingerprint();
    let (holder, until) = (&*context.request_id, expires_at.plus(LEEWAY));
    match context.ports.reservations.reserve(&name, holder, until).await {
        Ok(Verdict::Reserved) => Ok(name),
        Ok(Verdict::Taken) => Err(Problem::InvalidToken("the token was used already".to_owned())),
        Ok(Verdict::Over) => Err(refused(TokenError::Claims(ClaimsError::Expired(expires_at)))),
        Err(error) => {
            context.log(Level::Error, "the token could not be reserved", &[("error", &error.0)]);
            // It may be reserved nevertheless.
            release(&name, context).await;
            Err(Problem::Unavailable("the record of used tokens did not answer".to_owned(), RETRY_AFTER))
        }
    }
}

/// Awaited before the answer, because the client's next try must find the token free.
async fn release(name: &str, context: &Context) {
    if let Err(error) = context.ports.reservations.release(name, &context.request_id).await {
        context.log(Level::Warn, "the token could not be released", &[("error", &error.0)]);
    }
}
