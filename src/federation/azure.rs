//! Microsoft Entra ID: client credentials with a federated assertion in place of a client secret.
//! <https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow>

use serde_json::{Map, Value};

use super::credential::{ASSERTION_LIFETIME, NO_MANNERS, Provider, Reader, Trade};
use super::engine::{Encoding, Exchange};
use super::members::{IDENTIFIER, Rule};

pub(super) const KIND: &str = "azure";

pub(super) const AUDIENCE: &str = "api://AzureADTokenExchange";

const TENANT: Rule = (
    |text| {
        (1..=255).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
    },
    "it is neither a tenant's id nor its domain",
);

pub(super) fn parse(reader: &mut Reader<'_>) -> Option<Trade> {
    let audience = reader.audience(Some(AUDIENCE));
    let identity = reader.identity();
    let members = reader.members()?;
    let tenant = members.text("tenant_id", TENANT);
    let client = members.text("client_id", IDENTIFIER);
    let scope = members.text("scope", IDENTIFIER);
    let url = format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", tenant?);
    let exchange = Exchange {
        url: url.parse().ok()?,
        encoding: Encoding::Form,
        headers: Vec::new(),
        members: vec![
            ("grant_type".to_owned(), "client_credentials".to_owned()),
            ("client_id".to_owned(), client?),
            ("scope".to_owned(), scope?),
            (
                "client_assertion_type".to_owned(),
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
            ),
        ],
        assertion: "client_assertion",
        code: aadsts,
    };
    Some(Trade {
        kind: KIND,
        identity: identity?,
        audience: audience?,
        lifetime: ASSERTION_LIFETIME,
        provider: Provider::Exchange(exchange),
        manners: &NO_MANNERS,
    })
}

/// The number that Microsoft's pages explain; `error` is `invalid_client` for most of them.
fn aadsts(refusal: &Map<String, Value>) -> Option<String> {
    let number = refusal.get("error_codes")?.as_array()?.first()?.as_u64()?;
    Some(format!("AADSTS{number}"))
}
