//! The platform: answers from a function, signatures that are always valid, and a log and a network to inspect
//! afterwards.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{self, LocalBoxFuture};
use http::header::{AUTHORIZATION, HeaderMap};
use http::{Request, Response, StatusCode};
use octo_sts_worker::api::{self, App, Arrival};
use octo_sts_worker::config::Config;
use octo_sts_worker::jose::{Algorithm, PublicKey};
use octo_sts_worker::ports::{
    Background, BodyError, Both, BudgetError, Budgets, CryptoError, Fetch, FetchError, Ids, Inbound,
    KeyValueError, KeyValueRead, KeyValueWrite, Level, Log, Metrics, MetricsError, Outbound, Point, Ports,
    RateLimitError, RateLimits, ReservationError, Reservations, Signatures, Stopwatch, Timer,
};
use octo_sts_worker::proxy::budget::{self, Ask};
use octo_sts_worker::reservation::Verdict;
use octo_sts_worker::secret::SecretBytes;
use octo_sts_worker::time::Timestamp;
use serde_json::Value;

/// 2026-11-20T17:00:00Z
pub const NOW: i64 = 1_795_194_000;

pub const SECRET: &str = "a webhook secret";

pub fn now() -> Timestamp {
    Timestamp::from_unix_seconds(NOW).expect("a time")
}

/// A recorded request.
pub struct Sent {
    pub method: String,
    pub uri: http::Uri,
    pub credential: Option<String>,
    pub body: Value,
}

impl Sent {
    /// `METHOD host/path?query`
    pub fn line(&self) -> String {
        format!(
            "{} {}{}",
            self.method,
            self.uri.authority().expect("a host"),
            self.uri.path_and_query().expect("a path")
        )
    }
}

/// Who answers; the number counts requests.
type Answerer = dyn Fn(usize, &Sent) -> Answer;

/// Who knows what KV has under a key.
type Store = dyn Fn(&str) -> Option<String>;

pub type Answer = Result<(u16, HeaderMap, Vec<u8>), FetchError>;

pub fn status(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Ok((status, HeaderMap::new(), body.into()))
}

/// Everything outside, and everything that was written.
pub struct Outside {
    pub answer: Box<Answerer>,
    pub stored: Box<Store>,
    pub sent: RefCell<Vec<Sent>>,
    pub log: RefCell<Vec<String>>,
    pub written: RefCell<Vec<(String, String)>>,
}

impl Outside {
    pub fn new(answer: impl Fn(usize, &Sent) -> Answer + 'static) -> Self {
        Self {
            answer: Box::new(answer),
            stored: Box::new(|_| None),
            sent: RefCell::default(),
            log: RefCell::default(),
            written: RefCell::default(),
        }
    }

    /// One request to the service, and the work after its answer.
    pub fn call(self: &Rc<Self>, app: &Rc<App>, request: Request<Bytes>) -> Response<Bytes> {
        let arrival = Arrival { now: now(), request_id: "request-1".to_owned() };
        let ports = Ports {
            fetch: self.clone(),
            kv_read: self.clone(),
            kv_write: self.clone(),
            signatures: Rc::new(Trusting),
            reservations: self.clone(),
            budgets: self.clone(),
            rate_limits: self.clone(),
            metrics: Some(self.clone()),
            ids: self.clone(),
            log: self.clone(),
            stopwatch: self.clone(),
            timer: self.clone(),
            background: Rc::new(AtOnce),
        };
        ready(api::handle(app, request, arrival, ports))
    }

    /// The lines of the log, each of which is one JSON object.
    pub fn lines(&self) -> Vec<Value> {
        self.log.borrow().iter().map(|line| serde_json::from_str(line).expect("a line of json")).collect()
    }

    /// The audit events.
    pub fn events(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line.get("event").is_some()).collect()
    }
}

/// Nothing here waits for anything.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing waits")
}

impl Ids for Outside {
    fn uuid(&self) -> String {
        "00000000-0000-4000-8000-000000000001".to_owned()
    }
}

impl Fetch for Outside {
    fn send(&self, outbound: Outbound) -> LocalBoxFuture<'_, Result<Inbound, FetchError>> {
        let (parts, body) = outbound.request.into_parts();
        let credential = parts.headers.get(AUTHORIZATION).map(|value| {
            assert!(value.is_sensitive());
            value.to_str().expect("ascii").strip_prefix("Bearer ").expect("a bearer").to_owned()
        });
        let sent = Sent {
            method: parts.method.to_string(),
            uri: parts.uri,
            credential,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        assert!(outbound.timeout <= Duration::from_secs(10) && outbound.max_body <= 16 * 1024 * 1024);
        let index = self.sent.borrow().len();
        assert!(index < 300, "one request to the service sends no more than this");
        let answer = (self.answer)(index, &sent);
        self.sent.borrow_mut().push(sent);
        async move {
            let (status, headers, body) = answer?;
            let body =
                if body.len() > outbound.max_body { Err(BodyError::TooLarge) } else { Ok(Bytes::from(body)) };
            Ok(Inbound { status: StatusCode::from_u16(status).expect("a status"), headers, body })
        }
        .boxed_local()
    }
}

