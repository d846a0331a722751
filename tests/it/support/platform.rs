//! The ports: a network that records, a KV that counts and fails on demand, a log that keeps everything.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, StatusCode};
use octo_sts_native::NativeSignatures;
use octo_sts_worker::jose::{Algorithm, PublicKey};
use octo_sts_worker::ports::{
    self, BodyError, Both, CryptoError, FetchError, Inbound, KEY_VALUE_TIMEOUT, KeyValueError, KeyValueRead,
    KeyValueWrite, Level, Outbound, RateLimitError, Signatures, Stopwatch,
};
use octo_sts_worker::secret::SecretBytes;
use serde_json::Value;

use super::fault::{Alteration, Fault};
use super::github::GitHub;
use super::issuer::Issuer;

/// A request as it left the service.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) timeout: Duration,
    pub(crate) max_body: usize,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.method, self.host, self.path)
    }
}

/// Which requests.
type Matches = Box<dyn Fn(&Sent) -> bool>;

struct Planned {
    request: Matches,
    fault: Fault,
    /// How many succeed first.
    skip: u32,
    times: u32,
}

/// How long a request takes, as determined by the faults.
#[derive(Default)]
pub(crate) struct Clock {
    elapsed: Cell<Duration>,
}

impl Clock {
    /// Another request arrives.
    pub(crate) fn restart(&self) {
        self.elapsed.set(Duration::ZERO);
    }

    /// Work that starts now and takes some time ends then. Others run meanwhile, at the same time.
    fn end_of(&self, time: Duration) -> Duration {
        self.elapsed.get() + time
    }

    async fn wait_until(&self, end: Duration) {
        others_turn().await;
        self.elapsed.set(self.elapsed.get().max(end));
    }
}

impl Stopwatch for Clock {
    fn elapsed(&self) -> Duration {
        self.elapsed.get()
    }
}

impl ports::Timer for Clock {
    fn sleep(&self, time: Duration) -> LocalBoxFuture<'_, ()> {
        let end = self.end_of(time);
        self.wait_until(end).boxed_local()
    }
}

/// Everything outside.
pub(crate) struct Network {
    pub(crate) github: GitHub,
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) requests: RefCell<Vec<Sent>>,
    /// Every credential that was sent.
    pub(crate) secrets: RefCell<Vec<String>>,
    /// Events that arrived at the ingress.
    pub(crate) ingress: RefCell<Vec<Value>>,
    /// Hosts with a fixed answer: a status and a body.
    pub(crate) hosts: RefCell<BTreeMap<&'static str, (u16, String)>>,
    /// The remaining rate in hosts' default answers: one less with each.
    pub(crate) quotas: RefCell<BTreeMap<&'static str, u32>>,
    planned: RefCell<Vec<Planned>>,
    clock: Rc<Clock>,
}

impl Network {
    pub(crate) fn new(github: GitHub, issuer: Issuer, clock: &Rc<Clock>) -> Self {
        Self {
            clock: Rc::clone(clock),
            github,
            issuers: vec![issuer],
            requests: RefCell::default(),
            secrets: RefCell::default(),
            ingress: RefCell::default(),
            hosts: RefCell::default(),
            quotas: RefCell::default(),
            planned: RefCell::default(),
        }
    }

    /// From now on, requests whose `METHOD host/path` contains the text fail.
    pub(crate) fn fail(&self, request: &str, fault: Fault) {
        self.fail_times(request, fault, u32::MAX);
    }

    /// The next requests fail, this many.
    pub(crate) fn fail_times(&self, request: &str, fault: Fault, times: u32) {
        let request = request.to_owned();
        let request: Matches = Box::new(move |sent| sent.to_string().contains(&request));
        self.planned.borrow_mut().insert(0, Planned { request, fault, skip: 0, times });
    }

    /// From now on, these requests fail, except for the first ones.
    pub(crate) fn fail_where(&self, request: fn(&Sent) -> bool, skip: u32, fault: Fault) {
        let plan = Planned { request: Box::new(request), fault, skip, times: u32::MAX };
        self.planned.borrow_mut().insert(0, plan);
    }

