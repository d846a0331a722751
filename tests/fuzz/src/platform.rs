//! The platform: answers by a function, signatures that are always good, nothing that waits.

use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use octo_sts_doubles::clock::Clock;
use octo_sts_doubles::network::Peers;
use octo_sts_doubles::platform::Platform;
use octo_sts_doubles::sent::inbound;
use octo_sts_doubles::signatures::CountingSignatures;
pub use octo_sts_doubles::{sent::Sent, signatures::Trusting};
use octo_sts_worker::api::{self, App, Arrival};
use octo_sts_worker::config::Config;
use octo_sts_worker::ports::{FetchError, Inbound};
use octo_sts_worker::time::Timestamp;

/// 2026-11-20T17:00:00Z
pub const NOW: i64 = 1_795_194_000;

pub const SECRET: &str = "a webhook secret";

pub fn now() -> Timestamp {
    Timestamp::from_unix_seconds(NOW).expect("a time")
}

pub type Answer = Result<Inbound, FetchError>;

pub fn status(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Ok(inbound(status, body.into()))
}

/// What answers; the number counts requests.
type Answering = dyn Fn(usize, &Sent) -> Answer;

/// Who answers, by a function.
pub struct Answerer(Box<Answering>);

impl Peers for Answerer {
    fn answer(&self, index: usize, sent: &Sent) -> Answer {
        assert!(sent.timeout <= Duration::from_secs(10) && sent.max_body <= 16 * 1024 * 1024);
        assert!(index < 300, "one request to the service sends no more than this");
        (self.0)(index, sent)
    }
}

/// Everything outside, and everything that was written.
pub struct Outside(Platform<Answerer>);

impl Deref for Outside {
    type Target = Platform<Answerer>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Outside {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Outside {
    pub fn new(answer: impl Fn(usize, &Sent) -> Answer + 'static) -> Self {
        let mut platform = Platform::new(Answerer(Box::new(answer)), Clock::still(), NOW * 1000);
        platform.signatures = Rc::new(CountingSignatures::over(Rc::new(Trusting)));
        Self(platform)
    }

    /// One request to the service, and the work after its answer.
    pub fn call(&self, app: &Rc<App>, request: Request<Bytes>) -> Response<Bytes> {
        let arrival = Arrival { now: now(), request_id: "request-1".to_owned() };
        let response = ready(api::handle(app, request, arrival, self.ports()));
        self.background.run();
        assert!(
            self.used_tokens.asked.borrow().is_empty(),
            "nothing is reserved unless the operator wants it"
        );
        response
    }

    /// What KV and the budgets' objects were told.
    pub fn written(&self) -> Vec<String> {
        let kv = self.kv.written.borrow();
        kv.iter().map(|(key, value)| format!("{key} {value}")).chain(self.budgets.written()).collect()
    }
}

/// Nothing here waits for anything.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing waits")
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
