//! One commit of one repository and the token to check it with: what changed in it, and what its files say.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::future::join_all;

use crate::apps::granted_permissions;
use crate::config::ExchangeConfig;
use crate::context::Context;
use crate::github::{self, BaseUrl, CommitSha, Failure, File};
use crate::names::{Owner, Repository, Scope};
use crate::policy::trusted_issuers::TrustedIssuers;
use crate::policy::{Accepted, CompiledPolicy, Diagnostic, PolicyHome, Severity};
use crate::secret::Secret;
use crate::sts::{Remembered, Service};
use crate::webhook::changes::{Change, Changes, State};
use crate::webhook::load::{Loaded, load};
use crate::webhook::notes::{NOT_INSTALLED, has, illegal_name, is_proven, misnamed, not_installed, places};
use crate::webhook::paths::Kind;
use crate::webhook::quota::Account;
use crate::webhook::words::Setting;

/// The platform lets one request have six connections at a time.
/// <https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections>
pub(super) const AT_ONCE: usize = 6;

/// One delivery sends at most this many requests. The platform's smallest plan has 50, which is enough for about 38
/// policies; the others have 10,000. <https://developers.cloudflare.com/workers/platform/limits/#subrequests>
const MAX_REQUESTS: u32 = 1000;

/// Requests after the files are read: a look-up and the run, a look-up after the answer, the token's revocation.
pub(super) const REQUESTS_AROUND: u64 = 4;

/// The repository and its owner.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) owner: Owner,
    pub(super) repository: Repository,
    pub(super) home: PolicyHome,
}

/// A commit, and the means to read it.
pub(super) struct Commit<'a> {
    pub(super) target: &'a Target,
    pub(super) head: &'a CommitSha,
    pub(super) token: &'a Secret,
    pub(super) service: &'a Service,
    pub(super) config: &'a ExchangeConfig,
    pub(super) context: &'a Context,
    /// What its delivery may spend.
    pub(super) account: &'a Account,
    /// The installation's permissions; requested once, whether or not that succeeds.
    pub(super) granted: OnceCell<Option<BTreeMap<String, String>>>,
}

/// What a changed file is compared with.
#[derive(Debug, Clone, Default)]
pub(super) struct Base {
    /// The commit before. One request for each file.
    pub(super) commit: Option<CommitSha>,
    /// It is the base of a pull request, and not only the state before the last push.
    pub(super) of_pull_request: bool,
    /// The number of that pull request.
    pub(super) pull_request: Option<u64>,
    /// What the caches held for the default branch, before they were cleared. If present, it is used for the
    /// comparison, so a push costs no additional request.
    pub(super) remembered: Option<BTreeMap<String, Before>>,
}

impl Base {
    /// Only GitHub knows what existed before.
    pub(super) fn is_asked_for(&self) -> bool {
        matches!(self.against(), Some(Against::Commit(_)))
    }

    fn against(&self) -> Option<Against> {
        match (&self.remembered, &self.commit) {
            (Some(_), _) => Some(Against::Caches),
            (None, Some(commit)) => Some(Against::Commit(commit.clone())),
            (None, None) => None,
        }
    }
}

/// Where the previous version of a file was searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Against {
    Caches,
    Commit(CommitSha),
}

/// What was found at a path.
#[derive(Debug)]
pub(super) struct FileReport {
    pub(super) path: String,
    /// The diagnostics.
    state: State,
    pub(super) verdict: Verdict,
    pub(super) before: Before,
    /// Where `before` was searched for, found or not.
    against: Option<Against>,
    /// In the order of the file.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Warnings that comments in the file accept.
    pub(super) accepted: Vec<Accepted>,
    /// Where a valid policy's permissions are: line and column.
    places: BTreeMap<String, (u32, u32)>,
}

