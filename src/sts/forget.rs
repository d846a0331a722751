//! The webhook's access to the caches: reading cached facts, and invalidating them after an outside event. Nothing here
//! decides about an exchange.

use crate::config::ExchangeConfig;
use crate::context::Context;
use crate::names::{IdentityName, Owner, Repository};
use crate::policy::trusted_issuers::TrustedIssuers;
use crate::policy::{CompiledPolicy, PolicyHome};
use crate::ports::KeyValueError;
use crate::sts::policy_file::Wanted;
use crate::sts::{Remembered, Service, organization, policy_file};

impl Service {
    /// The policy that the caches hold.
    pub(crate) async fn remembered_policy(
        &self,
        owner: &Owner,
        repository: &Repository,
        identity: &IdentityName,
        home: PolicyHome,
        config: &ExchangeConfig,
        context: &Context,
    ) -> Remembered<CompiledPolicy> {
        let key = config.app.keys.policy(owner, repository, identity);
        policy_file::remembered(&Wanted { owner, repository, identity, home, key }, self, context).await
    }

    /// The list of trusted issuers that the caches hold.
    pub(crate) async fn remembered_issuers(
        &self,
        owner: &Owner,
        config: &ExchangeConfig,
        context: &Context,
    ) -> Remembered<TrustedIssuers> {
        organization::remembered(owner, self, config, context).await
    }

    /// A policy changed.
    pub(crate) async fn forget_policy(
        &self,
        owner: &Owner,
        repository: &Repository,
        identity: &IdentityName,
        config: &ExchangeConfig,
        context: &Context,
    ) -> Result<(), KeyValueError> {
        self.policies.forget_now(&config.app.keys.policy(owner, repository, identity), context).await
    }

    /// Any policy of a repository may have changed.
    pub(crate) async fn forget_policies(
        &self,
        owner: &Owner,
        repository: &Repository,
        config: &ExchangeConfig,
        context: &Context,
    ) -> Result<(), KeyValueError> {
        self.policies.forget_all_now(&config.app.keys.policies_of(owner, repository), context).await
    }

    /// An organization's list of trusted issuers changed, or may have become readable.
    pub(crate) async fn forget_trusted_issuers(
        &self,
        owner: &Owner,
        config: &ExchangeConfig,
        context: &Context,
    ) -> Result<(), KeyValueError> {
        self.organizations.forget_now(&organization::key(owner, config), context).await
    }

    /// An owner's installation changed.
    pub(crate) async fn forget_installations(
        &self,
        owner: &Owner,
        config: &ExchangeConfig,
        context: &Context,
    ) -> Result<(), KeyValueError> {
        self.apps.installations.forget_all_now(&config.app.keys.installations_of(owner), context).await
    }
}
