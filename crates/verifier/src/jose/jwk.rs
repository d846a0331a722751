//! JWK sets (RFC 7517) and the choice of a key. A set is parsed once. Keys that can never verify one of our algorithms
//! are dropped while parsing, so everything in a [`JwkSet`] is a possible candidate.
//!
//! Never kept: symmetric keys, RSA moduli under 2048 or over 8192 bits, exponents that are even, below 3 or above 33
//! bits, coordinates whose length is not the curve's, keys that are not for verifying signatures. Private members (`d`,
//! `p`, …) of a set that was published by mistake are never read.
//!
//! A point off its curve (see [`super::curve`]) is not a candidate either. Checking that costs up to 0.6 ms per key,
//! and anybody may publish a hundred of them, so it is checked once, when the key would become a candidate.

use std::fmt;
use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::{Algorithm, Header, curve, decode_base64url, encode_base64url};
use crate::json::{self as strict, JsonError};

/// A set with more keys is unusable: no issuer is known to publish more than 20.
const MAX_KEYS: usize = 100;

/// How many keys of one `kid` are tried.
const MAX_CANDIDATES: usize = 4;

/// How many keys that match a token are checked more closely, so that a made-up set costs no more than a real one.
const MAX_EXAMINED: usize = 8;

/// NIST SP 800-131A has disallowed smaller keys since 2013.
const MIN_RSA_BITS: usize = 2048;

/// Beyond 8192 bits one verification costs more than a whole exchange, AWS-LC refuses the key, and BoringSSL (Web
/// Crypto in workerd) does soon after.
const MAX_RSA_BITS: usize = 8192;

/// Both platforms refuse exponents above 33 bits, which only make a verification slow.
const MAX_RSA_EXPONENT_BITS: usize = 33;

/// A key that may verify signatures: complete, strong enough, and on its curve.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    key_id: Option<String>,
    algorithm: Option<Algorithm>,
    material: KeyMaterial,
}

/// The mathematical part of a [`PublicKey`], big-endian. What a platform imports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyMaterial {
    /// RSA, 2048 to 8192 bits; no leading zero bytes.
    Rsa {
        /// The modulus.
        modulus: Vec<u8>,
        /// The public exponent: odd, 3 or more, at most 33 bits.
        exponent: Vec<u8>,
    },
    /// A point on P-256.
    P256 {
        /// The x coordinate.
        x: [u8; 32],
        /// The y coordinate.
        y: [u8; 32],
    },
    /// A point on P-384.
    P384 {
        /// The x coordinate.
        x: [u8; 48],
        /// The y coordinate.
        y: [u8; 48],
    },
    /// A point on Ed25519, as RFC 8032 encodes it.
    Ed25519 {
        /// The encoded point.
        x: [u8; 32],
    },
}

impl PublicKey {
    /// The issuer's name for the key.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The only algorithm the issuer allows with it, if it says so.
    #[must_use]
    pub const fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// What a platform imports.
    #[must_use]
    pub const fn material(&self) -> &KeyMaterial {
        &self.material
    }

    /// Whether a token with this header may be signed with it, apart from the `kid`.
    fn suits(&self, algorithm: Algorithm) -> bool {
        self.material.suits(algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// `None` for a key that is incomplete, malformed, or can never be a candidate.
    fn from_value(value: &Value) -> Option<Self> {
        let members = value.as_object()?;
        let material = KeyMaterial::from_members(members)?;
        let algorithm = match members.get("alg") {
            None => None,
            Some(name) => Some(name.as_str()?.parse().ok()?),
        };
        if algorithm.is_some_and(|algorithm| !material.suits(algorithm)) {
            return None;
        }
        if members.get("use").is_some_and(|usage| usage.as_str() != Some("sig")) {
            return None;
        }
        if let Some(operations) = members.get("key_ops") {
            let operations = operations.as_array()?;
            let is_well_formed = operations.iter().all(Value::is_string);
            if !is_well_formed || !operations.iter().any(|operation| operation.as_str() == Some("verify")) {
                return None;
            }
        }
        let key_id = match members.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str()?.to_owned()),
        };
        Some(Self { key_id, algorithm, material })
    }

