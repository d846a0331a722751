//! What a request finds out for its data point: whom it is for, which tier knew what, and how much of GitHub's quota is
//! left. Nothing here decides anything.

use std::cell::{Cell, RefCell};

use http::{HeaderMap, HeaderName};

use crate::names::Owner;

const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");

/// A kind of facts that are cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Knowledge {
    /// An issuer's keys.
    IssuerKeys,
    /// The App's installation.
    Installation,
    /// An organization's trusted issuers.
    TrustedIssuers,
    /// A trust policy.
    Policy,
}

/// Who knew a fact, the nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// The isolate's memory, alone.
    Memory,
    /// Workers KV had a valid fact.
    Kv,
    /// Neither has a valid fact, so the origin has to be asked.
    Origin,
}

impl Tier {
    /// The word in a data point.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Kv => "kv",
            Self::Origin => "origin",
        }
    }
}

/// The notes of one request.
#[derive(Debug, Default)]
pub struct Notes {
    owner: RefCell<String>,
    upstream: RefCell<String>,
    /// At most one for each kind.
    tiers: RefCell<Vec<(Knowledge, Tier)>>,
    quota_left: Cell<Option<u32>>,
}

impl Notes {
    /// Sets the owner that the request is for. Only an owner with an installation of the App, or one that GitHub itself
    /// has named: a caller can make up any number of others.
    pub fn set_owner(&self, owner: &Owner) {
        self.owner.replace(owner.key());
    }

    /// Sets the upstream that the request is for: one of the settings.
    pub fn set_upstream(&self, name: &str) {
        self.upstream.replace(name.to_ascii_lowercase());
    }

    /// Sets who knew something. Of several look-ups, the one that went farthest counts.
    pub fn knew(&self, what: Knowledge, tier: Tier) {
        let mut tiers = self.tiers.borrow_mut();
        match tiers.iter_mut().find(|(known, _)| *known == what) {
            Some((_, farthest)) => *farthest = tier.max(*farthest),
            None => tiers.push((what, tier)),
        }
    }

    /// GitHub's answer says how many requests are left in the quota that it counted against.
    pub(super) fn answer_of_github(&self, headers: &HeaderMap) {
        let left = headers.get(RATE_LIMIT_REMAINING).and_then(|value| value.to_str().ok());
        if let Some(left) = left.and_then(|text| text.parse().ok()) {
            self.quota_left.set(Some(left));
        }
    }

    /// In lower case; empty if the owner is not known.
    #[must_use]
    pub fn owner(&self) -> String {
        self.owner.borrow().clone()
    }

    /// In lower case; empty if there is none.
    #[must_use]
    pub fn upstream(&self) -> String {
        self.upstream.borrow().clone()
    }

    /// Who knew it; `None` if none was asked.
    #[must_use]
    pub fn tier(&self, what: Knowledge) -> Option<Tier> {
        self.tiers.borrow().iter().find(|(known, _)| *known == what).map(|(_, tier)| *tier)
    }

    /// The rest of the quota in GitHub's last answer; `None` if no answer had it.
    #[must_use]
    pub fn quota_left(&self) -> Option<u32> {
        self.quota_left.get()
    }
}
