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

/// Each run may have twice 64 KB of text, which JSON may expand sixfold (`\u001b`); a page of twenty stays below.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// One page of runs. Our App has only a few in all; all Apps together have as many as somebody likes to write.
pub const CHECK_RUNS_PER_PAGE: usize = 20;

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
    /// Whose it is; `None` if GitHub does not say.
    pub app: Option<CheckRunApp>,
    /// How it ended; `None` while it is in progress.
    pub conclusion: Option<String>,
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
    /// There was nothing to check.
    Skipped,
}

impl Conclusion {
    /// GitHub's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Skipped => "skipped",
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
    /// 1-based; GitHub accepts columns only for a note on one line.
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

/// The desired state of a check run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckRunBody<'a> {
    /// Its name.
    name: &'a str,
    /// What we call it.
    external_id: &'a str,
    status: Status,
    /// How it ended, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    conclusion: Option<Conclusion>,
    /// RFC 3339.
    started_at: &'a str,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<&'a str>,
    /// What it says.
    output: Output<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    InProgress,
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
    /// At most [`MAX_ANNOTATIONS_PER_REQUEST`]; they are added to the existing ones.
    pub annotations: &'a [Annotation],
}

impl<'a> CheckRunBody<'a> {
    /// A check run of a commit, whose id is also its external id. Without a conclusion it is in progress.
    #[must_use]
    pub fn new(
        name: &'a str,
        head: &'a CommitSha,
        conclusion: Option<Conclusion>,
        at: &'a str,
        output: Output<'a>,
    ) -> Self {
        Self {
            name,
            external_id: head.as_str(),
            status: if conclusion.is_some() { Status::Completed } else { Status::InProgress },
            conclusion,
            started_at: at,
            completed_at: conclusion.map(|_| at),
            output,
        }
    }
}

/// Check runs of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRuns {
    /// Those of one page.
    pub listed: Vec<CheckRun>,
    /// How many there are on all pages.
    pub total: usize,
}

/// Which runs to look up: `name`, at `head`. `name` contains only letters and spaces.
#[derive(Debug, Clone, Copy)]
pub struct CheckRunsQuery<'a> {
    /// The commit.
    pub head: &'a CommitSha,
    /// The name.
    pub name: &'a str,
    /// The App's id or client id. GitHub accepts only the number; otherwise it lists runs of any App.
    pub app: &'a str,
    /// Counted from 1.
    pub page: usize,
}

/// `GET /repos/{owner}/{repo}/commits/{ref}/check-runs`: the runs of a name in any suite, one page.
#[must_use]
pub fn check_runs(
    base: &BaseUrl,
    owner: &Owner,
    repository: &Repository,
    query: CheckRunsQuery<'_>,
    token: &Secret,
) -> Call<CheckRuns> {
    let CheckRunsQuery { head, name, app, page } = query;
    let name = name.replace(' ', "%20");
    let app = app.parse::<u64>().map(|id| format!("&app_id={id}")).unwrap_or_default();
    let page = if page > 1 { format!("&page={page}") } else { String::new() };
    let path = format!(
        "/repos/{owner}/{repository}/commits/{head}/check-runs?check_name={name}&filter=all&per_page={CHECK_RUNS_PER_PAGE}{app}{page}"
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
    run: &CheckRunBody<'_>,
    token: &Secret,
) -> Call<u64> {
    #[derive(Serialize)]
    struct Body<'a> {
        head_sha: &'a str,
        #[serde(flatten)]
        run: &'a CheckRunBody<'a>,
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
    run: &CheckRunBody<'_>,
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
    ("conclusion", Shape::ALL),
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
            conclusion: run.take_optional("conclusion")?,
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
        let listed: Vec<CheckRun> = page.take("check_runs")?;
        Ok(Self { total: page.take_or_default::<usize>("total_count")?.max(listed.len()), listed })
    }
}

fn read_runs(_: StatusCode, body: &Bytes) -> Result<CheckRuns, Failure> {
    read_members(body, PAGE).map_err(|_| Failure::Unreadable)
}

fn read_id(_: StatusCode, body: &Bytes) -> Result<u64, Failure> {
    let answer: Result<Object, Unfit> = read_members(body, Shape(&[("id", Shape::ALL)]));
    answer.and_then(|mut answer| answer.take("id")).map_err(|_| Failure::Unreadable)
}
