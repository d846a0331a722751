//! The effect of a change to a policy: what is granted, where, and to whom; as before → after, and whether that is
//! wider or narrower. A change that only rewrites the file has no effect. Markdown, one line each.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::names::Repository;
use crate::policy::trusted_issuers::{Mode, TrustedIssuers};
use crate::policy::{AppRule, AudienceRule, CompiledPolicy, Level, Matcher, Pattern, PolicyHome};
use crate::webhook::markdown::code;
use crate::webhook::words::{self, Setting};

/// Somebody gets more, or somebody more gets it.
pub(super) const WIDER: &str = "**Wider:**";
/// Somebody gets less, or fewer get it.
pub(super) const NARROWER: &str = "**Narrower:**";
/// Others get it, or the direction is unknown.
const CHANGED: &str = "**Changed:**";

/// What is different between two versions of a policy. Empty: nothing.
pub(super) fn of_policy(
    before: &CompiledPolicy,
    after: &CompiledPolicy,
    setting: Setting<'_>,
) -> Vec<String> {
    let mut lines = permissions(before, after);
    lines.extend(repositories(before, after));
    lines.extend(rule("issuer", before.issuer(), after.issuer()));
    lines.extend(rule("subject", before.subject(), after.subject()));
    let this_service = Matcher::Exact(setting.domain.to_owned());
    lines.extend(rule("audience", audience(before, &this_service), audience(after, &this_service)));
    lines.extend(claims(before, after));
    lines.extend(app(before.app(), after.app()));
    lines
}

/// Which of the service's Apps mints. Whether another one can grant more is not known here.
fn app(before: &AppRule, after: &AppRule) -> Option<String> {
    let word = match (before, after) {
        (AppRule::Any, AppRule::Any) => return None,
        (AppRule::Any, _) => NARROWER,
        (_, AppRule::Any) => WIDER,
        (_, _) => CHANGED,
    };
    let said = |rule| words::app(rule).unwrap_or_else(|| "any app of the service".to_owned());
    let (was, is) = (said(before), said(after));
    (was != is).then(|| format!("{word} app: {was} → {is}"))
}

/// The same of a list of trusted issuers.
pub(super) fn of_issuers(before: &TrustedIssuers, after: &TrustedIssuers) -> Vec<String> {
    let mut lines = Vec::new();
    if before.mode() != after.mode() {
        let word = if after.mode() == Mode::Audit { WIDER } else { NARROWER };
        lines.push(format!("{word} mode: {} → {}", before.mode().as_str(), after.mode().as_str()));
    }
    let all = |list: &TrustedIssuers| {
        let mut entries = BTreeSet::new();
        entries.extend(list.issuers().iter().map(|issuer| code(issuer)));
        entries.extend(list.patterns().iter().map(|p| format!("any issuer matching {}", code(p.source()))));
        entries
    };
    let (before, after) = (all(before), all(after));
    let only = |these: &BTreeSet<String>, those: &BTreeSet<String>, what: &str| {
        let mut lines = Vec::new();
        lines.extend(
            these.iter().filter(|entry| !those.contains(*entry)).map(|entry| format!("{what} {entry}")),
        );
        lines
    };
    lines.extend(only(&after, &before, &format!("{WIDER} now trusts")));
    lines.extend(only(&before, &after, &format!("{NARROWER} no longer trusts")));
    lines
}

fn permissions(before: &CompiledPolicy, after: &CompiledPolicy) -> Vec<String> {
    let levels = |policy: &CompiledPolicy| {
        let mut levels: BTreeMap<String, Level> = BTreeMap::new();
        levels.extend(policy.permissions().iter().map(|(name, level)| (name.to_owned(), level)));
        levels
    };
    let (before, after) = (levels(before), levels(after));
    let mut names: BTreeSet<&String> = BTreeSet::new();
    names.extend(before.keys().chain(after.keys()));
    let mut lines = Vec::new();
    for name in names {
        let (was, is) = (before.get(name), after.get(name));
        let word = match was.cmp(&is) {
            Ordering::Less => WIDER,
            Ordering::Greater => NARROWER,
            Ordering::Equal => continue,
        };
        let said = |level: Option<&Level>| level.map_or_else(|| "none".to_owned(), Level::to_string);
        lines.push(format!("{word} permission {name}: {} → {}", said(was), said(is)));
    }
    lines
}

