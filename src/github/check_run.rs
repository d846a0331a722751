//! Check runs: what a commit's page says about it.
//! <https://docs.github.com/en/rest/checks/runs>

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Serialize;

use crate::github::{BaseUrl, Call, CommitSha, Failure};
use crate::json::{FromJson as _, Unfit, read_members};
use crate::names::{Owner, Repository};
use crate::secret::Secret;

/// Each run may have twice 64 KB of text, which JSON may expand sixfold (`\u001b`); a page of twenty stays below.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// One page of runs. Our App has only a few in all; all Apps together have as many as somebody likes to write.
pub const CHECK_RUNS_PER_PAGE: usize = 20;

/// GitHub's bound on the annotations of one request. Later requests add to them.
pub const MAX_ANNOTATIONS_PER_REQUEST: usize = 50;

octo_sts_verifier::json_members! {
    /// A check run that exists.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct CheckRun {
        /// Its id.
        pub id: u64 => take,
        /// Its name.
        pub name: String => take,
        /// What its App calls it.
        pub external_id: Option<String> => take_optional,
        /// Whose it is; `None` if GitHub does not say.
        pub app: Option<CheckRunApp> => take_optional,
        /// How it ended; `None` while it is in progress.
        pub conclusion: Option<String> => take_optional,
        /// What it says.
        pub output: ExistingOutput => take_or_default,
    }
}

octo_sts_verifier::json_members! {
    /// The App that a check run belongs to.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct CheckRunApp {
        /// The App's id.
        pub id: u64 => take,
        /// The App's client id.
        pub client_id: Option<String> => take_optional,
    }
}

impl CheckRunApp {
    /// Whether this is the App of that id or client id.
    #[must_use]
    pub fn is(&self, id: &str) -> bool {
        self.id.to_string() == id || self.client_id.as_deref() == Some(id)
    }
}

octo_sts_verifier::json_members! {
    /// What a check run says.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct ExistingOutput {
        /// The details.
        pub text: Option<String> => take_optional,
    }
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

octo_sts_verifier::json_members! {
    struct Page {
        total_count: usize => take_or_default,
        check_runs: Vec<CheckRun> => take,
    }
}

octo_sts_verifier::json_members! {
    struct Written {
        id: u64 => take,
    }
}

fn read_runs(_: StatusCode, body: &Bytes) -> Result<CheckRuns, Failure> {
    let page: Page = read_members(body, Page::SHAPE).map_err(|_| Failure::Unreadable)?;
    Ok(CheckRuns { total: page.total_count.max(page.check_runs.len()), listed: page.check_runs })
}

fn read_id(_: StatusCode, body: &Bytes) -> Result<u64, Failure> {
    let written: Result<Written, Unfit> = read_members(body, Written::SHAPE);
    written.map(|written| written.id).map_err(|_| Failure::Unreadable)
}
