//! What a webhook delivery needs besides the App.

use crate::config::reader::{FallBack as _, Reader, entries, misconfigured};
use crate::config::{
    GITHUB_WEBHOOK_ORGANIZATION_FILTER, GITHUB_WEBHOOK_SECRET, GITHUB_WEBHOOK_SECRET_PREVIOUS, Misconfigured,
};
use crate::names::Owner;
use crate::secret::Secret;

/// What a webhook delivery needs besides the App.
pub struct WebhookConfig {
    /// The current secret and, during rotation, the previous one. Never empty, nor is one of them.
    pub secrets: Vec<Secret>,
    /// Owners whose deliveries are looked at, lower-cased. `None`: all.
    pub owners: Option<Vec<String>>,
}

pub(super) fn parse(reader: &mut Reader<'_>) -> Result<WebhookConfig, Misconfigured> {
    let secret = reader.required(GITHUB_WEBHOOK_SECRET, |text| Some(Secret::new(text.to_owned())));
    let previous =
        reader.optional(GITHUB_WEBHOOK_SECRET_PREVIOUS, |text| Some(Secret::new(text.to_owned()))).flatten();
    let owners = reader.restricting(GITHUB_WEBHOOK_ORGANIZATION_FILTER, parse_owners);
    match (secret, owners) {
        (Ok(secret), Ok(owners)) => {
            Ok(WebhookConfig { secrets: std::iter::once(secret).chain(previous).collect(), owners })
        }
        (secret, owners) => Err(misconfigured([secret.err(), owners.err()])),
    }
}

fn parse_owners(list: &str) -> Option<Vec<String>> {
    entries(list)?.iter().map(|name| name.parse().ok().map(|owner: Owner| owner.key())).collect()
}
