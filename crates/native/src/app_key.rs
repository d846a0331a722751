//! A GitHub App's private key from a file, and the JWT that it signs. Also random texts and new keys.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use octo_sts_verifier::secret::{Secret, SecretBytes};
use octo_sts_verifier::time::Timestamp;

/// GitHub's clock may be behind ours by this much.
const BACKDATED_SECONDS: i64 = 60;

/// GitHub accepts at most ten minutes from `iat`.
const LIFETIME_SECONDS: i64 = 540;

/// Not an RSA private key in PEM. Does not say what it is instead, which could be part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppKeyError;

impl fmt::Display for AppKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is not an RSA private key in PEM, as GitHub provides it for an App")
    }
}

impl std::error::Error for AppKeyError {}

/// An App's private key. Never printed.
pub struct AppKey(KeyPair);

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppKey(…)")
    }
}

impl AppKey {
    /// Reads PEM of PKCS#1, GitHub's format, or of PKCS#8.
    ///
    /// # Errors
    /// [`AppKeyError`] for anything else.
    pub fn from_pem(pem: &Secret) -> Result<Self, AppKeyError> {
        let (label, rest) = pem
            .expose()
            .trim()
            .strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.split_once("-----"))
            .ok_or(AppKeyError)?;
        let body = rest.strip_suffix(&format!("-----END {label}-----")).ok_or(AppKeyError)?;
        let base64 = Secret::new(body.split_ascii_whitespace().collect());
        let der = SecretBytes::new(STANDARD.decode(base64.expose()).map_err(|_| AppKeyError)?);
        let pair = match label {
            "RSA PRIVATE KEY" => KeyPair::from_der(der.expose()),
            "PRIVATE KEY" => KeyPair::from_pkcs8(der.expose()),
            _ => return Err(AppKeyError),
        };
        pair.map(Self).map_err(|_| AppKeyError)
    }

    /// The JWT with which the App authenticates to GitHub for the next minutes.
    ///
    /// # Errors
    /// [`AppKeyError`] if the library refuses to sign.
    pub fn jwt(&self, app_id: &str, now: Timestamp) -> Result<Secret, AppKeyError> {
        let issued_at = now.unix_seconds().saturating_sub(BACKDATED_SECONDS);
        let expires_at = now.unix_seconds().saturating_add(LIFETIME_SECONDS);
        let claims = serde_json::json!({ "iat": issued_at, "exp": expires_at, "iss": app_id });
        let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"RS256","typ":"JWT"}"#);
        let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut made = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut made)
            .map_err(|_| AppKeyError)?;
        Ok(Secret::new(format!("{input}.{}", URL_SAFE_NO_PAD.encode(made))))
    }
}

/// A new RSA key of 2048 bits, as PEM of PKCS#8.
///
/// # Errors
/// [`AppKeyError`] if the library has no randomness.
pub fn new_rsa_key() -> Result<Secret, AppKeyError> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| AppKeyError)?;
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| AppKeyError)?;
    let base64 = Secret::new(STANDARD.encode(der.as_ref()));
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = base64.expose();
    while let Some((line, after)) = rest.split_at_checked(64) {
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    if !rest.is_empty() {
        pem.push_str(rest);
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Ok(Secret::new(pem))
}

/// 256 random bits, in base64url.
///
/// # Errors
/// [`AppKeyError`] if the library has no randomness.
pub fn random_text() -> Result<String, AppKeyError> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| AppKeyError)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// SHA-256 in base64url, as thumbprints of keys (RFC 7638) are written.
#[must_use]
pub fn sha256_base64url(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_new_key_is_read_and_its_jwt_verifies() {
        let key = AppKey::from_pem(&new_rsa_key().unwrap()).unwrap();
        let jwt = key.jwt("1234", Timestamp::from_unix_seconds(1_800_000_000).unwrap()).unwrap();
        let (input, made) = jwt.expose().rsplit_once('.').unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.0.public_key().as_ref());
        public.verify(input.as_bytes(), &URL_SAFE_NO_PAD.decode(made).unwrap()).unwrap();
        let claims = URL_SAFE_NO_PAD.decode(input.split_once('.').unwrap().1).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims, serde_json::json!({ "iat": 1_799_999_940, "exp": 1_800_000_540, "iss": "1234" }));
    }

    #[test]
    fn anything_else_is_refused() {
        let pem = new_rsa_key().unwrap();
        let pem = pem.expose();
        for bad in [
            String::new(),
            "hunter2".to_owned(),
            pem.replace("PRIVATE", "PUBLIC"),
            pem.replace("-----BEGIN PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----"),
            pem.replace("MII", "!II"),
            format!("{pem}{pem}"),
        ] {
            assert_eq!(AppKey::from_pem(&Secret::new(bad)).unwrap_err(), AppKeyError);
        }
    }

    #[test]
    fn random_texts_differ() {
        assert_ne!(random_text().unwrap(), random_text().unwrap());
        assert_eq!(random_text().unwrap().len(), 43);
    }
}
