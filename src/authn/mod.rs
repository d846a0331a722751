//! Who the caller is: bearer text to [`crate::oidc::VerifiedClaims`]. Issuers' keys with their cool-downs, the
//! service's own limits, and single use of a token. Knows nothing about GitHub: the exchange, the token endpoint and
//! the proxy all use it.

mod bearer;
mod issuer_keys;
mod limits;
mod single_use;
mod strangers;
mod verify;

pub(crate) use bearer::{bearer, credential_of, plain as plain_credential};
pub(crate) use limits::{Counted, Limits};
pub(crate) use single_use::{Cleared, once, used_up};
pub(crate) use verify::{parse, present, present_token};

use std::rc::Rc;

use self::strangers::Strangers;
use crate::cache::{Bounds, Cache, Newcomers};

/// What an isolate knows about issuers.
pub(crate) struct Authn {
    issuer_keys: Cache<issuer_keys::IssuerKeys>,
    newcomers: Rc<Newcomers>,
    strangers: Strangers,
}

/// In bytes: real sets have 1 to 20 KiB, and the largest accepted one about 200.
const ISSUERS: Bounds = Bounds::new(256, 8 * 1024 * 1024);

impl Authn {
    /// Empty. Facts that strangers make up share one write budget with the other rooms.
    pub(crate) fn new(newcomers: &Rc<Newcomers>) -> Self {
        Self {
            issuer_keys: Cache::new(ISSUERS),
            newcomers: Rc::clone(newcomers),
            strangers: Strangers::new(),
        }
    }
}
