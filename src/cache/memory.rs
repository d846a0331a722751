//! The memory tier: bounded, least recently used. It does not know what its entries are of, so that there is one piece
//! of code for every kind of fact; the [`Cache`](super::Cache) that owns it puts in one kind alone.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use lru::LruCache;

use super::{Bounds, Key};
use crate::time::Timestamp;

pub(super) struct Memory {
    entries: RefCell<LruCache<String, Remembered>>,
    bounds: Bounds,
}

/// Whether the entry is an answer of its origin, when it was learnt, and when it was written. What was learnt counts, not who
/// wrote last: a request that came later and failed must not take from an earlier one what that was answered meanwhile.
pub(super) type Rank = (bool, Timestamp, Timestamp);

#[derive(Clone)]
pub(super) struct Remembered {
    pub(super) entry: Rc<dyn Any>,
    pub(super) rank: Rank,
    /// Memory answers alone until then, even where the entry is stale (after the origin failed).
    pub(super) until: Timestamp,
    pub(super) weight: usize,
}

impl Memory {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { entries: RefCell::new(LruCache::new(bounds.entries)), bounds }
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.entries.borrow().contains(key.as_str())
    }

    pub(super) fn recall(&self, key: &Key) -> Option<Remembered> {
        self.entries.borrow_mut().get(key.as_str()).cloned()
    }

    /// Puts an entry in unless there is one of a higher rank; gives the one that is there then.
    pub(super) fn remember(&self, key: &Key, new: Remembered) -> Rc<dyn Any> {
        let mut entries = self.entries.borrow_mut();
        if let Some(known) = entries.peek(key.as_str())
            && known.rank > new.rank
        {
            return Rc::clone(&known.entry);
        }
        let entry = Rc::clone(&new.entry);
        entries.put(key.as_str().to_owned(), new);
        let mut weight: usize = entries.iter().map(|(_, known)| known.weight).sum();
        while weight > self.bounds.weight
            && entries.len() > 1
            && let Some((_, oldest)) = entries.pop_lru()
        {
            weight = weight.saturating_sub(oldest.weight);
        }
        entry
    }

    pub(super) fn hold(&self, key: &Key, until: Timestamp) {
        if let Some(remembered) = self.entries.borrow_mut().get_mut(key.as_str()) {
            remembered.until = remembered.until.max(until);
        }
    }

    pub(super) fn forget(&self, key: &Key) {
        self.entries.borrow_mut().pop(key.as_str());
    }

    /// Forgets every key that begins with a prefix.
    pub(super) fn forget_all(&self, prefix: &str) {
        let mut entries = self.entries.borrow_mut();
        let mut forgotten = Vec::new();
        forgotten.extend(entries.iter().map(|(key, _)| key).filter(|key| key.starts_with(prefix)).cloned());
        for key in forgotten {
            entries.pop(&key);
        }
    }
}