    /// The next of these requests fail, this many.
    pub(crate) fn fail_where_times(&self, request: fn(&Sent) -> bool, times: u32, fault: Fault) {
        self.planned.borrow_mut().insert(0, Planned { request: Box::new(request), fault, skip: 0, times });
    }

    /// Everything works again.
    pub(crate) fn heal(&self) {
        self.planned.borrow_mut().clear();
    }

    /// How many requests contained the text.
    pub(crate) fn count(&self, request: &str) -> usize {
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

    fn answer(&self, sent: &Sent, fault: Option<Fault>) -> Result<Inbound, FetchError> {
        let alteration = match fault {
            Some(fault) => match fault.instead_of_an_answer() {
                Ok(instead) => {
                    let seen = |from: Inbound| Inbound {
                        headers: only(&ports::ANSWER_HEADERS, &from.headers),
                        ..from
                    };
                    return instead.map(seen);
                }
                Err(alteration) => alteration,
            },
            None => Alteration::None,
        };
        let (status, mut headers, body) = match sent.host.as_str() {
            "api.github.com" => self.github.answer(sent),
            "events.example.com" => {
                self.ingress.borrow_mut().push(sent.body.clone());
                (202, HeaderMap::new(), String::new())
            }
            host => match self.issuers.iter().find(|issuer| issuer.has_host(host)) {
                Some(issuer) => issuer.answer(sent),
                None => match self.hosts.borrow().get(host) {
                    Some((status, body)) => (*status, HeaderMap::new(), body.clone()),
                    None => return Err(FetchError::Network),
                },
            },
        };
        if let Some(left) = self.quotas.borrow_mut().get_mut(sent.host.as_str()) {
            *left -= 1;
            headers.insert("x-ratelimit-remaining", (*left).into());
        }
        let body = alteration.of(body, &mut headers, sent.max_body);
        let body = if body.len() > sent.max_body { Err(BodyError::TooLarge) } else { Ok(Bytes::from(body)) };
        let headers = only(&ports::ANSWER_HEADERS, &headers);
        Ok(Inbound { status: StatusCode::from_u16(status).unwrap(), headers, body })
    }
}

/// Like the Worker, passes on only the headers with these names, so the service never sees others.
pub(crate) fn only(names: &[&'static str], headers: &HeaderMap) -> HeaderMap {
    let named = |name: &HeaderName| names.contains(&name.as_str());
    headers
        .iter()
        .filter(|(name, _)| named(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

impl ports::Fetch for Network {
    fn send(&self, outbound: Outbound) -> LocalBoxFuture<'_, Result<Inbound, FetchError>> {
        let (parts, body) = outbound.request.into_parts();
        let sent = Sent {
            method: parts.method.to_string(),
            host: parts.uri.authority().map(ToString::to_string).unwrap_or_default(),
            path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
            timeout: outbound.timeout,
            max_body: outbound.max_body,
        };
        if let Some(value) = sent.headers.get(AUTHORIZATION) {
            let is_github = matches!(sent.host.as_str(), "api.github.com" | "ghes.example.com");
            assert!(is_github, "a credential left for {sent}");
            let credential = value.to_str().unwrap().strip_prefix("Bearer ").unwrap();
            self.secrets.borrow_mut().push(credential.to_owned());
        }
        let fault = self.fault(&sent);
        let ends =
            self.clock.end_of(fault.as_ref().map_or(Duration::ZERO, |fault| fault.takes(sent.timeout)));
        let answer = self.answer(&sent, fault);
        self.requests.borrow_mut().push(sent);
        async move {
            self.clock.wait_until(ends).await;
            answer
        }
        .boxed_local()
    }
}

/// Others run while this one waits.
pub(crate) async fn others_turn() {
    let mut waited = false;
    futures_util::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Workers KV.
#[derive(Default)]
pub(crate) struct Kv {
    pub(crate) entries: RefCell<BTreeMap<String, String>>,
    pub(crate) reads: Cell<u32>,
    pub(crate) writes: Cell<u32>,
    pub(crate) deletions: Cell<u32>,
    pub(crate) broken: Cell<bool>,
    /// What fails.
    pub(crate) fault: Cell<Option<KvFault>>,
    clock: Rc<Clock>,
}

/// What fails in KV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KvFault {
    Reads,
    Writes,
    Deletions,
    /// Nothing is answered; the port gives up.
    Hangs,
    /// Everything is answered at the last moment.
    IsLate,
}

impl Kv {
    pub(crate) fn new(clock: &Rc<Clock>) -> Self {
        Self { clock: Rc::clone(clock), ..Self::default() }
    }

    pub(crate) fn values(&self) -> Vec<String> {
        self.entries.borrow().iter().map(|(key, value)| format!("{key} = {value}")).collect()
    }

    /// The valid entries: those in their group's current generation.
    pub(crate) fn holding(&self) -> Vec<String> {
        let entries = self.entries.borrow();
        let holds = |(key, value): &(&String, &String)| {
            let parts: Vec<&str> = key.split('/').collect();
            let group = match parts.get(1) {
                Some(&"policy") => [&["v1", "policies"], &parts[2..6]].concat().join("/"),
                Some(&"installation") => [&["v1", "installations"], &parts[2..5]].concat().join("/"),
                Some(&("policies" | "installations")) => return false,
                _ => return true,
            };
            let value: Value = serde_json::from_str(value).unwrap_or_default();
            value["generation"].as_str() == entries.get(&group).map(String::as_str)
        };
        entries.iter().filter(holds).map(|(key, _)| key.clone()).collect()
    }

    /// Replaces every value whose key contains the text.
    pub(crate) fn overwrite(&self, key: &str, value: &str) {
        let mut entries = self.entries.borrow_mut();
        let mut found = false;
        for (_, entry) in entries.iter_mut().filter(|(known, _)| known.contains(key)) {
            value.clone_into(entry);
            found = true;
        }
        assert!(found, "no key contains {key}");
    }

    async fn works<T>(&self, value: T, fault: KvFault) -> Result<T, KeyValueError> {
        let takes = match self.fault.get() {
            Some(KvFault::Hangs) => Some(KEY_VALUE_TIMEOUT),
            Some(KvFault::IsLate) => Some(KEY_VALUE_TIMEOUT - Duration::from_millis(1)),
            Some(_) | None => None,
        };
        if let Some(takes) = takes {
            self.clock.wait_until(self.clock.end_of(takes)).await;
        }
        let fails = self.fault.get().is_some_and(|known| known == fault || known == KvFault::Hangs);
        if self.broken.get() || fails { Err(KeyValueError("kv is down".to_owned())) } else { Ok(value) }
    }
}

impl KeyValueRead for Kv {
    fn read<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<Option<String>, KeyValueError>> {
        self.reads.set(self.reads.get() + 1);
        assert!(key.len() <= 512, "{key}");
        let found = self.entries.borrow().get(key).cloned();
        self.works(found, KvFault::Reads).boxed_local()
    }

    fn read_both<'a>(&'a self, keys: [&'a str; 2]) -> LocalBoxFuture<'a, Result<Both, KeyValueError>> {
        // One operation.
        self.reads.set(self.reads.get() + 1);
        keys.iter().for_each(|key| assert!(key.len() <= 512, "{key}"));
        let found = keys.map(|key| self.entries.borrow().get(key).cloned());
        self.works(found, KvFault::Reads).boxed_local()
    }
}

impl KeyValueWrite for Kv {
    fn write<'a>(
        &'a self,
        key: &'a str,
        text: &'a str,
        expires_after: Duration,
    ) -> LocalBoxFuture<'a, Result<(), KeyValueError>> {
        assert!(expires_after >= Duration::from_secs(60), "KV takes no shorter expiry: {expires_after:?}");
        self.writes.set(self.writes.get() + 1);
        async move {
            self.works((), KvFault::Writes).await?;
            self.entries.borrow_mut().insert(key.to_owned(), text.to_owned());
            Ok(())
        }
        .boxed_local()
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), KeyValueError>> {
        self.deletions.set(self.deletions.get() + 1);
        async move {
            self.works((), KvFault::Deletions).await?;
            self.entries.borrow_mut().remove(key);
            Ok(())
        }
        .boxed_local()
    }
}

/// Rate limiting bindings: each counts up to its limit and forgets nothing.
#[derive(Default)]
pub(crate) struct RateLimiters {
    bound: RefCell<BTreeMap<&'static str, u32>>,
    /// By binding and key.
    pub(crate) counted: RefCell<BTreeMap<(String, String), u32>>,
    pub(crate) broken: Cell<bool>,
}

impl RateLimiters {
    /// Zero means a binding that is not a rate limiter.
    pub(crate) fn bind(&self, name: &'static str, limit: u32) {
        self.bound.borrow_mut().insert(name, limit);
    }

    pub(crate) fn is_limiter(&self, name: &str) -> Option<bool> {
        self.bound.borrow().get(name).map(|limit| *limit > 0)
    }

    /// The counts of a binding, one for each key.
    pub(crate) fn counts(&self, name: &str) -> Vec<u32> {
        self.counted.borrow().iter().filter(|((limit, _), _)| limit == name).map(|(_, n)| *n).collect()
    }
}

impl ports::RateLimits for RateLimiters {
    fn count<'a>(&'a self, limit: &'a str, key: &'a str) -> LocalBoxFuture<'a, Result<bool, RateLimitError>> {
        assert!(key.len() <= 80, "{key}");
        let most = self.bound.borrow()[limit];
        let mut counted = self.counted.borrow_mut();
        let count = counted.entry((limit.to_owned(), key.to_owned())).or_default();
        *count += 1;
        let is_within = *count <= most;
        async move {
            if self.broken.get() { Err(RateLimitError("limiter is down".to_owned())) } else { Ok(is_within) }
        }
        .boxed_local()
    }
}

/// The log, whole.
#[derive(Default)]
pub(crate) struct Log {
    written: RefCell<Vec<(Level, String)>>,
    /// A caller in this story puts credentials where they do not belong.
    pub(crate) is_redacted: Cell<bool>,
}

impl Log {
    pub(crate) fn texts(&self) -> Vec<String> {
        self.written.borrow().iter().map(|(_, line)| line.clone()).collect()
    }

