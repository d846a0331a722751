//! A policy that has passed every rule. Only [`super::load`] makes one.

use std::collections::BTreeMap;

use crate::names::Repository;

use super::pattern::Pattern;
use super::permissions::Permissions;

/// Where a policy's file lies. It decides which rules hold for the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyHome {
    /// In the repository that the policy is about.
    Repository,
    /// In the organization's policy repository: it may list repositories, and grant permissions on the organization.
    OrganizationPolicyRepository,
}

/// What a value must be.
#[derive(Debug)]
pub enum Matcher {
    /// Byte for byte this text.
    Exact(String),
    /// A text that the pattern matches as a whole.
    Pattern(Pattern),
}

impl Matcher {
    /// Whether the value is what it must be.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => text == value,
            Self::Pattern(pattern) => pattern.matches(value),
        }
    }

    /// The text or pattern as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        match self {
            Self::Exact(text) => text,
            Self::Pattern(pattern) => pattern.source(),
        }
    }

    /// The pattern, if it is one.
    #[must_use]
    pub fn pattern(&self) -> Option<&Pattern> {
        match self {
            Self::Exact(_) => None,
            Self::Pattern(pattern) => Some(pattern),
        }
    }
}

/// Whom a token must be meant for. There is no "anybody".
#[derive(Debug)]
pub enum AudienceRule {
    /// The policy names nobody: this service.
    Domain,
    /// Whom the policy names.
    Named(Matcher),
}

/// A policy that has passed every rule.
#[derive(Debug)]
pub struct CompiledPolicy {
    pub(super) home: PolicyHome,
    pub(super) issuer: Matcher,
    pub(super) subject: Matcher,
    pub(super) audience: AudienceRule,
    pub(super) claim_patterns: BTreeMap<String, Pattern>,
    pub(super) permissions: Permissions,
    pub(super) repositories: Option<Vec<Repository>>,
}

impl CompiledPolicy {
    /// What the policy costs to keep in memory, in units of about 32 bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let audience = match &self.audience {
            AudienceRule::Domain => None,
            AudienceRule::Named(matcher) => Some(matcher),
        };
        let matchers = [Some(&self.issuer), Some(&self.subject), audience].into_iter().flatten();
        let patterns = matchers.filter_map(Matcher::pattern).chain(self.claim_patterns.values());
        let names = 4 * self.repositories.as_ref().map_or(0, Vec::len);
        patterns.fold(32 + names, |sum, pattern| sum.saturating_add(pattern.weight()))
    }

    /// Where the file lies.
    #[must_use]
    pub fn home(&self) -> PolicyHome {
        self.home
    }

    /// Who must have issued the token.
    #[must_use]
    pub fn issuer(&self) -> &Matcher {
        &self.issuer
    }

    /// Whom the token must be about.
    #[must_use]
    pub fn subject(&self) -> &Matcher {
        &self.subject
    }

    /// Whom the token must be meant for.
    #[must_use]
    pub fn audience(&self) -> &AudienceRule {
        &self.audience
    }

    /// What further claims must be, by their names.
    #[must_use]
    pub fn claim_patterns(&self) -> &BTreeMap<String, Pattern> {
        &self.claim_patterns
    }

    /// What is granted.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// The repositories that an organization's policy lists; `None` when it lists none.
    #[must_use]
    pub fn repositories(&self) -> Option<&[Repository]> {
        self.repositories.as_deref()
    }
}
