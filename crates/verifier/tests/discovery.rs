//! An issuer's keys, fetched from answers in turn: what is sent, what is tried again, and what is made of each answer.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use octo_sts_doubles::script::Script;
use octo_sts_doubles::sent::{bodiless, inbound};
use octo_sts_verifier::oidc::{
    Document, FetchedKeys, Issuer, IssuerRules, KeysError, Outage, Unusable, fetch_keys,
};
use octo_sts_verifier::ports::{BodyError, FetchError, Inbound};
use serde_json::json;

const ISSUER: &str = "https://issuer.example.com";

fn asked_for(script: &Script) -> Vec<String> {
    script.sent().iter().map(|sent| sent.uri.to_string()).collect()
}

fn answer(status: u16, body: impl Into<Bytes>) -> Result<Inbound, FetchError> {
    Ok(inbound(status, body))
}

fn broken(status: u16, error: BodyError) -> Result<Inbound, FetchError> {
    Ok(bodiless(status, error))
}

fn discovery(issuer: &str, jwks_uri: &str) -> Result<Inbound, FetchError> {
    answer(200, json!({ "issuer": issuer, "jwks_uri": jwks_uri, "extra": [true] }).to_string())
}

fn good_discovery() -> Result<Inbound, FetchError> {
    discovery(ISSUER, "https://keys.example.com/jwks")
}

fn good_keys() -> Result<Inbound, FetchError> {
    answer(200, KEYS)
}

const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn rules() -> IssuerRules {
    IssuerRules { allowed: None, own_domain: "sts.example.com".to_owned(), allow_loopback_http: false }
}

fn fetch_from(issuer: &str, rules: &IssuerRules, script: &Script) -> Result<FetchedKeys, KeysError> {
    let outcome = pollster::block_on(fetch_keys(&Issuer::parse(issuer, rules).unwrap(), rules, script));
    assert_eq!(script.left(), 0, "every answer was asked for");
    outcome
}

fn fetched(answers: impl IntoIterator<Item = Result<Inbound, FetchError>>) -> Result<FetchedKeys, KeysError> {
    fetch_from(ISSUER, &rules(), &Script::of(answers))
}

#[test]
fn asks_for_two_documents_within_the_limits() {
    let script = Script::of([good_discovery(), good_keys()]);
    let fetched = fetch_from(ISSUER, &rules(), &script).unwrap();
    assert_eq!(fetched.keys.keys().len(), 1);
    assert_eq!(fetched.max_age, None);
    assert_eq!(
        asked_for(&script),
        ["https://issuer.example.com/.well-known/openid-configuration", "https://keys.example.com/jwks"]
    );
    for sent in script.sent() {
        assert_eq!(sent.method, "GET");
        assert!(sent.bytes.is_empty());
        let mut headers: Vec<_> =
            sent.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        headers.sort_unstable();
        assert_eq!(headers, [("accept", "application/json"), ("user-agent", "octo-sts-worker")]);
        assert_eq!(sent.timeout, Duration::from_secs(5));
        assert_eq!(sent.max_body, 102_400);
    }
}

#[test]
fn one_trailing_slash_of_the_issuer_is_not_doubled() {
    for (issuer, location) in [
        ("https://acme.auth0.example/", "https://acme.auth0.example/.well-known/openid-configuration"),
        ("https://example.com/a/b", "https://example.com/a/b/.well-known/openid-configuration"),
        ("https://example.com/a/b/", "https://example.com/a/b/.well-known/openid-configuration"),
        ("https://example.com:443", "https://example.com:443/.well-known/openid-configuration"),
    ] {
        let script = Script::of([discovery(issuer, "https://example.com/keys"), good_keys()]);
        fetch_from(issuer, &rules(), &script).unwrap();
        assert_eq!(asked_for(&script)[0], location);
    }
}

