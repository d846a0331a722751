//! JSON Object Signing and Encryption, as far as an OIDC relying party needs it: compact JWS (RFC 7515),
//! the closed set of algorithms (RFC 7518, RFC 8037), JWK sets (RFC 7517) and the choice of a key; and composing one.
//!
//! Nothing here computes a signature; the platform does, behind [`Signatures`].

mod algorithm;
mod curve;
mod jwk;
mod jws;
mod sign;
mod signatures;

pub use algorithm::Algorithm;
pub use jwk::{JwkSet, JwkSetError, KeyMaterial, NoKey, PublicKey};
pub use jws::{CompactJws, Header, JwsError, MAX_TOKEN_BYTES};
pub(crate) use jws::{Signed, TakenApart};
pub use sign::sign_rs256;
pub use signatures::{CryptoError, Signatures};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Base64url as RFC 7515 requires it: no padding, no white space, no non-canonical trailing bits.
fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    engine().decode(text).ok()
}

/// The same in a place that is there; `None` also for what is longer.
fn decode_base64url_into<'a>(text: &str, place: &'a mut [u8]) -> Option<&'a [u8]> {
    let length = engine().decode_slice(text, place).ok()?;
    place.get(..length)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const fn engine() -> &'static impl base64::Engine {
    &URL_SAFE_NO_PAD
}

/// With the processor's vector instructions where it has them: five times as fast.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn engine() -> &'static impl base64::Engine {
    use base64::engine::{Simd, general_purpose::NO_PAD};
    static ENGINE: std::sync::LazyLock<Simd> = std::sync::LazyLock::new(|| Simd::url_safe(NO_PAD));
    &*ENGINE
}

/// Base64url as [`decode_base64url`] reads it.
pub(crate) fn encode_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
