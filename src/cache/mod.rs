//! Two tiers behind one type: the isolate's memory (bounded, least recently used), then Workers KV. A read tries
//! memory, KV, then the origin; only the caller knows an origin. A KV failure is a miss and a log line, and so is a
//! value that does not decode. Writes to KV happen after the answer.
//!
//! The reader's clock decides about freshness, from the time when an entry was written; KV's own expiry only collects
//! garbage. Concurrent misses in an isolate each proceed alone, because the platform forbids waiting for another
//! request's I/O.

mod key;
mod memory;
mod newcomers;
mod store;

pub use key::{Group, Key, KeySpace};
pub use newcomers::Newcomers;

use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::Value;

use self::memory::{Memory, Remembered};
use self::store::{Generations, Written};
use crate::context::{Context, Generation, Tier};
use crate::json::{FromJson, ToJson};
use crate::ports::KeyValueError;
use crate::time::Timestamp;

/// What a cache stores: a fact from an origin, whether presence or absence.
pub trait Fact: Sized + 'static {
    /// The form in KV. It says everything the fact is made of.
    type Record: ToJson + FromJson;
    /// What is needed in addition to the record to restore the fact.
    type Surroundings;

    /// Restores the fact from its record. `None`: a record that no version of the service would write.
    fn from_record(record: Self::Record, surroundings: &Self::Surroundings) -> Option<Self>;

    /// How long the fact is fresh and stored.
    fn lifetime(&self) -> Lifetime;

    /// Whether it is an answer of the origin, and not only a note that the origin failed.
    fn is_answer(&self) -> bool {
        true
    }

    /// How much of the memory tier's [`Bounds::weight`] the fact takes, in bytes.
    fn weight(&self) -> usize {
        size_of::<Self>()
    }
}

/// The bounds of the memory tier; whichever is reached first applies.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Entries.
    pub entries: NonZeroUsize,
    /// The sum of all [`Fact::weight`]s.
    pub weight: usize,
}

impl Bounds {
    /// At most this many entries, with at most this total weight.
    #[must_use]
    pub const fn new(entries: usize, weight: usize) -> Self {
        let entries = match NonZeroUsize::new(entries) {
            Some(entries) => entries,
            None => NonZeroUsize::MIN,
        };
        Self { entries, weight }
    }
}

/// How long a fact is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// In an isolate's memory, from when it was stored there.
    pub memory: Duration,
    /// Overall, from when it was fetched.
    pub fresh: Duration,
    /// In KV, for stale use, from when it was written.
    pub kept: Duration,
}

/// A fact, when it was fetched from its origin, and when it was last written.
#[derive(Debug)]
pub struct Entry<F> {
    /// When the origin answered; ages and freshness count from here.
    pub learnt_at: Timestamp,
    /// When the entry was last written; of two entries fetched at the same time, the newer wins.
    written_at: Timestamp,
    /// The request that wrote it, to distinguish two entries of the same millisecond.
    written_by: Rc<str>,
    /// The generations in which it was fetched.
    generations: Generations,
    /// What was fetched.
    pub fact: F,
}

impl<F: Fact> Entry<F> {
    /// How long ago the origin answered.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        now.since(self.learnt_at)
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        self.age(now) < self.fact.lifetime().fresh
    }

    /// Whether it supersedes what KV has. A failure of the origin never supersedes an answer, whoever wrote last.
    fn is_newer_than(&self, kv: &Written) -> bool
    where
        F: Fact,
    {
        self.fact.is_answer() && (self.learnt_at, self.written_at) > (kv.learnt_at, kv.written_at)
    }

    fn is_what(&self, kv: &Written) -> bool {
        (self.learnt_at, self.written_at, &self.written_by) == (kv.learnt_at, kv.written_at, &kv.written_by)
    }
}

/// What both tiers know about a key.
#[derive(Debug)]
pub enum Found<F> {
    /// Fresh: no need to ask the origin.
    Fresh(Rc<Entry<F>>),
    /// No longer fresh. Only the caller knows whether it may still be used, and for how long.
    Stale(Rc<Entry<F>>),
    /// The same, but the origin has just been asked and failed: see [`Cache::hold`].
    Held(Rc<Entry<F>>),
    /// Nothing.
    Missing,
}

/// One kind of facts in both tiers.
pub struct Cache<F: Fact> {
    memory: Memory,
    facts: PhantomData<F>,
}

