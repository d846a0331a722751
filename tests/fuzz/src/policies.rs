//! Input from policy authors.

use std::collections::BTreeMap;

use octo_sts_worker::json;
use octo_sts_worker::oidc::Claims;
use octo_sts_worker::policy::{
    Actual, AppRule, AudienceRule, CompiledPolicy, Diagnostic, Expectation, MAX_PATTERN_CHARACTERS, Matcher,
    Pattern, PolicyHome, check, evaluate, known_permission, load, trusted_issuers,
};

use super::{parts, text};

const MAX_BYTES: usize = 64 * 1024;

/// The steps of a decision, and what one character may take above them; twice, for the hint about a `|`.
const MATCHING: u64 = 2 * (500_000 + 4 * 8_192);

/// For each byte of a file its characters, places and keys, for each of up to 35 patterns a program, and words for
/// twenty unknown names; tests/policy_cost.rs holds the same to closer bounds.
fn reading(bytes: usize) -> u64 {
    let bytes = u64::try_from(bytes).expect("a length");
    4_000 + 256 * bytes + 8 * (bytes / 4).min(35) * 3 * 8_192 + (bytes / 16).min(20) * 400_000
}

/// Work has a bound. Steps are counted in builds with assertions: in `cargo test` and by the fuzzer.
fn within<T>(bound: u64, of: impl FnOnce() -> T) -> T {
    #[cfg(debug_assertions)]
    {
        let (result, cost) = octo_sts_worker::policy::cost::counted(of);
        assert!(cost <= bound, "{cost} steps, and {bound} are allowed");
        result
    }
    #[cfg(not(debug_assertions))]
    {
        assert!(bound > 0);
        of()
    }
}

/// A policy: [the file, claims as JSON].
pub fn policy(data: &[u8]) {
    let [source, claims] = parts(data);
    let claims =
        json::parse_object(claims, json::MAX_DEPTH).ok().and_then(|all| Claims::from_object(all).ok());
    for home in [PolicyHome::Repository, PolicyHome::OrganizationPolicyRepository] {
        let report = within(reading(source.len()) + MATCHING, || check(source, home));
        assert_eq!(report.value.is_none(), report.errors().count() > 0);
        diagnostics(source, &report.diagnostics);
        assert_eq!(check(source, home).diagnostics, report.diagnostics, "one file, one meaning");
        // A green check cannot differ from the exchange.
        let loaded = within(reading(source.len()), || load(source, home));
        assert_eq!(loaded.value.is_some(), report.value.is_some());
        assert!(loaded.diagnostics.iter().eq(report.errors()), "{:?}", report.diagnostics);
        let Some(policy) = report.value else { continue };
        assert!(source.len() <= MAX_BYTES);
        within_limits(&policy, home);
        printed_is_the_same(&policy, home);
        if let Some(claims) = &claims {
            decided(&policy, claims);
        }
    }
}

fn diagnostics(source: &[u8], diagnostics: &[Diagnostic]) {
    let lines = source.split(|byte| matches!(byte, b'\n' | b'\r')).count();
    for diagnostic in diagnostics {
        assert!((1..=lines + 1).contains(&usize::try_from(diagnostic.line).expect("a line")), "{diagnostic}");
        assert!(diagnostic.column >= 1, "{diagnostic}");
        assert!(!diagnostic.message.contains('\n') && !diagnostic.message.is_empty());
    }
}

fn patterns(policy: &CompiledPolicy) -> Vec<&Pattern> {
    let audience = match policy.audience() {
        AudienceRule::Domain => None,
        AudienceRule::Named(matcher) => matcher.pattern(),
    };
    let matchers = [policy.issuer().pattern(), policy.subject().pattern(), audience];
    matchers
        .into_iter()
        .flatten()
        .chain(policy.claim_patterns().values())
        .chain(policy.app().pattern())
        .collect()
}

fn within_limits(policy: &CompiledPolicy, home: PolicyHome) {
    assert!(policy.claim_patterns().len() <= 32);
    assert!(policy.claim_patterns().keys().all(|name| !name.is_empty()));
    for pattern in patterns(policy) {
        assert!(pattern.source().chars().count() <= MAX_PATTERN_CHARACTERS);
    }
    // 35 patterns of 8192 states with their ranges and texts, names of 64 KiB: what the memory tier is told.
    assert!(policy.weight_bytes() <= 35 * (8 * 8192 + 32 * 1024) + 4 * MAX_BYTES);
    let granted: Vec<_> = policy.permissions().iter().collect();
    assert!(!granted.is_empty(), "nothing would be everything to GitHub");
    for (name, level) in granted {
        let known = known_permission(name).expect("a permission that GitHub knows");
        assert!(known.levels.contains(&level));
    }
    if let Some(names) = policy.repositories() {
        assert!(home == PolicyHome::OrganizationPolicyRepository);
        assert!((1..=500).contains(&names.len()));
    }
}

