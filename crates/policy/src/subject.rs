//! GitHub's own subjects and issuers: the claims `sub` and `iss` of a GitHub Actions run. One parser for lint,
//! `explain`, `init` and the check run. The decision does not use it: it compares text.
//!
//! <https://docs.github.com/en/actions/reference/security/oidc>

use std::fmt;

/// The issuer of GitHub Actions on github.com; an enterprise may append its name.
pub const GITHUB_ACTIONS: &str = "https://token.actions.githubusercontent.com";

/// The prefix and suffix of a host with data residency: `https://token.actions.acme.ghe.com`.
const RESIDENT: (&str, &str) = ("https://token.actions.", ".ghe.com");

/// The path of the issuer of an Enterprise Server.
const SERVER: &str = "/_services/token";

/// Whether GitHub Actions has this issuer: on github.com, with data residency, or on an Enterprise Server.
///
/// ```
/// use octo_sts_policy::is_github_actions;
/// assert!(is_github_actions("https://token.actions.githubusercontent.com/acme"));
/// assert!(is_github_actions("https://token.actions.acme.ghe.com"));
/// assert!(is_github_actions("https://github.example.com/_services/token"));
/// assert!(!is_github_actions("https://token.actions.example.com"));
/// ```
#[must_use]
pub fn is_github_actions(issuer: &str) -> bool {
    let is_end = |rest: &str| rest.is_empty() || rest.starts_with('/');
    let resident = || {
        let rest = issuer.strip_prefix(RESIDENT.0)?;
        let (tenant, end) = rest.split_once(RESIDENT.1)?;
        let is_label = !tenant.is_empty() && !tenant.contains(['.', '/', ':', '@']);
        Some(is_label && is_end(end))
    };
    let server = || {
        let host = issuer.strip_prefix("https://")?.strip_suffix(SERVER)?;
        Some(!host.is_empty() && !host.contains('/'))
    };
    issuer.strip_prefix(GITHUB_ACTIONS).is_some_and(is_end)
        || resident().unwrap_or(false)
        || server().unwrap_or(false)
}

/// Whether a pattern of issuers is for GitHub Actions. The pattern is tried on examples, and its text is checked,
/// because it may be for one host that no example covers.
pub(super) fn is_for_github_actions(source: &str, matches: impl Fn(&str) -> bool) -> bool {
    let plain = source.replace('\\', "");
    [GITHUB_ACTIONS, "https://token.actions.acme.ghe.com", "https://github.example.com/_services/token"]
        .into_iter()
        .any(matches)
        || (plain.contains("token.actions.") && plain.contains(RESIDENT.1))
        || plain.trim_end_matches(['$', ')']).ends_with(SERVER)
}

/// A subject of GitHub Actions: `repo:acme/app:ref:refs/heads/main`, or with the numbers of owner and repository
/// `repo:acme@4242/app@123456789:ref:refs/heads/main`.
///
/// ```
/// use octo_sts_policy::{RunContext, RunSubject};
/// let subject = RunSubject::parse("repo:acme@4242/app@123456789:environment:production").unwrap();
/// assert_eq!(subject.repository.to_string(), "acme/app");
/// assert_eq!(subject.repository.numbers, Some(("4242", "123456789")));
/// assert_eq!(subject.context, RunContext::Environment("production"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunSubject<'a> {
    /// Whose run it is.
    pub repository: RunRepository<'a>,
    /// What the run is for.
    pub context: RunContext<'a>,
}

/// The repository in a subject. Its `Display` is `owner/name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunRepository<'a> {
    /// The owner's name.
    pub owner: &'a str,
    /// The repository's bare name.
    pub name: &'a str,
    /// The owner's and the repository's numbers, which never change hands. Repositories created, renamed or
    /// transferred since July 2026 have them in their subjects.
    pub numbers: Option<(&'a str, &'a str)>,
}

