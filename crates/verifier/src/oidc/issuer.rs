//! Which texts are issuers, and which issuers this server accepts. An issuer is compared byte for byte and stored
//! unchanged: no trimming, no case folding, no normalization.

use std::fmt;
use std::str::FromStr;

use super::endpoint::{Endpoint, Scheme};
use super::quoted::Quoted;

/// Longer than any known issuer; the same as in the Go service.
const MAX_CHARACTERS: usize = 255;

/// As in the Go service.
const MAX_SEGMENT: usize = 150;

/// What the operator set.
#[derive(Debug, Clone)]
pub struct IssuerRules {
    /// `ALLOWED_ISSUERS`: these and no others. A listed issuer may have a host that would otherwise be refused.
    pub allowed: Option<Vec<String>>,
    /// `DOMAIN`: the service never accepts itself.
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
    /// The text after the host is not a port.
    Port,
    /// The path has a character or a segment that is not allowed.
    Path,
    /// The host is an IP address, in any spelling.
    IpLiteral,
    /// The host has no dot.
    SingleLabel,
    /// The host is `localhost` or under `.localhost`, `.local` or `.internal`.
    ReservedHost,
    /// The port is not 443.
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
            Self::Host => "its host is not a plain ascii host name",
            Self::Port => "its port is not a number from 1 to 65535",
            Self::Path => "its path has a character or a segment that is not allowed",
            Self::IpLiteral => "its host is an ip address",
            Self::SingleLabel => "its host has no dot",
            Self::ReservedHost => "its host is reserved for local networks",
            Self::OtherPort => "its port is not 443",
            Self::OwnDomain => "it is this service",
            Self::NotAllowed => "it is not among the issuers this server accepts",
        })
    }
}

/// Text that is not an issuer, or an issuer that this server does not accept. The message names the issuer and the
/// rule.
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

/// Text in the form of an issuer, such as one in a policy. Does not say whether this server would accept it.
///
/// ```
/// use octo_sts_verifier::oidc::IssuerShape;
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

/// An issuer that this server accepts and asks for keys.
///
/// ```
/// use octo_sts_verifier::oidc::{Issuer, IssuerRule, IssuerRules};
/// let rules = IssuerRules { allowed: None, own_domain: "sts.example.com".to_owned(), allow_loopback_http: false };
/// assert!(Issuer::parse("https://token.actions.githubusercontent.com", &rules).is_ok());
/// let error = Issuer::parse("https://169.254.169.254", &rules).unwrap_err();
/// assert_eq!(error.rule(), IssuerRule::IpLiteral);
/// assert_eq!(error.to_string(), "the issuer `https://169.254.169.254` is not accepted: its host is an ip address");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Issuer(String);

impl Issuer {
    /// Checks the form, then the operator's list if there is one, or else the rules about hosts.
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

    /// Where it is served. It has been parsed before, so this cannot fail.
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
    // No list can allow plain HTTP: anybody on the way could replace the keys.
    if endpoint.scheme == Scheme::Http && !rules.allow_loopback_http {
        return Err(IssuerRule::Scheme);
    }
    endpoint.check_not_own(rules)?;
    match &rules.allowed {
        Some(allowed) if allowed.iter().any(|issuer| issuer == text) => Ok(()),
        Some(_) => Err(IssuerRule::NotAllowed),
        None => endpoint.check_reach(rules),
    }
}

