//! A policy as text that every parser reads in the same way.

use std::collections::BTreeMap;

use octo_sts_policy::{AppRule, AudienceRule, CompiledPolicy, Matcher};

/// One of two spellings: the text itself, or a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Exact(String),
    Pattern(String),
}

/// What a policy says, to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) issuer: Value,
    pub(crate) subject: Value,
    pub(crate) audience: Option<Value>,
    pub(crate) claim_pattern: BTreeMap<String, String>,
    /// Name and level.
    pub(crate) permissions: Vec<(String, String)>,
    pub(crate) repositories: Option<Vec<String>>,
    pub(crate) app: Option<Value>,
}

impl Value {
    fn of(matcher: &Matcher) -> Self {
        match matcher {
            Matcher::Exact(text) => Self::Exact(text.clone()),
            Matcher::Pattern(pattern) => Self::Pattern(pattern.source().to_owned()),
        }
    }

    /// `subject: …` or `subject_pattern: …`.
    pub(crate) fn line(&self, key: &str) -> String {
        match self {
            Self::Exact(text) => format!("{key}: {}", scalar(text)),
            Self::Pattern(text) => format!("{key}_pattern: {}", scalar(text)),
        }
    }
}

impl Draft {
    pub(crate) fn of(policy: &CompiledPolicy) -> Self {
        let repositories =
            policy.repositories().map(|list| list.iter().map(|name| name.as_str().to_owned()).collect());
        Self {
            issuer: Value::of(policy.issuer()),
            subject: Value::of(policy.subject()),
            audience: match policy.audience() {
                AudienceRule::Domain => None,
                AudienceRule::Named(matcher) => Some(Value::of(matcher)),
            },
            claim_pattern: policy
                .claim_patterns()
                .iter()
                .map(|(name, pattern)| (name.clone(), pattern.source().to_owned()))
                .collect(),
            permissions: policy
                .permissions()
                .iter()
                .map(|(name, level)| (name.to_owned(), level.as_str().to_owned()))
                .collect(),
            repositories,
            app: match policy.app() {
                AppRule::Any => None,
                AppRule::Exact(text) => Some(Value::Exact(text.clone())),
                AppRule::Pattern(pattern) => Some(Value::Pattern(pattern.source().to_owned())),
            },
        }
    }

    pub(crate) fn to_yaml(&self) -> String {
        let mut lines = vec![self.issuer.line("issuer"), self.subject.line("subject")];
        lines.extend(self.audience.as_ref().map(|audience| audience.line("audience")));
        if !self.claim_pattern.is_empty() {
            lines.push("claim_pattern:".to_owned());
            lines.extend(self.claim_pattern.iter().map(|(name, pattern)| entry(name, pattern)));
        }
        lines.push("permissions:".to_owned());
        lines.extend(self.permissions.iter().map(|(name, level)| entry(name, level)));
        if let Some(repositories) = &self.repositories {
            lines.push("repositories:".to_owned());
            lines.extend(repositories.iter().map(|name| format!("  - {}", scalar(name))));
        }
        lines.extend(self.app.as_ref().map(|app| app.line("app")));
        lines.join("\n") + "\n"
    }
}

/// A line of a mapping, indented.
pub(crate) fn entry(name: &str, value: &str) -> String {
    format!("  {}: {}", scalar(name), scalar(value))
}

/// Words that some YAML parser does not read as text.
const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"];

/// Text as a YAML scalar: plain if every parser reads it in the same way, otherwise in single quotes.
pub(crate) fn scalar(text: &str) -> String {
    let begins_plainly = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on_plainly = text.chars().all(|c| c.is_ascii_alphanumeric() || "._/@:+-()|\\$^*".contains(c));
    let is_word = WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    if begins_plainly && goes_on_plainly && !text.ends_with(':') && !is_word {
        text.to_owned()
    } else if text.chars().all(is_printable) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        let escaped: String = text
            .chars()
            .map(|c| match c {
                '"' | '\\' => format!("\\{c}"),
                c if is_printable(c) => c.to_string(),
                c => format!("\\U{:08X}", u32::from(c)),
            })
            .collect();
        format!("\"{escaped}\"")
    }
}

/// Not a control character, and not one that changes the direction of text, breaks lines or has no width.
fn is_printable(character: char) -> bool {
    let mut escaped = character.escape_debug();
    matches!(character, '\'' | '"' | '\\') || (escaped.next() == Some(character) && escaped.next().is_none())
}

/// A pattern that matches exactly this text.
pub(crate) fn literal(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' => {
                format!("\\{c}")
            }
            c if is_printable(c) => c.to_string(),
            c => format!("\\x{{{:X}}}", u32::from(c)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use octo_sts_policy::{Pattern, PolicyHome, load};

    use super::*;

    #[test]
    fn a_scalar_is_plain_only_where_nobody_reads_it_differently() {
        for (text, written) in [
            ("repo:acme/app:ref:refs/heads/main", "repo:acme/app:ref:refs/heads/main"),
            (r"acme/app/\.github/w\.yaml@.*", r"acme/app/\.github/w\.yaml@.*"),
            ("on", "'on'"),
            ("Yes", "'Yes'"),
            ("123", "'123'"),
            ("1e3", "'1e3'"),
            ("it's", "'it''s'"),
            ("a: b", "'a: b'"),
            ("a #b", "'a #b'"),
            ("a:", "'a:'"),
            ("*a", "'*a'"),
            ("", "''"),
            ("a\nb", "\"a\\U0000000Ab\""),
            ("a\u{2028}\"\\", "\"a\\U00002028\\\"\\\\\""),
            ("ü", "'ü'"),
        ] {
            assert_eq!(scalar(text), written, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "on",
            "1.10",
            "~",
            "it's",
            "a: b",
            "x #y",
            "- z",
            "a\nb",
            "\u{85}",
            "a\u{2028}b",
            "\"",
            "\\",
            "ü",
            " a ",
        ] {
            let draft = Draft {
                issuer: Value::Exact("https://a.example.com".to_owned()),
                subject: Value::Exact(text.to_owned()),
                audience: Some(Value::Pattern("a|b".to_owned())),
                claim_pattern: [(text.to_owned(), literal(text))].into(),
                permissions: vec![("contents".to_owned(), "read".to_owned())],
                repositories: Some(vec!["on".to_owned(), "1.10".to_owned()]),
                app: Some(Value::Exact("1234".to_owned())),
            };
            let yaml = draft.to_yaml();
            let report = load(yaml.as_bytes(), PolicyHome::OrganizationPolicyRepository);
            let policy = report.value.unwrap_or_else(|| panic!("{yaml}{:?}", report.diagnostics));
            assert_eq!(Draft::of(&policy), draft, "{yaml}");
        }
    }

    #[test]
    fn a_literal_matches_itself_alone() {
        for text in
            ["a.b", r"\d", "(a|b)", "[a]", "a{2}", "^a$", "a*b+c?", "", "a\nb", "\u{7f}", "ü", "a-b&&c~~d<e>"]
        {
            let pattern: Pattern = literal(text).parse().unwrap();
            assert!(pattern.matches(text), "{text:?} {pattern}");
            assert!(!pattern.matches(&format!("{text}x")) && !pattern.matches("axb"), "{text:?}");
        }
    }
}
