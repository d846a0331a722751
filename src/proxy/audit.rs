//! The event of a request through the proxy. It never contains a body, a query or a credential.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Uri;
use serde::Serialize;

use crate::context::Context;
use crate::events;
use crate::metrics;

const MAX_USER_AGENT_CHARACTERS: usize = 256;

/// Longer than any real path.
const MAX_PATH_CHARACTERS: usize = 2048;

/// Where so many characters end. Nearly no text has more bytes than that.
fn end_of(text: &str, characters: usize) -> usize {
    if text.len() <= characters {
        return text.len();
    }
    text.char_indices().nth(characters).map_or(text.len(), |(end, _)| end)
}

/// One event. Members are absent while unknown.
#[derive(Debug, Serialize)]
pub(super) struct Event {
    event: &'static str,
    time: String,
    request_id: String,
    upstream: String,
    method: String,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) claims: BTreeMap<String, String>,
    session: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remaining: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    subrequests: u32,
}

impl Event {
    /// An event for which only the request is known.
    pub(super) fn new(
        upstream: &str,
        method: &str,
        path: &str,
        user_agent: Option<String>,
        context: &Context,
    ) -> Self {
        Self {
            event: "proxy",
            time: context.now.to_rfc3339(),
            request_id: context.request_id.to_string(),
            upstream: upstream.to_owned(),
            method: method.to_owned(),
            path: path.get(..end_of(path, MAX_PATH_CHARACTERS)).unwrap_or_default().to_owned(),
            status: None,
            outcome: "",
            issuer: None,
            subject: None,
            claims: BTreeMap::new(),
            session: false,
            remaining: None,
            session_sha256: None,
            first_byte_ms: None,
            user_agent: user_agent.map(|mut text| {
                text.truncate(end_of(&text, MAX_USER_AGENT_CHARACTERS));
                text
            }),
            subrequests: 0,
        }
    }

    /// The session token that this is about, as its hash.
    pub(super) fn session_token(&mut self, hash: &[u8; 32]) {
        self.session = true;
        self.session_sha256 = Some(hex::encode(hash));
    }

    /// How long the answer's head took.
    pub(super) fn first_byte(&mut self, after: Duration) {
        self.first_byte_ms = u64::try_from(after.as_millis()).ok();
    }

    /// Writes the event, and sends it to the ingress after the answer.
    pub(super) fn close(mut self, outcome: &'static str, ingress: Option<&Uri>, context: &Context) {
        self.outcome = outcome;
        self.subrequests = context.subrequests();
        metrics::write("proxy", "/proxy", outcome, context);
        // Strings, numbers and maps of strings always serialize.
        let line = serde_json::to_string(&self).unwrap_or_default();
        events::publish("proxy", &self.time, Some(&self.upstream), &line, ingress, context);
    }
}
