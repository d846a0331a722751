//! Who gets what. All rules must hold:
//!
//! 1. the issuer; 2. the subject; 3. the audience; 4. every claim pattern.
//!
//! [`evaluate`] tells every step and grants nothing; [`authorize`] takes only verified claims and is the only source of
//! a [`Grant`]. Both take the same steps.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::names::{Repository, Scope};
use crate::oidc::{Claims, VerifiedClaims};

use super::compiled::{AudienceRule, CompiledPolicy, Matcher, PolicyHome};
use super::denial::Denial;
use super::pattern::Pattern;
use super::permissions::Permissions;

/// What a rule of a policy is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Who issued the token.
    Issuer,
    /// Whom it is about.
    Subject,
    /// Whom it is meant for.
    Audience,
    /// A claim, by its name.
    Claim(String),
}

/// What a policy expects of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// This text.
    Exact(String),
    /// A text that this pattern matches as a whole.
    Pattern(String),
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actual {
    /// One text; a boolean claim is `true` or `false`.
    Text(String),
    /// Several, of which one has to do.
    Texts(Vec<String>),
    /// The claim is not there.
    Missing,
    /// The claim is there and is neither text nor boolean; the word says what it is.
    WrongType(&'static str),
}

impl Actual {
    /// The texts that the rule could hold for.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let slice = match self {
            Self::Text(text) => std::slice::from_ref(text),
            Self::Texts(texts) => texts,
            Self::Missing | Self::WrongType(_) => &[],
        };
        slice.iter().map(String::as_str)
    }

    pub(super) fn absence(&self) -> String {
        match self {
            Self::Text(_) | Self::Texts(_) => String::new(),
            Self::Missing => "is missing".to_owned(),
            Self::WrongType(what) => format!("is {what}"),
        }
    }

    fn of_claim(value: Option<&Value>) -> Self {
        match value {
            None => Self::Missing,
            Some(Value::String(text)) => Self::Text(text.clone()),
            Some(Value::Bool(flag)) => Self::Text(flag.to_string()),
            Some(Value::Null) => Self::WrongType("null"),
            Some(Value::Number(_)) => Self::WrongType("a number"),
            Some(Value::Array(_)) => Self::WrongType("an array"),
            Some(Value::Object(_)) => Self::WrongType("an object"),
        }
    }
}

/// One rule held against one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which rule.
    pub rule: Rule,
    /// What the policy expects.
    pub expected: Expectation,
    /// What the token says.
    pub actual: Actual,
    /// Whether the rule holds.
    pub holds: bool,
    /// It does not hold, and would under the Go service's reading of a top-level `|`.
    pub only_unanchored: bool,
}

/// Every rule of a policy held against a token. Has no authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    steps: Vec<Step>,
}

impl Evaluation {
    /// In the order of the decision, all of them, also behind one that fails.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether every rule holds.
    #[must_use]
    pub fn satisfied(&self) -> bool {
        self.first_failure().is_none()
    }

    /// The step that a refusal names.
    #[must_use]
    pub fn first_failure(&self) -> Option<&Step> {
        self.steps.iter().find(|step| !step.holds)
    }

    fn matched_claims(&self) -> BTreeMap<String, String> {
        let claim = |step: &Step| match (&step.rule, &step.actual) {
            (Rule::Claim(name), Actual::Text(text)) if step.holds => Some((name.clone(), text.clone())),
            (Rule::Claim(_) | Rule::Issuer | Rule::Subject | Rule::Audience, _) => None,
        };
        self.steps.iter().filter_map(claim).collect()
    }
}

/// The repositories that a token covers.
#[derive(Debug, Clone)]
pub enum RepositorySelection {
    /// Every repository of the installation.
    All,
    /// These; never empty.
    These(Vec<Repository>),
}

/// What a policy grants to a verified token. Only [`authorize`] makes one.
#[derive(Debug)]
pub struct Grant {
    permissions: Permissions,
    repositories: RepositorySelection,
    matched_claims: BTreeMap<String, String>,
}

impl Grant {
    /// What the token may do.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Where.
    #[must_use]
    pub fn repositories(&self) -> &RepositorySelection {
        &self.repositories
    }

