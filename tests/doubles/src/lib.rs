//! Fakes of the ports, written once. A test, a bench or a fuzz target puts them in the platform's place and looks at them
//! afterwards. What tells one story only (what GitHub answers, which policy there is) stays with its test.
//!
//! | module | in the place of |
//! | --- | --- |
//! | [`sent`], [`script`], [`published`] | HTTP: a request as it left, answers in turn, an issuer's two documents |
//! | [`signatures`] | the platform's crypto: all good, or real and counted |
//! | [`key`] | an issuer's key and its tokens |
//! | [`loopback`] | a server that a process or a real client is sent to |
//!
//! With the feature `service`, the rest of the Worker's platform:
//!
//! | module | in the place of |
//! | --- | --- |
//! | `network`, `fault` | HTTP to many hosts, which records and goes wrong as planned |
//! | `kv` | Workers KV |
//! | `used_tokens`, `budgets` | the Durable Objects |
//! | `rate_limits`, `metrics` | the other bindings |
//! | `clock`, `ids`, `log`, `background` | the runtime |
//! | `message` | the headers of what is streamed past the service |
//! | `platform` | all of it at once |
//!
//! A fake keeps to what the port promises and asserts what the platform limits: lengths of keys, headers that the Worker
//! hands over, credentials that are marked.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what breaks here is a test that fails"
)]

pub mod key;
pub mod loopback;
pub mod published;
pub mod script;
pub mod sent;
pub mod signatures;

#[cfg(feature = "service")]
pub mod background;
#[cfg(feature = "service")]
pub mod budgets;
#[cfg(feature = "service")]
pub mod clock;
#[cfg(feature = "service")]
pub mod fault;
#[cfg(feature = "service")]
pub mod ids;
#[cfg(feature = "service")]
pub mod kv;
#[cfg(feature = "service")]
pub mod log;
#[cfg(feature = "service")]
pub mod message;
#[cfg(feature = "service")]
pub mod metrics;
#[cfg(feature = "service")]
pub mod network;
#[cfg(feature = "service")]
pub mod platform;
#[cfg(feature = "service")]
pub mod rate_limits;
#[cfg(feature = "service")]
pub mod used_tokens;
