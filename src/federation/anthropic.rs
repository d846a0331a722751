//! Anthropic's API by workload identity federation: a JWT bearer grant whose access token belongs to a service account.
//! <https://platform.claude.com/docs/en/manage-claude/wif-reference>

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::credential::{Manners, Provider, Reader, Trade};
use super::engine::{Encoding, Exchange, JWT_BEARER, nothing_more};
use super::members::IDENTIFIER;

pub(super) const KIND: &str = "anthropic";

pub(super) const AUDIENCE: &str = "https://api.anthropic.com";
pub(super) const TOKEN_URL: &str = "https://api.anthropic.com/v1/oauth/token";

/// A token is valid for at most twice the remaining lifetime of its assertion: an hour.
const LIFETIME: Duration = Duration::from_secs(1800);

const BETA: &str = "oauth-2025-04-20";

const MANNERS: Manners = Manners {
    // With either of them, the upstream would attribute the request to somebody else.
    remove: &["x-api-key", "anthropic-workspace-id"],
    merge: &[("anthropic-beta", BETA)],
    if_absent: &[("anthropic-version", "2023-06-01")],
};

pub(super) fn parse(reader: &mut Reader<'_>) -> Option<Trade> {
    let audience = reader.audience(Some(AUDIENCE));
    let url = reader.token_url(Some(TOKEN_URL));
    let identity = reader.identity();
    let members = reader.members()?;
    let rule = members.text("federation_rule_id", IDENTIFIER);
    let organization = members.text("organization_id", IDENTIFIER);
    let account = members.text("service_account_id", IDENTIFIER);
    let workspace = members.optional_text("workspace_id", IDENTIFIER);
    let mut fields = vec![
        ("grant_type".to_owned(), JWT_BEARER.to_owned()),
        ("federation_rule_id".to_owned(), rule?),
        ("organization_id".to_owned(), organization?),
        ("service_account_id".to_owned(), account?),
    ];
    fields.extend(workspace?.map(|workspace| ("workspace_id".to_owned(), workspace)));
    let exchange = Exchange {
        url: url?,
        encoding: Encoding::Json,
        headers: vec![(
            HeaderName::from_static("anthropic-beta"),
            HeaderValue::from_static("oauth-2025-04-20,oidc-federation-2026-04-01"),
        )],
        members: fields,
        assertion: "assertion",
        code: nothing_more,
    };
    Some(Trade {
        kind: KIND,
        identity: identity?,
        audience: audience?,
        lifetime: LIFETIME,
        provider: Provider::Exchange(exchange),
        manners: &MANNERS,
    })
}
