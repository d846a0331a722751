//! Bearer text to [`VerifiedClaims`]: OpenID Connect Core 3.1.3.7, with RFC 7519 and the advice of RFC 8725.
//!
//! Names carry trust. An [`UnverifiedToken`] is well-formed and nothing more; an [`Issuer`] is one that this server
//! asks for keys; [`VerifiedClaims`] come out of [`verify`] alone, and only they can be shown to a policy for a grant.
//! [`Claims`] are the same claims without any authority, for explaining and for tests.
//!
//! Not here: where keys are kept, and when they are asked for again. The rules for that are here ([`KeysAge`],
//! [`fresh_for`], [`cool_down_left`]); the caches are their users'.

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
