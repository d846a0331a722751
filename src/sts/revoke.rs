//! Revocation: a token is revoked with itself, so whoever holds it may revoke it. GitHub revokes an installation token,
//! and the proxy a session token.

use http::HeaderMap;

use crate::authn::bearer;
use crate::context::Context;
use crate::github::{self, BaseUrl, Failure};
use crate::issuer::session::Claimed;
use crate::ports::Level;
use crate::problem::Problem;
use crate::secret::Secret;
use crate::sts::audit::Event;
use crate::sts::service::Service;
use crate::sts::session;

/// The prefix of installation tokens. Nothing else is forwarded, so that nobody can probe other credentials here.
/// <https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github>
const INSTALLATION_TOKEN_PREFIX: &str = "ghs_";

/// Revokes the bearer token. A token that no longer works counts as revoked.
///
/// # Errors
/// [`Problem`]; the token may then still be valid.
pub async fn revoke(
    headers: &HeaderMap,
    service: &Service,
    context: &Context,
    event: &mut Event,
) -> Result<(), Problem> {
    let credential = bearer(headers);
    if let (Ok(credential), Ok(domain)) = (credential.as_ref(), service.config.domain.as_ref())
        && let Some(claimed) = Claimed::of(credential, domain)
        && let Some(keys) = service.config.issuer.as_ref()?.as_ref()
    {
        event.session_ended(credential);
        return session::end(claimed, keys, service, context, event).await;
    }
    let base = service.config.revoke.as_ref()?;
    installation_token(credential?, base, context, event).await
}

async fn installation_token(
    credential: &str,
    base: &BaseUrl,
    context: &Context,
    event: &mut Event,
) -> Result<(), Problem> {
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
