//! Signatures with Web Crypto: constant-time, native speed, and keys that nobody can read back.
//!
//! Requests share only `CryptoKey`s, which are data and not I/O. Importing one costs as much as verifying
//! with it, so they are kept for the life of the isolate, the public ones up to a bound.

use std::cell::RefCell;
use std::num::NonZeroUsize;

use futures_util::future::{FutureExt, LocalBoxFuture};
use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use lru::LruCache;
use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{CryptoKey, SubtleCrypto};

use super::bridge;
use crate::jose::{Algorithm, KeyMaterial, PublicKey};
use crate::ports::{CryptoError, Signatures};
use crate::secret::SecretBytes;

/// Enough for a few dozen issuers with a few keys each. An evicted key is imported again.
const KEPT_PUBLIC_KEYS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// The App's key and its previous one, and the issuer's, with room for settings that changed.
const KEPT_PRIVATE_KEYS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);

thread_local! {
    /// An RSA key serves several algorithms and Web Crypto fixes the hash at the import, so both are the key here.
    static PUBLIC_KEYS: RefCell<LruCache<(Algorithm, KeyMaterial), ImportedKey>> =
        RefCell::new(LruCache::new(KEPT_PUBLIC_KEYS));

    /// Indexed by digest: an isolate signs with the App's keys and the issuer's.
    static PRIVATE_KEYS: RefCell<LruCache<[u8; 32], ImportedKey>> = RefCell::new(LruCache::new(KEPT_PRIVATE_KEYS));
}

#[wasm_bindgen]
extern "C" {
    /// `web_sys` reaches it in three calls, and has no form for bytes that nobody changes. Web Crypto copies them when it is
    /// called, before wasm runs again.
    /// <https://www.w3.org/TR/WebCryptoAPI/#SubtleCrypto-method-verify>
    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"])]
    fn verify(
        operation: &Object,
        key: &CryptoKey,
        signature: &[u8],
        message: &[u8],
    ) -> Result<Promise, JsValue>;
}

/// A key with the other parameters of the operation.
#[derive(Clone)]
struct ImportedKey {
    key: CryptoKey,
    operation: Object,
}

/// The runtime's `crypto.subtle`.
pub(super) struct WebCrypto;

impl Signatures for WebCrypto {
    fn verify<'a>(
        &'a self,
        algorithm: Algorithm,
        key: &'a PublicKey,
        message: &'a [u8],
        signature: &'a [u8],
    ) -> LocalBoxFuture<'a, Result<bool, CryptoError>> {
        async move {
            let imported = public_key(algorithm, key.material()).await?;
            let verdict = verify(&imported.operation, &imported.key, signature, message);
            settled(verdict).await?.as_bool().ok_or(CryptoError)
        }
        .boxed_local()
    }

    fn sign_rs256<'a>(
        &'a self,
        pkcs8: &'a SecretBytes,
        message: &'a [u8],
    ) -> LocalBoxFuture<'a, Result<Vec<u8>, CryptoError>> {
        async move {
            let imported = private_key(pkcs8).await?;
            let signature = subtle()?.sign_with_object_and_js_u8_array(
                &imported.operation,
                &imported.key,
                &Uint8Array::from(message),
            );
            Ok(Uint8Array::new(&settled(signature).await?).to_vec())
        }
        .boxed_local()
    }
}

async fn public_key(algorithm: Algorithm, material: &KeyMaterial) -> Result<ImportedKey, CryptoError> {
    let index = (algorithm, material.clone());
    if let Some(imported) = PUBLIC_KEYS.with_borrow_mut(|keys| keys.get(&index).cloned()) {
        return Ok(imported);
    }
    let parameters = Parameters::of(algorithm);
    let jwk = object(&material.jwk_members())?;
    let key = import("jwk", &jwk, &parameters.import()?, "verify").await?;
    let imported = ImportedKey { key, operation: parameters.operation()? };
    PUBLIC_KEYS.with_borrow_mut(|keys| keys.put(index, imported.clone()));
    Ok(imported)
}

