//! Who sent a delivery: `X-Hub-Signature-256` is the HMAC-SHA256 of the body's bytes with a secret that GitHub and we
//! share. Nothing of a body is parsed before this.
//! <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName};
use sha2::Sha256;

use crate::secret::Secret;

const X_HUB_SIGNATURE_256: HeaderName = HeaderName::from_static("x-hub-signature-256");

/// The body is not signed by any of the secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadSignature;

/// Whether one of the secrets signed the body; during a rotation there are two. An empty secret never counts, because
/// everybody knows it. The older SHA-1 header is ignored.
pub(super) fn verify(headers: &HeaderMap, body: &[u8], secrets: &[Secret]) -> Result<(), BadSignature> {
    let signature = signature(headers).ok_or(BadSignature)?;
    let signed = secrets.iter().map(Secret::expose).filter(|secret| !secret.is_empty()).any(|secret| {
        // An HMAC key may have any length. The comparison takes the same time wherever the bytes differ.
        Hmac::<Sha256>::new_from_slice(secret.as_bytes())
            .is_ok_and(|hmac| hmac.chain_update(body).verify_slice(&signature).is_ok())
    });
    if signed { Ok(()) } else { Err(BadSignature) }
}

/// Exactly one header `sha256=` and 32 bytes in hexadecimal.
fn signature(headers: &HeaderMap) -> Option<[u8; 32]> {
    let mut values = headers.get_all(X_HUB_SIGNATURE_256).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let mut signature = [0; 32];
    hex::decode_to_slice(value.to_str().ok()?.strip_prefix("sha256=")?, &mut signature).ok()?;
    Some(signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GitHub's own example.
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn verified(signatures: &[&str], secrets: &[&str]) -> bool {
        let headers = signatures.iter().map(|value| (X_HUB_SIGNATURE_256, value.parse().unwrap())).collect();
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect();
        verify(&headers, BODY, &secrets).is_ok()
    }

    #[test]
    fn githubs_example_holds_with_either_secret() {
        assert!(verified(&[SIGNATURE], &[SECRET]));
        assert!(verified(&[SIGNATURE], &["newer", SECRET]));
        assert!(!verified(&[SIGNATURE], &["newer", "older"]));
    }

    #[test]
    fn whatever_is_not_one_signature_is_none() {
        let bare = SIGNATURE.trim_start_matches("sha256=");
        let short = SIGNATURE.get(..69).unwrap();
        let one_off = SIGNATURE.replace("3e17", "3e18");
        let sha1 = "sha1=0123456789abcdef0123456789abcdef01234567";
        for bad in
            ["", "sha256=", bare, short, &one_off, sha1, &format!("{SIGNATURE}00"), &format!(" {SIGNATURE}")]
        {
            assert!(!verified(&[bad], &[SECRET]), "{bad}");
        }
        assert!(!verified(&[], &[SECRET]));
        assert!(!verified(&[SIGNATURE, SIGNATURE], &[SECRET]));
    }

    #[test]
    fn an_empty_secret_signs_nothing() {
        let hmac = Hmac::<Sha256>::new_from_slice(b"").unwrap().chain_update(BODY).finalize().into_bytes();
        let forged = format!("sha256={}", hex::encode(hmac));
        assert!(!verified(&[&forged], &[""]));
        assert!(!verified(&[&forged], &[]));
    }
}
