//! Strangers can invent any number of unknown issuers and owners. These get only a share of the KV writes, because a
//! write costs money, and the free plan has 1,000 a day. Memory stores all of them, within its bounds.
//!
//! Only facts about which nothing was known before count here. A fact that replaces another is always written, so
//! nobody can keep an old one alive by using up the share.

use std::cell::Cell;
use std::time::Duration;

use crate::time::Timestamp;

/// How many newcomers one isolate writes to KV in a minute. Real ones come once; the rest of a flood stays in memory.
const WRITTEN: u32 = 600;
const WINDOW: Duration = Duration::from_secs(60);

/// How many were written lately.
#[derive(Debug, Default)]
pub struct Newcomers(Cell<Option<(Timestamp, u32)>>);

impl Newcomers {
    /// Counts a newcomer, and returns whether it may be written to KV.
    #[must_use]
    pub fn may_be_written(&self, now: Timestamp) -> bool {
        let (since, written) = match self.0.get() {
            Some((since, written)) if now.since(since) < WINDOW => (since, written),
            Some(_) | None => (now, 0),
        };
        let within = written < WRITTEN;
        self.0.set(Some((since, written + u32::from(within))));
        within
    }
}
