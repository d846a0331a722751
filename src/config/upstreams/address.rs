//! Where an upstream is: the operator's setting, never a request's.

use std::borrow::Cow;

use crate::federation::address::taken_apart;

/// An upstream's address: an origin and a path prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    origin: String,
    /// Empty, or begins with a slash and does not end with one.
    path: String,
}

impl Address {
    /// Reads the setting. One trailing slash is dropped.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, domain: &str, allow_loopback_http: bool) -> Result<Self, Cow<'static, str>> {
        let (origin, path) = taken_apart(text, domain, allow_loopback_http)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        // Request paths are appended to it, and redirects are compared with it, so it has only one spelling.
        if path.contains(['%', '\'']) || path.ends_with('/') {
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
