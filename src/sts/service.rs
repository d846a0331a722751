//! What an isolate keeps for the use cases: its settings and cached facts. Contains no data of a request.

use std::rc::Rc;

use crate::apps::Apps;
use crate::authn::{Authn, Limits};
use crate::cache::{Bounds, Cache, Newcomers};
use crate::config::Config;
use crate::proxy::Sessions;
use crate::sts::{organization, policy_file};

/// One isolate's service.
pub struct Service {
    /// The settings.
    pub config: Config,
    /// Issuers and their keys.
    pub(crate) authn: Authn,
    /// The App's installations and tokens.
    pub(crate) apps: Apps,
    /// Session tokens that were verified.
    pub(crate) sessions: Sessions,
    /// The service's own limits.
    pub(crate) limits: Rc<Limits>,
    pub(super) policies: Cache<policy_file::PolicyFile>,
    pub(super) organizations: Cache<organization::OrganizationIssuers>,
}

// An isolate has 128 MB for everything. Weights are bytes, and each cache stays below its bound, whatever strangers put
// into key sets, policies and lists.

/// In bytes.
const POLICIES: Bounds = Bounds::new(1024, 20 * 1024 * 1024);
/// In bytes: compiled policies, and their source texts of up to 64 KiB each.
const ORGANIZATIONS: Bounds = Bounds::new(256, 8 * 1024 * 1024);

impl Service {
    /// A service with empty caches.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let newcomers = Rc::new(Newcomers::default());
        let limits = Rc::new(Limits::new(&config.rate_limits));
        Self {
            authn: Authn::new(&newcomers),
            apps: Apps::new(&newcomers, &limits),
            sessions: Sessions::default(),
            limits,
            policies: Cache::new(POLICIES),
            organizations: Cache::new(ORGANIZATIONS),
            config,
        }
    }
}

/// What the caches know about a file. It decides nothing.
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
