//! The member `credential` of an upstream: exactly one of the kinds, read once. Each kind is described in its own file.

use std::rc::Rc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use serde_json::Value;

use super::address::{is_foreign, token_url};
use super::aws::Aws;
use super::engine::Exchange;
use super::google::Google;
use super::members::{ANY, IDENTIFIER, Members};
use super::stored::StoredSecret;
use super::{anthropic, aws, azure, google, oauth, openai};

/// The kinds, as the setting spells them.
const KINDS: [&str; 8] = ["secret", "assertion", "anthropic", "aws", "google", "azure", "openai", "oauth"];

/// The lifetime of an assertion for an upstream, unless its kind needs more.
pub(super) const ASSERTION_LIFETIME: Duration = Duration::from_secs(300);

/// What parsing a credential depends on, besides its own members.
#[derive(Clone, Copy)]
pub struct UpstreamContext<'a> {
    /// The upstream's name.
    pub name: &'a str,
    /// `DOMAIN`.
    pub domain: &'a str,
    /// `ALLOW_LOOPBACK_HTTP`.
    pub allow_loopback_http: bool,
    /// Whether `ISSUER_PRIVATE_KEY` is set, to any value.
    pub has_issuer_key: bool,
    /// A setting of the Worker.
    pub setting: &'a dyn Fn(&str) -> Option<String>,
}

/// What is put into a request to an upstream, and where it comes from.
#[derive(Debug)]
pub struct Credential {
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Stored(StoredSecret),
    Federated(Rc<Federated>),
}

/// A credential that needs no stored secret.
#[derive(Debug)]
pub(super) struct Federated {
    pub(super) upstream: Rc<str>,
    /// Who signs our assertions.
    pub(super) domain: String,
    pub(super) trade: Trade,
}

/// Whose assertion it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// The upstream's fixed subject.
    Service,
    /// The calling principal.
    CallerSubject,
    /// Not ours: the caller's own token.
    CallerToken,
}

/// The exchange of an assertion for a credential.
#[derive(Debug)]
pub(super) struct Trade {
    pub(super) kind: &'static str,
    pub(super) identity: Identity,
    /// The assertion's `aud`.
    pub(super) audience: String,
    pub(super) lifetime: Duration,
    pub(super) provider: Provider,
    pub(super) manners: &'static Manners,
}

impl Trade {
    /// Whether a caller's token with this audience may be exchanged. Google writes its audience with and without a
    /// scheme.
    pub(super) fn takes(&self, audience: &str) -> bool {
        let is_google = matches!(self.provider, Provider::Google(_));
        audience == self.audience || (is_google && self.audience.strip_prefix("https:") == Some(audience))
    }
}

/// Where and how it is exchanged.
#[derive(Debug)]
pub(super) enum Provider {
    /// Nowhere: the assertion is the credential.
    None,
    Exchange(Exchange),
    Google(Google),
    Aws(Aws),
}

/// What an upstream requires of a request, besides the credential.
#[derive(Debug)]
pub(super) struct Manners {
    /// Headers of the caller that it must not see.
    pub(super) remove: &'static [&'static str],
    /// Values that a list must contain, once.
    pub(super) merge: &'static [(&'static str, &'static str)],
    /// Headers for callers that send none.
    pub(super) if_absent: &'static [(&'static str, &'static str)],
}

pub(super) const NO_MANNERS: Manners = Manners { remove: &[], merge: &[], if_absent: &[] };

impl Credential {
    /// Reads the member. Every problem is noted with its path, such as `anthropic.credential.oauth.token_url`; with
    /// `None` there is at least one.
    pub fn parse(
        value: &Value,
        path: &str,
        upstream: &UpstreamContext<'_>,
        problems: &mut Vec<String>,
    ) -> Option<Self> {
        let Some(Some((name, value))) =
            value.as_object().filter(|kinds| kinds.len() == 1).map(|kinds| kinds.iter().next())
        else {
            let known: Vec<String> = KINDS.iter().map(|kind| format!("`{kind}`")).collect();
            problems.push(format!("{path}: it is not an object with exactly one of {}", known.join(", ")));
            return None;
        };
        let inner = format!("{path}.{name}");
        let before = problems.len();
        let mut reader = Reader { members: Members::of(value, &inner, problems), upstream };
        let federated = |trade| {
            let domain = upstream.domain.to_owned();
            Kind::Federated(Rc::new(Federated { upstream: upstream.name.into(), domain, trade }))
        };
        let kind = match name.as_str() {
            "secret" => StoredSecret::parse(&mut reader).map(Kind::Stored),
            "assertion" => bare_assertion(&mut reader).map(federated),
            anthropic::KIND => anthropic::parse(&mut reader).map(federated),
            aws::KIND => aws::parse(&mut reader).map(federated),
            google::KIND => google::parse(&mut reader).map(federated),
            azure::KIND => azure::parse(&mut reader).map(federated),
            openai::KIND => openai::parse(&mut reader).map(federated),
            oauth::KIND => oauth::parse(&mut reader).map(federated),
            _ => {
                drop(reader);
                problems.truncate(before);
                let known: Vec<String> = KINDS.iter().map(|kind| format!("`{kind}`")).collect();
                problems.push(format!("{inner}: there is no such kind; the kinds are {}", known.join(", ")));
                return None;
            }
        };
        if let Some(members) = reader.members {
            members.finish();
        }
        let kind = kind.filter(|_| problems.len() == before)?;
        let credential = Self { kind };
        if credential.needs_issuer_key() && !upstream.has_issuer_key {
            problems.push(format!("{inner}: it needs `ISSUER_PRIVATE_KEY`, which is not set"));
            return None;
        }
        Some(credential)
    }

