//! `scheme://host[:port]` of an issuer or its key set, and the rules about hosts that both obey. Text that two URL
//! parsers could read differently is refused, so that the address checked here is the one fetched later.
//!
//! Written by hand instead of using the `url` crate, which normalizes, exactly what must not happen to an issuer, and
//! adds 79 KB to the Worker.

use std::net::Ipv6Addr;

use super::issuer::{IssuerRule, IssuerRules};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Https,
    Http,
}

/// A split address; every part is unchanged.
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
    /// Splits an address. The tail is not checked.
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

    /// Whether both have the same peer.
    pub(super) fn is_same_origin(&self, other: &Endpoint<'_>) -> bool {
        self.scheme == other.scheme
            && self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(self.default_port()) == other.port.unwrap_or(other.default_port())
    }

    /// The service is never its own relying party, whatever a list says; otherwise, one token could be turned into
    /// another. In development, a loopback host may be shared with an issuer.
    pub(super) fn check_not_own(&self, rules: &IssuerRules) -> Result<(), IssuerRule> {
        let shared = rules.allow_loopback_http && self.is_loopback();
        let is_own = self.host.eq_ignore_ascii_case(&rules.own_domain);
        if is_own && !shared { Err(IssuerRule::OwnDomain) } else { Ok(()) }
    }

    /// Keeps a token from pointing this server at anything but a public issuer, such as a private network (SSRF) or the
    /// server itself.
    pub(super) fn check_reach(&self, rules: &IssuerRules) -> Result<(), IssuerRule> {
        self.check_not_own(rules)?;
        if rules.allow_loopback_http && self.is_loopback() {
            return Ok(());
        }
        if self.scheme != Scheme::Https {
            return Err(IssuerRule::Scheme);
        }
        // The setting is for development, where issuers listen on any free port.
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
    // A trailing dot also leaves an empty label: `example.com.` is another name for the same peer.
    host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}

fn is_port(port: &str) -> bool {
    // Without leading zeros, so that a port has one spelling; `u16` alone would also accept a sign.
    port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0') && port.parse::<u16>().is_ok()
}

/// Whether a URL parser reads the host as an IPv4 address: `127.1`, `2130706433`, `0x7f.1`, `1.2.3.0x4`
/// (URL Standard, "ends in a number checker"). No public suffix is a number.
fn ends_in_a_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