    fn to_value(&self) -> Value {
        let mut members = Map::new();
        members.extend(
            self.material.jwk_members().into_iter().map(|(name, text)| (name.to_owned(), text.into())),
        );
        if let Some(key_id) = &self.key_id {
            members.insert("kid".to_owned(), key_id.as_str().into());
        }
        if let Some(algorithm) = self.algorithm {
            members.insert("alg".to_owned(), algorithm.name().into());
        }
        Value::Object(members)
    }
}

impl KeyMaterial {
    /// The members of a JWK with this material and nothing else, for `importKey("jwk", …)`.
    ///
    /// ```
    /// use octo_sts_verifier::jose::JwkSet;
    /// let set = JwkSet::parse(br#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1",
    ///     "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#)?;
    /// let members = set.keys()[0].material().jwk_members();
    /// assert_eq!(members[0], ("kty", "OKP".to_owned()));
    /// # Ok::<(), octo_sts_verifier::jose::JwkSetError>(())
    /// ```
    #[must_use]
    pub fn jwk_members(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Rsa { modulus, exponent } => vec![
                ("kty", "RSA".to_owned()),
                ("n", encode_base64url(modulus)),
                ("e", encode_base64url(exponent)),
            ],
            Self::P256 { x, y } => elliptic_members("P-256", x, y),
            Self::P384 { x, y } => elliptic_members("P-384", x, y),
            Self::Ed25519 { x } => {
                vec![("kty", "OKP".to_owned()), ("crv", "Ed25519".to_owned()), ("x", encode_base64url(x))]
            }
        }
    }

    /// The length of this key's signatures. A JWS signature has no other length, whatever a platform would accept.
    #[must_use]
    pub fn signature_len(&self) -> usize {
        match self {
            Self::Rsa { modulus, .. } => modulus.len(),
            Self::P256 { .. } | Self::Ed25519 { .. } => 64,
            Self::P384 { .. } => 96,
        }
    }

    /// `kty` and `crv` of an algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1).
    const fn suits(&self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => matches!(self, Self::Rsa { .. }),
            Algorithm::Es256 => matches!(self, Self::P256 { .. }),
            Algorithm::Es384 => matches!(self, Self::P384 { .. }),
            Algorithm::EdDsa => matches!(self, Self::Ed25519 { .. }),
        }
    }

    fn from_members(members: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let bytes = |name: &str| text(name).and_then(decode_base64url);
        match (text("kty")?, text("crv")) {
            ("RSA", _) => rsa(&bytes("n")?, &bytes("e")?),
            ("EC", Some("P-256")) => {
                Some(Self::P256 { x: bytes("x")?.try_into().ok()?, y: bytes("y")?.try_into().ok()? })
            }
            ("EC", Some("P-384")) => {
                Some(Self::P384 { x: bytes("x")?.try_into().ok()?, y: bytes("y")?.try_into().ok()? })
            }
            ("OKP", Some("Ed25519")) => Some(Self::Ed25519 { x: bytes("x")?.try_into().ok()? }),
            _ => None,
        }
    }

    fn is_on_curve(&self) -> bool {
        match self {
            Self::Rsa { .. } => true,
            Self::P256 { x, y } => curve::is_on_p256(x, y),
            Self::P384 { x, y } => curve::is_on_p384(x, y),
            Self::Ed25519 { x } => curve::is_on_ed25519(x),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Rsa { modulus, exponent } => modulus.len().saturating_add(exponent.len()),
            Self::P256 { .. } | Self::P384 { .. } | Self::Ed25519 { .. } => 0,
        }
    }
}

