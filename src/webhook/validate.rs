//! From a commit to its check run: clearing the caches, the token, the files, the verdict.

use std::cell::OnceCell;
use std::rc::Rc;

use crate::apps::{MintFailure, check_run_token, revoke_now};
use crate::config::ExchangeConfig;
use crate::context::Context;
use crate::github::mint::MintRequest;
use crate::github::{CommitSha, Failure};
use crate::ports::Level;
use crate::problem::Problem;
use crate::secret::Secret;
use crate::sts::Service;
use crate::webhook::Outcome;
use crate::webhook::changes::{Changes, touched_by_commits, touched_by_files};
use crate::webhook::check::{self, Checked, Finding};
use crate::webhook::commit::{Base, Commit, REQUESTS_AROUND, Target};
use crate::webhook::event::{CommitEvent, Files, Pushed, PushedFiles};
use crate::webhook::listing::{PullRequestFiles, Unvalidated};
use crate::webhook::paths::Kind;
use crate::webhook::quota::{Account, Quotas};
use crate::webhook::record::Unlisted;
use crate::webhook::runs::Runs;
use crate::webhook::tell::Tell;
use crate::webhook::together::Settles;

/// Another pull request is listed only if at most this many requests have been sent.
const MAX_REQUESTS_BEFORE_A_PULL_REQUEST: u32 = 100;

/// Which of a repository's files a push touched, if known.
pub(super) enum Touched {
    These(Vec<Kind>),
    Unknown,
}

/// What a delivery is about, as GitHub or the delivery itself listed it.
pub(super) struct Listed {
    pub(super) found: Result<Changes, Unvalidated>,
    pub(super) touched: Touched,
    pub(super) base: Base,
}

/// Handles a delivery about a commit.
pub(super) async fn validate(
    event: CommitEvent,
    quotas: &Rc<Quotas>,
    service: &Rc<Service>,
    config: &ExchangeConfig,
    context: &Context,
) -> Result<Outcome, Problem> {
    let CommitEvent { target, installation_id, head, files, anew, of_a_fork, is_reported_always } = event;
    let mut asked = Asked::of(&files, anew, is_reported_always);
    let to_default_branch = files.pushed().is_some_and(|push| push.to_default_branch);
    let tell = Tell { target: &target, to_default_branch, service, config, context };

    // 5. files that the delivery itself lists are cleared before GitHub is asked for anything
    let mut listed = files.pushed().and_then(|push| listed_by(push, &target));
    let mut caches = Ok(());
    if let Some(listed) = &mut listed {
        caches = tell.of(listed).await;
        if listed.found.as_ref().is_ok_and(Changes::is_empty) {
            return caches.map(|()| Outcome::Unaffected);
        }
    }
    let Some(installation_id) = installation_id else {
        if listed.is_none() {
            caches = tell.of_anything().await;
        }
        return caches.map(|()| Outcome::Ignored("the delivery does not come from an app's installation"));
    };
    let account = Account::open(quotas, &target, of_a_fork && !anew, config, context).await;
    let request = MintRequest::for_check_run(&target.repository, files.may_be_of_pull_requests());
    let minted =
        check_run_token(installation_id, &request, &target.owner, &service.apps, &config.app, context).await;
    let token = match minted {
        Ok(token) => token,
        Err(failure) => {
            if listed.is_none() {
                caches = tell.of_anything().await;
            }
            account.settle(context.subrequests().into(), context);
            return caches.and_then(|()| no_token(failure, context));
        }
    };
    let commit = Commit {
        target: &target,
        head: &head,
        token: &token,
        service,
        config,
        context,
        account: &account,
        granted: OnceCell::new(),
    };
    let listed = match listed {
        Some(listed) => Ok(listed),
        None => {
            asked.is_listed_by_github = true;
            let mut listed = list(&commit, files).await;
            caches = match &mut listed {
                Ok(listed) => tell.of(listed).await,
                Err(_) => tell.of_anything().await,
            };
            listed
        }
    };

    // 6. the check run
    let (result, finding) = run(&commit, listed, asked).await;
    account.settle(u64::from(context.subrequests()).saturating_add(REQUESTS_AROUND), context);
    let (outcome, ended) = told(result, finding, context);
    let (service, after) = (Rc::clone(service), context.clone());
    context.defer(async move { conclude(ended, &target, &head, &token, &account, &service, &after).await });
    caches?;
    outcome
}

