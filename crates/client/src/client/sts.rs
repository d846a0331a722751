//! The service: exchange, session, revocation.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use octo_sts_verifier::secret::Secret;
use serde_json::{Map, Value, json};

use super::call::{Call, Way, encoded, is_safe, object, token};
use super::error::ClientError;
use crate::flight::on_a_thread;
use crate::transport::{NativeTransport, Transport};

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// A deployment of the service.
///
/// ```no_run
/// use octo_sts::actions;
/// use octo_sts::client::{Exchange, Sts};
///
/// # async fn example() -> Result<(), octo_sts::client::ClientError> {
/// let sts = Sts::new("sts.example.com")?;
/// let oidc = actions::id_token(sts.audience()).await?;
/// let github = sts.exchange(&Exchange::new("acme/app", "deploy"), &oidc).await?;
/// let session = sts.session("anthropic", &actions::id_token(&sts.audience_of("anthropic")).await?).await?;
/// for token in [&github.token, &session.token] {
///     sts.revoke(token).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sts {
    base: String,
    way: Way,
}

/// The requested token: what a policy grants, or less.
///
/// ```
/// use octo_sts::client::Exchange;
/// let exchange = Exchange::new("acme", "release").permission("contents", "read").repository("app");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    scope: String,
    identity: String,
    permissions: BTreeMap<String, String>,
    repositories: Vec<String>,
}

impl Exchange {
    /// The token that the policy `identity` of `scope` (`owner/repo` or `owner`) grants.
    #[must_use]
    pub fn new(scope: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            scope: scope.into(),
            identity: identity.into(),
            permissions: BTreeMap::new(),
            repositories: Vec::new(),
        }
    }

    /// Requests only these permissions, out of those that the policy grants; may be called several times.
    #[must_use]
    pub fn permission(mut self, name: impl Into<String>, level: impl Into<String>) -> Self {
        self.permissions.insert(name.into(), level.into());
        self
    }

    /// Requests only these repositories, out of those that the policy covers; may be called several times.
    #[must_use]
    pub fn repository(mut self, name: impl Into<String>) -> Self {
        self.repositories.push(name.into());
        self
    }

    fn body(&self) -> String {
        let mut body = Map::new();
        body.insert("scope".to_owned(), self.scope.as_str().into());
        body.insert("identity".to_owned(), self.identity.as_str().into());
        if !self.permissions.is_empty() {
            body.insert("permissions".to_owned(), json!(self.permissions));
        }
        if !self.repositories.is_empty() {
            body.insert("repositories".to_owned(), json!(self.repositories));
        }
        Value::Object(body).to_string()
    }
}

/// A token for GitHub's API.
#[derive(Debug)]
#[non_exhaustive]
pub struct GitHubToken {
    /// The token.
    pub token: Secret,
    /// When it expires (RFC 3339).
    pub expires_at: String,
    /// What it may do.
    pub permissions: BTreeMap<String, String>,
    /// Where; `None` for every repository of the installation.
    pub repositories: Option<Vec<String>>,
    /// The id by which the operator finds the exchange.
    pub request_id: String,
}

/// A session token of the proxy.
#[derive(Debug)]
#[non_exhaustive]
pub struct SessionToken {
    /// The token.
    pub token: Secret,
    /// How long it is valid.
    pub expires_in: Duration,
    /// The id by which the operator finds it.
    pub request_id: String,
}