/// Printed with all text quoted, the policy reads the same.
fn printed_is_the_same(policy: &CompiledPolicy, home: PolicyHome) {
    let mut printed = String::new();
    matcher(&mut printed, "issuer", policy.issuer());
    matcher(&mut printed, "subject", policy.subject());
    if let AudienceRule::Named(audience) = policy.audience() {
        matcher(&mut printed, "audience", audience);
    }
    if !policy.claim_patterns().is_empty() {
        printed.push_str("claim_pattern:\n");
        for (name, pattern) in policy.claim_patterns() {
            printed.push_str(&format!("  {}: {}\n", quoted(name), quoted(pattern.source())));
        }
    }
    printed.push_str("permissions:\n");
    for (name, level) in policy.permissions().iter() {
        printed.push_str(&format!("  {name}: {}\n", level.as_str()));
    }
    if let Some(names) = policy.repositories() {
        let names: Vec<String> = names.iter().map(|name| quoted(name.as_str())).collect();
        printed.push_str(&format!("repositories: [{}]\n", names.join(", ")));
    }
    match policy.app() {
        AppRule::Any => {}
        AppRule::Exact(name) => printed.push_str(&format!("app: {}\n", quoted(name))),
        AppRule::Pattern(pattern) => {
            printed.push_str(&format!("app_pattern: {}\n", quoted(pattern.source())));
        }
    }
    // Quoted, the file may be too large, and a key too long for YAML (1024 characters before the colon).
    if printed.len() > MAX_BYTES || policy.claim_patterns().keys().any(|name| quoted(name).len() > 1000) {
        return;
    }
    let again = load(printed.as_bytes(), home);
    let again = again.value.unwrap_or_else(|| panic!("{printed}\n{:?}", again.diagnostics));
    assert_eq!(description(policy), description(&again));
}

fn matcher(printed: &mut String, key: &str, matcher: &Matcher) {
    let suffix = if matcher.pattern().is_some() { "_pattern" } else { "" };
    printed.push_str(&format!("{key}{suffix}: {}\n", quoted(matcher.source())));
}

/// A double-quoted scalar of printable ASCII (YAML 1.2, 5.7).
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' '..='~' => quoted.push(character),
            other => quoted.push_str(&format!("\\U{:08X}", u32::from(other))),
        }
    }
    quoted.push('"');
    quoted
}

fn description(policy: &CompiledPolicy) -> String {
    let claims: BTreeMap<&str, &str> =
        policy.claim_patterns().iter().map(|(name, pattern)| (name.as_str(), pattern.source())).collect();
    let permissions: Vec<_> = policy.permissions().iter().collect();
    let names = policy.repositories().map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>());
    let kind = |matcher: &Matcher| (matcher.pattern().is_some(), matcher.source().to_owned());
    let audience = match policy.audience() {
        AudienceRule::Domain => None,
        AudienceRule::Named(matcher) => Some(kind(matcher)),
    };
    let app = match policy.app() {
        AppRule::Any => None,
        AppRule::Exact(name) => Some((false, name.clone())),
        AppRule::Pattern(pattern) => Some((true, pattern.source().to_owned())),
    };
    format!(
        "{:?} {:?} {audience:?} {claims:?} {permissions:?} {names:?} {app:?}",
        kind(policy.issuer()),
        kind(policy.subject())
    )
}

fn decided(policy: &CompiledPolicy, claims: &Claims) {
    let bound = 2 * MATCHING + reading(MAX_BYTES);
    let evaluation = within(bound, || evaluate(policy, claims, "sts.example.com"));
    assert_eq!(evaluation.satisfied(), evaluation.steps().iter().all(|step| step.holds));
    assert_eq!(evaluation.steps().len(), 3 + policy.claim_patterns().len());
    for step in evaluation.steps() {
        let held = match &step.expected {
            Expectation::Exact(text) => step.actual.texts().any(|actual| actual == text),
            Expectation::Pattern(source) => {
                let pattern: Pattern = source.parse().expect("it was compiled before");
                step.actual.texts().any(|actual| pattern.matches(actual))
            }
        };
        // The steps of one decision are shared: without steps left, a rule does not hold, whatever it would say alone.
        assert!(step.holds == held || (step.too_expensive && !step.holds), "{step:?}");
        assert!(!(step.holds && matches!(step.actual, Actual::Missing | Actual::WrongType(_))));
    }
}

