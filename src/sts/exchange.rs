//! The exchange: the order of checks, in one place, numbered as in docs/architecture.md. The first step that fails
//! determines the answer, later steps do no work, and nothing about any repository, policy or installation is revealed
//! before step 7 has passed.
//!
//! Types carry what has been established: `UnverifiedToken` (3) becomes `VerifiedClaims` (7), only those can get a
//! `Grant` from a policy (11), and only a `Grant` becomes the `MintRequest` (12) whose answer is delivered.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::join3;
use http::Request;

use crate::apps::{Access, MintFailure, installation};
use crate::authn::{self, Cleared, Counted, bearer};
use crate::config::ExchangeConfig;
use crate::context::Context;
use crate::github::Failure;
use crate::github::mint::{MintAnswer, MintRequest, MintedToken};
use crate::names::Scope;
use crate::oidc::VerifiedClaims;
use crate::policy::{self, AppIdentity, CompiledPolicy, Grant, PolicyHome};
use crate::ports::Level;
use crate::problem::Problem;
use crate::secret::Secret;
use crate::sts::audit::{Event, PolicyRevision};
use crate::sts::parameters::{Parameters, parameters};
use crate::sts::policy_file::Wanted;
use crate::sts::{Service, organization, policy_file};
use crate::time::Timestamp;

/// What the caller gets.
#[derive(Debug)]
pub struct Granted {
    /// The installation token.
    pub token: Secret,
    /// As GitHub wrote it, RFC 3339.
    pub expires_at: String,
    /// How long it is valid, from now.
    pub expires_in: Duration,
    /// What the token may do.
    pub permissions: BTreeMap<String, String>,
    /// Where; `None` for every repository of the installation.
    pub repositories: Option<Vec<String>>,
    /// Which revision of the policy decided.
    pub policy_sha: String,
    /// How old the copy was.
    pub policy_age: Duration,
}

/// Exchanges the request's OIDC token. `api` has already checked route and method of step 1.
///
/// # Errors
/// The [`Problem`] of the first step that fails. Then no token was minted, or it is revoked after the answer.
pub async fn exchange(
    request: &Request<Bytes>,
    service: &Service,
    config: &ExchangeConfig,
    context: &Context,
    event: &mut Event,
) -> Result<Granted, Problem> {
    // 1. parameters, names
    let asked = parameters(request)?;
    event.asked(&asked);

    // 2. the `Authorization` header
    let credential = bearer(request.headers())?;

    grant(&asked, credential, service, config, context, event).await
}

/// Steps 3 to 13, for both endpoints.
pub(super) async fn grant(
    asked: &Parameters,
    credential: &str,
    service: &Service,
    config: &ExchangeConfig,
    context: &Context,
    event: &mut Event,
) -> Result<Granted, Problem> {
    let scope = &asked.scope;

    // 3. to 5. the token's shape, its unverified issuer and expiry
    let presented = authn::present(credential, &config.authn, context.now)?;
    event.issuer = Some(presented.issuer.to_string());

    // 6. and 7. the issuer's keys, the signature, the claims
    let claims = service.authn.verified(&presented, &config.authn, context).boxed_local().await?;
    event.subject = Some(claims.claims().subject().to_owned());
    service.limits.count(Counted::Exchange(&claims), context).await?;

    // From here on, the caller is known. The KV entries of steps 8 to 10 are read at once: three sequential reads would
    // cost a new isolate two more round trips.
    let wanted = wanted(asked, config);
    let (installation_key, organization_key) =
        (config.app.keys.installation(scope), organization::key(scope.owner(), config));
    installation::refuse_if_known_absent(&installation_key, &service.apps, context)?;
    let (found_installation, found_organization, found_policy) = join3(
        service.apps.installations.find(&installation_key, &(), context),
        service.organizations.find(&organization_key, &(), context),
        service.policies.find(&wanted.key, &wanted.home, context),
    )
    .await;

    // 8. the App's installation
    let located = installation::locate(found_installation, scope, &service.apps, &config.app, context)
        .boxed_local()
        .await?;
    context.notes.set_owner(scope.owner());
    let mut access =
        Access::new(scope, located, &service.apps, &config.app, context, &mut event.installation_id);

    // 9. the organization's trusted issuers
    let issuer = claims.claims().issuer();
    let decision = &mut event.organization;
    organization::check(issuer, found_organization, service, config, &mut access, decision)
        .boxed_local()
        .await?;

    // 10. the trust policy
    let decisive = policy_file::policy(found_policy, &wanted, service, &mut access).boxed_local().await?;
    let (policy_sha, policy) = decisive.policy().ok_or(Problem::Internal)?;
    let policy_age = decisive.age(context);
    event.policy = Some(PolicyRevision { sha: policy_sha.to_owned(), age: policy_age.as_secs() });

    // 11. its decision
    let grant = decided(policy, &claims, asked, config, &mut event.claims)?;
    service.limits.count(Counted::Grant(scope.owner(), &config.app.keys), context).await?;

    // 12. and 13. the token, no wider than requested; if the operator wants that, one for each OIDC token
    let (minted, expires_at) =
        authn::once(&grant, &presented.token, config.authn.single_use, context, async |cleared| {
            mint(cleared, &mut access, context).boxed_local().await
        })
        .boxed_local()
        .await?;
    event.token(&minted.token);
    let request = MintRequest::from_grant(&grant);
    let granted = Granted {
        permissions: request.asked_of(&minted),
        repositories: minted.repositories.filter(|_| request.is_selective()),
        token: minted.token,
        expires_at: minted.expires_at,
        expires_in: expires_at.since(context.now),
        policy_sha: policy_sha.to_owned(),
        policy_age,
    };
    event.permissions.clone_from(&granted.permissions);
    event.repositories.clone_from(&granted.repositories);
    Ok(granted)
}

