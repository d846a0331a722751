//! The Go service's own cases about policies and trusted issuers. Every case on which this crate differs is in
//! `differences-policy.json` with the reason; a missing or unused difference fails.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use octo_sts_worker::oidc::Claims;
use octo_sts_worker::policy::{PolicyHome, evaluate, load, trusted_issuers};
use serde_json::{Value, json};

fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cases").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn cases(name: &str) -> Vec<Value> {
    let file = read(name);
    let cases = file["cases"].as_array().unwrap().clone();
    assert_eq!(file["count"], json!(cases.len()), "{name}");
    cases
}

/// Compares each case's outcome here with Go's, and the ones that differ with the list.
fn compare(file: &str, outcome: impl Fn(&Value) -> (String, String)) {
    let mut differing: BTreeMap<String, (String, String)> = BTreeMap::new();
    for case in cases(file) {
        let (go, here) = outcome(&case);
        if go != here {
            let name = case["name"].as_str().unwrap().to_owned();
            assert!(differing.insert(name, (go, here)).is_none());
        }
    }
    let listed: BTreeMap<String, (String, String)> = read("differences-policy.json")
        .as_array()
        .unwrap()
        .iter()
        .filter(|difference| difference["file"] == file)
        .map(|difference| {
            assert!(difference["reason"].as_str().unwrap().len() > 10);
            let text = |key: &str| difference[key].as_str().unwrap().to_owned();
            (text("case"), (text("go"), text("here")))
        })
        .collect();
    assert_eq!(differing, listed, "{file}");
}

fn verdict(ok: bool) -> String {
    if ok { "accepted" } else { "refused" }.to_owned()
}

/// JSON is YAML.
fn yaml(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn with_permissions(policy: &Value) -> Value {
    let mut policy = policy.clone();
    policy["permissions"] = json!({"contents": "read"});
    policy
}

#[test]
fn policies_compile_as_in_go() {
    compare("trust-policy-compile.json", |case| {
        let report = load(&yaml(&case["input"]["policy"]), PolicyHome::Repository);
        (verdict(!case["expected"]["error"].as_bool().unwrap()), verdict(report.value.is_some()))
    });
    // The cases are about everything but permissions, and have none.
    for case in cases("trust-policy-compile.json") {
        let report = load(&yaml(&with_permissions(&case["input"]["policy"])), PolicyHome::Repository);
        assert_eq!(report.value.is_none(), case["expected"]["error"].as_bool().unwrap(), "{}", case["name"]);
    }
}

#[test]
fn tokens_are_decided_as_in_go() {
    compare("trust-policy-check-token.json", |case| {
        (
            verdict(!case["expected"]["error"].as_bool().unwrap()),
            verdict(decide(case, &case["input"]["policy"])),
        )
    });
    for case in cases("trust-policy-check-token.json") {
        let accepted = decide(&case, &with_permissions(&case["input"]["policy"]));
        assert_eq!(accepted, !case["expected"]["error"].as_bool().unwrap(), "{}", case["name"]);
    }
}

fn decide(case: &Value, policy: &Value) -> bool {
    let Some(policy) = load(&yaml(policy), PolicyHome::Repository).value else { return false };
    let claims = Claims::from_object(case["input"]["token"].as_object().unwrap().clone()).unwrap();
    evaluate(&policy, &claims, case["input"]["domain"].as_str().unwrap()).satisfied()
}

#[test]
fn lists_of_issuers_parse_as_in_go() {
    compare("org-trusted-issuers-parse.json", |case| {
        let report = trusted_issuers::load(case["input"]["yaml"].as_str().unwrap().as_bytes());
        (expected_mode(case), mode(report.value.as_ref()))
    });
}

#[test]
fn lists_of_issuers_compile_as_in_go() {
    compare("org-trusted-issuers-compile.json", |case| {
        let report = trusted_issuers::load(&yaml(&case["input"]["config"]));
        (expected_mode(case), mode(report.value.as_ref()))
    });
}

fn expected_mode(case: &Value) -> String {
    let expected = &case["expected"];
    if expected["error"].as_bool().unwrap() {
        verdict(false)
    } else {
        expected["mode"].as_str().unwrap().to_owned()
    }
}

fn mode(list: Option<&trusted_issuers::TrustedIssuers>) -> String {
    list.map_or_else(|| verdict(false), |list| list.mode().as_str().to_owned())
}

#[test]
fn lists_of_issuers_permit_what_they_permit_in_go() {
    compare("org-trusted-issuers-allows.json", |case| {
        let issuer = case["input"]["issuer"].as_str().unwrap();
        let report = trusted_issuers::load(&yaml(&case["input"]["config"]));
        let permitted = report.value.is_some_and(|list| list.permits(issuer));
        (verdict(case["expected"]["allowed"].as_bool().unwrap()), verdict(permitted))
    });
}
