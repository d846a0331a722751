//! Addresses and audiences in the setting: where requests and exchanges may go, and whom an assertion may be for.

use std::borrow::Cow;

use http::Uri;

use super::UpstreamContext;
use crate::oidc::{Issuer, IssuerRules};

/// Longer than any API's prefix or token endpoint's path.
const MAX_PATH: usize = 1024;

/// Reads the address of a token endpoint.
///
/// # Errors
/// What is wrong with it.
pub(super) fn token_url(text: &str, upstream: &UpstreamContext<'_>) -> Result<Uri, Cow<'static, str>> {
    taken_apart(text, upstream.domain, upstream.allow_loopback_http)?;
    text.parse().map_err(|_| "it is not an address".into())
}

/// The origin and the path of an address: https, the rules about hosts of issuers (nothing inside a network, never this
/// service), a path that every reader understands in the same way, nothing else.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn taken_apart<'a>(
    text: &'a str,
    domain: &str,
    allow_loopback_http: bool,
) -> Result<(&'a str, &'a str), Cow<'static, str>> {
    if text.contains(['?', '#']) {
        return Err("it has a query or a fragment".into());
    }
    let authority = text.find("://").map_or(0, |scheme| scheme + 3);
    let path = text.get(authority..).and_then(|rest| rest.find('/')).map_or(text.len(), |at| authority + at);
    let (origin, path) = text.split_at_checked(path).unwrap_or((text, ""));
    let rules = IssuerRules { allowed: None, own_domain: domain.to_owned(), allow_loopback_http };
    Issuer::parse(origin, &rules).map_err(|error| Cow::Owned(error.rule().to_string()))?;
    if path.len() > MAX_PATH || !is_path(path) {
        return Err("its path has a character or a segment that is not allowed".into());
    }
    Ok((origin, path))
}

/// Refuses anything that two readers could read as different paths.
fn is_path(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte);
    path.bytes().all(is_plain)
        && !path.contains("//")
        && path.split('/').all(|segment| {
            let decoded = segment.replace("%2e", ".").replace("%2E", ".");
            decoded != "." && decoded != ".."
        })
}

/// Whether an assertion may be for this audience. Never one that this service accepts itself; otherwise the upstream
/// could use the assertion here.
pub(super) fn is_foreign(audience: &str, domain: &str) -> bool {
    let audience = audience.to_ascii_lowercase();
    let domain = domain.to_ascii_lowercase();
    domain.is_empty() || (audience != domain && !audience.starts_with(&format!("https://{domain}")))
}