#[test]
fn the_document_must_be_of_this_issuer_byte_for_byte() {
    for other in [
        "https://other.example.com",
        "https://issuer.example.com/",
        "https://ISSUER.example.com",
        "https://issuer.example.com:443",
        " https://issuer.example.com",
        "",
    ] {
        let outcome = fetched([discovery(other, "https://keys.example.com/jwks")]);
        assert_eq!(outcome, Err(KeysError::Unusable(Document::Discovery, Unusable::OtherIssuer)), "{other}");
    }
    for body in [
        r#"{"jwks_uri":"https://keys.example.com"}"#,
        r#"{"issuer":null,"jwks_uri":"https://keys.example.com"}"#,
        r#"{"issuer":["https://issuer.example.com"],"jwks_uri":"https://keys.example.com"}"#,
    ] {
        let outcome = fetched([answer(200, body)]);
        assert_eq!(outcome, Err(KeysError::Unusable(Document::Discovery, Unusable::OtherIssuer)), "{body}");
    }
}

#[test]
fn addresses_of_keys_of_well_known_services_are_accepted() {
    for location in [
        "https://www.googleapis.com/oauth2/v3/certs",
        "https://token.actions.githubusercontent.com/.well-known/jwks",
        "https://login.microsoftonline.com/0e1c2c8b-4b2c-4d3f-9d3a-3f1f3f0d3c11/discovery/v2.0/keys",
        "https://acme.b2clogin.com/acme.onmicrosoft.com/discovery/v2.0/keys?p=b2c_1_sign_in",
        "https://gitlab.com/oauth/discovery/keys",
        "https://oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF/keys",
        "https://dev-123.okta.com/oauth2/default/v1/keys",
        "https://issuer.example.com:443/keys",
        "https://example.com/a%20b/$keys;v=1/(x)",
        "https://example.com",
    ] {
        let script = Script::of([discovery(ISSUER, location), good_keys()]);
        assert!(fetch_from(ISSUER, &rules(), &script).is_ok(), "{location}");
        assert_eq!(asked_for(&script)[1].trim_end_matches('/'), location);
    }
}

#[test]
fn addresses_of_keys_obey_the_rules_for_issuers() {
    let long = format!("https://example.com/{}", "a".repeat(2048));
    for location in [
        "",
        "/jwks",
        "//keys.example.com/jwks",
        "keys.example.com",
        "http://keys.example.com/jwks",
        "http://issuer.example.com/jwks",
        "HTTPS://keys.example.com",
        "ftp://keys.example.com",
        "https://user@keys.example.com",
        "https://keys.example.com#x",
        "https://keys.example.com/a b",
        "https://keys.example.com/a\\b",
        "https://keys.example.com\\@10.0.0.1",
        "https://keys.example.com/ä",
        "https://keys.example.com/\n",
        "https://keys.example.com./",
        "https://keys.example.com:8443/",
        "https://issuer.example.com:8443/",
        "https://10.0.0.1/jwks",
        "https://2130706433/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/jwks",
        "http://localhost/jwks",
        "https://intranet/jwks",
        "https://vault.internal/",
        "https://printer.local/",
        "https://sts.example.com/jwks",
        "https://STS.EXAMPLE.COM",
        &long,
    ] {
        let outcome = fetched([discovery(ISSUER, location)]);
        assert_eq!(outcome, Err(KeysError::Unusable(Document::Discovery, Unusable::JwksUri)), "{location}");
    }
    for body in [
        json!({ "issuer": ISSUER }),
        json!({ "issuer": ISSUER, "jwks_uri": null }),
        json!({ "issuer": ISSUER, "jwks_uri": ["https://keys.example.com"] }),
        json!({ "issuer": ISSUER, "jwks": { "keys": [] } }),
    ] {
        let outcome = fetched([answer(200, body.to_string())]);
        assert_eq!(outcome, Err(KeysError::Unusable(Document::Discovery, Unusable::JwksUri)), "{body}");
    }
}

