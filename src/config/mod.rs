//! The settings (docs/operating.md, "Settings"), parsed once into one value. Every problem is found at once and known
//! by the setting's name; a value never leaves. What a route needs is a `Result`, so that no route can run
//! half-configured.

mod app;
mod authn;
mod issuer;
mod reader;
mod upstreams;
mod webhook;

pub use app::AppConfig;
pub use authn::{AuthnConfig, SingleUse};
#[cfg(not(target_arch = "wasm32"))]
pub use upstreams::schema as upstreams_schema;
pub use upstreams::{
    Address, BudgetPer, Cors, Proxy, ProxyConfig, Redirects, UPSTREAMS, Upstream, Upstreams, is_upstream_name,
};
pub use upstreams::{Reading as UpstreamsReading, read as read_upstreams};
pub use webhook::WebhookConfig;

pub use crate::federation::UpstreamContext;

use std::collections::BTreeMap;
use std::rc::Rc;

use http::Uri;

use self::reader::{FallBack as _, Reader, misconfigured};
use crate::github::BaseUrl;
use crate::issuer::KeyRing;
use crate::names::Repository;
use crate::ports::Level;

const DOMAIN: &str = "DOMAIN";
const GITHUB_APP_ID: &str = "GITHUB_APP_ID";
/// The name of the setting with the App's key: a platform may refuse it only when it signs.
pub const GITHUB_APP_PRIVATE_KEY: &str = "GITHUB_APP_PRIVATE_KEY";
/// The name of the setting with the App's other key, during a rotation.
pub const GITHUB_APP_PRIVATE_KEY_PREVIOUS: &str = "GITHUB_APP_PRIVATE_KEY_PREVIOUS";
const GITHUB_APP_NAME: &str = "GITHUB_APP_NAME";
/// The name of the setting with the key that the service signs with as an issuer.
pub const ISSUER_PRIVATE_KEY: &str = "ISSUER_PRIVATE_KEY";
const ISSUER_PRIVATE_KEY_NEXT: &str = "ISSUER_PRIVATE_KEY_NEXT";
const ISSUER_PRIVATE_KEY_PREVIOUS: &str = "ISSUER_PRIVATE_KEY_PREVIOUS";
const GITHUB_WEBHOOK_SECRET: &str = "GITHUB_WEBHOOK_SECRET";
const GITHUB_WEBHOOK_SECRET_PREVIOUS: &str = "GITHUB_WEBHOOK_SECRET_PREVIOUS";
const GITHUB_WEBHOOK_ORGANIZATION_FILTER: &str = "GITHUB_WEBHOOK_ORGANIZATION_FILTER";
const WEBHOOK_REPORT_ALWAYS: &str = "WEBHOOK_REPORT_ALWAYS";
const GITHUB_BASE_URL: &str = "GITHUB_BASE_URL";
const ORG_POLICY_REPO: &str = "ORG_POLICY_REPO";
const ALLOWED_ISSUERS: &str = "ALLOWED_ISSUERS";
const MAX_TOKEN_LIFETIME_SECONDS: &str = "MAX_TOKEN_LIFETIME_SECONDS";
const EVENT_INGRESS_URI: &str = "EVENT_INGRESS_URI";
const LOG_LEVEL: &str = "LOG_LEVEL";
const SINGLE_USE_TOKENS: &str = "SINGLE_USE_TOKENS";
const ALLOW_LOOPBACK_HTTP: &str = "ALLOW_LOOPBACK_HTTP";
/// The name of the KV binding.
pub const OCTO_STS_KV: &str = "OCTO_STS_KV";
/// The name of the Durable Object binding; needed only if tokens are for single use.
pub const USED_TOKENS: &str = "USED_TOKENS";
/// The name of the rate limiting binding that counts per verified issuer and subject.
pub const RATE_LIMIT_IDENTITY: &str = "RATE_LIMIT_IDENTITY";
/// The name of the rate limiting binding that counts per owner.
pub const RATE_LIMIT_OWNER: &str = "RATE_LIMIT_OWNER";
/// The name of the rate limiting binding that counts refusals per address.
pub const RATE_LIMIT_FAILURES: &str = "RATE_LIMIT_FAILURES";
/// The name of the Durable Object binding of the proxy's budgets; needed only if there are upstreams.
pub const PROXY_BUDGETS: &str = "PROXY_BUDGETS";
/// All rate limiting bindings. Each is optional: without it there is no such limit.
pub const RATE_LIMITS: [&str; 3] = [RATE_LIMIT_IDENTITY, RATE_LIMIT_OWNER, RATE_LIMIT_FAILURES];

