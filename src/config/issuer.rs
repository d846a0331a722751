//! The service as an issuer: its signing key, and the keys published with it during a rotation.

use std::rc::Rc;

use crate::config::reader::Reader;
use crate::config::{
    ISSUER_PRIVATE_KEY, ISSUER_PRIVATE_KEY_NEXT, ISSUER_PRIVATE_KEY_PREVIOUS, Misconfigured,
};
use crate::github::{PrivateKeyError, parse_private_key, rsa_public_parts};
use crate::issuer::{KeyRing, RsaKey};

/// The key ring; `None` without a signing key, which turns off the issuer and nothing else. A malformed next or
/// previous key is named and left out; everything else works.
pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Option<Rc<KeyRing>>, Misconfigured> {
    let settings = [ISSUER_PRIVATE_KEY, ISSUER_PRIVATE_KEY_NEXT, ISSUER_PRIVATE_KEY_PREVIOUS];
    if settings.iter().all(|name| reader.text(name).is_none()) {
        return Ok(None);
    }
    key_ring(reader)
}

#[inline(never)] // Compiled where the service is an issuer.
fn key_ring(reader: &mut Reader<'_>) -> Result<Option<Rc<KeyRing>>, Misconfigured> {
    let current = reader.optional_because(ISSUER_PRIVATE_KEY, parse_key);
    let next = reader.optional_because(ISSUER_PRIVATE_KEY_NEXT, parse_key).ok().flatten();
    let previous = reader.optional_because(ISSUER_PRIVATE_KEY_PREVIOUS, parse_key).ok().flatten();
    let closed = |name| Misconfigured(vec![name]);
    match current.map_err(closed)? {
        None => Ok(None),
        Some(current) => Ok(Some(Rc::new(KeyRing::new(current, next, previous)))),
    }
}

/// A key that relying parties can verify with, or why it is not.
fn parse_key(pem: &str) -> Result<RsaKey, Option<&'static str>> {
    let pkcs8 = parse_private_key(pem).map_err(PrivateKeyError::reason)?;
    // There is no separate word for a size or an exponent that relying parties refuse.
    let (modulus, exponent) = rsa_public_parts(&pkcs8).ok_or(None)?;
    RsaKey::new(pkcs8, &modulus, &exponent).ok_or(None)
}
