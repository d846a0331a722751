//! Names that nobody else has.

use std::sync::atomic::{AtomicU64, Ordering};

use octo_sts_worker::ports::Ids;

/// UUIDs of their form, each made once in a test's process.
#[derive(Debug, Clone, Copy)]
pub struct Numbered;

impl Ids for Numbered {
    fn uuid(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        format!("00000000-0000-4000-8000-{:012x}", NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
