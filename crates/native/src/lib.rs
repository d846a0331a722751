//! Ports for tests and the command line: signatures with AWS-LC, and HTTP with the feature `cli`. Never part of the
//! Worker, which has Web Crypto and the platform's fetch.

mod app_key;
#[cfg(feature = "fetch")]
mod fetch;
mod prepared;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{
    self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use futures_util::FutureExt as _;
use futures_util::future::{self, LocalBoxFuture};

use octo_sts_verifier::jose::{Algorithm, KeyMaterial, PublicKey};
use octo_sts_verifier::ports::{CryptoError, Signatures};
use octo_sts_verifier::secret::SecretBytes;

pub use app_key::{AppKey, AppKeyError, new_rsa_key, random_text, sha256_base64url};
#[cfg(feature = "fetch")]
pub use fetch::NativeFetch;
pub use prepared::PreparedKeys;

/// Signatures with AWS-LC. Caches no keys, because nothing native verifies often.
#[derive(Debug, Default, Clone, Copy)]
pub struct NativeSignatures;

impl Signatures for NativeSignatures {
    fn verify<'a>(
        &'a self,
        algorithm: Algorithm,
        key: &'a PublicKey,
        message: &'a [u8],
        signature: &'a [u8],
    ) -> LocalBoxFuture<'a, Result<bool, CryptoError>> {
        let verdict = import(algorithm, key.material()).map(|key| key.verify_sig(message, signature).is_ok());
        future::ready(verdict).boxed_local()
    }

    fn sign_rs256<'a>(
        &'a self,
        pkcs8: &'a SecretBytes,
        message: &'a [u8],
    ) -> LocalBoxFuture<'a, Result<Vec<u8>, CryptoError>> {
        future::ready(sign(pkcs8.expose(), message)).boxed_local()
    }
}

fn import(algorithm: Algorithm, material: &KeyMaterial) -> Result<ParsedPublicKey, CryptoError> {
    match (algorithm, material) {
        (Algorithm::Rs256, KeyMaterial::Rsa { modulus, exponent }) => {
            rsa(&signature::RSA_PKCS1_2048_8192_SHA256, modulus, exponent)
        }
        (Algorithm::Rs384, KeyMaterial::Rsa { modulus, exponent }) => {
            rsa(&signature::RSA_PKCS1_2048_8192_SHA384, modulus, exponent)
        }
        (Algorithm::Rs512, KeyMaterial::Rsa { modulus, exponent }) => {
            rsa(&signature::RSA_PKCS1_2048_8192_SHA512, modulus, exponent)
        }
        (Algorithm::Ps256, KeyMaterial::Rsa { modulus, exponent }) => {
            rsa(&signature::RSA_PSS_2048_8192_SHA256, modulus, exponent)
        }
        (Algorithm::Ps384, KeyMaterial::Rsa { modulus, exponent }) => {
            rsa(&signature::RSA_PSS_2048_8192_SHA384, modulus, exponent)
        }
        (Algorithm::Ps512, KeyMaterial::Rsa { modulus, exponent }) => {
            rsa(&signature::RSA_PSS_2048_8192_SHA512, modulus, exponent)
        }
        (Algorithm::Es256, KeyMaterial::P256 { x, y }) => {
            parsed(&signature::ECDSA_P256_SHA256_FIXED, &uncompressed(x, y))
        }
        (Algorithm::Es384, KeyMaterial::P384 { x, y }) => {
            parsed(&signature::ECDSA_P384_SHA384_FIXED, &uncompressed(x, y))
        }
        (Algorithm::EdDsa, KeyMaterial::Ed25519 { x }) => parsed(&signature::ED25519, x),
        // A key of another type than the algorithm's is never a candidate.
        _ => Err(CryptoError),
    }
}

fn rsa(parameters: &'static RsaParameters, n: &[u8], e: &[u8]) -> Result<ParsedPublicKey, CryptoError> {
    RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters).map_err(|_| CryptoError)
}

fn parsed(
    algorithm: &'static dyn VerificationAlgorithm,
    bytes: &[u8],
) -> Result<ParsedPublicKey, CryptoError> {
    ParsedPublicKey::new(algorithm, bytes).map_err(|_| CryptoError)
}

/// SEC 1 section 2.3.3.
fn uncompressed(x: &[u8], y: &[u8]) -> Vec<u8> {
    [&[4], x, y].concat()
}

fn sign(pkcs8: &[u8], message: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let key = KeyPair::from_pkcs8(pkcs8).map_err(|_| CryptoError)?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
        .map_err(|_| CryptoError)?;
    Ok(signature)
}
