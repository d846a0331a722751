//! Rules that only say *who*: the keys of a trust policy without what it grants, read from JSON by the policy loader.
//! The proxy's upstreams use them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use octo_sts_verifier::oidc::Claims;

use super::compiled::Matcher;
use super::decision::{Evaluation, Holding};
use super::denial::Denial;
use super::diagnostic::{Place, Problems, Severity, quoted};
use super::document::{Entry, Node, NodeKind, Source, Text};
use super::fields::{Fields, Vocabulary};
use super::lint;
use super::load::{self, Draft};
use super::pattern::Pattern;

/// The keys of a rule: those of a policy, except for what it grants.
pub(super) const WHO: Vocabulary = Vocabulary {
    file: "a rule",
    keys: &[
        "issuer",
        "issuer_pattern",
        "subject",
        "subject_pattern",
        "audience",
        "audience_pattern",
        "claim_pattern",
    ],
};

/// Who is admitted. Only [`load_rule`] makes it.
#[derive(Debug)]
pub struct AdmissionRule {
    issuer: Matcher,
    subject: Matcher,
    audience: Matcher,
    claim_patterns: BTreeMap<String, Pattern>,
}

/// What is wrong with a rule, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleProblem {
    /// Empty for the rule itself; otherwise, for example, `.subject` or `.claim_pattern.ref`.
    pub path: String,
    /// A problem that is an error leaves no rule.
    pub severity: Severity,
    /// One line, lower case.
    pub message: String,
    /// What to write instead.
    pub suggestion: Option<String>,
}

impl AdmissionRule {
    /// Who must have issued the token.
    #[must_use]
    pub fn issuer(&self) -> &Matcher {
        &self.issuer
    }

    /// Whom the token is about.
    #[must_use]
    pub fn subject(&self) -> &Matcher {
        &self.subject
    }

    /// Whom the token must be intended for; there is no "anybody".
    #[must_use]
    pub fn audience(&self) -> &Matcher {
        &self.audience
    }

    /// Conditions for other claims, by name.
    #[must_use]
    pub fn claim_patterns(&self) -> &BTreeMap<String, Pattern> {
        &self.claim_patterns
    }

    /// Checks every condition against the claims, and reports each result. Grants nothing.
    #[must_use]
    pub fn evaluate(&self, claims: &Claims) -> Evaluation {
        let mut steps = Holding::of(claims);
        steps.hold(&self.issuer, &self.subject);
        steps.hold_audience(&self.audience);
        steps.hold_claims(&self.claim_patterns);
        steps.into_evaluation()
    }
}

/// Reads a rule. Every problem is reported; there is a rule exactly if none of them is an error. A rule without an
/// audience gets `default_audience`. Linear in the rule, except for its patterns, whose cost [`Pattern`] bounds.
///
/// ```
/// use octo_sts_policy::load_rule;
/// let rule = serde_json::json!({"issuer": "https://token.actions.githubusercontent.com", "subject": "repo:acme/app:ref:refs/heads/main"});
/// let (rule, problems) = load_rule(rule.as_object().unwrap(), "https://sts.example.com/proxy/example");
/// assert!(rule.is_some() && problems.is_empty());
/// ```
#[must_use]
pub fn load_rule(
    rule: &Map<String, Value>,
    default_audience: &str,
) -> (Option<AdmissionRule>, Vec<RuleProblem>) {
    let mut problems = Problems::default();
    let mut paths = vec![String::new()];
    let entries = entries(rule, "", &mut paths, &mut problems);
    let root = Node { place: Place::START, kind: NodeKind::Mapping(entries) };
    let source = Source::none();
    let draft = Fields::of(&root, &WHO, &mut problems).map(|fields| {
        let draft = load::who(fields, &source, &mut problems);
        lint::check(&draft, &source, &mut problems);
        draft
    });
    let report = problems.into_report(draft.and_then(|draft| compile(draft, default_audience)));
    let told = report.diagnostics.into_iter().map(|diagnostic| {
        let line = usize::try_from(diagnostic.line.saturating_sub(1)).unwrap_or(0);
        RuleProblem {
            path: paths.get(line).cloned().unwrap_or_default(),
            severity: diagnostic.severity,
            message: diagnostic.message,
            suggestion: diagnostic.suggestion,
        }
    });
    (report.value, told.collect())
}

