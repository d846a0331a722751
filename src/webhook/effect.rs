//! What a change of a policy changes in effect: what is granted, where, and to whom. A change that only rewrites the
//! file changes nothing. Markdown, one line each.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::Repository;
use crate::policy::trusted_issuers::TrustedIssuers;
use crate::policy::{AudienceRule, CompiledPolicy, Level, Matcher, PolicyHome};
use crate::webhook::markdown::code;
use crate::webhook::words::{self, Setting};

/// Somebody gets more, or somebody more gets it.
const MORE: &str = "➕";
/// Somebody gets less, or somebody gets nothing any more.
const LESS: &str = "➖";
/// Both, or nobody can tell.
const OTHER: &str = "🔁";

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
    lines
}

/// The same of a list of trusted issuers.
pub(super) fn of_issuers(before: &TrustedIssuers, after: &TrustedIssuers) -> Vec<String> {
    let mut lines = Vec::new();
    if before.mode() != after.mode() {
        lines.push(format!("{OTHER} mode {}, before {}", after.mode().as_str(), before.mode().as_str()));
    }
    let all = |list: &TrustedIssuers| {
        let mut entries = BTreeSet::new();
        entries.extend(list.issuers().iter().map(|issuer| code(issuer)));
        entries
            .extend(list.patterns().iter().map(|p| format!("any issuer that matches {}", code(p.source()))));
        entries
    };
    let (before, after) = (all(before), all(after));
    let only = |these: &BTreeSet<String>, those: &BTreeSet<String>, what: &str| {
        let mut lines = Vec::new();
        lines.extend(
            these.iter().filter(|entry| !those.contains(*entry)).map(|entry| format!("{what}: {entry}")),
        );
        lines
    };
    lines.extend(only(&after, &before, &format!("{MORE} trusted now")));
    lines.extend(only(&before, &after, &format!("{LESS} trusted no longer")));
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
        match (before.get(name), after.get(name)) {
            (None, Some(level)) => lines.push(format!("{MORE} permission {name} {level}")),
            (Some(level), None) => lines.push(format!("{LESS} permission {name} {level}")),
            (Some(was), Some(is)) if is > was => {
                lines.push(format!("{MORE} permission {name} {is}, before {was}"))
            }
            (Some(was), Some(is)) if is < was => {
                lines.push(format!("{LESS} permission {name} {is}, before {was}"))
            }
            _ => {}
        }
    }
    lines
}

fn repositories(before: &CompiledPolicy, after: &CompiledPolicy) -> Vec<String> {
    if after.home() == PolicyHome::Repository {
        return Vec::new();
    }
    let list = |names: &[Repository]| words::list(names.iter().map(Repository::as_str));
    match (before.repositories(), after.repositories()) {
        (None, None) => Vec::new(),
        (None, Some(names)) => {
            vec![format!(
                "{LESS} only the repositories {}, before every one of the installation",
                list(names)
            )]
        }
        (Some(names), None) => {
            vec![format!("{MORE} every repository of the installation, before only {}", list(names))]
        }
        (Some(before), Some(after)) => {
            // Looked up, not looked through: there may be 500 on either side.
            let without = |names: &[Repository], others: &[Repository]| -> Vec<Repository> {
                let mut known = BTreeSet::new();
                known.extend(others.iter().map(Repository::key));
                names.iter().filter(|name| !known.contains(&name.key())).cloned().collect()
            };
            let (more, less) = (without(after, before), without(before, after));
            let told = |sign: &str, names: &[Repository]| {
                (!names.is_empty()).then(|| format!("{sign} repositories {}", list(names)))
            };
            told(MORE, &more).into_iter().chain(told(LESS, &less)).collect()
        }
    }
}

