//! From an event to the resulting work, or the reason why there is none.

use std::collections::BTreeMap;

use crate::config::{ExchangeConfig, WebhookConfig};
use crate::github::CommitSha;
use crate::names::{Owner, Repository};
use crate::policy::PolicyHome;
use crate::problem::Problem;
use crate::webhook::changes::{Changes, touched_by_commits};
use crate::webhook::check;
use crate::webhook::commit::{Base, Target};
use crate::webhook::listing::PullRequestFiles;
use crate::webhook::payload::{
    Envelope, MergeGroup, MergeGroupEvent, PullRequest, PullRequestEvent, Push, PushedCommit, Sender, Sha,
    Tip, parse,
};
use crate::webhook::suite::{CheckRunEvent, CheckSuite, CheckSuiteEvent};

/// From this many commits on, a push is compared: the Go service's bound, and GitHub's own when it was written.
const COMMITS_TO_COMPARE: usize = 20;

/// GitHub lists no more files of one commit; a list of this length may have been cut off.
const MAX_FILES_OF_A_COMMIT: usize = 3000;

/// A longer list is not worth walking; the service asks GitHub for its end.
const MAX_FILES_OF_A_PUSH: usize = 10_000;

/// What an event is about.
#[derive(Debug)]
pub(super) enum Event {
    /// Not for this service.
    Ignored(&'static str),
    /// An owner's installation changed.
    Installation(Owner),
    /// A commit to check.
    Commit(Box<CommitEvent>),
}

/// The commit to check.
#[derive(Debug)]
pub(super) struct CommitEvent {
    pub(super) target: Target,
    /// `None`: the delivery does not come from an App.
    pub(super) installation_id: Option<u64>,
    pub(super) head: CommitSha,
    pub(super) files: Files,
    /// Somebody requested a re-run.
    pub(super) anew: bool,
    /// The commit was proposed from a fork, so it may be anybody's.
    pub(super) of_a_fork: bool,
    /// The commit gets a check run even if it touches no policy.
    pub(super) is_reported_always: bool,
}

/// The source of the commit's files.
#[derive(Debug)]
pub(super) enum Files {
    /// A push to a branch.
    Push(PushedFiles),
    /// Pull requests with this head, and the commit that they are compared with.
    PullRequests { files: Vec<PullRequestFiles>, base: Option<CommitSha> },
    /// Everything in the folder, on the default branch. `before` is where a suite begins.
    Directory { before: Option<CommitSha> },
    /// Everything that differs from a previous commit.
    Since(CommitSha),
    /// Those of the pull request that the check run of the commit remembers; otherwise everything that differs from a
    /// previous commit, if there is one. GitHub does not say which pull request a fork's commit belongs to.
    Remembered { before: Option<CommitSha> },
}

impl Files {
    /// A pull request's files may have to be listed.
    pub(super) const fn may_be_of_pull_requests(&self) -> bool {
        matches!(self, Self::PullRequests { .. } | Self::Remembered { .. })
    }

    /// Those of a push.
    pub(super) const fn pushed(&self) -> Option<&PushedFiles> {
        match self {
            Self::Push(push) => Some(push),
            Self::PullRequests { .. } | Self::Directory { .. } | Self::Since(_) | Self::Remembered { .. } => {
                None
            }
        }
    }
}

/// A push.
#[derive(Debug)]
pub(super) struct PushedFiles {
    pub(super) to_default_branch: bool,
    pub(super) listed: Pushed,
    /// Where the branch was, if it existed.
    pub(super) before: Option<CommitSha>,
    /// The list of changes may be incomplete: the branch was force-pushed, or is new.
    pub(super) moved: bool,
}

/// What a push says about its files.
#[derive(Debug)]
pub(super) enum Pushed {
    /// The commits.
    Commits(Vec<PushedCommit>),
    /// Too many commits; the files are those since that one.
    Since(CommitSha),
    /// Too many commits of a new branch.
    New,
}

impl PushedFiles {
    /// What the files are compared with: for this delivery what the caches hold, for later ones the previous commit.
    pub(super) fn base(&self) -> Base {
        Base { commit: self.before.clone(), remembered: Some(BTreeMap::new()), ..Base::default() }
    }
}

impl CommitEvent {
    /// A push that touches nothing relevant costs no request, not even to KV.
    pub(super) fn means_nothing(&self) -> bool {
        let Files::Push(PushedFiles { to_default_branch, listed: Pushed::Commits(commits), moved, .. }) =
            &self.files
        else {
            return false;
        };
        let home = self.target.home;
        let caches_care = *to_default_branch && (*moved || !touched_by_commits(commits, home).is_empty());
        !caches_care && Changes::of_commits(commits, home).is_empty()
    }
}

impl Event {
    /// Whom it is about, if relevant.
    pub(super) const fn owner(&self) -> Option<&Owner> {
        match self {
            Self::Ignored(_) => None,
            Self::Installation(owner) => Some(owner),
            Self::Commit(commit) => Some(&commit.target.owner),
        }
    }