    /// The claims that the policy's patterns matched, for the audit.
    #[must_use]
    pub fn matched_claims(&self) -> &BTreeMap<String, String> {
        &self.matched_claims
    }
}

/// Holds every rule against the claims and tells how each came out. `domain` is this service's own.
#[must_use]
pub fn evaluate(policy: &CompiledPolicy, claims: &Claims, domain: &str) -> Evaluation {
    // 1. The issuer.
    let issuer = Actual::Text(claims.issuer().to_owned());
    let mut steps = vec![hold_matcher(Rule::Issuer, policy.issuer(), issuer)];
    // 2. The subject.
    let subject = Actual::Text(claims.subject().to_owned());
    steps.push(hold_matcher(Rule::Subject, policy.subject(), subject));
    // 3. Any one of the audiences. A policy that names none means this service; no policy means anybody.
    let audiences = match claims.audiences() {
        [one] => Actual::Text(one.clone()),
        several => Actual::Texts(several.to_vec()),
    };
    steps.push(match policy.audience() {
        AudienceRule::Domain => hold_exact(Rule::Audience, domain, audiences),
        AudienceRule::Named(matcher) => hold_matcher(Rule::Audience, matcher, audiences),
    });
    // 4. Every claim pattern.
    for (name, pattern) in policy.claim_patterns() {
        let actual = Actual::of_claim(claims.claim(name));
        steps.push(hold_pattern(Rule::Claim(name.clone()), pattern, actual));
    }
    Evaluation { steps }
}

fn hold_matcher(rule: Rule, matcher: &Matcher, actual: Actual) -> Step {
    match matcher {
        Matcher::Exact(expected) => hold_exact(rule, expected, actual),
        Matcher::Pattern(pattern) => hold_pattern(rule, pattern, actual),
    }
}

fn hold_exact(rule: Rule, expected: &str, actual: Actual) -> Step {
    let holds = actual.texts().any(|text| text == expected);
    Step { rule, expected: Expectation::Exact(expected.to_owned()), actual, holds, only_unanchored: false }
}

fn hold_pattern(rule: Rule, pattern: &Pattern, actual: Actual) -> Step {
    let holds = actual.texts().any(|text| pattern.matches(text));
    let only_unanchored = !holds && actual.texts().any(|text| pattern.matches_only_unanchored(text));
    Step { rule, expected: Expectation::Pattern(pattern.source().to_owned()), actual, holds, only_unanchored }
}

/// Decides about a verified token, and for a yes says what exactly it gets.
///
/// `policy` is the one that lies where `scope` says.
///
/// # Errors
/// The first rule that does not hold.
pub fn authorize(
    policy: &CompiledPolicy,
    claims: &VerifiedClaims,
    domain: &str,
    scope: &Scope,
) -> Result<Grant, Denial> {
    decide(policy, claims.claims(), domain, scope)
}

fn decide(policy: &CompiledPolicy, claims: &Claims, domain: &str, scope: &Scope) -> Result<Grant, Denial> {
    let evaluation = evaluate(policy, claims, domain);
    let matched_claims = evaluation.matched_claims();
    if let Some(step) = evaluation.first_failure() {
        return Err(Denial::of(step, matched_claims));
    }
    let repositories = selection(policy, scope).ok_or_else(Denial::misplaced)?;
    Ok(Grant { permissions: policy.permissions().clone(), repositories, matched_claims })
}

/// The repositories that a policy covers when it is asked for through `scope`.
fn selection(policy: &CompiledPolicy, scope: &Scope) -> Option<RepositorySelection> {
    match (policy.home(), scope, policy.repositories()) {
        (_, Scope::Repository { repository, .. }, None) => {
            Some(RepositorySelection::These(vec![repository.clone()]))
        }
        (PolicyHome::OrganizationPolicyRepository, Scope::Owner(_), None) => Some(RepositorySelection::All),
        (PolicyHome::OrganizationPolicyRepository, _, Some(repositories)) => {
            Some(RepositorySelection::These(repositories.to_vec()))
        }
        // A repository's own policy neither lists repositories nor answers for the organization. The loader and the
        // exchange see to that; should they not, the answer is no.
        (PolicyHome::Repository, Scope::Owner(_), _) | (PolicyHome::Repository, _, Some(_)) => None,
    }
}
