//! What strangers can invent without end, issuers and owners that nobody had heard of, gets a share of the writes to KV
//! and no more: a write costs money, or the free plan's day has 1,000. Memory remembers all of it, within its bounds.
//!
//! Only what nothing was known of before is counted here. A fact that replaces another is written whatever happens, so
//! that nobody keeps an old one alive by using up the share.

use std::cell::Cell;
use std::time::Duration;

use crate::time::Timestamp;

/// Newcomers that one isolate writes to KV in a minute. Real ones come once; the rest of a flood is in memory alone.
const WRITTEN: u32 = 600;
const WINDOW: Duration = Duration::from_secs(60);

/// How many were written lately.
#[derive(Debug, Default)]
pub struct Newcomers(Cell<Option<(Timestamp, u32)>>);

impl Newcomers {
    /// Counts a newcomer. Whether it may be written to KV.
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
