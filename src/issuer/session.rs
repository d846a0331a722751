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
use crate::json::{Picked, pick};
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

/// A session token whose signature verified with a key of ours. Only [`Claimed::verify`] and [`Claimed::again`] hand one
/// out.
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

/// Whether this service is the issuer of that name.
#[must_use]
pub fn is_issuer(issuer: &str, domain: &str) -> bool {
    issuer.strip_prefix("https://") == Some(domain)
}

/// A credential which says that we issued it. This is not trusted; it only decides who has to verify it. Its claims are
/// read once, here.
pub struct Claimed<'a> {
    credential: &'a str,
    /// As [`make`] writes it.
    session: Option<Session>,
}

/// The claims that are read.
const NAMES: [&str; 6] = ["iss", "aud", "iat", "exp", "source", "source_token"];

impl<'a> Claimed<'a> {
    /// `None` for everything that names another issuer, or none.
    #[must_use]
    pub fn of(credential: &'a str, domain: &str) -> Option<Self> {
        let payload = CompactJws::payload_of(credential)?;
        let [issuer, further @ ..] = pick(&payload, NAMES).ok()?;
        is_issuer(issuer?.as_text()?, domain).then(|| Self { credential, session: read(further) })
    }

    /// Verifies a session token with our own keys. The caller has to check whether it has expired, and for which upstream
    /// it is: a session may be revoked after it has expired.
    ///
    /// # Errors
    /// [`NoSession`] for everything that is not a session token of ours.
    pub async fn verify(self, keys: &KeyRing, signatures: &dyn Signatures) -> Result<Session, NoSession> {
        let jws = CompactJws::parse_typed(self.credential, TYPE).map_err(|_| NoSession)?;
        if jws.header().algorithm() != Algorithm::Rs256 {
            return Err(NoSession);
        }
        let key = jws.header().key_id().and_then(|kid| keys.named(kid)).ok_or(NoSession)?;
        if jws.signature().len() != key.material().signature_len() {
            return Err(NoSession);
        }
        match signatures.verify(Algorithm::Rs256, key, jws.signing_input(), jws.signature()).await {
            Ok(true) => self.session.ok_or(NoSession),
            Ok(false) | Err(_) => Err(NoSession),
        }
    }

    /// A session token that [`Claimed::verify`] has verified before, with keys that have not changed since. It costs no
    /// signature, and nobody has to keep the claims.
    ///
    /// # Errors
    /// [`NoSession`], which no token that was verified gets.
    pub fn again(self) -> Result<Session, NoSession> {
        self.session.ok_or(NoSession)
    }
}

fn read([audience, issued_at, expires_at, source, source_token]: [Option<Picked<'_>>; 5]) -> Option<Session> {
    let time = |claim: Option<Picked<'_>>| match claim {
        Some(Picked::Number(number)) => number.as_i64().and_then(Timestamp::from_unix_seconds),
        Some(_) | None => None,
    };
    let Some(Picked::Object(source)) = source else { return None };
    let fingerprint = URL_SAFE_NO_PAD.decode(source_token?.as_text()?).ok()?;
    Some(Session {
        audience: audience?.into_text()?.into_owned(),
        issued_at: time(issued_at)?,
        expires_at: time(expires_at)?,
        source: Claims::from_text(source.into_owned()).ok()?,
        fingerprint: hex::encode(fingerprint),
    })
}