    /// The kind, as the setting spells it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.kind {
            Kind::Stored(_) => "secret",
            Kind::Federated(federated) => federated.trade.kind,
        }
    }

    /// The header that the credential goes into, where a caller may put its own.
    #[must_use]
    pub fn header(&self) -> &str {
        match &self.kind {
            Kind::Stored(stored) => stored.header.as_str(),
            Kind::Federated(_) => AUTHORIZATION.as_str(),
        }
    }

    /// The Worker secret that is missing, empty, or not a valid header value. The upstream is then off.
    #[must_use]
    pub fn missing_secret(&self) -> Option<&'static str> {
        match &self.kind {
            Kind::Stored(stored) => stored.missing(),
            Kind::Federated(_) => None,
        }
    }

    /// Whether assertions of this service are needed. If so and its key is malformed, the upstream is off.
    #[must_use]
    pub fn needs_issuer_key(&self) -> bool {
        match &self.kind {
            Kind::Stored(_) => false,
            Kind::Federated(federated) => federated.trade.identity != Identity::CallerToken,
        }
    }

    /// Whether requests are signed with their bodies, which then have to be buffered before they are sent.
    #[must_use]
    pub fn signs_bodies(&self) -> bool {
        match &self.kind {
            Kind::Stored(_) => false,
            Kind::Federated(federated) => {
                matches!(&federated.trade.provider, Provider::Aws(aws) if aws.signs_bodies())
            }
        }
    }
}

/// A kind's members, and the upstream that they belong to.
pub(super) struct Reader<'a> {
    members: Option<Members<'a>>,
    pub(super) upstream: &'a UpstreamContext<'a>,
}

impl<'a> Reader<'a> {
    /// The members; none if the kind's value is not an object, which is already noted.
    pub(super) const fn members(&mut self) -> Option<&mut Members<'a>> {
        self.members.as_mut()
    }

    /// Whose assertion is exchanged.
    pub(super) fn identity(&mut self) -> Option<Identity> {
        self.members()?.word(
            "identity",
            &[
                ("service", Identity::Service),
                ("caller-subject", Identity::CallerSubject),
                ("caller-token", Identity::CallerToken),
            ],
        )
    }

    /// Whom the assertion is for.
    pub(super) fn audience(&mut self, default: Option<&str>) -> Option<String> {
        let domain = self.upstream.domain;
        let members = self.members()?;
        let audience = match default {
            Some(default) => members.text_or("audience", default, IDENTIFIER),
            None => members.text("audience", IDENTIFIER),
        }?;
        if is_foreign(&audience, domain) {
            return Some(audience);
        }
        members.problem("audience", "this service accepts it itself");
        None
    }

    /// Where the exchange goes.
    pub(super) fn token_url(&mut self, default: Option<&str>) -> Option<http::Uri> {
        let upstream = self.upstream;
        let members = self.members()?;
        let text = match default {
            Some(default) => members.text_or("token_url", default, ANY),
            None => members.text("token_url", ANY),
        }?;
        match token_url(&text, upstream) {
            Ok(url) => Some(url),
            Err(what) => {
                members.problem("token_url", &what);
                None
            }
        }
    }
}

fn bare_assertion(reader: &mut Reader<'_>) -> Option<Trade> {
    let audience = reader.audience(None);
    let words = [("service", Identity::Service), ("caller", Identity::CallerSubject)];
    let identity = reader.members()?.word("subject", &words);
    Some(Trade {
        kind: "assertion",
        identity: identity?,
        audience: audience?,
        lifetime: ASSERTION_LIFETIME,
        provider: Provider::None,
        manners: &NO_MANNERS,
    })
}