    /// Every line is one JSON object.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.texts().iter().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    pub(crate) fn says(&self, message: &str) -> bool {
        self.lines().iter().any(|line| line["message"] == message)
    }
}

impl ports::Log for Log {
    fn write(&self, level: Level, line: &str) {
        assert!(!line.contains('\n'), "one line: {line}");
        self.written.borrow_mut().push((level, line.to_owned()));
    }
}

/// Well-formed UUIDs, unique in a test's process.
pub(crate) struct Numbered;

impl ports::Ids for Numbered {
    fn uuid(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        format!("00000000-0000-4000-8000-{:012x}", NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Work for after the answer.
#[derive(Default)]
pub(crate) struct Background {
    work: RefCell<Vec<LocalBoxFuture<'static, ()>>>,
}

impl Background {
    pub(crate) fn run(&self) {
        loop {
            let works = self.work.take();
            if works.is_empty() {
                return;
            }
            works.into_iter().for_each(pollster::block_on);
        }
    }
}

impl Background {
    /// None of it is ever done.
    pub(crate) fn forget(&self) {
        self.work.take();
    }
}

impl ports::Background for Background {
    fn wait_until(&self, work: LocalBoxFuture<'static, ()>) {
        self.work.borrow_mut().push(work);
    }
}

/// Real signatures, counted.
#[derive(Default)]
pub(crate) struct CountingSignatures {
    inner: NativeSignatures,
    pub(crate) verified: Cell<u32>,
    pub(crate) signed: Cell<u32>,
}

impl Signatures for CountingSignatures {
    fn verify<'a>(
        &'a self,
        algorithm: Algorithm,
        key: &'a PublicKey,
        message: &'a [u8],
        signature: &'a [u8],
    ) -> LocalBoxFuture<'a, Result<bool, CryptoError>> {
        self.verified.set(self.verified.get() + 1);
        self.inner.verify(algorithm, key, message, signature)
    }

    fn sign_rs256<'a>(
        &'a self,
        pkcs8: &'a SecretBytes,
        message: &'a [u8],
    ) -> LocalBoxFuture<'a, Result<Vec<u8>, CryptoError>> {
        self.signed.set(self.signed.get() + 1);
        self.inner.sign_rs256(pkcs8, message)
    }
}
