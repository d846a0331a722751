//! One commit of one repository and the token to check it with: what changed in it, and what its files say.

use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::future::join_all;

use crate::config::ExchangeConfig;
use crate::context::Context;
use crate::github::{self, BaseUrl, CommitSha, Failure, File};
use crate::names::{NameError, Owner, Repository, Scope};
use crate::policy::trusted_issuers::{self, TrustedIssuers};
use crate::policy::{self, CompiledPolicy, Diagnostic, Level, PolicyHome, Severity};
use crate::secret::Secret;
use crate::sts::{Remembered, Service, TRUSTED_ISSUERS_PATH, granted_permissions};
use crate::webhook::changes::{Change, State};
use crate::webhook::paths::Kind;
use crate::webhook::words::Setting;

/// The platform lets one request have six connections at a time.
/// <https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections>
pub(super) const AT_ONCE: usize = 6;

/// Which repository of whom.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) owner: Owner,
    pub(super) repository: Repository,
    pub(super) home: PolicyHome,
}

/// A commit, and what it takes to read it.
pub(super) struct Commit<'a> {
    pub(super) target: &'a Target,
    pub(super) head: &'a CommitSha,
    pub(super) token: &'a Secret,
    pub(super) service: &'a Service,
    pub(super) config: &'a ExchangeConfig,
    pub(super) context: &'a Context,
}

/// What a changed file is compared with.
#[derive(Debug, Clone, Default)]
pub(super) struct Base {
    /// The commit before. One request for each file.
    pub(super) commit: Option<CommitSha>,
    /// It is the base of a pull request, and not only what was there before the last push.
    pub(super) of_pull_request: bool,
    /// What the caches held of the default branch, before they were told to forget it. Where it is there, it is what is
    /// compared with: a push costs no request more.
    pub(super) remembered: Option<Vec<(String, Before)>>,
}

/// What was found at a path.
#[derive(Debug)]
pub(super) struct FileReport {
    pub(super) path: String,
    pub(super) verdict: Verdict,
    pub(super) before: Before,
    /// In the order of the file.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Where a valid policy's permissions stand: line and column.
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
    /// Nobody asked, or nobody could tell.
    Unknown,
}

/// What the caches hold of a file on the default branch.
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
}

/// What lies at a path.
enum Content {
    Regular(Vec<u8>),
    Absent,
    /// Nothing that an exchange would read, and why.
    Unreadable(&'static str),
}

impl Commit<'_> {
    pub(super) fn base_url(&self) -> &BaseUrl {
        &self.config.app.base
    }

