//! The kind `oauth`: the engine itself, for providers without a kind of their own.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::credential::{ASSERTION_LIFETIME, NO_MANNERS, Provider, Reader, Trade};
use super::engine::{Encoding, Exchange, JWT, JWT_BEARER, TOKEN_EXCHANGE, nothing_more};

pub(super) const KIND: &str = "oauth";

/// Names that do not belong in a variable.
pub(super) const SECRETS: [&str; 3] = ["client_secret", "password", "refresh_token"];

/// Headers that the exchange sets itself, or that carry the caller's credential.
pub(super) const OWN_HEADERS: [&str; 4] = ["authorization", "content-type", "content-length", "host"];

pub(super) const MAX_PARAMETERS: usize = 16;
pub(super) const MAX_HEADERS: usize = 8;
const MAX_NAME: usize = 64;
pub(super) const MAX_VALUE: usize = 2048;

pub(super) const ASSERTION_SECONDS: RangeInclusive<u32> = 60..=3600;

#[derive(Clone, Copy)]
enum Grant {
    TokenExchange,
    JwtBearer,
}

impl Grant {
    const fn members(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::TokenExchange => &[("grant_type", TOKEN_EXCHANGE), ("subject_token_type", JWT)],
            Self::JwtBearer => &[("grant_type", JWT_BEARER)],
        }
    }

    const fn assertion(self) -> &'static str {
        match self {
            Self::TokenExchange => "subject_token",
            Self::JwtBearer => "assertion",
        }
    }

    fn writes(self, name: &str) -> bool {
        self.assertion() == name || self.members().iter().any(|(own, _)| *own == name)
    }
}

pub(super) fn parse(reader: &mut Reader<'_>) -> Option<Trade> {
    let audience = reader.audience(None);
    let url = reader.token_url(None);
    let identity = reader.identity();
    let members = reader.members()?;
    let grants = [("token-exchange", Grant::TokenExchange), ("jwt-bearer", Grant::JwtBearer)];
    let grant = members.required_word("grant", &grants);
    let encoding = members.word("encoding", &[("form", Encoding::Form), ("json", Encoding::Json)]);
    let seconds = members.number("assertion_seconds", &ASSERTION_SECONDS);
    let parameters = parameters(reader, grant);
    let headers = headers(reader);
    let grant = grant?;
    let own = grant.members().iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let exchange = Exchange {
        url: url?,
        encoding: encoding?,
        headers: headers?,
        members: own.chain(parameters?).collect(),
        assertion: grant.assertion(),
        code: nothing_more,
    };
    Some(Trade {
        kind: KIND,
        identity: identity?,
        audience: audience?,
        lifetime: seconds?.map_or(ASSERTION_LIFETIME, |seconds| Duration::from_secs(seconds.into())),
        provider: Provider::Exchange(exchange),
        manners: &NO_MANNERS,
    })
}

fn parameters(reader: &mut Reader<'_>, grant: Option<Grant>) -> Option<Vec<(String, String)>> {
    let members = reader.members()?;
    let mut parameters = Vec::new();
    let mut are_good = true;
    for (name, value) in members.texts("parameters", MAX_PARAMETERS)? {
        let member = format!("parameters.{}", shown(name));
        let problem = if SECRETS.contains(&name) {
            "a secret does not belong in a variable"
        } else if grant.is_some_and(|grant| grant.writes(name)) {
            "the grant sets it itself"
        } else if !is_name(name) {
            "its name is not 1 to 64 visible characters"
        } else if value.len() > MAX_VALUE || value.chars().any(char::is_control) {
            "it is longer than 2048 bytes or has a control character"
        } else {
            parameters.push((name.to_owned(), value.to_owned()));
            continue;
        };
        members.problem(&member, problem);
        are_good = false;
    }
    are_good.then_some(parameters)
}

fn headers(reader: &mut Reader<'_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let members = reader.members()?;
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    let mut are_good = true;
    for (name, value) in members.texts("headers", MAX_HEADERS)? {
        let member = format!("headers.{}", shown(name));
        let header = HeaderName::try_from(name).ok().filter(|_| is_name(name));
        let value = HeaderValue::from_str(value)
            .ok()
            .filter(|value| value.len() <= MAX_VALUE && value.to_str().is_ok());
        let problem = match (header, value) {
            (None, _) => "it is not the name of a header",
            (Some(header), _) if OWN_HEADERS.contains(&header.as_str()) => "it cannot be set",
            (Some(header), _) if headers.iter().any(|(known, _)| *known == header) => "it appears twice",
            (Some(_), None) => "it is not a valid header value",
            (Some(header), Some(value)) => {
                headers.push((header, value));
                continue;
            }
        };
        members.problem(&member, problem);
        are_good = false;
    }
    are_good.then_some(headers)
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A name in a problem's path; anything that is not a name is not shown.
fn shown(name: &str) -> &str {
    if is_name(name) { name } else { "…" }
}