impl fmt::Debug for Sts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sts").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Sts {
    /// The service at this domain. `http://` and a port are for a service on this machine.
    ///
    /// # Errors
    /// [`ClientError::Input`] if the text is not a domain, or a token would leave the machine without TLS.
    pub fn new(domain: &str) -> Result<Self, ClientError> {
        Self::with_transport(domain, Arc::new(NativeTransport::default()))
    }

    /// Like [`Sts::new`], with your own transport.
    ///
    /// # Errors
    /// As [`Sts::new`].
    pub fn with_transport(domain: &str, transport: Arc<dyn Transport>) -> Result<Self, ClientError> {
        let base = if domain.contains("://") { domain.to_owned() } else { format!("https://{domain}") };
        let base = base.strip_suffix('/').unwrap_or(&base).to_owned();
        let is_bare = base.split_once("://").is_some_and(|(_, rest)| !rest.contains(['/', '?', '#']));
        if !is_bare || !is_safe(&base) {
            let message = "the domain of the service is not a host name such as `sts.example.com`";
            return Err(ClientError::Input(message.to_owned()));
        }
        Ok(Self { base, way: Way::new(transport) })
    }

    /// Exchanges an OIDC token for a GitHub token.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn exchange(&self, exchange: &Exchange, oidc: &Secret) -> Result<GitHubToken, ClientError> {
        let (this, exchange, oidc) = (self.clone(), exchange.clone(), again(oidc));
        on_a_thread(move || this.exchange_blocking(&exchange, &oidc))
            .await
            .unwrap_or(Err(ClientError::NoAnswer))
    }

    /// As [`Sts::exchange`]; waits on the calling thread.
    ///
    /// # Errors
    /// As [`Sts::exchange`].
    pub fn exchange_blocking(&self, exchange: &Exchange, oidc: &Secret) -> Result<GitHubToken, ClientError> {
        let call = Call {
            method: Method::POST,
            url: format!("{}/sts/exchange", self.base),
            bearer: Some(again(oidc)),
            body: Some(("application/json", Secret::new(exchange.body()))),
        };
        let (_, body) = self.way.send(&call)?;
        let mut answer = object(&body)?;
        Ok(GitHubToken {
            token: token(&mut answer, "token")?,
            expires_at: text(&answer, "expires_at"),
            permissions: texts(answer.get("permissions")),
            repositories: answer
                .get("repositories")
                .and_then(Value::as_array)
                .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
            request_id: text(&answer, "request_id"),
        })
    }

    /// Exchanges an OIDC token for a session token of the proxy's `upstream`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn session(&self, upstream: &str, oidc: &Secret) -> Result<SessionToken, ClientError> {
        let (this, upstream, oidc) = (self.clone(), upstream.to_owned(), again(oidc));
        on_a_thread(move || this.session_blocking(&upstream, &oidc))
            .await
            .unwrap_or(Err(ClientError::NoAnswer))
    }

    /// As [`Sts::session`]; waits on the calling thread.
    ///
    /// # Errors
    /// As [`Sts::session`].
    pub fn session_blocking(&self, upstream: &str, oidc: &Secret) -> Result<SessionToken, ClientError> {
        let form = [
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", oidc.expose()),
            ("subject_token_type", ID_TOKEN),
            ("resource", &self.audience_of(upstream)),
        ]
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .join("&");
        let call = Call {
            method: Method::POST,
            url: format!("{}/sts/token", self.base),
            bearer: None,
            body: Some(("application/x-www-form-urlencoded", Secret::new(form))),
        };
        let (_, body) = self.way.send(&call)?;
        let mut answer = object(&body)?;
        Ok(SessionToken {
            token: token(&mut answer, "access_token")?,
            expires_in: answer
                .get("expires_in")
                .and_then(Value::as_u64)
                .map(Duration::from_secs)
                .unwrap_or_default(),
            request_id: text(&answer, "request_id"),
        })
    }

    /// The audience of tokens for an exchange, unless the policy names another: the service's domain.
    #[must_use]
    pub fn audience(&self) -> &str {
        self.base.split_once("://").map_or(&self.base, |(_, host)| host)
    }

    /// The audience of tokens for the proxy's `upstream`, and the `resource` of its sessions.
    #[must_use]
    pub fn audience_of(&self, upstream: &str) -> String {
        format!("{}/proxy/{upstream}", self.base)
    }

    /// Revokes a GitHub token or a session token. Revoking a token that no longer works is not an error.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn revoke(&self, token: &Secret) -> Result<(), ClientError> {
        let (this, token) = (self.clone(), again(token));
        on_a_thread(move || this.revoke_blocking(&token)).await.unwrap_or(Err(ClientError::NoAnswer))
    }

    /// As [`Sts::revoke`]; waits on the calling thread.
    ///
    /// # Errors
    /// As [`Sts::revoke`].
    pub fn revoke_blocking(&self, token: &Secret) -> Result<(), ClientError> {
        let call = Call {
            method: Method::POST,
            url: format!("{}/sts/revoke", self.base),
            bearer: Some(again(token)),
            body: None,
        };
        match self.way.send(&call)? {
            (StatusCode::NO_CONTENT, _) => Ok(()),
            _ => Err(ClientError::Unreadable),
        }
    }
}

/// A secret has no `Clone`, so that every copy is visible in review: this one goes to another thread, or into a
/// request.
fn again(secret: &Secret) -> Secret {
    Secret::new(secret.expose().to_owned())
}

fn text(answer: &Map<String, Value>, name: &str) -> String {
    answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn texts(value: Option<&Value>) -> BTreeMap<String, String> {
    let members = value.and_then(Value::as_object).into_iter().flatten();
    members.filter_map(|(name, level)| Some((name.clone(), level.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_a_host() {
        for (domain, base) in [
            ("sts.example.com", "https://sts.example.com"),
            ("https://sts.example.com/", "https://sts.example.com"),
            ("http://127.0.0.1:8787", "http://127.0.0.1:8787"),
        ] {
            let sts = Sts::new(domain).unwrap();
            assert_eq!((sts.base.as_str(), sts.audience()), (base, base.rsplit('/').next().unwrap()));
        }
        for bad in
            ["", "sts.example.com/x", "http://sts.example.com", "a b", "https://a?b", "user@sts.example.com"]
        {
            assert!(matches!(Sts::new(bad), Err(ClientError::Input(_))), "{bad}");
        }
    }
}
