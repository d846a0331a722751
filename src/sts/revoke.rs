//! Revocation: an installation token is revoked with itself, so whoever holds one may end it.

use http::HeaderMap;

use crate::authn::bearer;
use crate::context::Context;
use crate::github::{self, BaseUrl, Failure};
use crate::ports::Level;
use crate::problem::Problem;
use crate::secret::Secret;
use crate::sts::audit::Event;

/// What installation tokens begin with. Nothing else is forwarded, so that nobody can probe other credentials here.
/// <https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github>
const INSTALLATION_TOKEN_PREFIX: &str = "ghs_";

/// Revokes the bearer token. One that is dead already is as good as revoked.
///
/// # Errors
/// [`Problem`]; the token may still be alive then.
pub async fn revoke(
    headers: &HeaderMap,
    base: &BaseUrl,
    context: &Context,
    event: &mut Event,
) -> Result<(), Problem> {
    let credential = bearer(headers)?;
    if !credential.starts_with(INSTALLATION_TOKEN_PREFIX) || !credential.bytes().all(|b| b.is_ascii_graphic())
    {
        return Err(Problem::InvalidRequest("the bearer token is not an installation token".to_owned()));
    }
    let token = Secret::new(credential.to_owned());
    event.token(&token);
    match github::revoke(base, &token).send(&*context.ports.fetch).await {
        Ok(()) | Err(Failure::Unauthorized | Failure::NotFound) => Ok(()),
        Err(failure) => {
            context.log(Level::Warn, "token not revoked", &[("reason", failure.code())]);
            Err(Problem::github_unavailable(failure, context.now))
        }
    }
}
