//! The service as an OIDC issuer of its own: the key ring, what it publishes, and what it signs. Pure, except for the
//! signature port. Without a signing key, everything here is off, and nothing else changes.
//!
//! The two kinds of token have different `typ`s, so that neither can be mistaken for the other: an [`Assertion`] for
//! somebody else, and a [`session`] token for our own proxy.

mod assertion;
mod key_ring;
mod metadata;
pub mod session;

pub use assertion::{Assertion, AssertionError, Subject, assertion};
pub use key_ring::{KeyRing, RsaKey};
pub use metadata::{Metadata, TOKEN_EXCHANGE};
