//! Describes a policy: who gets what, and where. Markdown.

use crate::names::{Owner, Repository};
use crate::policy::trusted_issuers::{Mode, TrustedIssuers};
use crate::policy::{
    self, AppRule, AudienceRule, CompiledPolicy, Level, Matcher, PolicyHome, RunContext, RunSubject,
};
use crate::webhook::markdown::code;

/// A longer list is truncated.
const MAX_LISTED: usize = 20;

/// Whose policy it is, and the default audience.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) owner: &'a Owner,
    pub(super) repository: &'a Repository,
    pub(super) domain: &'a str,
}

/// `acme/app on refs/heads/main may: contents read, issues write`
pub(super) fn sentence(policy: &CompiledPolicy) -> String {
    format!("{} may: {}", who(policy), permissions(policy.permissions().iter()))
}

/// Who, what and where, an item of a list each; whoever gets a token meets every condition below *Who*.
pub(super) fn in_short(policy: &CompiledPolicy, setting: Setting<'_>) -> Vec<String> {
    let audience = match policy.audience() {
        AudienceRule::Domain => format!("{} (this service)", code(setting.domain)),
        AudienceRule::Named(audience) => matcher(audience, "any"),
    };
    let mut who = vec![
        format!("issuer {}", matcher(policy.issuer(), "any")),
        format!("subject {}", matcher(policy.subject(), "any")),
        format!("audience {audience}"),
    ];
    let claims = policy.claim_patterns().iter();
    who.extend(
        claims.map(|(claim, pattern)| format!("claim {} matching {}", code(claim), code(pattern.source()))),
    );
    let minted_by = app(policy.app()).map(|app| format!(", minted only by {app}")).unwrap_or_default();
    vec![
        format!("**Who:** a token with\n  - {}", who.join("\n  - ")),
        format!("**What:** {}{minted_by}", permissions(policy.permissions().iter())),
        format!("**Where:** {}", place(policy, setting)),
    ]
}

/// Which of the service's Apps mints, if the policy says.
pub(super) fn app(rule: &AppRule) -> Option<String> {
    match rule {
        AppRule::Any => None,
        AppRule::Exact(name) => Some(format!("the app {} of the service", code(name))),
        AppRule::Pattern(pattern) => {
            Some(format!("any app of the service that matches {}", code(pattern.source())))
        }
    }
}

fn who(policy: &CompiledPolicy) -> String {
    match policy.subject() {
        Matcher::Exact(subject) => Some(subject)
            .filter(|_| is_github_actions(policy.issuer()))
            .and_then(|subject| workflow(subject))
            .unwrap_or_else(|| format!("the subject {}", code(subject))),
        pattern @ Matcher::Pattern(_) => matcher(pattern, "any subject"),
    }
}

fn is_github_actions(issuer: &Matcher) -> bool {
    match issuer {
        Matcher::Exact(issuer) => policy::is_github_actions(issuer),
        Matcher::Pattern(_) => false,
    }
}

/// `None` for a subject from a custom template.
fn workflow(subject: &str) -> Option<String> {
    let run = RunSubject::parse(subject)?;
    let name = code(&run.repository.to_string());
    let repository = match run.repository.numbers {
        None => name,
        Some((owner, number)) => format!("{name} (repository {number} of owner {owner})"),
    };
    match run.context {
        RunContext::Branch(_) | RunContext::Tag(_) | RunContext::Ref(_) => {
            let name = subject.split_once(":ref:").map_or("", |(_, name)| name);
            Some(format!("{repository} on {}", code(name)))
        }
        RunContext::Environment(name) => Some(format!("{repository} in the environment {}", code(name))),
        RunContext::PullRequest => Some(format!("{repository} on pull requests")),
        RunContext::Other(_) => None,
    }
}

/// `any` introduces a pattern: `any subject matching x`.
pub(super) fn matcher(matcher: &Matcher, any: &str) -> String {
    match matcher {
        Matcher::Exact(text) => code(text),
        Matcher::Pattern(pattern) => format!("{any} matching {}", code(pattern.source())),
    }
}

/// Names and levels are GitHub's own list.
pub(super) fn permissions<'a>(permissions: impl Iterator<Item = (&'a str, Level)>) -> String {
    permissions.map(|(name, level)| format!("{name} {level}")).collect::<Vec<_>>().join(", ")
}

fn place(policy: &CompiledPolicy, setting: Setting<'_>) -> String {
    match (policy.home(), policy.repositories()) {
        (PolicyHome::Repository, _) => code(&format!("{}/{}", setting.owner, setting.repository)),
        (PolicyHome::OrganizationPolicyRepository, None) => "every repository of the installation".to_owned(),
        (PolicyHome::OrganizationPolicyRepository, Some(names)) => list(names.iter().map(Repository::as_str)),
    }
}

