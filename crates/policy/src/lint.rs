//! What is allowed in a policy but somebody should check. Each warning has its own code; none makes a policy unusable.
//!
//! [`super::shape`] analyzes the form of a pattern; the rules here say what that means for a policy.

use super::accept;
use super::compiled::{Matcher, PolicyHome};
use super::diagnostic::{Place, Problems, quoted};
use super::document::{Source, Text};
use super::load::{Draft, Located};
use super::nobody;
use super::pattern::{Matched, Pattern, Steps};
use super::permissions::Level;
use super::shape;
use super::subject::{self, RunContext, RunSubject};

/// The claims that name a workflow file with its ref.
const WORKFLOWS: [&str; 2] = ["job_workflow_ref", "workflow_ref"];

/// With these, a run can rewrite the policy, the workflow that uses the token, or the permission to do either.
const REWRITING: [&str; 3] = ["administration", "contents", "workflows"];

/// Reports the warnings. Rules about *missing* parts run only if there are no errors: an error may be in exactly that
/// part.
pub(super) fn check(draft: &Draft<'_>, source: &Source, problems: &mut Problems) {
    let complete = !problems.has_errors();
    nobody::check(draft, source, problems);
    let mut lint = Lint { draft, source, problems, steps: Steps::of_a_decision() };
    lint.patterns();
    lint.subject_pattern();
    lint.job_workflow_ref();
    if complete {
        lint.email();
        lint.organization_reach();
        lint.rewriting_permissions();
        lint.events();
        lint.names();
    }
    accept::settle(source, problems);
}

struct Lint<'d, 'p> {
    draft: &'d Draft<'d>,
    source: &'d Source,
    problems: &'p mut Problems,
    /// For all matches: a warning must not take more steps than a decision.
    steps: Steps,
}

