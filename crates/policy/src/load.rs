//! The rules of a trust policy, each with its own diagnostic code. One pass reports every problem of the file.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::Repository;

use super::compiled::{AppRule, AudienceRule, CompiledPolicy, Matcher, PolicyHome};
use super::diagnostic::{Place, Problems, Report, nearest, quoted};
use super::document::{self, Entry, Node, NodeKind, Source, Text};
use super::fields::{self, Fields, Vocabulary};
use super::lint;
use super::pattern::Pattern;
use super::permissions::{Known, Level, Permissions, Subject, known_permission, known_permissions};

/// GitHub mints a token for at most 500 named repositories.
pub(super) const MAX_REPOSITORIES: usize = 500;

/// More restrictions than this are a mistake; each costs time in every exchange.
pub(super) const MAX_CLAIM_PATTERNS: usize = 32;

pub(super) const POLICY: Vocabulary = Vocabulary {
    file: "a policy",
    keys: &[
        "issuer",
        "issuer_pattern",
        "subject",
        "subject_pattern",
        "audience",
        "audience_pattern",
        "claim_pattern",
        "permissions",
        "repositories",
        "app",
        "app_pattern",
    ],
};

/// The error of a policy that does not say what it grants.
pub(super) const PERMISSIONS_MISSING: &str = "permissions-missing";

/// A rule with two spellings, of which one may be used.
struct Pair {
    exact: &'static str,
    pattern: &'static str,
    missing: &'static str,
    conflict: &'static str,
}

const ISSUER: Pair = Pair {
    exact: "issuer",
    pattern: "issuer_pattern",
    missing: "issuer-missing",
    conflict: "issuer-conflict",
};
const SUBJECT: Pair = Pair {
    exact: "subject",
    pattern: "subject_pattern",
    missing: "subject-missing",
    conflict: "subject-conflict",
};
const AUDIENCE: Pair =
    Pair { exact: "audience", pattern: "audience_pattern", missing: "", conflict: "audience-conflict" };

const APP: Pair = Pair { exact: "app", pattern: "app_pattern", missing: "", conflict: "app-conflict" };

/// A rule and the text it was made from.
pub(super) struct Located<'n, T> {
    pub(super) rule: T,
    pub(super) text: &'n Text,
}

/// The valid parts of a file.
pub(super) struct Draft<'n> {
    pub(super) home: PolicyHome,
    pub(super) issuer: Option<Located<'n, Matcher>>,
    pub(super) subject: Option<Located<'n, Matcher>>,
    pub(super) audience: Option<Located<'n, Matcher>>,
    /// The key's text, and the pattern with its own.
    pub(super) claim_patterns: Vec<(&'n Text, Located<'n, Pattern>)>,
    /// The name's text.
    pub(super) permissions: Vec<(&'n Text, Level)>,
    pub(super) repositories: Option<Vec<Repository>>,
    pub(super) app: Option<Located<'n, Matcher>>,
}

/// Reads and compiles a policy, for an exchange: reports every error, and skips warnings. There is a value exactly if
/// no problem is an error.
///
/// Linear in the file's bytes and in the states of its patterns, each of which has at most 8192.
///
/// ```
/// use octo_sts_policy::{PolicyHome, load};
/// let report = load(b"
/// issuer: https://token.actions.githubusercontent.com
/// subject: repo:acme/app:ref:refs/heads/main
/// permissions: {contents: read}
/// ", PolicyHome::Repository);
/// assert!(report.value.is_some() && report.diagnostics.is_empty());
/// ```
#[must_use]
pub fn load(source: &[u8], home: PolicyHome) -> Report<CompiledPolicy> {
    read(source, home, |draft, _, _| compile(draft))
}

