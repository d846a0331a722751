//! A token that is well-formed but not trusted.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::claims::{ClaimsError, ReadClaims};
use crate::jose::{CompactJws, JwsError, Signed, TakenApart};
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
        OpenToken::parse(credential).map(OpenToken::close)
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
        not_expired(self.expires_at()?, now)
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

/// A token taken apart beside its text, with the claims that were read on the way: for whoever verifies it at once with
/// [`super::verify_open`], and would read them again with [`super::verify`]. Whoever waits for anything [closes](Self::close)
/// it: the claims may be anybody's, and take memory for as long as an issuer takes to answer.
///
/// ```
/// use octo_sts_verifier::oidc::OpenToken;
/// // {"alg":"RS256"}.{"iss":"https://example.com","exp":1}
/// let open = OpenToken::parse("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2V4YW1wbGUuY29tIiwiZXhwIjoxfQ.AAAA")?;
/// assert_eq!(open.issuer()?, "https://example.com");
/// let unverified = open.close();
/// assert_eq!(unverified.expires_at()?.unix_seconds(), 1);
/// # Ok::<(), octo_sts_verifier::oidc::TokenError>(())
/// ```
pub struct OpenToken<'a> {
    jws: TakenApart<'a, 0>,
    claims: ReadClaims,
}

impl<'a> OpenToken<'a> {
    /// As [`UnverifiedToken::parse`].
    ///
    /// # Errors
    /// [`TokenError::Malformed`].
    pub fn parse(credential: &'a str) -> Result<Self, TokenError> {
        let TakenApart { header, signing_input, signature, payload, claims } =
            TakenApart::parse(credential, ReadClaims::NAMES).map_err(TokenError::Malformed)?;
        let claims = ReadClaims::new(payload, claims);
        let jws = TakenApart { header, signing_input, signature, payload: Vec::new(), claims: [] };
        Ok(Self { jws, claims })
    }

    /// As [`UnverifiedToken::issuer`].
    ///
    /// # Errors
    /// When `iss` is missing or not a string.
    pub fn issuer(&self) -> Result<&str, TokenError> {
        self.claims.issuer().map_err(TokenError::Claims)
    }

    /// As [`UnverifiedToken::check_not_expired`].
    ///
    /// # Errors
    /// When `exp` is missing, not a time, or not after `now`.
    pub fn check_not_expired(&self, now: Timestamp) -> Result<(), TokenError> {
        let expires_at = self.claims.expires_at().map_err(TokenError::Claims)?;
        not_expired(expires_at, now)
    }

    /// The token on its own, without the claims.
    #[must_use]
    pub fn close(self) -> UnverifiedToken {
        UnverifiedToken {
            issuer: self.claims.issuer().map(str::to_owned),
            expires_at: self.claims.expires_at(),
            jws: self.jws.into(),
        }
    }

    pub(super) fn signed(&self) -> Signed<'_> {
        let TakenApart { header, signing_input, signature, .. } = &self.jws;
        Signed { header, input: signing_input.as_bytes(), signature }
    }

    pub(super) fn into_claims(self) -> ReadClaims {
        self.claims
    }
}

impl fmt::Debug for OpenToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenToken").field("header", &self.jws.header).finish_non_exhaustive()
    }
}

fn not_expired(expires_at: Timestamp, now: Timestamp) -> Result<(), TokenError> {
    if expires_at > now { Ok(()) } else { Err(TokenError::Claims(ClaimsError::Expired(expires_at))) }
}
