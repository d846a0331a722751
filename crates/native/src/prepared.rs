//! Signatures with keys that are imported once, for verifying many tokens with few keys.

use std::fmt;

use aws_lc_rs::signature::ParsedPublicKey;
use futures_util::FutureExt as _;
use futures_util::future::{self, LocalBoxFuture};

use octo_sts_verifier::jose::{Algorithm, JwkSet, PublicKey};
use octo_sts_verifier::ports::{CryptoError, Signatures};
use octo_sts_verifier::secret::SecretBytes;

use super::{NativeSignatures, import};

/// A key set, imported for every algorithm that its keys may be used with.
pub struct PreparedKeys(Vec<(Algorithm, PublicKey, ParsedPublicKey)>);

impl PreparedKeys {
    /// Imports each key of the set. A key that AWS-LC cannot use is left out; it would verify nothing anyway.
    #[must_use]
    pub fn of(keys: &JwkSet) -> Self {
        let mut prepared = Vec::new();
        for key in keys.keys() {
            for algorithm in Algorithm::ALL {
                let is_allowed = key.algorithm().is_none_or(|only| only == algorithm);
                if is_allowed && let Ok(parsed) = import(algorithm, key.material()) {
                    prepared.push((algorithm, key.clone(), parsed));
                }
            }
        }
        Self(prepared)
    }
}

impl fmt::Debug for PreparedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(algorithm, key, _)| (algorithm, key.key_id()))).finish()
    }
}

impl Signatures for PreparedKeys {
    fn verify<'a>(
        &'a self,
        algorithm: Algorithm,
        key: &'a PublicKey,
        message: &'a [u8],
        signature: &'a [u8],
    ) -> LocalBoxFuture<'a, Result<bool, CryptoError>> {
        let found = self.0.iter().find(|(of, prepared, _)| *of == algorithm && prepared == key);
        let verdict = match found {
            Some((_, _, parsed)) => Ok(parsed.verify_sig(message, signature).is_ok()),
            None => Err(CryptoError),
        };
        future::ready(verdict).boxed_local()
    }

    fn sign_rs256<'a>(
        &'a self,
        pkcs8: &'a SecretBytes,
        message: &'a [u8],
    ) -> LocalBoxFuture<'a, Result<Vec<u8>, CryptoError>> {
        NativeSignatures.sign_rs256(pkcs8, message)
    }
}