fn repositories(before: &CompiledPolicy, after: &CompiledPolicy) -> Vec<String> {
    const ALL: &str = "every repository of the installation";
    if after.home() == PolicyHome::Repository {
        return Vec::new();
    }
    let list = |names: &[Repository]| words::list(names.iter().map(Repository::as_str));
    match (before.repositories(), after.repositories()) {
        (None, None) => Vec::new(),
        (None, Some(names)) => vec![format!("{NARROWER} repositories: {ALL} → {}", list(names))],
        (Some(names), None) => vec![format!("{WIDER} repositories: {} → {ALL}", list(names))],
        (Some(before), Some(after)) => {
            // A set and not a list, because there may be 500 on either side.
            let without = |names: &[Repository], others: &[Repository]| -> Vec<Repository> {
                let mut known = BTreeSet::new();
                known.extend(others.iter().map(Repository::key));
                names.iter().filter(|name| !known.contains(&name.key())).cloned().collect()
            };
            let (more, less) = (without(after, before), without(before, after));
            let told = |what: &str, names: &[Repository]| {
                (!names.is_empty()).then(|| format!("{what} {}", list(names)))
            };
            told(&format!("{WIDER} repositories added:"), &more)
                .into_iter()
                .chain(told(&format!("{NARROWER} repositories removed:"), &less))
                .collect()
        }
    }
}

/// Who is admitted. Whether one pattern admits more than another is not decided.
fn rule(name: &str, before: &Matcher, after: &Matcher) -> Option<String> {
    let word = match (before, after) {
        (Matcher::Exact(was), Matcher::Exact(is)) if was == is => return None,
        (Matcher::Pattern(was), Matcher::Pattern(is)) if was.source() == is.source() => return None,
        (Matcher::Exact(was), Matcher::Pattern(is)) if is.matches(was) => WIDER,
        (Matcher::Pattern(was), Matcher::Exact(is)) if was.matches(is) => NARROWER,
        (Matcher::Exact(_) | Matcher::Pattern(_), _) => CHANGED,
    };
    Some(format!("{word} {name}: {} → {}", words::matcher(before, "any"), words::matcher(after, "any")))
}

fn audience<'a>(policy: &'a CompiledPolicy, this_service: &'a Matcher) -> &'a Matcher {
    match policy.audience() {
        AudienceRule::Domain => this_service,
        AudienceRule::Named(audience) => audience,
    }
}

