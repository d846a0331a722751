//! The verifier: the only way from an [`UnverifiedToken`] to [`VerifiedClaims`] (step 7 of the exchange).

use std::fmt;
use std::time::Duration;

use super::claims::{Claims, ClaimsError, ReadClaims};
use super::issuer::Issuer;
use super::quoted::Quoted;
use super::token::{OpenToken, UnverifiedToken};
use crate::jose::{JwkSet, NoKey, PublicKey, Signed};
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

    /// The claims alone, for whoever has decided.
    #[must_use]
    pub fn into_claims(self) -> Claims {
        self.0
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
    let unverified_issuer = token.issuer().ok();
    check_signature(token.jws().signed(), unverified_issuer, issuer, keys, signatures).await?;
    verified(ReadClaims::of_text(token.jws().payload_text()), rules, now)
}

/// [`verify`] for a platform whose [`Signatures`] answer at once: what was read of the claims is not read again.
///
/// # Errors
/// As [`verify`]; with [`VerifyError::UnknownKey`] the token comes back, for a fresh set.
pub async fn verify_open(
    open: OpenToken<'_>,
    issuer: &Issuer,
    keys: &JwkSet,
    rules: &VerifyRules,
    now: Timestamp,
    signatures: &dyn Signatures,
) -> Result<VerifiedClaims, (VerifyError, Option<Box<UnverifiedToken>>)> {
    match check_signature(open.signed(), open.issuer().ok(), issuer, keys, signatures).await {
        Ok(()) => verified(open.into_claims(), rules, now).map_err(|error| (error, None)),
        Err(error @ VerifyError::UnknownKey { .. }) => Err((error, Some(Box::new(open.close())))),
        Err(error) => Err((error, None)),
    }
}

/// The first three steps.
async fn check_signature(
    signed: Signed<'_>,
    unverified_issuer: Option<&str>,
    issuer: &Issuer,
    keys: &JwkSet,
    signatures: &dyn Signatures,
) -> Result<(), VerifyError> {
    // 1. The keys to try.
    let candidates = keys.candidates(signed.header).map_err(|no_key| match no_key {
        NoKey::UnknownKid => {
            VerifyError::UnknownKey { key_id: signed.header.key_id().unwrap_or_default().to_owned() }
        }
        NoKey::Ambiguous => VerifyError::AmbiguousKey,
        NoKey::None => VerifyError::NoKey,
    })?;

    // 2. The signature.
    if !is_signed_by_any(signed, &candidates, signatures).await {
        return Err(VerifyError::Signature);
    }

    // 3. The issuer: it owns the keys, and no other issuer may use them.
    if unverified_issuer == Some(issuer.as_str()) { Ok(()) } else { Err(VerifyError::OtherIssuer) }
}

/// 4. The claims and their times.
fn verified(claims: ReadClaims, rules: &VerifyRules, now: Timestamp) -> Result<VerifiedClaims, VerifyError> {
    claims.valid(rules.max_lifetime, now).map(VerifiedClaims).map_err(VerifyError::Claims)
}

async fn is_signed_by_any(
    Signed { header, input, signature }: Signed<'_>,
    candidates: &[&PublicKey],
    signatures: &dyn Signatures,
) -> bool {
    for key in candidates {
        // Checked here, so that no platform's tolerance (padding, DER, trailing bytes) allows a second text for a
        // token.
        if signature.len() != key.material().signature_len() {
            continue;
        }
        // A key that the platform cannot use is skipped: it must not affect another with the same name.
        if let Ok(true) = signatures.verify(header.algorithm(), key, input, signature).await {
            return true;
        }
    }
    false
}
