//! The cache entries that a delivery clears. This happens before the answer and whatever else fails, because until then
//! an exchange could use a policy that no longer exists.

use std::time::Duration;

use futures_util::future::join_all;

use crate::config::ExchangeConfig;
use crate::context::Context;
use crate::names::Owner;
use crate::policy::PolicyHome;
use crate::ports::{KeyValueError, Level};
use crate::problem::Problem;
use crate::sts::Service;
use crate::webhook::Outcome;
use crate::webhook::changes::State;
use crate::webhook::check;
use crate::webhook::commit::{Target, remembered};
use crate::webhook::paths::Kind;
use crate::webhook::validate::{Listed, Touched};

/// Each entry is two requests to KV, and a delivery may send 1000. Above this, the whole group is invalidated instead.
/// <https://developers.cloudflare.com/workers/platform/limits/#subrequests>
const MAX_ONE_BY_ONE: usize = 250;

/// Clears the caches after a change on the default branch.
pub(super) struct Tell<'a> {
    pub(super) target: &'a Target,
    pub(super) to_default_branch: bool,
    pub(super) service: &'a Service,
    pub(super) config: &'a ExchangeConfig,
    pub(super) context: &'a Context,
}

impl Tell<'_> {
    /// Clears what a push touched. The previous content is kept for the comparison.
    pub(super) async fn of(&self, listed: &mut Listed) -> Result<(), Problem> {
        let Self { target, service, config, context, .. } = self;
        if let (true, Ok(changes)) = (listed.base.remembered.is_some(), &listed.found) {
            let held = changes.iter().take(check::MAX_FILES).filter_map(|change| {
                let from = match &change.state {
                    State::Modified { from: Some(from) } => from,
                    State::Modified { from: None } | State::Removed | State::Contested => &change.path,
                    State::Added | State::Withdrawn | State::Present => return None,
                };
                let kind = Kind::of(from, target.home)?;
                Some(async move { (from.clone(), remembered(&kind, target, service, config, context).await) })
            });
            let held = join_all(held).await;
            listed.base.remembered = Some(held.into_iter().collect());
        }
        match &listed.touched {
            Touched::These(kinds) if kinds.len() <= MAX_ONE_BY_ONE => self.of_these(kinds).await,
            Touched::These(_) | Touched::Unknown => self.of_anything().await,
        }
    }

    async fn of_these(&self, kinds: &[Kind]) -> Result<(), Problem> {
        let Self { target: Target { owner, repository, .. }, service, config, context, .. } = self;
        let forget = |kind: &'_ Kind| {
            let kind = kind.clone();
            async move {
                match &kind {
                    Kind::Policy(identity) => {
                        service.forget_policy(owner, repository, identity, config, context).await
                    }
                    Kind::TrustedIssuers => service.forget_trusted_issuers(owner, config, context).await,
                    Kind::IllegalName | Kind::Misnamed => Ok(()),
                }
            }
        };
        // All of them; one failure does not stop the others.
        let forgotten = join_all(kinds.iter().filter(|_| self.to_default_branch).map(forget)).await;
        told(forgotten.into_iter().collect(), context)
    }

    /// The touched files are not known, so everything of the repository is cleared.
    pub(super) async fn of_anything(&self) -> Result<(), Problem> {
        let Self { target: Target { owner, repository, home }, service, config, context, .. } = self;
        if !self.to_default_branch {
            return Ok(());
        }
        let policies = service.forget_policies(owner, repository, config, context).await;
        let issuers = match home {
            PolicyHome::OrganizationPolicyRepository => {
                service.forget_trusted_issuers(owner, config, context).await
            }
            PolicyHome::Repository => Ok(()),
        };
        told(policies.and(issuers), context)
    }
}

/// The permissions, repositories or very existence of an installation changed. Whether the policy repository can be
/// read may have changed with it.
pub(super) async fn forget_installation(
    owner: &Owner,
    service: &Service,
    config: &ExchangeConfig,
    context: &Context,
) -> Result<Outcome, Problem> {
    let installations = service.forget_installations(owner, config, context).await;
    let issuers = service.forget_trusted_issuers(owner, config, context).await;
    told(installations.and(issuers), context)?;
    Ok(Outcome::Forgotten)
}

/// KV must delete invalid facts, or an exchange could use them. This is the only failure of KV that is more than a line
/// in the log.
fn told(forgotten: Result<(), KeyValueError>, context: &Context) -> Result<(), Problem> {
    forgotten.map_err(|KeyValueError(error)| {
        context.log(Level::Error, "the caches could not be notified of a change", &[("error", &error)]);
        Problem::Unavailable(
            "the caches could not be notified of the change".to_owned(),
            Duration::from_secs(5),
        )
    })
}
