//! Which issuers we accept, and who we are to them: the part that every route with a bearer token needs.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::reader::{FallBack as _, Reader, Setting, entries, misconfigured, parse_bool};
use crate::config::{
    ALLOW_LOOPBACK_HTTP, ALLOWED_ISSUERS, MAX_TOKEN_LIFETIME_SECONDS, Misconfigured, OCTO_STS_KV,
    SINGLE_USE_TOKENS, USED_TOKENS,
};
use crate::oidc::{IssuerRules, IssuerShape};

const DEFAULT_MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(86_400);

/// What verifying a token needs.
pub struct AuthnConfig {
    /// Bare host of this service, the default audience.
    pub domain: String,
    /// Which issuers are contacted at all.
    pub issuers: IssuerRules,
    /// Issuers outside `ALLOWED_ISSUERS` that the operator named exactly, and so are known good.
    pub known_issuers: BTreeSet<String>,
    /// `exp − iat` at most.
    pub max_token_lifetime: Duration,
    /// Which exchanges use up their token.
    pub single_use: SingleUse,
}

impl AuthnConfig {
    /// Whether the operator named the issuer.
    #[must_use]
    pub fn names(&self, issuer: &str) -> bool {
        let is_allowed = |list: &Vec<String>| list.iter().any(|allowed| allowed == issuer);
        self.issuers.allowed.as_ref().is_some_and(is_allowed) || self.known_issuers.contains(issuer)
    }
}

/// Which exchanges use up their OIDC token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SingleUse {
    /// None: a token is valid until it expires.
    Never,
    /// Those whose policy grants more than reading.
    Writes,
    /// All.
    Always,
}

pub(super) fn parse(reader: &mut Reader<'_>, domain: Setting<String>) -> Result<AuthnConfig, Misconfigured> {
    let allow_loopback_http = reader.optional(ALLOW_LOOPBACK_HTTP, parse_bool).flatten_or(false);
    let allowed = reader.restricting(ALLOWED_ISSUERS, parse_issuers);
    let lifetime = reader.restricting(MAX_TOKEN_LIFETIME_SECONDS, parse_lifetime);
    let single_use = single_use(reader);
    let kv = reader.binding(OCTO_STS_KV);
    match (domain, allowed, lifetime, single_use, kv) {
        (Ok(domain), Ok(allowed), Ok(lifetime), Ok(single_use), Ok(())) => Ok(AuthnConfig {
            issuers: IssuerRules { allowed, own_domain: domain.clone(), allow_loopback_http },
            domain,
            known_issuers: BTreeSet::new(),
            max_token_lifetime: lifetime.unwrap_or(DEFAULT_MAX_TOKEN_LIFETIME),
            single_use,
        }),
        (a, b, c, d, e) => Err(misconfigured(&[a.err(), b.err(), c.err(), d.err(), e.err()])),
    }
}

/// The binding is needed only if the setting is on.
fn single_use(reader: &mut Reader<'_>) -> Setting<SingleUse> {
    let rule = reader.restricting(SINGLE_USE_TOKENS, parse_single_use)?.unwrap_or(SingleUse::Never);
    if rule != SingleUse::Never {
        reader.binding(USED_TOKENS)?;
    }
    Ok(rule)
}

#[inline(never)] // Compiled where it is called: hardly anywhere.
fn parse_single_use(text: &str) -> Option<SingleUse> {
    match text {
        "false" => Some(SingleUse::Never),
        "writes" => Some(SingleUse::Writes),
        "true" => Some(SingleUse::Always),
        _ => None,
    }
}

#[inline(never)] // Compiled where it is called: hardly anywhere.
fn parse_issuers(list: &str) -> Option<Vec<String>> {
    let issuers = entries(list)?;
    issuers.iter().all(|issuer| issuer.parse::<IssuerShape>().is_ok()).then_some(issuers)
}

#[inline(never)] // Compiled where it is called: hardly anywhere.
fn parse_lifetime(text: &str) -> Option<Duration> {
    let seconds: u32 = text.parse().ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}
