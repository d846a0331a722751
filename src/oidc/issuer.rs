//! Which texts are issuers, and which issuers this server asks for keys. An issuer is compared byte for byte and kept
//! as it came: no trimming, no case folding, no normalisation.

use std::fmt;
use std::str::FromStr;

use super::endpoint::{Endpoint, Scheme};
use super::quoted::Quoted;

/// Longer than any issuer that is known; the same as the Go service's.
const MAX_CHARACTERS: usize = 255;

/// As the Go service has it.
const MAX_SEGMENT: usize = 150;

/// What the operator set.
#[derive(Debug, Clone)]
pub struct IssuerRules {
    /// `ALLOWED_ISSUERS`: with it, these and no others. An issuer that is listed may have a host that would otherwise
    /// be refused.
    pub allowed: Option<Vec<String>>,
    /// `DOMAIN`: the service never asks itself.
    pub own_domain: String,
    /// `ALLOW_LOOPBACK_HTTP`: `http` and `https` on `localhost`, `127.0.0.1` and `[::1]`, any port. Development only.
    pub allow_loopback_http: bool,
}

/// A rule that an issuer broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuerRule {
    /// It is empty or longer than 255 characters.
    Length,
    /// It does not begin with `https://` (`http://` is for loopback hosts).
    Scheme,
    /// It has user info.
    UserInfo,
    /// It has a query or a fragment.
    QueryOrFragment,
    /// It has no host, or one that is not a DNS name or IP literal in plain ASCII; or the host ends in a dot.
    Host,
    /// What stands after the host is not a port.
    Port,
    /// The path has a character or a segment that is not allowed.
    Path,
    /// The host is an IP address, in whatever spelling.
    IpLiteral,
    /// The host has no dot.
    SingleLabel,
    /// The host is `localhost` or under `.localhost`, `.local` or `.internal`.
    ReservedHost,
    /// The port is another than 443.
    OtherPort,
    /// It is this service.
    OwnDomain,
    /// It is not on the server's list.
    NotAllowed,
}

impl IssuerRule {
    /// A stable name without any value.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Length => "issuer_length",
            Self::Scheme => "issuer_scheme",
            Self::UserInfo => "issuer_user_info",
            Self::QueryOrFragment => "issuer_query",
            Self::Host => "issuer_host",
            Self::Port => "issuer_port",
            Self::Path => "issuer_path",
            Self::IpLiteral => "issuer_ip_literal",
            Self::SingleLabel => "issuer_single_label",
            Self::ReservedHost => "issuer_reserved_host",
            Self::OtherPort => "issuer_other_port",
            Self::OwnDomain => "issuer_own_domain",
            Self::NotAllowed => "issuer_not_allowed",
        }
    }
}

impl fmt::Display for IssuerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "it is empty or longer than 255 characters",
            Self::Scheme => "it does not begin with `https://`",
            Self::UserInfo => "it has user info",
            Self::QueryOrFragment => "it has a query or a fragment",
            Self::Host => "its host is not a plain ASCII host name",
            Self::Port => "its port is not a number from 1 to 65535",
            Self::Path => "its path has a character or a segment that is not allowed",
            Self::IpLiteral => "its host is an IP address",
            Self::SingleLabel => "its host has no dot",
            Self::ReservedHost => "its host is reserved for local networks",
            Self::OtherPort => "its port is not 443",
            Self::OwnDomain => "it is this service",
            Self::NotAllowed => "it is not among the issuers this server accepts",
        })
    }
}

/// A text that is not an issuer, or one that this server does not ask. The message names the issuer and the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerError {
    issuer: String,
    rule: IssuerRule,
}

impl IssuerError {
    /// The rule alone.
    #[must_use]
    pub const fn rule(&self) -> IssuerRule {
        self.rule
    }

    /// A stable name without any value.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.rule.code()
    }
}

impl fmt::Display for IssuerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the issuer {} is not accepted: {}", Quoted(&self.issuer), self.rule)
    }
}

