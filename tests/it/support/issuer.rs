//! An OIDC issuer that signs with ES256.

use std::cell::RefCell;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde_json::{Value, json};

use super::platform::Sent;

struct Key {
    kid: String,
    pair: EcdsaKeyPair,
}

impl Key {
    fn generate(kid: &str) -> Self {
        Self { kid: kid.to_owned(), pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
    }

    fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid,
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
            "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
        })
    }
}

/// The order of P-256's group.
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// The same signed token with another text: if `(r, s)` verifies, so does `(r, n - s)`, which needs no key.
pub(crate) fn malleated(token: &str) -> String {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = 0;
    for (s, n) in signature[32..].iter_mut().zip(hex::decode(ORDER).unwrap()).rev() {
        let difference = i16::from(n) - i16::from(*s) - borrow;
        borrow = i16::from(difference < 0);
        *s = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    assert_eq!(borrow, 0);
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

pub(crate) struct Issuer {
    url: String,
    keys: RefCell<Vec<Key>>,
    /// `Cache-Control` of the key set.
    pub(crate) cache_control: RefCell<Option<String>>,
}

impl Issuer {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            keys: RefCell::new(vec![Key::generate("key-1")]),
            cache_control: RefCell::default(),
        }
    }

    /// A new key replaces the old one.
    pub(crate) fn rotate(&self, kid: &str) {
        *self.keys.borrow_mut() = vec![Key::generate(kid)];
    }

    pub(crate) fn has_host(&self, host: &str) -> bool {
        self.url.strip_prefix("https://").is_some_and(|rest| rest.split('/').next() == Some(host))
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let keys = self.keys.borrow();
        self.sign_as(&keys[0].kid, claims)
    }

    /// Signs with the current key under any `kid`.
    pub(crate) fn sign_as(&self, kid: &str, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": kid });
        let input =
            [header.to_string(), claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let keys = self.keys.borrow();
        let signature = keys[0].pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// The key set.
    pub(crate) fn jwks(&self) -> Value {
        let keys: Vec<Value> = self.keys.borrow().iter().map(Key::jwk).collect();
        json!({ "keys": keys })
    }

    pub(crate) fn answer(&self, sent: &Sent) -> (u16, HeaderMap, String) {
        let base = self
            .url
            .strip_prefix("https://")
            .and_then(|rest| rest.split_once('/'))
            .map_or("", |(_, path)| path);
        let base = if base.is_empty() { String::new() } else { format!("/{}", base.trim_end_matches('/')) };
        let mut headers = HeaderMap::new();
        if sent.path == format!("{base}/.well-known/openid-configuration") {
            let jwks = format!("{}/jwks", self.url.trim_end_matches('/'));
            return (200, headers, json!({ "issuer": self.url, "jwks_uri": jwks }).to_string());
        }
        if sent.path == format!("{base}/jwks") {
            if let Some(value) = &*self.cache_control.borrow() {
                headers.insert("cache-control", value.parse().unwrap());
            }
            return (200, headers, self.jwks().to_string());
        }
        (404, headers, "not here".to_owned())
    }
}
