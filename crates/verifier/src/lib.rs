//! Verifies OIDC tokens: bearer text to [`oidc::VerifiedClaims`], as OpenID Connect Core 3.1.3.7 and RFC 8725 require.
//!
//! No platform, no clock, no network: `now`, HTTP and signatures are arguments. A row of this map may import only rows
//! above it.
//!
//! | module | owns |
//! | --- | --- |
//! | [`secret`] | text that must never be printed |
//! | [`time`] | instants as plain values; only the platform reads a clock |
//! | [`json`] | strict JSON, and types read from it |
//! | [`jose`] | compact JWS, the closed set of algorithms, JWK sets, choice of a key |
//! | [`ports`] | what is needed from a platform: HTTP and signatures |
//! | [`oidc`] | bearer text to `VerifiedClaims` |

pub mod json;
pub mod secret;
pub mod time;

pub mod jose;
pub mod oidc;
pub mod ports;
