//! What reading and deciding cost, in steps that the policy crate counts in debug builds: a bound for each reader,
//! checked with generators that nest, repeat and widen. A count is the same on every machine.
//!
//! The bounds are loose: they do not notice a constant that grows by half, but they notice quadratic cost, or two
//! visits per level.

#![cfg(debug_assertions)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use octo_sts_worker::oidc::Claims;
use octo_sts_worker::policy::cost::counted;
use octo_sts_worker::policy::{
    Pattern, PolicyHome, admit, check, evaluate, load, load_rule, trusted_issuers,
};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use serde_json::json;

/// Steps of a reader for each byte of a file: its characters, places, events and keys.
const PER_BYTE: u64 = 32;

/// What an empty file may cost.
const ANY_FILE: u64 = 2_000;

/// A pattern's program, which a few bytes can make as large as allowed: 8192 states, each written once.
const PROGRAM: u64 = 3 * 8_192;

/// A suggestion for an unknown name, which is compared with a hundred known ones of similar length.
const SUGGESTION: u64 = 100 * 400;

/// How many problems of a kind get a suggestion.
const TOLD: u64 = 20;

/// The steps that all patterns of a decision share, and what one character may take above them.
const DECISION: u64 = 500_000 + 2 * 2 * 8_192;

const MAX_PATTERNS: u64 = 35;

fn bound(bytes: usize) -> u64 {
    ANY_FILE + PER_BYTE * u64::try_from(bytes).unwrap()
}

/// Loading, with every pattern as large as allowed.
fn load_bound(file: &[u8]) -> u64 {
    let patterns = MAX_PATTERNS.min(u64::try_from(file.len() / 4).unwrap());
    let names = TOLD.min(u64::try_from(file.len() / 16).unwrap());
    bound(file.len()) + patterns * PROGRAM + names * SUGGESTION
}

fn hold_file(file: &str) -> Result<(), TestCaseError> {
    let bytes = file.as_bytes();
    for home in [PolicyHome::Repository, PolicyHome::OrganizationPolicyRepository] {
        let (loaded, cost) = counted(|| load(bytes, home));
        prop_assert!(cost <= load_bound(bytes), "loading takes {} steps of {}", cost, load_bound(bytes));
        let (checked, cost) = counted(|| check(bytes, home));
        // Lint reads each expression a few times more, and has the steps of one decision for its matches.
        let bound = 8 * load_bound(bytes) + DECISION;
        prop_assert!(cost <= bound, "checking takes {} steps of {}", cost, bound);
        prop_assert_eq!(loaded.value.is_some(), checked.value.is_some());
        prop_assert!(checked.diagnostics.len() <= 200);
        let told: usize = checked
            .diagnostics
            .iter()
            .map(|d| d.message.len() + d.suggestion.as_ref().map_or(0, String::len))
            .sum();
        prop_assert!(told <= 200 * 3_000, "{} bytes of words", told);
    }
    let (_, cost) = counted(|| trusted_issuers::load(bytes));
    // Two readings of a pattern: for its program, and for where it matches `/`.
    prop_assert!(cost <= 2 * load_bound(bytes), "the list takes {cost} steps");
    Ok(())
}

fn hold_pattern(source: &str, value: &str) -> Result<(), TestCaseError> {
    let (pattern, cost) = counted(|| source.parse::<Pattern>());
    prop_assert!(cost <= bound(source.len()) + PROGRAM, "parsing takes {} steps", cost);
    let Ok(pattern) = pattern else { return Ok(()) };
    let (_, cost) = counted(|| pattern.matches(value));
    prop_assert!(cost <= DECISION, "matching takes {} steps", cost);
    let (_, cost) = counted(|| pattern.matches_only_unanchored(value));
    prop_assert!(cost <= 2 * DECISION + bound(source.len()) + PROGRAM, "the hint takes {} steps", cost);
    Ok(())
}