/// Whether any of the rules admits the claims. Returns the claims that its patterns matched, or the refusal of the rule
/// that got furthest (the first of several).
///
/// A rule for another issuer comes nowhere, so only the first of these is held against the rest of the claims, and only
/// where there are no others: a stranger's issuer signs claims as long as it likes, and each rule has steps of its own.
///
/// # Errors
/// [`Denial`]; for no rules at all it names the issuer.
pub fn admit<'r>(
    rules: impl IntoIterator<Item = &'r AdmissionRule>,
    claims: &Claims,
) -> Result<BTreeMap<String, String>, Denial> {
    let mut elsewhere = None;
    let here = rules.into_iter().filter(|rule| {
        let is_here = rule.issuer.matches(claims.issuer());
        if !is_here {
            elsewhere.get_or_insert(*rule);
        }
        is_here
    });
    let refusal = match furthest(here.map(|rule| rule.evaluate(claims))) {
        Err(None) => furthest(elsewhere.into_iter().map(|rule| rule.evaluate(claims))),
        decided => decided,
    };
    refusal.map_err(|denial| denial.unwrap_or_else(Denial::misplaced))
}

/// What the first evaluation that holds throughout has matched, else the refusal of the one that came furthest.
pub(super) fn furthest(
    evaluations: impl Iterator<Item = Evaluation>,
) -> Result<BTreeMap<String, String>, Option<Denial>> {
    let mut furthest: Option<(usize, Evaluation)> = None;
    for evaluation in evaluations {
        let Some(failed) = evaluation.steps().iter().position(|step| !step.holds) else {
            return Ok(evaluation.matched_claims());
        };
        if furthest.as_ref().is_none_or(|(before, _)| failed > *before) {
            furthest = Some((failed, evaluation));
        }
    }
    Err(furthest.and_then(|(_, evaluation)| {
        let matched = evaluation.matched_claims();
        evaluation.first_failure().map(|step| Denial::of(step, matched))
    }))
}

fn compile(draft: Draft<'_>, default_audience: &str) -> Option<AdmissionRule> {
    let claim_patterns = load::patterns(draft.claim_patterns);
    Some(AdmissionRule {
        issuer: draft.issuer?.rule,
        subject: draft.subject?.rule,
        audience: draft
            .audience
            .map_or_else(|| Matcher::Exact(default_audience.to_owned()), |audience| audience.rule),
        claim_patterns,
    })
}

/// JSON has no positions, so each member gets its own line, which identifies its path.
fn entries(
    members: &Map<String, Value>,
    within: &str,
    paths: &mut Vec<String>,
    problems: &mut Problems,
) -> Vec<Entry> {
    members.iter().map(|(name, value)| entry(name, value, within, paths, problems)).collect()
}

