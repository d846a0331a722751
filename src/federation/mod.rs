//! What the proxy puts into a request instead of the caller's token: a stored secret, an assertion, or what an assertion is
//! traded for at a provider (docs/federation.md). It knows no caller's request and no stream; what it says to do with the
//! request's headers is a value.
//!
//! | file | owns |
//! | --- | --- |
//! | `credential` | the setting: one of eight kinds |
//! | `engine` | the exchange of OAuth, of which most providers are settings |
//! | `anthropic`, `aws`, `azure`, `google`, `openai`, `oauth`, `stored` | what one kind differs by |
//! | `sigv4` | AWS's signatures and Bedrock's short-term key |
//! | `prepare` | one request: its credential, kept or had now |
//! | `kept` | which credentials are kept, how long, and who refreshes them |

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
