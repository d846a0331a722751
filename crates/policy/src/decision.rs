//! Who gets what. All rules must hold:
//!
//! 1. the issuer; 2. the subject; 3. the audience; 4. every claim pattern.
//!
//! Then the App that would mint must be the one that the policy is for.
//!
//! [`evaluate`] reports every step and grants nothing; [`authorize`] takes only verified claims and is the only source
//! of a [`Grant`]. Both take the same steps.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::names::{Repository, Scope};
use octo_sts_verifier::oidc::{Claims, VerifiedClaims};

use super::compiled::{AppIdentity, AudienceRule, CompiledPolicy, Matcher, PolicyHome};
use super::denial::Denial;
use super::pattern::{Matched, Pattern, Steps};
use super::permissions::Permissions;

/// What a rule of a policy is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Who issued the token.
    Issuer,
    /// Whom it is about.
    Subject,
    /// Whom it is intended for.
    Audience,
    /// A claim, by its name.
    Claim(String),
}

/// What a policy expects of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// This text.
    Exact(String),
    /// Text that this pattern matches as a whole.
    Pattern(String),
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actual {
    /// One text; a boolean claim is `true` or `false`.
    Text(String),
    /// Several, of which one must match.
    Texts(Vec<String>),
    /// The claim is missing.
    Missing,
    /// The claim is neither text nor boolean; the word says what it is.
    WrongType(&'static str),
}

impl Actual {
    /// The texts to check the rule against.
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

/// One rule checked against one token.
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
    /// It does not hold, but would under the Go service's reading of a top-level `|`.
    pub only_unanchored: bool,
    /// Whether it holds is not known, because the decision's steps were used up, by this pattern or by earlier ones.
    pub too_expensive: bool,
}

/// Every rule of a policy checked against a token. Has no authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    steps: Vec<Step>,
}

impl Evaluation {
    /// All of them, in the order of the decision, including those after a failure.
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

    /// The claims whose patterns hold.
    pub(super) fn matched_claims(&self) -> BTreeMap<String, String> {
        let claim = |step: &Step| match (&step.rule, &step.actual) {
            (Rule::Claim(name), Actual::Text(text)) if step.holds => Some((name.clone(), text.clone())),
            (Rule::Claim(_) | Rule::Issuer | Rule::Subject | Rule::Audience, _) => None,
        };
        let mut matched = BTreeMap::new();
        matched.extend(self.steps.iter().filter_map(claim));
        matched
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
    pub(crate) permissions: Permissions,
    pub(crate) repositories: RepositorySelection,
    pub(crate) matched_claims: BTreeMap<String, String>,
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

/// Checks every rule against the claims, and reports each result. `domain` is this service's own.
///
/// Linear in the policy and the claims, except for the patterns, which share one budget of steps; once it is used up,
/// no further pattern holds.
///
/// ```
/// use octo_sts_policy::{PolicyHome, evaluate, load};
/// use octo_sts_verifier::oidc::Claims;
///
/// let policy = load(b"
/// issuer: https://token.actions.githubusercontent.com
/// subject: repo:acme/app:ref:refs/heads/main
/// permissions: {contents: read}
/// ", PolicyHome::Repository).value.unwrap();
/// let claims = |branch: &str| {
///     let all = serde_json::json!({
///         "iss": "https://token.actions.githubusercontent.com", "aud": "sts.example.com",
///         "sub": format!("repo:acme/app:ref:refs/heads/{branch}"),
///     });
///     Claims::from_object(all.as_object().unwrap().clone()).unwrap()
/// };
/// assert!(evaluate(&policy, &claims("main"), "sts.example.com").satisfied());
/// assert!(!evaluate(&policy, &claims("other"), "sts.example.com").satisfied());
/// ```
#[must_use]
pub fn evaluate(policy: &CompiledPolicy, claims: &Claims, domain: &str) -> Evaluation {
    let mut steps = Holding::of(claims);
    steps.hold(policy.issuer(), policy.subject());
    steps.hold_audience_or(policy.audience(), domain);
    steps.hold_claims(policy.claim_patterns());
    steps.into_evaluation()
}

/// The steps of a decision, one by one in their order.
pub(super) struct Holding<'c> {
    claims: &'c Claims,
    taken: Vec<Step>,
    budgets: Budgets,
}

impl<'c> Holding<'c> {
    pub(super) fn of(claims: &'c Claims) -> Self {
        let budgets = Budgets { decision: Steps::of_a_decision(), hints: Steps::of_a_decision() };
        Self { claims, taken: Vec::new(), budgets }
    }