/// The form: the rules of the Go service, and one spelling for each port.
fn take_apart(text: &str) -> Result<Endpoint<'_>, IssuerRule> {
    if text.is_empty() || text.chars().count() > MAX_CHARACTERS {
        return Err(IssuerRule::Length);
    }
    // Even an empty query or fragment is refused, because it would swallow the path of the discovery document.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const CASES: &str = include_str!("../../../../tests/data/cases/oidcvalidate-issuer.json");
    const DIFFERENCES: &str = include_str!("../../../../tests/data/cases/differences-oidc.json");

    fn rules() -> IssuerRules {
        IssuerRules { allowed: None, own_domain: "sts.example.com".to_owned(), allow_loopback_http: false }
    }

    fn verdict(text: &str, rules: &IssuerRules) -> Result<(), IssuerRule> {
        Issuer::parse(text, rules)
            .map(|issuer| assert_eq!(issuer.as_str(), text))
            .map_err(|error| error.rule())
    }

    fn shape(text: &str) -> Result<(), IssuerRule> {
        text.parse::<IssuerShape>()
            .map(|shape| assert_eq!(shape.as_str(), text))
            .map_err(|error| error.rule())
    }

    #[test]
    fn the_go_services_cases_hold_for_the_shape() {
        let table: Value = serde_json::from_str(CASES).unwrap();
        let cases = table["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 43);
        for case in cases {
            let input = case["input"].as_str().unwrap();
            assert_eq!(shape(input).is_ok(), case["expected"] == true, "{case}");
        }
    }

    #[test]
    fn the_go_services_cases_hold_with_the_switch_and_without_it_but_for_the_written_differences() {
        let table: Value = serde_json::from_str(CASES).unwrap();
        let differences: Value = serde_json::from_str(DIFFERENCES).unwrap();
        let mut different = 0;
        let development = IssuerRules { allow_loopback_http: true, ..rules() };
        for case in table["cases"].as_array().unwrap() {
            let input = case["input"].as_str().unwrap();
            assert_eq!(verdict(input, &development).is_ok(), case["expected"] == true, "{case}");
            let difference = differences.as_array().unwrap().iter().find(|row| row["case"] == case["name"]);
            let expected = difference.map_or(&case["expected"], |difference| &difference["ours"]);
            assert_eq!(verdict(input, &rules()).is_ok(), *expected == true, "{case}");
            different += usize::from(difference.is_some());
        }
        assert_eq!(different, differences.as_array().unwrap().len());
        // An issuer refused only for its port is allowed if the operator lists it.
        let listed = IssuerRules { allowed: Some(vec!["https://example.com:8443".to_owned()]), ..rules() };
        assert!(verdict("https://example.com:8443", &listed).is_ok());
    }

    #[test]
    fn issuers_of_well_known_services_are_accepted() {
        for issuer in [
            "https://token.actions.githubusercontent.com",
            "https://token.actions.githubusercontent.com/acme",
            "https://accounts.google.com",
            "https://gitlab.com",
            "https://gitlab.example.com:443",
            "https://agent.buildkite.com",
            "https://oidc.circleci.com/org/0e1c2c8b-4b2c-4d3f-9d3a-3f1f3f0d3c11",
            "https://acme.eu.auth0.com/",
            "https://dev-123.okta.com/oauth2/default",
            "https://login.microsoftonline.com/0e1c2c8b-4b2c-4d3f-9d3a-3f1f3f0d3c11/v2.0",
            "https://sts.windows.net/0e1c2c8b-4b2c-4d3f-9d3a-3f1f3f0d3c11/",
            "https://oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF",
            "https://container.googleapis.com/v1/projects/acme/locations/europe-west1/clusters/main",
            "https://issuer.enforce.dev",
            "https://EXAMPLE.com/MixedCase",
            "https://xn--exmple-cua.com",
        ] {
            assert_eq!(verdict(issuer, &rules()), Ok(()), "{issuer}");
        }
    }

    #[test]
    fn a_shape_is_refused_for_its_reason() {
        let segment = |length: usize| format!("https://example.com/{}", "a".repeat(length));
        let table: &[(&str, IssuerRule)] = &[
            ("", IssuerRule::Length),
            (&format!("https://example.com/{}/{}", "a".repeat(150), "b".repeat(85)), IssuerRule::Length),
            ("HTTPS://example.com", IssuerRule::Scheme),
            (" https://example.com", IssuerRule::Scheme),
            ("https:/example.com", IssuerRule::Scheme),
            ("//example.com", IssuerRule::Scheme),
            ("http://example.com", IssuerRule::Scheme),
            ("http://localhost.example.com", IssuerRule::Scheme),
            ("http://LOCALHOST", IssuerRule::Scheme),
            ("http://127.0.0.2", IssuerRule::Scheme),
            ("https://example.com?", IssuerRule::QueryOrFragment),
            ("https://example.com/#", IssuerRule::QueryOrFragment),
            ("https://@example.com", IssuerRule::UserInfo),
            ("https://example.com:pw@evil.example", IssuerRule::UserInfo),
            ("https://", IssuerRule::Host),
            ("https:///path", IssuerRule::Host),
            ("https://:443", IssuerRule::Host),
            ("https://example.com.", IssuerRule::Host),
            ("https://example.com./path", IssuerRule::Host),
            ("https://.example.com", IssuerRule::Host),
            ("https://example..com", IssuerRule::Host),
            ("https://example.com\\evil.example", IssuerRule::Host),
            ("https://example.com%2eevil.example", IssuerRule::Host),
            ("https://ex*mple.com", IssuerRule::Host),
            ("https://example.com\0", IssuerRule::Host),
            ("https://example。com", IssuerRule::Host),
            ("https://[::1", IssuerRule::Host),
            ("https://[::1%25eth0]", IssuerRule::Host),
            ("https://[]", IssuerRule::Host),
            ("https://[v1.a]", IssuerRule::Host),
            ("https://example.com:", IssuerRule::Port),
            ("https://example.com:0", IssuerRule::Port),
            ("https://example.com:0443", IssuerRule::Port),
            ("https://example.com:65536", IssuerRule::Port),
            ("https://example.com:+443", IssuerRule::Port),
            ("https://example.com:443:443", IssuerRule::Port),
            ("https://[::1]8080", IssuerRule::Port),
            ("https://example.com/ ", IssuerRule::Path),
            ("https://example.com/a\n", IssuerRule::Path),
            ("https://example.com/a%20b", IssuerRule::Path),
            ("https://example.com/a;b", IssuerRule::Path),
            ("https://example.com/a\\b", IssuerRule::Path),
            ("https://example.com/ä", IssuerRule::Path),
            ("https://example.com//", IssuerRule::Path),
            ("https://example.com/a..b", IssuerRule::Path),
            ("https://example.com/.", IssuerRule::Path),
            ("https://example.com/a/./b", IssuerRule::Path),
            ("https://example.com/a/~/b", IssuerRule::Path),
            ("https://example.com/a/.~./b", IssuerRule::Path),
            ("https://example.com/a~", IssuerRule::Path),
            ("https://example.com/a~~b", IssuerRule::Path),
            (&segment(151), IssuerRule::Path),
        ];
        for (text, rule) in table {
            assert_eq!(shape(text), Err(*rule), "{text}");
            assert_eq!(
                verdict(text, &IssuerRules { allow_loopback_http: true, ..rules() }),
                Err(*rule),
                "{text}"
            );
            // A list opens hosts, never shapes.
            let listed = IssuerRules { allowed: Some(vec![(*text).to_owned()]), ..rules() };
            assert_eq!(verdict(text, &listed), Err(*rule), "{text}");
        }
        for text in [&segment(150), "https://example.com/.well_known-a/b.c~d/", "https://a_b.example.com"] {
            assert_eq!(shape(text), Ok(()), "{text}");
        }
        assert_eq!(shape(&format!("https://example.com/{}/{}", "a".repeat(150), "b".repeat(84))), Ok(()));
    }

    #[test]
    fn the_service_itself_is_refused_whatever_is_listed() {
        for issuer in
            ["https://sts.example.com", "https://STS.example.COM/path", "https://sts.example.com:443"]
        {
            assert_eq!(verdict(issuer, &rules()), Err(IssuerRule::OwnDomain), "{issuer}");
            let listed = IssuerRules { allowed: Some(vec![issuer.to_owned()]), ..rules() };
            assert_eq!(verdict(issuer, &listed), Err(IssuerRule::OwnDomain), "{issuer}");
        }
    }

    #[test]
    fn what_is_not_a_public_host_is_refused_unless_exactly_this_issuer_is_listed() {
        for (issuer, rule) in [
            ("https://10.0.0.1", IssuerRule::IpLiteral),
            ("https://127.0.0.1", IssuerRule::IpLiteral),
            ("https://169.254.169.254/latest", IssuerRule::IpLiteral),
            ("https://8.8.8.8", IssuerRule::IpLiteral),
            ("https://2130706433", IssuerRule::IpLiteral),
            ("https://0x7f.1", IssuerRule::IpLiteral),
            ("https://0X7F000001", IssuerRule::IpLiteral),
            ("https://0177.0.0.1", IssuerRule::IpLiteral),
            ("https://127.1", IssuerRule::IpLiteral),
            ("https://1.2.3.0x4", IssuerRule::IpLiteral),
            ("https://example.0x", IssuerRule::IpLiteral),
            ("https://[::1]", IssuerRule::IpLiteral),
            ("https://[::ffff:10.0.0.1]", IssuerRule::IpLiteral),
            ("https://[2606:4700::1111]", IssuerRule::IpLiteral),
            ("https://intranet", IssuerRule::SingleLabel),
            ("https://com", IssuerRule::SingleLabel),
            ("https://localhost", IssuerRule::ReservedHost),
            ("https://LocalHost", IssuerRule::ReservedHost),
            ("https://a.localhost", IssuerRule::ReservedHost),
            ("https://printer.local", IssuerRule::ReservedHost),
            ("https://PRINTER.LOCAL/path", IssuerRule::ReservedHost),
            ("https://metadata.google.internal", IssuerRule::ReservedHost),
            ("https://example.com:8443", IssuerRule::OtherPort),
            ("https://example.com:80", IssuerRule::OtherPort),
        ] {
            assert_eq!(shape(issuer), Ok(()), "{issuer}");
            assert_eq!(verdict(issuer, &rules()), Err(rule), "{issuer}");
            let listed = IssuerRules { allowed: Some(vec![issuer.to_owned()]), ..rules() };
            assert_eq!(verdict(issuer, &listed), Ok(()), "{issuer}");
            let other = IssuerRules { allowed: Some(vec![format!("{issuer}/")]), ..rules() };
            assert_eq!(verdict(issuer, &other), Err(IssuerRule::NotAllowed), "{issuer}");
        }
        for issuer in [
            "https://local.example.com",
            "https://internal.example",
            "https://notlocal",
            "https://1e3.example",
        ] {
            let expected = if issuer.contains("example") { Ok(()) } else { Err(IssuerRule::SingleLabel) };
            assert_eq!(verdict(issuer, &rules()), expected, "{issuer}");
        }
        for issuer in ["https://a.sts.example.com", "https://xsts.example.com", "https://example.com"] {
            assert_eq!(verdict(issuer, &rules()), Ok(()), "{issuer}");
        }
    }

    #[test]
    fn a_list_admits_nothing_else_and_compares_bytes() {
        let listed = IssuerRules { allowed: Some(vec!["https://a.example.com".to_owned()]), ..rules() };
        assert_eq!(verdict("https://a.example.com", &listed), Ok(()));
        for issuer in [
            "https://b.example.com",
            "https://a.example.com/",
            "https://a.example.com:443",
            "https://A.example.com",
            "https://a.example.com/acme",
        ] {
            assert_eq!(verdict(issuer, &listed), Err(IssuerRule::NotAllowed), "{issuer}");
        }
        let nothing = IssuerRules { allowed: Some(Vec::new()), ..rules() };
        assert_eq!(verdict("https://a.example.com", &nothing), Err(IssuerRule::NotAllowed));
        let loopback = IssuerRules { allow_loopback_http: true, ..listed };
        assert_eq!(verdict("http://localhost:8080", &loopback), Err(IssuerRule::NotAllowed));
    }

    #[test]
    fn loopback_is_open_in_development_alone() {
        let development = IssuerRules { allow_loopback_http: true, ..rules() };
        for issuer in [
            "http://localhost",
            "http://localhost:8080/realms/acme",
            "https://localhost:8443",
            "http://127.0.0.1:1",
            "https://127.0.0.1",
            "http://[::1]:8080",
            "https://[::1]",
        ] {
            assert_eq!(verdict(issuer, &development), Ok(()), "{issuer}");
            assert!(verdict(issuer, &rules()).is_err(), "{issuer}");
        }
        // A list does not open plain HTTP.
        let listed = IssuerRules { allowed: Some(vec!["http://localhost:8080".to_owned()]), ..rules() };
        assert_eq!(verdict("http://localhost:8080", &listed), Err(IssuerRule::Scheme));
        for issuer in
            ["https://LOCALHOST", "https://127.0.0.2", "https://10.0.0.1", "https://[::2]", "https://a.local"]
        {
            assert!(verdict(issuer, &development).is_err(), "{issuer}");
        }
    }

    #[test]
    fn the_message_names_the_issuer_on_one_line() {
        let error = Issuer::parse("https://exa\nmple.com", &rules()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the issuer `https://exa\\nmple.com` is not accepted: its host is not a plain ascii host name"
        );
        assert_eq!(error.code(), "issuer_host");
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(text in ".{0,300}") {
            let _verdict = verdict(&text, &rules());
        }

        #[test]
        fn what_is_accepted_is_an_address_without_surprises(
            text in r"https?://[a-z0-9.\[\]:@%_\\-]{0,20}(:[0-9+]{0,6})?[a-z./~?#%@ -]{0,20}"
        ) {
            if let Ok(issuer) = Issuer::parse(&text, &rules()) {
                // A second parser reads the same host, and the host is a public name.
                let uri: http::Uri = issuer.as_str().parse().unwrap();
                prop_assert_eq!(uri.scheme_str(), Some("https"));
                let authority = uri.authority().unwrap();
                let origin = format!("https://{authority}");
                prop_assert!(text.starts_with(&origin));
                prop_assert!(matches!(uri.port_u16(), None | Some(443)));
                prop_assert!(uri.host().unwrap().contains('.'));
                prop_assert!(uri.query().is_none());
            }
        }
    }
}
