//! The ports: a network that records, a KV that counts and fails on demand, a log that keeps everything.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, StatusCode};
use octo_sts_worker::jose::{Algorithm, PublicKey};
use octo_sts_worker::native::NativeSignatures;
use octo_sts_worker::ports::{
    self, BodyError, CryptoError, FetchError, Inbound, KeyValueError, KeyValueRead, KeyValueWrite, Level,
    Outbound, Signatures,
};
use octo_sts_worker::secret::SecretBytes;
use serde_json::Value;

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

/// What goes wrong instead of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    Status(u16),
    StatusWith(u16, &'static str, String),
    Refused,
    TimedOut,
    BrokenOff,
    TooLarge,
    Garbage,
    Body(u16, String),
}

struct Planned {
    request: String,
    fault: Fault,
    times: u32,
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
    planned: RefCell<Vec<Planned>>,
}

impl Network {
    pub(crate) fn new(github: GitHub, issuer: Issuer) -> Self {
        Self {
            github,
            issuers: vec![issuer],
            requests: RefCell::default(),
            secrets: RefCell::default(),
            ingress: RefCell::default(),
            planned: RefCell::default(),
        }
    }

    /// From now on, requests whose `METHOD host/path` contains the text go wrong.
    pub(crate) fn fail(&self, request: &str, fault: Fault) {
        self.fail_times(request, fault, u32::MAX);
    }

    /// The next so many requests go wrong.
    pub(crate) fn fail_times(&self, request: &str, fault: Fault, times: u32) {
        self.planned.borrow_mut().insert(0, Planned { request: request.to_owned(), fault, times });
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
        let plan =
            planned.iter_mut().find(|plan| plan.times > 0 && sent.to_string().contains(&plan.request))?;
        plan.times = plan.times.saturating_sub(1);
        Some(plan.fault.clone())
    }

    fn answer(&self, sent: &Sent, max_body: usize) -> Result<Inbound, FetchError> {
        if let Some(fault) = self.fault(sent) {
            return suffer(fault);
        }
        let (status, headers, body) = match sent.host.as_str() {
            "api.github.com" => self.github.answer(sent),
            "events.example.com" => {
                self.ingress.borrow_mut().push(sent.body.clone());
                (202, HeaderMap::new(), String::new())
            }
            host => match self.issuers.iter().find(|issuer| issuer.has_host(host)) {
                Some(issuer) => issuer.answer(sent),
                None => return Err(FetchError::Network),
            },
        };
        let body = if body.len() > max_body { Err(BodyError::TooLarge) } else { Ok(Bytes::from(body)) };
        Ok(Inbound { status: StatusCode::from_u16(status).unwrap(), headers, body })
    }
}

fn suffer(fault: Fault) -> Result<Inbound, FetchError> {
    let answered = |status: u16, body: Result<&str, BodyError>| {
        Ok(Inbound {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.map(|text| Bytes::copy_from_slice(text.as_bytes())),
        })
    };
    match fault {
        Fault::Status(status) => answered(status, Ok(r#"{"message":"upstream says no"}"#)),
        Fault::StatusWith(status, header, value) => {
            let mut inbound = answered(status, Ok("{}"))?;
            inbound.headers.insert(HeaderName::from_static(header), value.parse().unwrap());
            Ok(inbound)
        }
        Fault::Refused => Err(FetchError::Network),
        Fault::TimedOut => Err(FetchError::TimedOut),
        Fault::BrokenOff => answered(200, Err(BodyError::Interrupted)),
        Fault::TooLarge => answered(200, Err(BodyError::TooLarge)),
        Fault::Garbage => answered(200, Ok("<html>not what you think</html>")),
        Fault::Body(status, body) => answered(status, Ok(&body)),
    }
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
        let answer = self.answer(&sent, outbound.max_body);
        self.requests.borrow_mut().push(sent);
        async move {
            others_turn().await;
            answer
        }
        .boxed_local()
    }
}

/// Others get their turn while this one waits.
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
    pub(crate) listed: Cell<u32>,
    pub(crate) broken: Cell<bool>,
}

impl Kv {
    pub(crate) fn values(&self) -> Vec<String> {
        self.entries.borrow().iter().map(|(key, value)| format!("{key} = {value}")).collect()
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

    fn works<T>(&self, value: T) -> Result<T, KeyValueError> {
        if self.broken.get() { Err(KeyValueError("kv is down".to_owned())) } else { Ok(value) }
    }
}

impl KeyValueRead for Kv {
    fn read<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<Option<String>, KeyValueError>> {
        self.reads.set(self.reads.get() + 1);
        assert!(key.len() <= 512, "{key}");
        let found = self.entries.borrow().get(key).cloned();
        async move { self.works(found) }.boxed_local()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> LocalBoxFuture<'a, Result<Vec<String>, KeyValueError>> {
        self.listed.set(self.listed.get() + 1);
        let found = self.entries.borrow().keys().filter(|key| key.starts_with(prefix)).cloned().collect();
        async move { self.works(found) }.boxed_local()
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
            self.works(())?;
            self.entries.borrow_mut().insert(key.to_owned(), text.to_owned());
            Ok(())
        }
        .boxed_local()
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), KeyValueError>> {
        async move {
            self.works(())?;
            self.entries.borrow_mut().remove(key);
            Ok(())
        }
        .boxed_local()
    }
}

/// The log, whole.
#[derive(Default)]
pub(crate) struct Log {
    written: RefCell<Vec<(Level, String)>>,
    /// A caller of this story puts credentials where they do not belong.
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
