//! Which files changed: in a pull request, and between two commits.
//! <https://docs.github.com/en/rest/pulls/pulls#list-pull-requests-files>
//! <https://docs.github.com/en/rest/commits/commits#compare-two-commits>

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

use crate::github::{BaseUrl, Call, CommitSha, Failure};
use crate::json::{FromJson, Object, Shape, Unfit, read_members};
use crate::names::{Owner, Repository};
use crate::secret::Secret;

/// Each file comes with its patch. GitHub leaves long patches out: a hundred files stay below 3 MB.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// GitHub's own bound for `per_page`.
pub const PULL_REQUEST_FILES_PER_PAGE: usize = 100;

/// GitHub lists no more of a pull request's files.
pub const MAX_PULL_REQUEST_FILES: usize = 3000;

/// GitHub lists no more of a comparison's files, and does not say whether there are more.
pub const MAX_COMPARED_FILES: usize = 300;

/// A file that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    /// Its path.
    pub filename: String,
    /// What happened to it.
    pub status: FileStatus,
    /// Its path before, if it was renamed (or copied from there).
    pub previous_filename: Option<String>,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileStatus {
    /// It was not there before.
    Added,
    /// It is gone.
    Removed,
    /// It is at another path.
    Renamed,
    /// It is listed, and nothing happened.
    Unchanged,
    /// It exists: modified, copied, its mode changed, or a word that GitHub has added since.
    Present,
}

/// `GET /repos/{owner}/{repo}/pulls/{number}/files`, one page, counted from 1.
#[must_use]
pub fn pull_request_files(
    base: &BaseUrl,
    owner: &Owner,
    repository: &Repository,
    number: u64,
    page: usize,
    token: &Secret,
) -> Call<Vec<ChangedFile>> {
    let path = format!(
        "/repos/{owner}/{repository}/pulls/{number}/files?per_page={PULL_REQUEST_FILES_PER_PAGE}&page={page}"
    );
    Call::new(base, Method::GET, &path, token, None, MAX_BODY, read_page)
}

/// `GET /repos/{owner}/{repo}/compare/{before}...{after}`. The first page has all files, whatever its size. Nobody
/// reads the commits, so one is enough.
#[must_use]
pub fn compare(
    base: &BaseUrl,
    owner: &Owner,
    repository: &Repository,
    before: &CommitSha,
    after: &CommitSha,
    token: &Secret,
) -> Call<Vec<ChangedFile>> {
    let path = format!("/repos/{owner}/{repository}/compare/{before}...{after}?per_page=1");
    Call::new(base, Method::GET, &path, token, None, MAX_BODY, read_comparison)
}

const FILES: Shape =
    Shape(&[("filename", Shape::ALL), ("status", Shape::ALL), ("previous_filename", Shape::ALL)]);

impl FromJson for ChangedFile {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut file = Object::from_json(json)?;
        Ok(Self {
            filename: file.take("filename")?,
            status: file.take("status")?,
            previous_filename: file.take_optional("previous_filename")?,
        })
    }
}

impl FromJson for FileStatus {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        Ok(match json.as_str().ok_or(Unfit)? {
            "added" => Self::Added,
            "removed" => Self::Removed,
            "renamed" => Self::Renamed,
            "unchanged" => Self::Unchanged,
            _ => Self::Present,
        })
    }
}

fn read_page(_: StatusCode, body: &Bytes) -> Result<Vec<ChangedFile>, Failure> {
    read_members(body, FILES).map_err(|_| Failure::Unreadable)
}

fn read_comparison(_: StatusCode, body: &Bytes) -> Result<Vec<ChangedFile>, Failure> {
    const COMPARISON: Shape = Shape(&[("files", FILES)]);
    let comparison: Result<Object, Unfit> = read_members(body, COMPARISON);
    comparison.and_then(|mut comparison| comparison.take("files")).map_err(|_| Failure::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_status_is_a_file_that_is_there() {
        let body = Bytes::from_static(
            br#"{"files":[{"filename":"a","status":"removed"},{"filename":"b","status":"renamed","previous_filename":"c"},
                {"filename":"d","status":"novel"},{"filename":"e","status":"unchanged"}]}"#,
        );
        let statuses: Vec<FileStatus> =
            read_comparison(StatusCode::OK, &body).unwrap().iter().map(|file| file.status).collect();
        assert_eq!(
            statuses,
            [FileStatus::Removed, FileStatus::Renamed, FileStatus::Present, FileStatus::Unchanged]
        );
    }

    #[test]
    fn a_comparison_without_files_is_not_an_empty_one() {
        assert_eq!(read_comparison(StatusCode::OK, &Bytes::from_static(b"{}")), Err(Failure::Unreadable));
    }
}
