//! Rules in front of a server, written as a trust policy that grants nothing: who gets in.

use std::collections::BTreeMap;

use octo_sts_verifier::oidc::{Claims, VerifiedClaims};

use super::admission::{RuleProblem, furthest};
use super::compiled::{AudienceRule, Matcher, PolicyHome};
use super::decision::{Evaluation, Holding};
use super::denial::Denial;
use super::diagnostic::{Diagnostic, Severity};
use super::load::{self, Draft, PERMISSIONS_MISSING};
use super::pattern::Pattern;

/// Who gets in. Made by [`load_entry_rule`] alone.
#[derive(Debug)]
pub struct EntryRule {
    issuer: Matcher,
    subject: Matcher,
    audience: AudienceRule,
    claim_patterns: BTreeMap<String, Pattern>,
}

impl EntryRule {
    /// `None` when something required is not there, which has been told already.
    fn of(draft: Draft<'_>) -> Option<Self> {
        let audience = draft.audience;
        let mut claim_patterns = BTreeMap::new();
        let patterns = draft.claim_patterns.into_iter();
        claim_patterns.extend(patterns.map(|(name, pattern)| (name.value.clone(), pattern.rule)));
        Some(Self {
            issuer: draft.issuer?.rule,
            subject: draft.subject?.rule,
            audience: audience.map_or(AudienceRule::Domain, |audience| AudienceRule::Named(audience.rule)),
            claim_patterns,
        })
    }

    fn evaluate(&self, claims: &Claims, audience: &str) -> Evaluation {
        let mut steps = Holding::of(claims);
        steps.hold(&self.issuer, &self.subject);
        steps.hold_audience_or(&self.audience, audience);
        steps.hold_claims(&self.claim_patterns);
        steps.into_evaluation()
    }
}

/// Reads a rule: the text of a policy that has neither `permissions` nor `repositories` nor an App. Its problems are a
/// policy's, and all of them errors. Linear in the rule, but for its patterns, whose cost [`Pattern`] bounds.
///
/// ```
/// use octo_sts_policy::load_entry_rule;
/// assert!(load_entry_rule(b"{issuer: 'https://a.example.com', subject: a}").is_ok());
/// let problems = load_entry_rule(b"issuer: https://a.example.com").unwrap_err();
/// assert_eq!(problems[0].message, "one of `subject` and `subject_pattern` is required");
/// ```
///
/// # Errors
/// Every problem of the rule.
pub fn load_entry_rule(source: &[u8]) -> Result<EntryRule, Vec<RuleProblem>> {
    let (mut rule, mut names_app) = (None, false);
    let report = load::read(source, PolicyHome::Repository, |draft, _, _| {
        names_app = draft.app.is_some();
        rule = EntryRule::of(draft);
        None::<()>
    });
    // A policy must say what it grants, and a rule must not: that this one does not is no problem of its own.
    let (missing, problems): (Vec<&Diagnostic>, Vec<&Diagnostic>) =
        report.errors().partition(|problem| problem.code == PERMISSIONS_MISSING);
    if !problems.is_empty() {
        let told = |problem: &Diagnostic| told(&problem.message, problem.suggestion.clone());
        return Err(problems.into_iter().map(told).collect());
    }
    if missing.is_empty() {
        let message = "`permissions` is not a key of a rule: it grants entry and nothing at github";
        return Err(vec![told(message, None)]);
    }
    if names_app {
        let message = "`app` and `app_pattern` are not keys of a rule: no app mints for it";
        return Err(vec![told(message, None)]);
    }
    rule.ok_or_else(|| vec![told("it is not readable", None)])
}

fn told(message: &str, suggestion: Option<String>) -> RuleProblem {
    RuleProblem { path: String::new(), severity: Severity::Error, message: message.to_owned(), suggestion }
}

/// Whether a rule lets the token in. `audience` is what a rule means that names none.
///
/// # Errors
/// The refusal of the rule that came furthest (the first of several); `None` where there are no rules at all.
pub fn admit_entry(
    rules: &[EntryRule],
    claims: &VerifiedClaims,
    audience: &str,
) -> Result<(), Option<Denial>> {
    furthest(rules.iter().map(|rule| rule.evaluate(claims.claims(), audience))).map(|_| ())
}
