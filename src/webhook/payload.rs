//! A delivery's body: only the members that are used. GitHub may add members; those that are used must be present and
//! valid.
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads>

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::github::CommitSha;
use crate::json::{FromJson, Object, Shape, Unfit, read_members};
use crate::problem::Problem;
use crate::sts::form_decoded;

/// The event's JSON, from either content type that GitHub sends.
pub(super) fn json(headers: &HeaderMap, body: &Bytes) -> Result<Bytes, Problem> {
    match media_type(headers).as_deref() {
        Some("application/json") => Ok(body.clone()),
        Some("application/x-www-form-urlencoded") => from_form(body),
        _ => Err(Problem::UnsupportedMediaType("application/json or application/x-www-form-urlencoded")),
    }
}

/// Without its parameters, none of which matter for either type (RFC 8259, 11).
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

/// Reads the used members of an event.
pub(super) fn parse<T: Payload>(json: &[u8]) -> Result<T, Problem> {
    // The details are not reported, because GitHub has no use for them.
    read_members(json, T::SHAPE)
        .map_err(|_| Problem::InvalidRequest("the body is not the event's json".to_owned()))
}

/// A whole body, of which only these members are kept, because deliveries have up to 25 MB.
pub(super) trait Payload: FromJson {
    const SHAPE: Shape;
}

/// The common members of events, if present.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) action: Option<String>,
    pub(super) repository: Option<RepositoryMember>,
    pub(super) installation: Option<InstallationMember>,
    pub(super) sender: Option<Sender>,
    pub(super) changes: Option<EditedMember>,
}

/// What an edit changed, if relevant.
#[derive(Debug)]
pub(super) struct EditedMember {
    /// The pull request's base branch.
    pub(super) base: bool,
}

impl FromJson for EditedMember {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut changes = Object::from_json(json)?;
        Ok(Self { base: changes.take_optional::<Value>("base")?.is_some() })
    }
}

impl Payload for Envelope {
    const SHAPE: Shape = Shape(&[
        ("action", Shape::ALL),
        (
            "repository",
            Shape(&[
                ("id", Shape::ALL),
                ("name", Shape::ALL),
                ("owner", ACCOUNT),
                ("default_branch", Shape::ALL),
            ]),
        ),
        ("installation", Shape(&[("id", Shape::ALL), ("account", ACCOUNT)])),
        ("sender", Shape(&[("login", Shape::ALL), ("type", Shape::ALL)])),
        ("changes", Shape(&[("base", Shape(&[("ref", Shape::ALL)]))])),
    ]);
}

const ACCOUNT: Shape = Shape(&[("login", Shape::ALL)]);

impl FromJson for Envelope {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut event = Object::from_json(json)?;
        Ok(Self {
            action: event.take_optional("action")?,
            repository: event.take_optional("repository")?,
            installation: event.take_optional("installation")?,
            sender: event.take_optional("sender")?,
            changes: event.take_optional("changes")?,
        })
    }
}

#[derive(Debug)]
pub(super) struct RepositoryMember {
    pub(super) id: Option<u64>,
    pub(super) name: Option<String>,
    pub(super) owner: Account,
    pub(super) default_branch: Option<String>,
}

impl FromJson for RepositoryMember {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut repository = Object::from_json(json)?;
        Ok(Self {
            id: repository.take_optional("id")?,
            name: repository.take_optional("name")?,
            owner: repository.take("owner")?,
            default_branch: repository.take_optional("default_branch")?,
        })
    }
}

#[derive(Debug)]
pub(super) struct Account {
    pub(super) login: String,
}

impl FromJson for Account {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut account = Object::from_json(json)?;
        Ok(Self { login: account.take("login")? })
    }
}

#[derive(Debug)]
pub(super) struct InstallationMember {
    pub(super) id: u64,
    /// Only if the event is about the installation itself.
    pub(super) account: Option<Account>,
}

impl FromJson for InstallationMember {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut installation = Object::from_json(json)?;
        Ok(Self { id: installation.take("id")?, account: installation.take_optional("account")? })
    }
}

#[derive(Debug)]
pub(super) struct Sender {
    login: String,
    r#type: Option<String>,
}

impl FromJson for Sender {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut sender = Object::from_json(json)?;
        Ok(Self { login: sender.take("login")?, r#type: sender.take_optional("type")? })
    }
}

impl Sender {
    /// An App or Actions, whose check runs would otherwise answer each other.
    pub(super) fn is_bot(&self) -> bool {
        self.r#type.as_deref() == Some("Bot") || self.login.ends_with("[bot]")
    }
}

/// A commit's id in a payload.
#[derive(Debug, Clone)]
pub(super) struct Sha(pub(super) CommitSha);

impl FromJson for Sha {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        json.as_str().and_then(|text| text.parse().ok()).map(Self).ok_or(Unfit)
    }
}

