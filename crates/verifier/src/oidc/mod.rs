//! Bearer text to [`VerifiedClaims`]: OpenID Connect Core 3.1.3.7, with RFC 7519 and the advice of RFC 8725.
//!
//! Names carry trust. An [`UnverifiedToken`] is well-formed and nothing more; an [`Issuer`] is one that this server
//! accepts; only [`verify`] makes [`VerifiedClaims`], and only they can get a grant from a policy. [`Claims`] are the
//! same claims without any authority, for explaining and for tests.
//!
//! Caches of keys are not here, only the rules for them ([`KeysAge`], [`fresh_for`], [`cool_down_left`]); users of this
//! crate own the caches.

pub mod bearer;
mod claims;
mod discovery;
mod endpoint;
mod issuer;
mod key_rules;
mod quoted;
mod shape;
mod token;
mod verify;

pub use claims::{Claims, ClaimsError};
pub use discovery::{Document, FetchedKeys, KeysError, Outage, Unusable, fetch_keys};
pub use issuer::{Issuer, IssuerError, IssuerRule, IssuerRules, IssuerShape};
pub use key_rules::{COOL_DOWN, FetchOutcome, KeysAge, STALE_FOR, cool_down_left, fresh_for};
pub use quoted::Quoted;
pub use shape::{AudienceShape, SubjectShape};
pub use token::{OpenToken, TokenError, UnverifiedToken};
pub use verify::{VerifiedClaims, VerifyError, VerifyRules, verify, verify_open};
