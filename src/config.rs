//! The settings (docs/operating.md, "Settings"), parsed once into one value. Every problem is found at once and known by
//! the setting's name; a value never leaves. What a route needs is a `Result`, so that no route can run half-configured.

use std::time::Duration;

use http::Uri;

use crate::cache::KeySpace;
use crate::github::{BaseUrl, parse_private_key};
use crate::names::Repository;
use crate::oidc::{IssuerRules, IssuerShape};
use crate::ports::Level;
use crate::secret::{Secret, SecretBytes};

const DOMAIN: &str = "DOMAIN";
const GITHUB_APP_ID: &str = "GITHUB_APP_ID";
/// The name of the setting with the App's key: a platform may refuse it only when it signs.
pub const GITHUB_APP_PRIVATE_KEY: &str = "GITHUB_APP_PRIVATE_KEY";
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
/// The name of the Durable Object binding; needed only where tokens are for single use.
pub const USED_TOKENS: &str = "USED_TOKENS";
/// The name of the rate limiting binding that counts per verified issuer and subject.
pub const RATE_LIMIT_IDENTITY: &str = "RATE_LIMIT_IDENTITY";
/// The name of the rate limiting binding that counts per owner.
pub const RATE_LIMIT_OWNER: &str = "RATE_LIMIT_OWNER";
/// The name of the rate limiting binding that counts refusals per address.
pub const RATE_LIMIT_FAILURES: &str = "RATE_LIMIT_FAILURES";
/// All rate limiting bindings. Each is optional: without it there is no such limit.
pub const RATE_LIMITS: [&str; 3] = [RATE_LIMIT_IDENTITY, RATE_LIMIT_OWNER, RATE_LIMIT_FAILURES];

const DEFAULT_MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(86_400);

/// The settings that a route needs and does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misconfigured(pub Vec<&'static str>);

/// The whole configuration.
pub struct Config {
    /// Which lines the log gets.
    pub log_level: Level,
    /// Where audit events go besides the log.
    pub event_ingress: Option<Uri>,
    /// What an exchange needs.
    pub exchange: Result<ExchangeConfig, Misconfigured>,
    /// What a revocation needs: where GitHub is.
    pub revoke: Result<BaseUrl, Misconfigured>,
    /// What a webhook delivery needs besides [`Config::exchange`].
    pub webhook: Result<WebhookConfig, Misconfigured>,
    /// Those of [`RATE_LIMITS`] that hold.
    pub rate_limits: Vec<&'static str>,
    /// Required settings that are absent or empty.
    pub missing: Vec<&'static str>,
    /// Settings whose value is not one.
    pub malformed: Vec<&'static str>,
}

/// What an exchange needs.
pub struct ExchangeConfig {
    /// Bare host of this service, the default audience.
    pub domain: String,
    /// GitHub's REST API and who we are there.
    pub app: AppConfig,
    /// The organization's policy repository.
    pub policy_repository: Repository,
    /// Which issuers are spoken to at all.
    pub issuers: IssuerRules,
    /// `exp − iat` at most.
    pub max_token_lifetime: Duration,
    /// Which exchanges use their token up.
    pub single_use: SingleUse,
    /// Whose facts the caches hold.
    pub keys: KeySpace,
}

/// Which exchanges use their OIDC token up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SingleUse {
    /// None: a token is good until it expires.
    Never,
    /// Those whose policy grants more than reading.
    Writes,
    /// All.
    Always,
}

/// The GitHub App.
pub struct AppConfig {
    /// Where GitHub is.
    pub base: BaseUrl,
    /// App id or client id.
    pub id: String,
    /// PKCS#8 DER.
    pub private_key: SecretBytes,
}

/// What a webhook delivery needs besides the App.
pub struct WebhookConfig {
    /// The current secret and, during rotation, the previous one. Never empty, nor is one of them.
    pub secrets: Vec<Secret>,
    /// Owners whose deliveries are looked at, lower-cased. `None`: all.
    pub owners: Option<Vec<String>>,
    /// Heads of pull requests and merge groups get a check run even where they touch no policy.
    pub report_always: bool,
}

