//! What every request to GitHub has in common.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, StatusCode};

use crate::github::answer::{Failure, classify};
use crate::github::base_url::BaseUrl;
use crate::ports::{Fetch, Inbound, Outbound, ToGitHub};
use crate::secret::Secret;

/// The REST API version we were written against.
/// <https://docs.github.com/en/rest/about-the-rest-api/api-versions>
const X_GITHUB_API_VERSION: HeaderName = HeaderName::from_static("x-github-api-version");
const API_VERSION: &str = "2022-11-28";

const TIMEOUT: Duration = Duration::from_secs(10);

/// A request to GitHub and how its answer is read.
pub struct Call<T> {
    outbound: Result<Outbound, http::Error>,
    read: fn(StatusCode, &Bytes) -> Result<T, Failure>,
}

impl<T> Call<T> {
    /// A request with the common headers. `path` begins with `/` and is made of parsed names and numbers.
    pub(super) fn new(
        base: &BaseUrl,
        method: Method,
        path: &str,
        credential: &Secret,
        body: Option<Vec<u8>>,
        max_body: usize,
        read: fn(StatusCode, &Bytes) -> Result<T, Failure>,
    ) -> Self {
        let outbound = bearer(credential).and_then(|authorization| {
            let mut request = http::Request::builder()
                .method(method)
                .uri(format!("{base}{path}"))
                .header(ACCEPT, "application/vnd.github+json")
                .header(X_GITHUB_API_VERSION, API_VERSION)
                .header(USER_AGENT, concat!("octo-sts-worker/", env!("CARGO_PKG_VERSION")))
                .header(AUTHORIZATION, authorization)
                .extension(ToGitHub);
            if body.is_some() {
                request = request.header(CONTENT_TYPE, "application/json");
            }
            let request = request.body(body.map(Bytes::from).unwrap_or_default())?;
            Ok(Outbound { request, timeout: TIMEOUT, max_body })
        });
        Self { outbound, read }
    }

    /// Sends the request once and reads the answer.
    ///
    /// # Errors
    /// [`Failure`], whose variants are the facts a caller can act on.
    pub async fn send(self, fetch: &dyn Fetch) -> Result<T, Failure> {
        let (status, body) = answered(self.outbound, fetch).boxed_local().await?;
        (self.read)(status, &body)
    }
}

/// What does not depend on what is read: else an isolate compiles it once for each kind of answer.
async fn answered(
    outbound: Result<Outbound, http::Error>,
    fetch: &dyn Fetch,
) -> Result<(StatusCode, Bytes), Failure> {
    // Names and tokens are parsed before they come here, so an unsendable request is none of GitHub's facts.
    let outbound = outbound.map_err(|_| Failure::Unsendable)?;
    let Inbound { status, headers, body } = fetch.send(outbound).await.map_err(|_| Failure::NoAnswer)?;
    classify(status, &headers)?;
    Ok((status, body.map_err(Failure::from)?))
}

/// Marked sensitive: its `Debug` shows nothing.
fn bearer(credential: &Secret) -> Result<HeaderValue, http::Error> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", credential.expose()))?;
    value.set_sensitive(true);
    Ok(value)
}
