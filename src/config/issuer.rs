//! The service as an issuer: its signing key, and the keys that are published beside it during a rotation.

use crate::config::reader::Reader;
use crate::config::{
    ISSUER_PRIVATE_KEY, ISSUER_PRIVATE_KEY_NEXT, ISSUER_PRIVATE_KEY_PREVIOUS, Misconfigured,
};
use crate::github::{parse_private_key, rsa_public_parts};
use crate::issuer::{KeyRing, RsaKey};

/// The key ring; `None` without a signing key, which closes the issuer and nothing else. A malformed next or previous key
/// is named, left out, and closes nothing.
pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Option<KeyRing>, Misconfigured> {
    let current = reader.optional(ISSUER_PRIVATE_KEY, parse_key);
    let next = reader.optional(ISSUER_PRIVATE_KEY_NEXT, parse_key).ok().flatten();
    let previous = reader.optional(ISSUER_PRIVATE_KEY_PREVIOUS, parse_key).ok().flatten();
    let closed = |name| Misconfigured(vec![name]);
    match current.map_err(closed)? {
        None => Ok(None),
        Some(current) => Ok(Some(KeyRing::new(current, next, previous))),
    }
}

/// A key that relying parties can verify with, or none.
fn parse_key(pem: &str) -> Option<RsaKey> {
    let pkcs8 = parse_private_key(pem).ok()?;
    let (modulus, exponent) = rsa_public_parts(&pkcs8)?;
    RsaKey::new(pkcs8, &modulus, &exponent)
}
