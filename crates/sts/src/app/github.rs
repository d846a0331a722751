//! GitHub as an App's owner sees it: its pages, and its API with the App's own key.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use octo_sts_native::{AppKey, NativeFetch};
use octo_sts_verifier::ports::{Fetch as _, FetchError, Outbound};
use octo_sts_verifier::secret::Secret;
use serde_json::Value;

use crate::files;
use crate::origin::origin;
use crate::outcome::Failure;
use crate::token;

/// GitHub answers within ten seconds, or says that it cannot.
const TIMEOUT: Duration = Duration::from_secs(20);
/// A page of a hundred installations or deliveries.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// The addresses of a GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GitHub {
    /// The address for browsers.
    pub(crate) web: String,
    /// The address of the API.
    pub(crate) api: String,
}

impl GitHub {
    /// From the address for browsers.
    pub(crate) fn of(text: &str) -> Result<Self, Failure> {
        let (scheme, authority) = origin(text).ok_or_else(|| {
            Failure::Usage(format!(
                "`{text}` is not the address of a GitHub: write `https://github.com`, without a path"
            ))
        })?;
        let web = format!("{scheme}://{authority}");
        let host = authority.host();
        let api = if host.eq_ignore_ascii_case("github.com") {
            "https://api.github.com".to_owned()
        } else if host.to_ascii_lowercase().ends_with(".ghe.com") {
            format!("https://api.{authority}")
        } else {
            format!("{web}/api/v3")
        };
        Ok(Self { web, api })
    }
}

/// GitHub's answer: the status, and its JSON if there is any.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) json: Value,

    pub(crate) headers: http::HeaderMap,
}

/// One request. `credential` is sent as a bearer token.
pub(crate) fn ask(
    fetch: &NativeFetch,
    method: &str,
    url: &str,
    credential: Option<&Secret>,
    accept: &str,
    body: Option<&Value>,
) -> Result<Answer, String> {
    let broken = |_| format!("`{url}` is not an address");
    let mut builder = http::Request::builder()
        .method(method)
        .uri(url)
        .header("accept", accept)
        .header("user-agent", concat!("octo-sts-cli/", env!("CARGO_PKG_VERSION")));
    if accept.contains("github") {
        builder = builder.header("x-github-api-version", "2022-11-28");
    }
    if let Some(credential) = credential {
        let bearer = Secret::new(format!("Bearer {}", credential.expose()));
        let mut value = http::HeaderValue::from_str(bearer.expose())
            .map_err(|_| "the credential cannot be sent".to_owned())?;
        value.set_sensitive(true);
        builder = builder.header("authorization", value);
    }
    if body.is_some() {
        builder = builder.header("content-type", "application/json");
    }
    let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
    let request = builder.body(bytes).map_err(broken)?;
    let outbound = Outbound { request, timeout: TIMEOUT, max_body: MAX_BODY };
    let inbound = pollster::block_on(fetch.send(outbound)).map_err(|error| match error {
        FetchError::Network => "it cannot be reached".to_owned(),
        FetchError::TimedOut => "it did not answer in time".to_owned(),
    })?;
    let body = inbound.body.map_err(|_| "its answer was cut short or is too large".to_owned())?;
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok(Answer { status: inbound.status.as_u16(), json, headers: inbound.headers })
}

/// The App's side of GitHub.
pub(crate) struct AsApp<'a> {
    fetch: &'a NativeFetch,
    pub(crate) github: &'a GitHub,
    jwt: Secret,
}

impl<'a> AsApp<'a> {
    /// With the key in a file, or from standard input.
    pub(crate) fn new(
        fetch: &'a NativeFetch,
        github: &'a GitHub,
        app_id: &str,
        key: &Path,
    ) -> Result<Self, Failure> {
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::Usage(format!("`{}` cannot be used: {error}", key.display()))
        };
        let pem = String::from_utf8(files::read(key)?).map_err(|_| wrong(&"it is not text"))?;
        let key = AppKey::from_pem(&Secret::new(pem)).map_err(|error| wrong(&error))?;
        let jwt = key.jwt(app_id, token::now()?).map_err(|error| Failure::Failed(error.to_string()))?;
        Ok(Self { fetch, github, jwt })
    }

    /// A request with the App's JWT.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, String> {
        self.ask_with(&self.jwt, method, path, body)
    }

    /// A request with a token of an installation.
    pub(crate) fn ask_with(
        &self,
        credential: &Secret,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let url = format!("{}{path}", self.github.api);
        ask(self.fetch, method, &url, Some(credential), "application/vnd.github+json", body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_github_has_its_api() {
        for (web, api) in [
            ("https://github.com/", "https://api.github.com"),
            ("https://octocorp.ghe.com", "https://api.octocorp.ghe.com"),
            ("https://github.acme.example:8443", "https://github.acme.example:8443/api/v3"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/api/v3"),
        ] {
            assert_eq!(GitHub::of(web).map(|github| github.api), Ok(api.to_owned()));
        }
        for wrong in [
            "github.com",
            "http://github.com",
            "https://github.com/x",
            "https://u:p@github.com",
            "https://github.com?x=1",
            "",
        ] {
            assert!(GitHub::of(wrong).is_err(), "{wrong}");
        }
    }
}
