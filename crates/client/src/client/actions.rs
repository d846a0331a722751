//! The OIDC token of a GitHub Actions job.

use std::sync::Arc;

use http::Method;
use octo_sts_verifier::secret::Secret;

use super::call::{Call, Way, encoded, is_safe, object, token};
use super::error::ClientError;
use crate::flight::on_a_thread;
use crate::transport::{NativeTransport, Transport};

const URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// The job's OIDC token for `audience`. The runner sets `ACTIONS_ID_TOKEN_REQUEST_URL` and
/// `ACTIONS_ID_TOKEN_REQUEST_TOKEN` if the workflow has `permissions: id-token: write`.
///
/// ```no_run
/// # async fn example() -> Result<(), octo_sts::client::ClientError> {
/// let token = octo_sts::actions::id_token("api.example.com").await?;
/// let authorization = format!("Bearer {}", token.expose());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ClientError::NotInAJob`] if these are not set, and the other variants of [`ClientError`].
pub async fn id_token(audience: &str) -> Result<Secret, ClientError> {
    let audience = audience.to_owned();
    on_a_thread(move || id_token_blocking(&audience)).await.unwrap_or(Err(ClientError::NoAnswer))
}

/// As [`id_token`]; waits on the calling thread.
///
/// ```no_run
/// let token = octo_sts::actions::id_token_blocking("api.example.com")?;
/// # Ok::<(), octo_sts::client::ClientError>(())
/// ```
///
/// # Errors
/// As [`id_token`].
pub fn id_token_blocking(audience: &str) -> Result<Secret, ClientError> {
    let variable = |name: &str| std::env::var(name).ok();
    id_token_from(audience, &variable, Arc::new(NativeTransport::default()))
}

/// As [`id_token_blocking`], with an environment and a way to the network of your own.
///
/// ```
/// use std::sync::Arc;
/// use octo_sts::{FetchError, Inbound, Outbound, Transport, actions};
///
/// struct Runner;
///
/// impl Transport for Runner {
///     fn send(&self, outbound: Outbound) -> Result<Inbound, FetchError> {
///         assert_eq!(outbound.request.uri().query(), Some("api-version=2.0&audience=api.example.com"));
///         let body = Ok(r#"{"value": "the.oidc.token"}"#.into());
///         Ok(Inbound { status: http::StatusCode::OK, headers: http::HeaderMap::new(), body })
///     }
/// }
///
/// let variable = |name: &str| match name {
///     "ACTIONS_ID_TOKEN_REQUEST_URL" => Some("https://runner.example.com/token?api-version=2.0".to_owned()),
///     "ACTIONS_ID_TOKEN_REQUEST_TOKEN" => Some("runner-token".to_owned()),
///     _ => None,
/// };
/// let token = actions::id_token_from("api.example.com", &variable, Arc::new(Runner))?;
/// assert_eq!(token.expose(), "the.oidc.token");
/// # Ok::<(), octo_sts::client::ClientError>(())
/// ```
///
/// # Errors
/// As [`id_token`].
pub fn id_token_from(
    audience: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    transport: Arc<dyn Transport>,
) -> Result<Secret, ClientError> {
    ask(audience, variable, &Way::new(transport))
}

fn ask(audience: &str, variable: &dyn Fn(&str) -> Option<String>, way: &Way) -> Result<Secret, ClientError> {
    if audience.is_empty() {
        return Err(ClientError::Input(
            "the audience is empty; name the service that the token is for".to_owned(),
        ));
    }
    let needed = |name: &'static str| {
        variable(name).filter(|value| !value.is_empty()).ok_or(ClientError::NotInAJob(name))
    };
    let (url, bearer) = (needed(URL)?, Secret::new(needed(TOKEN)?));
    if !is_safe(&url) {
        return Err(ClientError::Input(format!("`{URL}` is not an https address")));
    }
    // The runner's address already has a query; another server's may not.
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}audience={}", encoded(audience));
    let call = Call { method: Method::GET, url, bearer: Some(bearer), body: None };
    let (_, body) = way.send(&call)?;
    token(&mut object(&body)?, "value")
}
