//! What a request finds out on its way that its data point tells: for whom it is, which tier knew what, and how much of
//! GitHub's quota is left. Nothing here decides anything.

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
    /// Workers KV was asked, and the fact holds.
    Kv,
    /// Neither has it, or no longer: its origin is to be asked.
    Origin,
}

impl Tier {
    /// As a data point spells it.
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
    /// For which owner the request is. Only for one that has an installation of the App, or that GitHub itself has named: a
    /// caller can make up any number of others.
    pub fn set_owner(&self, owner: &Owner) {
        self.owner.replace(owner.key());
    }

    /// For which upstream it is: one of the settings.
    pub fn set_upstream(&self, name: &str) {
        self.upstream.replace(name.to_ascii_lowercase());
    }

    /// Who knew something. Of several look-ups the one that went farthest counts.
    pub fn knew(&self, what: Knowledge, tier: Tier) {
        let mut tiers = self.tiers.borrow_mut();
        match tiers.iter_mut().find(|(known, _)| *known == what) {
            Some((_, farthest)) => *farthest = tier.max(*farthest),
            None => tiers.push((what, tier)),
        }
    }

    /// GitHub's answer says how many requests are left of whatever quota it was counted against.
    pub(super) fn answer_of_github(&self, headers: &HeaderMap) {
        let left = headers.get(RATE_LIMIT_REMAINING).and_then(|value| value.to_str().ok());
        if let Some(left) = left.and_then(|text| text.parse().ok()) {
            self.quota_left.set(Some(left));
        }
    }

    /// In lower case; empty where it is not known to be anybody's.
    #[must_use]
    pub fn owner(&self) -> String {
        self.owner.borrow().clone()
    }

    /// In lower case; empty where there is none.
    #[must_use]
    pub fn upstream(&self) -> String {
        self.upstream.borrow().clone()
    }

    /// Who knew it; `None` where nobody was asked.
    #[must_use]
    pub fn tier(&self, what: Knowledge) -> Option<Tier> {
        self.tiers.borrow().iter().find(|(known, _)| *known == what).map(|(_, tier)| *tier)
    }

    /// What GitHub's last answer said is left; `None` where no answer said so.
    #[must_use]
    pub fn quota_left(&self) -> Option<u32> {
        self.quota_left.get()
    }
}
