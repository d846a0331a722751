//! The service itself. [`exchange`] is the order of checks, numbered as in the protocol; the other files are its steps.

mod audit;
mod bearer;
mod exchange;
mod forget;
mod installation;
mod issuer_keys;
mod organization;
mod parameters;
mod policy_file;
mod problem;
mod revoke;
mod tokens;

pub use audit::{Event, EventKind};
pub use exchange::{Granted, exchange};
pub(crate) use installation::granted_permissions;
pub(crate) use organization::PATH as TRUSTED_ISSUERS_PATH;
pub use parameters::MAX_BODY;
pub(crate) use parameters::form_decoded;
pub use problem::Problem;
pub use revoke::revoke;
pub(crate) use tokens::{MintFailure, check_run_token, revoke_now};

use std::num::NonZeroUsize;
use std::rc::Rc;

use crate::cache::Cache;
use crate::config::Config;
use crate::github::AppIdentity;

/// One isolate's service: its settings and what it has learnt. Holds no data of a request.
pub struct Service {
    /// The settings.
    pub config: Config,
    /// The App's JWT.
    app: AppIdentity,
    issuer_keys: Cache<issuer_keys::IssuerKeys>,
    installations: Cache<installation::InstallationFact>,
    policies: Cache<policy_file::PolicyFile>,
    organizations: Cache<organization::OrganizationIssuers>,
}

/// Issuers are few; each may hold a hundred keys.
const ISSUERS: NonZeroUsize = NonZeroUsize::new(128).unwrap();
/// A fact of some hundred bytes each.
const INSTALLATIONS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// A compiled policy of some kilobytes each; 64 KiB of source at worst.
const POLICIES: NonZeroUsize = NonZeroUsize::new(512).unwrap();
/// A compiled list each.
const ORGANIZATIONS: NonZeroUsize = NonZeroUsize::new(256).unwrap();

impl Service {
    /// A service that has learnt nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            app: AppIdentity::default(),
            issuer_keys: Cache::new(ISSUERS),
            installations: Cache::new(INSTALLATIONS),
            policies: Cache::new(POLICIES),
            organizations: Cache::new(ORGANIZATIONS),
        }
    }
}

/// What the caches hold of a file. It decides nothing.
pub(crate) enum Remembered<T> {
    /// It was valid.
    Valid(Rc<T>),
    /// It was not.
    Broken,
    /// There was none.
    Absent,
    /// The caches say nothing.
    Nothing,
}