    /// 1. The issuer; 2. the subject.
    pub(super) fn hold(&mut self, issuer: &Matcher, subject: &Matcher) {
        let actual = Actual::Text(self.claims.issuer().to_owned());
        self.taken.push(hold_matcher(Rule::Issuer, issuer, actual, &self.budgets));
        let actual = Actual::Text(self.claims.subject().to_owned());
        self.taken.push(hold_matcher(Rule::Subject, subject, actual, &self.budgets));
    }

    /// 3. Any one of the audiences.
    pub(super) fn hold_audience(&mut self, audience: &Matcher) {
        self.taken.push(hold_matcher(Rule::Audience, audience, self.audiences(), &self.budgets));
    }

    /// The same, for a file that may name none: it means this service then, and never anybody.
    pub(super) fn hold_audience_or(&mut self, audience: &AudienceRule, domain: &str) {
        match audience {
            AudienceRule::Domain => self.taken.push(hold_exact(Rule::Audience, domain, self.audiences())),
            AudienceRule::Named(matcher) => self.hold_audience(matcher),
        }
    }

    /// 4. Every claim pattern.
    pub(super) fn hold_claims(&mut self, patterns: &BTreeMap<String, Pattern>) {
        for (name, pattern) in patterns {
            let actual = Actual::of_claim(self.claims.claim(name));
            self.taken.push(hold_pattern(Rule::Claim(name.clone()), pattern, actual, &self.budgets));
        }
    }

    pub(super) fn into_evaluation(self) -> Evaluation {
        Evaluation { steps: self.taken }
    }

