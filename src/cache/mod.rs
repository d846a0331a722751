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

use lru::LruCache;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::ports::Level;
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
}

#[derive(Serialize, Deserialize)]
struct Text<R> {
    learnt_at: i64,
    written_at: i64,
    record: R,
}

/// Entries "from the future" by more than this were not written by a sane clock: a miss.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// One kind of facts in both tiers.
pub struct Cache<F: Fact> {
    memory: RefCell<LruCache<String, Remembered<F>>>,
}

impl<F: Fact> Cache<F> {
    /// An empty cache whose memory tier holds at most `capacity` entries.
    #[must_use]
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self { memory: RefCell::new(LruCache::new(capacity)) }
    }

    /// Looks in memory, then in KV.
    pub async fn find(&self, key: &Key, surroundings: &F::Surroundings, context: &Context) -> Found<F> {
        match self.in_memory(key, context.now) {
            Some((entry, true)) if entry.is_fresh(context.now) => Found::Fresh(entry),
            Some((entry, true)) => Found::Held(entry),
            Some((entry, false)) => self.find_in_kv(key, surroundings, Some(entry), context).await,
            None => self.find_in_kv(key, surroundings, None, context).await,
        }
    }

    /// Looks in KV even where memory would answer: another isolate may know more.
    pub async fn find_beyond_memory(
        &self,
        key: &Key,
        surroundings: &F::Surroundings,
        context: &Context,
    ) -> Found<F> {
        let known = self.in_memory(key, context.now).map(|(entry, _)| entry);
        self.find_in_kv(key, surroundings, known, context).await
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
        let text = Text { learnt_at: learnt_at.unix_millis(), written_at: context.now.unix_millis(), record };
        let json = serde_json::to_string(&text).ok()?;
        let fact = F::from_record(text.record, surroundings)?;
        let kept = fact.lifetime().kept;
        let entry = self.remember(key, Entry { learnt_at, written_at: context.now, fact }, context.now);
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

    /// Lets memory answer with what it has for a while, so that a failing origin is not asked by every request.
    pub fn hold(&self, key: &Key, until: Timestamp) {
        if let Some(remembered) = self.memory.borrow_mut().get_mut(key.as_str()) {
            remembered.until = until;
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

    /// What memory has, and whether it may answer alone.
    fn in_memory(&self, key: &Key, now: Timestamp) -> Option<(Rc<Entry<F>>, bool)> {
        let mut memory = self.memory.borrow_mut();
        let remembered = memory.get(key.as_str())?;
        Some((Rc::clone(&remembered.entry), now < remembered.until))
    }

    async fn find_in_kv(
        &self,
        key: &Key,
        surroundings: &F::Surroundings,
        in_memory: Option<Rc<Entry<F>>>,
        context: &Context,
    ) -> Found<F> {
        let in_kv = self.read_kv(key, surroundings, context).await;
        let newest = match (in_memory, in_kv) {
            (Some(memory), Some(kv)) if memory.written_at > kv.written_at => memory,
            (_, Some(kv)) => self.remember(key, kv, context.now),
            (Some(memory), None) => memory,
            (None, None) => return Found::Missing,
        };
        if newest.is_fresh(context.now) { Found::Fresh(newest) } else { Found::Stale(newest) }
    }

    async fn read_kv(
        &self,
        key: &Key,
        surroundings: &F::Surroundings,
        context: &Context,
    ) -> Option<Entry<F>> {
        let json = match context.ports.kv_read.read(key.as_str()).await {
            Ok(found) => found?,
            Err(error) => {
                context.log(Level::Warn, "kv read failed", &[("key", key.as_str()), ("error", &error.0)]);
                return None;
            }
        };
        let entry = decode(&json, surroundings, context.now);
        if entry.is_none() {
            context.log(Level::Warn, "kv value does not decode", &[("key", key.as_str())]);
        }
        entry
    }

    fn remember(&self, key: &Key, entry: Entry<F>, now: Timestamp) -> Rc<Entry<F>> {
        let lifetime = entry.fact.lifetime();
        let until = now.plus(lifetime.memory).min(entry.learnt_at.plus(lifetime.fresh));
        let entry = Rc::new(entry);
        let remembered = Remembered { entry: Rc::clone(&entry), until };
        self.memory.borrow_mut().put(key.as_str().to_owned(), remembered);
        entry
    }
}

fn decode<F: Fact>(json: &str, surroundings: &F::Surroundings, now: Timestamp) -> Option<Entry<F>> {
    let text: Text<F::Record> = serde_json::from_str(json).ok()?;
    let learnt_at = Timestamp::from_unix_millis(text.learnt_at)?;
    let written_at = Timestamp::from_unix_millis(text.written_at)?;
    if learnt_at.max(written_at) > now.plus(MAX_CLOCK_SKEW) {
        return None;
    }
    Some(Entry { learnt_at, written_at, fact: F::from_record(text.record, surroundings)? })
}
