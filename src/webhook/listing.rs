//! Which files a pull request, a comparison or a directory contains, according to GitHub.

use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;

use crate::github::{
    self, ChangedFile, CommitSha, Failure, MAX_COMPARED_FILES, MAX_DIRECTORY_ENTRIES, MAX_PULL_REQUEST_FILES,
    PULL_REQUEST_FILES_PER_PAGE,
};
use crate::webhook::changes::Changes;
use crate::webhook::commit::{AT_ONCE, Commit, Target};
use crate::webhook::paths::FOLDER;
use crate::webhook::record::Unlisted;

/// The pause before a request with a young token is repeated.
const SECOND: Duration = Duration::from_secs(1);

/// Why a commit is not validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unvalidated {
    /// GitHub does not list all files of the pull request.
    PullRequestFiles,
    /// The commit is the head of so many pull requests that they cannot all be listed.
    PullRequests,
    /// GitHub does not list all files of the folder.
    DirectoryEntries,
    /// There are this many policies, and one delivery validates at most this many.
    Policies { found: usize, limit: usize },
    /// The names of the files are too long to keep track of.
    Names,
    /// The commit has more check runs of our name than GitHub lists at once, so that ours may be among the others.
    CheckRuns,
    /// An earlier delivery about the commit found so.
    Earlier,
    /// The repository has used up the requests that it may cost in an hour.
    Quota,
    /// GitHub did not list the files.
    Unlisted(Unlisted),
    /// What an earlier delivery found is lost.
    Damaged,
}

impl Unvalidated {
    /// Plain text.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::PullRequestFiles
            | Self::PullRequests
            | Self::DirectoryEntries
            | Self::Policies { .. }
            | Self::Names
            | Self::CheckRuns
            | Self::Earlier => "Not validated: too many files",
            Self::Quota => "Not validated: too many policies",
            Self::Unlisted(_) => "Not validated: the changed files are not known",
            Self::Damaged => "Not validated: the record of this check run is damaged",
        }
    }
}

impl fmt::Display for Unvalidated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PullRequestFiles => write!(
                f,
                "The pull request changes more than {MAX_PULL_REQUEST_FILES} files, and GitHub lists no more of them"
            ),
            Self::PullRequests => {
                f.write_str("The commit is the head of more pull requests than can be listed")
            }
            Self::DirectoryEntries => write!(
                f,
                "The folder has {MAX_DIRECTORY_ENTRIES} entries or more, and GitHub lists no more of them"
            ),
            Self::Policies { found, limit } => {
                write!(
                    f,
                    "There are {found} policy files to validate, and one delivery validates at most {limit}"
                )
            }
            Self::Names => f.write_str("The names of the files are too long to keep track of"),
            Self::CheckRuns => {
                f.write_str("The commit has too many check runs of this name to read")
            }
            Self::Earlier => {
                f.write_str("An earlier event about this commit found more files than can be validated")
            }
            Self::Quota => f.write_str(
                "There are too many policies to validate: this repository has used up its hourly allowance. A maintainer may re-run this check",
            ),
            Self::Unlisted(_) => f.write_str(
                "GitHub did not list the files of an earlier event about this commit. Redeliver that event in the App's settings, or re-run this check",
            ),
            Self::Damaged => f.write_str(
                "This check run's own record of its files cannot be read, so the service cannot tell whether every changed policy is valid. Re-run this check, or push another commit",
            ),
        }
    }
}

/// A pull request and how many files it changes, if that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PullRequestFiles {
    pub(super) number: u64,
    pub(super) changed_files: Option<usize>,
}

impl PullRequestFiles {
    /// How many requests listing them takes, as far as that is known.
    pub(super) fn pages(self) -> u32 {
        let files = self.changed_files.unwrap_or(1).clamp(1, MAX_PULL_REQUEST_FILES);
        u32::try_from(files.div_ceil(PULL_REQUEST_FILES_PER_PAGE)).unwrap_or(u32::MAX)
    }
}

