//! OpenAI's API by workload identity federation: a token exchange whose access token belongs to a project's service
//! account. Experimental: its pages and its dashboard disagree about which issuers it accepts.

use std::time::Duration;

use super::credential::{NO_MANNERS, Provider, Reader, Trade};
use super::engine::{Encoding, Exchange, JWT, TOKEN_EXCHANGE, nothing_more};
use super::members::IDENTIFIER;

pub(super) const KIND: &str = "openai";

pub(super) const TOKEN_URL: &str = "https://auth.openai.com/oauth/token";

/// A token expires with its assertion.
const LIFETIME: Duration = Duration::from_secs(3600);

pub(super) fn parse(reader: &mut Reader<'_>) -> Option<Trade> {
    let audience = reader.audience(None);
    let url = reader.token_url(Some(TOKEN_URL));
    let identity = reader.identity();
    let members = reader.members()?;
    let provider = members.text("identity_provider_id", IDENTIFIER);
    let account = members.text("service_account_id", IDENTIFIER);
    let exchange = Exchange {
        url: url?,
        encoding: Encoding::Json,
        headers: Vec::new(),
        members: vec![
            ("grant_type".to_owned(), TOKEN_EXCHANGE.to_owned()),
            ("subject_token_type".to_owned(), JWT.to_owned()),
            ("identity_provider_id".to_owned(), provider?),
            ("service_account_id".to_owned(), account?),
        ],
        assertion: "subject_token",
        code: nothing_more,
    };
    Some(Trade {
        kind: KIND,
        identity: identity?,
        audience: audience?,
        lifetime: LIFETIME,
        provider: Provider::Exchange(exchange),
        manners: &NO_MANNERS,
    })
}
