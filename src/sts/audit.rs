//! The audit event: every exchange and every revocation ends with exactly one, whatever its outcome. It never contains
//! a token, key or secret; the hash of a token leads to its use in GitHub's own audit log.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use http::header::{HeaderMap, USER_AGENT};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::context::Context;
use crate::events;
use crate::metrics;
use crate::names::Repository;
use crate::policy::Level;
use crate::problem::Problem;
use crate::secret::Secret;
use crate::sts::parameters::Parameters;
use crate::time::Timestamp;

const MAX_USER_AGENT_CHARACTERS: usize = 256;

/// What was requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// `/sts/exchange`
    Exchange,
    /// `/sts/revoke`
    Revoke,
    /// `/sts/token`, for a session of the proxy
    Session,
}

impl EventKind {
    /// Its name in data points, and the route.
    const fn counted(self, by_token_endpoint: bool) -> (&'static str, &'static str) {
        match (self, by_token_endpoint) {
            (Self::Exchange, false) => ("exchange", "/sts/exchange"),
            (Self::Exchange, true) => ("exchange", "/sts/token"),
            (Self::Revoke, _) => ("revoke", "/sts/revoke"),
            (Self::Session, _) => ("session", "/sts/token"),
        }
    }
}

/// One event. Members are absent while unknown.
#[derive(Debug, Serialize)]
pub struct Event {
    event: EventKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'static str>,
    time: String,
    request_id: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested: Option<Requested>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) claims: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) installation_id: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) permissions: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) repositories: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<PolicyRevision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) organization: Option<OrganizationDecision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hashed_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    subrequests: u32,
}

/// The narrowing that the caller requested, unchanged.
#[derive(Debug, Serialize)]
struct Requested {
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<BTreeMap<String, Level>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repositories: Option<Vec<String>>,
}

/// Which revision of the policy decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct PolicyRevision {
    /// The git blob.
    pub(super) sha: String,
    /// How old the copy was, in seconds.
    pub(super) age: u64,
}

/// What the organization's trusted issuers said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct OrganizationDecision {
    /// `present`, `absent`, `unreadable`, `invalid` or `unknown`.
    pub(super) state: &'static str,
    /// `enforce` or `audit`, if there is a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<&'static str>,
    /// Whether the issuer is on the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listed: Option<bool>,
    /// Whether the exchange continued.
    pub(super) allowed: bool,
    /// Whether an older copy decided because the list could not be read now.
    pub(super) stale: bool,
}

impl Event {
    /// An event for which only the request is known.
    #[must_use]
    pub fn new(event: EventKind, headers: &HeaderMap, context: &Context) -> Self {
        let user_agent = headers.get(USER_AGENT).map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            text.chars().take(MAX_USER_AGENT_CHARACTERS).collect()
        });
        Self {
            event,
            endpoint: None,
            time: context.now.to_rfc3339(),
            request_id: context.request_id.to_string(),
            outcome: "",
            scope: None,
            identity: None,
            upstream: None,
            requested: None,
            issuer: None,
            subject: None,
            claims: BTreeMap::new(),
            installation_id: None,
            permissions: BTreeMap::new(),
            repositories: None,
            policy: None,
            organization: None,
            user_agent,
            token_sha256: None,
            hashed_token: None,
            expires_at: None,
            subrequests: 0,
        }
    }

    /// The request came through the token endpoint.
    #[must_use]
    pub fn by_token_endpoint(mut self) -> Self {
        self.endpoint = Some("token");
        self
    }

    /// Records that a session is requested, and for which upstream.
    pub(super) fn session_for(&mut self, upstream: &str) {
        self.event = EventKind::Session;
        self.upstream = Some(upstream.to_owned());
    }

    /// Records what is requested.
    pub(super) fn asked(&mut self, Parameters { scope, identity, narrowing }: &Parameters) {
        self.scope = Some(scope.to_string());
        self.identity = Some(identity.to_string());
        let names = |names: &[Repository]| names.iter().map(|name| name.as_str().to_owned()).collect();
        self.requested = (!narrowing.is_none()).then(|| Requested {
            permissions: narrowing.asked_permissions().cloned(),
            repositories: narrowing.asked_repositories().map(names),
        });
    }

    /// Records which session token ends, as its hash.
    pub(super) fn session_ended(&mut self, token: &str) {
        self.token_sha256 = Some(hex::encode(Sha256::digest(token.as_bytes())));
    }

    /// Records a session token, as its hash, and when it ends.
    pub(super) fn session_token(&mut self, token: &Secret, expires_at: Timestamp) {
        self.token_sha256 = Some(hex::encode(Sha256::digest(token.expose().as_bytes())));
        self.expires_at = Some(expires_at.to_rfc3339());
    }

    /// Records which token this is about, as its hash.
    pub(super) fn token(&mut self, token: &Secret) {
        let hash = Sha256::digest(token.expose().as_bytes());
        self.token_sha256 = Some(hex::encode(hash));
        self.hashed_token = Some(STANDARD.encode(hash));
    }

    /// Writes the event with its outcome, and sends it to the ingress after the answer.
    pub fn close(
        mut self,
        outcome: Result<&'static str, &Problem>,
        ingress: Option<&Uri>,
        context: &Context,
    ) {
        self.outcome = outcome.unwrap_or_else(Problem::code);
        self.subrequests = context.subrequests();
        // Strings, numbers and maps of strings always serialize.
        let line = serde_json::to_string(&self).unwrap_or_default();
        let kind = if self.event == EventKind::Session { "session" } else { "exchange" };
        let (counted, route) = self.event.counted(self.endpoint.is_some());
        metrics::write(counted, route, self.outcome, context);
        events::publish(kind, &self.time, self.scope.as_deref(), &line, ingress, context);
    }
}