/// What nests, repeats and widens: `{}` is where the next part goes.
fn part() -> impl Strategy<Value = &'static str> {
    select(vec![
        "({}|b)",
        "({})",
        "({})?",
        "({})*",
        "({}){2}",
        "({}){0,3}",
        "({}|)",
        "(?i:{})",
        "a{}",
        ".{}",
        "a.a{}",
        "[a-z]{}",
        "[^acegikmoqsuwy]{}",
        ".*{}",
        "a?{}",
        "\\b{}",
        "{{}",
        "{1{}",
        "\\x{{}",
        "[[:alpha:]{}",
        "\\w\\W{}",
        "(?m)^{}$",
        "{}|{}",
        "{}{1000}",
        "\\Q{}\\E",
        "(?P<name>{})",
        "é{}",
        "'{}",
        "[{}]",
        "((a?){10}){{}",
    ])
}

/// A few parts, nested or in sequence, many times.
fn pattern() -> impl Strategy<Value = String> {
    (proptest::collection::vec(part(), 1..5), 1usize..400, select(vec!["a", "", "z", "(a|b)"]), any::<bool>())
        .prop_map(|(parts, times, inner, nests)| {
            let mut text = if nests { "{}".to_owned() } else { String::new() };
            for part in parts.iter().cycle().take(times) {
                if text.len() > 1_100 {
                    break;
                }
                if nests {
                    text = text.replacen("{}", part, 1);
                } else {
                    text.push_str(&part.replace("{}", inner));
                }
            }
            text.replace("{}", inner)
        })
}

fn value() -> impl Strategy<Value = String> {
    (select(vec!["a", "ab", "é", "a ", "\n", "z", "aaaaaaaaab"]), 0usize..12_000)
        .prop_map(|(text, times)| text.repeat(times / text.len()))
}

/// A file of one kind of line, or of a single line, up to the maximum size.
fn file() -> impl Strategy<Value = String> {
    let line = select(vec![
        "- on\n",
        "- 'a\n",
        "k{}: v\n",
        "'k{}': [v]\n",
        "a: {",
        "[",
        "[a,",
        "? a\n",
        "# c\n",
        "\t\n",
        "- {a: b, a: c}\n",
        "contents{}: read\n",
        "k: |\n  a\n",
        "&a{} ",
        "%\n",
        "\u{85}\n",
        "on,",
        "- - ",
        "1{}",
        "\"\\n",
        "long_unknown_permission_name_{}: write\n",
    ]);
    let head = select(vec![
        "",
        "issuer: https://a.example.com\nsubject: s\n",
        "permissions:\n",
        "permissions: {",
        "repositories: [",
        "issuers:\n",
        "issuer_patterns: [",
        "claim_pattern: {",
        "{",
        "- ",
        "subject_pattern: ",
    ]);
    (head, line, 1usize..24_000, "[a-z]{0,90}").prop_map(|(head, line, times, name)| {
        let mut text = head.to_owned();
        for n in 0..times {
            let next = line.replace("{}", &format!("{name}{n}"));
            if text.len() + next.len() > 65_000 {
                break;
            }
            text.push_str(&next);
        }
        text
    })
}

/// A policy of only patterns, on one line or many.
fn policy_of_patterns() -> impl Strategy<Value = String> {
    (proptest::collection::vec(pattern(), 1..36), any::<bool>()).prop_map(|(patterns, one_line)| {
        let mut text =
            "issuer: https://token.actions.githubusercontent.com\npermissions: {contents: write}\n"
                .to_owned();
        let quote = |pattern: &str| format!("'{}'", pattern.replace('\'', "''"));
        text.push_str(&format!(
            "subject_pattern: {}\nclaim_pattern: {}",
            quote(patterns.first().unwrap()),
            if one_line { "{" } else { "\n" }
        ));
        for (n, pattern) in patterns.iter().enumerate().skip(1) {
            let end = if one_line { ", " } else { "\n" };
            text.push_str(&format!("  c{n}: {}{end}", quote(pattern)));
        }
        text.push_str(if one_line { "}\n" } else { "\n" });
        text
    })
}