/// A pattern: [the pattern, a value].
pub fn pattern(data: &[u8]) {
    let [source, value] = parts(data);
    let (Some(source), Some(value)) = (text(source), text(value)) else { return };
    let pattern: Pattern = match within(reading(source.len()), || source.parse()) {
        Ok(pattern) => pattern,
        Err(error) => {
            assert!(error.offset <= source.chars().count());
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(pattern.source(), source);
    assert!(source.chars().count() <= MAX_PATTERN_CHARACTERS);
    let value: String = value.chars().take(2000).collect();
    let matches = within(MATCHING, || pattern.matches(&value));
    assert!(!(matches && pattern.matches_only_unanchored(&value)));
    // Whole or not at all: between other characters the same value matches the same pattern, and no other.
    // But not with what sees the characters around: `^`, `$`, `\b`, `\A`.
    if let Ok(fenced) = format!("<(?:{source})>").parse::<Pattern>()
        && !source.contains(['^', '$', '\\'])
    {
        assert_eq!(fenced.matches(&format!("<{value}>")), matches, "{source} on {value:?}");
    }
    other_engine(source, &value, matches);
}

/// The same pattern in another engine, as far as its grammar is Go's.
fn other_engine(source: &str, value: &str, matches: bool) {
    // Its own: set operations, nested classes, `{,n}`, `\<`, `\>`, other letters of `\s`, flags that Go does not have.
    let is_ascii = source.is_ascii() && value.is_ascii();
    let has_own = ["&&", "--", "~~", "{", "[:"].iter().any(|text| source.contains(text))
        || source.match_indices('[').count() > 1
        || source
            .split('\\')
            .skip(1)
            .any(|behind| behind.starts_with(['s', 'S', 'v', '<', '>', 'b', 'B', 'Q', 'E']))
        || source
            .split("(?")
            .skip(1)
            .any(|flags| flags.split([':', ')', '<']).next().is_some_and(|f| f.contains(['x', 'u', 'R'])));
    if !is_ascii || has_own {
        return;
    }
    let whole = format!("\\A(?:{source})\\z");
    let other = regex::bytes::RegexBuilder::new(&whole).unicode(false).size_limit(1 << 24).build();
    if let Ok(other) = other {
        assert_eq!(other.is_match(value.as_bytes()), matches, "{source} on {value:?}");
    }
}

/// An organization's list: [the file, an issuer].
pub fn trusted_issuers(data: &[u8]) {
    let [source, issuer] = parts(data);
    let report = within(2 * reading(source.len()), || trusted_issuers::load(source));
    assert_eq!(report.value.is_none(), report.errors().count() > 0);
    diagnostics(source, &report.diagnostics);
    let Some(list) = report.value else { return };
    assert!((1..=64 + 16).contains(&(list.issuers().len() + list.patterns().len())));
    assert!(list.issuers().len() <= 64 && list.patterns().len() <= 16);
    assert!(list.patterns().iter().all(|pattern| pattern.source().chars().count() <= 256));
    for listed in list.issuers() {
        assert!(list.permits(listed));
    }
    let entries = |key: &str, texts: Vec<&str>| match texts.as_slice() {
        [] => String::new(),
        texts => {
            format!("{key}: [{}]\n", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
        }
    };
    let printed = format!(
        "mode: {}\n{}{}",
        list.mode().as_str(),
        entries("issuers", list.issuers().iter().map(String::as_str).collect()),
        entries("issuer_patterns", list.patterns().iter().map(Pattern::source).collect()),
    );
    let again = trusted_issuers::load(printed.as_bytes());
    let again = again.value.unwrap_or_else(|| panic!("{printed}\n{:?}", again.diagnostics));
    assert_eq!((list.mode(), list.issuers()), (again.mode(), again.issuers()));
    let Some(issuer) = text(issuer) else { return };
    let expected = list.issuers().iter().any(|listed| listed == issuer)
        || list.patterns().iter().any(|pattern| pattern.matches(issuer));
    // All patterns share the steps of one decision, so the list may say no where each alone says yes, never the other
    // way.
    assert!(expected || !within(MATCHING, || list.permits(issuer)));
    assert_eq!(again.permits(issuer), list.permits(issuer));
}
