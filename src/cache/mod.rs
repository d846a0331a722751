//! Two tiers behind one type: the isolate's memory (bounded, least recently used), then Workers KV. Reading goes memory,
//! KV, origin; only the caller knows an origin. A KV failure is a miss and a log line, and so is a value that does not
//! decode. Writes to KV happen after the answer.
//!
//! Freshness is decided by the reader's clock from the time an entry was written; KV's own expiry only collects garbage.
//! Concurrent misses inside of an isolate each go on alone: the platform forbids waiting on another request's I/O.

mod key;

pub use key::{Key, KeySpace};

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use lru::LruCache;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::ports::{KeyValueError, Level};
use crate::time::Timestamp;

/// What a cache holds: something learnt from an origin, presence or absence alike.
pub trait Fact: Sized + 'static {
    /// The form in KV. It says everything the fact is made of.
    type Record: Serialize + DeserializeOwned;
    /// What is needed besides the record to make the fact again.
    type Surroundings;

    /// Makes the fact from its record. `None`: a record no version of us would write.
    fn from_record(record: Self::Record, surroundings: &Self::Surroundings) -> Option<Self>;

    /// How long the fact holds and is kept.
    fn lifetime(&self) -> Lifetime;

    /// How much of the memory tier's [`Bounds::weight`] the fact takes.
    fn weight(&self) -> usize {
        1
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
    /// When the entry was last written; the newer of two entries wins.
    written_at: Timestamp,
    /// The request that wrote it: two entries of one millisecond are still two.
    written_by: Rc<str>,
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

struct Remembered<F> {
    entry: Rc<Entry<F>>,
    /// Memory answers alone until then, even where the entry is stale (after the origin failed).
    until: Timestamp,
    weight: usize,
}

#[derive(Serialize, Deserialize)]
struct Text<R> {
    learnt_at: i64,
    written_at: i64,
    written_by: Rc<str>,
    record: R,
}

/// Entries "from the future" by more than this were not written by a sane clock: a miss.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// One kind of facts in both tiers.
pub struct Cache<F: Fact> {
    memory: RefCell<LruCache<String, Remembered<F>>>,
    bounds: Bounds,
}

impl<F: Fact> Cache<F> {
    /// An empty cache with a bounded memory tier.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { memory: RefCell::new(LruCache::new(bounds.entries)), bounds }
    }

    /// Whether memory knows the key, fresh or not.
    #[must_use]
    pub fn is_in_memory(&self, key: &Key) -> bool {
        self.memory.borrow().contains(key.as_str())
    }

    /// Looks in memory, then in KV.
    pub async fn find(&self, key: &Key, surroundings: &F::Surroundings, context: &Context) -> Found<F> {
        match self.in_memory(key, context.now) {
            Some((entry, true)) if entry.is_fresh(context.now) => Found::Fresh(entry),
            Some((entry, true)) => Found::Held(entry),
            Some((_, false)) | None => self.find_in_kv(key, surroundings, context).await,
        }
    }

    /// Looks in KV even where memory would answer: another isolate may know more.
    pub async fn find_beyond_memory(
        &self,
        key: &Key,
        surroundings: &F::Surroundings,
        context: &Context,
    ) -> Found<F> {
        self.find_in_kv(key, surroundings, context).await
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
        let text = Text {
            learnt_at: learnt_at.unix_millis(),
            written_at: context.now.unix_millis(),
            written_by: Rc::clone(&context.request_id),
            record,
        };
        let json = serde_json::to_string(&text).ok()?;
        let fact = F::from_record(text.record, surroundings)?;
        let kept = fact.lifetime().kept;
        let entry = self.remember(key, written(fact, learnt_at, context), context.now);
        if entry.written_at > context.now {
            // A request that came later has learnt more meanwhile: its knowledge counts, here and in KV.
            return Some(entry);
        }
        let (key, context_after) = (key.clone(), context.clone());
        context.defer(async move {
            let written = context_after.ports.kv_write.write(key.as_str(), &json, kept).await;
            if let Err(error) = written {
                context_after.log(
                    Level::Warn,
                    "kv write failed",
                    &[("key", key.as_str()), ("error", &error.0)],
                );
            }
        });
        Some(entry)
    }

    /// Changes what memory alone knows, at once: before an origin is asked, so that no second request asks as well; or
    /// for good, where KV is not to be told.
    pub fn note(&self, key: &Key, fact: F, learnt_at: Timestamp, context: &Context) -> Rc<Entry<F>> {
        self.remember(key, written(fact, learnt_at, context), context.now)
    }

    /// Lets memory answer with what it has for a while, so that a failing origin is not asked by every request.
    pub fn hold(&self, key: &Key, until: Timestamp) {
        if let Some(remembered) = self.memory.borrow_mut().get_mut(key.as_str()) {
            remembered.until = remembered.until.max(until);
        }
    }

    /// Forgets a key in both tiers; in KV after the answer.
    pub fn forget(&self, key: &Key, context: &Context) {
        self.memory.borrow_mut().pop(key.as_str());
        let (key, context_after) = (key.clone(), context.clone());
        context.defer(async move {
            if let Err(error) = context_after.ports.kv_write.delete(key.as_str()).await {
                context_after.log(
                    Level::Warn,
                    "kv delete failed",
                    &[("key", key.as_str()), ("error", &error.0)],
                );
            }
        });
    }

    /// Forgets a key in both tiers before anything goes on: something outside said that the fact is void.
    ///
    /// # Errors
    /// KV's failure; memory has forgotten then, KV may not have.
    pub async fn forget_now(&self, key: &Key, context: &Context) -> Result<(), KeyValueError> {
        self.memory.borrow_mut().pop(key.as_str());
        context.ports.kv_write.delete(key.as_str()).await
    }

    /// [`Cache::forget_now`] for every key that begins with a prefix.
    ///
    /// # Errors
    /// KV's first failure; memory has forgotten then, KV may not have.
    pub async fn forget_all_now(&self, prefix: &str, context: &Context) -> Result<(), KeyValueError> {
        let remembered: Vec<String> = {
            let memory = self.memory.borrow();
            memory.iter().map(|(key, _)| key).filter(|key| key.starts_with(prefix)).cloned().collect()
        };
        for key in remembered {
            self.memory.borrow_mut().pop(&key);
        }
        let stored = context.ports.kv_read.list(prefix).await?;
        let deletions = stored.iter().map(|key| context.ports.kv_write.delete(key));
        join_all(deletions).await.into_iter().collect()
    }

    /// What memory has, and whether it may answer alone.
    fn in_memory(&self, key: &Key, now: Timestamp) -> Option<(Rc<Entry<F>>, bool)> {
        let mut memory = self.memory.borrow_mut();
        let remembered = memory.get(key.as_str())?;
        Some((Rc::clone(&remembered.entry), now < remembered.until))
    }

    async fn find_in_kv(&self, key: &Key, surroundings: &F::Surroundings, context: &Context) -> Found<F> {
        let in_kv = self.read_kv(key, context).await;
        // Only now: another request may have learnt more while this one waited.
        let in_memory = self.in_memory(key, context.now);
        // KV keeps what is worth using stale. Where it has nothing, it was told to forget, and so is memory that is past
        // its time. A KV that says nothing at all forgets nothing.
        let forgotten = matches!(in_kv, Ok(None));
        let in_memory = in_memory.filter(|(_, valid)| *valid || !forgotten);
        let entry = match (in_memory, in_kv.unwrap_or_default()) {
            // Memory past its time needs KV's word: without it, what KV forgot on purpose would live on here.
            (Some((memory, valid)), kv) if kv.as_ref().is_none_or(|kv| memory.written_at > kv.written_at) => {
                if valid && memory.is_fresh(context.now) {
                    return Found::Fresh(memory);
                }
                return Found::Stale(memory);
            }
            // KV has what memory has: nothing is compiled again.
            (Some((memory, _)), Some(kv)) if kv.is_of(&memory) => {
                self.renew(key, &memory, context.now);
                memory
            }
            (_, Some(kv)) => match kv.read(surroundings) {
                Some(entry) => self.remember(key, entry, context.now),
                None => {
                    context.log(Level::Warn, "kv value does not decode", &[("key", key.as_str())]);
                    return Found::Missing;
                }
            },
            (_, None) => return Found::Missing,
        };
        if entry.is_fresh(context.now) { Found::Fresh(entry) } else { Found::Stale(entry) }
    }

    /// What KV has; an error where it did not say.
    async fn read_kv(
        &self,
        key: &Key,
        context: &Context,
    ) -> Result<Option<Written<F::Record>>, KeyValueError> {
        let read = context.ports.kv_read.read(key.as_str()).await;
        if let Err(error) = &read {
            context.log(Level::Warn, "kv read failed", &[("key", key.as_str()), ("error", &error.0)]);
        }
        let Some(json) = read? else { return Ok(None) };
        let written = Written::decode(&json, context.now);
        if written.is_none() {
            context.log(Level::Warn, "kv value does not decode", &[("key", key.as_str())]);
        }
        Ok(written)
    }

    /// How long memory may answer alone from now on.
    fn until(entry: &Entry<F>, now: Timestamp) -> Timestamp {
        let lifetime = entry.fact.lifetime();
        now.plus(lifetime.memory).min(entry.learnt_at.plus(lifetime.fresh))
    }

    fn renew(&self, key: &Key, entry: &Entry<F>, now: Timestamp) {
        self.hold(key, Self::until(entry, now));
    }

    /// Puts an entry into memory unless memory has a newer one; gives the one that is there then.
    fn remember(&self, key: &Key, entry: Entry<F>, now: Timestamp) -> Rc<Entry<F>> {
        let mut memory = self.memory.borrow_mut();
        if let Some(known) = memory.peek(key.as_str())
            && known.entry.written_at > entry.written_at
        {
            return Rc::clone(&known.entry);
        }
        let (until, weight) = (Self::until(&entry, now), entry.fact.weight());
        let entry = Rc::new(entry);
        memory.put(key.as_str().to_owned(), Remembered { entry: Rc::clone(&entry), until, weight });
        let mut weight: usize = memory.iter().map(|(_, known)| known.weight).sum();
        while weight > self.bounds.weight
            && memory.len() > 1
            && let Some((_, oldest)) = memory.pop_lru()
        {
            weight = weight.saturating_sub(oldest.weight);
        }
        entry
    }
}