/// Like [`load`], with warnings, for reports to authors. Warnings do not change the verdict, so there is a value
/// exactly if [`load`] has one.
///
/// ```
/// use octo_sts_policy::{PolicyHome, check};
/// let report = check(b"
/// issuer: https://token.actions.githubusercontent.com
/// subject_pattern: repo:acme/.*
/// permissions: {contents: read}
/// ", PolicyHome::Repository);
/// assert!(report.value.is_some());
/// assert_eq!(report.diagnostics[0].code, "subject-pattern-open-repository");
/// ```
///
/// ```
/// use octo_sts_policy::{PolicyHome, check};
/// let report = check(b"issuer: https://token.actions.githubusercontent.com\nsubjcet: a\n", PolicyHome::Repository);
/// assert!(report.value.is_none());
/// for problem in report.errors() {
///     println!("{}: {}", problem.code, problem.message);
/// }
/// ```
#[must_use]
pub fn check(source: &[u8], home: PolicyHome) -> Report<CompiledPolicy> {
    read(source, home, |draft, source, problems| {
        lint::check(&draft, source, problems);
        compile(draft)
    })
}

/// Reads a file and makes of its draft what the caller wants.
pub(super) fn read<T>(
    source: &[u8],
    home: PolicyHome,
    make: impl FnOnce(Draft<'_>, &Source, &mut Problems) -> Option<T>,
) -> Report<T> {
    let mut problems = Problems::default();
    let Some(document) = document::read(source, &mut problems) else { return problems.into_report(None) };
    let Some(fields) = Fields::of(&document.root, &POLICY, &mut problems) else {
        return problems.into_report(None);
    };
    let draft = Loader { fields, source: &document.source, problems: &mut problems }.draft(home);
    let value = make(draft, &document.source, &mut problems);
    problems.into_report(value)
}

/// Reads what says *who*, for a file that grants nothing itself.
pub(super) fn who<'n>(fields: Fields<'n>, source: &Source, problems: &mut Problems) -> Draft<'n> {
    let mut loader = Loader { fields, source, problems };
    Draft {
        home: PolicyHome::Repository,
        issuer: loader.required(&ISSUER),
        subject: loader.required(&SUBJECT),
        audience: loader.optional(&AUDIENCE),
        claim_patterns: loader.claim_patterns(),
        permissions: Vec::new(),
        repositories: None,
        app: None,
    }
}

/// `None` if something required is missing, which is already reported.
fn compile(draft: Draft<'_>) -> Option<CompiledPolicy> {
    // Maps are extended, not collected, here and elsewhere: docs/adr/0008 has the cost of collecting one.
    let mut permissions = BTreeMap::new();
    permissions.extend(draft.permissions.iter().map(|(name, level)| (name.value.clone(), *level)));
    let claim_patterns = patterns(draft.claim_patterns);
    Some(CompiledPolicy {
        home: draft.home,
        issuer: draft.issuer?.rule,
        subject: draft.subject?.rule,
        audience: draft.audience.map_or(AudienceRule::Domain, |audience| AudienceRule::Named(audience.rule)),
        claim_patterns,
        permissions: Permissions::new(permissions)?,
        repositories: draft.repositories,
        app: match draft.app.map(|app| app.rule) {
            None => AppRule::Any,
            Some(Matcher::Exact(text)) => AppRule::Exact(text),
            Some(Matcher::Pattern(pattern)) => AppRule::Pattern(pattern),
        },
    })
}

