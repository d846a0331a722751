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
//!
//! The whole way:
//!
//! ```
//! use std::time::Duration;
//!
//! use octo_sts_verifier::oidc::{Issuer, IssuerRules, UnverifiedToken, VerifyRules, fetch_keys, verify};
//! use octo_sts_verifier::ports::{Fetch, Signatures};
//! use octo_sts_verifier::time::Timestamp;
//!
//! async fn subject(
//!     credential: &str,
//!     now: Timestamp,
//!     fetch: &dyn Fetch,
//!     signatures: &dyn Signatures,
//! ) -> Result<String, &'static str> {
//!     let github = "https://token.actions.githubusercontent.com".to_owned();
//!     let rules =
//!         IssuerRules { allowed: Some(vec![github]), own_domain: String::new(), allow_loopback_http: false };
//!     let token = UnverifiedToken::parse(credential).map_err(|error| error.code())?;
//!     let unverified_issuer = token.issuer().map_err(|error| error.code())?;
//!     let issuer = Issuer::parse(unverified_issuer, &rules).map_err(|error| error.code())?;
//!     token.check_not_expired(now).map_err(|error| error.code())?;
//!     // Keep the keys: how long they hold is in `fetched.max_age` and `oidc::fresh_for`.
//!     let fetched = fetch_keys(&issuer, &rules, fetch).await.map_err(|error| error.code())?;
//!     let rules = VerifyRules { max_lifetime: Duration::from_secs(86_400) };
//!     let verified = verify(&token, &issuer, &fetched.keys, &rules, now, signatures).await;
//!     let claims = verified.map_err(|error| error.code())?;
//!     // The audience is the caller's to compare.
//!     if claims.claims().audiences() != ["api.example.com"] {
//!         return Err("audience");
//!     }
//!     Ok(claims.claims().subject().to_owned())
//! }
//! ```

pub mod json;
pub mod secret;
pub mod time;

pub mod jose;
pub mod oidc;
pub mod ports;
