//! Composes a compact JWS (RFC 7515, 7.1): the only place where something is signed.

use serde_json::Value;

use super::encode_base64url;
use super::{CryptoError, Signatures};
use crate::secret::{Secret, SecretBytes};

/// Signs claims with a header and RS256: one signature. The header itself must say RS256.
///
/// # Errors
/// [`CryptoError`] if the platform cannot use the key.
pub async fn sign_rs256(
    header: &Value,
    claims: &Value,
    pkcs8: &SecretBytes,
    signatures: &dyn Signatures,
) -> Result<Secret, CryptoError> {
    let (header, claims) = (header.to_string(), claims.to_string());
    let mut token =
        format!("{}.{}", encode_base64url(header.as_bytes()), encode_base64url(claims.as_bytes()));
    let signature = signatures.sign_rs256(pkcs8, token.as_bytes()).await?;
    token.push('.');
    token.push_str(&encode_base64url(&signature));
    Ok(Secret::new(token))
}