    fn audiences(&self) -> Actual {
        match self.claims.audiences() {
            [one] => Actual::Text(one.clone()),
            several => Actual::Texts(several.to_vec()),
        }
    }
}

struct Budgets {
    decision: Steps,
    /// The Go service's reading does not use up the decision's budget.
    hints: Steps,
}

fn hold_matcher(rule: Rule, matcher: &Matcher, actual: Actual, budgets: &Budgets) -> Step {
    match matcher {
        Matcher::Exact(expected) => hold_exact(rule, expected, actual),
        Matcher::Pattern(pattern) => hold_pattern(rule, pattern, actual, budgets),
    }
}

fn hold_exact(rule: Rule, expected: &str, actual: Actual) -> Step {
    let holds = actual.texts().any(|text| text == expected);
    let expected = Expectation::Exact(expected.to_owned());
    Step { rule, expected, actual, holds, only_unanchored: false, too_expensive: false }
}

fn hold_pattern(rule: Rule, pattern: &Pattern, actual: Actual, budgets: &Budgets) -> Step {
    let mut too_expensive = false;
    let holds = actual.texts().any(|text| match pattern.matches_within(text, &budgets.decision) {
        Matched::Yes => true,
        Matched::No => false,
        Matched::TooExpensive => {
            too_expensive = true;
            false
        }
    });
    let only_unanchored = !holds
        && pattern.has_top_level_alternation()
        && actual.texts().any(|text| pattern.go_service_admits(text, &budgets.hints));
    let expected = Expectation::Pattern(pattern.source().to_owned());
    Step { rule, expected, actual, holds, only_unanchored, too_expensive: too_expensive && !holds }
}

/// Decides about a verified token, and says exactly what it gets if it is admitted.
///
/// `policy` is the one at the place of `scope`; `app` is the App that would mint.
///
/// ```
/// use octo_sts_policy::names::Scope;
/// use octo_sts_policy::{AppIdentity, CompiledPolicy, Grant, authorize};
/// use octo_sts_verifier::oidc::VerifiedClaims;
///
/// // Claims that nobody verified are no argument.
/// fn grant(policy: &CompiledPolicy, claims: &VerifiedClaims) -> Result<Grant, String> {
///     let scope: Scope = "acme/app".parse().map_err(|_| "not a scope".to_owned())?;
///     let app = AppIdentity { name: None, id: "1234" };
///     authorize(policy, claims, "sts.example.com", &scope, app).map_err(|denial| denial.to_string())
/// }
/// ```
///
/// # Errors
/// The first rule that does not hold.
pub fn authorize(
    policy: &CompiledPolicy,
    claims: &VerifiedClaims,
    domain: &str,
    scope: &Scope,
    app: AppIdentity<'_>,
) -> Result<Grant, Denial> {
    decide(policy, claims.claims(), domain, scope, app)
}

fn decide(
    policy: &CompiledPolicy,
    claims: &Claims,
    domain: &str,
    scope: &Scope,
    app: AppIdentity<'_>,
) -> Result<Grant, Denial> {
    let evaluation = evaluate(policy, claims, domain);
    let matched_claims = evaluation.matched_claims();
    if let Some(step) = evaluation.first_failure() {
        return Err(Denial::of(step, matched_claims));
    }
    // After the rules, so that whoever they refuse learns nothing about the service's Apps.
    if !policy.app().admits(app) {
        return Err(Denial::of_another_app(matched_claims));
    }
    let repositories = selection(policy, scope).ok_or_else(Denial::misplaced)?;
    Ok(Grant { permissions: policy.permissions().clone(), repositories, matched_claims })
}

/// The repositories that a policy covers for a request with `scope`.
fn selection(policy: &CompiledPolicy, scope: &Scope) -> Option<RepositorySelection> {
    match (policy.home(), scope, policy.repositories()) {
        (_, Scope::Repository { repository, .. }, None) => {
            Some(RepositorySelection::These(vec![repository.clone()]))
        }
        (PolicyHome::OrganizationPolicyRepository, Scope::Owner(_), None) => Some(RepositorySelection::All),
        (PolicyHome::OrganizationPolicyRepository, _, Some(repositories)) => {
            Some(RepositorySelection::These(repositories.to_vec()))
        }
        // A repository's own policy neither lists repositories nor applies to the organization. The loader and the
        // exchange make sure of that; if they did not, the answer would be no.
        (PolicyHome::Repository, Scope::Owner(_), _) | (PolicyHome::Repository, _, Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::load;
    use super::*;

    const DOMAIN: &str = "sts.example.com";
    const APP: AppIdentity<'_> = AppIdentity { name: Some("deploys"), id: "1234" };

    fn policy(home: PolicyHome, yaml: &str) -> CompiledPolicy {
        let report = load(yaml.as_bytes(), home);
        report.value.unwrap_or_else(|| panic!("{yaml}: {:?}", report.diagnostics))
    }

    fn plain(extra: &str) -> CompiledPolicy {
        let yaml = format!(
            "issuer: https://token.actions.githubusercontent.com\nsubject: repo:acme/app:ref:refs/heads/main\npermissions: {{contents: read}}\n{extra}"
        );
        policy(PolicyHome::Repository, &yaml)
    }

    fn good() -> Value {
        json!({
            "iss": "https://token.actions.githubusercontent.com",
            "sub": "repo:acme/app:ref:refs/heads/main",
            "aud": "sts.example.com",
        })
    }

    fn claims(value: Value) -> Claims {
        let Value::Object(object) = value else { panic!("{value}") };
        Claims::from_object(object).unwrap()
    }

    fn with(name: &str, value: Value) -> Claims {
        let mut object = good();
        object[name] = value;
        claims(object)
    }

    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    fn refusal(policy: &CompiledPolicy, claims: &Claims) -> String {
        decide(policy, claims, DOMAIN, &scope("acme/app"), APP).unwrap_err().to_string()
    }

    fn granted(policy: &CompiledPolicy, claims: &Claims) -> bool {
        decide(policy, claims, DOMAIN, &scope("acme/app"), APP).is_ok()
    }

    #[test]
    fn every_rule_must_hold_and_the_refusal_names_the_callers_value() {
        let policy = plain("");
        assert!(granted(&policy, &claims(good())));
        assert_eq!(
            refusal(&policy, &with("iss", json!("https://evil.example.com"))),
            "the token's issuer `https://evil.example.com` does not satisfy the policy"
        );
        assert_eq!(
            refusal(&policy, &with("sub", json!("repo:acme/app:ref:refs/heads/dev"))),
            "the token's subject `repo:acme/app:ref:refs/heads/dev` does not satisfy the policy"
        );
        assert_eq!(
            refusal(&policy, &with("aud", json!("https://other.example.com"))),
            "the token's audience `https://other.example.com` does not satisfy the policy"
        );
        assert_eq!(
            refusal(&policy, &with("aud", json!(["a", "b"]))),
            "none of the token's audiences `a`, `b` satisfies the policy"
        );
    }

    #[test]
    fn any_one_of_the_audiences_is_enough() {
        let many = with("aud", json!(["a", "sts.example.com"]));
        assert!(granted(&plain(""), &many));
        assert!(granted(&plain("audience: a"), &many));
        assert!(granted(&plain("audience_pattern: '[a]'"), &many));
        // Naming an audience replaces the service's own.
        assert!(!granted(&plain("audience: a"), &claims(good())));
        assert!(!granted(&plain("audience_pattern: b"), &many));
        assert_eq!(
            refusal(&plain("audience: z"), &with("aud", json!(["a", "b", "c", "d", "e"]))),
            "none of the token's audiences `a`, `b`, `c`, `d` and others satisfies the policy"
        );
    }

    #[test]
    fn a_claim_is_text_or_boolean_or_it_is_refused() {
        let policy = plain("claim_pattern: {ref: .*}");
        for (value, holds) in [
            (json!("refs/heads/main"), true),
            (json!(""), true),
            (json!(true), true),
            (json!(false), true),
            (json!(1), false),
            (json!(null), false),
            (json!(["refs/heads/main"]), false),
            (json!({"a": "b"}), false),
        ] {
            assert_eq!(granted(&policy, &with("ref", value.clone())), holds, "{value}");
        }
        for (claims, message) in [
            (claims(good()), "the token's claim `ref` is missing, which does not satisfy the policy"),
            (with("ref", json!(7)), "the token's claim `ref` is a number, which does not satisfy the policy"),
            (with("ref", json!(null)), "the token's claim `ref` is null, which does not satisfy the policy"),
        ] {
            assert_eq!(refusal(&policy, &claims), message);
        }
        assert_eq!(
            refusal(&plain("claim_pattern: {ref: main}"), &with("ref", json!("dev"))),
            "the token's claim `ref` with the value `dev` does not satisfy the policy"
        );
        let booleans = plain("claim_pattern: {ref_protected: true}");
        assert!(granted(&booleans, &with("ref_protected", json!(true))));
        assert!(granted(&booleans, &with("ref_protected", json!("true"))));
        assert!(!granted(&booleans, &with("ref_protected", json!(false))));
    }

    #[test]
    fn registered_claims_may_be_named_too() {
        let policy = plain("claim_pattern: {iss: 'https://.*', sub: 'repo:acme/.*', aud: .*}");
        assert!(granted(&policy, &claims(good())));
        // An array is not text, even if one of its members would match as audience.
        assert!(!granted(&policy, &with("aud", json!(["sts.example.com"]))));
    }

    #[test]
    fn a_top_level_alternation_is_pointed_out_only_where_it_matters() {
        let policy = plain("claim_pattern: {ref: main|dev}");
        let hint =
            "; the policy's pattern has a `|` outside a group, and a pattern must match the whole value";
        assert!(refusal(&policy, &with("ref", json!("main-evil"))).ends_with(hint));
        assert!(refusal(&policy, &with("ref", json!("my-dev"))).ends_with(hint));
        assert!(!refusal(&policy, &with("ref", json!("other"))).contains("outside a group"));
        assert!(granted(&policy, &with("ref", json!("dev"))));
        let grouped = plain("claim_pattern: {ref: (main|dev)}");
        assert!(!refusal(&grouped, &with("ref", json!("main-evil"))).contains("outside a group"));
    }

    #[test]
    fn a_refusal_is_one_bounded_line_and_says_nothing_of_the_policy() {
        let policy = plain("claim_pattern: {secret_name: 'hidden-[0-9]+'}");
        let long = format!("a`\n\u{202e}{}", "x".repeat(5000));
        let message = refusal(&policy, &with("secret_name", json!(long)));
        assert!(message.len() < 600 && !message.contains('\n') && !message.contains('\u{202e}'), "{message}");
        assert!(!message.contains("hidden"), "{message}");
        let message = refusal(&plain(""), &with("sub", json!("repo:acme/app:x")));
        assert!(!message.contains("refs/heads/main"), "{message}");
    }

    #[test]
    fn the_first_failure_in_order_is_the_one_told() {
        let policy = plain("claim_pattern: {a: x}");
        let all_wrong = claims(json!({"iss": "https://b.example.com", "sub": "s", "aud": "t"}));
        let denial = decide(&policy, &all_wrong, DOMAIN, &scope("acme/app"), APP).unwrap_err();
        assert_eq!(denial.code(), "issuer");
        let evaluation = evaluate(&policy, &all_wrong, DOMAIN);
        assert_eq!(evaluation.steps().iter().map(|step| step.holds).collect::<Vec<_>>(), [false; 4]);
        assert!(!evaluation.satisfied());
        assert!(evaluate(&plain(""), &claims(good()), DOMAIN).satisfied());
    }

    #[test]
    fn the_claims_that_matched_are_told_for_the_audit() {
        let policy = plain("claim_pattern: {actor: .*, ref: main, zone: x}");
        let mut object = good();
        object["actor"] = json!("octocat");
        object["ref"] = json!("main");
        let denial = decide(&policy, &claims(object.clone()), DOMAIN, &scope("acme/app"), APP).unwrap_err();
        assert_eq!(denial.code(), "claim");
        assert_eq!(denial.matched_claims().len(), 2);
        object["zone"] = json!("x");
        let grant = decide(&policy, &claims(object), DOMAIN, &scope("acme/app"), APP).unwrap();
        assert_eq!(grant.matched_claims()["actor"], "octocat");
        assert_eq!(grant.matched_claims().len(), 3);
    }

    #[test]
    fn a_policy_for_another_app_of_the_service_is_refused_after_the_decision() {
        let here = APP;
        let nameless = AppIdentity { name: None, id: "1234" };
        for (pin, app, admitted) in [
            ("", here, true),
            ("app: deploys", here, true),
            ("app: '1234'", here, true),
            ("app: 1234", nameless, true),
            ("app: deploys", nameless, false),
            ("app: Deploys", here, false),
            ("app: '123'", here, false),
            ("app: .*", here, false),
            ("app_pattern: deploy.", here, true),
            ("app_pattern: deploy", here, false),
            ("app_pattern: deploy|x", here, false),
            ("app_pattern: .*", nameless, false),
            ("app_pattern: '1234'", here, false),
        ] {
            let policy = plain(pin);
            let decided = decide(&policy, &claims(good()), DOMAIN, &scope("acme/app"), app);
            assert_eq!(decided.is_ok(), admitted, "{pin} {app:?}");
            if let Err(denial) = decided {
                assert_eq!(denial.code(), "app");
                assert_eq!(denial.to_string(), "the policy is for another app of this service");
            }
            // A caller that the rules refuse learns which rule.
            let stranger = with("iss", json!("https://evil.example.com"));
            let denial = decide(&policy, &stranger, DOMAIN, &scope("acme/app"), app).unwrap_err();
            assert_eq!(denial.code(), "issuer");
        }
    }

    #[test]
    fn the_scope_and_the_home_decide_what_is_covered() {
        let yaml = "issuer: https://a.example.com\nsubject: s\npermissions: {contents: read}\n";
        let listed = format!("{yaml}repositories: [app, docs]\n");
        let organization = PolicyHome::OrganizationPolicyRepository;
        let claims = claims(json!({"iss": "https://a.example.com", "sub": "s", "aud": DOMAIN}));
        let covered = |home, yaml: &str, asked: &str| match decide(
            &policy(home, yaml),
            &claims,
            DOMAIN,
            &scope(asked),
            APP,
        )
        .map_err(|denial| denial.code())
        {
            Ok(Grant { repositories: RepositorySelection::All, .. }) => Ok("every repository".to_owned()),
            Ok(Grant { repositories: RepositorySelection::These(these), .. }) => {
                Ok(these.iter().map(Repository::as_str).collect::<Vec<_>>().join(" "))
            }
            Err(code) => Err(code),
        };
        assert_eq!(covered(PolicyHome::Repository, yaml, "acme/app").as_deref(), Ok("app"));
        assert_eq!(covered(organization, yaml, "acme").as_deref(), Ok("every repository"));
        assert_eq!(covered(organization, &listed, "acme").as_deref(), Ok("app docs"));
        assert_eq!(covered(organization, yaml, "acme/.github").as_deref(), Ok(".github"));
        assert_eq!(covered(organization, &listed, "acme/.github").as_deref(), Ok("app docs"));
        // A repository's policy never decides for its owner, whatever the caller confuses.
        assert_eq!(covered(PolicyHome::Repository, yaml, "acme"), Err("scope"));
    }
}
