//! Exchanges an OIDC token for a GitHub App installation token with exactly the permissions a trust policy
//! grants. A row of this map may import only rows above it; `tests/architecture.rs` enforces that.
//!
//! Whatever others use without the Worker is a separate crate: the verifier (`secret`, `time`, `json`, `jose`, `oidc`)
//! and the policy language (`names`, `policy`). They are re-exported here under their own names.
//!
//! | module | owns |
//! | --- | --- |
//! | [`redact`] | masks anything shaped like a credential: the last line of defense for the log |
//! | [`reservation`] | the rule of single use: a name has one holder until it expires |
//! | [`ports`] | what the core needs from a platform: fetch, KV, signatures, limits, used tokens, log, a stopwatch, work after the answer |
//! | [`context`] | one request: its instant, ports, log lines and deferred work |
//! | [`cache`] | two tiers, typed keys, freshness, negative and stale entries |
//! | [`github`] | REST requests and answers as values; a mint only from a `Grant` or a fixed kind |
//! | [`issuer`] | the service as an issuer: key ring, metadata, assertions, session tokens |
//! | [`federation`] | an assertion exchanged for an upstream's credential, which is cached and refreshed |
//! | [`config`] | the settings, parsed once, one part for each room that needs some |
//! | `problem` | every way in which a request can fail |
//! | `authn` | bearer text to `VerifiedClaims`: issuers' keys, limits, single use; does not know GitHub |
//! | `apps` | which installation serves an owner, and the tokens minted with it |
//! | `metrics` | a data point for each counted request, if a dataset is bound |
//! | `events` | audit events on their way to the log and the ingress |
//! | [`proxy`] | requests with a token in place of an API key: route, rules, budget, headers; never a stream |
//! | [`sts`] | the exchange, in the steps of docs/architecture.md; revocation; the audit event |
//! | [`webhook`] | signed deliveries: clears caches, and a check run for every change of a policy |
//! | [`api`] | `http::Request` to `http::Response`: the route table, and the only place with status codes |
//! | `cloudflare` | the Worker: builds the ports and calls [`api::handle`]; the only importer of `worker` |

pub use octo_sts_policy::{self as policy, names};
pub use octo_sts_verifier::{jose, json, oidc, secret, time};

pub mod ports;
pub mod redact;
pub mod reservation;

pub mod cache;
pub mod config;
mod problem;

pub mod context;
pub mod federation;
pub mod github;
pub mod issuer;

mod apps;
mod authn;
mod events;
mod metrics;

pub mod api;
pub mod proxy;
pub mod sts;
pub mod webhook;

#[cfg(target_arch = "wasm32")]
mod cloudflare;