impl<'d> Lint<'d, '_> {
    fn matches(&self, pattern: &Pattern, value: &str) -> bool {
        pattern.matches_within(value, &self.steps) == Matched::Yes
    }

    fn patterns(&mut self) {
        let matchers = [&self.draft.issuer, &self.draft.subject, &self.draft.audience, &self.draft.app];
        let named = matchers.into_iter().flatten();
        let claims = self.draft.claim_patterns.iter();
        let patterns: Vec<(&str, &Text, &Pattern)> = named
            .filter_map(|located| Some(("", located.text, located.rule.pattern()?)))
            .chain(claims.map(|(name, located)| (name.value.as_str(), located.text, &located.rule)))
            .collect();
        for (claim, text, pattern) in patterns {
            if pattern.has_top_level_alternation() {
                let message = "a `|` outside a group; the Go service up to v0.8.0 reads `a|b` as `^a|b$`, which is wider";
                let suggestion = "write `(a|b)` around exactly what varies".to_owned();
                self.problems.warning("pattern-top-level-alternation", text.place, message, Some(suggestion));
            }
            let first = self.source.first_character(text);
            for offset in shape::dots_between_literals(pattern.root()) {
                if WORKFLOWS.contains(&claim) && is_dot_of_a_workflow(&text.value, offset) {
                    continue;
                }
                let place = first.map_or(text.place, |first| first.right(offset));
                if !self.problems.has_room("pattern-unescaped-dot") {
                    self.problems.warning("pattern-unescaped-dot", place, "", None);
                    continue;
                }
                let message = "`.` between literals matches any character";
                let suggestion = r"write `\.` if you mean a dot".to_owned();
                self.problems.warning("pattern-unescaped-dot", place, message, Some(suggestion));
            }
        }
    }

    fn subject_pattern(&mut self) {
        let Some(Located { rule: Matcher::Pattern(pattern), text }) = &self.draft.subject else { return };
        if !(self.is_github_actions() || pattern.source().starts_with("repo:"))
            || self.repository_is_claimed()
            || owner_is_numbered(pattern)
        {
            return;
        }
        // A place for any number leaves no name open, so it is skipped.
        let plain = subject::without_any_number(pattern.source());
        let plain = plain.and_then(|source| source.parse::<Pattern>().ok());
        let start = shape::fixed_start(plain.as_ref().unwrap_or(pattern).root());
        match start.as_deref().map(shape::repository_in_subject) {
            None | Some(shape::RepositoryPart::Fixed) => {}
            Some(shape::RepositoryPart::Open) => {
                let message = "the subject pattern has a wildcard before the repository is fixed";
                let suggestion = "begin with the whole name: `repo:owner/name:`".to_owned();
                self.problems.warning(
                    "subject-pattern-open-repository",
                    text.place,
                    message,
                    Some(suggestion),
                );
            }
            Some(shape::RepositoryPart::Unbounded(name)) => {
                let message = format!(
                    "the subject pattern does not fix the end of the repository's name: other names may begin with {} too",
                    quoted(&name)
                );
                let suggestion = format!("write `:` after the name: `{name}:`");
                self.problems.warning("subject-pattern-open-end", text.place, message, Some(suggestion));
            }
        }
    }

    fn job_workflow_ref(&mut self) {
        // A run on one branch or tag uses the workflow of that branch or tag.
        if self.draft.subject.as_ref().is_some_and(|subject| {
            matches!(exact_context(&subject.rule), Some(RunContext::Branch(_) | RunContext::Tag(_)))
        }) {
            return;
        }
        for name in WORKFLOWS {
            let Some(located) = self.claim(name) else { continue };
            if shape::ends_in_any_ref(located.rule.root()) {
                let message =
                    format!("`{name}` is accepted from any branch or tag: the pattern ends in `@.*`");
                let suggestion = "pin the ref: `@refs/heads/main`".to_owned();
                self.problems.warning("workflow-ref-any", located.text.place, message, Some(suggestion));
            }
        }
    }

    fn email(&mut self) {
        let Some(located) = self.claim("email") else { return };
        if self.claim("email_verified").is_none() {
            let message =
                "`email` without `email_verified`: anyone can claim an address that nobody has verified";
            let suggestion = "add `email_verified: 'true'` to `claim_pattern`".to_owned();
            self.problems.warning("email-unverified", located.text.place, message, Some(suggestion));
        }
    }

    fn organization_reach(&mut self) {
        if self.draft.home == PolicyHome::OrganizationPolicyRepository && self.draft.repositories.is_none() {
            let message =
                "an organization policy without `repositories` covers every repository of the installation";
            let suggestion = "list the repositories that the job needs".to_owned();
            self.problems.warning("organization-wide", Place::START, message, Some(suggestion));
        }
    }

    fn rewriting_permissions(&mut self) {
        let covers_its_own_home = match (&self.draft.home, &self.draft.repositories) {
            (PolicyHome::Repository, _) | (_, None) => true,
            // The usual name; another one is a setting of the server, which is not known here.
            (PolicyHome::OrganizationPolicyRepository, Some(listed)) => {
                listed.iter().any(|repository| repository.is(".github"))
            }
        };
        if !covers_its_own_home {
            return;
        }
        for (name, level) in &self.draft.permissions {
            if *level > Level::Read && REWRITING.contains(&name.value.as_str()) {
                let message = format!(
                    "`{}: {level}` on the repository that holds this policy: whoever gets the token can change the policy",
                    name.value
                );
                self.problems.warning("write-on-policy-repository", name.place, message, None);
            }
        }
    }

    fn events(&mut self) {
        let Some(write) = self.first_write() else { return };
        if !self.is_github_actions() {
            return;
        }
        let event = self.claim("event_name");
        let admits = |name: &str| event.is_none_or(|located| self.matches(&located.rule, name));
        let (admits_pull_requests, admits_any) = (admits("pull_request"), admits("no_such_event"));
        if admits_pull_requests
            && self.admits_refs_of_pull_requests()
            && let Some(text) = self.admits_pull_requests()
        {
            let message = "write permissions for runs of `pull_request`: a change takes effect before anyone has merged it";
            let suggestion = "use a subject with a branch or an environment".to_owned();
            self.problems.warning("pull-request-write", text.place, message, Some(suggestion));
        }
        // A pattern that admits a nonexistent event admits any: `.*` restricts nothing. Events triggered by strangers
        // run on the default branch, never on a tag.
        if admits_any && !self.admits_tags_only() {
            let message = "write permissions for any event: `pull_request_target` and `issue_comment` run on the default branch too";
            let suggestion = match event {
                None => "add `event_name` to `claim_pattern`, for example `event_name: push`",
                Some(_) => "name the events in `event_name`, for example `event_name: push`",
            };
            self.problems.warning("event-name-unrestricted", write, message, Some(suggestion.to_owned()));
        }
    }

    fn names(&mut self) {
        let Some(write) = self.first_write() else { return };
        let by_id = ["repository_id", "repository_owner_id"].iter().any(|id| self.is_fixed(id));
        if self.is_github_actions() && !by_id && !self.subject_has_numbers() {
            let message = "write permissions by names alone: a deleted or renamed owner or repository can be registered again by somebody else";
            let suggestion = "add `repository_id` or `repository_owner_id` to `claim_pattern`".to_owned();
            self.problems.warning("names-can-be-registered-anew", write, message, Some(suggestion));
        }
    }

    /// Where the first permission above `read` is.
    fn first_write(&self) -> Option<Place> {
        self.draft.permissions.iter().find(|(_, level)| *level > Level::Read).map(|(name, _)| name.place)
    }

    fn claim(&self, name: &str) -> Option<&'d Located<'d, Pattern>> {
        let draft: &'d Draft<'d> = self.draft;
        draft.claim_patterns.iter().find(|(key, _)| key.value == name).map(|(_, located)| located)
    }

    fn is_github_actions(&self) -> bool {
        self.draft.issuer.as_ref().is_some_and(|issuer| match &issuer.rule {
            Matcher::Exact(text) => subject::is_github_actions(text),
            Matcher::Pattern(pattern) => {
                subject::is_for_github_actions(pattern.source(), |issuer| self.matches(pattern, issuer))
            }
        })
    }

    /// A claim fixes the repository or its owner, so the subject need not.
    fn repository_is_claimed(&self) -> bool {
        ["repository", "repository_id", "repository_owner_id"].iter().any(|name| self.is_fixed(name))
    }

    /// The claim's pattern is at most a list of texts.
    fn is_fixed(&self, name: &str) -> bool {
        self.claim(name).is_some_and(|located| shape::fixed_start(located.rule.root()).is_none())
    }

    /// The subject has the numbers of owner and repository, which never change hands.
    fn subject_has_numbers(&self) -> bool {
        self.draft.subject.as_ref().is_some_and(|subject| match &subject.rule {
            Matcher::Exact(text) => {
                RunSubject::parse(text).is_some_and(|subject| subject.repository.numbers.is_some())
            }
            Matcher::Pattern(pattern) => owner_is_numbered(pattern),
        })
    }

    /// Whether the claims `ref` and `ref_protected` admit a pull request run: its ref is not a branch, and never
    /// protected.
    fn admits_refs_of_pull_requests(&self) -> bool {
        let admits = |name: &str, value: &str| self.claim(name).is_none_or(|claim| claim.rule.matches(value));
        admits("ref", "refs/pull/1/merge") && admits("ref_protected", "false")
    }

    /// Whether only runs on a tag are admitted: by the subject, or by a claim.
    fn admits_tags_only(&self) -> bool {
        let is_of_tags = |claim: &str, others: &[&str], sign: &str| {
            self.claim(claim).is_some_and(|claim| {
                claim.text.value.contains(sign) && !others.iter().any(|other| claim.rule.matches(other))
            })
        };
        is_of_tags("ref", &["refs/heads/main", "refs/heads/master", "refs/heads/x"], "refs/tags/")
            || is_of_tags("ref_type", &["branch"], "tag")
            || self.draft.subject.as_ref().is_some_and(|subject| match &subject.rule {
                Matcher::Exact(_) => matches!(exact_context(&subject.rule), Some(RunContext::Tag(_))),
                Matcher::Pattern(pattern) => {
                    pattern.source().contains("refs/tags/") && {
                        let runs = shape::pull_request_subjects(pattern.root());
                        !runs.iter().flat_map(|run| off_tags(run)).any(|subject| pattern.matches(&subject))
                    }
                }
            })
    }

    fn admits_pull_requests(&self) -> Option<&'d Text> {
        let draft: &'d Draft<'d> = self.draft;
        let subject = draft.subject.as_ref()?;
        let admits = match &subject.rule {
            Matcher::Exact(text) => text.ends_with(":pull_request"),
            Matcher::Pattern(pattern) => shape::pull_request_subjects(pattern.root())
                .iter()
                .any(|subject| self.matches(pattern, subject)),
        };
        admits.then_some(subject.text)
    }
}