/// Names as code; a long list is truncated.
pub(super) fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(MAX_LISTED);
    let mut shown: Vec<String> = names.take(MAX_LISTED).map(code).collect();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    shown.join(", ")
}

/// What a list of trusted issuers does, one line each.
pub(super) fn trusted_issuers(issuers: &TrustedIssuers) -> Vec<String> {
    let mode = match issuers.mode() {
        Mode::Enforce => "all other issuers are refused (mode enforce)",
        Mode::Audit => "all other issuers are accepted too, and recorded (mode audit)",
    };
    let exact = issuers.issuers().iter().map(|issuer| code(issuer));
    let patterns = issuers.patterns().iter().map(|p| format!("any issuer matching {}", code(p.source())));
    exact.chain(patterns).chain(std::iter::once(mode.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(changes: &[(&str, &str)]) -> (String, Vec<String>) {
        let mut file = String::from(
            "issuer: https://token.actions.githubusercontent.com\nsubject: repo:acme/app:ref:refs/heads/main\npermissions: {contents: read, issues: write}\n",
        );
        for (from, to) in changes {
            file = file.replace(from, to);
        }
        let policy = policy::load(file.as_bytes(), PolicyHome::OrganizationPolicyRepository).value.unwrap();
        let (owner, repository) = ("acme".parse().unwrap(), "app".parse().unwrap());
        let setting = Setting { owner: &owner, repository: &repository, domain: "sts.example.com" };
        (sentence(&policy), in_short(&policy, setting))
    }

    #[test]
    fn who_gets_what_is_a_sentence() {
        let subject = "repo:acme/app:ref:refs/heads/main";
        for (changes, sentence) in [
            (
                vec![],
                "<code>acme/app</code> on <code>refs/heads/main</code> may: contents read, issues write",
            ),
            (
                vec![(subject, "repo:acme/app:environment:prod")],
                "<code>acme/app</code> in the environment <code>prod</code> may: contents read, issues write",
            ),
            (
                vec![(subject, "repo:acme/app:pull_request")],
                "<code>acme/app</code> on pull requests may: contents read, issues write",
            ),
            (
                vec![(subject, "repo:acme@4242/app@1:ref:refs/tags/v1")],
                "<code>acme/app</code> (repository 1 of owner 4242) on <code>refs/tags/v1</code> may: contents read, issues write",
            ),
            (
                vec![
                    ("https://token.actions.githubusercontent.com", "https://token.actions.acme.ghe.com"),
                    (subject, "repo:acme/app:environment:prod"),
                ],
                "<code>acme/app</code> in the environment <code>prod</code> may: contents read, issues write",
            ),
            (
                vec![(subject, "repo:acme/app:novel")],
                "the subject <code>repo&#58;acme/app&#58;novel</code> may: contents read, issues write",
            ),
            (
                vec![("subject: repo:acme/app:ref:refs/heads/main", "subject_pattern: 'repo:acme/app:.*'")],
                "any subject matching <code>repo&#58;acme/app&#58;&#46;&#42;</code> may: contents read, issues write",
            ),
            (
                vec![
                    ("https://token.actions.githubusercontent.com", "https://accounts.google.com"),
                    (subject, "'1234'"),
                ],
                "the subject <code>1234</code> may: contents read, issues write",
            ),
        ] {
            assert_eq!(said(&changes).0, sentence);
        }
    }

    #[test]
    fn who_what_and_where_are_an_item_each() {
        let (_, lines) = said(&[(
            "permissions:",
            "claim_pattern: {event_name: push}\nrepositories: [app, docs]\npermissions:",
        )]);
        assert_eq!(
            lines,
            [
                "**Who:** a token with\n  - issuer <code>https&#58;//token&#46;actions&#46;githubusercontent&#46;com</code>\n  - subject <code>repo&#58;acme/app&#58;ref&#58;refs/heads/main</code>\n  - audience <code>sts&#46;example&#46;com</code> (this service)\n  - claim <code>event&#95;name</code> matching <code>push</code>",
                "**What:** contents read, issues write",
                "**Where:** <code>app</code>, <code>docs</code>",
            ]
        );
        assert_eq!(
            said(&[]).1.last().map(String::as_str),
            Some("**Where:** every repository of the installation")
        );
        assert_eq!(
            said(&[("permissions:", "app: deploys\npermissions:")]).1.get(1).map(String::as_str),
            Some(
                "**What:** contents read, issues write, minted only by the app <code>deploys</code> of the service"
            )
        );
    }

    #[test]
    fn long_lists_are_cut_short() {
        let names: Vec<String> = (0..25).map(|index| format!("r{index}")).collect();
        assert!(list(names.iter().map(String::as_str)).ends_with("<code>r19</code>, 5 more"));
    }
}
