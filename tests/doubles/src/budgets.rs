//! The budgets' objects: the state machine itself on a map, with its own clock, failing on demand.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use octo_sts_worker::ports::{self, BudgetError};
use octo_sts_worker::proxy::budget::{self, Alarm, Ask};
use octo_sts_worker::time::Timestamp;

use crate::clock::Clock;

struct Stored {
    text: String,
    alarm: Timestamp,
}

/// The budgets of the proxy.
pub struct Budgets {
    objects: RefCell<BTreeMap<String, Stored>>,
    /// Every ask, with the name of its object.
    pub asked: RefCell<Vec<(String, String)>>,
    /// Answers in place of a verdict.
    pub fault: RefCell<Option<Result<String, BudgetError>>>,
    /// The objects' own clock, in milliseconds.
    pub now: Cell<i64>,
    clock: Rc<Clock>,
}

impl Budgets {
    /// None is begun; their clock begins then (milliseconds).
    #[must_use]
    pub fn new(now: i64, clock: &Rc<Clock>) -> Self {
        Self {
            clock: Rc::clone(clock),
            objects: RefCell::default(),
            asked: RefCell::default(),
            fault: RefCell::default(),
            now: Cell::new(now),
        }
    }

    /// How many objects store anything.
    #[must_use]
    pub fn stored(&self) -> usize {
        self.ring();
        self.objects.borrow().len()
    }

    /// Everything that was written, for the search for secrets.
    #[must_use]
    pub fn written(&self) -> Vec<String> {
        let asked = self.asked.borrow();
        asked.iter().map(|(object, ask)| format!("{object} {ask}")).collect()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.now.get()).unwrap()
    }

    fn ring(&self) {
        let now = self.now();
        self.objects.borrow_mut().retain(|_, stored| {
            if stored.alarm > now {
                return true;
            }
            match budget::ring(Some(&stored.text), now) {
                Alarm::Forget => false,
                Alarm::RingAgain(moment) => {
                    stored.alarm = moment;
                    true
                }
            }
        });
    }
}

impl ports::Budgets for Budgets {
    fn call<'a>(&'a self, object: &'a str, ask: &'a str) -> LocalBoxFuture<'a, Result<String, BudgetError>> {
        async move {
            self.asked.borrow_mut().push((object.to_owned(), ask.to_owned()));
            self.clock.others_turn().await;
            if let Some(answer) = &*self.fault.borrow() {
                return answer.clone();
            }
            self.ring();
            let ask = Ask::parse(ask).unwrap();
            let mut objects = self.objects.borrow_mut();
            let stored = objects.get(object).map(|stored| stored.text.as_str());
            let decision = budget::decide(stored, &ask, self.now()).unwrap();
            if let Some(text) = decision.write {
                let alarm = decision.alarm.or(objects.get(object).map(|stored| stored.alarm)).unwrap();
                objects.insert(object.to_owned(), Stored { text, alarm });
            }
            Ok(decision.verdict.to_text())
        }
        .boxed_local()
    }
}
