//! Where an upstream is: the operator's setting, never a request's.

use std::borrow::Cow;

use crate::oidc::{Issuer, IssuerRules};

/// Longer than any API's prefix.
const MAX_PATH: usize = 1024;

/// An upstream's address: an origin and a path prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    origin: String,
    /// Empty, or begins with a slash and does not end with one.
    path: String,
}

impl Address {
    /// Reads the setting: https, the rules about hosts of issuers (nothing inside of a network, never this service), a
    /// plain path, nothing else. One trailing slash is dropped.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, domain: &str, allow_loopback_http: bool) -> Result<Self, Cow<'static, str>> {
        if text.contains(['?', '#']) {
            return Err("it has a query or a fragment".into());
        }
        let authority = text.find("://").map_or(0, |scheme| scheme + 3);
        let path = text.get(authority..).and_then(|rest| rest.find('/'));
        let (origin, path) =
            text.split_at_checked(path.map_or(text.len(), |at| authority + at)).unwrap_or((text, ""));
        let rules = IssuerRules { allowed: None, own_domain: domain.to_owned(), allow_loopback_http };
        Issuer::parse(origin, &rules).map_err(|error| Cow::Owned(error.rule().to_string()))?;
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.len() > MAX_PATH || !is_path(path) {
            return Err("its path has a character or a segment that is not allowed".into());
        }
        Ok(Self { origin: origin.to_ascii_lowercase(), path: path.to_owned() })
    }

    /// Scheme and authority, in lower case.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The prefix: empty, or with a leading slash and without a trailing one.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// What two readers could take for two paths is refused.
fn is_path(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&()*+,;=:@".contains(&byte);
    let mut segments = path.split('/');
    path.bytes().all(is_plain)
        && segments.next() == Some("")
        && segments.all(|segment| !segment.is_empty() && !segment.bytes().all(|byte| byte == b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_origin_and_a_prefix() {
        for (text, origin, path) in [
            ("https://api.example.com", "https://api.example.com", ""),
            ("https://API.example.com/", "https://api.example.com", ""),
            ("https://api.example.com/v1/a.b", "https://api.example.com", "/v1/a.b"),
            ("https://api.example.com/v1/", "https://api.example.com", "/v1"),
        ] {
            let address = Address::parse(text, "sts.example.com", false).unwrap();
            assert_eq!((address.origin(), address.path()), (origin, path), "{text}");
        }
        assert!(Address::parse("http://127.0.0.1:8080/v1", "sts.example.com", true).is_ok());
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "api.example.com",
            "http://api.example.com",
            "https://api.example.com?x",
            "https://api.example.com/#x",
            "https://user@api.example.com",
            "https://api.example.com:8443",
            "https://127.0.0.1",
            "https://localhost",
            "https://sts.example.com/sts",
            "https://STS.example.com",
            "https://api.example.com//",
            "https://api.example.com/a//b",
            "https://api.example.com/../b",
            "https://api.example.com/%2e/b",
            "https://api.example.com/a b",
            "https://api.example.com/a\\b",
        ] {
            assert!(Address::parse(text, "sts.example.com", false).is_err(), "{text}");
        }
    }
}
