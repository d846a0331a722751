//! Signatures: all good, or real and counted.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, ready};
use octo_sts_native::NativeSignatures;
use octo_sts_verifier::jose::{Algorithm, PublicKey};
use octo_sts_verifier::ports::{CryptoError, Signatures};
use octo_sts_verifier::secret::SecretBytes;

/// Every signature is good: what is behind the verification is to be reached, or measured without the platform's part.
#[derive(Debug, Clone, Copy)]
pub struct Trusting;

impl Signatures for Trusting {
    fn verify<'a>(
        &'a self,
        _: Algorithm,
        _: &'a PublicKey,
        _: &'a [u8],
        _: &'a [u8],
    ) -> LocalBoxFuture<'a, Result<bool, CryptoError>> {
        ready(Ok(true)).boxed_local()
    }

    fn sign_rs256<'a>(
        &'a self,
        _: &'a SecretBytes,
        _: &'a [u8],
    ) -> LocalBoxFuture<'a, Result<Vec<u8>, CryptoError>> {
        ready(Ok(vec![7; 256])).boxed_local()
    }
}

/// Another port's signatures, counted; real ones by default.
pub struct CountingSignatures {
    inner: Rc<dyn Signatures>,
    /// How many were to be verified.
    pub verified: Cell<u32>,
    /// How many were made.
    pub signed: Cell<u32>,
    /// The platform cannot use the first so many keys that it is shown.
    pub unusable: Cell<u32>,
}

impl CountingSignatures {
    /// Counts what another port does.
    pub fn over(inner: Rc<dyn Signatures>) -> Self {
        Self { inner, verified: Cell::default(), signed: Cell::default(), unusable: Cell::default() }
    }

    /// A platform that cannot use the first so many keys that it is shown.
    #[must_use]
    pub fn picky(unusable: u32) -> Self {
        Self { unusable: Cell::new(unusable), ..Self::default() }
    }
}

impl Default for CountingSignatures {
    fn default() -> Self {
        Self::over(Rc::new(NativeSignatures))
    }
}

impl Signatures for CountingSignatures {
    fn verify<'a>(
        &'a self,
        algorithm: Algorithm,
        key: &'a PublicKey,
        message: &'a [u8],
        signature: &'a [u8],
    ) -> LocalBoxFuture<'a, Result<bool, CryptoError>> {
        self.verified.set(self.verified.get() + 1);
        if self.verified.get() <= self.unusable.get() {
            return ready(Err(CryptoError)).boxed_local();
        }
        self.inner.verify(algorithm, key, message, signature)
    }

    fn sign_rs256<'a>(
        &'a self,
        pkcs8: &'a SecretBytes,
        message: &'a [u8],
    ) -> LocalBoxFuture<'a, Result<Vec<u8>, CryptoError>> {
        self.signed.set(self.signed.get() + 1);
        self.inner.sign_rs256(pkcs8, message)
    }
}
