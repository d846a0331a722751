//! Laws about policies and patterns, on generated input.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use octo_sts_worker::oidc::Claims;
use octo_sts_worker::policy::{Pattern, PolicyHome, check, evaluate, load, trusted_issuers};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Patterns that can only match the letters a, b and c.
fn letters() -> impl Strategy<Value = String> {
    let leaf =
        select(vec!["a", "b", "c", "[ab]", "[a-c]", "ab", "", "\\x61", "(?i:)"]).prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}{b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}|{b}")),
            (inner.clone(), select(vec!["*", "+", "?", "{2}", "{0,2}", "*?", "{1,}"]))
                .prop_map(|(a, times)| format!("(?:{a}){times}")),
            inner.prop_map(|a| format!("({a})")),
        ]
    })
}

/// Patterns with everything that our grammar and the crate `regex` read in the same way, in ASCII.
fn common() -> impl Strategy<Value = String> {
    let leaf = select(vec![
        "a", "b", "K", "s", "-", "\\.", ".", "[ab]", "[^a]", "[a-z]", "[^a-y]", "\\d", "\\w", "\\D", "\\W",
        "^", "$", "\\A", "\\z", "\\b", "\\B", "\n", "", " ", "(?m:$)\n", "\n(?m:^)", "(?m:^)", "(?s:.)*",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            3 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}{b}")),
            2 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(?:{a}|{b})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}|{b}")),
            3 => (inner.clone(), select(vec!["*", "+", "?", "{2}", "{0,2}", "{1,3}", "{2,}", "{0}", "*?", "+?", "??"]))
                .prop_map(|(a, times)| format!("(?:{a}){times}")),
            1 => (inner.clone(), select(vec!["i", "s", "m", "is", "ms", "U", "i-s", "-i"]))
                .prop_map(|(a, flags)| format!("(?{flags}:{a})")),
            1 => inner.prop_map(|a| format!("(?i){a}")),
        ]
    })
}

/// Anything that looks like a pattern.
fn pattern_like() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "a",
        "(",
        ")",
        "(?:",
        "(?i)",
        "(?P<n>",
        "[",
        "]",
        "[^",
        "-",
        "|",
        "*",
        "+",
        "?",
        "{",
        "}",
        "{2,3}",
        "{,2}",
        "\\",
        "\\d",
        "\\Q",
        "\\E",
        "\\x",
        "\\x{",
        "^",
        "$",
        ".",
        "&&",
        "é",
        "k",
        "😀",
        ":",
        "[:alpha:]",
        "1000",
        "\n",
    ]);
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Anything that looks like a file.
fn yaml_like() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "issuer",
        "subject_pattern",
        "permissions",
        "repositories",
        "claim_pattern",
        "issuers",
        "mode",
        ": ",
        ":",
        "\n",
        "\n  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "'",
        "\"",
        "|",
        ">-",
        "#",
        "&a",
        "*a",
        "!!str",
        "<<",
        "%",
        "---",
        "...",
        "\t",
        "\r\n",
        "é",
        "😀",
        "on",
        "~",
        "1e3",
        "contents",
        "read",
        "https://a.example.com",
        "\u{85}",
        "\u{feff}",
        "? ",
        "\\",
        "\0",
        "(",
    ]);
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn check_report(source: &[u8]) -> Result<(), TestCaseError> {
    let lines = source.iter().fold(1u64, |lines, byte| lines + u64::from(*byte == b'\n'));
    for home in [PolicyHome::Repository, PolicyHome::OrganizationPolicyRepository] {
        let report = check(source, home);
        prop_assert_eq!(report.value.is_none(), report.errors().count() > 0);
        // A green check cannot disagree with the exchange: the same verdict, for the same reasons.
        let loaded = load(source, home);
        prop_assert_eq!(loaded.value.is_some(), report.value.is_some());
        prop_assert!(loaded.diagnostics.iter().eq(report.errors()));
        for diagnostic in &report.diagnostics {
            prop_assert!(diagnostic.line >= 1 && diagnostic.column >= 1);
            prop_assert!(u64::from(diagnostic.line) <= lines + 1);
            prop_assert!(!diagnostic.message.contains('\n'));
        }
        // The same file has the same meaning every time.
        prop_assert_eq!(check(source, home).diagnostics, report.diagnostics);
    }
    let report = trusted_issuers::load(source);
    prop_assert_eq!(report.value.is_none(), report.errors().count() > 0);
    Ok(())
}

fn claims(extra: &BTreeMap<String, Value>) -> Claims {
    let mut all = Map::new();
    all.insert("iss".into(), json!("https://a.example.com"));
    all.insert("sub".into(), json!("s"));
    all.insert("aud".into(), json!("sts.example.com"));
    all.extend(extra.clone());
    Claims::from_object(all).unwrap()
}

