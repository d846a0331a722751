//! What a policy may say and somebody should look at. Each warning has its own code; none makes a policy unusable.
//!
//! [`super::shape`] answers what a pattern's expression looks like; the rules here say what that means for a policy.

use octo_sts_verifier::oidc::IssuerShape;

use super::compiled::{Matcher, PolicyHome};
use super::diagnostic::{Place, Problems, quoted};
use super::document::{Source, Text};
use super::load::{Draft, Located};
use super::pattern::{Matched, Pattern, Steps};
use super::permissions::Level;
use super::shape;

/// The issuer of GitHub Actions' tokens; an enterprise may have a path behind it.
const GITHUB_ACTIONS: &str = "https://token.actions.githubusercontent.com";

/// With these, whoever runs may rewrite the policy, the workflow that presents the token, or who may do either.
const REWRITING: [&str; 3] = ["administration", "contents", "workflows"];

/// Tells the warnings. Rules about what is *absent* run only when nothing is broken: it might be what is absent.
pub(super) fn check(draft: &Draft<'_>, source: &Source, problems: &mut Problems) {
    let complete = !problems.has_errors();
    let mut lint = Lint { draft, source, problems, steps: Steps::of_a_decision() };
    lint.patterns();
    lint.issuer_shape();
    lint.subject_pattern();
    lint.job_workflow_ref();
    if complete {
        lint.email();
        lint.organization_reach();
        lint.rewriting_permissions();
        lint.events();
        lint.names();
    }
}

struct Lint<'d, 'p> {
    draft: &'d Draft<'d>,
    source: &'d Source,
    problems: &'p mut Problems,
    /// For all matches: what a decision may not take, a warning may not either.
    steps: Steps,
}

impl<'d> Lint<'d, '_> {
    fn matches(&self, pattern: &Pattern, value: &str) -> bool {
        pattern.matches_within(value, &self.steps) == Matched::Yes
    }

    fn patterns(&mut self) {
        let matchers = [&self.draft.issuer, &self.draft.subject, &self.draft.audience];
        let named = matchers.into_iter().flatten();
        let patterns: Vec<(&Text, &Pattern)> = named
            .filter_map(|located| Some((located.text, located.rule.pattern()?)))
            .chain(self.draft.claim_patterns.iter().map(|(_, located)| (located.text, &located.rule)))
            .collect();
        for (text, pattern) in patterns {
            if pattern.has_top_level_alternation() {
                let message =
                    "a `|` outside of a group; the Go service reads `a|b` as `^a|b$`, which is wider";
                let suggestion = "write `(a|b)` around exactly what varies".to_owned();
                self.problems.warning("pattern-top-level-alternation", text.place, message, Some(suggestion));
            }
            let first = self.source.first_character(text);
            for offset in shape::dots_between_literals(pattern.root()) {
                let place = first.map_or(text.place, |first| first.right(offset));
                if !self.problems.has_room("pattern-unescaped-dot") {
                    self.problems.warning("pattern-unescaped-dot", place, "", None);
                    continue;
                }
                let message = "`.` between literals matches any character";
                let suggestion = r"write `\.` if a dot is meant".to_owned();
                self.problems.warning("pattern-unescaped-dot", place, message, Some(suggestion));
            }
        }
    }

    fn issuer_shape(&mut self) {
        let Some(Located { rule: Matcher::Exact(issuer), text }) = &self.draft.issuer else { return };
        if let Err(error) = issuer.parse::<IssuerShape>() {
            let message = format!("no token can have the issuer {}: {}", quoted(issuer), error.rule());
            let bare = issuer.trim().trim_start_matches("https://").trim_start_matches("http://");
            let better = format!("https://{bare}");
            let suggestion =
                better.parse::<IssuerShape>().is_ok().then(|| format!("did you mean `{better}`?"));
            self.problems.warning("issuer-shape", text.place, message, suggestion);
        }
    }

    fn subject_pattern(&mut self) {
        let Some(Located { rule: Matcher::Pattern(pattern), text }) = &self.draft.subject else { return };
        if !(self.is_github_actions() || pattern.source().starts_with("repo:"))
            || self.repository_is_claimed()
        {
            return;
        }
        match shape::fixed_start(pattern.root()).as_deref().map(shape::repository_in_subject) {
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
                    "the subject pattern does not fix the end of the repository's name: others may begin with {} too",
                    quoted(&name)
                );
                let suggestion = format!("write `:` behind the name: `{name}:`");
                self.problems.warning("subject-pattern-open-end", text.place, message, Some(suggestion));
            }
        }
    }

    fn job_workflow_ref(&mut self) {
        for name in ["job_workflow_ref", "workflow_ref"] {
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
                "`email` without `email_verified`: anybody may claim an address that nobody checked";
            let suggestion = "add `email_verified: 'true'` to `claim_pattern`".to_owned();
            self.problems.warning("email-unverified", located.text.place, message, Some(suggestion));
        }
    }

    fn organization_reach(&mut self) {
        if self.draft.home == PolicyHome::OrganizationPolicyRepository && self.draft.repositories.is_none() {
            let message =
                "an organization policy without `repositories` covers every repository of the installation";
            let suggestion = "list the repositories that are needed".to_owned();
            self.problems.warning("organization-wide", Place::START, message, Some(suggestion));
        }
    }

    fn rewriting_permissions(&mut self) {
        let covers_its_own_home = match (&self.draft.home, &self.draft.repositories) {
            (PolicyHome::Repository, _) | (_, None) => true,
            // The usual name; another one is a setting of the server, which a file does not know.
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
                    "`{}: {level}` on the repository that holds this policy: whoever gets the token may change the policy",
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
        if admits_pull_requests && let Some(text) = self.admits_pull_requests() {
            let message =
                "write permissions for runs of `pull_request`: a change is acted on before anybody merged it";
            let suggestion = "use a subject with a branch or an environment".to_owned();
            self.problems.warning("pull-request-write", text.place, message, Some(suggestion));
        }
        // What admits an event that does not exist admits any: `.*` restricts nothing.
        if admits_any {
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
        let by_id = ["repository_id", "repository_owner_id"].iter().any(|id| self.claim(id).is_some());
        if self.is_github_actions() && !by_id {
            let message = "write permissions by names alone: a deleted or renamed owner or repository can be registered anew by somebody else";
            let suggestion = "add `repository_id` or `repository_owner_id` to `claim_pattern`".to_owned();
            self.problems.warning("names-can-be-registered-anew", write, message, Some(suggestion));
        }
    }

    /// Where the first permission above `read` stands.
    fn first_write(&self) -> Option<Place> {
        self.draft.permissions.iter().find(|(_, level)| *level > Level::Read).map(|(name, _)| name.place)
    }

    fn claim(&self, name: &str) -> Option<&'d Located<'d, Pattern>> {
        let draft: &'d Draft<'d> = self.draft;
        draft.claim_patterns.iter().find(|(key, _)| key.value == name).map(|(_, located)| located)
    }

    fn is_github_actions(&self) -> bool {
        self.draft.issuer.as_ref().is_some_and(|issuer| match &issuer.rule {
            Matcher::Exact(text) => {
                text.strip_prefix(GITHUB_ACTIONS).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Matcher::Pattern(pattern) => self.matches(pattern, GITHUB_ACTIONS),
        })
    }

    /// A claim fixes the repository, so the subject need not.
    fn repository_is_claimed(&self) -> bool {
        ["repository", "repository_id"].iter().any(|name| {
            self.claim(name).is_some_and(|located| shape::fixed_start(located.rule.root()).is_none())
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
