//! What a webhook delivery needs besides the App.

use crate::config::reader::{FallBack as _, Reader, entries, misconfigured, parse_bool};
use crate::config::{
    GITHUB_WEBHOOK_ORGANIZATION_FILTER, GITHUB_WEBHOOK_SECRET, GITHUB_WEBHOOK_SECRET_PREVIOUS, Misconfigured,
    WEBHOOK_REPORT_ALWAYS,
};
use crate::names::Owner;
use crate::secret::Secret;

/// What a webhook delivery needs besides the App.
pub struct WebhookConfig {
    /// The current secret and, during a rotation, the previous one. The list is never empty, and neither is a secret.
    pub secrets: Vec<Secret>,
    /// Owners whose deliveries are handled, in lower case. `None`: all.
    pub owners: Option<Vec<String>>,
    /// Heads of pull requests and merge groups get a check run even if they touch no policy.
    pub report_always: bool,
}

pub(super) fn parse(reader: &mut Reader<'_>) -> Result<WebhookConfig, Misconfigured> {
    let secret = reader.required(GITHUB_WEBHOOK_SECRET, |text| Some(Secret::new(text.to_owned())));
    let previous =
        reader.optional(GITHUB_WEBHOOK_SECRET_PREVIOUS, |text| Some(Secret::new(text.to_owned()))).flatten();
    let owners = reader.restricting(GITHUB_WEBHOOK_ORGANIZATION_FILTER, parse_owners);
    let report_always = reader.optional(WEBHOOK_REPORT_ALWAYS, parse_bool).flatten_or(false);
    match (secret, owners) {
        (Ok(secret), Ok(owners)) => {
            let secrets = std::iter::once(secret).chain(previous).collect();
            Ok(WebhookConfig { secrets, owners, report_always })
        }
        (secret, owners) => Err(misconfigured(&[secret.err(), owners.err()])),
    }
}

#[inline(never)] // Compiled where it is called: hardly anywhere.
fn parse_owners(list: &str) -> Option<Vec<String>> {
    entries(list)?.iter().map(|name| name.parse().ok().map(|owner: Owner| owner.key())).collect()
}
