//! How many requests the validation of a repository's commits may cost in an hour. GitHub counts the requests of an
//! installation, for exchanges and checks alike: somebody who can open a pull request must not be able to use them up.
//!
//! Counted in each isolate and in KV, approximately: simultaneous deliveries in several isolates do not know of each
//! other, and hours are clock hours.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use crate::cache::{Bounds, Cache, Fact, Found, Key, Lifetime};
use crate::config::ExchangeConfig;
use crate::context::Context;
use crate::webhook::commit::Target;

/// For one repository and hour.
const REQUESTS: u64 = 1000;

/// Of these, for pull requests from forks.
const REQUESTS_OF_FORKS: u64 = 200;

/// How many repositories and hours one isolate counts.
const COUNTED: NonZeroUsize = NonZeroUsize::new(2048).unwrap();

/// After this time, an isolate asks KV what others have counted.
const MEMORY: Duration = Duration::from_secs(5 * 60);

const HOUR: Duration = Duration::from_secs(3600);
const SECONDS_PER_HOUR: i64 = 3600;

octo_sts_verifier::json_object! {
    /// What was spent in an hour.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub(super) struct Spent {
        pub(super) requests: u64 => take,
    }
}

impl Fact for Spent {
    type Record = Self;
    type Surroundings = ();

    fn from_record(record: Self, (): &()) -> Option<Self> {
        Some(record)
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime { memory: MEMORY, fresh: HOUR, kept: HOUR }
    }
}

/// What all repositories have spent.
pub(super) struct Quotas(Cache<Spent>);

impl Default for Quotas {
    fn default() -> Self {
        Self(Cache::new(Bounds { entries: COUNTED, weight: usize::MAX }))
    }
}

/// What one delivery may spend.
pub(super) struct Account {
    quotas: Rc<Quotas>,
    keys: Vec<Key>,
    left: u64,
    /// Already counted, before it is spent.
    reserved: Cell<u64>,
}

impl Account {
    /// `of_a_fork`: the commit comes from a pull request of a fork, and no maintainer has asked for it.
    pub(super) async fn open(
        quotas: &Rc<Quotas>,
        target: &Target,
        of_a_fork: bool,
        config: &ExchangeConfig,
        context: &Context,
    ) -> Self {
        let hour = context.now.unix_seconds().div_euclid(SECONDS_PER_HOUR).to_string();
        let Target { owner, repository, .. } = target;
        let key = |share: &str| {
            config.app.keys.counter("validation", &[share, &owner.key(), &repository.key(), &hour])
        };
        let shares = [("all", REQUESTS), ("forks", REQUESTS_OF_FORKS)];
        let (mut keys, mut left) = (Vec::new(), REQUESTS);
        for (share, budget) in shares.into_iter().take(if of_a_fork { 2 } else { 1 }) {
            let key = key(share);
            let spent = match quotas.0.find(&key, &(), context).await {
                Found::Fresh(entry) | Found::Stale(entry) | Found::Held(entry) => entry.fact.requests,
                Found::Missing => 0,
            };
            left = left.min(budget.saturating_sub(spent));
            keys.push(key);
        }
        Self { quotas: Rc::clone(quotas), keys, left, reserved: Cell::new(0) }
    }

    /// How many requests the delivery may send in all.
    pub(super) fn left(&self) -> u32 {
        u32::try_from(self.left).unwrap_or(u32::MAX)
    }

    /// Counts what is about to be spent, so that a simultaneous delivery in this isolate knows about it.
    pub(super) fn reserve(&self, requests: u64, context: &Context) {
        let more = requests.saturating_sub(self.reserved.get());
        self.reserved.set(self.reserved.get().max(requests));
        for key in &self.keys {
            let spent = Spent { requests: self.known(key).saturating_add(more) };
            self.quotas.0.note(key, spent, context.now, context);
        }
    }

    /// Counts what was spent, here and in KV.
    pub(super) fn settle(&self, requests: u64, context: &Context) {
        for key in &self.keys {
            let others = self.known(key).saturating_sub(self.reserved.get());
            let spent = Spent { requests: others.saturating_add(requests) };
            self.quotas.0.keep(key, spent, context.now, &(), context);
        }
    }

    fn known(&self, key: &Key) -> u64 {
        self.quotas.0.remembered(key).map_or(0, |entry| entry.fact.requests)
    }
}
