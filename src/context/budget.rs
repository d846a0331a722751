//! The time that a request may take, and ports that respect it. Each call has its own limit, but a caller waits for
//! their sum, and peers that answer every call at the last moment would make that minutes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{self, FutureExt, LocalBoxFuture};

use crate::ports::{
    BUDGET_TIMEOUT, BudgetError, Budgets, Fetch, FetchError, Inbound, KEY_VALUE_TIMEOUT, KeyValueError,
    KeyValueRead, KeyValueWrite, Outbound, RESERVATION_TIMEOUT, ReservationError, Reservations, Stopwatch,
    Stored,
};
use crate::reservation::Verdict;
use crate::time::Timestamp;

/// No answer takes longer. Callers give up after 30 s or more.
const BEFORE_THE_ANSWER: Duration = Duration::from_secs(25);

/// The platform ends work 30 s after the answer; the last ten seconds are for the clean-up.
/// <https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil>
const AFTER_THE_ANSWER: Duration = Duration::from_secs(20);

/// With less time than this, a call is not sent: a token minted after its caller stopped waiting cannot be revoked,
/// and GitHub may take some seconds.
const SHORTEST_CALL: Duration = Duration::from_secs(5);

/// When the time ends.
pub(super) struct Budget {
    stopwatch: Rc<dyn Stopwatch>,
    ends: Cell<Duration>,
}

impl Budget {
    /// Until the answer. Counts from the arrival of the request, because its transfer depends on the sender.
    pub(super) fn new(stopwatch: Rc<dyn Stopwatch>) -> Self {
        let ends = stopwatch.elapsed().saturating_add(BEFORE_THE_ANSWER);
        Self { stopwatch, ends: Cell::new(ends) }
    }

    /// The answer is complete; what follows has its own time.
    pub(super) fn restart(&self) {
        self.ends.set(self.stopwatch.elapsed().saturating_add(AFTER_THE_ANSWER));
    }

    /// Whether there is time to wait this long and then send a call.
    pub(super) fn has_time_for_a_call_after(&self, time: Duration) -> bool {
        self.left() >= time.saturating_add(SHORTEST_CALL)
    }

    /// Only each call's own limit applies, until [`Budget::restart`].
    pub(super) fn lift(&self) {
        self.ends.set(Duration::MAX);
    }

    fn left(&self) -> Duration {
        self.ends.get().saturating_sub(self.stopwatch.elapsed())
    }
}

/// The ports that respect the time, in one place, because each request has its own.
pub(super) struct Timed {
    pub(super) fetch: Rc<dyn Fetch>,
    pub(super) kv_read: Rc<dyn KeyValueRead>,
    pub(super) kv_write: Rc<dyn KeyValueWrite>,
    pub(super) reservations: Rc<dyn Reservations>,
    pub(super) budgets: Rc<dyn Budgets>,
    pub(super) budget: Rc<Budget>,
}

impl Timed {
    /// A call to the store is made only if its limit ends before the time does.
    fn store<'a, P: ?Sized>(&self, store: &'a Rc<P>) -> Result<&'a P, KeyValueError> {
        if self.budget.left() < KEY_VALUE_TIMEOUT {
            return Err(KeyValueError("no time left".to_owned()));
        }
        Ok(store)
    }
}

impl Fetch for Timed {
    /// A call with no time left is not sent, and fails as if no answer had come.
    fn send(&self, outbound: Outbound) -> LocalBoxFuture<'_, Result<Inbound, FetchError>> {
        let left = self.budget.left();
        if left < SHORTEST_CALL {
            return future::ready(Err(FetchError::TimedOut)).boxed_local();
        }
        self.fetch.send(Outbound { timeout: outbound.timeout.min(left), ..outbound })
    }
}

impl KeyValueRead for Timed {
    fn read<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<Option<String>, KeyValueError>> {
        match self.store(&self.kv_read) {
            Ok(store) => store.read(key),
            Err(error) => future::ready(Err(error)).boxed_local(),
        }
    }

    fn read_all<'a>(&'a self, keys: &'a [&'a str]) -> LocalBoxFuture<'a, Result<Stored, KeyValueError>> {
        match self.store(&self.kv_read) {
            Ok(store) => store.read_all(keys),
            Err(error) => future::ready(Err(error)).boxed_local(),
        }
    }
}

impl KeyValueWrite for Timed {
    fn write<'a>(
        &'a self,
        key: &'a str,
        text: &'a str,
        expires_after: Duration,
    ) -> LocalBoxFuture<'a, Result<(), KeyValueError>> {
        match self.store(&self.kv_write) {
            Ok(store) => store.write(key, text, expires_after),
            Err(error) => future::ready(Err(error)).boxed_local(),
        }
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), KeyValueError>> {
        match self.store(&self.kv_write) {
            Ok(store) => store.delete(key),
            Err(error) => future::ready(Err(error)).boxed_local(),
        }
    }
}

impl Reservations for Timed {
    /// Nothing is reserved without enough time left to mint.
    fn reserve<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        until: Timestamp,
    ) -> LocalBoxFuture<'a, Result<Verdict, ReservationError>> {
        if self.budget.left() < RESERVATION_TIMEOUT {
            return future::ready(Err(ReservationError("no time left".to_owned()))).boxed_local();
        }
        self.reservations.reserve(name, holder, until)
    }

    /// Ignores the time, because the client's next try needs the token.
    fn release<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
    ) -> LocalBoxFuture<'a, Result<(), ReservationError>> {
        self.reservations.release(name, holder)
    }
}

impl Budgets for Timed {
    /// No budget is asked where its answer would come too late.
    fn call<'a>(&'a self, object: &'a str, ask: &'a str) -> LocalBoxFuture<'a, Result<String, BudgetError>> {
        if self.budget.left() < BUDGET_TIMEOUT {
            return future::ready(Err(BudgetError("no time left".to_owned()))).boxed_local();
        }
        self.budgets.call(object, ask)
    }
}