impl<F: Fact> Cache<F> {
    /// An empty cache with a bounded memory tier.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { memory: Memory::new(bounds), facts: PhantomData }
    }

    /// Whether memory knows the key, fresh or not.
    #[must_use]
    pub fn is_in_memory(&self, key: &Key) -> bool {
        self.memory.contains(key)
    }

    /// What memory has, whether or not it may still answer alone.
    #[must_use]
    pub fn remembered(&self, key: &Key) -> Option<Rc<Entry<F>>> {
        self.memory.recall(key)?.entry.downcast().ok()
    }

    /// The answer of memory, if it may answer alone.
    #[must_use]
    pub fn known(&self, key: &Key, now: Timestamp) -> Option<Rc<Entry<F>>> {
        self.in_memory(key, now)
            .filter(|(entry, valid)| *valid && entry.is_fresh(now))
            .map(|(entry, _)| entry)
    }

    /// Looks in memory, then in KV.
    pub async fn find(&self, key: &Key, surroundings: &F::Surroundings, context: &Context) -> Found<F> {
        match self.in_memory(key, context.now) {
            Some((entry, true)) => {
                note(key, Tier::Memory, context);
                if entry.is_fresh(context.now) { Found::Fresh(entry) } else { Found::Held(entry) }
            }
            Some((_, false)) | None => self.find_beyond_memory(key, surroundings, context).await,
        }
    }

    /// Reads KV even if memory could answer, because another isolate may know more.
    pub async fn find_beyond_memory(
        &self,
        key: &Key,
        surroundings: &F::Surroundings,
        context: &Context,
    ) -> Found<F> {
        let found = self.find_in_kv(key, surroundings, context).boxed_local().await;
        let tier = if matches!(found, Found::Fresh(_)) { Tier::Kv } else { Tier::Origin };
        note(key, tier, context);
        found
    }

    /// Stores the origin's answer: in memory at once, in KV after the response.
    pub fn keep(
        &self,
        key: &Key,
        record: F::Record,
        learnt_at: Timestamp,
        surroundings: &F::Surroundings,
        context: &Context,
    ) -> Option<Rc<Entry<F>>> {
        let json = record.to_json();
        let fact = F::from_record(record, surroundings)?;
        Some(self.keep_made(key, json, fact, learnt_at, context))
    }

    /// [`Cache::keep`] for a fact that already exists: `record` is its record, as JSON.
    pub fn keep_made(
        &self,
        key: &Key,
        record: Value,
        fact: F,
        learnt_at: Timestamp,
        context: &Context,
    ) -> Rc<Entry<F>> {
        let Generations { of_group, own } = self.generations(key, context);
        let written = Written {
            learnt_at,
            written_at: context.now,
            written_by: Rc::clone(&context.request_id),
            generation: of_group,
            own_generation: own,
            record,
        };
        let kept = fact.lifetime().kept;
        let entry = self.remember(key, self.entry(key, fact, learnt_at, context), context.now);
        // If another request has fetched a newer fact meanwhile, that one counts, here and in KV.
        if Rc::ptr_eq(&entry.written_by, &context.request_id) {
            store::write_later(key, written.to_text(), kept, context);
        }
        entry
    }

    /// Changes only memory, at once. This is for the time before an origin is asked, so that no second request asks
    /// too; or for facts that do not go to KV.
    pub fn note(&self, key: &Key, fact: F, learnt_at: Timestamp, context: &Context) -> Rc<Entry<F>> {
        self.remember(key, self.entry(key, fact, learnt_at, context), context.now)
    }

    /// Lets memory answer with what it has for a while, so that not every request asks a failing origin.
    pub fn hold(&self, key: &Key, until: Timestamp) {
        self.memory.hold(key, until);
    }

    /// Deletes a key from both tiers; from KV after the response.
    pub fn forget(&self, key: &Key, context: &Context) {
        self.memory.forget(key);
        store::forget_later(key, context);
    }

    /// Deletes a key from both tiers before anything else happens, because an outside event has invalidated the fact.
    ///
    /// # Errors
    /// KV's failure; the key is then gone from memory, but maybe not from KV.
    pub async fn forget_now(&self, key: &Key, context: &Context) -> Result<(), KeyValueError> {
        self.memory.forget(key);
        store::forget(key, context).await
    }

    /// [`Cache::forget_now`] for every key of a group, with one write.
    ///
    /// # Errors
    /// KV's failure; the key is then gone from memory, but maybe not from KV.
    pub async fn forget_all_now(&self, group: &Group, context: &Context) -> Result<(), KeyValueError> {
        self.memory.forget_all(group);
        store::forget_all(group, context).await
    }

    fn entry(&self, key: &Key, fact: F, learnt_at: Timestamp, context: &Context) -> Entry<F> {
        let (written_at, written_by) = (context.now, Rc::clone(&context.request_id));
        Entry { learnt_at, written_at, written_by, generations: self.generations(key, context), fact }
    }

    /// The generations in which something is learnt now: those that KV said to this request before it asked the origin,
    /// so that what was forgotten meanwhile stays forgotten; or those that memory's entry is of.
    fn generations(&self, key: &Key, context: &Context) -> Generations {
        let of = |group: Option<&Group>, remembered: fn(&Generations) -> &Generation| -> Generation {
            let said = context.generation(group?.as_str());
            said.unwrap_or_else(|| remembered(&self.remembered(key)?.generations).clone())
        };
        Generations {
            of_group: of(key.group(), |generations| &generations.of_group),
            own: of(key.alone(), |generations| &generations.own),
        }
    }

    /// What memory has, and whether it may answer alone.
    fn in_memory(&self, key: &Key, now: Timestamp) -> Option<(Rc<Entry<F>>, bool)> {
        let Remembered { entry, until, .. } = self.memory.recall(key)?;
        Some((entry.downcast().ok()?, now < until))
    }

    async fn find_in_kv(&self, key: &Key, surroundings: &F::Surroundings, context: &Context) -> Found<F> {
        let in_kv = store::read(key, context).await;
        // Only now, because another request may have fetched more while this one waited.
        let in_memory = self.in_memory(key, context.now);
        // KV keeps entries for as long as stale use is allowed. If it has none, somebody deleted it, so expired memory
        // is dropped too. If KV does not answer, nothing is dropped.
        let forgotten = matches!(in_kv, Ok(None));
        let in_memory = in_memory.filter(|(_, valid)| *valid || !forgotten);
        let entry = match (in_memory, in_kv.unwrap_or_default()) {
            // Expired memory needs confirmation from KV. Otherwise entries deleted from KV on purpose would survive
            // here.
            (Some((memory, valid)), kv) if kv.as_ref().is_none_or(|kv| memory.is_newer_than(kv)) => {
                if valid && memory.is_fresh(context.now) {
                    return Found::Fresh(memory);
                }
                return Found::Stale(memory);
            }
            // KV has the same as memory, so nothing is compiled again.
            (Some((memory, _)), Some(kv)) if memory.is_what(&kv) => {
                self.memory.hold(key, until(&memory, context.now));
                memory
            }
            (_, Some(kv)) => match read(kv, surroundings) {
                Some(entry) => self.remember(key, entry, context.now),
                None => {
                    store::undecodable(key, context);
                    return Found::Missing;
                }
            },
            (_, None) => return Found::Missing,
        };
        if entry.is_fresh(context.now) { Found::Fresh(entry) } else { Found::Stale(entry) }
    }

    /// Stores an entry in memory unless memory has one that supersedes it. Returns the one that is stored afterwards.
    fn remember(&self, key: &Key, entry: Entry<F>, now: Timestamp) -> Rc<Entry<F>> {
        let rank = (entry.fact.is_answer(), entry.learnt_at, entry.written_at);
        let (until, weight) = (until(&entry, now), entry.fact.weight());
        let entry = Rc::new(entry);
        let group = key.group().cloned();
        let there =
            self.memory.remember(key, Remembered { entry: entry.clone(), rank, until, weight, group });
        // Memory has only entries of this type.
        there.downcast().unwrap_or(entry)
    }
}

fn note(key: &Key, tier: Tier, context: &Context) {
    if let Some(knowledge) = key.knowledge() {
        context.notes.knew(knowledge, tier);
    }
}

/// How long memory may answer alone from now on.
fn until<F: Fact>(entry: &Entry<F>, now: Timestamp) -> Timestamp {
    let lifetime = entry.fact.lifetime();
    now.plus(lifetime.memory).min(entry.learnt_at.plus(lifetime.fresh))
}

fn read<F: Fact>(written: Written, surroundings: &F::Surroundings) -> Option<Entry<F>> {
    let generations = written.generations();
    let Written { learnt_at, written_at, written_by, record, .. } = written;
    let fact = F::from_record(F::Record::from_json(record).ok()?, surroundings)?;
    Some(Entry { learnt_at, written_at, written_by, generations, fact })
}