/// What a run is for, as in its subject after the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunContext<'a> {
    /// `ref:refs/heads/…`
    Branch(&'a str),
    /// `ref:refs/tags/…`
    Tag(&'a str),
    /// `ref:` and another ref, or an incomplete one.
    Ref(&'a str),
    /// `environment:…`
    Environment(&'a str),
    /// `pull_request`
    PullRequest,
    /// From a custom template of the repository or organization.
    Other(&'a str),
}

impl<'a> RunSubject<'a> {
    /// `None` if it does not begin with a complete repository. Linear.
    #[must_use]
    pub fn parse(subject: &'a str) -> Option<Self> {
        let (repository, rest) = subject.strip_prefix("repo:")?.split_once(':')?;
        Some(Self { repository: RunRepository::parse(repository)?, context: RunContext::of(rest) })
    }
}

impl<'a> RunRepository<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (owner, name) = text.split_once('/')?;
        let (owner, owner_number) = with_number(owner)?;
        let (name, number) = with_number(name)?;
        if owner.is_empty() || name.is_empty() || name.contains('/') {
            return None;
        }
        let numbers = match (owner_number, number) {
            (None, None) => None,
            (Some(owner), Some(repository)) => Some((owner, repository)),
            // GitHub writes both or none.
            (Some(_), None) | (None, Some(_)) => return None,
        };
        Some(Self { owner, name, numbers })
    }

    /// Whether both name the same repository, whatever the form and the case. Numbers count if both have them.
    #[must_use]
    pub fn is(&self, other: &RunRepository<'_>) -> bool {
        match (self.numbers, other.numbers) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (_, _) => {
                self.owner.eq_ignore_ascii_case(other.owner) && self.name.eq_ignore_ascii_case(other.name)
            }
        }
    }
}

impl fmt::Display for RunRepository<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// `acme` or `acme@4242`.
fn with_number(text: &str) -> Option<(&str, Option<&str>)> {
    match text.split_once('@') {
        None => Some((text, None)),
        Some((name, number)) => {
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then_some((name, Some(number)))
        }
    }
}

impl<'a> RunContext<'a> {
    /// From the text after the repository and its `:`.
    #[must_use]
    pub fn of(rest: &'a str) -> Self {
        let named = |prefix: &str| rest.strip_prefix(prefix).filter(|name| !name.is_empty());
        if rest == "pull_request" {
            Self::PullRequest
        } else if let Some(branch) = named("ref:refs/heads/") {
            Self::Branch(branch)
        } else if let Some(tag) = named("ref:refs/tags/") {
            Self::Tag(tag)
        } else if let Some(name) = named("ref:") {
            Self::Ref(name)
        } else if let Some(environment) = named("environment:") {
            Self::Environment(environment)
        } else {
            Self::Other(rest)
        }
    }
}

/// The beginning of a subject that names the whole owner with its number: `repo:acme@4242/`.
pub(super) fn owner_is_numbered(start: &str) -> bool {
    let owner = start.strip_prefix("repo:").and_then(|rest| rest.split_once('/'));
    owner.is_some_and(|(owner, _)| matches!(with_number(owner), Some((name, Some(_))) if !name.is_empty()))
}

/// How patterns accept any number, or none: in `repo:acme(@\d+)?/app(@\d+)?:.*` they leave no name open.
const ANY_NUMBER: [&str; 8] = [
    r"(?:@\d+)?",
    r"(?:@[0-9]+)?",
    r"(@\d+)?",
    r"(@[0-9]+)?",
    r"@\d+",
    r"@[0-9]+",
    r"(@\d*)?",
    r"(@[0-9]*)?",
];

/// The subject pattern without its places for any number; `None` when it has none. Linear.
pub(super) fn without_any_number(source: &str) -> Option<String> {
    let plain = ANY_NUMBER.iter().fold(source.to_owned(), |source, written| source.replace(written, ""));
    (plain != source).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_and_every_context_are_read() {
        let old = RunRepository { owner: "acme", name: "app", numbers: None };
        let new = RunRepository { numbers: Some(("4242", "123456789")), ..old };
        for (rest, context) in [
            ("ref:refs/heads/main", RunContext::Branch("main")),
            ("ref:refs/heads/a:b@c/d", RunContext::Branch("a:b@c/d")),
            ("ref:refs/tags/v1.2.3", RunContext::Tag("v1.2.3")),
            ("ref:refs/pull/7/merge", RunContext::Ref("refs/pull/7/merge")),
            ("ref:main", RunContext::Ref("main")),
            ("environment:prod:eu", RunContext::Environment("prod:eu")),
            ("environment:", RunContext::Other("environment:")),
            ("pull_request", RunContext::PullRequest),
            ("pull_request_target", RunContext::Other("pull_request_target")),
            (
                "job_workflow_ref:acme/app/.github/workflows/w.yaml@refs/heads/main",
                RunContext::Other("job_workflow_ref:acme/app/.github/workflows/w.yaml@refs/heads/main"),
            ),
            ("", RunContext::Other("")),
        ] {
            for (repository, written) in [(old, "acme/app"), (new, "acme@4242/app@123456789")] {
                let subject = format!("repo:{written}:{rest}");
                assert_eq!(
                    RunSubject::parse(&subject),
                    Some(RunSubject { repository, context }),
                    "{subject}"
                );
            }
        }
        for other in [
            "",
            "repo:",
            "repo:acme:ref:refs/heads/main",
            "repo:acme/app",
            "repo:acme/:x",
            "repo:/app:x",
            "repo:acme/app/x:ref:refs/heads/main",
            "repo:acme@4242/app:x",
            "repo:acme/app@1:x",
            "repo:acme@/app@1:x",
            "repo:acme@x/app@1:x",
            "repo:acme@1@2/app@1:x",
            "repository:acme/app:ref:refs/heads/main",
            "project_path:acme/app:ref_type:branch:ref:main",
        ] {
            assert_eq!(RunSubject::parse(other), None, "{other}");
        }
    }

    #[test]
    fn numbers_decide_whether_a_repository_is_the_same_where_both_have_them() {
        let of = |text| RunRepository::parse(text).unwrap();
        for (one, other, same) in [
            ("acme/app", "Acme/App", true),
            ("acme/app", "acme/docs", false),
            ("acme@1/app@2", "acme/app", true),
            ("acme@1/app@2", "renamed@1/other@2", true),
            ("acme@1/app@2", "acme@1/app@3", false),
        ] {
            assert_eq!(of(one).is(&of(other)), same, "{one} {other}");
        }
    }

    #[test]
    fn the_issuers_of_every_github_are_known() {
        for issuer in [
            GITHUB_ACTIONS,
            "https://token.actions.githubusercontent.com/",
            "https://token.actions.githubusercontent.com/acme",
            "https://token.actions.acme.ghe.com",
            "https://token.actions.acme.ghe.com/acme",
            "https://github.example.com/_services/token",
        ] {
            assert!(is_github_actions(issuer), "{issuer}");
        }
        for issuer in [
            "",
            "http://token.actions.githubusercontent.com",
            "https://token.actions.githubusercontent.com.example.com",
            "https://token.actions.ghe.com",
            "https://token.actions.a.b.ghe.com",
            "https://token.actions.acme.ghe.com.example.com",
            "https://token.actions.x/.ghe.com",
            "https:///_services/token",
            "https://example.com/x/_services/token",
            "https://gitlab.com",
        ] {
            assert!(!is_github_actions(issuer), "{issuer}");
        }
    }

    #[test]
    fn a_pattern_of_githubs_issuers_is_recognized_by_examples_or_text() {
        for (source, expected) in [
            (r"https://token\.actions\.githubusercontent\.com(/acme)?", true),
            (r"https://token\.actions\.widgets\.ghe\.com", true),
            (r"(https://ghes\.widgets\.example/_services/token)", true),
            (".*", true),
            (r"https://oidc\.eks\.[a-z0-9-]+\.amazonaws\.com/id/[A-F0-9]{32}", false),
        ] {
            let pattern: crate::Pattern = source.parse().unwrap();
            assert_eq!(is_for_github_actions(source, |issuer| pattern.matches(issuer)), expected, "{source}");
        }
    }

    #[test]
    fn places_for_any_number_are_taken_out_of_a_pattern() {
        for (source, plain) in [
            (r"repo:acme(@\d+)?/app(?:@[0-9]+)?:.*", Some("repo:acme/app:.*")),
            (r"repo:acme@\d+/app@\d+:.*", Some("repo:acme/app:.*")),
            (r"repo:acme@4242/app@1:.*", None),
            ("repo:acme/app:.*", None),
        ] {
            assert_eq!(without_any_number(source).as_deref(), plain, "{source}");
        }
        assert!(owner_is_numbered("repo:acme@4242/") && owner_is_numbered("repo:acme@4242/app"));
        assert!(!owner_is_numbered("repo:acme@4242") && !owner_is_numbered("repo:acme/app@1:"));
    }
}
