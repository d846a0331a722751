//! The GitHub App at work: which installation serves an owner, and the tokens minted with it. The exchange and the
//! webhook use this room. It makes no decision about a caller.

pub(crate) mod installation;
mod jwt;
mod tokens;

pub(crate) use installation::granted_permissions;
pub(crate) use tokens::{Access, MintFailure, check_run_token, revoke_now};

use std::rc::Rc;

use crate::authn::Limits;
use crate::cache::{Bounds, Cache, Newcomers};
use crate::github::{AppIdentity, Failure};
use crate::problem::Problem;
use crate::time::Timestamp;

/// What an isolate knows about the App's installations, and the App's JWTs.
pub(crate) struct Apps {
    identity: AppIdentity,
    pub(crate) installations: Cache<installation::InstallationFact>,
    newcomers: Rc<Newcomers>,
    limits: Rc<Limits>,
}

/// In bytes. A fact has a few hundred; with every existing permission, ten thousand.
const INSTALLATIONS: Bounds = Bounds::new(4096, 8 * 1024 * 1024);

impl Apps {
    /// Nothing yet.
    pub(crate) fn new(newcomers: &Rc<Newcomers>, limits: &Rc<Limits>) -> Self {
        Self {
            identity: AppIdentity::default(),
            installations: Cache::new(INSTALLATIONS),
            newcomers: Rc::clone(newcomers),
            limits: Rc::clone(limits),
        }
    }
}

impl Problem {
    /// GitHub did not answer, or not as the call should.
    pub(crate) fn github_unavailable(failure: Failure, now: Timestamp) -> Self {
        let after = failure.retry_after(now);
        if matches!(failure, Failure::RateLimited(_)) {
            Self::RateLimited("github's rate limit is exhausted".to_owned(), after)
        } else {
            Self::Unavailable("github did not answer as expected".to_owned(), after)
        }
    }
}
