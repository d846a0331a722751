//! Everything outside: a network that records, and goes wrong as a test has planned.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use octo_sts_worker::ports::{ANSWER_HEADERS, BodyError, Fetch, FetchError, Inbound, Outbound};

use crate::clock::Clock;
use crate::fault::Fault;
use crate::sent::{Sent, only};

/// Who answers where nothing goes wrong.
pub trait Peers {
    /// Looks at every request, also at those that go wrong.
    fn see(&self, _sent: &Sent) {}

    /// The answer to a request, before which so many were sent.
    ///
    /// # Errors
    /// Where nobody is there.
    fn answer(&self, index: usize, sent: &Sent) -> Result<Inbound, FetchError>;
}

impl<F: Fn(usize, &Sent) -> Result<Inbound, FetchError> + ?Sized> Peers for Box<F> {
    fn answer(&self, index: usize, sent: &Sent) -> Result<Inbound, FetchError> {
        self(index, sent)
    }
}

/// Which requests.
type Matches = Box<dyn Fn(&Sent) -> bool>;

struct Planned {
    request: Matches,
    fault: Fault,
    /// The first so many go well.
    skip: u32,
    times: u32,
}

/// Everything outside. It is its peers, too: what they keep can be looked at through it.
pub struct Network<P> {
    /// Every request, in order.
    pub requests: RefCell<Vec<Sent>>,
    /// What hosts say is left of a rate, in answers that are not planned: one less with each.
    pub quotas: RefCell<BTreeMap<&'static str, u32>>,
    planned: RefCell<Vec<Planned>>,
    clock: Rc<Clock>,
    peers: P,
}

impl<P> Deref for Network<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.peers
    }
}

impl<P> DerefMut for Network<P> {
    fn deref_mut(&mut self) -> &mut P {
        &mut self.peers
    }
}

impl<P> Network<P> {
    /// A network of these peers.
    pub fn new(peers: P, clock: &Rc<Clock>) -> Self {
        Self {
            requests: RefCell::default(),
            quotas: RefCell::default(),
            planned: RefCell::default(),
            clock: Rc::clone(clock),
            peers,
        }
    }

    /// From now on, requests whose `METHOD host/path` contains the text go wrong.
    pub fn fail(&self, request: &str, fault: Fault) {
        self.fail_times(request, fault, u32::MAX);
    }

    /// The next so many requests go wrong.
    pub fn fail_times(&self, request: &str, fault: Fault, times: u32) {
        let request = request.to_owned();
        self.plan(Box::new(move |sent| sent.to_string().contains(&request)), 0, times, fault);
    }

    /// From now on, these requests go wrong, but for the first so many.
    pub fn fail_where(&self, request: fn(&Sent) -> bool, skip: u32, fault: Fault) {
        self.plan(Box::new(request), skip, u32::MAX, fault);
    }

    /// The next so many of these requests go wrong.
    pub fn fail_where_times(&self, request: fn(&Sent) -> bool, times: u32, fault: Fault) {
        self.plan(Box::new(request), 0, times, fault);
    }

    fn plan(&self, request: Matches, skip: u32, times: u32, fault: Fault) {
        self.planned.borrow_mut().insert(0, Planned { request, fault, skip, times });
    }

    /// Everything works again.
    pub fn heal(&self) {
        self.planned.borrow_mut().clear();
    }

    /// How many requests contained the text.
    #[must_use]
    pub fn count(&self, request: &str) -> usize {
        self.requests.borrow().iter().filter(|sent| sent.to_string().contains(request)).count()
    }

    fn fault(&self, sent: &Sent) -> Option<Fault> {
        let mut planned = self.planned.borrow_mut();
        let plan = planned.iter_mut().find(|plan| plan.times > 0 && (plan.request)(sent))?;
        if plan.skip > 0 {
            plan.skip -= 1;
            return None;
        }
        plan.times = plan.times.saturating_sub(1);
        Some(plan.fault.clone())
    }
}

impl<P: Peers> Network<P> {
    fn answer(&self, sent: &Sent, fault: Option<Fault>) -> Result<Inbound, FetchError> {
        let alteration = match fault.map(Fault::instead_of_an_answer) {
            Some(Ok(instead)) => return instead.map(seen),
            Some(Err(alteration)) => Some(alteration),
            None => None,
        };
        let index = self.requests.borrow().len();
        let mut inbound = self.peers.answer(index, sent)?;
        if let Some(left) = self.quotas.borrow_mut().get_mut(sent.host.as_str()) {
            *left -= 1;
            inbound.headers.insert("x-ratelimit-remaining", (*left).into());
        }
        if let Some(alteration) = alteration {
            inbound = alteration.of(inbound, sent.max_body);
        }
        if inbound.body.as_ref().is_ok_and(|body| body.len() > sent.max_body) {
            inbound.body = Err(BodyError::TooLarge);
        }
        Ok(seen(inbound))
    }
}

fn seen(from: Inbound) -> Inbound {
    Inbound { headers: only(&ANSWER_HEADERS, &from.headers), ..from }
}

impl<P: Peers> Fetch for Network<P> {
    fn send(&self, outbound: Outbound) -> LocalBoxFuture<'_, Result<Inbound, FetchError>> {
        let sent = Sent::from(outbound);
        self.peers.see(&sent);
        let fault = self.fault(&sent);
        let takes = fault.as_ref().map_or(Duration::ZERO, |fault| fault.takes(sent.timeout));
        let ends = self.clock.end_of(takes);
        let answer = self.answer(&sent, fault);
        self.requests.borrow_mut().push(sent);
        async move {
            self.clock.wait_until(ends).await;
            answer
        }
        .boxed_local()
    }
}
