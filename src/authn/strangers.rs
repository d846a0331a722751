//! Limits the cost of unknown issuers. Anybody can make up any number of them, on any host, and the service contacts
//! each before a signature says who the caller is. So only a few requests at a time wait for them, and only a few a
//! minute are sent to one host. Known good issuers are neither counted nor delayed, so nobody can lock them out with
//! made-up neighbors.

use std::cell::{Cell, RefCell};
use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{self, LocalBoxFuture};
use lru::LruCache;

use crate::config::AuthnConfig;
use crate::context::Context;
use crate::oidc::{FetchedKeys, Issuer, KeysError, fetch_keys};
use crate::ports::{Fetch, FetchError, Inbound, Outbound};
use crate::problem::Problem;
use crate::time::Timestamp;

/// How many requests of an isolate may wait for unknown issuers. Each holds its token, of up to 16 KiB, and what its
/// issuer sends.
const WAITING: u32 = 64;

/// Requests to one host in a minute.
const PER_HOST: u32 = 60;
const WINDOW: Duration = Duration::from_secs(60);

/// How many hosts are counted. Making up more than that only makes each of them be contacted less often.
const HOSTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// The `Retry-After` while others wait.
const SOON: Duration = Duration::from_secs(5);

pub(super) struct Strangers {
    waiting: Cell<u32>,
    /// Since when a host's requests are counted, and how many there were.
    hosts: RefCell<LruCache<String, (Timestamp, u32)>>,
}

impl Strangers {
    pub(super) fn new() -> Self {
        Self { waiting: Cell::new(0), hosts: RefCell::new(LruCache::new(HOSTS)) }
    }

    /// [`fetch_keys`] for an issuer that is not known good.
    ///
    /// # Errors
    /// [`Problem::Unavailable`] if too many wait, or too many requests went to one of the hosts. Nothing may then be
    /// cached about the issuer, because it was not asked, or not for everything.
    pub(super) async fn fetch_keys(
        &self,
        issuer: &Issuer,
        config: &AuthnConfig,
        context: &Context,
    ) -> Result<Result<FetchedKeys, KeysError>, Problem> {
        let Some(_waiting) = Waiting::among(&self.waiting) else {
            let message = "too many requests are waiting for issuers that are not known yet";
            return Err(Problem::Unavailable(message.to_owned(), SOON));
        };
        let inner = &*context.ports.fetch;
        let counted = Counted { inner, strangers: self, now: context.now, refused: Cell::new(None) };
        let outcome = fetch_keys(issuer, &config.issuers, &counted).await;
        match (outcome, counted.refused.get()) {
            (Err(_), Some(rest)) => {
                let message = "too many issuers that are not known yet share one host";
                Err(Problem::Unavailable(message.to_owned(), rest))
            }
            (outcome, _) => Ok(outcome),
        }
    }

    /// Counts a request to a host. Returns how long to leave the host alone, if it has had its share.
    fn count(&self, host: &str, now: Timestamp) -> Result<(), Duration> {
        let mut hosts = self.hosts.borrow_mut();
        let host = host.to_ascii_lowercase();
        let (since, sent) = match hosts.get(&host) {
            Some((since, sent)) if now.since(*since) < WINDOW => (*since, *sent),
            Some(_) | None => (now, 0),
        };
        if sent >= PER_HOST {
            return Err(WINDOW.saturating_sub(now.since(since)));
        }
        hosts.put(host, (since, sent.saturating_add(1)));
        Ok(())
    }
}

/// A waiting request.
struct Waiting<'a>(&'a Cell<u32>);

impl<'a> Waiting<'a> {
    fn among(waiting: &'a Cell<u32>) -> Option<Self> {
        if waiting.get() >= WAITING {
            return None;
        }
        waiting.set(waiting.get().saturating_add(1));
        Some(Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Counts every request by its own host: a discovery document may point to another one.
struct Counted<'a> {
    inner: &'a dyn Fetch,
    strangers: &'a Strangers,
    now: Timestamp,
    refused: Cell<Option<Duration>>,
}

impl Fetch for Counted<'_> {
    fn send(&self, outbound: Outbound) -> LocalBoxFuture<'_, Result<Inbound, FetchError>> {
        let host = outbound.request.uri().host().unwrap_or_default();
        if let Err(rest) = self.strangers.count(host, self.now) {
            self.refused.set(Some(rest));
            // Not a failure of the network, which would be tried again.
            return future::ready(Err(FetchError::TimedOut)).boxed_local();
        }
        self.inner.send(outbound)
    }
}