/// What a file is.
#[derive(Debug)]
pub(super) enum Verdict {
    Policy(Rc<CompiledPolicy>),
    Issuers(Rc<TrustedIssuers>),
    /// Its diagnostics say why.
    Invalid,
    /// It could not be read, and why.
    Unreadable(&'static str),
    /// Nothing reads a file of this name; its diagnostic says why.
    Unread,
    Removed,
}

/// What the file was.
#[derive(Debug, Clone)]
pub(super) enum Before {
    Policy(Rc<CompiledPolicy>),
    Issuers(Rc<TrustedIssuers>),
    Broken,
    Absent,
    /// Nobody asked, or it is not known.
    Unknown,
}

/// What the caches hold for a file on the default branch.
pub(super) async fn remembered(
    kind: &Kind,
    target: &Target,
    service: &Service,
    config: &ExchangeConfig,
    context: &Context,
) -> Before {
    let Target { owner, repository, home } = target;
    match kind {
        Kind::Policy(identity) => {
            match service.remembered_policy(owner, repository, identity, *home, config, context).await {
                Remembered::Valid(policy) => Before::Policy(policy),
                Remembered::Broken => Before::Broken,
                Remembered::Absent => Before::Absent,
                Remembered::Nothing => Before::Unknown,
            }
        }
        Kind::TrustedIssuers => match service.remembered_issuers(owner, config, context).await {
            Remembered::Valid(issuers) => Before::Issuers(issuers),
            Remembered::Broken => Before::Broken,
            Remembered::Absent => Before::Absent,
            Remembered::Nothing => Before::Unknown,
        },
        Kind::IllegalName | Kind::Misnamed => Before::Unknown,
    }
}

impl FileReport {
    /// Whether the check fails because of this file.
    pub(super) fn fails(&self) -> bool {
        matches!(self.verdict, Verdict::Unreadable(_) | Verdict::Invalid)
            || self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether it covers a change, so that nothing else has to be read.
    pub(super) fn is_of(&self, change: &Change) -> bool {
        self.path == change.path
            && (self.state == change.state || self.state.is_there() && change.state.is_there())
    }

    /// Whether it says what the change does, relative to that base.
    pub(super) fn is_compared(&self, change: &Change, base: &Base) -> bool {
        self.path == change.path && self.state == change.state && self.against == base.against()
    }
}

/// What is at a path.
enum Content {
    Regular(Vec<u8>),
    Absent,
    /// Not a file that an exchange would read, and why.
    Unreadable(&'static str),
}

impl Commit<'_> {
    pub(super) fn base_url(&self) -> &BaseUrl {
        &self.config.app.base
    }

    /// How many requests the delivery may send in all.
    pub(super) fn allowance(&self) -> u32 {
        self.account.left().min(MAX_REQUESTS)
    }

    /// Counts this many files, and related requests, before they are read.
    pub(super) fn reserve(&self, files: usize) {
        let files = u64::try_from(files).unwrap_or(u64::MAX);
        let sent = u64::from(self.context.subrequests());
        self.account.reserve(files.saturating_add(sent).saturating_add(REQUESTS_AROUND), self.context);
    }

    pub(super) fn setting(&self) -> Setting<'_> {
        let Target { owner, repository, .. } = self.target;
        Setting { owner, repository, domain: &self.config.authn.domain }
    }

    /// Reads every changed file that is not read yet. The first one alone, so that a single request finds out if GitHub
    /// limits our rate.
    pub(super) async fn files<'a>(
        &self,
        changes: &Changes,
        read: Vec<FileReport>,
        base_of: &dyn Fn(&Change) -> &'a Base,
    ) -> Result<Vec<FileReport>, Failure> {
        let mut read: BTreeMap<String, FileReport> =
            read.into_iter().map(|report| (report.path.clone(), report)).collect();
        let all: Vec<(&Change, Option<FileReport>)> = changes
            .iter()
            .map(|change| (change, read.remove(&change.path).filter(|report| report.is_of(change))))
            .collect();
        let mut reports = Vec::with_capacity(all.len());
        let mut waiting = all.into_iter();
        let mut at_once = 1;
        loop {
            let some: Vec<_> = waiting.by_ref().take(at_once).collect();
            if some.is_empty() {
                return Ok(reports);
            }
            let read = some.into_iter().map(|(change, known)| self.file(change, known, base_of(change)));
            for report in join_all(read).await {
                reports.push(report?);
            }
            at_once = AT_ONCE;
        }
    }

    async fn file(
        &self,
        change: &Change,
        known: Option<FileReport>,
        base: &Base,
    ) -> Result<FileReport, Failure> {
        let mut report = match known {
            Some(report) => report,
            None => self.read(change).await?,
        };
        let against = base.against();
        let is_stale = report.state != change.state || against.is_some() && report.against != against;
        if change.kind.is_read() && is_stale {
            report.before = self.before(change, base).await;
            report.against = against;
        }
        report.state = change.state.clone();
        Ok(report)
    }

