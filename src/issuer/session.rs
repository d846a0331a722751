//! Session tokens: what a job that outlives its OIDC token shows to the proxy instead. Like an assertion of our own about
//! the caller, with its own `typ`, and with the verified claims of the token that it was exchanged for.

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

/// The claims of the token that a session was exchanged for take at most so much, as JSON.
const MAX_SOURCE_BYTES: usize = 8 * 1024;

/// Why there is no session token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionError {
    /// The subject token's claims are too large or too deep to be carried along.
    SourceTooLarge,
    /// The subject is too long, or the platform does not sign.
    Assertion(AssertionError),
}

/// What is asked for.
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

/// Makes a session token for whom the verified claims name. `fingerprint` is [`crate::oidc::UnverifiedToken::fingerprint_base64url`].
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
    // What we could not read back, the proxy would refuse.
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

/// Why a token with our own `iss` is no session. One text for the caller: whoever holds a real one never sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSession;

/// Whether a credential says that we issued it. Nothing is believed of it for that; it only says who must judge.
#[must_use]
pub fn is_own(credential: &str, domain: &str) -> bool {
    let claims = CompactJws::claims_of(credential);
    let issuer = claims.as_ref().and_then(|claims| claims.get("iss")?.as_str()?.strip_prefix("https://"));
    issuer == Some(domain)
}

/// Verifies a session token with our own keys. Whether it is over, and for which upstream, is for the caller to judge:
/// the end of a session may be revoked after it.
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
    if text("iss")?.strip_prefix("https://")? != domain {
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
