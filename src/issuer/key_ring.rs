//! The keys that the service signs with and publishes. A key's name is its RFC 7638 thumbprint, so no two keys share
//! one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::jose::{JwkSet, PublicKey};
use crate::secret::SecretBytes;

/// What all relying parties and Web Crypto accept: smaller is weak; larger is slow and refused by some.
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// An RSA private key with its public half.
pub struct RsaKey {
    pkcs8: SecretBytes,
    kid: String,
    jwk: Value,
    public: PublicKey,
}

impl RsaKey {
    /// A key from its PKCS#8 DER and the modulus and public exponent in it, big-endian without leading zero bytes.
    /// `None` if the modulus does not have 2048 to 4096 bits, or no relying party could verify with the exponent.
    #[must_use]
    pub fn new(pkcs8: SecretBytes, modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let leading = modulus.first()?.leading_zeros();
        let bits = (modulus.len() * 8).checked_sub(usize::try_from(leading).ok()?)?;
        if !MODULUS_BITS.contains(&bits) {
            return None;
        }
        let (n, e) = (URL_SAFE_NO_PAD.encode(modulus), URL_SAFE_NO_PAD.encode(exponent));
        // RFC 7638, section 3: the required members alone, in this order, without white space.
        let thumbprint = Sha256::digest(format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#));
        let kid = URL_SAFE_NO_PAD.encode(thumbprint);
        let jwk = json!({ "kty": "RSA", "n": n, "e": e, "alg": "RS256", "use": "sig", "kid": kid });
        // What we publish must pass our own rules for other issuers' keys.
        let set = JwkSet::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).ok()?;
        let public = set.keys().first()?.clone();
        Some(Self { pkcs8, kid, jwk, public })
    }

    /// What signs.
    #[must_use]
    pub const fn pkcs8(&self) -> &SecretBytes {
        &self.pkcs8
    }

    /// The thumbprint.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

/// The current key, which signs, and all that are published.
pub struct KeyRing {
    current: RsaKey,
    others: Vec<RsaKey>,
}

impl KeyRing {
    /// The current key first, then the next and the previous one. A repeated key is published once.
    #[must_use]
    pub fn new(current: RsaKey, next: Option<RsaKey>, previous: Option<RsaKey>) -> Self {
        let mut others: Vec<RsaKey> = Vec::new();
        for key in [next, previous].into_iter().flatten() {
            if key.kid != current.kid && !others.iter().any(|known| known.kid == key.kid) {
                others.push(key);
            }
        }
        Self { current, others }
    }

    /// The key that signs.
    #[must_use]
    pub const fn current(&self) -> &RsaKey {
        &self.current
    }

    /// As `jwks.json` lists them.
    pub(super) fn published(&self) -> Vec<&Value> {
        self.keys().map(|key| &key.jwk).collect()
    }

    /// The published key with this name.
    pub(super) fn named(&self, kid: &str) -> Option<&PublicKey> {
        self.keys().find(|key| key.kid == kid).map(|key| &key.public)
    }

    fn keys(&self) -> impl Iterator<Item = &RsaKey> {
        std::iter::once(&self.current).chain(&self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_2048_to_4096_bits_and_an_exponent_that_verifies() {
        let key = |bytes: usize, first: u8, exponent: &[u8]| {
            let mut modulus = vec![0xff; bytes];
            modulus[0] = first;
            RsaKey::new(SecretBytes::new(Vec::new()), &modulus, exponent)
        };
        assert!(key(256, 0x80, &[1, 0, 1]).is_some() && key(512, 0xff, &[1, 0, 1]).is_some());
        for none in [
            key(256, 0x7f, &[1, 0, 1]),
            key(513, 0x01, &[1, 0, 1]),
            key(256, 0xff, &[2]),
            key(256, 0xff, &[1]),
        ] {
            assert!(none.is_none());
        }
        assert!(RsaKey::new(SecretBytes::new(Vec::new()), &[], &[3]).is_none());
    }

    /// RFC 7638, section 3.1.
    #[test]
    fn the_name_is_the_thumbprint_of_the_rfc() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let modulus = URL_SAFE_NO_PAD.decode(n).unwrap();
        let key = RsaKey::new(SecretBytes::new(Vec::new()), &modulus, &[1, 0, 1]).unwrap();
        assert_eq!(key.kid(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }
}
