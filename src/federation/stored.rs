//! The kind `secret`: a secret of the Worker, put into a header unchanged.

use std::rc::Rc;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};

use super::credential::Reader;
use super::members::Rule;
use crate::secret::Secret;

/// The service's own settings, and the prefixes of their names. None of them may go to an upstream.
const OWN_SETTINGS: [&str; 18] = [
    "ALLOWED_ISSUERS",
    "ALLOW_LOOPBACK_HTTP",
    "DOMAIN",
    "EVENT_INGRESS_URI",
    "GITHUB_APP_ID",
    "GITHUB_APP_NAME",
    "GITHUB_BASE_URL",
    "LOG_LEVEL",
    "MAX_TOKEN_LIFETIME_SECONDS",
    "METRICS",
    "OCTO_STS_KV",
    "ORG_POLICY_REPO",
    "PROXY_BUDGETS",
    "SINGLE_USE_TOKENS",
    "UPSTREAMS",
    "USED_TOKENS",
    "WEBHOOK_REPORT_ALWAYS",
    "ISSUER_PRIVATE_KEY",
];
const OWN_FAMILIES: [&str; 6] =
    ["GITHUB_APP_", "GITHUB_WEBHOOK_", "ISSUER_", "RATE_LIMIT_", "SINGLE_USE_", "UPSTREAMS_"];

const NAME: Rule = (
    |text| {
        text.len() <= 128
            && text.starts_with(|first: char| first.is_ascii_uppercase())
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    },
    "it is not the name of a secret, such as `EXAMPLE_API_KEY`",
);

const HEADER: Rule = (
    |text| text.len() <= 64 && HeaderName::try_from(text).is_ok_and(|name| !is_the_proxys(name.as_str())),
    "it is not the name of a header that can be set",
);

const PREFIX: Rule = (
    |text| text.len() <= 64 && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()),
    "it is not text of at most 64 visible characters and spaces",
);

/// Headers that belong to the connection, to the form of the request, or to the proxy itself.
fn is_the_proxys(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "content-encoding"
            | "content-length"
            | "expect"
            | "forwarded"
            | "host"
            | "keep-alive"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    ) || ["proxy-", "cf-", "x-octo-sts-", "x-forwarded-", "sec-"]
        .into_iter()
        .any(|family| name.starts_with(family))
}

/// A secret of the Worker in a header.
#[derive(Debug)]
pub(super) struct StoredSecret {
    pub(super) name: &'static str,
    pub(super) header: HeaderName,
    /// The header's value; none if the secret is missing, empty, or not a valid one.
    pub(super) value: Option<Rc<Secret>>,
}

impl StoredSecret {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let setting = reader.upstream.setting;
        let members = reader.members()?;
        let name = members.text("name", NAME);
        let header = members.text_or("header", AUTHORIZATION.as_str(), HEADER);
        let header = header.and_then(|name| HeaderName::try_from(name).ok());
        let is_bearer = header.as_ref().is_none_or(|header| header == AUTHORIZATION);
        let prefix = members.text_or("prefix", if is_bearer { "Bearer " } else { "" }, PREFIX);
        let is_own = |name: &str| {
            OWN_SETTINGS.contains(&name) || OWN_FAMILIES.iter().any(|family| name.starts_with(family))
        };
        if name.as_deref().is_some_and(is_own) {
            members.problem("name", "it is a setting of this service");
            return None;
        }
        let (name, header, prefix) = (name?, header?, prefix?);
        let value = setting(&name).map(Secret::new).filter(|secret| !secret.expose().trim().is_empty());
        let value = value.map(|secret| Secret::new(format!("{prefix}{}", secret.expose())));
        let value = value.filter(|value| {
            HeaderValue::from_str(value.expose()).is_ok()
                && value.expose().bytes().all(|byte| byte.is_ascii())
        });
        // Leaks once per upstream in an isolate's life: the setting is read once, and problems need static names.
        let name = Box::leak(name.into_boxed_str());
        Some(Self { name, header, value: value.map(Rc::new) })
    }

    pub(super) const fn missing(&self) -> Option<&'static str> {
        if self.value.is_some() { None } else { Some(self.name) }
    }
}