/// The settings that a route needs and does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misconfigured(pub Vec<&'static str>);

/// The whole configuration, by parts: each is a `Result` by itself.
pub struct Config {
    /// Which lines the log gets.
    pub log_level: Level,
    /// Where audit events go in addition to the log.
    pub event_ingress: Option<Uri>,
    /// Bare host of this service.
    pub domain: Result<String, Misconfigured>,
    /// What the service signs with as an issuer; `None` if it is not one.
    pub issuer: Result<Option<Rc<KeyRing>>, Misconfigured>,
    /// What verifying a token needs.
    pub authn: Result<Rc<AuthnConfig>, Misconfigured>,
    /// What an exchange needs.
    pub exchange: Result<ExchangeConfig, Misconfigured>,
    /// What a revocation needs: where GitHub is.
    pub revoke: Result<BaseUrl, Misconfigured>,
    /// What a webhook delivery needs in addition to [`Config::exchange`].
    pub webhook: Result<WebhookConfig, Misconfigured>,
    /// What requests through the proxy need.
    pub proxy: Proxy,
    /// Those of [`RATE_LIMITS`] that are on.
    pub rate_limits: Vec<&'static str>,
    /// Required settings that are absent or empty.
    pub missing: Vec<&'static str>,
    /// Settings with a malformed value.
    pub malformed: Vec<&'static str>,
    /// Why they are malformed, if known: one of a few fixed words for each.
    pub reasons: BTreeMap<&'static str, &'static str>,
}

/// What an exchange needs.
pub struct ExchangeConfig {
    /// Which issuers we accept.
    pub authn: Rc<AuthnConfig>,
    /// GitHub's REST API and who we are there.
    pub app: AppConfig,
    /// The organization's policy repository.
    pub policy_repository: Repository,
}

impl Config {
    /// Reads every setting once. `setting` returns `None` for a missing one; `is_bound` says whether a binding exists.
    #[must_use]
    pub fn parse(setting: &dyn Fn(&str) -> Option<String>, is_bound: &dyn Fn(&str) -> bool) -> Self {
        let mut reader = Reader::new(setting, is_bound);

        let log_level = reader.optional(LOG_LEVEL, parse_level).flatten_or(Level::Info);
        let event_ingress = reader.optional(EVENT_INGRESS_URI, parse_ingress).flatten();
        let domain = reader.required(DOMAIN, parse_domain);
        let mut authn = authn::parse(&mut reader, domain.clone());
        let upstreams = upstreams::reading(&reader, domain.as_deref().unwrap_or_default());
        if let (Ok(authn), Some(Some(upstreams))) = (&mut authn, &upstreams.upstreams) {
            authn.known_issuers.extend(upstreams.issuers().map(str::to_owned));
        }
        let authn = authn.map(Rc::new);
        let domain = domain.map_err(|name| Misconfigured(vec![name]));
        let base = reader.optional(GITHUB_BASE_URL, |text| BaseUrl::parse(text).ok()).or_default();
        let revoke = base.clone().map_err(|name| Misconfigured(vec![name]));
        let app = app::parse(&mut reader, base);
        let policies = reader.restricting(ORG_POLICY_REPO, |name| name.parse().ok());
        let policies = policies.map_err(|name| misconfigured(&[Some(name)]));
        let webhook = webhook::parse(&mut reader);
        let issuer = issuer::parse(&mut reader);
        let proxy = upstreams::parse(upstreams, &mut reader, &authn);

        let exchange = match (&authn, app, policies) {
            (Ok(authn), Ok(app), Ok(policy_repository)) => Ok(ExchangeConfig {
                authn: Rc::clone(authn),
                app,
                policy_repository: policy_repository.unwrap_or_else(Repository::dot_github),
            }),
            (authn, app, policies) => {
                Err(together([authn.as_ref().err().cloned(), app.err(), policies.err()]))
            }
        };
        let Reader { missing, malformed, reasons, .. } = reader;
        let (missing, malformed) = (in_order(missing), in_order(malformed));
        let rate_limits = Vec::new();
        Self {
            log_level,
            event_ingress,
            domain,
            issuer,
            authn,
            exchange,
            revoke,
            webhook,
            proxy,
            rate_limits,
            missing,
            malformed,
            reasons,
        }
    }

