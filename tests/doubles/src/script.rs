//! Answers in turn, whatever is asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::{self, LocalBoxFuture};
use octo_sts_verifier::ports::{Fetch, FetchError, Inbound, Outbound};

use crate::sent::Sent;

/// Answers in turn, and keeps what was sent. Clones share both.
#[derive(Debug, Clone, Default)]
pub struct Script {
    answers: Arc<Mutex<VecDeque<Result<Inbound, FetchError>>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Script {
    /// These answers, one for each request.
    pub fn of(answers: impl IntoIterator<Item = Result<Inbound, FetchError>>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), sent: Arc::default() }
    }

    /// What was sent so far.
    #[must_use]
    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// The answers that nobody has asked for yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.answers.lock().unwrap().len()
    }

    fn next(&self, outbound: Outbound) -> Result<Inbound, FetchError> {
        self.sent.lock().unwrap().push(Sent::from(outbound));
        self.answers.lock().unwrap().pop_front().expect("one answer for each request")
    }
}

impl Fetch for Script {
    fn send(&self, outbound: Outbound) -> LocalBoxFuture<'_, Result<Inbound, FetchError>> {
        future::ready(self.next(outbound)).boxed_local()
    }
}

#[cfg(feature = "client")]
impl octo_sts::Transport for Script {
    fn send(&self, outbound: Outbound) -> Result<Inbound, FetchError> {
        self.next(outbound)
    }
}
