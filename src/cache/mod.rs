//! Two tiers behind one type: the isolate's memory (bounded, least recently used), then Workers KV. Reading goes memory,
//! KV, origin; only the caller knows an origin. A KV failure is a miss and a log line, and so is a value that does not
//! decode. Writes to KV happen after the answer.
//!
//! Freshness is decided by the reader's clock from the time an entry was written; KV's own expiry only collects garbage.
//! Concurrent misses inside an isolate each go on alone: the platform forbids waiting on another request's I/O.

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
use self::store::Written;
use crate::context::{Context, Generation, Tier};
use crate::json::{FromJson, ToJson};
use crate::ports::KeyValueError;
use crate::time::Timestamp;

/// What a cache holds: something learnt from an origin, presence or absence alike.
pub trait Fact: Sized + 'static {
    /// The form in KV. It says everything the fact is made of.
    type Record: ToJson + FromJson;
    /// What is needed besides the record to make the fact again.
    type Surroundings;

    /// Makes the fact from its record. `None`: a record no version of us would write.
    fn from_record(record: Self::Record, surroundings: &Self::Surroundings) -> Option<Self>;

    /// How long the fact holds and is kept.
    fn lifetime(&self) -> Lifetime;

    /// Whether it holds what the origin is asked for, and not only that the origin failed.
    fn is_answer(&self) -> bool {
        true
    }

    /// How much of the memory tier's [`Bounds::weight`] the fact takes, in bytes.
    fn weight(&self) -> usize {
        size_of::<Self>()
    }
}

/// How much the memory tier holds: whichever bound is reached first.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Entries.
    pub entries: NonZeroUsize,
    /// The sum of all [`Fact::weight`]s.
    pub weight: usize,
}

impl Bounds {
    /// At most so many entries, of so much weight together.
    #[must_use]
    pub const fn new(entries: usize, weight: usize) -> Self {
        let entries = match NonZeroUsize::new(entries) {
            Some(entries) => entries,
            None => NonZeroUsize::MIN,
        };
        Self { entries, weight }
    }
}

/// How long a fact holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// In an isolate's memory, since it came there.
    pub memory: Duration,
    /// At all, since it was learnt.
    pub fresh: Duration,
    /// Kept in KV for the sake of stale use, since it was written.
    pub kept: Duration,
}

/// A fact and when it was learnt from its origin, and last written.
#[derive(Debug)]
pub struct Entry<F> {
    /// When the origin said so: ages and freshness count from here.
    pub learnt_at: Timestamp,
    /// When the entry was last written; of two that were learnt at one time the newer wins.
    written_at: Timestamp,
    /// The request that wrote it: two entries of one millisecond are still two.
    written_by: Rc<str>,
    /// The generation of the key's group in which it was learnt.
    generation: Generation,
    /// What was learnt.
    pub fact: F,
}

