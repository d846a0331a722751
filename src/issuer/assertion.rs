//! Assertions: what the service states about a caller, or about itself, to somebody who trusts its keys (RFC 7523, 3).

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::issuer::KeyRing;
use crate::jose;
use crate::oidc::Claims;
use crate::ports::Signatures;
use crate::secret::Secret;
use crate::time::Timestamp;

/// A verifier whose clock is behind by this much accepts a new assertion.
const BACKDATED: Duration = Duration::from_secs(60);

/// The longest subject. Most relying parties accept no more, and some less (RFC 8414 has no bound; OpenID Connect Core,
/// 2: 255).
const MAX_SUBJECT_CHARACTERS: usize = 255;

/// Whom an assertion is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject(String);

impl Subject {
    /// The service itself, on behalf of an upstream.
    #[must_use]
    pub fn of_upstream(name: &str) -> Self {
        Self(format!("upstream:{name}"))
    }

    /// The calling principal: `{issuer without https://}|{sub}`. No issuer has `|` in it, so two principals never share
    /// a subject; an `http` issuer of development keeps its scheme, so no one else has it either.
    #[must_use]
    pub fn of_caller(claims: &Claims) -> Self {
        let issuer = claims.issuer();
        Self(format!("{}|{}", issuer.strip_prefix("https://").unwrap_or(issuer), claims.subject()))
    }

    /// The text of `sub`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is signed.
pub struct Assertion<'a> {
    /// The service's domain.
    pub domain: &'a str,
    /// `sub`
    pub subject: &'a Subject,
    /// `aud`, one text.
    pub audience: &'a str,
    /// From now.
    pub lifetime: Duration,
    /// `jti`, a UUID of this assertion alone.
    pub id: &'a str,
}

/// Why there is no assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssertionError {
    /// The subject is longer than 255 characters.
    SubjectTooLong,
    /// The platform cannot sign with the key.
    NotSigned,
}

/// Signs an assertion: one signature.
///
/// # Errors
/// See [`AssertionError`].
pub async fn assertion(
    assertion: &Assertion<'_>,
    keys: &KeyRing,
    now: Timestamp,
    signatures: &dyn Signatures,
) -> Result<Secret, AssertionError> {
    signed("JWT", assertion, Map::new(), keys, now, signatures).await
}

/// An assertion with another `typ` and further claims.
pub(super) async fn signed(
    typ: &'static str,
    assertion: &Assertion<'_>,
    further: Map<String, Value>,
    keys: &KeyRing,
    now: Timestamp,
    signatures: &dyn Signatures,
) -> Result<Secret, AssertionError> {
    if assertion.subject.as_str().chars().count() > MAX_SUBJECT_CHARACTERS {
        return Err(AssertionError::SubjectTooLong);
    }
    let header = json!({ "alg": "RS256", "kid": keys.current().kid(), "typ": typ });
    let mut claims = json!({
        "iss": format!("https://{}", assertion.domain),
        "sub": assertion.subject.as_str(),
        "aud": assertion.audience,
        "iat": now.unix_seconds(),
        "nbf": now.minus(BACKDATED).unix_seconds(),
        "exp": now.plus(assertion.lifetime).unix_seconds(),
        "jti": assertion.id,
    });
    if let Some(members) = claims.as_object_mut() {
        members.extend(further);
    }
    jose::sign_rs256(&header, &claims, keys.current().pkcs8(), signatures)
        .await
        .map_err(|_| AssertionError::NotSigned)
}