fn claims(before: &CompiledPolicy, after: &CompiledPolicy) -> Vec<String> {
    let (before, after) = (before.claim_patterns(), after.claim_patterns());
    let mut names: BTreeSet<&String> = BTreeSet::new();
    names.extend(before.keys().chain(after.keys()));
    names
        .into_iter()
        .filter_map(|name| {
            let (was, is) = (before.get(name), after.get(name));
            let word = match (was, is) {
                (None, Some(_)) => NARROWER,
                (Some(_), None) => WIDER,
                (Some(was), Some(is)) if was.source() != is.source() => CHANGED,
                (Some(_), Some(_)) | (None, None) => return None,
            };
            let said = |pattern: Option<&Pattern>| {
                pattern.map_or_else(|| "any value".to_owned(), |p| format!("must match {}", code(p.source())))
            };
            Some(format!("{word} claim {}: {} → {}", code(name), said(was), said(is)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy;
    use crate::policy::trusted_issuers;

    const BASE: &str = "\
issuer: https://token.actions.githubusercontent.com
subject: repo:acme/app:ref:refs/heads/main
claim_pattern: {event_name: push}
permissions: {contents: read, issues: write}
repositories: [app, docs]
";

    fn changed(changes: &[(&str, &str)]) -> Vec<String> {
        let after = changes.iter().fold(BASE.to_owned(), |file, (from, to)| {
            assert!(file.contains(from), "{from}");
            file.replace(from, to)
        });
        let load = |file: &str| {
            policy::load(file.as_bytes(), PolicyHome::OrganizationPolicyRepository).value.unwrap()
        };
        let (owner, repository) = ("acme".parse().unwrap(), ".github".parse().unwrap());
        let setting = Setting { owner: &owner, repository: &repository, domain: "sts.example.com" };
        of_policy(&load(BASE), &load(&after), setting)
    }

    #[test]
    fn a_change_of_the_app_that_mints_is_told() {
        let rule = |text: &str, pattern: bool| match (text, pattern) {
            ("", _) => AppRule::Any,
            (text, true) => AppRule::Pattern(text.parse().unwrap()),
            (text, false) => AppRule::Exact(text.to_owned()),
        };
        for (before, after, line) in [
            (rule("", false), rule("", false), None),
            (rule("a", false), rule("a", false), None),
            (
                rule("a", false),
                rule("", false),
                Some("**Wider:** app: the app <code>a</code> of the service → any app of the service"),
            ),
            (
                rule("a", false),
                rule("a", true),
                Some(
                    "**Changed:** app: the app <code>a</code> of the service → any app of the service that matches <code>a</code>",
                ),
            ),
        ] {
            assert_eq!(app(&before, &after).as_deref(), line);
        }
    }

    #[test]
    fn only_what_changes_in_effect_is_told() {
        let subject = "subject: repo:acme/app:ref:refs/heads/main";
        for (changes, lines) in [
            (vec![], vec![]),
            (
                vec![(
                    "permissions: {contents: read, issues: write}",
                    "permissions:\n  issues: write # why\n  contents: read",
                )],
                vec![],
            ),
            (vec![("permissions:", "audience: sts.example.com\npermissions:")], vec![]),
            (
                vec![("permissions:", "app: deploys\npermissions:")],
                vec![
                    "**Narrower:** app: any app of the service → the app <code>deploys</code> of the service",
                ],
            ),
            (
                vec![("contents: read", "contents: write")],
                vec!["**Wider:** permission contents: read → write"],
            ),
            (vec![("issues: write", "issues: read")], vec!["**Narrower:** permission issues: write → read"]),
            (
                vec![("issues: write", "checks: write")],
                vec![
                    "**Wider:** permission checks: none → write",
                    "**Narrower:** permission issues: write → none",
                ],
            ),
            (
                vec![("[app, docs]", "[App, site]")],
                vec![
                    "**Wider:** repositories added: <code>site</code>",
                    "**Narrower:** repositories removed: <code>docs</code>",
                ],
            ),
            (
                vec![("repositories: [app, docs]", "")],
                vec![
                    "**Wider:** repositories: <code>app</code>, <code>docs</code> → every repository of the installation",
                ],
            ),
            (
                vec![("heads/main", "heads/next")],
                vec![
                    "**Changed:** subject: <code>repo&#58;acme/app&#58;ref&#58;refs/heads/main</code> → <code>repo&#58;acme/app&#58;ref&#58;refs/heads/next</code>",
                ],
            ),
            (
                vec![(subject, "subject_pattern: 'repo:acme/app:[a-z/:]+'")],
                vec![
                    "**Wider:** subject: <code>repo&#58;acme/app&#58;ref&#58;refs/heads/main</code> → any matching <code>repo&#58;acme/app&#58;&#91;a-z/&#58;&#93;&#43;</code>",
                ],
            ),
            (
                vec![(subject, "subject_pattern: 'repo:acme/x:[a-z]+'")],
                vec![
                    "**Changed:** subject: <code>repo&#58;acme/app&#58;ref&#58;refs/heads/main</code> → any matching <code>repo&#58;acme/x&#58;&#91;a-z&#93;&#43;</code>",
                ],
            ),
            (
                vec![("permissions:", "audience: other\npermissions:")],
                vec!["**Changed:** audience: <code>sts&#46;example&#46;com</code> → <code>other</code>"],
            ),
            (
                vec![("event_name: push", "ref: main")],
                vec![
                    "**Wider:** claim <code>event&#95;name</code>: must match <code>push</code> → any value",
                    "**Narrower:** claim <code>ref</code>: any value → must match <code>main</code>",
                ],
            ),
            (
                vec![("event_name: push", "event_name: release")],
                vec![
                    "**Changed:** claim <code>event&#95;name</code>: must match <code>push</code> → must match <code>release</code>",
                ],
            ),
        ] {
            assert_eq!(changed(&changes), lines, "{changes:?}");
        }
    }

    #[test]
    fn issuers_come_and_go() {
        let load = |text: &str| trusted_issuers::load(text.as_bytes()).value.unwrap();
        let before = load("issuers: [https://a.example.com, https://b.example.com]");
        let after = load(
            "mode: audit\nissuers: [https://b.example.com]\nissuer_patterns: ['https://c\\.example\\.com']",
        );
        assert_eq!(of_issuers(&before, &before), Vec::<String>::new());
        assert_eq!(
            of_issuers(&before, &after),
            [
                "**Wider:** mode: enforce → audit",
                "**Wider:** now trusts any issuer matching <code>https&#58;//c&#92;&#46;example&#92;&#46;com</code>",
                "**Narrower:** no longer trusts <code>https&#58;//a&#46;example&#46;com</code>",
            ]
        );
    }
}
