//! What the proxy puts into a request instead of the caller's token: a stored secret, an assertion, or the credential
//! that a provider gives for an assertion (docs/federation.md). It knows neither the caller's request nor a stream; the
//! changes to the request's headers are a value.
//!
//! | file | owns |
//! | --- | --- |
//! | `credential` | the setting: one of eight kinds |
//! | `engine` | the OAuth exchange; most providers are configurations of it |
//! | `anthropic`, `aws`, `azure`, `google`, `openai`, `oauth`, `stored` | what is specific to one kind |
//! | `sigv4` | AWS's signatures and Bedrock's short-term key |
//! | `prepare` | one request: its credential, from memory or new |
//! | `kept` | which credentials are stored, how long, and who refreshes them |

pub(crate) mod address;
mod anthropic;
mod aws;
mod azure;
mod credential;
mod engine;
mod failure;
mod google;
mod kept;
pub(crate) mod members;
mod oauth;
mod openai;
mod prepare;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod schema;
mod sigv4;
mod stored;
mod xml;

pub use credential::{Credential, UpstreamContext};
pub use failure::Failure;
pub use prepare::{Caller, ERROR_TYPE, Federation, Prepared, Sent, Wanted, merged};
pub use sigv4::Signer;
