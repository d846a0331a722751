//! The record of used tokens: the rule itself on a map, with its own clock, failing on demand.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use octo_sts_worker::ports::{ReservationError, Reservations};
use octo_sts_worker::reservation::{self, Verdict};
use octo_sts_worker::time::Timestamp;

use crate::clock::Clock;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// A reservation does not arrive.
    ReserveFails,
    /// A reservation arrives, and its answer does not.
    AnswerIsLost,
    /// A release does not arrive.
    ReleaseFails,
    /// Nothing arrives.
    Down,
}

struct Held {
    holder: String,
    until: Timestamp,
}

/// The record of used tokens.
pub struct UsedTokens {
    held: RefCell<BTreeMap<String, Held>>,
    /// `reserve` or `release`, in order.
    pub asked: RefCell<Vec<&'static str>>,
    /// Everything that was written, for the search for secrets.
    pub written: RefCell<Vec<String>>,
    /// What goes wrong.
    pub fault: Cell<Option<StoreFault>>,
    /// The objects' own clock, in milliseconds.
    pub now: Cell<i64>,
    clock: Rc<Clock>,
}

impl UsedTokens {
    /// An empty one, whose clock begins then (milliseconds).
    #[must_use]
    pub fn new(now: i64, clock: &Rc<Clock>) -> Self {
        Self {
            clock: Rc::clone(clock),
            held: RefCell::default(),
            asked: RefCell::default(),
            written: RefCell::default(),
            fault: Cell::default(),
            now: Cell::new(now),
        }
    }

    /// Names, their holders, and until when, of what is held now.
    #[must_use]
    pub fn held(&self) -> Vec<(String, String, i64)> {
        self.forget();
        let held = self.held.borrow();
        held.iter()
            .map(|(name, held)| (name.clone(), held.holder.clone(), held.until.unix_seconds()))
            .collect()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.now.get()).unwrap()
    }

    /// The alarms.
    fn forget(&self) {
        self.held.borrow_mut().retain(|_, held| held.until > self.now());
    }

    fn fails(&self, faults: &[StoreFault]) -> bool {
        self.fault.get().is_some_and(|fault| faults.contains(&fault))
    }
}

fn down<T>() -> Result<T, ReservationError> {
    Err(ReservationError("the object is down".to_owned()))
}

impl Reservations for UsedTokens {
    fn reserve<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        until: Timestamp,
    ) -> LocalBoxFuture<'a, Result<Verdict, ReservationError>> {
        async move {
            self.asked.borrow_mut().push("reserve");
            self.written.borrow_mut().extend([name.to_owned(), holder.to_owned()]);
            self.clock.others_turn().await;
            self.forget();
            if self.fails(&[StoreFault::ReserveFails, StoreFault::Down]) {
                return down();
            }
            let held_by = self.held.borrow().get(name).map(|held| held.holder.clone());
            let verdict = reservation::reserve(held_by.as_deref(), holder, until, self.now());
            if verdict == Verdict::Reserved {
                self.held.borrow_mut().insert(name.to_owned(), Held { holder: holder.to_owned(), until });
            }
            self.clock.others_turn().await;
            if self.fails(&[StoreFault::AnswerIsLost]) { down() } else { Ok(verdict) }
        }
        .boxed_local()
    }

    fn release<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
    ) -> LocalBoxFuture<'a, Result<(), ReservationError>> {
        async move {
            self.asked.borrow_mut().push("release");
            self.clock.others_turn().await;
            if self.fails(&[StoreFault::ReleaseFails, StoreFault::Down]) {
                return down();
            }
            let held_by = self.held.borrow().get(name).map(|held| held.holder.clone());
            if reservation::releases(held_by.as_deref(), holder) {
                self.held.borrow_mut().remove(name);
            }
            Ok(())
        }
        .boxed_local()
    }
}
