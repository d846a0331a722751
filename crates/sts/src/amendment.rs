//! The smallest change to a policy that admits exactly one refused token.

use octo_sts_policy::{CompiledPolicy, Evaluation, Rule, evaluate, load};
use octo_sts_verifier::oidc::Claims;

use super::yaml::{Draft, Value, entry, literal};

/// A verified change: with it, the policy loads and admits the token.
#[derive(Debug)]
pub(crate) struct Amendment {
    /// Lines of the policy, with `-` before removed and `+` before added ones.
    pub(crate) lines: Vec<String>,
    /// The whole policy with the change, without its comments.
    pub(crate) yaml: String,
    /// Claims that the policy requires and the token lacks; removing them makes the policy wider for everybody.
    pub(crate) dropped: Vec<String>,
    /// The token is intended for somebody else than the policy says; whoever receives such tokens could use them here.
    pub(crate) audience: Option<String>,
}

/// `None` if no policy admits the token, or if the policy already admits it.
pub(crate) fn of(
    policy: &CompiledPolicy,
    evaluation: &Evaluation,
    claims: &Claims,
    domain: &str,
) -> Option<Amendment> {
    let before = Draft::of(policy);
    let mut after = before.clone();
    let mut dropped = Vec::new();
    let mut audience = None;
    evaluation.first_failure()?;
    for step in evaluation.steps().iter().filter(|step| !step.holds) {
        let value = step.actual.texts().next();
        match (&step.rule, value) {
            (Rule::Issuer, Some(value)) => after.issuer = Value::Exact(value.to_owned()),
            (Rule::Subject, Some(value)) => after.subject = Value::Exact(value.to_owned()),
            (Rule::Audience, Some(value)) => {
                after.audience = Some(Value::Exact(value.to_owned()));
                audience = Some(value.to_owned());
            }
            (Rule::Claim(name), Some(value)) => {
                after.claim_pattern.insert(name.clone(), literal(value));
            }
            (Rule::Claim(name), None) => {
                after.claim_pattern.remove(name);
                dropped.push(name.clone());
            }
            (Rule::Issuer | Rule::Subject | Rule::Audience, None) => return None,
        }
    }
    let yaml = after.to_yaml();
    // Trusted only because it was tried.
    let amended = load(yaml.as_bytes(), policy.home()).value?;
    evaluate(&amended, claims, domain).satisfied().then(|| Amendment {
        lines: difference(&before, &after),
        yaml,
        dropped,
        audience,
    })
}

fn difference(before: &Draft, after: &Draft) -> Vec<String> {
    let mut lines = Vec::new();
    let mut tell = |old: Option<String>, new: Option<String>| {
        if old != new {
            lines.extend(old.map(|line| format!("- {line}")));
            lines.extend(new.map(|line| format!("+ {line}")));
        }
    };
    tell(Some(before.issuer.line("issuer")), Some(after.issuer.line("issuer")));
    tell(Some(before.subject.line("subject")), Some(after.subject.line("subject")));
    let audience = |draft: &Draft| draft.audience.as_ref().map(|audience| audience.line("audience"));
    tell(audience(before), audience(after));
    if before.claim_pattern != after.claim_pattern {
        lines.push("  claim_pattern:".to_owned());
        for (name, pattern) in &before.claim_pattern {
            let new = after.claim_pattern.get(name);
            if new != Some(pattern) {
                lines.push(format!("- {}", entry(name, pattern)));
                lines.extend(new.map(|pattern| format!("+ {}", entry(name, pattern))));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use octo_sts_policy::PolicyHome;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;

    const POLICY: &str = "issuer: https://token.actions.githubusercontent.com\n\
                          subject_pattern: repo:acme/app:ref:refs/heads/(main|dev)\n\
                          claim_pattern: {event_name: push, environment: prod, run: '1'}\n\
                          permissions: {contents: read}\n";

    fn amend(change: &Json) -> Option<Amendment> {
        let mut object = json!({
            "iss": "https://token.actions.githubusercontent.com",
            "sub": "repo:acme/app:ref:refs/heads/main",
            "aud": "sts.example.com",
            "event_name": "push", "environment": "prod", "run": "1",
        });
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                object.as_object_mut().unwrap().remove(name);
            } else {
                object[name] = value.clone();
            }
        }
        let claims = Claims::from_object(object.as_object().unwrap().clone()).unwrap();
        let policy = load(POLICY.as_bytes(), PolicyHome::Repository).value.unwrap();
        let evaluation = evaluate(&policy, &claims, "sts.example.com");
        let amendment = of(&policy, &evaluation, &claims, "sts.example.com");
        if let Some(amendment) = &amendment {
            let amended = load(amendment.yaml.as_bytes(), PolicyHome::Repository).value.unwrap();
            assert!(evaluate(&amended, &claims, "sts.example.com").satisfied());
        }
        amendment
    }

    #[test]
    fn only_what_failed_is_changed() {
        for (change, lines) in [
            (
                json!({"sub": "repo:acme/app:ref:refs/heads/x"}),
                vec![
                    "- subject_pattern: repo:acme/app:ref:refs/heads/(main|dev)",
                    "+ subject: repo:acme/app:ref:refs/heads/x",
                ],
            ),
            (json!({"aud": ["b", "c"]}), vec!["+ audience: b"]),
            (
                json!({"event_name": "a.b", "iss": "https://b.example.com"}),
                vec![
                    "- issuer: https://token.actions.githubusercontent.com",
                    "+ issuer: https://b.example.com",
                    "  claim_pattern:",
                    "-   event_name: push",
                    r"+   event_name: a\.b",
                ],
            ),
            (json!({"environment": null}), vec!["  claim_pattern:", "-   environment: prod"]),
            (json!({"run": 1}), vec!["  claim_pattern:", "-   run: '1'"]),
        ] {
            assert_eq!(amend(&change).unwrap().lines, lines, "{change}");
        }
        assert!(amend(&json!({})).is_none(), "nothing to change");
        assert_eq!(amend(&json!({"aud": ["b", "c"]})).unwrap().audience.as_deref(), Some("b"));
        assert_eq!(amend(&json!({"environment": null})).unwrap().dropped, ["environment"]);
    }

    proptest! {
        #[test]
        fn whatever_a_token_says_the_change_admits_it(
            branch in "[!#%*+,./:=?^_|~A-Za-z0-9ü-]{1,20}",
            event in any::<String>().prop_filter("patterns are bounded", |text| text.chars().count() < 100),
            audience in "[a-zA-Z0-9:/._-]{1,20}",
        ) {
            let sub = format!("repo:acme/app:{branch}");
            let change = json!({"sub": sub, "event_name": event, "aud": audience});
            let amendment = amend(&change).expect("the event is never `push` and the audience never ours");
            prop_assert!(amendment.dropped.is_empty());
        }
    }
}
