//! A token that is well-formed but not trusted.

use std::fmt;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::claims::{ClaimsError, numeric_date};
use crate::jose::{CompactJws, JwsError};
use crate::time::Timestamp;

/// Why a token is refused before any key is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenError {
    /// It is not a compact JWS that we accept.
    Malformed(JwsError),
    /// It names no issuer, or its expiry is missing, malformed or past.
    Claims(ClaimsError),
}

impl TokenError {
    /// A stable name without any value.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(error) => error.code(),
            Self::Claims(error) => error.code(),
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::Claims(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TokenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Malformed(error) => Some(error),
            Self::Claims(error) => Some(error),
        }
    }
}

/// A parsed token. Its content may be used only to find the issuer's keys and to refuse early. It keeps the text, the
/// header, the issuer and the expiry; other claims are read once the signature is verified.
pub struct UnverifiedToken {
    jws: CompactJws,
    issuer: Result<String, ClaimsError>,
    expires_at: Result<Timestamp, ClaimsError>,
}

impl UnverifiedToken {
    /// Step 3 of the exchange: three parts, strict base64url, JSON objects, an algorithm of the closed set.
    ///
    /// # Errors
    /// [`TokenError::Malformed`].
    pub fn parse(credential: &str) -> Result<Self, TokenError> {
        let (jws, mut payload) = CompactJws::parse_with_payload(credential).map_err(TokenError::Malformed)?;
        let expires_at = numeric_date(&payload, "exp");
        let issuer = match payload.remove("iss") {
            Some(Value::String(issuer)) => Ok(issuer),
            Some(_) => Err(ClaimsError::NotString("iss")),
            None => Err(ClaimsError::Missing("iss")),
        };
        Ok(Self { jws, issuer, expires_at })
    }

    /// The issuer that the token names. For step 4, which parses it as an [`super::Issuer`].
    ///
    /// # Errors
    /// When `iss` is missing or not a string.
    pub fn issuer(&self) -> Result<&str, TokenError> {
        self.issuer.as_deref().map_err(|error| TokenError::Claims(error.clone()))
    }

    /// When the token says it expires.
    ///
    /// # Errors
    /// When `exp` is missing or not a time.
    pub fn expires_at(&self) -> Result<Timestamp, TokenError> {
        self.expires_at.clone().map_err(TokenError::Claims)
    }

    /// Step 5: saves the fetch of keys for a token that says itself that it has expired.
    ///
    /// # Errors
    /// When `exp` is missing, not a time, or not after `now`.
    pub fn check_not_expired(&self, now: Timestamp) -> Result<(), TokenError> {
        let expires_at = self.expires_at()?;
        if expires_at > now { Ok(()) } else { Err(TokenError::Claims(ClaimsError::Expired(expires_at))) }
    }

    /// Identifies the token: the SHA-256, in hex, of what its signature covers. The holder of a token cannot change
    /// that, but can change the rest: ECDSA verifies `(r, n - s)` like `(r, s)`, so the token's text does not identify
    /// it. A `jti` does not either, because it is optional. The issuer is a claim, so it is included.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(self.jws.signing_input()))
    }

    /// The same in base64url, as in a session token.
    #[must_use]
    pub fn fingerprint_base64url(&self) -> String {
        crate::jose::encode_base64url(&Sha256::digest(self.jws.signing_input()))
    }

    pub(super) const fn jws(&self) -> &CompactJws {
        &self.jws
    }
}

impl fmt::Debug for UnverifiedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedToken").field("header", self.jws.header()).finish_non_exhaustive()
    }
}