    /// What the event means.
    pub(super) fn read(
        name: &str,
        json: &[u8],
        webhook: &WebhookConfig,
        config: &ExchangeConfig,
    ) -> Result<Self, Problem> {
        let is_known = matches!(
            name,
            "push"
                | "pull_request"
                | "check_suite"
                | "check_run"
                | "merge_group"
                | "installation"
                | "installation_repositories"
        );
        if !is_known {
            return Ok(Self::Ignored("the service does not handle this event"));
        }
        let envelope: Envelope = parse(json)?;
        let login = match &envelope {
            Envelope { repository: Some(repository), .. } => &repository.owner.login,
            Envelope { installation: Some(installation), .. } => match &installation.account {
                Some(account) => &account.login,
                None => return Err(missing("installation.account")),
            },
            Envelope { .. } => return Err(missing("repository")),
        };
        let filter = webhook.owners.as_ref();
        if filter.is_some_and(|owners| !owners.contains(&login.to_ascii_lowercase())) {
            return Ok(Self::Ignored("the owner is not on this server's list"));
        }
        let Ok(owner) = login.parse::<Owner>() else {
            return Ok(Self::Ignored("no exchange is possible for an owner with this name"));
        };
        if matches!(name, "installation" | "installation_repositories") {
            return Ok(Self::Installation(owner));
        }
        if let Some(reason) = irrelevant(name, &envelope) {
            return Ok(Self::Ignored(reason));
        }
        Self::of_commit(name, json, envelope, owner, (webhook, config))
    }

    fn of_commit(
        name: &str,
        json: &[u8],
        envelope: Envelope,
        owner: Owner,
        (webhook, config): (&WebhookConfig, &ExchangeConfig),
    ) -> Result<Self, Problem> {
        let Some(member) = envelope.repository else { return Err(missing("repository")) };
        let name_of_repository = member.name.ok_or_else(|| missing("repository.name"))?;
        let Ok(repository) = name_of_repository.parse::<Repository>() else {
            return Ok(Self::Ignored("no exchange is possible for a repository with this name"));
        };
        let default_branch = member.default_branch.as_deref();
        let anew = envelope.action.as_deref() == Some("rerequested");
        let mut of_a_fork = false;
        let found = match name {
            "push" => push(parse(json)?, default_branch),
            "pull_request" => {
                let event: PullRequestEvent = parse(json)?;
                of_a_fork = event.pull_request.is_of_a_fork();
                pull_request(event)
            }
            "merge_group" => {
                let MergeGroupEvent { merge_group } = parse(json)?;
                let MergeGroup { head_sha: Sha(head), base_sha: Sha(base) } = merge_group;
                Ok((head, Files::Since(base)))
            }
            "check_suite" => {
                let CheckSuiteEvent { check_suite } = parse(json)?;
                suite(check_suite, default_branch, member.id, anew)
            }
            _ => {
                let CheckRunEvent { check_run } = parse(json)?;
                match check_run.name {
                    Some(name) if name != check::NAME => Err("the check run is not this service's"),
                    _ => suite(check_run.check_suite, default_branch, member.id, anew),
                }
            }
        };
        let (head, files) = match found {
            Ok(found) => found,
            Err(reason) => return Ok(Self::Ignored(reason)),
        };
        let home = if config.policy_repository.is(repository.as_str()) {
            PolicyHome::OrganizationPolicyRepository
        } else {
            PolicyHome::Repository
        };
        Ok(Self::Commit(Box::new(CommitEvent {
            target: Target { owner, repository, home },
            installation_id: envelope.installation.map(|installation| installation.id),
            head,
            files,
            anew,
            of_a_fork,
            is_reported_always: webhook.report_always && matches!(name, "pull_request" | "merge_group"),
        })))
    }
}

/// The commit and its files, or why there is nothing to do.
type Found = Result<(CommitSha, Files), &'static str>;

fn missing(member: &str) -> Problem {
    Problem::InvalidRequest(format!("the body is not the event's json: `{member}` is missing"))
}

fn irrelevant(name: &str, envelope: &Envelope) -> Option<&'static str> {
    let action = envelope.action.as_deref().unwrap_or_default();
    let is_relevant = match name {
        "push" => true,
        "pull_request" => match action {
            "opened" | "synchronize" | "reopened" => true,
            // With another base, other files count as changed.
            "edited" => envelope.changes.as_ref().is_some_and(|changes| changes.base.is_some()),
            _ => false,
        },
        "merge_group" => action == "checks_requested",
        "check_suite" => matches!(action, "requested" | "rerequested"),
        _ => action == "rerequested",
    };
    let is_about_checks = matches!(name, "check_suite" | "check_run");
    if is_about_checks && envelope.sender.as_ref().is_some_and(Sender::is_bot) {
        // Our own check run causes such an event too; reacting to it would never end.
        return Some("a bot caused the event");
    }
    (!is_relevant).then_some("the service does not handle this action")
}