fn satisfied(patterns: &BTreeMap<String, String>, extra: &BTreeMap<String, Value>) -> bool {
    let policy = json!({
        "issuer": "https://a.example.com", "subject": "s", "permissions": {"contents": "read"}, "claim_pattern": patterns,
    });
    let report = load(policy.to_string().as_bytes(), PolicyHome::Repository);
    evaluate(&report.value.unwrap(), &claims(extra), "sts.example.com").satisfied()
}

fn claim_name() -> impl Strategy<Value = String> {
    select(vec!["ref", "actor", "email", "environment"]).prop_map(str::to_owned)
}

fn claim_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => "[abc]{0,3}".prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => select(vec![json!(1), json!(null), json!(["a"]), json!({"a": "a"})]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pattern_covers_the_whole_value(pattern in letters(), value in "[abc]{0,6}", at in 0usize..7, more in "[xyz/ \n]{1,3}") {
        let Ok(compiled) = pattern.parse::<Pattern>() else { return Ok(()) };
        let at = at.min(value.len());
        let (before, behind) = value.split_at(at);
        let longer = format!("{before}{more}{behind}");
        // Adding a character that the pattern cannot match, before, inside or after a value, prevents the match.
        prop_assert!(!compiled.matches(&longer), "{} on {:?}", pattern, longer);
        // Surrounded by literals, it matches the same values between them.
        let fenced: Pattern = format!("<(?:{pattern})>").parse().unwrap();
        prop_assert_eq!(compiled.matches(&value), fenced.matches(&format!("<{value}>")));
        prop_assert!(!compiled.matches_only_unanchored(&value) || !compiled.matches(&value));
    }

    #[test]
    fn the_matcher_agrees_with_another_engine(pattern in common(), values in proptest::collection::vec("[abKksS0_.\\- \n]{0,8}", 1..6)) {
        let Ok(ours) = pattern.parse::<Pattern>() else { return Ok(()) };
        let engine = |text: &str| regex::bytes::RegexBuilder::new(text).unicode(false).build();
        let Ok(whole) = engine(&format!("\\A(?:{pattern})\\z")) else { return Ok(()) };
        for value in values {
            prop_assert_eq!(ours.matches(&value), whole.is_match(value.as_bytes()), "{} on {:?}", pattern, value);
            // The Go service's reading, `^p$`, as text.
            if ours.has_top_level_alternation() && !ours.matches(&value)
                && let Ok(wide) = engine(&format!("^{pattern}$"))
            {
                prop_assert_eq!(
                    ours.matches_only_unanchored(&value), wide.is_match(value.as_bytes()), "{} on {:?}, unanchored", pattern, value
                );
            }
        }
    }

    #[test]
    fn no_text_makes_the_pattern_parser_panic(text in prop_oneof![pattern_like(), any::<String>()], value in any::<String>()) {
        match text.parse::<Pattern>() {
            Ok(pattern) => {
                prop_assert_eq!(pattern.source(), text.as_str());
                prop_assert!(!(pattern.matches(&value) && pattern.matches_only_unanchored(&value)));
            }
            Err(error) => {
                prop_assert!(error.offset <= text.chars().count());
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn no_file_makes_the_loaders_panic(text in yaml_like()) {
        check_report(text.as_bytes())?;
    }

    #[test]
    fn no_bytes_make_the_loaders_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check_report(&bytes)?;
    }

    #[test]
    fn removing_a_claim_never_turns_a_refusal_into_a_grant(
        patterns in proptest::collection::btree_map(claim_name(), letters(), 0..3),
        extra in proptest::collection::btree_map(claim_name(), claim_value(), 0..4),
        gone in claim_name(),
    ) {
        let mut fewer = extra.clone();
        fewer.remove(&gone);
        prop_assert!(satisfied(&patterns, &extra) || !satisfied(&patterns, &fewer));
    }

    #[test]
    fn a_further_rule_never_turns_a_refusal_into_a_grant(
        patterns in proptest::collection::btree_map(claim_name(), letters(), 0..3),
        extra in proptest::collection::btree_map(claim_name(), claim_value(), 0..4),
        name in select(vec!["job_workflow_ref", "repository"]), pattern in letters(),
    ) {
        let mut more = patterns.clone();
        more.insert(name.to_owned(), pattern);
        prop_assert!(satisfied(&patterns, &extra) || !satisfied(&more, &extra));
    }
}

#[test]
fn every_prefix_of_a_policy_is_loaded_or_refused_quietly() {
    let policy = "# c\nissuer: https://token.actions.githubusercontent.com\nsubject_pattern: 'repo:acme/app:(a|b)'\nclaim_pattern: {\"ref\": a.*, x: \"\\u00e9\"}\npermissions:\n  contents: read\nrepositories: [app,\n  docs]\n";
    for end in 0..=policy.len() {
        check_report(&policy.as_bytes()[..end]).unwrap();
    }
}
