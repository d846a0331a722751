//! What the core needs from a platform, as a few traits with at most two methods. The Worker implements them on
//! Cloudflare's runtime, and the tests with stateful fakes. A port never decides anything.
//!
//! Every future is local to its isolate, hence no `Send`. Ports are held as `Rc<dyn …>`, so that work can continue
//! after the answer without a lifetime that ties it to the request.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

pub use octo_sts_verifier::ports::{
    ANSWER_HEADERS, BodyError, CryptoError, Fetch, FetchError, Inbound, Outbound, Signatures,
};

use crate::reservation::Verdict;
use crate::time::Timestamp;

/// A mark on an incoming request (`http::Extensions`): its query is invalid, or its body was cut off. Nobody may take
/// the available part for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncated;

/// A mark on an outbound request (`http::Extensions`): it goes to GitHub, so the quota in its answer is GitHub's. An
/// issuer may send that header too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToGitHub;

/// How long the request has been running.
pub trait Stopwatch {
    /// Since the request arrived. Only time limits use it: the instant of a request is its `now`.
    fn elapsed(&self) -> Duration;
}

/// Waiting.
pub trait Timer {
    /// Ends after that time.
    fn sleep(&self, time: Duration) -> LocalBoxFuture<'_, ()>;
}

/// No call to the store takes longer; after that, the port fails the call.
pub const KEY_VALUE_TIMEOUT: Duration = Duration::from_secs(5);

/// The store failed. A failure is a miss for the caller, and a line in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValueError(pub String);

/// The values of some keys, in their order.
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
    /// Stores text; the store deletes it after `expires_after` (at least 60 s), which is only garbage collection.
    fn write<'a>(
        &'a self,
        key: &'a str,
        text: &'a str,
        expires_after: Duration,
    ) -> LocalBoxFuture<'a, Result<(), KeyValueError>>;
    /// Deletes a key; a missing one is not an error.
    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), KeyValueError>>;
}

/// The store did not answer, in time or at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservationError(pub String);

/// No call to the record of used tokens takes longer; after that, the port fails the call. A nearby object answers in a
/// few milliseconds, and a distant one in a few hundred.
pub const RESERVATION_TIMEOUT: Duration = Duration::from_secs(5);

/// A store in which a name has one holder ([`crate::reservation`]). Each call is atomic and has a time limit.
pub trait Reservations {
    /// Makes `holder` the holder of the name until then, if there is none.
    fn reserve<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        until: Timestamp,
    ) -> LocalBoxFuture<'a, Result<Verdict, ReservationError>>;
    /// Frees the name if `holder` holds it; otherwise it does nothing.
    fn release<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
    ) -> LocalBoxFuture<'a, Result<(), ReservationError>>;
}

/// The object of a budget did not answer, in time or at all. Then nothing is forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetError(pub String);

/// No call to a budget's object takes longer; after that, the port fails the call.
pub const BUDGET_TIMEOUT: Duration = Duration::from_secs(5);

/// The budgets of the proxy: an object for each, which only applies `crate::proxy::budget`. A call is atomic and has a
/// time limit.
pub trait Budgets {
    /// Sends an ask (`Ask::to_text`) to the object with this name, and returns its verdict (`Verdict::to_text`).
    fn call<'a>(&'a self, object: &'a str, ask: &'a str) -> LocalBoxFuture<'a, Result<String, BudgetError>>;
}

/// The limiter failed. This refuses no request; it is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitError(pub String);

/// Counting against the limits that the operator set (Cloudflare's rate limiting bindings).
pub trait RateLimits {
    /// Counts one under a key of the limit with this name. Returns whether that is within the limit.
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

/// The dataset did not accept the point. Nothing depends on it; it is a line in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsError(pub String);

/// Writes data points without waiting: the platform sends them after the answer.
pub trait Metrics {
    /// Writes one point.
    ///
    /// # Errors
    /// [`MetricsError`]
    fn write(&self, point: &Point<'_>) -> Result<(), MetricsError>;
}

/// The headers of a request or an answer that stays with the platform. Values are read one by one; unread values never
/// leave the platform.
pub trait Headers {
    /// All names, in lower case, each once.
    fn names(&self) -> Vec<String>;
    /// A header's values, joined by `, ` if repeated; `name` is in lower case.
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

/// Unique names.
pub trait Ids {
    /// A UUID, made at random (RFC 9562, version 4).
    fn uuid(&self) -> String;
}

/// The log. One line is one JSON object.
pub trait Log {
    /// Writes one line.
    fn write(&self, level: Level, line: &str);
}

/// Work that continues after the answer (`ctx.waitUntil`).
pub trait Background {
    /// Starts the work. Nobody waits for it, and it logs its own failures.
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
    /// The record of used tokens.
    pub reservations: Rc<dyn Reservations>,
    /// The budgets of the proxy.
    pub budgets: Rc<dyn Budgets>,
    /// Signatures.
    pub signatures: Rc<dyn Signatures>,
    /// The service's own limits.
    pub rate_limits: Rc<dyn RateLimits>,
    /// Data points; `None` if no dataset is bound.
    pub metrics: Option<Rc<dyn Metrics>>,
    /// Unique ids for what is signed.
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