/// Who is newly admitted, and who no longer. Whether one pattern admits more than another is not decided.
fn rule(name: &str, before: &Matcher, after: &Matcher) -> Vec<String> {
    let any = format!("any {name}");
    match (before, after) {
        (Matcher::Exact(was), Matcher::Exact(is)) if was == is => Vec::new(),
        (Matcher::Pattern(was), Matcher::Pattern(is)) if was.source() == is.source() => Vec::new(),
        (Matcher::Pattern(was), Matcher::Pattern(is)) => vec![format!(
            "{OTHER} admitted is {any} that matches {}, before {}",
            code(is.source()),
            code(was.source())
        )],
        (Matcher::Exact(was), Matcher::Pattern(is)) if is.matches(was) => {
            vec![format!(
                "{MORE} newly admitted: {any} that matches {}, before only {}",
                code(is.source()),
                code(was)
            )]
        }
        (Matcher::Pattern(was), Matcher::Exact(is)) if was.matches(is) => vec![format!(
            "{LESS} admitted is only the {name} {}, no longer {any} that matches {}",
            code(is),
            code(was.source())
        )],
        (was, is) => vec![
            format!("{MORE} newly admitted: {}", described(name, is)),
            format!("{LESS} no longer admitted: {}", described(name, was)),
        ],
    }
}

fn described(name: &str, matcher: &Matcher) -> String {
    match matcher {
        Matcher::Exact(text) => format!("the {name} {}", code(text)),
        Matcher::Pattern(_) => words::matcher(matcher, &format!("any {name}")),
    }
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
        .filter_map(|name| match (before.get(name), after.get(name)) {
            (None, Some(is)) => {
                Some(format!("{LESS} only if the claim {} matches {}", code(name), code(is.source())))
            }
            (Some(was), None) => Some(format!(
                "{MORE} whatever the claim {} is, before it had to match {}",
                code(name),
                code(was.source())
            )),
            (Some(was), Some(is)) if was.source() != is.source() => Some(format!(
                "{OTHER} the claim {} has to match {}, before {}",
                code(name),
                code(is.source()),
                code(was.source())
            )),
            _ => None,
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
            (vec![("contents: read", "contents: write")], vec!["➕ permission contents write, before read"]),
            (vec![("issues: write", "issues: read")], vec!["➖ permission issues read, before write"]),
            (
                vec![("issues: write", "checks: write")],
                vec!["➕ permission checks write", "➖ permission issues write"],
            ),
            (
                vec![("[app, docs]", "[App, site]")],
                vec!["➕ repositories <code>site</code>", "➖ repositories <code>docs</code>"],
            ),
            (
                vec![("repositories: [app, docs]", "")],
                vec![
                    "➕ every repository of the installation, before only <code>app</code>, <code>docs</code>",
                ],
            ),
            (
                vec![("heads/main", "heads/next")],
                vec![
                    "➕ newly admitted: the subject <code>repo&#58;acme/app&#58;ref&#58;refs/heads/next</code>",
                    "➖ no longer admitted: the subject <code>repo&#58;acme/app&#58;ref&#58;refs/heads/main</code>",
                ],
            ),
            (
                vec![(subject, "subject_pattern: 'repo:acme/app:[a-z/:]+'")],
                vec![
                    "➕ newly admitted: any subject that matches <code>repo&#58;acme/app&#58;&#91;a-z/&#58;&#93;&#43;</code>, before only <code>repo&#58;acme/app&#58;ref&#58;refs/heads/main</code>",
                ],
            ),
            (
                vec![(subject, "subject_pattern: 'repo:acme/x:[a-z]+'")],
                vec![
                    "➕ newly admitted: any subject that matches <code>repo&#58;acme/x&#58;&#91;a-z&#93;&#43;</code>",
                    "➖ no longer admitted: the subject <code>repo&#58;acme/app&#58;ref&#58;refs/heads/main</code>",
                ],
            ),
            (
                vec![("permissions:", "audience: other\npermissions:")],
                vec![
                    "➕ newly admitted: the audience <code>other</code>",
                    "➖ no longer admitted: the audience <code>sts&#46;example&#46;com</code>",
                ],
            ),
            (
                vec![("event_name: push", "ref: main")],
                vec![
                    "➕ whatever the claim <code>event&#95;name</code> is, before it had to match <code>push</code>",
                    "➖ only if the claim <code>ref</code> matches <code>main</code>",
                ],
            ),
            (
                vec![("event_name: push", "event_name: release")],
                vec![
                    "🔁 the claim <code>event&#95;name</code> has to match <code>release</code>, before <code>push</code>",
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
                "🔁 mode audit, before enforce",
                "➕ trusted now: any issuer that matches <code>https&#58;//c&#92;&#46;example&#92;&#46;com</code>",
                "➖ trusted no longer: <code>https&#58;//a&#46;example&#46;com</code>",
            ]
        );
    }
}
