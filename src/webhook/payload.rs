//! A delivery's body: only the members that are used. GitHub may add members; those that are used must be present and
//! valid.
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads>

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::github::CommitSha;
use crate::json::{FromJson, Shape, Unfit, read_members};
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

/// Reads the used members of an event. Only that is kept: deliveries are up to 25 MB.
pub(super) fn parse<T: FromJson>(json: &[u8]) -> Result<T, Problem> {
    // The details are not reported, because GitHub has no use for them.
    read_members(json, T::SHAPE)
        .map_err(|_| Problem::InvalidRequest("the body is not the event's json".to_owned()))
}

octo_sts_verifier::json_members! {
    /// What every event has, as far as it has it.
    #[derive(Debug)]
    pub(super) struct Envelope {
        pub(super) action: Option<String> => take_optional,
        pub(super) repository: Option<RepositoryMember> => take_optional,
        pub(super) installation: Option<InstallationMember> => take_optional,
        pub(super) sender: Option<Sender> => take_optional,
        pub(super) changes: Option<EditedMember> => take_optional,
    }
}

octo_sts_verifier::json_members! {
    /// What an edit changed, as far as it matters.
    #[derive(Debug)]
    pub(super) struct EditedMember {
        /// The pull request's base branch.
        pub(super) base: Option<EditedBase> => take_optional,
    }
}

/// What the base was before. That there is something is all that matters.
#[derive(Debug)]
pub(super) struct EditedBase;

impl FromJson for EditedBase {
    const SHAPE: Shape = Shape(&[("ref", Shape::ALL)]);

    fn from_json(_: Value) -> Result<Self, Unfit> {
        Ok(Self)
    }
}

octo_sts_verifier::json_members! {
    #[derive(Debug)]
    pub(super) struct RepositoryMember {
        pub(super) id: Option<u64> => take_optional,
        pub(super) name: Option<String> => take_optional,
        pub(super) owner: Account => take,
        pub(super) default_branch: Option<String> => take_optional,
    }
}

octo_sts_verifier::json_members! {
    #[derive(Debug)]
    pub(super) struct Account {
        pub(super) login: String => take,
    }
}

octo_sts_verifier::json_members! {
    #[derive(Debug)]
    pub(super) struct InstallationMember {
        pub(super) id: u64 => take,
        /// Only where the event is about the installation itself.
        pub(super) account: Option<Account> => take_optional,
    }
}

octo_sts_verifier::json_members! {
    #[derive(Debug)]
    pub(super) struct Sender {
        login: String => take,
        r#type: Option<String> => take_optional as "type",
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

octo_sts_verifier::json_members! {
    /// `push`
    #[derive(Debug)]
    pub(super) struct Push {
        /// `refs/heads/…` or `refs/tags/…`.
        pub(super) r#ref: Option<String> => take_optional as "ref",
        pub(super) before: Sha => take,
        pub(super) after: Sha => take,
        pub(super) deleted: bool => take_or_default,
        /// The branch does not continue from `before`.
        pub(super) forced: bool => take_or_default,
        pub(super) commits: Vec<PushedCommit> => take_or_default,
    }
}

octo_sts_verifier::json_members! {
    /// A commit of a push, and the paths that it touched.
    #[derive(Debug)]
    pub(super) struct PushedCommit {
        pub(super) added: Vec<String> => take_or_default,
        pub(super) modified: Vec<String> => take_or_default,
        pub(super) removed: Vec<String> => take_or_default,
    }
}

octo_sts_verifier::json_members! {
    /// `pull_request`
    #[derive(Debug)]
    pub(super) struct PullRequestEvent {
        pub(super) number: u64 => take,
        pub(super) pull_request: PullRequest => take,
    }
}

octo_sts_verifier::json_members! {
    #[derive(Debug)]
    pub(super) struct PullRequest {
        pub(super) head: Tip => take,
        pub(super) base: Option<Tip> => take_optional,
        pub(super) changed_files: Option<usize> => take_optional,
    }
}

octo_sts_verifier::json_members! {
    #[derive(Debug)]
    pub(super) struct Tip {
        pub(super) sha: Sha => take,
        pub(super) repo: Option<RepositoryId> => take_optional,
    }
}

octo_sts_verifier::json_members! {
    #[derive(Debug)]
    pub(super) struct RepositoryId {
        pub(super) id: Option<u64> => take_optional,
    }
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

octo_sts_verifier::json_members! {
    /// `merge_group`
    #[derive(Debug)]
    pub(super) struct MergeGroupEvent {
        pub(super) merge_group: MergeGroup => take,
    }
}

octo_sts_verifier::json_members! {
    /// Pull requests that wait to be merged together, as one commit.
    #[derive(Debug)]
    pub(super) struct MergeGroup {
        pub(super) head_sha: Sha => take,
        pub(super) base_sha: Sha => take,
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
