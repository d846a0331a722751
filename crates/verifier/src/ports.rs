//! What the verifier needs from a platform: HTTP and signatures, as two small traits. A port never decides anything.
//! Every future is local to its thread, hence no `Send`.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::HeaderName;
use http::header::{CACHE_CONTROL, RETRY_AFTER};

pub use crate::jose::{CryptoError, Signatures};

/// An outbound request with its limits. Redirects are never followed.
#[derive(Debug)]
pub struct Outbound {
    /// What is sent. Header values with credentials are marked sensitive.
    pub request: http::Request<Bytes>,
    /// From sending to the last byte of the body.
    pub timeout: Duration,
    /// How many bytes of the decompressed body are read; a longer body is [`BodyError::TooLarge`].
    pub max_body: usize,
}

/// The answer headers that anything here reads. Neither the Worker nor the tests' fakes pass on others.
/// Names already: to make one at run time takes the table of all names that `http` knows.
pub static ANSWER_HEADERS: [HeaderName; 4] = [
    CACHE_CONTROL,
    RETRY_AFTER,
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// An answer. The status is valid even if the body could not be read.
#[derive(Debug)]
pub struct Inbound {
    /// As the peer sent it; 3xx included.
    pub status: http::StatusCode,
    /// As the peer sent them: those of [`ANSWER_HEADERS`], and any others.
    pub headers: http::HeaderMap,
    /// The whole body, or why there is none.
    pub body: Result<Bytes, BodyError>,
}

/// No answer at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchError {
    /// Not reachable, refused, reset, or not a name.
    Network,
    /// Nothing within the time limit.
    TimedOut,
}

/// A status arrived, but not the whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// Longer than [`Outbound::max_body`].
    TooLarge,
    /// The connection broke, or the encoding was invalid.
    Interrupted,
    /// Not complete within the time limit.
    TimedOut,
}

/// HTTP, one request at a time.
pub trait Fetch {
    /// Sends one request; never retries, never follows a redirect.
    fn send(&self, outbound: Outbound) -> LocalBoxFuture<'_, Result<Inbound, FetchError>>;
}