impl Config {
    /// Reads every setting once. `setting` answers `None` for one that is not there.
    #[must_use]
    pub fn parse(setting: &dyn Fn(&str) -> Option<String>, kv_bound: bool, used_tokens_bound: bool) -> Self {
        let mut reader = Reader { setting, missing: Vec::new(), malformed: Vec::new() };

        let log_level = reader.optional(LOG_LEVEL, parse_level).flatten_or(Level::Info);
        let event_ingress = reader.optional(EVENT_INGRESS_URI, parse_ingress).flatten();
        let loopback = reader.optional(ALLOW_LOOPBACK_HTTP, parse_bool).flatten_or(false);

        let domain = reader.required(DOMAIN, parse_domain);
        let app_id = reader.required(GITHUB_APP_ID, parse_app_id);
        let private_key = reader.required(GITHUB_APP_PRIVATE_KEY, |pem| parse_private_key(pem).ok());
        let base = reader.optional(GITHUB_BASE_URL, |text| BaseUrl::parse(text).ok()).or_default();
        let policies = reader.restricting(ORG_POLICY_REPO, |name| name.parse().ok());
        let allowed = reader.restricting(ALLOWED_ISSUERS, parse_issuers);
        let lifetime = reader.restricting(MAX_TOKEN_LIFETIME_SECONDS, parse_lifetime);
        let single_use = reader.single_use(used_tokens_bound);
        let secret = reader.required(GITHUB_WEBHOOK_SECRET, |text| Some(Secret::new(text.to_owned())));
        let previous = reader
            .optional(GITHUB_WEBHOOK_SECRET_PREVIOUS, |text| Some(Secret::new(text.to_owned())))
            .flatten();
        let owners = reader.restricting(GITHUB_WEBHOOK_ORGANIZATION_FILTER, parse_owners);
        let report_always = reader.optional(WEBHOOK_REPORT_ALWAYS, parse_bool).flatten_or(false);
        if !kv_bound {
            reader.missing.push(OCTO_STS_KV);
        }

        let revoke = base.clone().map_err(|name| Misconfigured(vec![name]));
        let webhook = match (secret, owners) {
            (Ok(secret), Ok(owners)) => Ok(WebhookConfig {
                secrets: std::iter::once(secret).chain(previous).collect(),
                owners,
                report_always,
            }),
            (secret, owners) => Err(Misconfigured(names_of([secret.err(), owners.err()]))),
        };
        let kv = if kv_bound { Ok(()) } else { Err(OCTO_STS_KV) };
        let exchange = match (domain, app_id, private_key, base, policies, allowed, lifetime, single_use, kv)
        {
            (
                Ok(domain),
                Ok(id),
                Ok(private_key),
                Ok(base),
                Ok(policy_repository),
                Ok(allowed),
                Ok(lifetime),
                Ok(single_use),
                Ok(()),
            ) => Ok(ExchangeConfig {
                keys: KeySpace::new(base.as_str(), &id),
                issuers: IssuerRules { allowed, own_domain: domain.clone(), allow_loopback_http: loopback },
                domain,
                app: AppConfig { base, id, private_key },
                policy_repository: policy_repository.unwrap_or_else(Repository::dot_github),
                max_token_lifetime: lifetime.unwrap_or(DEFAULT_MAX_TOKEN_LIFETIME),
                single_use,
            }),
            (a, b, c, d, e, f, g, h, i) => Err(Misconfigured(names_of([
                a.err(),
                b.err(),
                c.err(),
                d.err(),
                e.err(),
                f.err(),
                g.err(),
                h.err(),
                i.err(),
            ]))),
        };
        let Reader { missing, malformed, .. } = reader;
        let rate_limits = Vec::new();
        Self { log_level, event_ingress, exchange, revoke, webhook, rate_limits, missing, malformed }
    }

    /// Adds the limits whose bindings are there. `is_limiter` says whether what is bound under a name is a rate limiter,
    /// and `None` where nothing is.
    ///
    /// A binding of another kind closes the exchange, like every setting that restricts and is malformed: whoever wrote
    /// the name wanted a limit.
    #[must_use]
    pub fn limited_by(mut self, is_limiter: &dyn Fn(&str) -> Option<bool>) -> Self {
        for name in RATE_LIMITS {
            match is_limiter(name) {
                None => {}
                Some(true) => self.rate_limits.push(name),
                Some(false) => {
                    self.malformed.push(name);
                    let mut names = self.exchange.err().map_or_else(Vec::new, |Misconfigured(names)| names);
                    names.push(name);
                    self.exchange = Err(Misconfigured(names));
                }
            }
        }
        self
    }
}