impl<F: Fact> Entry<F> {
    /// How long ago the origin said so.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        now.since(self.learnt_at)
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        self.age(now) < self.fact.lifetime().fresh
    }

    /// Whether it says more than what KV has. That an origin failed is less than any answer, whoever wrote last.
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
    /// Holds; no origin need be asked.
    Fresh(Rc<Entry<F>>),
    /// Held once. Only the caller knows whether it may still be used, and for how long.
    Stale(Rc<Entry<F>>),
    /// The same, and the origin was asked a moment ago and failed: see [`Cache::hold`].
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

    /// What memory has, whether or not it may still answer.
    #[must_use]
    pub fn remembered(&self, key: &Key) -> Option<Rc<Entry<F>>> {
        self.memory.recall(key)?.entry.downcast().ok()
    }

    /// What memory alone says, where it may answer alone.
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

    /// Looks in KV even where memory would answer: another isolate may know more.
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

    /// Keeps what the origin said: in memory at once, in KV after the answer.
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

    /// [`Cache::keep`] of a fact that is made already: `record` is its record, as JSON.
    pub fn keep_made(
        &self,
        key: &Key,
        record: Value,
        fact: F,
        learnt_at: Timestamp,
        context: &Context,
    ) -> Rc<Entry<F>> {
        let written = Written {
            learnt_at,
            written_at: context.now,
            written_by: Rc::clone(&context.request_id),
            generation: self.generation(key, context),
            record,
        };
        let kept = fact.lifetime().kept;
        let entry = self.remember(key, self.entry(key, fact, learnt_at, context), context.now);
        // Where another request has learnt more meanwhile, its knowledge counts, here and in KV.
        if Rc::ptr_eq(&entry.written_by, &context.request_id) {
            store::write_later(key, written.to_text(), kept, context);
        }
        entry
    }

    /// Changes what memory alone knows, at once: before an origin is asked, so that no second request asks as well; or
    /// for good, where KV is not to be told.
    pub fn note(&self, key: &Key, fact: F, learnt_at: Timestamp, context: &Context) -> Rc<Entry<F>> {
        self.remember(key, self.entry(key, fact, learnt_at, context), context.now)
    }

    /// Lets memory answer with what it has for a while, so that a failing origin is not asked by every request.
    pub fn hold(&self, key: &Key, until: Timestamp) {
        self.memory.hold(key, until);
    }

    /// Forgets a key in both tiers; in KV after the answer.
    pub fn forget(&self, key: &Key, context: &Context) {
        self.memory.forget(key);
        store::forget_later(key, context);
    }

    /// Forgets a key in both tiers before anything goes on: something outside said that the fact is void.
    ///
    /// # Errors
    /// KV's failure; memory has forgotten then, KV may not have.
    pub async fn forget_now(&self, key: &Key, context: &Context) -> Result<(), KeyValueError> {
        self.memory.forget(key);
        context.ports.kv_write.delete(key.as_str()).await
    }

    /// [`Cache::forget_now`] for every key of a group, by one write.
    ///
    /// # Errors
    /// KV's failure; memory has forgotten then, KV may not have.
    pub async fn forget_all_now(&self, group: &Group, context: &Context) -> Result<(), KeyValueError> {
        self.memory.forget_all(group);
        store::forget_all(group, context).await
    }

    fn entry(&self, key: &Key, fact: F, learnt_at: Timestamp, context: &Context) -> Entry<F> {
        let (written_at, written_by) = (context.now, Rc::clone(&context.request_id));
        Entry { learnt_at, written_at, written_by, generation: self.generation(key, context), fact }
    }

    /// The generation in which something is learnt now: the one that KV said to this request before it asked the origin,
    /// so that what was forgotten meanwhile stays forgotten; or the one that memory's entry is of.
    fn generation(&self, key: &Key, context: &Context) -> Generation {
        let said = context.generation(key.group()?.as_str());
        said.unwrap_or_else(|| self.remembered(key)?.generation.clone())
    }

    /// What memory has, and whether it may answer alone.
    fn in_memory(&self, key: &Key, now: Timestamp) -> Option<(Rc<Entry<F>>, bool)> {
        let Remembered { entry, until, .. } = self.memory.recall(key)?;
        Some((entry.downcast().ok()?, now < until))
    }

    async fn find_in_kv(&self, key: &Key, surroundings: &F::Surroundings, context: &Context) -> Found<F> {
        let in_kv = store::read(key, context).await;
        // Only now: another request may have learnt more while this one waited.
        let in_memory = self.in_memory(key, context.now);
        // KV keeps what is worth using stale. Where it has nothing, it was told to forget, and so is memory that is past
        // its time. A KV that says nothing at all forgets nothing.
        let forgotten = matches!(in_kv, Ok(None));
        let in_memory = in_memory.filter(|(_, valid)| *valid || !forgotten);
        let entry = match (in_memory, in_kv.unwrap_or_default()) {
            // Memory past its time needs KV's word: without it, what KV forgot on purpose would live on here.
            (Some((memory, valid)), kv) if kv.as_ref().is_none_or(|kv| memory.is_newer_than(kv)) => {
                if valid && memory.is_fresh(context.now) {
                    return Found::Fresh(memory);
                }
                return Found::Stale(memory);
            }
            // KV has what memory has: nothing is compiled again.
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

    /// Puts an entry into memory unless memory has one that says more; gives the one that is there then.
    fn remember(&self, key: &Key, entry: Entry<F>, now: Timestamp) -> Rc<Entry<F>> {
        let rank = (entry.fact.is_answer(), entry.learnt_at, entry.written_at);
        let (until, weight) = (until(&entry, now), entry.fact.weight());
        let entry = Rc::new(entry);
        let group = key.group().cloned();
        let there =
            self.memory.remember(key, Remembered { entry: entry.clone(), rank, until, weight, group });
        // Memory has entries of this type alone.
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
    let Written { learnt_at, written_at, written_by, generation, record } = written;
    let fact = F::from_record(F::Record::from_json(record).ok()?, surroundings)?;
    Some(Entry { learnt_at, written_at, written_by, generation, fact })
}