    pub(super) fn setting(&self) -> Setting<'_> {
        let Target { owner, repository, .. } = self.target;
        Setting { owner, repository, domain: &self.config.domain }
    }

    /// Reads every changed file. The first alone: where GitHub limits our rate, one request finds out.
    pub(super) async fn files(&self, changes: &[&Change], base: &Base) -> Result<Vec<FileReport>, Failure> {
        let (first, rest) = changes.split_at(changes.len().min(1));
        let mut reports = Vec::with_capacity(changes.len());
        for some in std::iter::once(first).chain(rest.chunks(AT_ONCE)) {
            for report in join_all(some.iter().map(|change| self.file(change, base))).await {
                reports.push(report?);
            }
        }
        self.compare_with_installation(&mut reports).await;
        Ok(reports)
    }

    async fn file(&self, change: &Change, base: &Base) -> Result<FileReport, Failure> {
        let path = change.path.clone();
        let report = |verdict, diagnostics| FileReport {
            path,
            verdict,
            before: Before::Unknown,
            diagnostics,
            places: BTreeMap::new(),
        };
        let mut report = match (&change.kind, &change.state) {
            (Kind::IllegalName, _) => report(Verdict::Unread, vec![illegal_name()]),
            (Kind::Misnamed, _) => report(Verdict::Unread, vec![misnamed(&change.path)]),
            (_, State::Removed) => report(Verdict::Removed, Vec::new()),
            (
                kind @ (Kind::Policy(_) | Kind::TrustedIssuers),
                State::Added | State::Present | State::Modified { .. },
            ) => match self.content(&change.path, self.head).await? {
                Content::Regular(content) => {
                    let (verdict, diagnostics) = load(kind, &content, self.target.home);
                    let mut report = report(verdict, diagnostics);
                    report.places = places(&report.verdict, &content);
                    report
                }
                Content::Absent => report(Verdict::Unreadable("it is not there at this commit"), Vec::new()),
                Content::Unreadable(why) => report(Verdict::Unreadable(why), Vec::new()),
            },
        };
        if change.kind.is_read() {
            report.before = self.before(change, base).await;
        }
        Ok(report)
    }

    /// What lies at a path at a commit.
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
            State::Modified { from: None } | State::Removed => &change.path,
        };
        let kind = Kind::of(path, self.target.home).filter(Kind::is_read);
        match (kind, base) {
            (Some(_), Base { remembered: Some(files), .. }) => files
                .iter()
                .find(|(known, _)| known == path)
                .map_or(Before::Unknown, |(_, before)| before.clone()),
            (Some(kind), Base { commit: Some(sha), .. }) => match self.content(path, sha).await {
                Ok(Content::Regular(content)) => match load(&kind, &content, self.target.home).0 {
                    Verdict::Policy(policy) => Before::Policy(policy),
                    Verdict::Issuers(issuers) => Before::Issuers(issuers),
                    Verdict::Invalid | Verdict::Unreadable(_) | Verdict::Unread | Verdict::Removed => {
                        Before::Broken
                    }
                },
                Ok(Content::Absent) => Before::Absent,
                // What a change changes is worth saying and not worth failing for.
                Ok(Content::Unreadable(_)) | Err(_) => Before::Unknown,
            },
            (Some(_), Base { commit: None, remembered: None, .. }) | (None, _) => Before::Unknown,
        }
    }

    /// A permission that a policy grants and the installation does not have makes every exchange fail. What every
    /// installation that can check a commit has needs no look.
    async fn compare_with_installation(&self, reports: &mut [FileReport]) {
        let goes_further = |report: &FileReport| {
            matches!(&report.verdict, Verdict::Policy(policy)
                if policy.permissions().iter().any(|(name, level)| !is_proven(name, level)))
        };
        if !reports.iter().any(goes_further) {
            return;
        }
        let Target { owner, repository, .. } = self.target;
        let scope = Scope::Repository { owner: owner.clone(), repository: repository.clone() };
        let granted = granted_permissions(&scope, self.service, self.config, self.context).await;
        let Some(granted) = granted.filter(|granted| !granted.is_empty()) else { return };
        for report in reports {
            let Verdict::Policy(policy) = &report.verdict else { continue };
            let lacking = policy.permissions().iter().filter(|(name, level)| !has(&granted, name, *level));
            for (name, level) in lacking {
                let place = report.places.get(name).copied().unwrap_or((1, 1));
                let behind = report.diagnostics.partition_point(|known| (known.line, known.column) <= place);
                report.diagnostics.insert(behind, not_installed(name, level, place));
            }
        }
    }
}

/// The verdict: by the very functions that the exchange uses.
fn load(kind: &Kind, content: &[u8], home: PolicyHome) -> (Verdict, Vec<Diagnostic>) {
    let (value, diagnostics) = match kind {
        Kind::TrustedIssuers => {
            let report = trusted_issuers::load(content);
            (report.value.map(|issuers| Verdict::Issuers(Rc::new(issuers))), report.diagnostics)
        }
        Kind::Policy(_) | Kind::IllegalName | Kind::Misnamed => {
            let report = policy::load(content, home);
            (report.value.map(|policy| Verdict::Policy(Rc::new(policy))), report.diagnostics)
        }
    };
    (value.unwrap_or(Verdict::Invalid), diagnostics)
}

/// Our own token proves these, whatever else the installation has.
fn is_proven(name: &str, level: Level) -> bool {
    match name {
        "metadata" | "contents" => level == Level::Read,
        "checks" => level <= Level::Write,
        _ => false,
    }
}