fn names_of<const N: usize>(names: [Option<&'static str>; N]) -> Vec<&'static str> {
    names.into_iter().flatten().collect()
}

/// A setting's value, or its name: the error that a route reports.
type Setting<T> = Result<T, &'static str>;

struct Reader<'a> {
    setting: &'a dyn Fn(&str) -> Option<String>,
    missing: Vec<&'static str>,
    malformed: Vec<&'static str>,
}

impl Reader<'_> {
    /// An empty required setting is missing: an unset CI secret arrives as an empty one.
    fn required<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Setting<T> {
        match (self.setting)(name).filter(|text| !text.is_empty()) {
            Some(text) => self.parsed(name, parse(&text)),
            None => {
                self.missing.push(name);
                Err(name)
            }
        }
    }

    /// An empty optional setting is an absent one.
    fn optional<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Setting<Option<T>> {
        match (self.setting)(name).filter(|text| !text.is_empty()) {
            Some(text) => self.parsed(name, parse(&text)).map(Some),
            None => Ok(None),
        }
    }

    /// An optional setting that restricts: an empty one is malformed, or an accident would lift the restriction.
    fn restricting<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Setting<Option<T>> {
        match (self.setting)(name) {
            Some(text) => self.parsed(name, parse(&text)).map(Some),
            None => Ok(None),
        }
    }

    /// The binding is needed only where the setting is on.
    fn single_use(&mut self, bound: bool) -> Setting<SingleUse> {
        let rule = self.restricting(SINGLE_USE_TOKENS, parse_single_use)?.unwrap_or(SingleUse::Never);
        if rule != SingleUse::Never && !bound {
            self.missing.push(USED_TOKENS);
            return Err(USED_TOKENS);
        }
        Ok(rule)
    }

    fn parsed<T>(&mut self, name: &'static str, value: Option<T>) -> Setting<T> {
        if value.is_none() {
            self.malformed.push(name);
        }
        value.ok_or(name)
    }
}

/// How a setting that closes nothing falls back: its name is on a list already.
trait FallBack<T> {
    fn flatten(self) -> Option<T>;
    fn flatten_or(self, default: T) -> T;
    fn or_default(self) -> Setting<T>
    where
        T: Default;
}

impl<T> FallBack<T> for Setting<Option<T>> {
    fn flatten(self) -> Option<T> {
        self.unwrap_or_default()
    }

    fn flatten_or(self, default: T) -> T {
        self.flatten().unwrap_or(default)
    }

    fn or_default(self) -> Setting<T>
    where
        T: Default,
    {
        self.map(Option::unwrap_or_default)
    }
}

fn parse_level(text: &str) -> Option<Level> {
    [Level::Error, Level::Warn, Level::Info, Level::Debug].into_iter().find(|level| level.as_str() == text)
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn parse_single_use(text: &str) -> Option<SingleUse> {
    match text {
        "false" => Some(SingleUse::Never),
        "writes" => Some(SingleUse::Writes),
        "true" => Some(SingleUse::Always),
        _ => None,
    }
}

/// An absolute URI. Whether events, which name subjects and repositories, leave encrypted is the operator's choice.
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

/// An App id is a number, a client id looks like `Iv23liAbCdEf`. Both go into a JWT and into cache keys.
fn parse_app_id(text: &str) -> Option<String> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
    (plain && text.len() <= 64).then(|| text.to_owned())
}

fn parse_issuers(list: &str) -> Option<Vec<String>> {
    let issuers = entries(list)?;
    issuers.iter().all(|issuer| issuer.parse::<IssuerShape>().is_ok()).then_some(issuers)
}

fn parse_owners(list: &str) -> Option<Vec<String>> {
    entries(list)?
        .iter()
        .map(|name| name.parse().ok().map(|owner: crate::names::Owner| owner.key()))
        .collect()
}

/// Comma-separated entries; blanks around one are the writer's, an empty one is a mistake.
fn entries(list: &str) -> Option<Vec<String>> {
    list.split(',').map(str::trim).map(|entry| (!entry.is_empty()).then(|| entry.to_owned())).collect()
}

fn parse_lifetime(text: &str) -> Option<Duration> {
    let seconds: u32 = text.parse().ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}
