//! Which files changed: in a pull request, and between two commits.
//! <https://docs.github.com/en/rest/pulls/pulls#list-pull-requests-files>
//! <https://docs.github.com/en/rest/commits/commits#compare-two-commits>

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::github::{BaseUrl, Call, CommitSha, Failure};
use crate::json::{FromJson as _, Unfit, read_members};
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

octo_sts_verifier::json_members! {
    /// A file that changed.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ChangedFile {
        /// Its path.
        pub filename: String => take,
        /// What happened to it.
        pub status: FileStatus => take,
        /// Its path before, if it was renamed (or copied from there).
        pub previous_filename: Option<String> => take_optional,
    }
}

octo_sts_verifier::json_words! {
    /// What happened to a file.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum FileStatus {
        /// It was not there before.
        Added = "added",
        /// It is gone.
        Removed = "removed",
        /// It is at another path.
        Renamed = "renamed",
        /// It is listed, and nothing happened.
        Unchanged = "unchanged",
        /// It is there: modified, copied, its mode changed, or a word that GitHub has invented since.
        Present = "modified" | _,
    }
}

octo_sts_verifier::json_members! {
    struct Comparison {
        files: Vec<ChangedFile> => take,
    }
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

fn read_page(_: StatusCode, body: &Bytes) -> Result<Vec<ChangedFile>, Failure> {
    read_members(body, ChangedFile::SHAPE).map_err(|_| Failure::Unreadable)
}

fn read_comparison(_: StatusCode, body: &Bytes) -> Result<Vec<ChangedFile>, Failure> {
    let comparison: Result<Comparison, Unfit> = read_members(body, Comparison::SHAPE);
    comparison.map(|comparison| comparison.files).map_err(|_| Failure::Unreadable)
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