impl Commit<'_> {
    /// The files of a pull request, from all pages.
    pub(super) async fn pull_request(
        &self,
        files: PullRequestFiles,
    ) -> Result<Result<Changes, Unvalidated>, Failure> {
        const PAGES: usize = MAX_PULL_REQUEST_FILES / PULL_REQUEST_FILES_PER_PAGE;
        let PullRequestFiles { number, changed_files } = files;
        if changed_files.is_some_and(|count| count > MAX_PULL_REQUEST_FILES) {
            return Ok(Err(Unvalidated::PullRequestFiles));
        }
        // A page that is not full is the last. The count says how many to request at once; it may be slightly out of
        // date.
        let expected = changed_files.map_or(PAGES, |count| count.div_ceil(PULL_REQUEST_FILES_PER_PAGE));
        let mut all: Vec<ChangedFile> = Vec::new();
        let mut next = 1;
        while next <= PAGES {
            let at_once =
                if next == 1 { 1 } else { expected.saturating_sub(next).saturating_add(1).clamp(1, AT_ONCE) };
            let pages = next..=PAGES.min(next.saturating_add(at_once).saturating_sub(1));
            next = pages.end().saturating_add(1);
            for page in join_all(pages.map(|page| self.pull_request_page(number, page))).await {
                let page = page?;
                if page.len() < PULL_REQUEST_FILES_PER_PAGE {
                    next = usize::MAX;
                }
                all.extend(page);
            }
        }
        if changed_files != Some(MAX_PULL_REQUEST_FILES) && all.len() >= MAX_PULL_REQUEST_FILES {
            return Ok(Err(Unvalidated::PullRequestFiles));
        }
        Ok(Ok(Changes::of_files(&all, self.target.home)))
    }

    async fn pull_request_page(&self, number: u64, page: usize) -> Result<Vec<ChangedFile>, Failure> {
        let Target { owner, repository, .. } = self.target;
        github::pull_request_files(self.base_url(), owner, repository, number, page, self.token)
            .send(&*self.context.ports.fetch)
            .await
    }

    /// The files that differ from a previous commit; `None` if GitHub does not list all of them, or no longer knows
    /// that commit.
    pub(super) async fn comparison(&self, before: &CommitSha) -> Result<Option<Vec<ChangedFile>>, Failure> {
        let Target { owner, repository, .. } = self.target;
        let call = github::compare(self.base_url(), owner, repository, before, self.head, self.token);
        match call.send(&*self.context.ports.fetch).await {
            Ok(files) => Ok(Some(files).filter(|files| files.len() < MAX_COMPARED_FILES)),
            Err(Failure::NotFound | Failure::TooLarge) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Everything in the folder. Its absence is believed only if the token sees the repository.
    pub(super) async fn directory(&self) -> Result<Result<Changes, Unvalidated>, Failure> {
        let listed = match self.directory_now().await {
            Err(Failure::NotFound) => {
                self.see_repository().await?;
                self.directory_now().await
            }
            listed => listed,
        };
        match listed {
            Ok(names) if names.len() >= MAX_DIRECTORY_ENTRIES => Ok(Err(Unvalidated::DirectoryEntries)),
            Ok(names) => Ok(Ok(Changes::of_names(&names, self.target.home))),
            Err(Failure::NotFound) => Ok(Ok(Changes::default())),
            Err(failure) => Err(failure),
        }
    }

    async fn directory_now(&self) -> Result<Vec<String>, Failure> {
        let Target { owner, repository, .. } = self.target;
        let call =
            github::list_directory_at(self.base_url(), owner, repository, FOLDER, self.head, self.token);
        call.send(&*self.context.ports.fetch).await
    }

    /// GitHub sometimes tells a token that is seconds old that something does not exist. So an absence that makes a
    /// check run green counts only for a token that sees the repository. That is checked twice more, a second apart.
    ///
    /// # Errors
    /// If it does not see it, or GitHub fails.
    pub(super) async fn see_repository(&self) -> Result<(), Failure> {
        let Target { owner, repository, .. } = self.target;
        for is_again in [false, true, true] {
            if is_again && !self.context.pause(SECOND).await {
                break;
            }
            let call = github::see_repository(self.base_url(), owner, repository, self.token);
            match call.send(&*self.context.ports.fetch).await {
                Ok(_) => return Ok(()),
                Err(Failure::Unauthorized | Failure::Forbidden | Failure::NotFound) => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::NoAnswer)
    }
}
