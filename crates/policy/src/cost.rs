//! Counts work in debug builds, so that tests can check a bound on the cost of every reader in this crate. A count is
//! the same on every machine, whatever the load. A release build counts nothing.
//!
//! Each loop and each recursion over the content of a file or a token counts a unit for each turn.
//! `tests/policy_cost.rs` has the bounds.

#[cfg(debug_assertions)]
use std::cell::Cell;

#[cfg(debug_assertions)]
thread_local! {
    static UNITS: Cell<u64> = const { Cell::new(0) };
}

/// Counts `units` of work.
#[inline(always)]
#[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "a release build counts nothing"))]
pub(crate) fn work(units: usize) {
    #[cfg(debug_assertions)]
    UNITS.with(|so_far| so_far.set(so_far.get().saturating_add(u64::try_from(units).unwrap_or(u64::MAX))));
}

/// The result of `of`, and how many units of this crate's work it took in this thread.
#[cfg(debug_assertions)]
pub fn counted<T>(of: impl FnOnce() -> T) -> (T, u64) {
    let before = UNITS.with(Cell::get);
    let result = of();
    (result, UNITS.with(Cell::get).saturating_sub(before))
}
