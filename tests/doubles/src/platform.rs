//! The whole platform of one isolate.

use std::rc::Rc;

use octo_sts_worker::ports::{Metrics, Ports};

use crate::background::Background;
use crate::budgets::Budgets;
use crate::clock::Clock;
use crate::ids::Numbered;
use crate::kv::Kv;
use crate::log::Log;
use crate::metrics::Dataset;
use crate::network::{Network, Peers};
use crate::rate_limits::RateLimiters;
use crate::signatures::CountingSignatures;
use crate::used_tokens::UsedTokens;

/// Every port's fake, to look at and to break.
pub struct Platform<P> {
    /// HTTP.
    pub network: Rc<Network<P>>,
    /// Workers KV.
    pub kv: Rc<Kv>,
    /// Who came first with a token.
    pub used_tokens: Rc<UsedTokens>,
    /// What a run may still do through the proxy.
    pub budgets: Rc<Budgets>,
    /// The log.
    pub log: Rc<Log>,
    /// Signatures.
    pub signatures: Rc<CountingSignatures>,
    /// How long it takes.
    pub clock: Rc<Clock>,
    /// Limits.
    pub limits: Rc<RateLimiters>,
    /// Data points.
    pub dataset: Rc<Dataset>,
    /// Work after the answer.
    pub background: Rc<Background>,
}

impl<P> Platform<P> {
    /// A platform where nothing has happened yet. The objects' clocks begin then (milliseconds).
    pub fn new(peers: P, clock: Clock, now: i64) -> Self {
        let clock = Rc::new(clock);
        Self {
            network: Rc::new(Network::new(peers, &clock)),
            kv: Rc::new(Kv::new(&clock)),
            used_tokens: Rc::new(UsedTokens::new(now, &clock)),
            budgets: Rc::new(Budgets::new(now, &clock)),
            log: Rc::default(),
            signatures: Rc::default(),
            clock,
            limits: Rc::default(),
            dataset: Rc::default(),
            background: Rc::default(),
        }
    }

    /// Another isolate's: everything is shared but the work after its answers.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self {
            network: Rc::clone(&self.network),
            kv: Rc::clone(&self.kv),
            used_tokens: Rc::clone(&self.used_tokens),
            budgets: Rc::clone(&self.budgets),
            log: Rc::clone(&self.log),
            signatures: Rc::clone(&self.signatures),
            clock: Rc::clone(&self.clock),
            limits: Rc::clone(&self.limits),
            dataset: Rc::clone(&self.dataset),
            background: Rc::default(),
        }
    }
}

impl<P: Peers + 'static> Platform<P> {
    /// The ports of a request.
    #[must_use]
    pub fn ports(&self) -> Ports {
        let dataset: Rc<dyn Metrics> = self.dataset.clone();
        Ports {
            fetch: self.network.clone(),
            kv_read: self.kv.clone(),
            kv_write: self.kv.clone(),
            reservations: self.used_tokens.clone(),
            budgets: self.budgets.clone(),
            signatures: self.signatures.clone(),
            rate_limits: self.limits.clone(),
            metrics: Some(dataset),
            ids: Rc::new(Numbered),
            log: self.log.clone(),
            stopwatch: self.clock.clone(),
            timer: self.clock.clone(),
            background: self.background.clone(),
        }
    }
}