fn push(push: Push, default_branch: Option<&str>) -> Found {
    let Push { before: Sha(before), after: Sha(after), commits, .. } = push;
    if push.deleted || after.is_zero() {
        return Err("the branch was deleted");
    }
    let branch = push.r#ref.as_deref().map(|name| name.strip_prefix("refs/heads/"));
    let to_default_branch = match (branch, default_branch) {
        (Some(None), _) => return Err("not a branch"),
        (Some(branch), Some(default)) => branch == Some(default),
        // The branch is not known: clearing too much costs a request, and clearing too little leaves a hole.
        (None, _) | (_, None) => true,
    };
    let moved = push.forced || before.is_zero();
    let before = Some(before).filter(|sha| !sha.is_zero());
    let files = |commit: &PushedCommit| commit.added.len() + commit.modified.len() + commit.removed.len();
    let is_complete = commits.iter().all(|commit| files(commit) < MAX_FILES_OF_A_COMMIT)
        && commits.iter().map(files).sum::<usize>() < MAX_FILES_OF_A_PUSH;
    let listed = if commits.len() < COMMITS_TO_COMPARE && is_complete {
        Pushed::Commits(commits)
    } else {
        before.clone().map_or(Pushed::New, Pushed::Since)
    };
    Ok((after, Files::Push(PushedFiles { to_default_branch, listed, before, moved })))
}

fn pull_request(event: PullRequestEvent) -> Found {
    let PullRequestEvent { number, pull_request } = event;
    let PullRequest { head: Tip { sha: Sha(head), .. }, base, changed_files } = pull_request;
    let base = base.map(|Tip { sha: Sha(sha), .. }| sha);
    Ok((head, Files::PullRequests { files: vec![PullRequestFiles { number, changed_files }], base }))
}

fn suite(suite: CheckSuite, default_branch: Option<&str>, repository: Option<u64>, anew: bool) -> Found {
    let CheckSuite { head_sha: Sha(head), head_branch, before, pull_requests } = suite;
    let before = before.map(|Sha(sha)| sha).filter(|sha| !sha.is_zero());
    if head_branch.is_some() && head_branch.as_deref() == default_branch {
        return Ok((head, Files::Directory { before }));
    }
    // A suite also lists pull requests of other repositories of the network, which this installation may not read.
    let (numbers, bases): (Vec<u64>, Vec<Option<CommitSha>>) = pull_requests
        .into_iter()
        .filter(|pull_request| pull_request.is_of(repository))
        .map(|pull_request| (pull_request.number, pull_request.base.map(|Tip { sha: Sha(sha), .. }| sha)))
        .unzip();
    if !numbers.is_empty() {
        let files =
            numbers.into_iter().map(|number| PullRequestFiles { number, changed_files: None }).collect();
        return Ok((head, Files::PullRequests { files, base: bases.into_iter().flatten().next() }));
    }
    match before {
        before if anew => Ok((head, Files::Remembered { before })),
        Some(before) => Ok((head, Files::Since(before))),
        None => Err("a new branch without a pull request"),
    }
}
