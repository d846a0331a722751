//! Keys, generated when the tests run.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The App's private key: one for all tests of a run.
pub(crate) fn app_private_key_pem() -> String {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| rsa_pem(KeySize::Rsa2048)).clone()
}

/// The App's other key, during a rotation.
pub(crate) fn another_app_private_key_pem() -> String {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| rsa_pem(KeySize::Rsa2048)).clone()
}

/// A key for the service as an issuer, by name: the same name is the same key for all tests of a run.
pub(crate) fn issuer_key_pem(name: &'static str) -> String {
    static PEMS: Mutex<BTreeMap<&str, String>> = Mutex::new(BTreeMap::new());
    let mut pems = PEMS.lock().unwrap();
    pems.entry(name).or_insert_with(|| rsa_pem(KeySize::Rsa2048)).clone()
}

/// A new key in PKCS#8.
pub(crate) fn rsa_pem(size: KeySize) -> String {
    let pair = KeyPair::generate(size).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()))
}