    async fn read(&self, change: &Change) -> Result<FileReport, Failure> {
        let report = |verdict, diagnostics| FileReport {
            path: change.path.clone(),
            state: change.state.clone(),
            verdict,
            before: Before::Unknown,
            against: None,
            diagnostics,
            accepted: Vec::new(),
            places: BTreeMap::new(),
        };
        let content = match (&change.kind, &change.state) {
            (Kind::IllegalName, _) => return Ok(report(Verdict::Unread, vec![illegal_name()])),
            (Kind::Misnamed, _) => return Ok(report(Verdict::Unread, vec![misnamed(&change.path)])),
            (_, State::Removed) => return Ok(report(Verdict::Removed, Vec::new())),
            (Kind::Policy(_) | Kind::TrustedIssuers, state) => {
                match self.content(&change.path, self.head).await? {
                    Content::Absent if matches!(state, State::Contested | State::Withdrawn) => {
                        self.see_repository().await?;
                        self.content(&change.path, self.head).await?
                    }
                    content @ (Content::Regular(_) | Content::Absent | Content::Unreadable(_)) => content,
                }
            }
        };
        Ok(match (content, &change.state) {
            (Content::Regular(content), _) => {
                let Loaded { verdict, diagnostics, accepted } =
                    load(&change.kind, &content, self.target.home);
                let places = places(&verdict, &content);
                FileReport { accepted, places, ..report(verdict, diagnostics) }
            }
            (Content::Absent, State::Contested | State::Withdrawn) => report(Verdict::Removed, Vec::new()),
            (Content::Absent, _) => report(Verdict::Unreadable("it is not there at this commit"), Vec::new()),
            (Content::Unreadable(why), _) => report(Verdict::Unreadable(why), Vec::new()),
        })
    }

    /// What is at a path at a commit.
    async fn content(&self, path: &str, at: &CommitSha) -> Result<Content, Failure> {
        let Target { owner, repository, .. } = self.target;
        let call = github::read_file_at(self.base_url(), owner, repository, path, at, self.token);
        match call.send(&*self.context.ports.fetch).await {
            Ok(File::Regular { content, .. }) => Ok(Content::Regular(content)),
            Ok(File::Other) => {
                Ok(Content::Unreadable("it is a directory, a symlink, a submodule or too large"))
            }
            Err(Failure::TooLarge) => Ok(Content::Unreadable("it is too large")),
            Err(Failure::NotFound | Failure::Redirected) => Ok(Content::Absent),
            Err(Failure::Forbidden) => Ok(Content::Unreadable("github refuses to show it")),
            Err(failure) => Err(failure),
        }
    }

    async fn before(&self, change: &Change, base: &Base) -> Before {
        let path = match &change.state {
            State::Added => return Before::Absent,
            State::Present => return Before::Unknown,
            State::Modified { from: Some(path) } => path,
            State::Modified { from: None } | State::Removed | State::Contested | State::Withdrawn => {
                &change.path
            }
        };
        let kind = Kind::of(path, self.target.home).filter(Kind::is_read);
        match (kind, base) {
            (Some(_), Base { remembered: Some(files), .. }) => {
                files.get(path).cloned().unwrap_or(Before::Unknown)
            }
            (Some(kind), Base { commit: Some(sha), .. }) => match self.content(path, sha).await {
                Ok(Content::Regular(content)) => match load(&kind, &content, self.target.home).verdict {
                    Verdict::Policy(policy) => Before::Policy(policy),
                    Verdict::Issuers(issuers) => Before::Issuers(issuers),
                    Verdict::Invalid | Verdict::Unreadable(_) | Verdict::Unread | Verdict::Removed => {
                        Before::Broken
                    }
                },
                Ok(Content::Absent) => Before::Absent,
                // The effect of a change is worth reporting, but a failure to find it does not fail the check.
                Ok(Content::Unreadable(_)) | Err(_) => Before::Unknown,
            },
            (Some(_), Base { commit: None, remembered: None, .. }) | (None, _) => Before::Unknown,
        }
    }

    /// A permission that a policy grants and the installation does not have makes every exchange fail. Permissions that
    /// every installation needs to check a commit are not looked up.
    pub(super) async fn compare_with_installation(&self, reports: &mut [FileReport]) {
        let goes_further = |report: &FileReport| {
            matches!(&report.verdict, Verdict::Policy(policy)
                if policy.permissions().iter().any(|(name, level)| !is_proven(name, level)))
        };
        if !reports.iter().any(goes_further) {
            return;
        }
        if self.granted.get().is_none() {
            let Target { owner, repository, .. } = self.target;
            let scope = Scope::Repository { owner: owner.clone(), repository: repository.clone() };
            let granted =
                granted_permissions(&scope, &self.service.apps, &self.config.app, self.context).await;
            self.granted.set(granted).unwrap_or_default();
        }
        let granted = self.granted.get().and_then(Option::as_ref);
        let Some(granted) = granted.filter(|granted| !granted.is_empty()) else { return };
        for report in reports {
            report.diagnostics.retain(|known| known.code != NOT_INSTALLED);
            let Verdict::Policy(policy) = &report.verdict else { continue };
            let lacking = policy.permissions().iter().filter(|(name, level)| !has(granted, name, *level));
            for (name, level) in lacking {
                let place = report.places.get(name).copied().unwrap_or((1, 1));
                let behind = report.diagnostics.partition_point(|known| (known.line, known.column) <= place);
                report.diagnostics.insert(behind, not_installed(name, level, place));
            }
        }
    }
}