fn claims(value: &str, names: usize) -> Claims {
    let mut all = serde_json::Map::new();
    all.insert("iss".to_owned(), json!("https://token.actions.githubusercontent.com"));
    all.insert("sub".to_owned(), json!("s"));
    all.insert("aud".to_owned(), json!(["a", "sts.example.com"]));
    all.extend((0..names).map(|n| (format!("c{n}"), json!(value))));
    Claims::from_object(all).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, rng_seed: RngSeed::Fixed(11), ..ProptestConfig::default() })]

    #[test]
    fn a_pattern_costs_what_its_length_allows(source in pattern(), value in value()) {
        hold_pattern(&source, &value)?;
    }

    #[test]
    fn a_file_costs_what_its_length_allows(file in file()) {
        hold_file(&file)?;
    }

    #[test]
    fn a_policy_of_patterns_costs_what_its_length_allows(file in policy_of_patterns()) {
        hold_file(&file)?;
    }

    #[test]
    fn a_decision_has_one_budget_for_all_its_patterns(file in policy_of_patterns(), value in value()) {
        let Some(policy) = load(file.as_bytes(), PolicyHome::Repository).value else { return Ok(()) };
        let claims = claims(&value, 36);
        let (evaluation, cost) = counted(|| evaluate(&policy, &claims, "sts.example.com"));
        // And the hints about a top-level `|`, with a budget of their own and each pattern read once more.
        let bound = 2 * DECISION + load_bound(file.as_bytes());
        prop_assert!(cost <= bound, "deciding takes {} steps of {}", cost, bound);
        for step in evaluation.steps() {
            prop_assert!(!(step.holds && step.too_expensive));
        }
    }

    #[test]
    fn an_issuer_is_held_against_a_list_within_one_budget(patterns in proptest::collection::vec(pattern(), 1..17), value in value()) {
        let items: String = patterns.iter().map(|p| format!("- '{}'\n", p.replace('\'', "''").replace('.', "[a-z]"))).collect();
        let file = format!("issuer_patterns:\n{items}");
        let Some(list) = trusted_issuers::load(file.as_bytes()).value else { return Ok(()) };
        let (_, cost) = counted(|| list.permits(&value));
        prop_assert!(cost <= DECISION, "{} steps", cost);
    }
}

/// Rules of the proxy have steps of their own, and there may be 32 for an upstream.
#[test]
fn a_strangers_claims_are_held_against_one_rule() {
    let rule = json!({
        "issuer": "https://a.example.com", "subject": "s",
        "claim_pattern": { "c0": ".*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*b" },
    });
    let rule = || load_rule(rule.as_object().unwrap(), "https://sts.example.com/proxy/example").0.unwrap();
    let rules: Vec<_> = std::iter::repeat_with(rule).take(32).collect();
    let (refused, cost) = counted(|| admit(&rules, &claims(&"a".repeat(12 * 1024), 1)));
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), "issuer");
    assert!(cost <= DECISION, "{cost} steps");
}

/// An upstream may have 64 patterns of paths, and they are asked before the budget counts anything.
#[test]
fn a_path_is_held_against_all_patterns_within_one_budget() {
    let pattern: Pattern =
        ".*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*b".parse().unwrap();
    let patterns: Vec<_> = std::iter::repeat_with(|| pattern.source().parse().unwrap()).take(64).collect();
    let path = "/a".repeat(6 * 1024);
    let (matched, cost) = counted(|| Pattern::any_matches(&patterns, &path));
    assert!(!matched);
    assert!(cost <= DECISION, "{cost} steps");
    assert!(Pattern::any_matches(&patterns, "/a/b"));
}

/// Inputs that once hung an isolate or cost seconds, with their cost now.
#[test]
fn what_was_expensive_once_is_not_any_more() {
    let nested = |depth: usize| {
        let pattern = format!("repo:{}a{}", "(".repeat(depth), "|b)".repeat(depth));
        format!(
            "issuer: https://token.actions.githubusercontent.com\nsubject_pattern: {pattern}\npermissions: {{contents: write}}\n"
        )
    };
    let cost = |file: &str| counted(|| check(file.as_bytes(), PolicyHome::Repository)).1;
    let (shallow, deep) = (cost(&nested(19)), cost(&nested(38)));
    assert!(deep <= 3 * shallow, "{shallow} for 19 levels and {deep} for 38");

    let dotted = |claims: usize| {
        let patterns: String = (0..claims).map(|n| format!("c{n}: '{}', ", "a.".repeat(480))).collect();
        format!(
            "issuer: https://a.example.com\nsubject: s\npermissions: {{contents: read}}\nclaim_pattern: {{{patterns}}}\n"
        )
    };
    let (half, whole) = (cost(&dotted(16)), cost(&dotted(32)));
    assert!(whole <= 2 * half, "{half} for 16 claims in a line and {whole} for 32");

    let braces = counted(|| "{".repeat(1024).parse::<Pattern>().is_ok()).1;
    assert!(braces <= 32 * 1024, "{braces}");
}

