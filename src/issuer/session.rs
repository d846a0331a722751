//! Session tokens, which a job sends to the proxy when it outlives its OIDC token. A session token is like one of our
//! assertions about the caller, but with its own `typ`, and with the verified claims of the token that it was exchanged
//! for.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::issuer::KeyRing;
use crate::issuer::assertion::{Assertion, AssertionError, Subject, signed};
use crate::jose::{Algorithm, CompactJws};
use crate::oidc::{Claims, VerifiedClaims};
use crate::ports::Signatures;
use crate::secret::Secret;
use crate::time::Timestamp;

/// `typ` (RFC 8725, 3.11).
pub const TYPE: &str = "octo-sts-session+jwt";

/// The largest size of the exchanged token's claims, as JSON.
const MAX_SOURCE_BYTES: usize = 8 * 1024;

/// Why there is no session token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionError {
    /// The subject token's claims are too large or too deep to include.
    SourceTooLarge,
    /// The subject is too long, or the platform does not sign.
    Assertion(AssertionError),
}

/// What the caller asks for.
pub struct Request<'a> {
    /// The service's domain.
    pub domain: &'a str,
    /// The proxy's audience: `https://{domain}/proxy/{name}`.
    pub audience: &'a str,
    /// From now.
    pub lifetime: Duration,
    /// `jti`
    pub id: &'a str,
}

/// Makes a session token for the principal in the verified claims. `fingerprint` is
/// [`crate::oidc::UnverifiedToken::fingerprint_base64url`].
///
/// # Errors
/// See [`SessionError`].
pub async fn make(
    request: &Request<'_>,
    source: &VerifiedClaims,
    fingerprint: &str,
    keys: &KeyRing,
    now: Timestamp,
    signatures: &dyn Signatures,
) -> Result<Secret, SessionError> {
    let claims = source.claims();
    let source = Value::Object(claims.all().clone());
    if source.to_string().len() > MAX_SOURCE_BYTES {
        return Err(SessionError::SourceTooLarge);
    }
    let mut further = Map::new();
    further.insert("source".to_owned(), source);
    further.insert("source_token".to_owned(), fingerprint.into());
    let subject = Subject::of_caller(claims);
    let assertion = Assertion {
        domain: request.domain,
        subject: &subject,
        audience: request.audience,
        lifetime: request.lifetime,
        id: request.id,
    };
    let token =
        signed(TYPE, &assertion, further, keys, now, signatures).await.map_err(SessionError::Assertion)?;
    // If we cannot read it back, the proxy would refuse it.
    CompactJws::parse_typed(token.expose(), TYPE).map_err(|_| SessionError::SourceTooLarge)?;
    Ok(token)
}

/// A session token whose signature verified with a key of ours. Only [`verify`] and [`read_again`] make one.
#[derive(Debug)]
pub struct Session {
    audience: String,
    issued_at: Timestamp,
    expires_at: Timestamp,
    source: Claims,
    fingerprint: String,
}

impl Session {
    /// `aud`: the proxy path of one upstream.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// `iat`
    #[must_use]
    pub const fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// `exp`
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The claims of the token that it was exchanged for, verified then.
    #[must_use]
    pub const fn source(&self) -> &Claims {
        &self.source
    }

    /// Names the subject token, as [`crate::oidc::UnverifiedToken::fingerprint`] does.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The claims and the name of the subject token, for whoever needs nothing else any more.
    #[must_use]
    pub fn into_subject(self) -> (Claims, String) {
        (self.source, self.fingerprint)
    }
}

/// Why a token with our own `iss` is not a session. There is one text for the caller; the holder of a real session
/// never sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSession;

/// Whether a credential claims that we issued it. This is not trusted; it only decides who has to verify it.
#[must_use]
pub fn is_own(credential: &str, domain: &str) -> bool {
    let claims = CompactJws::claims_of(credential);
    claims.is_some_and(|claims| {
        claims.get("iss").and_then(Value::as_str).is_some_and(|issuer| is_issuer(issuer, domain))
    })
}

/// Whether this service is the issuer of that name.
#[must_use]
pub fn is_issuer(issuer: &str, domain: &str) -> bool {
    issuer.strip_prefix("https://") == Some(domain)
}

/// Verifies a session token with our own keys. The caller has to check whether it has expired, and for which upstream
/// it is: a session may be revoked after it has expired.
///
/// # Errors
/// [`NoSession`] for everything that is not a session token of ours.
pub async fn verify(
    credential: &str,
    domain: &str,
    keys: &KeyRing,
    signatures: &dyn Signatures,
) -> Result<Session, NoSession> {
    let jws = CompactJws::parse_typed(credential, TYPE).map_err(|_| NoSession)?;
    if jws.header().algorithm() != Algorithm::Rs256 {
        return Err(NoSession);
    }
    let key = jws.header().key_id().and_then(|kid| keys.named(kid)).ok_or(NoSession)?;
    if jws.signature().len() != key.material().signature_len() {
        return Err(NoSession);
    }
    match signatures.verify(Algorithm::Rs256, key, jws.signing_input(), jws.signature()).await {
        Ok(true) => read(&jws.payload(), domain).ok_or(NoSession),
        Ok(false) | Err(_) => Err(NoSession),
    }
}

/// Reads a session token that [`verify`] has verified before, with keys that have not changed since. It costs no signature,
/// and nobody has to keep the claims, which as a tree take a hundred times their bytes.
///
/// # Errors
/// [`NoSession`], which no token that was verified gets.
pub fn read_again(credential: &str, domain: &str) -> Result<Session, NoSession> {
    let claims = CompactJws::claims_of(credential).ok_or(NoSession)?;
    read(&claims, domain).ok_or(NoSession)
}

/// The claims, as [`make`] writes them.
fn read(claims: &Map<String, Value>, domain: &str) -> Option<Session> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let time = |name: &str| claims.get(name).and_then(Value::as_i64).and_then(Timestamp::from_unix_seconds);
    if !is_issuer(text("iss")?, domain) {
        return None;
    }
    let source = claims.get("source")?.as_object()?.clone();
    Some(Session {
        audience: text("aud")?.to_owned(),
        issued_at: time("iat")?,
        expires_at: time("exp")?,
        source: Claims::from_object(source).ok()?,
        fingerprint: hex::encode(URL_SAFE_NO_PAD.decode(text("source_token")?).ok()?),
    })
}
