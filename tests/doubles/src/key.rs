//! An issuer's key, made anew for each run.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::loopback::{Loopback, serve_as, told};
use crate::published::Published;

/// An Ed25519 key with its name.
pub struct Key {
    /// `kid`
    pub kid: &'static str,
    pair: Ed25519KeyPair,
}

impl Key {
    /// A new one.
    #[must_use]
    pub fn generate(kid: &'static str) -> Self {
        Self { kid, pair: Ed25519KeyPair::generate().unwrap() }
    }

    /// As a key set has it.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": x })
    }

    /// A token of these claims.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "EdDSA", "kid": self.kid, "typ": "JWT" });
        let input =
            [header.to_string(), claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let signature = self.pair.sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// An issuer on the loopback that publishes it.
    #[must_use]
    pub fn issuer(&self) -> Loopback {
        let keys = json!({ "keys": [self.jwk()] }).to_string();
        serve_as(|url| {
            let published = Published { issuer: url.to_owned(), keys };
            move |got| {
                let document = published.document(&got.target().parse().unwrap());
                told(200, String::from_utf8(document.body.unwrap().to_vec()).unwrap())
            }
        })
    }
}
