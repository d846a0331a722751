//! `scheme://host[:port]` of an issuer or its key set, and the rules about hosts that both obey. A text that two URL
//! parsers could read differently is refused, so that what is checked here is what is fetched later.
//!
//! By hand and not with the `url` crate: that one normalises, which is just what must not happen to an issuer, and
//! weighs 79 KB in the Worker.

use std::net::Ipv6Addr;

use super::issuer::{IssuerRule, IssuerRules};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Https,
    Http,
}

/// An address taken apart; everything is as it was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Endpoint<'a> {
    pub(super) scheme: Scheme,
    /// A DNS name, an IPv4 literal, or an IPv6 literal in brackets.
    host: &'a str,
    port: Option<&'a str>,
    /// From the first `/` or `?` on; may be empty.
    pub(super) tail: &'a str,
}

impl<'a> Endpoint<'a> {
    /// Takes an address apart. The tail is not looked at.
    pub(super) fn parse(text: &'a str) -> Result<Self, IssuerRule> {
        let (scheme, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (Scheme::Https, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (Scheme::Http, rest)
        } else {
            return Err(IssuerRule::Scheme);
        };
        let authority_ends = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at_checked(authority_ends).ok_or(IssuerRule::Host)?;
        if authority.contains('@') {
            return Err(IssuerRule::UserInfo);
        }
        let host_ends = match authority.strip_prefix('[') {
            Some(literal) => literal.find(']').map_or(authority.len(), |position| position + 2),
            None => authority.find(':').unwrap_or(authority.len()),
        };
        let (host, port) = authority.split_at_checked(host_ends).ok_or(IssuerRule::Host)?;
        if !is_host(host) {
            return Err(IssuerRule::Host);
        }
        let port = match port.strip_prefix(':') {
            Some(port) if is_port(port) => Some(port),
            None if port.is_empty() => None,
            Some(_) | None => return Err(IssuerRule::Port),
        };
        Ok(Self { scheme, host, port, tail })
    }

    /// `localhost`, `127.0.0.1` or `[::1]`, in exactly this spelling.
    pub(super) fn is_loopback(&self) -> bool {
        matches!(self.host, "localhost" | "127.0.0.1" | "[::1]")
    }

    /// Whether both are served by one peer.
    pub(super) fn is_same_origin(&self, other: &Endpoint<'_>) -> bool {
        self.scheme == other.scheme
            && self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(self.default_port()) == other.port.unwrap_or(other.default_port())
    }

    /// The service is never a relying party of its own, whatever a list says: a token would be laundered into another.
    /// A loopback host of development may be shared with an issuer.
    pub(super) fn check_not_own(&self, rules: &IssuerRules) -> Result<(), IssuerRule> {
        let shared = rules.allow_loopback_http && self.is_loopback();
        let is_own = self.host.eq_ignore_ascii_case(&rules.own_domain);
        if is_own && !shared { Err(IssuerRule::OwnDomain) } else { Ok(()) }
    }

    /// What keeps a token from pointing this server at something that is not a public issuer: requests to the inside
    /// of a network (SSRF), or to the server itself.
    pub(super) fn check_reach(&self, rules: &IssuerRules) -> Result<(), IssuerRule> {
        self.check_not_own(rules)?;
        if rules.allow_loopback_http && self.is_loopback() {
            return Ok(());
        }
        if self.scheme != Scheme::Https {
            return Err(IssuerRule::Scheme);
        }
        // The switch is for development, where issuers listen where there is room.
        if self.port.is_some_and(|port| port != "443") && !rules.allow_loopback_http {
            return Err(IssuerRule::OtherPort);
        }
        let host = self.host.to_ascii_lowercase();
        if host.starts_with('[') || ends_in_a_number(&host) {
            return Err(IssuerRule::IpLiteral);
        }
        let is_reserved =
            [".localhost", ".local", ".internal"].into_iter().any(|suffix| host.ends_with(suffix));
        if is_reserved || host == "localhost" {
            return Err(IssuerRule::ReservedHost);
        }
        if !host.contains('.') {
            return Err(IssuerRule::SingleLabel);
        }
        Ok(())
    }

    const fn default_port(&self) -> &'static str {
        match self.scheme {
            Scheme::Https => "443",
            Scheme::Http => "80",
        }
    }
}

fn is_host(host: &str) -> bool {
    if let Some(literal) = host.strip_prefix('[') {
        return literal.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    // An empty label is also what a dot at the end leaves behind: `example.com.` is another name for the same peer.
    host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}

fn is_port(port: &str) -> bool {
    // Without leading zeros, so that a port has one spelling; `u16` alone would also take a sign.
    port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0') && port.parse::<u16>().is_ok()
}

/// Whether a URL parser takes the host for an IPv4 address: `127.1`, `2130706433`, `0x7f.1`, `1.2.3.0x4`
/// (URL Standard, "ends in a number checker"). No public suffix is a number.
fn ends_in_a_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