impl std::error::Error for IssuerError {}

/// A text that has the shape of an issuer, such as one in a policy. Says nothing about whether this server would ask
/// it for keys.
///
/// ```
/// use octo_sts_worker::oidc::IssuerShape;
/// assert!("https://token.actions.githubusercontent.com".parse::<IssuerShape>().is_ok());
/// assert!("https://accounts.example.com?tenant=acme".parse::<IssuerShape>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerShape(String);

impl IssuerShape {
    /// The issuer, byte for byte.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IssuerShape {
    type Err = IssuerError;

    fn from_str(text: &str) -> Result<Self, IssuerError> {
        match take_apart(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(rule) => Err(IssuerError { issuer: text.to_owned(), rule }),
        }
    }
}

/// An issuer that this server asks for keys.
///
/// ```
/// use octo_sts_worker::oidc::{Issuer, IssuerRule, IssuerRules};
/// let rules = IssuerRules { allowed: None, own_domain: "sts.example.com".to_owned(), allow_loopback_http: false };
/// assert!(Issuer::parse("https://token.actions.githubusercontent.com", &rules).is_ok());
/// let error = Issuer::parse("https://169.254.169.254", &rules).unwrap_err();
/// assert_eq!(error.rule(), IssuerRule::IpLiteral);
/// assert_eq!(error.to_string(), "the issuer `https://169.254.169.254` is not accepted: its host is an IP address");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Issuer(String);

impl Issuer {
    /// Checks the shape, then the operator's list if there is one, else the rules about hosts.
    ///
    /// # Errors
    /// The first rule that is broken, in this order.
    pub fn parse(text: &str, rules: &IssuerRules) -> Result<Self, IssuerError> {
        match check(text, rules) {
            Ok(()) => Ok(Self(text.to_owned())),
            Err(rule) => Err(IssuerError { issuer: text.to_owned(), rule }),
        }
    }

    /// The issuer, byte for byte.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where it is served. It was taken apart once already, so this fails for no issuer.
    pub(super) fn endpoint(&self) -> Result<Endpoint<'_>, IssuerRule> {
        Endpoint::parse(&self.0)
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check(text: &str, rules: &IssuerRules) -> Result<(), IssuerRule> {
    let endpoint = take_apart(text)?;
    // No list opens plain HTTP: the keys would be anybody's on the way.
    if endpoint.scheme == Scheme::Http && !rules.allow_loopback_http {
        return Err(IssuerRule::Scheme);
    }
    match &rules.allowed {
        Some(allowed) if allowed.iter().any(|issuer| issuer == text) => Ok(()),
        Some(_) => Err(IssuerRule::NotAllowed),
        None => endpoint.check_reach(rules),
    }
}

/// The shape: what the Go service's tables say, and one spelling for each port.
fn take_apart(text: &str) -> Result<Endpoint<'_>, IssuerRule> {
    if text.is_empty() || text.chars().count() > MAX_CHARACTERS {
        return Err(IssuerRule::Length);
    }
    // Even an empty query or fragment: it would swallow the path of the discovery document.
    if text.contains(['?', '#']) {
        return Err(IssuerRule::QueryOrFragment);
    }
    let endpoint = Endpoint::parse(text)?;
    if endpoint.scheme == Scheme::Http && !endpoint.is_loopback() {
        return Err(IssuerRule::Scheme);
    }
    if !is_path(endpoint.tail) {
        return Err(IssuerRule::Path);
    }
    Ok(endpoint)
}

fn is_path(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'/' | b'-'))
        && !["//", "..", "~~"].into_iter().any(|pair| path.contains(pair))
        && !path.ends_with('~')
        && path.split('/').all(is_segment)
}

fn is_segment(segment: &str) -> bool {
    let is_only_dots_and_tildes =
        !segment.is_empty() && segment.bytes().all(|byte| matches!(byte, b'.' | b'~'));
    segment.len() <= MAX_SEGMENT && !is_only_dots_and_tildes
}