/// The patterns by the names of their claims. A map is extended, not collected: docs/adr/0008 has the weight of that.
pub(super) fn patterns(drafted: Vec<(&Text, Located<'_, Pattern>)>) -> BTreeMap<String, Pattern> {
    let mut patterns = BTreeMap::new();
    patterns.extend(drafted.into_iter().map(|(name, pattern)| (name.value.clone(), pattern.rule)));
    patterns
}

/// What to write instead of several levels.
fn highest(levels: Vec<Option<Level>>) -> Option<String> {
    let levels: Vec<Level> = levels.into_iter().collect::<Option<_>>()?;
    let highest = levels.iter().max().filter(|_| levels.len() > 1)?;
    Some(format!("write `{highest}`, which includes the lower levels"))
}

struct Loader<'n, 'p> {
    fields: Fields<'n>,
    source: &'p Source,
    problems: &'p mut Problems,
}

impl<'n> Loader<'n, '_> {
    fn draft(mut self, home: PolicyHome) -> Draft<'n> {
        Draft {
            home,
            issuer: self.required(&ISSUER),
            subject: self.required(&SUBJECT),
            audience: self.optional(&AUDIENCE),
            claim_patterns: self.claim_patterns(),
            permissions: self.permissions(home),
            repositories: self.repositories(home),
            app: self.optional(&APP),
        }
    }

    fn required(&mut self, pair: &Pair) -> Option<Located<'n, Matcher>> {
        if self.fields.find(pair.exact).is_none() && self.fields.find(pair.pattern).is_none() {
            let message = format!("one of `{}` and `{}` is required", pair.exact, pair.pattern);
            self.problems.error(pair.missing, Place::START, message, None);
        }
        self.optional(pair)
    }

    fn optional(&mut self, pair: &Pair) -> Option<Located<'n, Matcher>> {
        let exact = self.fields.text(pair.exact, self.problems);
        let pattern = self.fields.text(pair.pattern, self.problems);
        let pattern = pattern.and_then(|text| {
            let rule = fields::pattern(text, &quoted(pair.pattern), self.source, self.problems)?;
            Some(Located { rule: Matcher::Pattern(rule), text })
        });
        if let (Some(first), Some(second)) = (self.fields.find(pair.exact), self.fields.find(pair.pattern)) {
            let place = first.key.place.max(second.key.place);
            let message = format!("only one of `{}` and `{}` is allowed", pair.exact, pair.pattern);
            self.problems.error(pair.conflict, place, message, Some("remove one of them".into()));
        }
        exact.map(|text| Located { rule: Matcher::Exact(text.value.clone()), text }).or(pattern)
    }

    fn claim_patterns(&mut self) -> Vec<(&'n Text, Located<'n, Pattern>)> {
        let Some((place, entries)) = self.fields.mapping("claim_pattern", self.problems) else {
            return Vec::new();
        };
        if entries.len() > MAX_CLAIM_PATTERNS {
            let message = format!(
                "`claim_pattern` has {} entries; at most {MAX_CLAIM_PATTERNS} are allowed",
                entries.len()
            );
            self.problems.error("too-many-claim-patterns", place, message, None);
            return Vec::new();
        }
        entries.iter().filter_map(|entry| self.claim_pattern(entry)).collect()
    }

    fn claim_pattern(&mut self, entry: &'n Entry) -> Option<(&'n Text, Located<'n, Pattern>)> {
        let name = &entry.key;
        if name.value.is_empty() {
            self.problems.error("empty-value", name.place, "the name of a claim is empty", None);
            return None;
        }
        let what = format!("the pattern of claim {}", quoted(&name.value));
        let text = fields::text_or(&entry.value, &what, fields::one_pattern, self.problems)?;
        let rule = fields::pattern(text, &what, self.source, self.problems)?;
        Some((name, Located { rule, text }))
    }

    fn permissions(&mut self, home: PolicyHome) -> Vec<(&'n Text, Level)> {
        if self.fields.find("permissions").is_none() {
            let message =
                "`permissions` is required: without it GitHub would grant everything that the App has";
            self.problems.error(PERMISSIONS_MISSING, Place::START, message, None);
        }
        let Some((place, entries)) = self.fields.mapping("permissions", self.problems) else {
            return Vec::new();
        };
        if entries.is_empty() {
            let message = "`permissions` is empty, which GitHub reads as everything that the App has";
            let suggestion = "list what the job needs, for example `contents: read`".to_owned();
            self.problems.error("permissions-empty", place, message, Some(suggestion));
        }
        entries.iter().filter_map(|entry| self.permission(entry, home)).collect()
    }

    fn permission(&mut self, entry: &'n Entry, home: PolicyHome) -> Option<(&'n Text, Level)> {
        let name = &entry.key;
        let what = format!("the level of {}", quoted(&name.value));
        let several = |items: &[Node]| {
            let levels = items.iter().map(|item| match &item.kind {
                NodeKind::Text(text) => text.value.parse().ok(),
                NodeKind::Sequence(_) | NodeKind::Mapping(_) | NodeKind::Unusable => None,
            });
            highest(levels.collect())
        };
        let level = fields::text_or(&entry.value, &what, several, self.problems);
        let Some(known) = known_permission(&name.value) else {
            let room = self.problems.may_suggest("permission-unknown");
            let known = known_permissions().iter().map(|known| known.name);
            let hint = if room { nearest(&name.value, known) } else { None };
            let suggestion = hint.map(|known| format!("did you mean `{known}`?"));
            let message = format!("{} is not in GitHub's published list of permissions", quoted(&name.value));
            self.problems.error("permission-unknown", name.place, message, suggestion);
            return None;
        };
        self.check_permission_home(known, name.place, home);
        let level = level?;
        match level.value.parse::<Level>() {
            Ok(parsed) if known.levels.contains(&parsed) => Some((name, parsed)),
            Ok(_) | Err(_) => {
                let levels: Vec<&str> = known.levels.iter().map(|level| level.as_str()).collect();
                let message = format!("{} has no level {}", quoted(known.name), quoted(&level.value));
                let words = level.value.split([',', '/', '|', '+', ' ']).filter(|word| !word.is_empty());
                let several = highest(words.map(|word| word.parse().ok()).collect());
                let suggestion = match levels.as_slice() {
                    _ if several.is_some() => several.unwrap_or_default(),
                    [only] => format!("its only level is `{only}`"),
                    several => format!("its levels are {}", fields::list(several)),
                };
                self.problems.error("permission-level", level.place, message, Some(suggestion));
                None
            }
        }
    }

    fn check_permission_home(&mut self, known: &Known, place: Place, home: PolicyHome) {
        let concerns = match (home, known.subject()) {
            (PolicyHome::OrganizationPolicyRepository, _) | (_, Subject::Repository) => return,
            (PolicyHome::Repository, Subject::Organization) => "organization",
            (PolicyHome::Repository, Subject::Enterprise) => "enterprise",
        };
        let message = format!(
            "{} concerns the {concerns}; only a policy in the organization's policy repository may grant it",
            quoted(known.name)
        );
        self.problems.error("permission-not-here", place, message, None);
    }

    fn repositories(&mut self, home: PolicyHome) -> Option<Vec<Repository>> {
        let entry = self.fields.find("repositories")?;
        if home == PolicyHome::Repository {
            let message =
                "`repositories` is allowed only in a policy in the organization's policy repository";
            let suggestion = "remove it: this policy covers its own repository".to_owned();
            self.problems.error("repositories-not-here", entry.key.place, message, Some(suggestion));
            return None;
        }
        let (place, items) = self.fields.sequence("repositories", self.problems)?;
        if items.is_empty() {
            let message = "`repositories` is empty, which the Go service reads as every repository";
            let suggestion =
                "for every repository of the installation remove the line; for some write their names, \
                              `repositories: [app, docs]`"
                    .to_owned();
            self.problems.error("repositories-empty", place, message, Some(suggestion));
        }
        if items.len() > MAX_REPOSITORIES {
            let message = format!("{} repositories; at most {MAX_REPOSITORIES} are allowed", items.len());
            self.problems.error("too-many-repositories", place, message, None);
            return None;
        }
        let mut repositories = Vec::with_capacity(items.len());
        let mut names = BTreeSet::new();
        for item in items {
            let Some(text) = fields::text(item, "a repository", self.problems) else { continue };
            if let Some(repository) = self.repository(text) {
                if names.insert(repository.key()) {
                    repositories.push(repository);
                } else {
                    let message = format!("{} is listed twice; case does not matter", quoted(&text.value));
                    self.problems.error("repository-duplicate", text.place, message, None);
                }
            }
        }
        Some(repositories)
    }

    fn repository(&mut self, text: &Text) -> Option<Repository> {
        match text.value.parse::<Repository>() {
            Ok(repository) => Some(repository),
            Err(error) => {
                let message =
                    format!("{} is not the bare name of a repository: {error}", quoted(&text.value));
                let bare = text.value.rsplit('/').next().filter(|bare| bare.parse::<Repository>().is_ok());
                let suggestion = bare.map(|bare| format!("write `{bare}`"));
                self.problems.error("repository-name", text.place, message, suggestion);
                None
            }
        }
    }
}