async fn private_key(pkcs8: &SecretBytes) -> Result<ImportedKey, CryptoError> {
    let digest: [u8; 32] = Sha256::digest(pkcs8.expose()).into();
    if let Some(imported) = PRIVATE_KEYS.with_borrow_mut(|keys| keys.get(&digest).cloned()) {
        return Ok(imported);
    }
    let parameters = Parameters::of(Algorithm::Rs256);
    let der = Uint8Array::from(pkcs8.expose());
    let key = import("pkcs8", &der, &parameters.import()?, "sign").await;
    // Wipes the copy that JavaScript saw; the runtime has the key now.
    der.fill(0, 0, der.length());
    let imported = ImportedKey { key: key?, operation: parameters.operation()? };
    PRIVATE_KEYS.with_borrow_mut(|keys| keys.put(digest, imported.clone()));
    Ok(imported)
}

/// Imports a key that can do one thing and can't be exported.
async fn import(
    format: &str,
    data: &Object,
    algorithm: &Object,
    usage: &str,
) -> Result<CryptoKey, CryptoError> {
    let usages = Array::of1(&JsValue::from_str(usage));
    let key = subtle()?.import_key_with_object(format, data, algorithm, false, &usages);
    Ok(settled(key).await?.unchecked_into())
}

/// What Web Crypto calls an algorithm (RFC 7518, section 3 and RFC 8037, section 3.1, beside the Web Cryptography API).
enum Parameters {
    Pkcs1v15 {
        hash: &'static str,
    },
    /// The salt is as long as the hash (RFC 7518, section 3.5).
    Pss {
        hash: &'static str,
        salt_length: u8,
    },
    Ecdsa {
        curve: &'static str,
        hash: &'static str,
    },
    Ed25519,
}

impl Parameters {
    const fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Rs256 => Self::Pkcs1v15 { hash: "SHA-256" },
            Algorithm::Rs384 => Self::Pkcs1v15 { hash: "SHA-384" },
            Algorithm::Rs512 => Self::Pkcs1v15 { hash: "SHA-512" },
            Algorithm::Ps256 => Self::Pss { hash: "SHA-256", salt_length: 32 },
            Algorithm::Ps384 => Self::Pss { hash: "SHA-384", salt_length: 48 },
            Algorithm::Ps512 => Self::Pss { hash: "SHA-512", salt_length: 64 },
            Algorithm::Es256 => Self::Ecdsa { curve: "P-256", hash: "SHA-256" },
            Algorithm::Es384 => Self::Ecdsa { curve: "P-384", hash: "SHA-384" },
            Algorithm::EdDsa => Self::Ed25519,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Pkcs1v15 { .. } => "RSASSA-PKCS1-v1_5",
            Self::Pss { .. } => "RSA-PSS",
            Self::Ecdsa { .. } => "ECDSA",
            Self::Ed25519 => "Ed25519",
        }
    }

    /// What `importKey` wants.
    fn import(&self) -> Result<Object, CryptoError> {
        match self {
            Self::Pkcs1v15 { hash } | Self::Pss { hash, .. } => {
                object(&[("name", self.name()), ("hash", hash)])
            }
            Self::Ecdsa { curve, .. } => object(&[("name", self.name()), ("namedCurve", curve)]),
            Self::Ed25519 => object(&[("name", self.name())]),
        }
    }

    /// What `sign` and `verify` want.
    fn operation(&self) -> Result<Object, CryptoError> {
        match self {
            Self::Pkcs1v15 { .. } | Self::Ed25519 => object(&[("name", self.name())]),
            Self::Pss { salt_length, .. } => {
                let operation = object(&[("name", self.name())])?;
                set(&operation, "saltLength", &JsValue::from(*salt_length))?;
                Ok(operation)
            }
            Self::Ecdsa { hash, .. } => object(&[("name", self.name()), ("hash", hash)]),
        }
    }
}

fn object<T: AsRef<str>>(members: &[(&str, T)]) -> Result<Object, CryptoError> {
    let object = Object::new();
    for (name, value) in members {
        set(&object, name, &JsValue::from_str(value.as_ref()))?;
    }
    Ok(object)
}

fn set(object: &Object, name: &str, value: &JsValue) -> Result<(), CryptoError> {
    Reflect::set(object, &JsValue::from_str(name), value).map(drop).map_err(|_| CryptoError)
}

fn subtle() -> Result<SubtleCrypto, CryptoError> {
    bridge::global().crypto().map(|crypto| crypto.subtle()).map_err(|_| CryptoError)
}

async fn settled(call: Result<Promise, JsValue>) -> Result<JsValue, CryptoError> {
    JsFuture::from(call.map_err(|_| CryptoError)?).await.map_err(|_| CryptoError)
}