impl KeyValueRead for Outside {
    fn read<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<Option<String>, KeyValueError>> {
        assert!(key.len() <= 512 && key.bytes().all(|b| b.is_ascii_graphic()), "{key}");
        async move { Ok((self.stored)(key)) }.boxed_local()
    }

    fn read_both<'a>(&'a self, keys: [&'a str; 2]) -> LocalBoxFuture<'a, Result<Both, KeyValueError>> {
        // No group was ever forgotten.
        async move { Ok([self.read(keys[0]).await?, None]) }.boxed_local()
    }
}

impl KeyValueWrite for Outside {
    fn write<'a>(
        &'a self,
        key: &'a str,
        text: &'a str,
        expires_after: Duration,
    ) -> LocalBoxFuture<'a, Result<(), KeyValueError>> {
        assert!(expires_after >= Duration::from_secs(60));
        self.written.borrow_mut().push((key.to_owned(), text.to_owned()));
        async move { Ok(()) }.boxed_local()
    }

    fn delete<'a>(&'a self, _: &'a str) -> LocalBoxFuture<'a, Result<(), KeyValueError>> {
        async move { Ok(()) }.boxed_local()
    }
}

/// Every budget is new.
impl Budgets for Outside {
    fn call<'a>(&'a self, object: &'a str, ask: &'a str) -> LocalBoxFuture<'a, Result<String, BudgetError>> {
        self.written.borrow_mut().push((object.to_owned(), ask.to_owned()));
        let decided = Ask::parse(ask).and_then(|ask| budget::decide(None, &ask, now()));
        let verdict = decided.map(|decision| decision.verdict.to_text());
        async move { verdict.map_err(|_| BudgetError("not understood".to_owned())) }.boxed_local()
    }
}

/// Not used, because no token is for single use here.
impl Reservations for Outside {
    fn reserve<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Timestamp,
    ) -> LocalBoxFuture<'a, Result<Verdict, ReservationError>> {
        panic!("nothing is reserved unless the operator wants it")
    }

    fn release<'a>(&'a self, _: &'a str, _: &'a str) -> LocalBoxFuture<'a, Result<(), ReservationError>> {
        panic!("nothing was reserved")
    }
}

/// Whatever is asked, a point is within Analytics Engine's limits.
impl Metrics for Outside {
    fn write(&self, point: &Point<'_>) -> Result<(), MetricsError> {
        assert!(
            point.index.len() <= 96 && point.blobs.iter().map(|blob| blob.len()).sum::<usize>() <= 16_384
        );
        assert!(point.doubles.iter().all(|double| double.is_finite()));
        Ok(())
    }
}

impl RateLimits for Outside {
    fn count<'a>(&'a self, _: &'a str, _: &'a str) -> LocalBoxFuture<'a, Result<bool, RateLimitError>> {
        panic!("nothing is counted unless a limit is bound")
    }
}

/// Everything takes no time.
impl Stopwatch for Outside {
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

impl Timer for Outside {
    fn sleep(&self, _: Duration) -> LocalBoxFuture<'_, ()> {
        future::ready(()).boxed_local()
    }
}

impl Log for Outside {
    fn write(&self, _: Level, line: &str) {
        self.log.borrow_mut().push(line.to_owned());
    }
}

/// Every signature of the right length is valid, so that the code after the verification is reached.
pub struct Trusting;

impl Signatures for Trusting {
    fn verify<'a>(
        &'a self,
        _: Algorithm,
        _: &'a PublicKey,
        _: &'a [u8],
        _: &'a [u8],
    ) -> LocalBoxFuture<'a, Result<bool, CryptoError>> {
        async { Ok(true) }.boxed_local()
    }

    fn sign_rs256<'a>(
        &'a self,
        _: &'a SecretBytes,
        _: &'a [u8],
    ) -> LocalBoxFuture<'a, Result<Vec<u8>, CryptoError>> {
        async { Ok(vec![7; 256]) }.boxed_local()
    }
}

struct AtOnce;

impl Background for AtOnce {
    fn wait_until(&self, work: LocalBoxFuture<'static, ()>) {
        ready(work);
    }
}

/// A PKCS#1 key of nine small numbers, which only the parser accepts as a key.
pub const PRIVATE_KEY: &str = concat!(
    "-----BEGIN RSA PRIVATE",
    " KEY-----\n",
    "MBsCAQACAQECAQECAQECAQECAQECAQECAQECAQE=\n",
    "-----END RSA PRIVATE",
    " KEY-----",
);

/// A service of one isolate.
pub fn app() -> Rc<App> {
    let setting = |name: &str| {
        let value = match name {
            "DOMAIN" => "sts.example.com",
            "GITHUB_APP_ID" => "4711",
            "GITHUB_APP_PRIVATE_KEY" => PRIVATE_KEY,
            "GITHUB_WEBHOOK_SECRET" => SECRET,
            "LOG_LEVEL" => "debug",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let config = Config::parse(&setting, &|_| true);
    assert!(config.missing.is_empty() && config.malformed.is_empty(), "{:?}", config.malformed);
    Rc::new(App::new(config))
}