fn entry(name: &str, value: &Value, within: &str, paths: &mut Vec<String>, problems: &mut Problems) -> Entry {
    let path = format!("{within}.{name}");
    paths.push(path.clone());
    let place = Place { line: u32::try_from(paths.len()).unwrap_or(u32::MAX), column: 1 };
    let wrong = match value {
        Value::String(text) => Ok(NodeKind::Text(Text::bare(text, place))),
        // A claim may have the same name as a member of the rule; nothing below a claim's pattern is known.
        Value::Object(inner) if within.is_empty() => {
            Ok(NodeKind::Mapping(entries(inner, &path, paths, problems)))
        }
        Value::Object(_) => Err("an object"),
        Value::Array(_) => Err("an array"),
        Value::Number(_) => Err("a number"),
        Value::Bool(_) => Err("a boolean"),
        Value::Null => Err("null"),
    };
    let kind = wrong.unwrap_or_else(|what| {
        problems.error("wrong-type", place, format!("{} must be text, not {what}", quoted(name)), None);
        NodeKind::Unusable
    });
    Entry { key: Text::bare(name, place), value: Node { place, kind } }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AUDIENCE: &str = "https://sts.example.com/proxy/example";

    fn load(rule: &Value) -> (Option<AdmissionRule>, Vec<RuleProblem>) {
        load_rule(rule.as_object().unwrap(), AUDIENCE)
    }

    fn told(rule: &Value) -> Vec<String> {
        let (_, problems) = load(rule);
        problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
    }

    fn claims(changes: &Value) -> Claims {
        let mut all = json!({
            "iss": "https://a.example.com", "sub": "repo:acme/app:ref:refs/heads/main", "aud": AUDIENCE,
            "ref": "refs/heads/main", "runner": true,
        });
        for (name, value) in changes.as_object().unwrap() {
            all[name] = value.clone();
        }
        Claims::from_object(all.as_object().unwrap().clone()).unwrap()
    }

    fn good() -> Value {
        json!({"issuer": "https://a.example.com", "subject": "repo:acme/app:ref:refs/heads/main"})
    }

    #[test]
    fn every_problem_is_told_with_its_path() {
        let rule = json!({
            "issuer": 5, "subject": "a", "subject_pattern": "(", "audience": "",
            "permissions": {"contents": "read"},
            "claim_pattern": {"ref": ["x"], "event_name": "push("},
        });
        let lines = told(&rule);
        for expected in [
            ".issuer: `issuer` must be text, not a number",
            ".audience: `audience` is empty",
            ".permissions: `permissions` is not a key of a rule",
            ".claim_pattern.ref: `ref` must be text, not an array",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected}: {lines:#?}");
        }
        for path in [".subject_pattern: ", ".claim_pattern.event_name: "] {
            assert!(lines.iter().any(|line| line.starts_with(path)), "{path}: {lines:#?}");
        }
        assert!(load(&rule).0.is_none());
        assert_eq!(
            told(&json!({})),
            [
                ": one of `issuer` and `issuer_pattern` is required",
                ": one of `subject` and `subject_pattern` is required"
            ]
        );
    }

    #[test]
    fn what_is_worth_a_look_is_told_and_leaves_the_rule() {
        let (rule, problems) =
            load(&json!({"issuer": "https://a.example.com", "subject_pattern": "repo:acme/app.x"}));
        assert!(rule.is_some());
        assert!(problems.iter().all(|problem| problem.severity == Severity::Warning));
        assert!(!problems.is_empty());
    }

    #[test]
    fn without_an_audience_only_the_default_one_will_do() {
        let rule = load(&good()).0.unwrap();
        assert!(admit([&rule], &claims(&json!({}))).is_ok());
        let denial = admit([&rule], &claims(&json!({"aud": "sts.example.com"}))).unwrap_err();
        assert_eq!(denial.code(), "audience");
        let mut named = good();
        named["audience"] = "other".into();
        let named = load(&named).0.unwrap();
        assert!(admit([&named], &claims(&json!({"aud": ["x", "other"]}))).is_ok());
        assert!(admit([&named], &claims(&json!({}))).is_err());
    }

    #[test]
    fn one_rule_suffices_and_the_one_that_came_furthest_speaks() {
        let other_issuer = load(&json!({"issuer": "https://b.example.com", "subject": "b"})).0.unwrap();
        let mut pinned = good();
        pinned["claim_pattern"] = json!({"ref": "refs/heads/release", "runner": "true"});
        let pinned = load(&pinned).0.unwrap();
        let other_subject = load(&json!({"issuer": "https://a.example.com", "subject": "b"})).0.unwrap();
        let rules = [&other_issuer, &pinned, &other_subject];
        let denial = admit(rules, &claims(&json!({}))).unwrap_err();
        assert_eq!(
            denial.to_string(),
            "the token's claim `ref` with the value `refs/heads/main` does not satisfy the policy"
        );
        assert_eq!(denial.matched_claims().get("runner").map(String::as_str), Some("true"));
        let matched = admit(rules, &claims(&json!({"ref": "refs/heads/release"}))).unwrap();
        assert_eq!(matched.len(), 2);
        assert!(admit([], &claims(&json!({}))).is_err());
    }
}