fn elliptic_members(curve: &str, x: &[u8], y: &[u8]) -> Vec<(&'static str, String)> {
    vec![
        ("kty", "EC".to_owned()),
        ("crv", curve.to_owned()),
        ("x", encode_base64url(x)),
        ("y", encode_base64url(y)),
    ]
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<KeyMaterial> {
    // Some issuers write the sign byte of DER, which does not make a modulus longer.
    let (modulus, exponent) = (without_leading_zeros(modulus), without_leading_zeros(exponent));
    let is_odd = |bytes: &[u8]| bytes.last().is_some_and(|byte| byte & 1 == 1);
    let is_usable = (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits(modulus))
        && is_odd(modulus)
        && (2..=MAX_RSA_EXPONENT_BITS).contains(&bits(exponent))
        && is_odd(exponent);
    is_usable.then(|| KeyMaterial::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() })
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// How many bits a number without leading zero bytes has.
fn bits(number: &[u8]) -> usize {
    let missing = number.first().map_or(0, |byte| byte.leading_zeros());
    (number.len() * 8).saturating_sub(usize::try_from(missing).unwrap_or(0))
}

/// An issuer's keys, as far as they can be candidates.
///
/// ```
/// use octo_sts_verifier::jose::JwkSet;
/// let set = JwkSet::parse(br#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}, {"kty": 5}]}"#)?;
/// assert!(set.keys().is_empty());
/// # Ok::<(), octo_sts_verifier::jose::JwkSetError>(())
/// ```
#[derive(Debug, Clone)]
pub struct JwkSet {
    keys: Vec<PublicKey>,
    /// For each key, whether it is on its curve, once checked.
    on_curve: Vec<OnceLock<bool>>,
}

impl PartialEq for JwkSet {
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

impl Eq for JwkSet {}

/// Why a document is not a JWK set. A bad key in a set is not a reason; it is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwkSetError {
    /// Not a strict JSON object.
    Json(JsonError),
    /// No array `keys`.
    NoKeys,
    /// More than 100 keys.
    TooManyKeys,
}

impl fmt::Display for JwkSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(why) => write!(f, "the key set is {why}"),
            Self::NoKeys => f.write_str("the key set has no array `keys`"),
            Self::TooManyKeys => write!(f, "the key set has more than {MAX_KEYS} keys"),
        }
    }
}

impl std::error::Error for JwkSetError {}

/// Why no key of a set may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoKey {
    /// The token names a key that the set does not have (for its algorithm). A fresh set may have it.
    UnknownKid,
    /// The token names no key, and several match.
    Ambiguous,
    /// The token names no key, and none matches.
    None,
}