/// `push`
#[derive(Debug)]
pub(super) struct Push {
    /// `refs/heads/…` or `refs/tags/…`.
    pub(super) r#ref: Option<String>,
    pub(super) before: Sha,
    pub(super) after: Sha,
    pub(super) deleted: bool,
    /// The branch does not continue from `before`.
    pub(super) forced: bool,
    pub(super) commits: Vec<PushedCommit>,
}

impl Payload for Push {
    const SHAPE: Shape = Shape(&[
        ("ref", Shape::ALL),
        ("before", Shape::ALL),
        ("after", Shape::ALL),
        ("deleted", Shape::ALL),
        ("forced", Shape::ALL),
        ("commits", Shape(&[("added", Shape::ALL), ("modified", Shape::ALL), ("removed", Shape::ALL)])),
    ]);
}

impl FromJson for Push {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut push = Object::from_json(json)?;
        Ok(Self {
            r#ref: push.take_optional("ref")?,
            before: push.take("before")?,
            after: push.take("after")?,
            deleted: push.take_or_default("deleted")?,
            forced: push.take_or_default("forced")?,
            commits: push.take_or_default("commits")?,
        })
    }
}

/// A commit of a push, and the paths that it touched.
#[derive(Debug)]
pub(super) struct PushedCommit {
    pub(super) added: Vec<String>,
    pub(super) modified: Vec<String>,
    pub(super) removed: Vec<String>,
}

impl FromJson for PushedCommit {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut commit = Object::from_json(json)?;
        Ok(Self {
            added: commit.take_or_default("added")?,
            modified: commit.take_or_default("modified")?,
            removed: commit.take_or_default("removed")?,
        })
    }
}

/// `pull_request`
#[derive(Debug)]
pub(super) struct PullRequestEvent {
    pub(super) number: u64,
    pub(super) pull_request: PullRequest,
}

impl Payload for PullRequestEvent {
    const SHAPE: Shape = Shape(&[
        ("number", Shape::ALL),
        ("pull_request", Shape(&[("head", TIP), ("base", TIP), ("changed_files", Shape::ALL)])),
    ]);
}

pub(super) const TIP: Shape = Shape(&[("sha", Shape::ALL), ("repo", Shape(&[("id", Shape::ALL)]))]);

impl FromJson for PullRequestEvent {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut event = Object::from_json(json)?;
        Ok(Self { number: event.take("number")?, pull_request: event.take("pull_request")? })
    }
}

#[derive(Debug)]
pub(super) struct PullRequest {
    pub(super) head: Tip,
    pub(super) base: Option<Tip>,
    pub(super) changed_files: Option<usize>,
}

impl FromJson for PullRequest {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut pull = Object::from_json(json)?;
        Ok(Self {
            head: pull.take("head")?,
            base: pull.take_optional("base")?,
            changed_files: pull.take_optional("changed_files")?,
        })
    }
}

#[derive(Debug)]
pub(super) struct Tip {
    pub(super) sha: Sha,
    pub(super) repo: Option<RepositoryId>,
}

impl FromJson for Tip {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut tip = Object::from_json(json)?;
        Ok(Self { sha: tip.take("sha")?, repo: tip.take_optional("repo")? })
    }
}

#[derive(Debug)]
pub(super) struct RepositoryId {
    pub(super) id: Option<u64>,
}

impl PullRequest {
    /// Its head is in another repository, or in a deleted one. If GitHub does not say, a stranger's repository is
    /// assumed.
    pub(super) fn is_of_a_fork(&self) -> bool {
        let id = |tip: &Tip| tip.repo.as_ref().and_then(|repository| repository.id);
        match (id(&self.head), self.base.as_ref().and_then(id)) {
            (Some(head), Some(base)) => head != base,
            (None, _) | (_, None) => true,
        }
    }
}

impl FromJson for RepositoryId {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut repository = Object::from_json(json)?;
        Ok(Self { id: repository.take_optional("id")? })
    }
}

/// `merge_group`
#[derive(Debug)]
pub(super) struct MergeGroupEvent {
    pub(super) merge_group: MergeGroup,
}

impl Payload for MergeGroupEvent {
    const SHAPE: Shape =
        Shape(&[("merge_group", Shape(&[("head_sha", Shape::ALL), ("base_sha", Shape::ALL)]))]);
}

impl FromJson for MergeGroupEvent {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut event = Object::from_json(json)?;
        Ok(Self { merge_group: event.take("merge_group")? })
    }
}

/// Pull requests that wait to be merged together, as one commit.
#[derive(Debug)]
pub(super) struct MergeGroup {
    pub(super) head_sha: Sha,
    pub(super) base_sha: Sha,
}

impl FromJson for MergeGroup {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut group = Object::from_json(json)?;
        Ok(Self { head_sha: group.take("head_sha")?, base_sha: group.take("base_sha")? })
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
        let is_bot = |json: &str| read_members::<Sender>(json.as_bytes(), Shape::ALL).unwrap().is_bot();
        assert!(is_bot(r#"{"login":"x","type":"Bot"}"#) && is_bot(r#"{"login":"x[bot]"}"#));
        assert!(!is_bot(r#"{"login":"bot","type":"User"}"#));
    }
}