fn has(granted: &BTreeMap<String, String>, name: &str, level: Level) -> bool {
    is_proven(name, level)
        || granted.get(name).and_then(|has| has.parse::<Level>().ok()).is_some_and(|has| has >= level)
}

fn not_installed(name: &str, level: Level, (line, column): (u32, u32)) -> Diagnostic {
    Diagnostic {
        code: "permission-not-installed",
        severity: Severity::Warning,
        message: format!(
            "the installation does not have `{name}: {level}`: github will refuse every exchange"
        ),
        line,
        column,
        suggestion: Some("grant it to the app, or accept it in the installation's settings".to_owned()),
    }
}

fn illegal_name() -> Diagnostic {
    Diagnostic {
        code: "identity-name",
        severity: Severity::Error,
        message: format!("no caller can name this policy: {}", NameError::Identity),
        line: 1,
        column: 1,
        suggestion: Some("rename the file".to_owned()),
    }
}

fn misnamed(path: &str) -> Diagnostic {
    let (message, suggestion) = if path == TRUSTED_ISSUERS_PATH {
        let message = "the list of trusted issuers counts only in the organization's policy repository";
        (message, "move the file there")
    } else {
        ("nothing reads a file of this name", "a policy's name ends in `.sts.yaml`")
    };
    Diagnostic {
        code: "file-misnamed",
        severity: Severity::Warning,
        message: message.to_owned(),
        line: 1,
        column: 1,
        suggestion: Some(suggestion.to_owned()),
    }
}

/// Where each permission of a valid policy stands: the first place of its name as a key that is not in a comment. It
/// decides where a note is shown and nothing else.
fn places(verdict: &Verdict, content: &[u8]) -> BTreeMap<String, (u32, u32)> {
    let (Verdict::Policy(policy), Ok(text)) = (verdict, std::str::from_utf8(content)) else {
        return BTreeMap::new();
    };
    let place = |name: &str| {
        (1..).zip(text.lines()).find_map(|(line, text)| {
            let code = text.split(" #").next().filter(|code| !code.trim_start().starts_with('#'))?;
            let (before, _) = code.match_indices(name).find_map(|(at, name)| {
                let (before, rest) = code.split_at_checked(at)?;
                let is_key = rest.get(name.len()..)?.trim_start_matches(['\'', '"']).starts_with(':');
                let is_whole = !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
                (is_key && is_whole).then_some((before, rest))
            })?;
            Some((line, u32::try_from(before.chars().count()).ok()?.saturating_add(1)))
        })
    };
    let mut places = BTreeMap::new();
    places.extend(policy.permissions().iter().filter_map(|(name, _)| Some((name.to_owned(), place(name)?))));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_stands_where_its_key_is() {
        let content = b"# issues: no\nissuer: https://a.example.com\nsubject: 'issues: x' # issues: x\npermissions: {contents: read, \"issues\": write,\n  statuses: write}\n";
        let report = policy::load(content, PolicyHome::Repository);
        let verdict = Verdict::Policy(Rc::new(report.value.unwrap()));
        let places = places(&verdict, content);
        assert_eq!(places.get("contents"), Some(&(4, 15)));
        assert_eq!(places.get("statuses"), Some(&(5, 3)));
        // Good enough: the first text that looks like the key.
        assert_eq!(places.get("issues"), Some(&(3, 11)));
    }

    #[test]
    fn a_lower_level_is_part_of_a_higher_one() {
        let granted = BTreeMap::from([
            ("issues".to_owned(), "write".to_owned()),
            ("pages".to_owned(), "novel".to_owned()),
        ]);
        assert!(has(&granted, "issues", Level::Read) && has(&granted, "issues", Level::Write));
        assert!(!has(&granted, "issues", Level::Admin) && !has(&granted, "pages", Level::Read));
        assert!(has(&granted, "contents", Level::Read) && !has(&granted, "contents", Level::Write));
        assert!(has(&granted, "metadata", Level::Read) && has(&granted, "checks", Level::Write));
    }
}
