//! Exchanges an OIDC token for a GitHub App installation token with exactly the permissions a trust policy
//! grants. A row of this map may import only rows above it; `tests/architecture.rs` holds the crate to it.
//!
//! | module | owns |
//! | --- | --- |
//! | [`secret`] | text that must never be printed |
//! | [`redact`] | masks what has the shape of a credential: the last line of defence for the log |
//! | [`time`] | instants as plain values; only the platform reads a clock |
//! | [`names`] | owners, repositories, identities, scopes: parsed once, then trusted |
//! | [`json`] | strict JSON, and what is made of it |
//! | [`jose`] | compact JWS, the closed set of algorithms, JWK sets, choice of a key |
//! | [`reservation`] | the rule of single use: a name has one holder until its time is over |
//! | [`ports`] | what the core needs of a platform: fetch, KV, signatures, limits, used tokens, log, a stopwatch, work after the answer |
//! | [`oidc`] | bearer text to `VerifiedClaims` |
//! | [`policy`] | YAML to `CompiledPolicy` to `Grant` or `Denial`; pure and synchronous |
//! | [`github`] | REST requests and answers as values; a mint only from a `Grant` or a fixed kind |
//! | [`context`] | one request: its instant, ports, log lines and deferred work |
//! | [`cache`] | two tiers, typed keys, freshness, negative and stale entries |
//! | [`federation`] | an assertion traded for an upstream's credential, which is kept and refreshed |
//! | [`config`] | the settings, parsed once into one value |
//! | [`sts`] | the exchange, step by step as docs/architecture.md numbers it; revocation; the audit event |
//! | [`webhook`] | signed deliveries: the caches told, a check run for every change of a policy |
//! | [`api`] | `http::Request` to `http::Response`: the route table, and the only place with status codes |
//! | `cloudflare` | the Worker: builds the ports and calls [`api::handle`]; the only importer of `worker` |
//! | `native` | ports for tests and the command line: signatures, and HTTP with the feature `cli` |

pub use octo_sts_policy::{self as policy, names};
pub use octo_sts_verifier::{jose, json, oidc, secret, time};

pub mod ports;
pub mod redact;
pub mod reservation;

pub mod cache;
pub mod config;
pub mod context;
pub mod federation;
pub mod github;

pub mod api;
pub mod sts;
pub mod webhook;

#[cfg(target_arch = "wasm32")]
mod cloudflare;
