//! The verifier: the only way from an [`UnverifiedToken`] to [`VerifiedClaims`] (step 7 of the exchange).

use std::fmt;
use std::time::Duration;

use super::claims::{Claims, ClaimsError, check_times};
use super::issuer::Issuer;
use super::quoted::Quoted;
use super::token::UnverifiedToken;
use crate::jose::{JwkSet, NoKey, PublicKey};
use crate::ports::Signatures;
use crate::time::Timestamp;

/// What the operator set.
#[derive(Debug, Clone, Copy)]
pub struct VerifyRules {
    /// `MAX_TOKEN_LIFETIME_SECONDS`: from `iat` to `exp`.
    pub max_lifetime: Duration,
}

/// Claims that the issuer signed and that are valid at the moment of the request. Only [`verify`] makes them.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedClaims(Claims);

impl VerifiedClaims {
    /// The claims.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.0
    }
}

/// Why a token is not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyError {
    /// The token names a key that the issuer's set does not have. Only this error can be fixed by a fresh set.
    UnknownKey {
        /// The token's `kid`.
        key_id: String,
    },
    /// The token names no key, and several of the issuer's match.
    AmbiguousKey,
    /// The token names no key, and none of the issuer's matches.
    NoKey,
    /// No candidate verifies the signature.
    Signature,
    /// The token is not from the issuer of these keys.
    OtherIssuer,
    /// Signed, but the claims are refused.
    Claims(ClaimsError),
}

impl VerifyError {
    /// A stable name without any value.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownKey { .. } => "unknown_key",
            Self::AmbiguousKey => "ambiguous_key",
            Self::NoKey => "no_key",
            Self::Signature => "signature",
            Self::OtherIssuer => "other_issuer",
            Self::Claims(error) => error.code(),
        }
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { key_id } => {
                write!(f, "the token's issuer has no key {} for its algorithm", Quoted(key_id))
            }
            Self::AmbiguousKey => {
                f.write_str("the token names no key and its issuer has several for its algorithm")
            }
            Self::NoKey => f.write_str("the token's issuer has no key for its algorithm"),
            Self::Signature => f.write_str("the token's signature does not verify with its issuer's key"),
            Self::OtherIssuer => f.write_str("the token is not from the issuer whose keys were asked for"),
            Self::Claims(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for VerifyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Claims(error) => Some(error),
            Self::UnknownKey { .. }
            | Self::AmbiguousKey
            | Self::NoKey
            | Self::Signature
            | Self::OtherIssuer => None,
        }
    }
}

/// Verifies a token with its issuer's keys: first the signature, then every claim, so that nothing is revealed about
/// the claims of an unsigned token.
///
/// # Errors
/// See [`VerifyError`]; all but [`VerifyError::UnknownKey`] are final for the token.
pub async fn verify(
    token: &UnverifiedToken,
    issuer: &Issuer,
    keys: &JwkSet,
    rules: &VerifyRules,
    now: Timestamp,
    signatures: &dyn Signatures,
) -> Result<VerifiedClaims, VerifyError> {
    let jws = token.jws();

    // 1. The keys to try.
    let candidates = keys.candidates(jws.header()).map_err(|no_key| match no_key {
        NoKey::UnknownKid => {
            VerifyError::UnknownKey { key_id: jws.header().key_id().unwrap_or_default().to_owned() }
        }
        NoKey::Ambiguous => VerifyError::AmbiguousKey,
        NoKey::None => VerifyError::NoKey,
    })?;

    // 2. The signature.
    if !is_signed_by_any(token, &candidates, signatures).await {
        return Err(VerifyError::Signature);
    }

    // 3. The issuer: it owns the keys, and no other issuer may use them.
    if token.issuer().ok() != Some(issuer.as_str()) {
        return Err(VerifyError::OtherIssuer);
    }

    // 4. The claims and their times.
    let claims = Claims::from_object(jws.payload()).map_err(VerifyError::Claims)?;
    check_times(claims.all(), rules.max_lifetime, now).map_err(VerifyError::Claims)?;
    Ok(VerifiedClaims(claims))
}

async fn is_signed_by_any(
    token: &UnverifiedToken,
    candidates: &[&PublicKey],
    signatures: &dyn Signatures,
) -> bool {
    let jws = token.jws();
    for key in candidates {
        // Checked here, so that no platform's tolerance (padding, DER, trailing bytes) allows a second text for a
        // token.
        if jws.signature().len() != key.material().signature_len() {
            continue;
        }
        // A key that the platform cannot use is skipped: it must not affect another with the same name.
        if let Ok(true) =
            signatures.verify(jws.header().algorithm(), key, jws.signing_input(), jws.signature()).await
        {
            return true;
        }
    }
    false
}
