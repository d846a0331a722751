//! The memory tier: bounded, least recently used. It does not know the type of its entries, so that one piece of code
//! serves every kind of fact. The [`Cache`](super::Cache) that owns it stores only one kind.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use lru::LruCache;

use super::{Bounds, Group, Key};
use crate::time::Timestamp;

pub(super) struct Memory {
    entries: RefCell<LruCache<String, Remembered>>,
    /// The weight of all entries, kept up to date: adding it up for each new entry got more expensive with their
    /// number.
    weight: Cell<usize>,
    bounds: Bounds,
}

/// Whether the entry is an answer of its origin, when it was fetched, and when it was written. The fetch time decides,
/// not the last writer: a later request that failed must not replace what an earlier one received meanwhile.
pub(super) type Rank = (bool, Timestamp, Timestamp);

#[derive(Clone)]
pub(super) struct Remembered {
    pub(super) entry: Rc<dyn Any>,
    pub(super) rank: Rank,
    /// Memory answers alone until then, even if the entry is stale (after the origin failed).
    pub(super) until: Timestamp,
    pub(super) weight: usize,
    /// The group with which it is invalidated.
    pub(super) group: Option<Group>,
}

impl Memory {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { entries: RefCell::new(LruCache::new(bounds.entries)), weight: Cell::new(0), bounds }
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.entries.borrow().contains(key.as_str())
    }

    pub(super) fn recall(&self, key: &Key) -> Option<Remembered> {
        self.entries.borrow_mut().get(key.as_str()).cloned()
    }

    /// Stores an entry unless there is one of a higher rank. Returns the one that is stored afterwards.
    pub(super) fn remember(&self, key: &Key, new: Remembered) -> Rc<dyn Any> {
        let mut entries = self.entries.borrow_mut();
        if let Some(known) = entries.peek(key.as_str())
            && known.rank > new.rank
        {
            return Rc::clone(&known.entry);
        }
        let entry = Rc::clone(&new.entry);
        self.add(new.weight);
        // The entry that it replaced, or evicted.
        if let Some((_, replaced)) = entries.push(key.as_str().to_owned(), new) {
            self.subtract(replaced.weight);
        }
        while self.weight.get() > self.bounds.weight
            && entries.len() > 1
            && let Some((_, oldest)) = entries.pop_lru()
        {
            self.subtract(oldest.weight);
        }
        entry
    }

    pub(super) fn hold(&self, key: &Key, until: Timestamp) {
        if let Some(remembered) = self.entries.borrow_mut().get_mut(key.as_str()) {
            remembered.until = remembered.until.max(until);
        }
    }

    pub(super) fn forget(&self, key: &Key) {
        if let Some(forgotten) = self.entries.borrow_mut().pop(key.as_str()) {
            self.subtract(forgotten.weight);
        }
    }

    /// Drops every key of a group. Linear in the number of entries, which is bounded.
    pub(super) fn forget_all(&self, group: &Group) {
        let mut entries = self.entries.borrow_mut();
        let is_of_group = |known: &Remembered| known.group.as_ref() == Some(group);
        let mut forgotten = Vec::new();
        forgotten.extend(entries.iter().filter(|(_, known)| is_of_group(known)).map(|(key, _)| key.clone()));
        for key in forgotten {
            if let Some(forgotten) = entries.pop(&key) {
                self.subtract(forgotten.weight);
            }
        }
    }

    fn add(&self, weight: usize) {
        self.weight.set(self.weight.get().saturating_add(weight));
    }

    fn subtract(&self, weight: usize) {
        self.weight.set(self.weight.get().saturating_sub(weight));
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use proptest::prelude::*;

    use super::*;
    use crate::cache::KeySpace;

    fn key(name: u8) -> Key {
        KeySpace::new("https://api.github.com", "1").delivery(&name.to_string())
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_the_entries_and_the_bounds_hold(
            steps in proptest::collection::vec((0_u8..9, 0_usize..20, any::<bool>()), 0..60),
        ) {
            let memory = Memory::new(Bounds { entries: NonZeroUsize::new(4).unwrap(), weight: 12 });
            let at = Timestamp::from_unix_seconds(0).unwrap();
            for (name, weight, forgets) in steps {
                if forgets {
                    memory.forget(&key(name));
                } else {
                    memory.remember(&key(name), Remembered { entry: Rc::new(()), rank: (true, at, at), until: at, weight, group: None });
                    prop_assert!(memory.contains(&key(name)), "the newest stays");
                }
                let (sum, count) = {
                    let entries = memory.entries.borrow();
                    (entries.iter().map(|(_, known)| known.weight).sum::<usize>(), entries.len())
                };
                prop_assert_eq!(memory.weight.get(), sum);
                prop_assert!(count <= 4 && (sum <= 12 || count == 1));
            }
        }
    }
}
