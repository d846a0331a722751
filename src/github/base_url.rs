//! Where GitHub's REST API is: github.com, Enterprise Server or data residency. The operator's setting, never a
//! request's.

use std::fmt;

use http::Uri;

/// The base of every request to GitHub, without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

/// Not a base URL: `https` (or `http` on a loopback host), no user info, no query, a plain path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseUrlError;

impl BaseUrl {
    /// Parses the setting. A bare Enterprise Server host gets `/api/v3`, as in other clients; hosts of
    /// `api.*` (github.com, data residency) and loopback hosts do not.
    ///
    /// # Errors
    /// [`BaseUrlError`] if requests could go somewhere that the operator does not expect, or go unencrypted.
    #[inline(never)] // Most deployments set none.
    pub fn parse(text: &str) -> Result<Self, BaseUrlError> {
        let uri: Uri = text.parse().map_err(|_| BaseUrlError)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(BaseUrlError);
        };
        let host = authority.host();
        if !(scheme == "https" || (scheme == "http" && is_loopback(host)))
            || authority.as_str().contains('@')
            || uri.query().is_some()
            || text.contains('#')
        {
            return Err(BaseUrlError);
        }
        let path = uri.path().trim_end_matches('/');
        let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'-' | b'_'));
        if !plain || path.contains("//") || path.contains("..") {
            return Err(BaseUrlError);
        }
        let is_api_host = host.starts_with("api.") || host.contains(".api.") || is_loopback(host);
        let suffix = if path.is_empty() && !is_api_host { "/api/v3" } else { path };
        Ok(Self(format!("{scheme}://{authority}{suffix}")))
    }

    /// The address for browsers: `https://github.com` for `https://api.github.com`, `https://SUBDOMAIN.ghe.com` for
    /// `https://api.SUBDOMAIN.ghe.com`, and the same host for Enterprise Server.
    #[must_use]
    pub fn web(&self) -> String {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("https", &self.0));
        match rest.split_once('/') {
            Some((authority, _)) => format!("{scheme}://{authority}"),
            None => format!("{scheme}://{}", rest.strip_prefix("api.").unwrap_or(rest)),
        }
    }

    /// The text, without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for BaseUrl {
    fn default() -> Self {
        Self("https://api.github.com".to_owned())
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Only these may use `http`.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_open() {
        for (base, web) in [
            ("https://api.github.com", "https://github.com"),
            ("https://api.acme.ghe.com", "https://acme.ghe.com"),
            ("https://ghes.example.com/api/v3", "https://ghes.example.com"),
            ("https://ghes.example.com:8443", "https://ghes.example.com:8443"),
            ("https://api.example.com/api/v3", "https://api.example.com"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ] {
            assert_eq!(BaseUrl::parse(base).unwrap().web(), web);
        }
    }

    #[test]
    fn forms_of_a_base_url() {
        for (text, base) in [
            ("https://api.github.com", "https://api.github.com"),
            ("https://api.github.com/", "https://api.github.com"),
            ("https://ghes.example.com", "https://ghes.example.com/api/v3"),
            ("https://ghes.example.com/", "https://ghes.example.com/api/v3"),
            ("https://ghes.example.com/api/v3/", "https://ghes.example.com/api/v3"),
            ("https://ghes.example.com:8443/api/v3", "https://ghes.example.com:8443/api/v3"),
            ("https://api.acme.ghe.com", "https://api.acme.ghe.com"),
            ("http://127.0.0.1:4010", "http://127.0.0.1:4010"),
            ("http://[::1]:4010/", "http://[::1]:4010"),
        ] {
            assert_eq!(BaseUrl::parse(text).map(|b| b.to_string()).as_deref(), Ok(base), "{text}");
        }
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        for text in [
            "",
            "api.github.com",
            "/api",
            "http://ghes.example.com",
            "ftp://ghes.example.com",
            "https://user@ghes.example.com",
            "https://u:p@ghes.example.com",
            "https://ghes.example.com?x",
            "https://ghes.example.com/#x",
            "https://ghes.example.com/a/../b",
            "https://ghes.example.com//x",
            "https://ghes.example.com/%2e",
            "https://",
        ] {
            assert_eq!(BaseUrl::parse(text), Err(BaseUrlError), "{text}");
        }
    }
}
