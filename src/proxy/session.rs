//! Session tokens at the proxy: steps 3 to 7 for tokens that this service signed itself. A token that this isolate has
//! verified before costs no signature.

use std::cell::RefCell;
use std::num::NonZeroUsize;

use lru::LruCache;

use super::admission::Surroundings;
use crate::config::{AuthnConfig, Upstream};
use crate::context::Context;
use crate::issuer::session::{Claimed, Session};
use crate::oidc::Issuer;
use crate::problem::Problem;
use crate::time::Timestamp;

/// Each is a hash, and some hundred bytes with what the map needs for it.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// The session tokens whose signatures this isolate has verified, as hashes of their texts. Their claims are not kept: a
/// caller whose issuer signs what it likes could fill an isolate's memory with them.
pub struct Sessions(RefCell<LruCache<[u8; 32], ()>>);

impl Default for Sessions {
    fn default() -> Self {
        Self(RefCell::new(LruCache::new(REMEMBERED)))
    }
}

/// A session token that is valid for this upstream, now. `hash` is that of its text.
///
/// # Errors
/// [`Problem::InvalidToken`]; [`Problem::Misconfigured`] if the signing key is malformed.
pub(super) async fn verify(
    claimed: Claimed<'_>,
    hash: [u8; 32],
    upstream: &str,
    rules: Option<&Upstream>,
    config: &AuthnConfig,
    surroundings: &Surroundings<'_>,
    context: &Context,
) -> Result<Session, Problem> {
    let refused = |text: &str| Problem::InvalidToken(text.to_owned());
    let keys = surroundings.issuer.as_ref()?;
    let keys = keys.as_ref().ok_or_else(|| refused("this service issues no session tokens"))?;
    let is_known = surroundings.sessions.0.borrow_mut().get(&hash).is_some();
    let session =
        if is_known { claimed.again() } else { claimed.verify(keys, &*context.ports.signatures).await };
    let session = session.map_err(|_| refused("the token is no session token of this service"))?;
    if !is_known {
        surroundings.sessions.0.borrow_mut().put(hash, ());
    }
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