/// The answer to GitHub, and what is left to do after it.
fn told(
    result: Result<Option<Checked>, Failure>,
    finding: Finding,
    context: &Context,
) -> (Result<Outcome, Problem>, Ended) {
    match result {
        Ok(None) => (Ok(Outcome::Unaffected), Ended::WithoutRun),
        Ok(Some(checked)) => {
            let Checked { conclusion, files, .. } = checked;
            (Ok(Outcome::Validated { conclusion, files }), Ended::WithRun(checked))
        }
        Err(failure) => {
            (failed(failure, "the commit is not checked", context), Ended::Failed(finding, failure))
        }
    }
}

/// What a delivery has to do for a commit.
#[derive(Clone, Copy)]
struct Asked {
    anew: bool,
    is_whole: bool,
    pull_request: Option<u64>,
    is_reported_always: bool,
    /// The delivery itself does not say what changed.
    is_listed_by_github: bool,
}

impl Asked {
    fn of(files: &Files, anew: bool, is_reported_always: bool) -> Self {
        let pull_request = match files {
            Files::PullRequests { files, .. } => files.first().map(|files| files.number),
            Files::Push(_) | Files::Directory { .. } | Files::Since(_) | Files::Remembered { .. } => None,
        };
        let is_whole = matches!(files, Files::Directory { .. });
        Self { anew, is_whole, pull_request, is_reported_always, is_listed_by_github: false }
    }
}

/// The check run, if there is one to write, and what to write if it fails.
async fn run(
    commit: &Commit<'_>,
    listed: Result<Listed, Failure>,
    asked: Asked,
) -> (Result<Option<Checked>, Failure>, Finding) {
    let Asked { anew, is_whole, pull_request, is_reported_always, is_listed_by_github } = asked;
    let Listed { found, base, .. } = match listed {
        Ok(listed) => listed,
        Err(failure) => {
            let unlisted = if pull_request.is_some() { Unlisted::PullRequest } else { Unlisted::Commits };
            let base = Base { pull_request, ..Base::default() };
            let finding = Finding::new(Err(Unvalidated::Unlisted(unlisted)), base, Settles::Nothing);
            return (Err(failure), finding);
        }
    };
    let settles = match anew {
        true if base.of_pull_request || is_whole => Settles::Everything,
        true if base.commit.is_none() => Settles::Again,
        true => Settles::Some,
        false if is_listed_by_github => Settles::Unlisted,
        false => Settles::Nothing,
    };
    let is_empty = found.as_ref().is_ok_and(Changes::is_empty);
    let mut finding = Finding::new(found, base, settles);
    let checked = match (is_empty, is_reported_always) {
        (true, false) if !anew => Ok(None),
        (true, _) => check::check_known(commit, &mut finding, is_reported_always).await,
        (false, _) => check::check(commit, &mut finding).await.map(Some),
    };
    (checked, finding)
}

/// How far the delivery came before the answer.
enum Ended {
    WithoutRun,
    WithRun(Checked),
    Failed(Finding, Failure),
}

/// After the answer: ends a run that was started and failed, checks a written run again in case another delivery wrote
/// at the same moment, and revokes the token.
async fn conclude(
    ended: Ended,
    target: &Target,
    head: &CommitSha,
    token: &Secret,
    account: &Account,
    service: &Service,
    context: &Context,
) {
    let Ok(config) = &service.config.exchange else { return };
    let granted = OnceCell::new();
    let commit = Commit { target, head, token, service, config, context, account, granted };
    match ended {
        Ended::WithoutRun => {}
        Ended::WithRun(checked) => {
            if let Err(failure) = check::reconcile(&commit, checked).await {
                context.log(Level::Warn, "check runs not compared", &[("reason", failure.code())]);
            }
        }
        Ended::Failed(mut finding, failure) => {
            check::end_as_failure(&commit, &mut finding, failure).await;
        }
    }
    revoke_now(&config.app.base, token, context).await;
}

fn no_token(failure: MintFailure, context: &Context) -> Result<Outcome, Problem> {
    match failure {
        MintFailure::Installation(problem) => Err(problem),
        MintFailure::GitHub(failure) | MintFailure::LookUp(failure) => {
            failed(failure, "no token to check the commit", context)
        }
    }
}

