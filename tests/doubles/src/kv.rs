//! Workers KV: counts, and fails on demand.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use octo_sts_worker::ports::{Both, KEY_VALUE_TIMEOUT, KeyValueError, KeyValueRead, KeyValueWrite};
use serde_json::Value;

use crate::clock::Clock;

/// A text by its key.
pub type Planted = dyn Fn(&str) -> Option<String>;

/// Workers KV.
#[derive(Default)]
pub struct Kv {
    /// What it has.
    pub entries: RefCell<BTreeMap<String, String>>,
    /// What it has besides: a text by its key.
    pub planted: Option<Box<Planted>>,
    /// Everything that was ever written.
    pub written: RefCell<Vec<(String, String)>>,
    /// How many operations read.
    pub reads: Cell<u32>,
    /// How many operations wrote.
    pub writes: Cell<u32>,
    /// How many operations deleted.
    pub deletions: Cell<u32>,
    /// Nothing works.
    pub broken: Cell<bool>,
    /// What fails of it.
    pub fault: Cell<Option<KvFault>>,
    clock: Rc<Clock>,
}

/// What fails of KV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvFault {
    /// What reads.
    Reads,
    /// What writes.
    Writes,
    /// What deletes.
    Deletions,
    /// Nothing is answered; the port gives up.
    Hangs,
    /// Everything is answered at the last moment.
    IsLate,
}

impl Kv {
    /// An empty one.
    #[must_use]
    pub fn new(clock: &Rc<Clock>) -> Self {
        Self { clock: Rc::clone(clock), ..Self::default() }
    }

    /// All entries, as text.
    #[must_use]
    pub fn values(&self) -> Vec<String> {
        self.entries.borrow().iter().map(|(key, value)| format!("{key} = {value}")).collect()
    }

    /// What holds: the entries that are of their group's generation.
    #[must_use]
    pub fn holding(&self) -> Vec<String> {
        let entries = self.entries.borrow();
        let holds = |(key, value): &(&String, &String)| {
            let parts: Vec<&str> = key.split('/').collect();
            let group = match parts.get(1) {
                Some(&"policy") => [&["v1", "policies"], &parts[2..6]].concat().join("/"),
                Some(&"installation") => [&["v1", "installations"], &parts[2..5]].concat().join("/"),
                Some(&("policies" | "installations")) => return false,
                _ => return true,
            };
            let value: Value = serde_json::from_str(value).unwrap_or_default();
            value["generation"].as_str() == entries.get(&group).map(String::as_str)
        };
        entries.iter().filter(holds).map(|(key, _)| key.clone()).collect()
    }

    /// Replaces every value whose key contains the text.
    pub fn overwrite(&self, key: &str, value: &str) {
        let mut entries = self.entries.borrow_mut();
        let mut found = false;
        for (_, entry) in entries.iter_mut().filter(|(known, _)| known.contains(key)) {
            value.clone_into(entry);
            found = true;
        }
        assert!(found, "no key contains {key}");
    }

    fn found(&self, key: &str) -> Option<String> {
        assert!(key.len() <= 512 && key.bytes().all(|byte| byte.is_ascii_graphic()), "{key}");
        let entry = self.entries.borrow().get(key).cloned();
        entry.or_else(|| self.planted.as_ref()?(key))
    }

    async fn works<T>(&self, value: T, fault: KvFault) -> Result<T, KeyValueError> {
        let takes = match self.fault.get() {
            Some(KvFault::Hangs) => Some(KEY_VALUE_TIMEOUT),
            Some(KvFault::IsLate) => Some(KEY_VALUE_TIMEOUT - Duration::from_millis(1)),
            Some(_) | None => None,
        };
        if let Some(takes) = takes {
            self.clock.wait_until(self.clock.end_of(takes)).await;
        }
        let fails = self.fault.get().is_some_and(|known| known == fault || known == KvFault::Hangs);
        if self.broken.get() || fails { Err(KeyValueError("kv is down".to_owned())) } else { Ok(value) }
    }
}

impl KeyValueRead for Kv {
    fn read<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<Option<String>, KeyValueError>> {
        self.reads.set(self.reads.get() + 1);
        let found = self.found(key);
        self.works(found, KvFault::Reads).boxed_local()
    }

    fn read_both<'a>(&'a self, keys: [&'a str; 2]) -> LocalBoxFuture<'a, Result<Both, KeyValueError>> {
        // One operation.
        self.reads.set(self.reads.get() + 1);
        let found = keys.map(|key| self.found(key));
        self.works(found, KvFault::Reads).boxed_local()
    }
}

impl KeyValueWrite for Kv {
    fn write<'a>(
        &'a self,
        key: &'a str,
        text: &'a str,
        expires_after: Duration,
    ) -> LocalBoxFuture<'a, Result<(), KeyValueError>> {
        assert!(expires_after >= Duration::from_secs(60), "KV takes no shorter expiry: {expires_after:?}");
        self.writes.set(self.writes.get() + 1);
        async move {
            self.works((), KvFault::Writes).await?;
            self.written.borrow_mut().push((key.to_owned(), text.to_owned()));
            self.entries.borrow_mut().insert(key.to_owned(), text.to_owned());
            Ok(())
        }
        .boxed_local()
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), KeyValueError>> {
        self.deletions.set(self.deletions.get() + 1);
        async move {
            self.works((), KvFault::Deletions).await?;
            self.entries.borrow_mut().remove(key);
            Ok(())
        }
        .boxed_local()
    }
}
