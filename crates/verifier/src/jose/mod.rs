//! JSON Object Signing and Encryption, as far as an OIDC relying party needs it: compact JWS (RFC 7515),
//! the closed set of algorithms (RFC 7518, RFC 8037), JWK sets (RFC 7517) and the choice of a key; and composing one.
//!
//! Nothing here computes a signature; the platform does, behind [`crate::ports::Signatures`].

mod algorithm;
mod curve;
mod jwk;
mod jws;
mod sign;

pub use algorithm::Algorithm;
pub use jwk::{JwkSet, JwkSetError, KeyMaterial, NoKey, PublicKey};
pub use jws::{CompactJws, Header, JwsError, MAX_TOKEN_BYTES};
pub use sign::sign_rs256;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Base64url as RFC 7515 requires it: no padding, no white space, no non-canonical trailing bits.
fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Base64url as [`decode_base64url`] reads it.
pub(crate) fn encode_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
