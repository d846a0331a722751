//! A policy that has passed every rule. Only [`super::load`] makes one.

use std::collections::BTreeMap;

use crate::names::Repository;

use super::pattern::Pattern;
use super::permissions::Permissions;
use super::weight;

/// Where a policy's file is, which decides which rules apply to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyHome {
    /// In the repository that the policy is for.
    Repository,
    /// In the organization's policy repository: it may list repositories, and grant permissions on the organization.
    OrganizationPolicyRepository,
}

/// What a value must be.
#[derive(Debug)]
pub enum Matcher {
    /// Byte for byte this text.
    Exact(String),
    /// Text that the pattern matches as a whole.
    Pattern(Pattern),
}

impl Matcher {
    /// Whether the value satisfies the matcher.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => text == value,
            Self::Pattern(pattern) => pattern.matches(value),
        }
    }

    /// The text or pattern as written.
    #[must_use]
    pub fn source(&self) -> &str {
        match self {
            Self::Exact(text) => text,
            Self::Pattern(pattern) => pattern.source(),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Exact(text) => weight::block(text.capacity()),
            Self::Pattern(pattern) => pattern.heap_bytes(),
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

/// Whom a token must be intended for. There is no "anybody".
#[derive(Debug)]
pub enum AudienceRule {
    /// The policy names no audience, which means this service.
    Domain,
    /// Whom the policy names.
    Named(Matcher),
}

/// Which of the service's Apps may mint for a policy.
#[derive(Debug)]
pub enum AppRule {
    /// The policy does not say: any of them.
    Any,
    /// The one whose name or id this is.
    Exact(String),
    /// Those whose whole name the pattern matches.
    Pattern(Pattern),
}

/// One of the service's Apps, as a policy may name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppIdentity<'a> {
    /// What the operator calls it, if anything.
    pub name: Option<&'a str>,
    /// Its number, or its client id if the service knows only that.
    pub id: &'a str,
}

impl AppRule {
    /// Whether that App may mint. A pattern is about names, so an App without a name never matches.
    ///
    /// ```
    /// use octo_sts_policy::{AppIdentity, AppRule};
    /// let rule = AppRule::Exact("deploys".to_owned());
    /// assert!(rule.admits(AppIdentity { name: Some("deploys"), id: "1" }));
    /// assert!(!rule.admits(AppIdentity { name: None, id: "1" }));
    /// ```
    #[must_use]
    pub fn admits(&self, app: AppIdentity<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(text) => app.name == Some(text) || app.id == text,
            Self::Pattern(pattern) => app.name.is_some_and(|name| pattern.matches(name)),
        }
    }

    /// The pattern, if it is one.
    #[must_use]
    pub fn pattern(&self) -> Option<&Pattern> {
        match self {
            Self::Any | Self::Exact(_) => None,
            Self::Pattern(pattern) => Some(pattern),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Any => 0,
            Self::Exact(text) => weight::block(text.capacity()),
            Self::Pattern(pattern) => pattern.heap_bytes(),
        }
    }
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
    pub(super) app: AppRule,
}

impl CompiledPolicy {
    /// How many bytes the policy takes in memory, including itself. `tests/weights.rs` compares this with an allocator.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        let audience = match &self.audience {
            AudienceRule::Domain => 0,
            AudienceRule::Named(matcher) => matcher.heap_bytes(),
        };
        let claims = weight::map::<String, Pattern>(self.claim_patterns.len())
            + self
                .claim_patterns
                .iter()
                .map(|(name, p)| weight::block(name.capacity()) + p.heap_bytes())
                .sum::<usize>();
        let repositories = self.repositories.as_ref().map_or(0, |names| {
            weight::block(names.capacity() * size_of::<Repository>())
                + names.iter().map(|name| weight::block(name.as_str().len())).sum::<usize>()
        });
        size_of::<Self>()
            + self.issuer.heap_bytes()
            + self.subject.heap_bytes()
            + audience
            + claims
            + self.permissions.heap_bytes()
            + self.app.heap_bytes()
            + repositories
    }

    /// Where the file is.
    #[must_use]
    pub fn home(&self) -> PolicyHome {
        self.home
    }

    /// Who must have issued the token.
    #[must_use]
    pub fn issuer(&self) -> &Matcher {
        &self.issuer
    }

    /// Whom the token is about.
    #[must_use]
    pub fn subject(&self) -> &Matcher {
        &self.subject
    }

    /// Whom the token must be intended for.
    #[must_use]
    pub fn audience(&self) -> &AudienceRule {
        &self.audience
    }

    /// Conditions for other claims, by name.
    #[must_use]
    pub fn claim_patterns(&self) -> &BTreeMap<String, Pattern> {
        &self.claim_patterns
    }

    /// What is granted.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// The repositories that an organization's policy lists; `None` if it lists none.
    #[must_use]
    pub fn repositories(&self) -> Option<&[Repository]> {
        self.repositories.as_deref()
    }

    /// Which of the service's Apps may mint.
    #[must_use]
    pub fn app(&self) -> &AppRule {
        &self.app
    }
}