#[test]
fn a_listed_issuer_may_keep_its_keys_at_its_own_place_alone() {
    let issuer = "https://10.0.0.1:8443/oidc";
    let listed = IssuerRules { allowed: Some(vec![issuer.to_owned()]), ..rules() };
    for location in ["https://10.0.0.1:8443/keys", "https://keys.example.com"] {
        let script = Script::of([discovery(issuer, location), good_keys()]);
        assert!(fetch_from(issuer, &listed, &script).is_ok(), "{location}");
    }
    for location in [
        "https://10.0.0.1/keys",
        "https://10.0.0.1:8444/keys",
        "https://10.0.0.2:8443/keys",
        "http://10.0.0.1:8443/keys",
    ] {
        let script = Script::of([discovery(issuer, location)]);
        assert!(fetch_from(issuer, &listed, &script).is_err(), "{location}");
    }
}

#[test]
fn loopback_keys_are_for_development_alone() {
    let development = IssuerRules { allow_loopback_http: true, ..rules() };
    let issuer = "http://localhost:8080";
    for location in ["http://localhost:8080/jwks", "http://127.0.0.1:9000/jwks", "https://[::1]:1/jwks"] {
        let script = Script::of([discovery(issuer, location), good_keys()]);
        assert!(fetch_from(issuer, &development, &script).is_ok(), "{location}");
    }
    let script = Script::of([discovery(issuer, "http://keys.example.com/jwks")]);
    assert!(fetch_from(issuer, &development, &script).is_err());
}

/// The outcome, for the first or the second document.
type Verdict = fn(Document) -> KeysError;

