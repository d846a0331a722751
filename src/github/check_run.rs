//! Check runs: what a commit's page says about it.
//! <https://docs.github.com/en/rest/checks/runs>

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::Value;

use crate::github::{BaseUrl, Call, CommitSha, Failure};
use crate::json::{FromJson, Object, Shape, Unfit, read_members};
use crate::names::{Owner, Repository};
use crate::secret::Secret;

/// A commit has one run of a name, or a few; each may have twice 64 KB of text, and JSON may double that.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// GitHub's bound on the annotations of one request. Later requests add to them.
pub const MAX_ANNOTATIONS_PER_REQUEST: usize = 50;

/// A check run that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRun {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What its App calls it.
    pub external_id: Option<String>,
    /// Whose it is; `None` where GitHub does not say.
    pub app: Option<CheckRunApp>,
    /// What it says.
    pub output: ExistingOutput,
}

/// The App that a check run belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRunApp {
    /// The App's id.
    pub id: u64,
    /// The App's client id.
    pub client_id: Option<String>,
}

impl CheckRunApp {
    /// Whether this is the App of that id or client id.
    #[must_use]
    pub fn is(&self, id: &str) -> bool {
        self.id.to_string() == id || self.client_id.as_deref() == Some(id)
    }
}

/// What a check run says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExistingOutput {
    /// The details.
    pub text: Option<String>,
}

/// How a check ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Conclusion {
    /// Good.
    Success,
    /// Not good.
    Failure,
}

impl Conclusion {
    /// GitHub's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// How much an annotation matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AnnotationLevel {
    /// An error.
    Failure,
    /// A warning.
    Warning,
}

/// A note at a place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Annotation {
    /// The file.
    pub path: String,
    /// 1-based.
    pub start_line: u32,
    /// 1-based.
    pub end_line: u32,
    /// 1-based; GitHub takes columns only where the note is on one line.
    pub start_column: u32,
    /// 1-based.
    pub end_column: u32,
    /// How much it matters.
    pub annotation_level: AnnotationLevel,
    /// Plain text.
    pub title: String,
    /// Plain text.
    pub message: String,
}

/// What a check run shall say. There is no "in progress": a run is written when its end is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CompletedCheckRun<'a> {
    /// Its name.
    pub name: &'a str,
    /// What we call it.
    pub external_id: &'a str,
    /// Always `completed`.
    status: Completed,
    /// How it ended.
    pub conclusion: Conclusion,
    /// RFC 3339.
    pub started_at: &'a str,
    /// RFC 3339.
    pub completed_at: &'a str,
    /// What it says.
    pub output: Output<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Completed {
    Completed,
}

/// What a check run says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Output<'a> {
    /// Plain text, one line.
    pub title: &'a str,
    /// Markdown.
    pub summary: &'a str,
    /// Markdown.
    pub text: &'a str,
    /// At most [`MAX_ANNOTATIONS_PER_REQUEST`]; they are added to those that are there.
    pub annotations: &'a [Annotation],
}

impl<'a> CompletedCheckRun<'a> {
    /// A check run of a commit, whose id is also its external id.
    #[must_use]
    pub fn new(
        name: &'a str,
        head: &'a CommitSha,
        conclusion: Conclusion,
        at: &'a str,
        output: Output<'a>,
    ) -> Self {
        Self {
            name,
            external_id: head.as_str(),
            status: Completed::Completed,
            conclusion,
            started_at: at,
            completed_at: at,
            output,
        }
    }
}

/// Check runs of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRuns {
    /// As many as GitHub lists at once.
    pub listed: Vec<CheckRun>,
    /// These are all.
    pub complete: bool,
}

/// `GET /repos/{owner}/{repo}/commits/{ref}/check-runs`: every run of that name, in any suite. Of the App alone where its
/// id is the number that GitHub takes here, otherwise of any App. `name` has no characters but letters and blanks.
#[must_use]
pub fn check_runs(
    base: &BaseUrl,
    owner: &Owner,
    repository: &Repository,
    head: &CommitSha,
    name: &str,
    app: &str,
    token: &Secret,
) -> Call<CheckRuns> {
    let name = name.replace(' ', "%20");
    let app = app.parse::<u64>().map(|id| format!("&app_id={id}")).unwrap_or_default();
    let path = format!(
        "/repos/{owner}/{repository}/commits/{head}/check-runs?check_name={name}&filter=all&per_page=100{app}"
    );
    Call::new(base, Method::GET, &path, token, None, MAX_BODY, read_runs)
}

/// `POST /repos/{owner}/{repo}/check-runs`
#[must_use]
pub fn create_check_run(
    base: &BaseUrl,
    owner: &Owner,
    repository: &Repository,
    head: &CommitSha,
    run: &CompletedCheckRun<'_>,
    token: &Secret,
) -> Call<u64> {
    #[derive(Serialize)]
    struct Body<'a> {
        head_sha: &'a str,
        #[serde(flatten)]
        run: &'a CompletedCheckRun<'a>,
    }
    let path = format!("/repos/{owner}/{repository}/check-runs");
    let body = serde_json::to_vec(&Body { head_sha: head.as_str(), run }).unwrap_or_default();
    Call::new(base, Method::POST, &path, token, Some(body), MAX_BODY, read_id)
}

/// `PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}`
#[must_use]
pub fn update_check_run(
    base: &BaseUrl,
    owner: &Owner,
    repository: &Repository,
    id: u64,
    run: &CompletedCheckRun<'_>,
    token: &Secret,
) -> Call<u64> {
    let path = format!("/repos/{owner}/{repository}/check-runs/{id}");
    let body = serde_json::to_vec(run).unwrap_or_default();
    Call::new(base, Method::PATCH, &path, token, Some(body), MAX_BODY, read_id)
}

const RUN: Shape = Shape(&[
    ("id", Shape::ALL),
    ("name", Shape::ALL),
    ("external_id", Shape::ALL),
    ("app", Shape(&[("id", Shape::ALL), ("client_id", Shape::ALL)])),
    ("output", Shape(&[("text", Shape::ALL)])),
]);
const PAGE: Shape = Shape(&[("total_count", Shape::ALL), ("check_runs", RUN)]);

impl FromJson for CheckRun {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut run = Object::from_json(json)?;
        Ok(Self {
            id: run.take("id")?,
            name: run.take("name")?,
            external_id: run.take_optional("external_id")?,
            app: run.take_optional("app")?,
            output: run.take_or_default("output")?,
        })
    }
}

impl FromJson for CheckRunApp {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut app = Object::from_json(json)?;
        Ok(Self { id: app.take("id")?, client_id: app.take_optional("client_id")? })
    }
}

impl FromJson for ExistingOutput {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        Ok(Self { text: Object::from_json(json)?.take_optional("text")? })
    }
}

impl FromJson for CheckRuns {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut page = Object::from_json(json)?;
        let total_count = page.take_or_default::<usize>("total_count")?;
        let listed: Vec<CheckRun> = page.take("check_runs")?;
        Ok(Self { complete: total_count <= listed.len(), listed })
    }
}

fn read_runs(_: StatusCode, body: &Bytes) -> Result<CheckRuns, Failure> {
    read_members(body, PAGE).map_err(|_| Failure::Unreadable)
}

fn read_id(_: StatusCode, body: &Bytes) -> Result<u64, Failure> {
    let answer: Result<Object, Unfit> = read_members(body, Shape(&[("id", Shape::ALL)]));
    answer.and_then(|mut answer| answer.take("id")).map_err(|_| Failure::Unreadable)
}
