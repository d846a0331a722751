//! A delivery's body: what of it is used, and nothing else. GitHub adds members as it likes; one that is used has to be
//! there and be what it is.
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads>

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::github::CommitSha;
use crate::sts::{Problem, form_decoded};

/// The event's JSON, out of either form that GitHub sends.
pub(super) fn json(headers: &HeaderMap, body: &Bytes) -> Result<Bytes, Problem> {
    match media_type(headers).as_deref() {
        Some("application/json") => Ok(body.clone()),
        Some("application/x-www-form-urlencoded") => from_form(body),
        _ => Err(Problem::UnsupportedMediaType("application/json or application/x-www-form-urlencoded")),
    }
}

/// Without its parameters, of which neither type has one that matters (RFC 8259, 11).
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next()?.trim().to_ascii_lowercase())
}

fn from_form(body: &Bytes) -> Result<Bytes, Problem> {
    let no_payload =
        || Problem::InvalidRequest("the form has no member `payload`, or more than one".to_owned());
    let text = std::str::from_utf8(body).map_err(|_| no_payload())?;
    let mut payloads = text.split('&').filter_map(|pair| pair.strip_prefix("payload="));
    let (Some(payload), None) = (payloads.next(), payloads.next()) else { return Err(no_payload()) };
    form_decoded(payload).map(Bytes::from).ok_or_else(no_payload)
}

/// Reads what is used of an event.
pub(super) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Problem> {
    // Neither serde's words nor the body are repeated: the one says nothing to GitHub, the other is not ours.
    serde_json::from_slice(json)
        .map_err(|_| Problem::InvalidRequest("the body is not the event's json".to_owned()))
}

/// What every event has, as far as it has it.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope {
    pub(super) action: Option<String>,
    pub(super) repository: Option<RepositoryMember>,
    pub(super) installation: Option<InstallationMember>,
    pub(super) sender: Option<Sender>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RepositoryMember {
    pub(super) id: Option<u64>,
    pub(super) name: Option<String>,
    pub(super) owner: Account,
    pub(super) default_branch: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Account {
    pub(super) login: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct InstallationMember {
    pub(super) id: u64,
    /// Only where the event is about the installation itself.
    pub(super) account: Option<Account>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Sender {
    login: String,
    r#type: Option<String>,
}

impl Sender {
    /// An App or Actions, whose check runs would otherwise answer each other.
    pub(super) fn is_bot(&self) -> bool {
        self.r#type.as_deref() == Some("Bot") || self.login.ends_with("[bot]")
    }
}

/// A commit's id in a payload.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Sha(pub(super) CommitSha);

impl TryFrom<String> for Sha {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        text.parse().map(Self).map_err(|_| "not a commit's id")
    }
}

/// `push`
#[derive(Debug, Deserialize)]
pub(super) struct Push {
    /// `refs/heads/…` or `refs/tags/…`.
    pub(super) r#ref: Option<String>,
    pub(super) before: Sha,
    pub(super) after: Sha,
    #[serde(default)]
    pub(super) deleted: bool,
    /// The branch does not go on from `before`.
    #[serde(default)]
    pub(super) forced: bool,
    #[serde(default)]
    pub(super) commits: Vec<PushedCommit>,
}

/// A commit of a push, and the paths that it touched.
#[derive(Debug, Deserialize)]
pub(super) struct PushedCommit {
    #[serde(default)]
    pub(super) added: Vec<String>,
    #[serde(default)]
    pub(super) modified: Vec<String>,
    #[serde(default)]
    pub(super) removed: Vec<String>,
}

/// `pull_request`
#[derive(Debug, Deserialize)]
pub(super) struct PullRequestEvent {
    pub(super) number: u64,
    pub(super) pull_request: PullRequest,
}

#[derive(Debug, Deserialize)]
pub(super) struct PullRequest {
    pub(super) head: Tip,
    pub(super) base: Option<Tip>,
    pub(super) changed_files: Option<usize>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tip {
    pub(super) sha: Sha,
    pub(super) repo: Option<RepositoryId>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RepositoryId {
    pub(super) id: Option<u64>,
}

/// `check_suite`
#[derive(Debug, Deserialize)]
pub(super) struct CheckSuiteEvent {
    pub(super) check_suite: CheckSuite,
}

/// `check_run`
#[derive(Debug, Deserialize)]
pub(super) struct CheckRunEvent {
    pub(super) check_run: CheckRunMember,
}

#[derive(Debug, Deserialize)]
pub(super) struct CheckRunMember {
    pub(super) name: Option<String>,
    pub(super) check_suite: CheckSuite,
}

#[derive(Debug, Deserialize)]
pub(super) struct CheckSuite {
    pub(super) head_sha: Sha,
    /// `None` for a commit that is only on a fork.
    pub(super) head_branch: Option<String>,
    /// `None` where GitHub does not know it; zeros for a new branch.
    pub(super) before: Option<Sha>,
    #[serde(default)]
    pub(super) pull_requests: Vec<LinkedPullRequest>,
}

/// A pull request whose head is the suite's commit. It may be one of another repository of the network.
#[derive(Debug, Deserialize)]
pub(super) struct LinkedPullRequest {
    pub(super) number: u64,
    pub(super) base: Option<Tip>,
}

impl LinkedPullRequest {
    /// Whether it is a pull request of that repository, as far as either is known.
    pub(super) fn is_of(&self, repository: Option<u64>) -> bool {
        let base = self.base.as_ref().and_then(|base| base.repo.as_ref()?.id);
        match (base, repository) {
            (Some(base), Some(repository)) => base == repository,
            (None, _) | (_, None) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: Option<&str>, body: &str) -> Result<String, Problem> {
        let headers = content_type.map(|value| (CONTENT_TYPE, value.parse().unwrap())).into_iter().collect();
        json(&headers, &Bytes::copy_from_slice(body.as_bytes()))
            .map(|json| String::from_utf8(json.to_vec()).unwrap())
    }

    #[test]
    fn both_of_githubs_forms_are_read() {
        let wanted = Ok(r#"{"a":"é +"}"#.to_owned());
        for content_type in ["application/json", "Application/JSON; charset=utf-8"] {
            assert_eq!(read(Some(content_type), r#"{"a":"é +"}"#), wanted);
        }
        let form = "payload=%7B%22a%22%3A%22%C3%A9+%2B%22%7D";
        assert_eq!(read(Some("application/x-www-form-urlencoded"), form), wanted);
        assert_eq!(read(Some("application/x-www-form-urlencoded"), &format!("x=1&{form}")), wanted);
    }

    #[test]
    fn another_type_is_not_read() {
        for content_type in
            [None, Some(""), Some("text/json"), Some("multipart/form-data"), Some("application/jsonx")]
        {
            assert!(
                matches!(read(content_type, "{}"), Err(Problem::UnsupportedMediaType(_))),
                "{content_type:?}"
            );
        }
    }

    #[test]
    fn a_form_has_one_payload() {
        for form in ["", "x=1", "payload", "payload=%7", "payload=%ff", "payload={}&payload={}"] {
            let read = read(Some("application/x-www-form-urlencoded"), form);
            assert!(matches!(read, Err(Problem::InvalidRequest(_))), "{form}");
        }
    }

    #[test]
    fn robots_are_known_by_type_or_name() {
        let is_bot = |json: &str| serde_json::from_str::<Sender>(json).unwrap().is_bot();
        assert!(is_bot(r#"{"login":"x","type":"Bot"}"#) && is_bot(r#"{"login":"x[bot]"}"#));
        assert!(!is_bot(r#"{"login":"bot","type":"User"}"#));
    }
}