/// The most hostile known decision: as many patterns as allowed, each with all of its states live, for the longest
/// value in a token.
#[test]
fn a_decision_of_hostile_patterns_ends_where_its_steps_do() {
    let claims_of =
        |pattern: &str| (0..32).map(|n| format!("  c{n}: '{pattern}'\n")).collect::<Vec<_>>().concat();
    for pattern in
        ["(.*a?.*a?.*a?.*){200}z", "(.*a?.*a?.*a?.*){200}z|b", "((a?){10}){100}[^a]", "(a|b|ab|aa)*c"]
    {
        let file = format!(
            "issuer: https://token.actions.githubusercontent.com\nsubject: s\npermissions: {{contents: read}}\nclaim_pattern:\n{}",
            claims_of(pattern)
        );
        let policy = load(file.as_bytes(), PolicyHome::Repository).value.unwrap();
        let claims = claims(&"a".repeat(12_000), 32);
        let (evaluation, cost) = counted(|| evaluate(&policy, &claims, "a"));
        assert!(!evaluation.satisfied());
        assert!(cost <= 2 * DECISION + load_bound(file.as_bytes()), "{cost} steps for {pattern}");
    }
    let file = format!("issuer_patterns:\n{}", "- 'https://(\\w?[\\w.]*){1000}z'\n".repeat(16));
    let list = trusted_issuers::load(file.as_bytes()).value.unwrap();
    let issuer = format!("https://{}", "a".repeat(240));
    let (permitted, cost) = counted(|| list.permits(&issuer));
    assert!(!permitted && cost <= DECISION, "{cost}");
}

/// A pattern that was once expensive is refused with a message.
#[test]
fn a_claim_that_would_cost_too_much_is_refused_in_words() {
    let file = "issuer: https://token.actions.githubusercontent.com\nsubject: s\npermissions: {contents: read}\nclaim_pattern: {c0: '(.*a?.*a?.*a?.*){200}z', c1: a*}\n";
    let policy = load(file.as_bytes(), PolicyHome::Repository).value.unwrap();
    let expensive = evaluate(&policy, &claims(&"a".repeat(10_000), 2), "a");
    let step = expensive.first_failure().unwrap();
    assert!(step.too_expensive && !step.holds);
    // The same policy still decides correctly about normal tokens.
    let usual = evaluate(&policy, &claims("aaaaz", 2), "a");
    assert!(usual.steps().iter().all(|step| !step.too_expensive));
}

/// A file that was too expensive to report completely is still refused.
#[test]
fn hundreds_of_problems_are_counted_and_the_file_refused() {
    let file: String = (0..200).map(|n| format!("key{n}: v\n")).collect();
    let report = check(file.as_bytes(), PolicyHome::Repository);
    assert!(report.value.is_none());
    let unknown: Vec<_> = report.diagnostics.iter().filter(|d| d.code == "unknown-key").collect();
    assert_eq!(unknown.len(), 150);
    assert!(
        unknown.last().unwrap().message.ends_with(", and 50 more of this kind"),
        "{}",
        unknown.last().unwrap().message
    );
}

/// The parser scans a list in brackets before it reports the first item.
#[test]
fn a_file_of_nothing_but_values_is_not_read_to_its_end() {
    for (file, code) in [
        ("a: [".to_owned() + &"b,".repeat(5_000), "yaml-too-many-values"),
        ("- a\n".repeat(5_000), "yaml-too-many-values"),
        (format!("repositories: [{}]\n", "a,".repeat(1_500)), "too-many-repositories"),
    ] {
        let report = load(file.as_bytes(), PolicyHome::OrganizationPolicyRepository);
        assert!(
            report.value.is_none() && report.errors().any(|error| error.code == code),
            "{:?}",
            report.diagnostics
        );
    }
}
