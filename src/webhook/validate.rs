//! From a commit to its check run: the caches told, a token, the files, the verdict.

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
use crate::webhook::check::{self, Checked};
use crate::webhook::commit::{Base, Commit, Target};
use crate::webhook::event::{CommitEvent, Files, Pushed, PushedFiles};
use crate::webhook::listing::TooMany;
use crate::webhook::paths::Kind;
use crate::webhook::tell::Tell;

/// Before another pull request is listed, at most so many requests were sent.
const MAX_REQUESTS_BEFORE_A_PULL_REQUEST: u32 = 100;

/// Which of a repository's files a push touched, as far as that is known.
pub(super) enum Touched {
    These(Vec<Kind>),
    Unknown,
}

/// What a delivery is about, as GitHub or the delivery itself listed it.
pub(super) struct Listed {
    pub(super) found: Result<Changes, TooMany>,
    pub(super) touched: Touched,
    pub(super) base: Base,
}

/// Handles a delivery about a commit.
pub(super) async fn validate(
    event: CommitEvent,
    service: &Rc<Service>,
    config: &ExchangeConfig,
    context: &Context,
) -> Result<Outcome, Problem> {
    let CommitEvent { target, installation_id, head, files, anew } = event;
    let push = match &files {
        Files::Push(push) => Some(push),
        Files::PullRequests { .. } | Files::Directory { .. } | Files::Since(_) => None,
    };
    let to_default_branch = push.is_some_and(|push| push.to_default_branch);
    let tell = Tell { target: &target, to_default_branch, service, config, context };

    // 5. what the delivery itself lists is told to the caches before GitHub is asked for anything
    let mut listed = push.and_then(|push| listed_by(push, &target));
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
        return caches.map(|()| Outcome::Ignored("the delivery is not of an app's installation"));
    };
    let request = MintRequest::for_check_run(&target.repository, matches!(files, Files::PullRequests { .. }));
    let token =
        match check_run_token(installation_id, &request, &target.owner, &service.apps, &config.app, context)
            .await
        {
            Ok(token) => token,
            Err(failure) => {
                if listed.is_none() {
                    caches = tell.of_anything().await;
                }
                caches?;
                return match failure {
                    MintFailure::Installation(problem) => Err(problem),
                    MintFailure::GitHub(failure) | MintFailure::LookUp(failure) => {
                        failed(failure, "no token to check the commit", context)
                    }
                };
            }
        };
    let granted = OnceCell::new();
    let commit = Commit { target: &target, head: &head, token: &token, service, config, context, granted };
    let listed = match listed {
        Some(listed) => Ok(listed),
        None => {
            let mut listed = list(&commit, files).await;
            caches = match &mut listed {
                Ok(listed) => tell.of(listed).await,
                Err(_) => tell.of_anything().await,
            };
            listed
        }
    };

    // 6. the check run
    let checked = match listed {
        Ok(Listed { found: Ok(changes), .. }) if changes.is_empty() => Ok(None),
        Ok(Listed { found, base, .. }) => check::check(&commit, found, base, anew).await.map(Some),
        Err(failure) => Err(failure),
    };
    let (outcome, checked) = match checked {
        Ok(None) => (Ok(Outcome::Unaffected), None),
        Ok(Some(checked)) => {
            let Checked { conclusion, files, .. } = checked;
            (Ok(Outcome::Validated { conclusion, files }), Some(checked))
        }
        Err(failure) => (failed(failure, "the commit is not checked", context), None),
    };
    let (service, after) = (Rc::clone(service), context.clone());
    context.defer(async move { conclude(checked, &target, &head, &token, &service, &after).await });
    caches?;
    outcome
}

/// After the answer: a look at whether another delivery wrote at the same moment, and the token's end.
async fn conclude(
    checked: Option<Checked>,
    target: &Target,
    head: &CommitSha,
    token: &Secret,
    service: &Service,
    context: &Context,
) {
    let Ok(config) = &service.config.exchange else { return };
    if let Some(checked) = checked {
        let granted = OnceCell::new();
        let commit = Commit { target, head, token, service, config, context, granted };
        if let Err(failure) = check::reconcile(&commit, checked).await {
            context.log(Level::Warn, "check runs not compared", &[("reason", failure.code())]);
        }
    }
    revoke_now(&config.app.base, token, context).await;
}

/// GitHub failed.
fn failed(failure: Failure, message: &str, context: &Context) -> Result<Outcome, Problem> {
    context.log(Level::Warn, message, &[("reason", failure.code())]);
    match failure {
        Failure::RateLimited(_) => Ok(Outcome::RateLimited),
        Failure::Unreadable | Failure::TooLarge | Failure::BrokenOff => {
            Err(Problem::Upstream("github answered what cannot be read".to_owned()))
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

/// What a push lists by itself; `None` where GitHub has to be asked.
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
        Files::PullRequests { files, base } => {
            let mut found = Ok(Changes::default());
            for files in files {
                // Each may have thirty pages, and there is a check run to write.
                if commit.context.subrequests() > MAX_REQUESTS_BEFORE_A_PULL_REQUEST {
                    found = Err(TooMany::PullRequests);
                    break;
                }
                found = match (found, commit.pull_request(files).await?) {
                    (Ok(mut all), Ok(changes)) => {
                        all.extend(changes);
                        Ok(all)
                    }
                    (Err(too_many), _) | (_, Err(too_many)) => Err(too_many),
                };
            }
            let base = Base { commit: base, of_pull_request: true, remembered: None };
            Ok(Listed { found, touched: Touched::Unknown, base })
        }
        Files::Since(before) => {
            let found = match commit.comparison(&before).await? {
                Some(files) => Ok(Changes::of_files(&files, home)),
                None => commit.directory().await?,
            };
            let base = Base { commit: Some(before), ..Base::default() };
            Ok(Listed { found, touched: Touched::Unknown, base })
        }
        Files::Directory { before } => {
            let found = commit.directory().await?;
            Ok(Listed { found, touched: Touched::Unknown, base: Base { commit: before, ..Base::default() } })
        }
    }
}
