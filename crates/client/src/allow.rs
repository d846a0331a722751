//! Rules in the language of trust policies for a server: who gets in, in addition to having a valid token.
//!
//! A rule has the keys of a policy that say *who*: `issuer`, `subject`, `audience`, their `_pattern` forms, and
//! `claim_pattern`. Without an audience, a rule means the server's own. The policy loader reads the rules and its code
//! decides, so a rule means the same here as in a policy.

use octo_sts_policy::{EntryRule, RuleProblem, admit_entry, load_entry_rule};
use octo_sts_verifier::oidc::VerifiedClaims;

/// More rules than this are a mistake; each costs time in every request.
const MAX_RULES: usize = 32;

/// The rules of a server. Without any, every verified token is admitted.
#[derive(Debug)]
pub(crate) struct Allow(Vec<EntryRule>);

impl Allow {
    /// Reads the rules; reports every problem of every rule.
    pub(crate) fn load(rules: &[String]) -> Result<Self, Vec<String>> {
        if rules.len() > MAX_RULES {
            return Err(vec![format!("{} rules; at most {MAX_RULES} are allowed", rules.len())]);
        }
        let mut compiled = Vec::with_capacity(rules.len());
        let mut problems = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            match load_entry_rule(rule.as_bytes()) {
                Ok(rule) => compiled.push(rule),
                Err(found) => {
                    problems
                        .extend(found.iter().map(|problem| format!("rule {}: {}", index + 1, line(problem))));
                }
            }
        }
        if problems.is_empty() { Ok(Self(compiled)) } else { Err(problems) }
    }

    /// Whether a rule admits the token; the refusal of the rule that came furthest, which the caller most likely means.
    /// `audience` is the server's audience that the token has.
    pub(crate) fn check(&self, claims: &VerifiedClaims, audience: &str) -> Result<(), String> {
        match admit_entry(&self.0, claims, audience) {
            Ok(()) | Err(None) => Ok(()),
            Err(Some(denial)) => Err(denial.to_string()),
        }
    }
}

fn line(problem: &RuleProblem) -> String {
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
