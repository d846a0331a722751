//! The world is hostile: every outbound call of every route, crossed with everything that can go wrong with it. The
//! tables are data; the suite goes through them fault by fault, and `page.rs` prints them into `docs/reliability.md`.
//!
//! The expectations come from the protocol: its table of steps, the failure table of trusted issuers, the bounds of the
//! caches.

mod calls;
mod catalogue;
mod exchange;
mod exchange_table;
mod kv;
mod limits;
mod page;
mod revoke;
mod time;
mod webhook;
mod webhook_table;

use crate::support::fault::Fault;
use crate::support::platform::Sent;
use crate::support::{Answer, World};

use catalogue::GROUPS;

/// Which request.
type Matches = fn(&Sent) -> bool;

/// One outbound call, and the answer for each way in which it can fail.
struct Row {
    /// Its name on the page.
    call: &'static str,
    request: Matches,
    /// How many requests of this kind come before the one that fails.
    skip: u32,
    /// What makes the service send it: a scope, or a delivery.
    story: &'static str,
    /// What KV stores from the call; empty if nothing.
    fact: &'static str,
    /// `Retry-After` of a 503.
    pause: &'static str,
    cells: [Cell; GROUPS],
    /// Single faults of a group that mean something else to this call.
    except: &'static [(&'static str, Cell)],
}

/// The result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    status: u16,
    /// The `error` of a refusal; for a 200, its outcome.
    said: &'static str,
    /// The same answer for a while, without asking again.
    remembered: bool,
    /// Older data is used, so that nobody notices.
    stale: bool,
}

impl Cell {
    const fn new(status: u16, said: &'static str) -> Self {
        Self { status, said, remembered: false, stale: false }
    }

    const fn remembered(self) -> Self {
        Self { remembered: true, ..self }
    }

    const fn stale(self) -> Self {
        Self { stale: true, ..self }
    }
}

impl Row {
    /// Every fault with its result.
    fn each(&self) -> impl Iterator<Item = (&'static str, Fault, Cell)> {
        catalogue::all().into_iter().zip(self.cells).flat_map(move |(group, cell)| {
            group.faults.into_iter().map(move |(name, fault)| {
                let except = self.except.iter().find(|(known, _)| *known == name);
                (name, fault, except.map_or(cell, |(_, cell)| *cell))
            })
        })
    }

    fn fails(&self, world: &World, fault: &Fault) {
        world.network.fail_where(self.request, self.skip, fault.clone());
    }

    /// How often the call was made.
    fn made(&self, world: &World) -> usize {
        world.network.requests.borrow().iter().filter(|sent| (self.request)(sent)).count()
    }
}

/// Status, code and `Retry-After` are as in the table, and nothing from an upstream is revealed.
#[track_caller]
fn is(answer: &Answer, cell: Cell, pause: &str, fault: &Fault, what: &str) {
    let said = ["error", "conclusion", "status"].iter().find_map(|member| answer.body[member].as_str());
    let said = said.unwrap_or(if answer.status.is_success() { "done" } else { "nothing" });
    assert_eq!((answer.status.as_u16(), said), (cell.status, cell.said), "{what}: {}", answer.text);
    let retry_after = match cell.status {
        429 => Some(catalogue::told_to_wait(fault).unwrap_or("60")),
        503 => Some(pause),
        _ => None,
    };
    assert_eq!(answer.header("retry-after"), retry_after, "{what}");
    assert!(!answer.text.contains("upstream says"), "{what}: no upstream body is ever returned");
}

/// Every token that was minted is in the answer or revoked.
#[track_caller]
fn nothing_else_lives(world: &World, answer: &Answer, what: &str) {
    let delivered = answer.body["token"].as_str();
    for minted in world.github().ledger.borrow().iter().filter(|minted| !minted.revoked) {
        assert_eq!(Some(minted.token.as_str()), delivered, "{what}: a token lives on");
    }
}
