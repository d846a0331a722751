//! Rules in the language of trust policies for a server: who gets in, in addition to having a valid token.
//!
//! A rule has the keys of a policy that say *who*: `issuer`, `subject`, `audience`, their `_pattern` forms, and
//! `claim_pattern`. Without an audience, a rule means the server's own. The policy loader reads the rules and its code
//! decides, so a rule means the same here as in a policy.

use octo_sts_policy::names::Scope;
use octo_sts_policy::{
    AppIdentity, AppRule, CompiledPolicy, Denial, Diagnostic, PolicyHome, authorize, evaluate, load,
};
use octo_sts_verifier::oidc::VerifiedClaims;

/// More rules than this are a mistake; each costs time in every request.
const MAX_RULES: usize = 32;

/// Keys that a rule cannot have: it grants entry, and nothing at GitHub.
const NOT_OF_A_RULE: [&str; 2] = ["permissions", "repositories"];

/// A rule pins no App; [`compile`] makes sure of that.
const NO_APP: AppIdentity<'_> = AppIdentity { name: None, id: "" };

/// The rules of a server. Without any, every verified token is admitted.
#[derive(Debug)]
pub(crate) struct Allow {
    rules: Vec<CompiledPolicy>,
    /// The decision needs a scope, which rules do not have.
    scope: Scope,
}

impl Allow {
    /// Reads the rules; reports every problem of every rule.
    pub(crate) fn load(rules: &[String]) -> Result<Self, Vec<String>> {
        if rules.len() > MAX_RULES {
            return Err(vec![format!("{} rules; at most {MAX_RULES} are allowed", rules.len())]);
        }
        let mut compiled = Vec::with_capacity(rules.len());
        let mut problems = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            match compile(rule) {
                Ok(policy) => compiled.push(policy),
                Err(found) => {
                    problems.extend(found.into_iter().map(|problem| format!("rule {}: {problem}", index + 1)))
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let scope = "acme/app".parse().map_err(|error| vec![format!("{error}")])?;
        Ok(Self { rules: compiled, scope })
    }

    /// Whether a rule admits the token. `audience` is the server's audience that the token has.
    pub(crate) fn check(&self, claims: &VerifiedClaims, audience: &str) -> Result<(), String> {
        let mut nearest: Option<(usize, Denial)> = None;
        for rule in &self.rules {
            let denial = match authorize(rule, claims, audience, &self.scope, NO_APP) {
                Ok(_) => return Ok(()),
                Err(denial) => denial,
            };
            // Of several rules, the one that got furthest is reported, because the caller most likely means it.
            let reached = evaluate(rule, claims.claims(), audience)
                .steps()
                .iter()
                .take_while(|step| step.holds)
                .count();
            if nearest.as_ref().is_none_or(|(best, _)| reached > *best) {
                nearest = Some((reached, denial));
            }
        }
        nearest.map_or(Ok(()), |(_, denial)| Err(denial.to_string()))
    }
}

/// A policy requires `permissions`, and a rule must not have it. The only error of the unchanged rule must be that it
/// is missing, so adding it does not change the rule's meaning.
fn compile(rule: &str) -> Result<CompiledPolicy, Vec<String>> {
    let alone = load(rule.as_bytes(), PolicyHome::Repository);
    let mut problems: Vec<String> = Vec::new();
    let mut lacks_permissions = false;
    for problem in alone.errors() {
        match problem.code {
            "permissions-missing" => lacks_permissions = true,
            _ => problems.push(line(problem)),
        }
    }
    if !lacks_permissions && problems.is_empty() {
        problems.push(format!(
            "`{}` is not a key of a rule: a rule grants entry, and nothing at github",
            NOT_OF_A_RULE[0]
        ));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let complete = with_permissions(rule);
    let report = load(complete.as_bytes(), PolicyHome::Repository);
    let errors: Vec<String> = report.errors().map(line).collect();
    if report.value.as_ref().is_some_and(|policy| !matches!(policy.app(), AppRule::Any)) {
        return Err(vec!["`app` and `app_pattern` are not keys of a rule: no app mints for it".to_owned()]);
    }
    report.value.ok_or(if errors.is_empty() { vec!["it is not readable".to_owned()] } else { errors })
}

fn with_permissions(rule: &str) -> String {
    let trimmed = rule.trim_end();
    match (trimmed.trim_start().starts_with('{'), trimmed.strip_suffix('}')) {
        (true, Some(open)) => format!("{open}, permissions: {{contents: read}}}}\n"),
        _ => format!("{trimmed}\npermissions: {{contents: read}}\n"),
    }
}

fn line(problem: &Diagnostic) -> String {
    match &problem.suggestion {
        Some(suggestion) => format!("{} ({suggestion})", problem.message),
        None => problem.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str =
        "issuer: https://token.actions.githubusercontent.com\nsubject: repo:acme/app:ref:refs/heads/main\n";

    fn problems(rule: &str) -> String {
        Allow::load(&[rule.to_owned()]).map(|_| ()).unwrap_err().join("\n")
    }

    #[test]
    fn a_rule_is_a_policy_without_permissions() {
        for rule in [
            RULE,
            "issuer: https://a.example.com\nsubject_pattern: repo:acme/.*\nclaim_pattern:\n  ref: refs/heads/main # that one\n",
            "{issuer: 'https://a.example.com', subject: a}",
            r#"{"issuer":"https://a.example.com","subject_pattern":"repo:acme/[^:]+","claim_pattern":{"ref":"a|b\\.c"}}"#,
            "  \n{ issuer: 'https://a.example.com', subject: a }  \n",
        ] {
            assert!(Allow::load(&[rule.to_owned()]).is_ok(), "{rule}: {:?}", Allow::load(&[rule.to_owned()]));
        }
    }

    #[test]
    fn what_is_no_rule_is_told_with_its_number() {
        let with = |text: &str| problems(&format!("{RULE}{text}"));
        assert!(
            with("permissions: {contents: read}\n").contains("rule 1: `permissions` is not a key of a rule")
        );
        assert!(with("repositories: [app]\n").contains("`repositories`"));
        assert!(with("app: deploys\n").contains("`app` and `app_pattern` are not keys of a rule"));
        assert!(with("subject_pattern: .*\n").contains("only one of"));
        assert!(with("subjcet: a\n").contains("did you mean `subject`?"));
        assert!(
            problems("issuer: https://a.example.com\n")
                .contains("one of `subject` and `subject_pattern` is required")
        );
        assert!(problems("").contains("the file is empty"));
        assert!(problems("[]").contains("a mapping"));
        assert!(problems(&format!("{RULE}...\n---\n{RULE}")).starts_with("rule 1: "));
        let two = Allow::load(&[RULE.to_owned(), "subject: a\n".to_owned()]).unwrap_err();
        assert!(two.iter().all(|problem| problem.starts_with("rule 2: ")), "{two:?}");
        assert!(Allow::load(&vec![RULE.to_owned(); 33]).is_err());
    }
}
