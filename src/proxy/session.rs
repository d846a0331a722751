//! Session tokens: what a job exchanged its OIDC token for, signed by this service itself.

use std::cell::RefCell;
use std::num::NonZeroUsize;

use lru::LruCache;
use sha2::{Digest as _, Sha256};

use super::admission::Surroundings;
use crate::config::{AuthnConfig, Upstream};
use crate::context::Context;
use crate::issuer::session::{self, NoSession, Session};
use crate::oidc::Issuer;
use crate::problem::Problem;

/// A session has at most 8 KiB of claims, so all of them weigh a few megabytes.
const SESSIONS: NonZeroUsize = match NonZeroUsize::new(256) {
    Some(sessions) => sessions,
    None => NonZeroUsize::MIN,
};

/// Sessions whose signature this isolate has verified, by the hash of the whole token. Nothing else is remembered of them:
/// whether one is over, revoked or still wanted is asked each time. The settings, keys included, live as long as an isolate.
pub struct Sessions(RefCell<LruCache<[u8; 32], Session>>);

impl Default for Sessions {
    fn default() -> Self {
        Self(RefCell::new(LruCache::new(SESSIONS)))
    }
}

/// Steps 3 to 7 for a token whose `iss` is this service.
///
/// # Errors
/// [`Problem::InvalidToken`]
pub(super) async fn verify(
    credential: &str,
    upstream: (&str, Option<&Upstream>),
    config: &AuthnConfig,
    surroundings: &Surroundings<'_>,
    context: &Context,
) -> Result<Session, Problem> {
    let refused = |text: &str| Problem::InvalidToken(text.to_owned());
    let keys = surroundings.issuer.as_ref().map_err(Problem::from)?;
    let keys = keys.as_ref().ok_or_else(|| refused("this service has no key and issues no sessions"))?;
    let digest: [u8; 32] = Sha256::digest(credential).into();
    let Sessions(verified) = surroundings.sessions;
    let known = verified.borrow_mut().get(&digest).cloned();
    let session = match known {
        Some(session) => session,
        None => {
            let signatures = &*context.ports.signatures;
            let session = session::verify(credential, &config.domain, keys, signatures)
                .await
                .map_err(|NoSession| refused("the token is not a session of this service"))?;
            verified.borrow_mut().put(digest, session.clone());
            session
        }
    };
    let (name, upstream) = upstream;
    if session.audience() != Upstream::audience(&config.domain, name) {
        return Err(refused("the session is for another upstream"));
    }
    // Never longer than sessions may be today, whatever they were allowed when it began.
    let allowed_until = upstream.map(|upstream| session.issued_at().plus(upstream.max_session));
    if session.expires_at() <= context.now || allowed_until.is_some_and(|end| end <= context.now) {
        return Err(refused("the session is over"));
    }
    // Whoever is not believed any more is not believed through a session either.
    Issuer::parse(session.source().issuer(), &config.issuers)
        .map_err(|error| Problem::InvalidToken(error.to_string()))?;
    Ok(session)
}
