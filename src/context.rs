//! What belongs to one request: its instant, its id, its ports, its log lines, the time it may take, and the work it
//! leaves for later.

mod budget;
mod notes;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture, join_all};
use serde_json::{Map, Value};

use crate::ports::{Fetch, FetchError, Inbound, Level, Log, Outbound, Ports, ToGitHub};
use crate::redact::redact;
use crate::time::Timestamp;
use budget::{Budget, Timed};

pub use notes::{Knowledge, Notes, Tier};

/// The current generation of a group of keys; `None` if the group was never invalidated.
pub type Generation = Option<Rc<str>>;

/// A request has to do with one group, or two.
type Generations = RefCell<Vec<(String, Generation)>>;

/// One request's surroundings. Cheap to clone; clones share the counters and the deferred work.
#[derive(Clone)]
pub struct Context {
    /// Read once, when the request arrives.
    pub now: Timestamp,
    /// The answer's `X-Request-Id`.
    pub request_id: Rc<str>,
    /// The platform. `fetch` counts, and like KV and the objects it keeps to the time that the request may take; `log`
    /// masks what looks like a credential.
    pub ports: Ports,
    /// `fetch` for work that must be done: it counts too, and each call gets its full time.
    pub clean_up: Rc<dyn Fetch>,
    level: Level,
    budget: Rc<Budget>,
    shared: Rc<Shared>,
    /// What the request has found out for its data point.
    pub notes: Rc<Notes>,
}

/// What clones have in common.
#[derive(Default)]
struct Shared {
    sent: Cell<u32>,
    generations: Generations,
    deferred: RefCell<Vec<LocalBoxFuture<'static, ()>>>,
}

impl Context {
    /// Takes over the ports. From here on, every outbound request counts, every log line is redacted, and the time
    /// runs.
    #[must_use]
    pub fn new(now: Timestamp, request_id: &str, level: Level, ports: Ports) -> Self {
        let shared: Rc<Shared> = Rc::default();
        let budget = Rc::new(Budget::new(Rc::clone(&ports.stopwatch)));
        let notes: Rc<Notes> = Rc::default();
        let counting =
            CountingFetch { inner: ports.fetch, shared: Rc::clone(&shared), notes: Rc::clone(&notes) };
        let clean_up: Rc<dyn Fetch> = Rc::new(counting);
        let timed = Rc::new(Timed {
            fetch: Rc::clone(&clean_up),
            kv_read: ports.kv_read,
            kv_write: ports.kv_write,
            reservations: ports.reservations,
            budgets: ports.budgets,
            budget: Rc::clone(&budget),
        });
        let log = Rc::new(RedactingLog { inner: ports.log });
        Self {
            now,
            request_id: request_id.into(),
            ports: Ports {
                fetch: timed.clone(),
                kv_read: timed.clone(),
                kv_write: timed.clone(),
                reservations: timed.clone(),
                budgets: timed,
                log,
                ..ports
            },
            clean_up,
            level,
            budget,
            shared,
            notes,
        }
    }

    /// How many outbound requests were sent so far.
    #[must_use]
    pub fn subrequests(&self) -> u32 {
        self.shared.sent.get()
    }

    /// A group's generation as this request read it from KV; `None` if it has not.
    #[must_use]
    pub fn generation(&self, group: &str) -> Option<Generation> {
        let generations = self.shared.generations.borrow();
        generations.iter().find(|(known, _)| known == group).map(|(_, generation)| generation.clone())
    }

    /// Records a group's generation as read from KV.
    pub fn note_generation(&self, group: &str, generation: Generation) {
        let mut generations = self.shared.generations.borrow_mut();
        match generations.iter_mut().find(|(known, _)| known == group) {
            Some((_, known)) => *known = generation,
            None => generations.push((group.to_owned(), generation)),
        }
    }

    /// How long the request has been running. Only time limits and the age of a token use it.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.ports.stopwatch.elapsed()
    }

    /// Waits, if there is time for it and for a call after it. Returns whether it did.
    pub async fn pause(&self, time: Duration) -> bool {
        let is_time_left = self.budget.has_time_for_a_call_after(time);
        if is_time_left {
            self.ports.timer.sleep(time).await;
        }
        is_time_left
    }

    /// For a route whose answer may take longer than others: until [`Context::release`], only the limit of each call
    /// applies.
    pub fn lift_time_limit(&self) {
        self.budget.lift();
    }

    /// Counts an outbound request that the platform sends by itself.
    pub fn count_subrequest(&self) {
        self.shared.sent.set(self.shared.sent.get().saturating_add(1));
    }

    /// Keeps work for after the answer. It does not start before [`Context::release`].
    pub fn defer(&self, work: impl Future<Output = ()> + 'static) {
        self.shared.deferred.borrow_mut().push(work.boxed_local());
    }

    /// Gives the deferred work to the platform. Called once, when the answer is complete.
    pub fn release(&self) {
        self.budget.restart();
        let work = self.shared.deferred.take();
        if !work.is_empty() {
            self.ports.background.wait_until(join_all(work).map(drop).boxed_local());
        }
    }

    /// Completes work, including deferred work, even if the caller hangs up before the answer. The platform ends
    /// everything else that a request does then.
    pub async fn see_through<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> Option<T> {
        let outcome = Rc::new(RefCell::new(None));
        let (done, after) = (Rc::clone(&outcome), self.clone());
        let whole = async move {
            let value = work.await;
            done.replace(Some(value));
            after.release();
        };
        let whole = whole.boxed_local().shared();
        self.ports.background.wait_until(whole.clone().boxed_local());
        whole.await;
        outcome.take()
    }

    /// Writes one line to the log if its level is on: `{"level", "message", "request_id", …fields}`. Values come from
    /// us or are names and codes; whoever adds one must prove that it is not a secret.
    pub fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        if level > self.level {
            return;
        }
        let mut line = Map::new();
        line.insert("level".to_owned(), level.as_str().into());
        line.insert("message".to_owned(), message.into());
        line.insert("request_id".to_owned(), (&*self.request_id).into());
        for (name, value) in fields {
            line.insert((*name).to_owned(), (*value).into());
        }
        self.ports.log.write(level, &Value::Object(line).to_string());
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("request_id", &self.request_id).finish_non_exhaustive()
    }
}

struct CountingFetch {
    inner: Rc<dyn Fetch>,
    shared: Rc<Shared>,
    notes: Rc<Notes>,
}

impl Fetch for CountingFetch {
    fn send(&self, outbound: Outbound) -> LocalBoxFuture<'_, Result<Inbound, FetchError>> {
        self.shared.sent.set(self.shared.sent.get().saturating_add(1));
        let is_to_github = outbound.request.extensions().get::<ToGitHub>().is_some();
        let answer = self.inner.send(outbound);
        if !is_to_github {
            return answer;
        }
        let noted = answer.inspect(|answer| {
            if let Ok(Inbound { headers, .. }) = answer {
                self.notes.answer_of_github(headers);
            }
        });
        noted.boxed_local()
    }
}

/// Every line to a platform's log goes through this, whoever writes it.
struct RedactingLog {
    inner: Rc<dyn Log>,
}

impl Log for RedactingLog {
    fn write(&self, level: Level, line: &str) {
        self.inner.write(level, &redact(line));
    }
}
