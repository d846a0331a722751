//! Bearer text to [`VerifiedClaims`]: the verifier of an OIDC token (protocol page "Verifying an OIDC token").
