//! What signing and verifying need of a platform: one trait, which [`crate::ports`] has beside the others.

use futures_util::future::LocalBoxFuture;

use super::{Algorithm, PublicKey};
use crate::secret::SecretBytes;

/// The platform could not use the key, or refused the operation. Says nothing about the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CryptoError;

/// Signatures, by the platform's own implementation. Imported keys are kept by the implementation.
pub trait Signatures {
    /// Whether `signature` is `key`'s over `message`. The signature is as JWS has it (ECDSA: `r || s`).
    fn verify<'a>(
        &'a self,
        algorithm: Algorithm,
        key: &'a PublicKey,
        message: &'a [u8],
        signature: &'a [u8],
    ) -> LocalBoxFuture<'a, Result<bool, CryptoError>>;

    /// Signs with RSASSA-PKCS1-v1_5 and SHA-256 (RS256) and a PKCS#8 DER key.
    fn sign_rs256<'a>(
        &'a self,
        pkcs8: &'a SecretBytes,
        message: &'a [u8],
    ) -> LocalBoxFuture<'a, Result<Vec<u8>, CryptoError>>;
}
