//! The service as an issuer: its signing key, and the keys that are published beside it during a rotation.

use std::rc::Rc;

use crate::config::reader::{Reader, Setting};
use crate::config::{
    ISSUER_PRIVATE_KEY, ISSUER_PRIVATE_KEY_NEXT, ISSUER_PRIVATE_KEY_PREVIOUS, Misconfigured,
};
use crate::github::{parse_private_key, rsa_public_parts};
use crate::issuer::{KeyRing, RsaKey};

/// The key ring; `None` without a signing key, which closes the issuer and nothing else. A malformed next or previous key
/// is named, left out, and closes nothing.
pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Option<Rc<KeyRing>>, Misconfigured> {
    let current = key(reader, ISSUER_PRIVATE_KEY);
    let next = key(reader, ISSUER_PRIVATE_KEY_NEXT).ok().flatten();
    let previous = key(reader, ISSUER_PRIVATE_KEY_PREVIOUS).ok().flatten();
    let closed = |name| Misconfigured(vec![name]);
    match current.map_err(closed)? {
        None => Ok(None),
        Some(current) => Ok(Some(Rc::new(KeyRing::new(current, next, previous)))),
    }
}

/// A key of a setting, and why it is none, where there is a word for that.
fn key(reader: &mut Reader<'_>, name: &'static str) -> Setting<Option<RsaKey>> {
    let mut why = None;
    let key = reader.optional(name, |pem| parse_key(pem).map_err(|reason| why = reason).ok());
    reader.reasons.extend(why.map(|why| (name, why)));
    key
}

/// A key that relying parties can verify with, or none: no key at all, or one of another size.
fn parse_key(pem: &str) -> Result<RsaKey, Option<&'static str>> {
    let pkcs8 = parse_private_key(pem).map_err(|error| Some(error.reason()))?;
    let (modulus, exponent) = rsa_public_parts(&pkcs8).ok_or(None)?;
    RsaKey::new(pkcs8, &modulus, &exponent).ok_or(None)
}
