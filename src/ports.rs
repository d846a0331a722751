//! What the core needs of a platform, as a few traits of at most two methods. The Worker implements them over
//! Cloudflare's runtime, the tests over stateful fakes. A port never decides anything: it has no policy of its own.
//!
//! Every future is local to its isolate, hence no `Send`. Ports are held as `Rc<dyn …>`, so that work can go on after
//! the answer without a life time that ties it to the request.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

pub use octo_sts_verifier::ports::{
    ANSWER_HEADERS, BodyError, CryptoError, Fetch, FetchError, Inbound, Outbound, Signatures,
};

use crate::reservation::Verdict;
use crate::time::Timestamp;

/// A mark on an arriving request (`http::Extensions`): its query is no query, or its body broke off. What is there of
/// it must not be taken for all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncated;

/// A mark on an outbound request (`http::Extensions`): it goes to GitHub, so what its answer says of a quota is GitHub's. An
/// issuer may send that header too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToGitHub;

/// How long the request has been going on.
pub trait Stopwatch {
    /// Since the request arrived. Time limits go by it and nothing else does: the instant of a request is its `now`.
    fn elapsed(&self) -> Duration;
}

/// Waiting.
pub trait Timer {
    /// Ends after that time.
    fn sleep(&self, time: Duration) -> LocalBoxFuture<'_, ()>;
}

/// No call of the store takes longer: its port fails the call then.
pub const KEY_VALUE_TIMEOUT: Duration = Duration::from_secs(5);

/// The store failed. A failure is a miss for the caller, and a line in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValueError(pub String);

/// What is stored under each of some keys, in their order.
pub type Stored = Vec<Option<String>>;

/// Reading the shared, eventually consistent store (Workers KV). Keys are at most 512 bytes.
pub trait KeyValueRead {
    /// The text stored under a key.
    fn read<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<Option<String>, KeyValueError>>;
    /// The texts stored under a few keys, by one operation.
    fn read_all<'a>(&'a self, keys: &'a [&'a str]) -> LocalBoxFuture<'a, Result<Stored, KeyValueError>>;
}

/// Writing the store.
pub trait KeyValueWrite {
    /// Stores a text; the store forgets it after `expires_after` (at least 60 s), which is garbage collection only.
    fn write<'a>(
        &'a self,
        key: &'a str,
        text: &'a str,
        expires_after: Duration,
    ) -> LocalBoxFuture<'a, Result<(), KeyValueError>>;
    /// Forgets a key; one that is not there is no error.
    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), KeyValueError>>;
}

/// The store did not say, in time or at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservationError(pub String);

/// No call of the record of used tokens takes longer: its port fails the call then. An object answers in milliseconds
/// where it lives near, and in some hundred where it does not.
pub const RESERVATION_TIMEOUT: Duration = Duration::from_secs(5);

/// A store in which a name has one holder ([`crate::reservation`]). Each call is atomic and has a time limit.
pub trait Reservations {
    /// Makes `holder` the one that holds the name until then, if nobody does.
    fn reserve<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        until: Timestamp,
    ) -> LocalBoxFuture<'a, Result<Verdict, ReservationError>>;
    /// Frees the name if `holder` holds it; it is no error if not.
    fn release<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
    ) -> LocalBoxFuture<'a, Result<(), ReservationError>>;
}

/// The object of a budget did not say, in time or at all. Nothing is let through then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetError(pub String);

/// No call of a budget's object takes longer: its port fails the call then.
pub const BUDGET_TIMEOUT: Duration = Duration::from_secs(5);

/// The budgets of the proxy: an object for each, which decides by `crate::proxy::budget` alone. A call is atomic and has
/// a time limit.
pub trait Budgets {
    /// Puts an ask (`Ask::to_text`) to the object of that name; its verdict (`Verdict::to_text`).
    fn call<'a>(&'a self, object: &'a str, ask: &'a str) -> LocalBoxFuture<'a, Result<String, BudgetError>>;
}

/// The limiter failed. Nobody is refused for that; it is a line in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitError(pub String);

/// Counting against the limits that the operator set (Cloudflare's rate limiting bindings).
pub trait RateLimits {
    /// Counts one under a key of the limit that is bound under a name. Whether that is still within the limit.
    fn count<'a>(&'a self, limit: &'a str, key: &'a str) -> LocalBoxFuture<'a, Result<bool, RateLimitError>>;
}

/// A data point of Workers Analytics Engine. docs/operating.md says what each column holds.
/// <https://developers.cloudflare.com/analytics/analytics-engine/get-started/>
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point<'a> {
    /// `index1`: by what is sampled. At most 96 bytes.
    pub index: &'a str,
    /// `blob1` and so on. At most 16 KB together.
    pub blobs: [&'a str; 10],
    /// `double1` and so on.
    pub doubles: [f64; 3],
}

/// The dataset took no point. Nothing depends on one; it is a line in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsError(pub String);

/// Writing data points. It waits for nothing: the platform sends them after the answer.
pub trait Metrics {
    /// Writes one point.
    ///
    /// # Errors
    /// [`MetricsError`]
    fn write(&self, point: &Point<'_>) -> Result<(), MetricsError>;
}

/// The headers of a request or an answer that stays with the platform. Values are looked at one by one; what nobody looks at
/// never leaves it.
pub trait Headers {
    /// All names, in lower case, each once.
    fn names(&self) -> Vec<String>;
    /// A header's values, joined by `, ` where it came more than once; `name` is in lower case.
    fn value(&self, name: &str) -> Option<String>;
}

/// How much a line matters. `LOG_LEVEL` decides which are written; audit events always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The service or its settings are at fault.
    Error,
    /// Somebody else is, or something is about to be.
    Warn,
    /// Worth knowing.
    Info,
    /// Worth knowing while searching for a fault.
    Debug,
}

impl Level {
    /// As `LOG_LEVEL` spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Names that nobody else has.
pub trait Ids {
    /// A UUID, made at random (RFC 9562, version 4).
    fn uuid(&self) -> String;
}

/// The log. One line is one JSON object.
pub trait Log {
    /// Writes one line.
    fn write(&self, level: Level, line: &str);
}

/// Work that goes on after the answer (`ctx.waitUntil`).
pub trait Background {
    /// Starts the work; nobody waits for it, and its failures are its own to log.
    fn wait_until(&self, work: LocalBoxFuture<'static, ()>);
}

/// All ports of one request.
#[derive(Clone)]
pub struct Ports {
    /// HTTP.
    pub fetch: Rc<dyn Fetch>,
    /// KV, reading.
    pub kv_read: Rc<dyn KeyValueRead>,
    /// KV, writing.
    pub kv_write: Rc<dyn KeyValueWrite>,
    /// Who came first with a token.
    pub reservations: Rc<dyn Reservations>,
    /// What a run may still do through the proxy.
    pub budgets: Rc<dyn Budgets>,
    /// Signatures.
    pub signatures: Rc<dyn Signatures>,
    /// Limits of our own.
    pub rate_limits: Rc<dyn RateLimits>,
    /// Data points; `None` where no dataset is bound.
    pub metrics: Option<Rc<dyn Metrics>>,
    /// Names for what is signed.
    pub ids: Rc<dyn Ids>,
    /// The log.
    pub log: Rc<dyn Log>,
    /// How long it takes.
    pub stopwatch: Rc<dyn Stopwatch>,
    /// Pauses.
    pub timer: Rc<dyn Timer>,
    /// Work after the answer.
    pub background: Rc<dyn Background>,
}