impl JwkSet {
    /// Reads a set, as an issuer serves it or as [`JwkSet::to_json`] wrote it.
    ///
    /// # Errors
    /// See [`JwkSetError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, JwkSetError> {
        let document =
            strict::parse_object_of_elements(bytes, strict::MAX_DEPTH).map_err(JwkSetError::Json)?;
        let keys = document.get("keys").and_then(Value::as_array).ok_or(JwkSetError::NoKeys)?;
        if keys.len() > MAX_KEYS {
            return Err(JwkSetError::TooManyKeys);
        }
        let mut keys: Vec<PublicKey> = keys.iter().filter_map(PublicKey::from_value).collect();
        // The set is stored for a while, so spare capacity is released.
        keys.shrink_to_fit();
        let on_curve = vec![OnceLock::new(); keys.len()];
        Ok(Self { keys, on_curve })
    }

    /// Only the used parts of the set, for the shared cache.
    #[must_use]
    pub fn to_json(&self) -> String {
        json!({ "keys": self.keys.iter().map(PublicKey::to_value).collect::<Vec<_>>() }).to_string()
    }

    /// All keys that were kept.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// How many bytes of memory the set takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let each = size_of::<PublicKey>() + size_of::<OnceLock<bool>>();
        let outside =
            |key: &PublicKey| key.material.bytes() + key.key_id.as_ref().map_or(0, String::capacity);
        let all = size_of::<Self>().saturating_add(self.keys.capacity().saturating_mul(each));
        self.keys.iter().fold(all, |sum, key| sum.saturating_add(outside(key)))
    }

    /// The keys to try for a token: those whose type, curve and `alg` match the header's `alg` (`use` and `key_ops` are
    /// checked while parsing), then those with the header's `kid`, at most four. Without a `kid`, exactly one must
    /// match: trying all of them would let any key of the issuer stand in for any other.
    ///
    /// Linear in the keys; of those that match, at most eight are checked against their curve. Without a `kid`, more
    /// than eight are ambiguous in any case.
    ///
    /// # Errors
    /// See [`NoKey`].
    pub fn candidates(&self, header: &Header) -> Result<Vec<&PublicKey>, NoKey> {
        let fits = |key: &PublicKey| {
            key.suits(header.algorithm()) && (header.key_id().is_none() || key.key_id() == header.key_id())
        };
        let mut fitting = self.keys.iter().zip(&self.on_curve).filter(|(key, _)| fits(key));
        let on_curve =
            |(key, known): &(&PublicKey, &OnceLock<bool>)| *known.get_or_init(|| key.material.is_on_curve());
        let examined = fitting.by_ref().take(MAX_EXAMINED);
        let mut candidates: Vec<_> = examined.filter(on_curve).map(|(key, _)| key).collect();
        let rest = fitting.next().is_some();
        if header.key_id().is_some() {
            candidates.truncate(MAX_CANDIDATES);
            return if candidates.is_empty() { Err(NoKey::UnknownKid) } else { Ok(candidates) };
        }
        match candidates.len() {
            _ if rest => Err(NoKey::Ambiguous),
            0 => Err(NoKey::None),
            1 => Ok(candidates),
            _ => Err(NoKey::Ambiguous),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::CompactJws;
    use super::*;

    const ED25519_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"; // RFC 8037 appendix A.2
    const P256_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"; // RFC 7515 appendix A.3
    const P256_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

    // The base point of P-384 (FIPS 186-4, D.1.2.4).
    const P384_X: &str = "qofKIr6LBTeOscce8yCtdG4dO2KLp5uYWfdB4IJUKjhVAvJdv1UpbDpUXjhydgq3";
    const P384_Y: &str = "NhfeSpYmLG9dnpi_kpLcKfj0Hb0omhR86doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f";

    /// An odd number of so many bits; no RSA modulus, but nothing here could tell.
    fn modulus(bits: usize) -> Vec<u8> {
        let mut bytes = vec![0xa5; bits.div_ceil(8)];
        bytes[0] = 1 << ((bits - 1) % 8);
        bytes
    }

    fn rsa_key(n: &[u8], e: &[u8]) -> Value {
        json!({ "kty": "RSA", "kid": "k", "n": encode_base64url(n), "e": encode_base64url(e) })
    }

    fn ed25519() -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": ED25519_X })
    }

    fn p256() -> Value {
        json!({ "kty": "EC", "crv": "P-256", "kid": "k", "x": P256_X, "y": P256_Y })
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    fn without(mut key: Value, name: &str) -> Value {
        key.as_object_mut().unwrap().remove(name);
        key
    }

    fn set(keys: &[Value]) -> JwkSet {
        JwkSet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn is_kept(key: Value) -> bool {
        // Next to a good key, which must stay whatever the other key is.
        let set = set(&[key, ed25519()]);
        let kept = set.keys.iter().filter(|key| key.material.is_on_curve()).count();
        assert!((1..=2).contains(&kept));
        kept == 2
    }

    fn header(text: &str) -> Header {
        CompactJws::parse(&format!("{}.e30.AAAA", encode_base64url(text.as_bytes())))
            .unwrap()
            .header()
            .clone()
    }

    #[test]
    fn rsa_keys_have_2048_to_8192_bits_and_an_odd_exponent_of_3_or_more() {
        for bits in [2048, 2049, 3072, 4096, 8191, 8192] {
            assert!(is_kept(rsa_key(&modulus(bits), &[1, 0, 1])), "{bits}");
        }
        for bits in [8, 512, 1024, 2047, 8193, 16384] {
            assert!(!is_kept(rsa_key(&modulus(bits), &[1, 0, 1])), "{bits}");
        }
        for exponent in [&[3][..], &[5], &[1, 0, 1], &[0, 0, 3], &[1, 0, 0, 0, 1]] {
            assert!(is_kept(rsa_key(&modulus(2048), exponent)), "{exponent:?}");
        }
        for exponent in
            [&[][..], &[0], &[1], &[0, 1], &[2], &[4], &[1, 0, 0], &[3, 0, 0, 0, 1], &[1, 0, 0, 0, 0, 1]]
        {
            assert!(!is_kept(rsa_key(&modulus(2048), exponent)), "{exponent:?}");
        }
        let mut even = modulus(2048);
        even[255] = 0x10;
        assert!(!is_kept(rsa_key(&even, &[3])), "an even modulus");
    }

    #[test]
    fn leading_zeros_do_not_make_a_modulus_longer() {
        let padded = [vec![0; 128], modulus(1024)].concat();
        assert!(!is_kept(rsa_key(&padded, &[1, 0, 1])));
        let with_sign_byte = [vec![0], modulus(2048)].concat();
        let kept = set(&[rsa_key(&with_sign_byte, &[0, 1, 0, 1])]);
        assert_eq!(kept, set(&[rsa_key(&modulus(2048), &[1, 0, 1])]));
        assert_eq!(kept.keys[0].material.signature_len(), 256);
    }

    #[test]
    fn coordinates_have_the_length_of_the_curve_and_are_a_point() {
        assert!(is_kept(p256()));
        assert!(!is_kept(with(p256(), "x", P256_Y.into())), "off the curve");
        assert!(!is_kept(with(p256(), "crv", "P-384".into())), "too short for P-384");
        let p384 = json!({ "kty": "EC", "crv": "P-384", "kid": "k", "x": P384_X, "y": P384_Y });
        assert!(is_kept(p384.clone()));
        assert!(!is_kept(with(p384.clone(), "x", P384_Y.into())), "off the curve");
        assert!(!is_kept(with(p384, "crv", "P-256".into())), "too long for P-256");
        assert!(!is_kept(with(p256(), "crv", "secp256k1".into())));
        assert!(!is_kept(with(p256(), "crv", "P-521".into())));
        assert!(!is_kept(with(p256(), "crv", "p-256".into())));
        assert!(!is_kept(without(p256(), "crv")));
        assert!(!is_kept(without(p256(), "y")));
        let longer = encode_base64url(&[vec![0], decode_base64url(P256_X).unwrap()].concat());
        assert!(!is_kept(with(p256(), "x", longer.into())));
        assert!(!is_kept(with(ed25519(), "x", encode_base64url(&[9; 31]).into())));
        let mut no_point = [0; 32];
        no_point[0] = 2; // y = 2 has no x
        assert!(!is_kept(with(ed25519(), "x", encode_base64url(&no_point).into())));
        assert!(!is_kept(with(ed25519(), "crv", "X25519".into())));
        assert!(!is_kept(with(ed25519(), "crv", "Ed448".into())));
        assert!(!is_kept(with(ed25519(), "kty", "EC".into())));
    }

    #[test]
    fn a_bad_key_is_skipped_and_the_others_stay() {
        for bad in [
            json!(null),
            json!("key"),
            json!([]),
            json!({}),
            json!({ "kty": "oct", "kid": "k", "k": "c2VjcmV0" }),
            json!({ "kty": 5 }),
            without(ed25519(), "kty"),
            with(ed25519(), "kid", json!(7)),
            with(ed25519(), "kid", json!(null)),
            with(ed25519(), "alg", json!(null)),
            with(ed25519(), "alg", json!(["EdDSA"])),
            with(ed25519(), "alg", json!("none")),
            with(ed25519(), "alg", json!("HS256")),
            with(ed25519(), "alg", json!("RS256")),
            with(ed25519(), "use", json!("enc")),
            with(ed25519(), "use", json!("SIG")),
            with(ed25519(), "use", json!(null)),
            with(ed25519(), "use", json!(["sig"])),
            with(ed25519(), "key_ops", json!([])),
            with(ed25519(), "key_ops", json!(["sign"])),
            with(ed25519(), "key_ops", json!(["verify", 1])),
            with(ed25519(), "key_ops", json!("verify")),
            with(ed25519(), "x", json!(format!("{ED25519_X}="))),
            with(ed25519(), "x", json!(format!(" {ED25519_X}"))),
            with(ed25519(), "x", json!([1, 2, 3])),
            with(rsa_key(&modulus(2048), &[3]), "n", json!("+/+/")),
            without(rsa_key(&modulus(2048), &[3]), "e"),
        ] {
            assert!(!is_kept(bad.clone()), "{bad}");
        }
    }

    #[test]
    fn a_key_with_a_repeated_member_is_skipped_and_the_others_stay() {
        let good = ed25519().to_string();
        let document = format!(r#"{{"keys":[{},{good}]}}"#, good.replacen('{', r#"{"kid":"other","#, 1));
        assert_eq!(JwkSet::parse(document.as_bytes()), Ok(set(&[ed25519()])));
    }

    #[test]
    fn what_may_stand_in_a_key_may_stand_there() {
        for good in [
            with(ed25519(), "alg", json!("EdDSA")),
            with(ed25519(), "use", json!("sig")),
            with(ed25519(), "key_ops", json!(["sign", "verify"])),
            with(ed25519(), "x5c", json!(["ignored"])),
            with(ed25519(), "exp", json!(1)),
            without(ed25519(), "kid"),
        ] {
            assert!(is_kept(good.clone()), "{good}");
        }
    }

    #[test]
    fn private_members_are_never_kept() {
        let kept = set(&[with(ed25519(), "d", json!("AAAA"))]);
        assert_eq!(kept, set(&[ed25519()]));
        assert!(!kept.to_json().contains("\"d\""));
    }

    #[test]
    fn a_set_of_100_keys_is_read_and_one_of_101_is_not() {
        assert_eq!(set(&vec![ed25519(); 100]).keys.len(), 100);
        for one_too_many in [ed25519(), json!(null)] {
            let keys = json!({ "keys": vec![one_too_many; 101] }).to_string();
            assert_eq!(JwkSet::parse(keys.as_bytes()), Err(JwkSetError::TooManyKeys));
        }
    }

    #[test]
    fn a_document_without_an_array_of_keys_is_no_set() {
        assert_eq!(JwkSet::parse(b"{}"), Err(JwkSetError::NoKeys));
        assert_eq!(JwkSet::parse(br#"{"keys":{}}"#), Err(JwkSetError::NoKeys));
        assert_eq!(JwkSet::parse(br#"{"Keys":[]}"#), Err(JwkSetError::NoKeys));
        assert_eq!(JwkSet::parse(b"[]"), Err(JwkSetError::Json(JsonError::NotAnObject)));
        assert_eq!(JwkSet::parse(b"<html>"), Err(JwkSetError::Json(JsonError::Syntax)));
        assert_eq!(
            JwkSet::parse(br#"{"keys":[],"keys":[]}"#),
            Err(JwkSetError::Json(JsonError::NotAnObject))
        );
        assert_eq!(JwkSet::parse(br#"{"keys":[]}"#).unwrap().keys, []);
    }

    /// A point is checked once for each of at most eight keys, whatever the set and however often it is used: checking
    /// a hundred made-up keys took 60 ms for one anonymous request.
    #[test]
    fn a_made_up_set_costs_no_more_than_a_real_one() {
        let named = |kid: Option<&str>, x: &[u8]| {
            let key = with(ed25519(), "x", encode_base64url(x).into());
            match kid {
                Some(kid) => with(key, "kid", kid.into()),
                None => without(key, "kid"),
            }
        };
        let good = decode_base64url(ED25519_X).unwrap();
        let mut no_point = [0; 32];
        no_point[0] = 2; // y = 2 has no x
        let header_of = |kid: Option<&str>| match kid {
            Some(kid) => header(&format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#)),
            None => header(r#"{"alg":"EdDSA"}"#),
        };
        for (kid, asked) in
            [(Some("same"), Some("same")), (None, None), (Some("same"), Some("other")), (Some("same"), None)]
        {
            for x in [good.as_slice(), &no_point] {
                let set = set(&vec![named(kid, x); 100]);
                curve::counted::reset();
                for _ in 0..10 {
                    let chosen = set.candidates(&header_of(asked));
                    assert!(chosen.map_or(0, |chosen| chosen.len()) <= MAX_CANDIDATES);
                }
                assert!(
                    curve::counted::checks() <= MAX_EXAMINED,
                    "{kid:?} {asked:?}: {}",
                    curve::counted::checks()
                );
            }
        }
        // A key off the curve makes no other key ambiguous and hides no key of the same name.
        let mixed = set(&[named(None, &no_point), named(None, &good)]);
        assert_eq!(mixed.candidates(&header_of(None)).unwrap().len(), 1);
        let mixed = set(&[named(Some("k"), &no_point), named(Some("k"), &good)]);
        assert_eq!(mixed.candidates(&header_of(Some("k"))).unwrap().len(), 1);
        let many = set(&vec![named(None, &no_point); MAX_EXAMINED + 1]);
        assert_eq!(many.candidates(&header_of(None)), Err(NoKey::Ambiguous));
        // For an algorithm that no key has, no point is checked.
        let set = set(&vec![named(Some("same"), &good); 100]);
        curve::counted::reset();
        assert_eq!(set.candidates(&header(r#"{"alg":"RS256","kid":"same"}"#)), Err(NoKey::UnknownKid));
        assert_eq!(curve::counted::checks(), 0);
    }

    #[test]
    fn a_key_is_chosen_by_type_curve_algorithm_and_kid() {
        let rsa = |kid: &str, alg: Option<&str>| {
            let key = with(rsa_key(&modulus(2048), &[3]), "kid", kid.into());
            alg.map_or(key.clone(), |alg| with(key, "alg", alg.into()))
        };
        let keys = set(&[
            with(ed25519(), "kid", "same".into()),
            rsa("same", Some("RS256")),
            with(p256(), "kid", "same".into()),
            rsa("any", None),
        ]);
        let chosen = |text: &str| {
            keys.candidates(&header(text)).map(|found| {
                found
                    .iter()
                    .map(|key| keys.keys.iter().position(|other| other == *key).unwrap())
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(chosen(r#"{"alg":"EdDSA","kid":"same"}"#), Ok(vec![0]));
        assert_eq!(chosen(r#"{"alg":"RS256","kid":"same"}"#), Ok(vec![1]));
        assert_eq!(
            chosen(r#"{"alg":"PS256","kid":"same"}"#),
            Err(NoKey::UnknownKid),
            "the key's alg says RS256"
        );
        assert_eq!(chosen(r#"{"alg":"ES256","kid":"same"}"#), Ok(vec![2]));
        assert_eq!(chosen(r#"{"alg":"ES384","kid":"same"}"#), Err(NoKey::UnknownKid), "another curve");
        assert_eq!(chosen(r#"{"alg":"PS512","kid":"any"}"#), Ok(vec![3]));
        assert_eq!(chosen(r#"{"alg":"RS256","kid":"SAME"}"#), Err(NoKey::UnknownKid), "a kid has case");
        assert_eq!(chosen(r#"{"alg":"RS256","kid":""}"#), Err(NoKey::UnknownKid), "an empty kid is a kid");
        assert_eq!(chosen(r#"{"alg":"RS256"}"#), Err(NoKey::Ambiguous));
        assert_eq!(chosen(r#"{"alg":"PS256"}"#), Ok(vec![3]));
        assert_eq!(chosen(r#"{"alg":"EdDSA"}"#), Ok(vec![0]));
        assert_eq!(chosen(r#"{"alg":"ES384"}"#), Err(NoKey::None));
    }

    #[test]
    fn a_key_without_a_kid_is_not_taken_for_a_token_with_one() {
        let keys = set(&[without(ed25519(), "kid")]);
        assert_eq!(keys.candidates(&header(r#"{"alg":"EdDSA","kid":"k"}"#)), Err(NoKey::UnknownKid));
        assert_eq!(keys.candidates(&header(r#"{"alg":"EdDSA"}"#)).unwrap().len(), 1);
    }

    #[test]
    fn a_key_that_can_never_verify_does_not_make_another_ambiguous() {
        let keys = set(&[
            without(p256(), "kid"),
            with(without(p256(), "kid"), "x", P256_Y.into()),
            with(without(p256(), "kid"), "use", "enc".into()),
        ]);
        assert_eq!(keys.candidates(&header(r#"{"alg":"ES256"}"#)).unwrap().len(), 1);
    }

    #[test]
    fn four_keys_of_one_kid_are_tried() {
        for (count, tried) in [(1, 1), (4, 4), (5, 4), (100, 4)] {
            let keys = set(&vec![ed25519(); count]);
            assert_eq!(keys.candidates(&header(r#"{"alg":"EdDSA","kid":"k"}"#)).unwrap().len(), tried);
        }
    }

    fn any_text_of(texts: &'static [&'static str]) -> impl Strategy<Value = Value> {
        proptest::sample::select(texts).prop_map(Value::from)
    }

    prop_compose! {
        /// Mostly plausible keys, so that input also reaches the readers behind the first check.
        fn any_key()(
            kty in any_text_of(&["RSA", "EC", "OKP", "oct"]),
            crv in any_text_of(&["P-256", "P-384", "Ed25519"]),
            alg in proptest::option::of(any_text_of(&["RS256", "ES256", "EdDSA", "none"])),
            kid in proptest::option::of(".{0,5}"),
            x in any_text_of(&[ED25519_X, P256_X, "", "AAAA", "="]),
            y in any_text_of(&[P256_Y, "", "AAAA"]),
            bits in proptest::sample::select(&[1024_usize, 2048, 4096, 8193]),
            e in proptest::collection::vec(any::<u8>(), 0..6),
        ) -> Value {
            let mut key = json!({ "kty": kty, "crv": crv, "x": x, "y": y, "n": encode_base64url(&modulus(bits)),
                "e": encode_base64url(&e), "d": "AAAA" });
            if let Some(alg) = alg {
                key["alg"] = alg;
            }
            if let Some(kid) = kid {
                key["kid"] = kid.into();
            }
            key
        }
    }

    proptest! {
        #[test]
        fn what_is_stored_is_read_back(keys in proptest::collection::vec(any_key(), 0..6)) {
            let original = set(&keys);
            prop_assert_eq!(JwkSet::parse(original.to_json().as_bytes()), Ok(original));
        }

        #[test]
        fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(read) = JwkSet::parse(&bytes) {
                prop_assert_eq!(JwkSet::parse(read.to_json().as_bytes()), Ok(read));
            }
        }
    }
}
