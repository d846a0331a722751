//! The service itself. [`exchange`] is the order of checks, numbered as in docs/architecture.md; the other files are its steps.

mod audit;
mod bearer;
mod exchange;
mod forget;
mod installation;
mod issuer_keys;
mod limits;
mod newcomers;
mod organization;
mod parameters;
mod policy_file;
mod problem;
mod revoke;
mod single_use;
mod tokens;

pub use audit::{Event, EventKind};
pub use exchange::{Granted, exchange};
pub(crate) use installation::granted_permissions;
pub(crate) use limits::limit_refusals;
pub(crate) use organization::PATH as TRUSTED_ISSUERS_PATH;
pub use parameters::MAX_BODY;
pub(crate) use parameters::form_decoded;
pub use problem::Problem;
pub use revoke::revoke;
pub(crate) use tokens::{MintFailure, check_run_token, revoke_now};

use std::num::NonZeroUsize;
use std::rc::Rc;

use crate::cache::{Bounds, Cache};
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
    newcomers: newcomers::Newcomers,
}

// An isolate has 128 MB for everything. The weights are such that each cache stays below 20 MB, whatever strangers put
// into key sets, policies and lists.

/// A key weighs about a kilobyte with its platform's import; an issuer has a hundred at most.
const ISSUERS: Bounds = bounds(256, 8_000);
/// A fact of some hundred bytes each.
const INSTALLATIONS: Bounds = bounds(4096, usize::MAX);
/// A compiled policy, in bytes as `CompiledPolicy::weight_bytes` counts them.
const POLICIES: Bounds = bounds(1024, 16_000_000);
/// A compiled list, likewise.
const ORGANIZATIONS: Bounds = bounds(256, 16_000_000);

const fn bounds(entries: usize, weight: usize) -> Bounds {
    match NonZeroUsize::new(entries) {
        Some(entries) => Bounds { entries, weight },
        None => Bounds { entries: NonZeroUsize::MIN, weight },
    }
}

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
            newcomers: newcomers::Newcomers::default(),
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
