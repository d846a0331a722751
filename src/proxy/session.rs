//! Session tokens at the proxy: steps 3 to 7 for tokens that this service signed itself. A token that this isolate has
//! verified before costs no signature.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;
use sha2::{Digest as _, Sha256};

use super::admission::Surroundings;
use crate::config::{AuthnConfig, Upstream};
use crate::context::Context;
use crate::issuer::session::{self, Session};
use crate::oidc::Issuer;
use crate::problem::Problem;
use crate::time::Timestamp;

/// Each is a few kilobytes: the claims of its subject token.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(511);

/// The sessions whose signatures this isolate has verified, by the hash of their text.
pub struct Sessions(RefCell<LruCache<[u8; 32], Rc<Session>>>);

impl Default for Sessions {
    fn default() -> Self {
        Self(RefCell::new(LruCache::new(REMEMBERED)))
    }
}

/// A session token that is valid for this upstream, now.
///
/// # Errors
/// [`Problem::InvalidToken`]; [`Problem::Misconfigured`] if the signing key is malformed.
pub(super) async fn verify(
    credential: &str,
    upstream: &str,
    rules: Option<&Upstream>,
    config: &AuthnConfig,
    surroundings: &Surroundings<'_>,
    context: &Context,
) -> Result<Rc<Session>, Problem> {
    let refused = |text: &str| Problem::InvalidToken(text.to_owned());
    let keys = surroundings.issuer.as_ref()?;
    let keys = keys.as_ref().ok_or_else(|| refused("this service issues no session tokens"))?;
    let hash: [u8; 32] = Sha256::digest(credential).into();
    let known = surroundings.sessions.0.borrow_mut().get(&hash).cloned();
    let session = match known {
        Some(session) => session,
        None => {
            let verified =
                session::verify(credential, &config.domain, keys, &*context.ports.signatures).await;
            let session =
                verified.map_err(|_| refused("the token is not a session token of this service"))?;
            let session = Rc::new(session);
            surroundings.sessions.0.borrow_mut().put(hash, Rc::clone(&session));
            session
        }
    };
    if session.audience() != Upstream::audience(&config.domain, upstream) {
        return Err(refused("the session token is for another upstream"));
    }
    // The current limit applies to earlier sessions too.
    let longest = rules.map(|rules| session.issued_at().plus(rules.max_session));
    if ends(&session, longest) <= context.now {
        return Err(refused("the session token expired"));
    }
    if Issuer::parse(session.source().issuer(), &config.issuers).is_err() {
        return Err(refused("the session's issuer is no longer accepted"));
    }
    Ok(session)
}

fn ends(session: &Session, longest: Option<Timestamp>) -> Timestamp {
    longest.map_or(session.expires_at(), |longest| session.expires_at().min(longest))
}
