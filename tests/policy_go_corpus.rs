//! Compares Go's own answers about patterns, scalars and documents (`scripts/go-corpus`) with this crate's. The law:
//! whatever is accepted here means the same in Go; whatever is refused only here is refused for a listed reason.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use octo_sts_worker::policy::{AudienceRule, Matcher, Pattern, PatternErrorKind, PolicyHome, Severity, load};
use serde_json::Value;

fn corpus(name: &str) -> Vec<Value> {
    let directory = std::env::var_os("POLICY_CORPUS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/go"), PathBuf::from);
    let text = std::fs::read_to_string(directory.join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn bit(bits: &str, index: usize) -> bool {
    let byte = u8::from_str_radix(bits.get(index / 8 * 2..index / 8 * 2 + 2).unwrap(), 16).unwrap();
    byte >> (index % 8) & 1 == 1
}

/// Why a pattern that Go accepts may be refused here.
const STRICTER: [PatternErrorKind; 12] = [
    PatternErrorKind::TooLarge,
    PatternErrorKind::NothingToRepeat, // after `(?i)`, where Go repeats what stands before the flags
    PatternErrorKind::DoubtfulBrace,
    PatternErrorKind::UnknownEscape, // `\b{start}`, where Go sees a `\b` and text
    PatternErrorKind::AngleEscape,
    PatternErrorKind::Hexadecimal, // a surrogate, which is no character
    PatternErrorKind::EmptyQuotation,
    PatternErrorKind::OpenQuotation,
    PatternErrorKind::UnicodeClass,
    PatternErrorKind::FoldsBeyondAscii,
    PatternErrorKind::NestedBracket,
    PatternErrorKind::SetOperator,
];

#[test]
fn a_pattern_means_what_it_means_to_go_or_is_refused() {
    let rows = corpus("patterns.jsonl");
    let (values, rows) = rows.split_first().unwrap();
    let values: Vec<&str> = values.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect();
    assert!(rows.len() >= 2000);
    let mut alike = 0;
    let mut wrong = Vec::new();
    let mut stricter: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows {
        let source = row["p"].as_str().unwrap();
        let compiles = row["c"].as_bool().unwrap();
        let pattern = match source.parse::<Pattern>() {
            Ok(pattern) => pattern,
            Err(error) => {
                if compiles {
                    let explained =
                        STRICTER.contains(&error.kind) || error.kind == PatternErrorKind::EmptyClass;
                    if !explained {
                        wrong.push(format!("{source:?} is refused: {error}"));
                    }
                    *stricter.entry(format!("{:?}", error.kind)).or_default() += 1;
                }
                assert!(error.offset <= source.chars().count());
                continue;
            }
        };
        if !compiles && source.contains("(?<") {
            continue; // named groups of this spelling came with Go 1.22
        }
        if !compiles {
            wrong.push(format!("{source:?} is accepted, and Go refuses it"));
            continue;
        }
        let whole = row["w"].as_str().unwrap();
        let wide = row["g"].as_str().unwrap_or(whole);
        for (index, value) in values.iter().enumerate() {
            if pattern.matches(value) != bit(whole, index) {
                wrong.push(format!("{source:?} on {value:?}: to Go {}", bit(whole, index)));
            }
            let only_unanchored =
                pattern.has_top_level_alternation() && bit(wide, index) && !bit(whole, index);
            if pattern.matches_only_unanchored(value) != only_unanchored {
                wrong.push(format!("{source:?} on {value:?}: unanchored to Go {only_unanchored}"));
            }
        }
        alike += 1;
    }
    assert!(wrong.is_empty(), "{}, such as\n{}", wrong.len(), wrong[..wrong.len().min(12)].join("\n"));
    assert!(alike * 2 > rows.len(), "only {alike} of {} are accepted", rows.len());
    // The corpus reaches every reason but the size.
    if std::env::var_os("POLICY_CORPUS").is_none() {
        insta::assert_debug_snapshot!("stricter_than_go", stricter);
    }
}

#[test]
fn a_plain_scalar_is_the_text_that_go_reads() {
    let mut refused_needlessly = BTreeSet::new();
    for row in corpus("scalars.jsonl") {
        let text = row["t"].as_str().unwrap();
        let document = format!("issuer: i\nsubject: {text}\npermissions: {{contents: read}}\n");
        let report = load(document.as_bytes(), PolicyHome::Repository);
        match report.value {
            Some(policy) => {
                assert_eq!(Some(policy.subject().source()), row["v"].as_str(), "{text:?}");
            }
            None if row["v"] == row["t"] => {
                refused_needlessly.insert(text.to_owned());
            }
            None => {}
        }
        let document =
            format!("issuer: i\nsubject: s\npermissions: {{contents: read}}\nclaim_pattern:\n  {text}: x\n");
        if let Some(policy) = load(document.as_bytes(), PolicyHome::Repository).value {
            let keys: Vec<&str> = policy.claim_patterns().keys().map(String::as_str).collect();
            let key = row["k"].as_str();
            // Go has no reading at all of a key above 63 bits.
            assert!(key.is_none() || keys == [key.unwrap()], "{text:?} as a key");
        }
    }
    // Floats with an exponent or seven digits in exactly Go's notation, floats out of range, numbers that only Go's
    // integer parser refuses, a merge key as a value: not worth a finer rule.
    let odd: Vec<_> = refused_needlessly
        .iter()
        .filter(|text| !text.to_ascii_lowercase().contains('e') && !text.contains(['x', 'b', 'o', ':', '_']))
        .filter(|text| text.len() < 8 && *text != "<<")
        .collect();
    assert!(odd.is_empty(), "refused, and Go leaves it alone: {odd:?}");
}

#[test]
fn an_accepted_document_has_go_s_reading_and_no_other() {
    let mut accepted = 0;
    let mut wrong = Vec::new();
    for row in corpus("documents.jsonl") {
        let document = row["d"].as_str().unwrap();
        let report = load(document.as_bytes(), PolicyHome::OrganizationPolicyRepository);
        let broken = report.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        assert_eq!(report.value.is_none(), broken, "{document:?}");
        let Some(policy) = report.value else { continue };
        accepted += 1;
        let go = &row["p"];
        let mut ours: BTreeMap<&str, Value> = BTreeMap::new();
        for (name, matcher) in [("issuer", policy.issuer()), ("subject", policy.subject())] {
            add_matcher(&mut ours, name, matcher);
        }
        if let AudienceRule::Named(matcher) = policy.audience() {
            add_matcher(&mut ours, "audience", matcher);
        }
        let claims: BTreeMap<_, _> =
            policy.claim_patterns().iter().map(|(name, pattern)| (name.as_str(), pattern.source())).collect();
        if !claims.is_empty() {
            ours.insert("claim_pattern", serde_json::to_value(claims).unwrap());
        }
        ours.insert("permissions", serde_json::to_value(policy.permissions()).unwrap());
        if let Some(repositories) = policy.repositories() {
            let names: Vec<_> = repositories.iter().map(|repository| repository.as_str()).collect();
            ours.insert("repositories", serde_json::to_value(names).unwrap());
        }
        let ours = serde_json::to_value(ours).unwrap();
        if ours != *go {
            wrong.push(format!("{document:?}\n  here {ours}\n  Go   {go}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} documents, such as\n{}",
        wrong.len(),
        wrong[..wrong.len().min(12)].join("\n")
    );
    assert!(accepted >= 100, "{accepted}");
}

fn add_matcher(into: &mut BTreeMap<&str, Value>, name: &'static str, matcher: &Matcher) {
    let (key, text) = match (name, matcher) {
        ("issuer", Matcher::Exact(text)) => ("issuer", text.as_str()),
        ("issuer", Matcher::Pattern(pattern)) => ("issuer_pattern", pattern.source()),
        ("subject", Matcher::Exact(text)) => ("subject", text.as_str()),
        ("subject", Matcher::Pattern(pattern)) => ("subject_pattern", pattern.source()),
        (_, Matcher::Exact(text)) => ("audience", text.as_str()),
        (_, Matcher::Pattern(pattern)) => ("audience_pattern", pattern.source()),
    };
    into.insert(key, Value::from(text));
}