/// Whether whatever the pattern matches begins with one owner and its number, which never changes hands.
fn owner_is_numbered(pattern: &Pattern) -> bool {
    !pattern.has_top_level_alternation() && subject::owner_is_numbered(pattern.source())
}

/// What a run is for, by an exact subject of GitHub's form.
fn exact_context(subject: &Matcher) -> Option<RunContext<'_>> {
    match subject {
        Matcher::Exact(text) => RunSubject::parse(text).map(|subject| subject.context),
        Matcher::Pattern(_) => None,
    }
}

/// Subjects of runs that are not on a tag, and of a pull request run.
fn off_tags(pull_request: &str) -> [String; 6] {
    let repository = pull_request.strip_suffix("pull_request").unwrap_or(pull_request);
    [
        "ref:refs/heads/main",
        "ref:refs/heads/master",
        "ref:refs/heads/x",
        "environment:production",
        "environment:x",
        "pull_request",
    ]
    .map(|context| format!("{repository}{context}"))
}

/// Whether the dot is that of `.yml@` or `.yaml@`. Only files with such an extension are workflows, so another
/// character in its place matches no workflow.
fn is_dot_of_a_workflow(pattern: &str, offset: usize) -> bool {
    let ending: String = pattern.chars().skip(offset.saturating_add(1)).take(6).collect();
    ["yml@", "yaml@", "ya?ml@"].iter().any(|known| ending.starts_with(known))
        || ["yml", "yaml"].contains(&ending.as_str())
}