#[test]
fn an_outage_is_told_from_an_unusable_answer() {
    use {Document::Discovery, KeysError::Unavailable as Out, KeysError::Unusable as Bad};
    let too_long = format!("{}{KEYS}", " ".repeat(102_400));
    let table: Vec<(Verdict, Result<Inbound, FetchError>)> = vec![
        (|document| Out(document, Outage::Limited), answer(429, "")),
        (|document| Out(document, Outage::ServerError), answer(500, "")),
        (|document| Out(document, Outage::ServerError), answer(503, KEYS)),
        (|document| Out(document, Outage::ServerError), answer(599, "")),
        (|document| Out(document, Outage::ServerError), broken(502, BodyError::Interrupted)),
        (|document| Out(document, Outage::TimedOut), Err(FetchError::TimedOut)),
        (|document| Out(document, Outage::TimedOut), broken(200, BodyError::TimedOut)),
        (|document| Bad(document, Unusable::Status), answer(301, "")),
        (|document| Bad(document, Unusable::Status), answer(302, KEYS)),
        (|document| Bad(document, Unusable::Status), answer(304, "")),
        (|document| Bad(document, Unusable::Status), answer(201, KEYS)),
        (|document| Bad(document, Unusable::Status), answer(206, KEYS)),
        (|document| Bad(document, Unusable::Status), answer(401, "")),
        (|document| Bad(document, Unusable::Status), answer(404, KEYS)),
        (|document| Bad(document, Unusable::Status), answer(403, "")),
        (|document| Bad(document, Unusable::Status), broken(404, BodyError::Interrupted)),
        (|document| Bad(document, Unusable::TooLarge), broken(200, BodyError::TooLarge)),
        (|document| Bad(document, Unusable::TooLarge), answer(200, too_long)),
        (|document| Bad(document, Unusable::Json), answer(200, "")),
        (|document| Bad(document, Unusable::Json), answer(200, "<!doctype html>")),
        (|document| Bad(document, Unusable::Json), answer(200, "[]")),
        (|document| Bad(document, Unusable::Json), answer(200, "null")),
        (|document| Bad(document, Unusable::Json), answer(200, format!("{KEYS} {{}}"))),
        (|document| Bad(document, Unusable::Json), answer(200, &b"{\"issuer\":\"\xff\"}"[..])),
        (|document| Bad(document, Unusable::Json), answer(200, r#"{"issuer":"a","issuer":"a"}"#)),
        (
            |document| Bad(document, Unusable::Json),
            answer(200, format!("{{\"a\":{}{}}}", "[".repeat(16), "]".repeat(16))),
        ),
    ];
    for (expected, given) in table {
        let shown = format!("{given:?}");
        let again = given.as_ref().map_or_else(
            |error| Err(*error),
            |inbound| {
                Ok(Inbound {
                    status: inbound.status,
                    headers: inbound.headers.clone(),
                    body: inbound.body.clone(),
                })
            },
        );
        assert_eq!(fetched([given]), Err(expected(Discovery)), "{shown}");
        assert_eq!(fetched([good_discovery(), again]), Err(expected(Document::Keys)), "{shown}");
    }
}

#[test]
fn only_a_failed_network_is_tried_once_more() {
    let down = || Err(FetchError::Network);
    let cut = || broken(200, BodyError::Interrupted);
    assert!(fetched([down(), good_discovery(), good_keys()]).is_ok());
    assert!(fetched([cut(), good_discovery(), cut(), good_keys()]).is_ok());
    assert!(fetched([good_discovery(), down(), good_keys()]).is_ok());
    let lost = |document| Err(KeysError::Unavailable(document, Outage::Network));
    assert_eq!(fetched([down(), down()]), lost(Document::Discovery));
    assert_eq!(fetched([down(), cut()]), lost(Document::Discovery));
    assert_eq!(fetched([good_discovery(), cut(), down()]), lost(Document::Keys));
    assert_eq!(
        fetched([down(), Err(FetchError::TimedOut)]),
        Err(KeysError::Unavailable(Document::Discovery, Outage::TimedOut))
    );
}

#[test]
fn a_set_without_keys_or_with_too_many_is_unusable() {
    let unusable = |why| Err(KeysError::Unusable(Document::Keys, why));
    for none in [r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#] {
        assert_eq!(fetched([good_discovery(), answer(200, none)]), unusable(Unusable::NoKeys));
    }
    assert_eq!(fetched([good_discovery(), answer(200, "{}")]), unusable(Unusable::NoKeys));
    let many = json!({ "keys": vec![1; 101] }).to_string();
    assert_eq!(fetched([good_discovery(), answer(200, many)]), unusable(Unusable::TooManyKeys));
}

#[test]
fn the_type_of_the_content_does_not_matter() {
    let mut keys = good_keys().unwrap();
    keys.headers.insert("content-type", HeaderValue::from_static("application/jwk-set+json"));
    assert!(fetched([good_discovery(), Ok(keys)]).is_ok());
}

#[test]
fn cache_control_is_read_from_the_keys_alone() {
    let with = |mut inbound: Inbound, values: &[&str]| {
        for value in values {
            inbound.headers.append(CACHE_CONTROL, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Ok(inbound)
    };
    for (values, expected) in [
        (&[][..], None),
        (&["max-age=3600"], Some(3600)),
        (&["public, Max-Age=\"60\" , must-revalidate"], Some(60)),
        (&["max-age=0"], Some(0)),
        (&["no-store"], Some(0)),
        (&["max-age=3600, no-cache"], Some(0)),
        (&["no-cache=\"set-cookie\", max-age=9"], Some(0)),
        (&["max-age=100", "max-age=50"], Some(50)),
        (&["max-age=99999999999999999999"], Some(u64::from(u32::MAX))),
        (&["max-age=-1"], None),
        (&["max-age=1.5"], None),
        (&["max-age"], None),
        (&["s-maxage=5, x-max-age=6, private"], None),
        (&["\u{ff}max-age=1", "max-age=2"], Some(2)),
    ] {
        let discovery = with(good_discovery().unwrap(), &["no-store"]);
        let fetched = fetched([discovery, with(good_keys().unwrap(), values)]).unwrap();
        assert_eq!(fetched.max_age, expected.map(Duration::from_secs), "{values:?}");
    }
}

#[test]
fn messages_tell_the_document_and_not_the_answer() {
    assert_eq!(
        KeysError::Unavailable(Document::Discovery, Outage::ServerError).to_string(),
        "the discovery document of the token's issuer is not available"
    );
    assert_eq!(
        KeysError::Unusable(Document::Keys, Unusable::Status).to_string(),
        "the key set of the token's issuer is not usable: it is not served where it should be"
    );
}