    /// Settings with keys that should be published and are not, because they are malformed.
    pub(crate) fn unpublished_keys(&self) -> impl Iterator<Item = &'static str> {
        let beside_the_current = [ISSUER_PRIVATE_KEY_NEXT, ISSUER_PRIVATE_KEY_PREVIOUS];
        self.malformed.iter().copied().filter(move |name| beside_the_current.contains(name))
    }

    /// Adds the limits whose bindings exist. `is_limiter` says whether the binding with a name is a rate limiter, and
    /// `None` if there is none.
    ///
    /// A binding of another kind stops every exchange, like every malformed setting that restricts: whoever wrote the
    /// name wanted a limit.
    #[must_use]
    pub fn limited_by(mut self, is_limiter: &dyn Fn(&str) -> Option<bool>) -> Self {
        for name in RATE_LIMITS {
            match is_limiter(name) {
                None => {}
                Some(true) => self.rate_limits.push(name),
                Some(false) => {
                    self.malformed.push(name);
                    self.authn = closed(self.authn, name);
                    self.exchange = closed(self.exchange, name);
                    self.proxy.close(name);
                }
            }
        }
        self
    }
}

/// The names that several parts lack.
#[inline(never)] // Compiled where it is called: hardly anywhere.
fn together<const N: usize>(parts: [Option<Misconfigured>; N]) -> Misconfigured {
    Misconfigured(in_order(parts.into_iter().flatten().flat_map(|Misconfigured(names)| names).collect()))
}

/// The order in which settings are named, whichever part reads them: the order in which an operator sets them.
const ORDER: [&str; 23] = [
    LOG_LEVEL,
    EVENT_INGRESS_URI,
    ALLOW_LOOPBACK_HTTP,
    DOMAIN,
    GITHUB_APP_ID,
    GITHUB_APP_PRIVATE_KEY,
    GITHUB_APP_PRIVATE_KEY_PREVIOUS,
    GITHUB_APP_NAME,
    GITHUB_BASE_URL,
    ORG_POLICY_REPO,
    ALLOWED_ISSUERS,
    MAX_TOKEN_LIFETIME_SECONDS,
    SINGLE_USE_TOKENS,
    USED_TOKENS,
    GITHUB_WEBHOOK_SECRET,
    GITHUB_WEBHOOK_SECRET_PREVIOUS,
    GITHUB_WEBHOOK_ORGANIZATION_FILTER,
    WEBHOOK_REPORT_ALWAYS,
    ISSUER_PRIVATE_KEY,
    ISSUER_PRIVATE_KEY_NEXT,
    ISSUER_PRIVATE_KEY_PREVIOUS,
    "UPSTREAMS",
    PROXY_BUDGETS,
];

/// Those of [`ORDER`] first; the bindings come last.
fn in_order(names: Vec<&'static str>) -> Vec<&'static str> {
    if names.len() < 2 { names } else { sorted(names) }
}

#[inline(never)] // Where all is well, nobody compiles it.
fn sorted(mut names: Vec<&'static str>) -> Vec<&'static str> {
    names.sort_by_key(|name| ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()));
    names
}

/// A part that another setting disables.
#[inline(never)] // Compiled where it is called: hardly anywhere.
fn closed<T>(part: Result<T, Misconfigured>, name: &'static str) -> Result<T, Misconfigured> {
    let mut names = part.err().map_or_else(Vec::new, |Misconfigured(names)| names);
    names.push(name);
    Err(Misconfigured(names))
}

#[inline(never)] // Compiled where it is called: hardly anywhere.
fn parse_level(text: &str) -> Option<Level> {
    [Level::Error, Level::Warn, Level::Info, Level::Debug].into_iter().find(|level| level.as_str() == text)
}

/// An absolute URI. The operator decides whether events, which name subjects and repositories, are sent encrypted.
#[inline(never)] // Compiled where it is called: hardly anywhere.
fn parse_ingress(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let is_http = matches!(uri.scheme_str()?, "https" | "http");
    (is_http && !uri.authority()?.as_str().contains('@') && !text.contains('#')).then_some(uri)
}

fn parse_domain(text: &str) -> Option<String> {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    (text.len() <= 253 && text.split('.').all(is_label)).then(|| text.to_owned())
}