/// Which policy file an exchange asks for.
fn wanted<'a>(asked: &'a Parameters, config: &'a ExchangeConfig) -> Wanted<'a> {
    let Parameters { scope, identity, .. } = asked;
    let repository = match scope {
        Scope::Owner(_) => &config.policy_repository,
        Scope::Repository { repository, .. } => repository,
    };
    let key = config.app.keys.policy(scope.owner(), repository, identity);
    Wanted { owner: scope.owner(), repository, identity, home: home_of(scope, config), key }
}

/// Step 11. `matched` gets the claims that the policy's patterns matched, whatever comes of it.
fn decided(
    policy: &CompiledPolicy,
    claims: &VerifiedClaims,
    asked: &Parameters,
    config: &ExchangeConfig,
    matched: &mut BTreeMap<String, String>,
) -> Result<Grant, Problem> {
    let app = AppIdentity { name: config.app.name.as_deref(), id: &config.app.id };
    let grant = match policy::authorize(policy, claims, &config.authn.domain, &asked.scope, app) {
        Ok(grant) => grant,
        Err(denial) => {
            matched.clone_from(denial.matched_claims());
            return Err(Problem::PermissionDenied(denial.to_string()));
        }
    };
    matched.clone_from(grant.matched_claims());
    grant.narrowed(&asked.narrowing).map_err(|error| Problem::PermissionDenied(error.to_string()))
}

/// A policy in the organization's policy repository may do more than one elsewhere.
fn home_of(scope: &Scope, config: &ExchangeConfig) -> PolicyHome {
    match scope {
        Scope::Repository { repository, .. } if !repository.is(config.policy_repository.as_str()) => {
            PolicyHome::Repository
        }
        Scope::Owner(_) | Scope::Repository { .. } => PolicyHome::OrganizationPolicyRepository,
    }
}

/// Steps 12 and 13. A token that is or may be wider than requested is revoked.
async fn mint(
    cleared: Cleared<'_>,
    access: &mut Access<'_>,
    context: &Context,
) -> Result<(MintedToken, Timestamp), Problem> {
    let unreadable = || Problem::Upstream("github's answer cannot be read".to_owned());
    let request = MintRequest::from_grant(cleared.grant());
    let minted = match access.mint_to_deliver(&request).boxed_local().await {
        Ok(MintAnswer::Token(minted)) => minted,
        Ok(MintAnswer::Unreadable(token)) => {
            if let Some(token) = token {
                access.discard_unread(token);
            }
            return Err(unreadable());
        }
        Err(failure @ (MintFailure::Installation(_) | MintFailure::LookUp(_))) => {
            return Err(installation::problem(failure, context));
        }
        Err(MintFailure::GitHub(failure)) => {
            context.log(Level::Warn, "token not minted", &[("reason", failure.code())]);
            return Err(match failure {
                Failure::Unprocessable => Problem::PermissionDenied(
                    "the installation lacks a permission that the policy grants, or a listed repository is not in the installation".to_owned(),
                ),
                Failure::Forbidden => Problem::PermissionDenied("github refuses to mint the token".to_owned()),
                Failure::Unreadable | Failure::TooLarge | Failure::BrokenOff => unreadable(),
                Failure::RateLimited(_)
                | Failure::Unauthorized
                | Failure::NotFound
                | Failure::Redirected
                | Failure::ServerError
                | Failure::Unexpected
                | Failure::NoAnswer
                | Failure::Unsendable => Problem::github_unavailable(failure, context.now),
            });
        }
    };
    if !request.covers(&minted) {
        context.log(Level::Error, "github minted a wider token than asked", &[]);
        access.discard(minted);
        return Err(Problem::Upstream("github minted a wider token than asked".to_owned()));
    }
    match Timestamp::from_rfc3339(&minted.expires_at) {
        Some(expires_at) => Ok((minted, expires_at)),
        None => {
            access.discard(minted);
            Err(unreadable())
        }
    }
}
