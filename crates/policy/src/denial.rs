//! Why a token gets nothing: the rule that failed and the caller's own value, never the policy's value.

use std::collections::BTreeMap;
use std::fmt;

use super::decision::{Rule, Step};
use super::diagnostic::quoted_up_to;

/// How much of the caller's value is repeated. Longer than any subject (255 characters).
const MAX_VALUE: usize = 256;

/// How many of the caller's audiences are repeated; a token may have 32.
const MAX_AUDIENCES: usize = 4;

/// A policy's refusal. Its `Display` is the one line for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    message: String,
    code: &'static str,
    matched_claims: BTreeMap<String, String>,
}

impl Denial {
    pub(super) fn of(step: &Step, matched_claims: BTreeMap<String, String>) -> Self {
        let code = match step.rule {
            Rule::Issuer => "issuer",
            Rule::Subject => "subject",
            Rule::Audience => "audience",
            Rule::Claim(_) => "claim",
        };
        Self { message: describe(step), code, matched_claims }
    }

    pub(super) fn misplaced() -> Self {
        let message = "the policy is not for this scope".to_owned();
        Self { message, code: "scope", matched_claims: BTreeMap::new() }
    }

    pub(super) fn of_another_app(matched_claims: BTreeMap<String, String>) -> Self {
        Self {
            message: "the policy is for another app of this service".to_owned(),
            code: "app",
            matched_claims,
        }
    }

    /// The kind of rule that failed: `issuer`, `subject`, `audience`, `claim`, `scope` or `app`. Stable, without any
    /// value.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The claims that satisfied their patterns, for the audit.
    #[must_use]
    pub fn matched_claims(&self) -> &BTreeMap<String, String> {
        &self.matched_claims
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Denial {}

fn describe(step: &Step) -> String {
    if step.too_expensive {
        let whose = match &step.rule {
            Rule::Issuer => "issuer".to_owned(),
            Rule::Subject => "subject".to_owned(),
            Rule::Audience => "audience".to_owned(),
            Rule::Claim(name) => format!("claim {}", quoted_up_to(name, MAX_VALUE)),
        };
        return format!("the token's {whose} would take too many steps to match the policy's pattern");
    }
    let values: Vec<String> = step.actual.texts().map(|value| quoted_up_to(value, MAX_VALUE)).collect();
    let mut message = match (&step.rule, values.as_slice()) {
        (Rule::Issuer, values) => {
            format!("the token's issuer {} does not satisfy the policy", values.join(", "))
        }
        (Rule::Subject, values) => {
            format!("the token's subject {} does not satisfy the policy", values.join(", "))
        }
        (Rule::Audience, [one]) => format!("the token's audience {one} does not satisfy the policy"),
        (Rule::Audience, values) => {
            let shown: Vec<&str> = values.iter().take(MAX_AUDIENCES).map(String::as_str).collect();
            let more = if values.len() > MAX_AUDIENCES { " and others" } else { "" };
            format!("none of the token's audiences {}{more} satisfies the policy", shown.join(", "))
        }
        (Rule::Claim(name), []) => {
            let name = quoted_up_to(name, MAX_VALUE);
            format!("the token's claim {name} {}, which does not satisfy the policy", step.actual.absence())
        }
        (Rule::Claim(name), values) => {
            let name = quoted_up_to(name, MAX_VALUE);
            format!(
                "the token's claim {name} with the value {} does not satisfy the policy",
                values.join(", ")
            )
        }
    };
    if step.only_unanchored {
        message.push_str(
            "; the policy's pattern has a `|` outside a group, and a pattern must match the whole value",
        );
    }
    message
}