fn written<F>(fact: F, learnt_at: Timestamp, context: &Context) -> Entry<F> {
    Entry { learnt_at, written_at: context.now, written_by: Rc::clone(&context.request_id), fact }
}

/// What KV holds, before anything is made of it.
struct Written<R> {
    learnt_at: Timestamp,
    written_at: Timestamp,
    written_by: Rc<str>,
    record: R,
}

impl<R: DeserializeOwned> Written<R> {
    fn decode(json: &str, now: Timestamp) -> Option<Self> {
        let text: Text<R> = serde_json::from_str(json).ok()?;
        let learnt_at = Timestamp::from_unix_millis(text.learnt_at)?;
        let written_at = Timestamp::from_unix_millis(text.written_at)?;
        let is_sane = learnt_at.max(written_at) <= now.plus(MAX_CLOCK_SKEW);
        is_sane.then_some(Self { learnt_at, written_at, written_by: text.written_by, record: text.record })
    }
}

impl<R> Written<R> {
    fn is_of<F>(&self, entry: &Entry<F>) -> bool {
        (self.learnt_at, self.written_at, &self.written_by)
            == (entry.learnt_at, entry.written_at, &entry.written_by)
    }

    fn read<F: Fact<Record = R>>(self, surroundings: &F::Surroundings) -> Option<Entry<F>> {
        let Self { learnt_at, written_at, written_by, record } = self;
        let fact = F::from_record(record, surroundings)?;
        Some(Entry { learnt_at, written_at, written_by, fact })
    }
}