/// GitHub failed.
fn failed(failure: Failure, message: &str, context: &Context) -> Result<Outcome, Problem> {
    context.log(Level::Warn, message, &[("reason", failure.code())]);
    match failure {
        Failure::RateLimited(_) => Ok(Outcome::RateLimited),
        Failure::Unreadable | Failure::TooLarge | Failure::BrokenOff => {
            Err(Problem::Upstream("github's answer cannot be read".to_owned()))
        }
        Failure::Unauthorized
        | Failure::Forbidden
        | Failure::NotFound
        | Failure::Redirected
        | Failure::Unprocessable
        | Failure::ServerError
        | Failure::Unexpected
        | Failure::NoAnswer
        | Failure::Unsendable => Err(Problem::github_unavailable(failure, context.now)),
    }
}

/// What a push lists by itself; `None` if GitHub has to be asked.
pub(super) fn listed_by(push: &PushedFiles, target: &Target) -> Option<Listed> {
    let Pushed::Commits(commits) = &push.listed else { return None };
    let touched =
        if push.moved { Touched::Unknown } else { Touched::These(touched_by_commits(commits, target.home)) };
    Some(Listed { found: Ok(Changes::of_commits(commits, target.home)), touched, base: push.base() })
}

/// What GitHub lists.
pub(super) async fn list(commit: &Commit<'_>, files: Files) -> Result<Listed, Failure> {
    let home = commit.target.home;
    match files {
        Files::Push(push) => {
            let base = push.base();
            let compared = match &push.listed {
                Pushed::Since(before) => commit.comparison(before).await?,
                Pushed::Commits(_) | Pushed::New => None,
            };
            let touched = match &compared {
                Some(files) if !push.moved => Touched::These(touched_by_files(files, home)),
                _ => Touched::Unknown,
            };
            let found = match compared {
                Some(files) => Ok(Changes::of_files(&files, home)),
                None => commit.directory().await?,
            };
            Ok(Listed { found, touched, base })
        }
        Files::PullRequests { files, base } => pull_requests(commit, files, base).await,
        Files::Remembered { before } => {
            // The runs are read once more before writing, because somebody may have written meanwhile.
            let runs = Runs::of(commit).await?;
            let remembered = runs.records().find_map(|record| {
                let files = PullRequestFiles { number: record.pull_request?, changed_files: None };
                Some((files, record.base()))
            });
            match (remembered, before) {
                (Some((files, base)), _) => pull_requests(commit, vec![files], base).await,
                (None, Some(before)) => since(commit, before).await,
                (None, None) => Ok(Listed {
                    found: Ok(Changes::default()),
                    touched: Touched::Unknown,
                    base: Base::default(),
                }),
            }
        }
        Files::Since(before) => since(commit, before).await,
        Files::Directory { before } => {
            let found = commit.directory().await?;
            Ok(Listed { found, touched: Touched::Unknown, base: Base { commit: before, ..Base::default() } })
        }
    }
}

/// Pull requests, and the commit that they are compared with.
async fn pull_requests(
    commit: &Commit<'_>,
    files: Vec<PullRequestFiles>,
    base: Option<CommitSha>,
) -> Result<Listed, Failure> {
    let number = files.first().map(|files| files.number);
    let mut found = Ok(Changes::default());
    for files in files {
        // Each may have thirty pages, and there is a check run to write.
        if commit.context.subrequests() > MAX_REQUESTS_BEFORE_A_PULL_REQUEST {
            found = Err(Unvalidated::PullRequests);
            break;
        }
        if commit.allowance() < commit.context.subrequests().saturating_add(files.pages()) {
            found = Err(Unvalidated::Quota);
            break;
        }
        found = match (found, commit.pull_request(files).await?) {
            (Ok(mut all), Ok(changes)) => {
                all.extend(changes);
                Ok(all)
            }
            (Err(why), _) | (_, Err(why)) => Err(why),
        };
    }
    let base = Base { commit: base, of_pull_request: true, pull_request: number, remembered: None };
    Ok(Listed { found, touched: Touched::Unknown, base })
}

/// What differs from a previous commit.
async fn since(commit: &Commit<'_>, before: CommitSha) -> Result<Listed, Failure> {
    let found = match commit.comparison(&before).await? {
        Some(files) => Ok(Changes::of_files(&files, commit.target.home)),
        None => commit.directory().await?,
    };
    Ok(Listed { found, touched: Touched::Unknown, base: Base { commit: Some(before), ..Base::default() } })
}
