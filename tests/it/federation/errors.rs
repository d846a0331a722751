//! Failures at providers: what the caller gets, what the log says, and what neither says.

use std::time::Duration;

use octo_sts_worker::federation::Failure;
use octo_sts_worker::ports::{BodyError, FetchError};
use serde_json::{Value, json};

use super::stage::{Instead, PRINCIPAL, Shown, Stage, kind};

/// Every kind that asks a provider.
const TRADED: [&str; 6] = ["anthropic", "aws", "google", "azure", "openai", "oauth"];

#[track_caller]
fn unavailable(failure: &Failure, seconds: u64) {
    assert_eq!(*failure, Failure::Unavailable(Duration::from_secs(seconds)));
    assert_eq!(failure.message(), "the upstream's credential is not available");
}

/// The only line about it.
#[track_caller]
fn line(stage: &Stage) -> Value {
    let lines = stage.lines();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines[0].clone()
}

#[test]
fn the_log_has_the_providers_code_and_never_its_text() {
    let canary = "a canary in the answer";
    let oauth = |code: &str| json!({"error": code, "error_description": canary, "canary": canary});
    let aws =
        |code: &str| json!({"Error": {"Code": code, "Message": canary, "Type": "Sender"}, "RequestId": "1"});
    let cases = [
        ("anthropic", 400, oauth("invalid_grant"), Some("invalid_grant")),
        ("anthropic", 401, oauth("invalid_client"), Some("invalid_client")),
        (
            "anthropic",
            401,
            json!({"type": "error", "error": {"type": "authentication_error", "message": canary}}),
            Some("authentication_error"),
        ),
        (
            "anthropic",
            429,
            json!({"error": {"type": "rate_limit_error", "message": canary}}),
            Some("rate_limit_error"),
        ),
        ("google", 400, oauth("invalid_grant"), Some("invalid_grant")),
        ("google", 400, oauth("invalid_request"), Some("invalid_request")),
        ("google", 400, oauth("invalid_target"), Some("invalid_target")),
        ("google", 403, oauth("unauthorized_client"), Some("unauthorized_client")),
        (
            "azure",
            401,
            json!({"error": "invalid_client", "error_description": canary, "error_codes": [700213]}),
            Some("AADSTS700213"),
        ),
        ("azure", 400, json!({"error": "invalid_request", "error_codes": [90002]}), Some("AADSTS90002")),
        ("azure", 401, oauth("invalid_client"), Some("invalid_client")),
        ("azure", 401, json!({"error": "invalid_client", "error_codes": []}), Some("invalid_client")),
        ("openai", 400, oauth("invalid_subject_token"), Some("invalid_subject_token")),
        ("openai", 403, json!({"error": {"code": "forbidden", "message": canary}}), Some("forbidden")),
        (
            "openai",
            401,
            json!({"error": {"type": "invalid_request_error", "code": "invalid_subject_token", "param": null}}),
            Some("invalid_subject_token"),
        ),
        (
            "openai",
            400,
            json!({"error": {"type": "invalid_request_error", "code": null, "message": canary}}),
            Some("invalid_request_error"),
        ),
        ("oauth", 400, oauth("unsupported_grant_type"), Some("unsupported_grant_type")),
        ("oauth", 400, oauth("a canary"), None),
        ("oauth", 400, oauth(&"e".repeat(65)), None),
        ("oauth", 400, json!({"error": 1}), None),
        ("oauth", 400, json!([canary]), None),
        ("oauth", 500, Value::Null, None),
        ("aws", 400, aws("InvalidIdentityToken"), Some("InvalidIdentityToken")),
        ("aws", 400, aws("ExpiredTokenException"), Some("ExpiredTokenException")),
        ("aws", 403, aws("AccessDenied"), Some("AccessDenied")),
        ("aws", 400, aws("IDPRejectedClaim"), Some("IDPRejectedClaim")),
        ("aws", 400, aws("MalformedPolicyDocument"), Some("MalformedPolicyDocument")),
        ("aws", 400, aws("PackedPolicyTooLarge"), Some("PackedPolicyTooLarge")),
        ("aws", 403, aws("RegionDisabledException"), Some("RegionDisabledException")),
        ("aws", 400, aws("ValidationError"), Some("ValidationError")),
    ];
    for (name, status, body, code) in cases {
        let stage = Stage::new();
        stage.refuse(status, &body);
        unavailable(&stage.prepare(&kind(name, &json!({}))).unwrap_err(), 5);
        let line = line(&stage);
        assert_eq!(line["message"], "upstream credential not granted");
        assert_eq!(line["level"], "warn");
        assert_eq!((&line["upstream"], &line["kind"]), (&json!("acme-api"), &json!(name)));
        assert_eq!(line["status"], status.to_string(), "{line}");
        assert_eq!(line["code"].as_str(), code, "{line}");
        assert_eq!(line["reason"], "refused");
        assert_eq!(
            (&line["iss"], &line["sub"]),
            (&json!("https://sts.example.com"), &json!("upstream:acme-api"))
        );
        assert!(line["aud"].is_string());
        assert!(!line.to_string().contains("canary"), "{line}");
        assert_eq!(stage.exchanges(), 1, "no refusal is tried again: {body}");
    }
}

#[test]
fn aws_may_refuse_in_xml() {
    let stage = Stage::new();
    let refusal = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                   <Code>AccessDenied</Code><Message>a canary</Message></Error><RequestId>1</RequestId></ErrorResponse>";
    stage.always(Instead::Answer(403, refusal.to_owned()));
    stage.prepare(&kind("aws", &json!({}))).unwrap_err();
    let line = line(&stage);
    assert_eq!((&line["status"], &line["code"]), (&json!("403"), &json!("AccessDenied")));
    assert!(!line.to_string().contains("canary"));
}

#[test]
fn the_second_leg_of_google_is_named_where_it_fails() {
    let google = kind("google", &json!({"service_account": "sts@acme.iam.gserviceaccount.com"}));
    let stage = Stage::new();
    stage.refuse(400, &json!({"error": "invalid_grant"}));
    stage.prepare(&google).unwrap_err();
    assert_eq!(line(&stage)["leg"], "exchange");

    let stage = Stage::new();
    let granted = json!({"access_token": "google-token-1", "expires_in": 3600}).to_string();
    let denied =
        json!({"error": {"code": 403, "message": "a canary", "status": "PERMISSION_DENIED"}}).to_string();
    stage.instead(&[Instead::Answer(200, granted.clone()), Instead::Answer(403, denied)]);
    unavailable(&stage.prepare(&google).unwrap_err(), 5);
    let line = line(&stage);
    assert_eq!((&line["leg"], &line["code"]), (&json!("service_account"), &json!("PERMISSION_DENIED")));

    for body in [
        json!({"accessToken": "t"}),
        json!({"accessToken": "t", "expireTime": "soon"}),
        json!({"accessToken": "t", "expireTime": 1}),
        json!({"accessToken": "a b", "expireTime": "2026-11-20T18:00:00Z"}),
        json!({"expireTime": "2026-11-20T18:00:00Z"}),
        // Expired at once.
        json!({"accessToken": "t", "expireTime": "2026-11-20T17:00:00Z"}),
    ] {
        let stage = Stage::new();
        stage.instead(&[Instead::Answer(200, granted.clone()), Instead::Answer(200, body.to_string())]);
        unavailable(&stage.prepare(&google).unwrap_err(), 5);
    }
}

#[test]
fn every_way_not_to_answer_is_unavailable_and_has_its_reason() {
    for (instead, reason, status) in [
        (Instead::Nobody(FetchError::Network), "network", None),
        (Instead::Nobody(FetchError::TimedOut), "timed_out", None),
        (Instead::Broken(BodyError::TooLarge), "too_large", Some("200")),
        (Instead::Broken(BodyError::Interrupted), "interrupted", Some("200")),
        (Instead::Broken(BodyError::TimedOut), "timed_out", Some("200")),
        (Instead::Headed(302, "location", "https://evil.example/token"), "refused", Some("302")),
        (Instead::Answer(500, "oops".to_owned()), "refused", Some("500")),
        (Instead::Answer(503, "<html>".to_owned()), "refused", Some("503")),
        (Instead::Answer(200, "<html>".to_owned()), "unreadable", Some("200")),
        (Instead::Answer(200, String::new()), "unreadable", Some("200")),
        (Instead::Answer(200, "[]".to_owned()), "unreadable", Some("200")),
        (Instead::Answer(200, "{}".to_owned()), "unreadable", Some("200")),
        (Instead::Answer(204, String::new()), "unreadable", Some("204")),
    ] {
        for name in TRADED {
            let stage = Stage::new();
            stage.always(instead.clone());
            unavailable(&stage.prepare(&kind(name, &json!({}))).unwrap_err(), 5);
            let line = line(&stage);
            assert_eq!(
                (line["reason"].as_str(), line["status"].as_str()),
                (Some(reason), status),
                "{name} {line}"
            );
            assert_eq!(stage.exchanges(), 1, "{name} {instead:?}");
        }
    }
}

#[test]
fn a_provider_may_say_when_to_come_back() {
    for (value, seconds) in [("7", 7), ("0", 1), ("86400", 300), ("soon", 5)] {
        let stage = Stage::new();
        stage.always(Instead::Headed(429, "retry-after", value));
        unavailable(&stage.prepare(&kind("oauth", &json!({}))).unwrap_err(), seconds);
    }
}

#[test]
fn an_answer_of_oauth_is_read_strictly() {
    for (body, reason) in [
        (r#"{"access_token":"a b"}"#, Some("unreadable")),
        (r#"{"access_token":"a\nb"}"#, Some("unreadable")),
        (r#"{"access_token":"ä"}"#, Some("unreadable")),
        (r#"{"access_token":""}"#, Some("unreadable")),
        (r#"{"access_token":1}"#, Some("unreadable")),
        (r#"{"access_token":"a","access_token":"b"}"#, Some("unreadable")),
        (r#"{"access_token":"a","expires_in":-1}"#, Some("unreadable")),
        (r#"{"access_token":"a","expires_in":"soon"}"#, Some("unreadable")),
        (r#"{"access_token":"a","expires_in":null}"#, Some("unreadable")),
        (r#"{"access_token":"a","expires_in":0}"#, Some("expired")),
        (r#"{"access_token":"a","expires_in":"0"}"#, Some("expired")),
        (r#"{"access_token":"a","expires_in":18446744073709551615}"#, None),
        (r#"{"access_token":"a","expires_in":"3600"}"#, None),
        (r#"{"access_token":"a"}"#, None),
        (r#"{"access_token":"a","token_type":"bearer","scope":"x"}"#, None),
    ] {
        let stage = Stage::new();
        stage.always(Instead::Answer(200, body.to_owned()));
        let prepared = stage.prepare(&kind("oauth", &json!({})));
        assert_eq!(prepared.is_err(), reason.is_some(), "{body}");
        match reason {
            Some(reason) => assert_eq!(line(&stage)["reason"], reason, "{body}"),
            None => assert!(stage.lines().is_empty()),
        }
    }
    let stage = Stage::new();
    let long = json!({"access_token": "a".repeat(16 * 1024 + 1)});
    stage.always(Instead::Answer(200, long.to_string()));
    stage.prepare(&kind("oauth", &json!({}))).unwrap_err();
}

#[test]
fn a_session_of_aws_is_read_strictly() {
    let credentials = |changes: Value| {
        let mut credentials = json!({
            "AccessKeyId": "ASIA", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": 1_795_197_600.0,
        });
        for (name, value) in changes.as_object().unwrap() {
            credentials[name] = value.clone();
        }
        json!({"AssumeRoleWithWebIdentityResponse": {"AssumeRoleWithWebIdentityResult": {"Credentials": credentials}}})
    };
    let verdict = |body: String| {
        let stage = Stage::new();
        stage.always(Instead::Answer(200, body));
        stage.prepare(&kind("aws", &json!({}))).is_ok()
    };
    for changes in
        [json!({}), json!({"Expiration": 1_795_197_600}), json!({"Expiration": "2026-11-20T18:00:00Z"})]
    {
        assert!(verdict(credentials(changes.clone()).to_string()), "{changes}");
    }
    for changes in [
        json!({"Expiration": null}),
        json!({"Expiration": 1e300}),
        json!({"Expiration": "soon"}),
        json!({"Expiration": 1_795_194_000}),
        json!({"AccessKeyId": ""}),
        json!({"SecretAccessKey": 1}),
        json!({"SessionToken": "a b"}),
    ] {
        assert!(!verdict(credentials(changes.clone()).to_string()), "{changes}");
    }
    let good = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
                <AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
                <Expiration>2026-11-20T18:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
                </AssumeRoleWithWebIdentityResponse>";
    assert!(verdict(good.to_owned()));
    for (from, to) in [
        ("<AccessKeyId>ASIA</AccessKeyId>", ""),
        ("<AccessKeyId>ASIA</AccessKeyId>", "<AccessKeyId>ASIA</AccessKeyId><AccessKeyId>ASIB</AccessKeyId>"),
        ("<AccessKeyId>", "<AccessKeyId><!-- -->"),
        ("<AccessKeyId>", "<AccessKeyId x=\"1\">"),
        ("ASIA", "<![CDATA[ASIA]]>"),
        ("ASIA", "&lol;"),
        ("ASIA", "&#65;"),
        ("ASIA", "A & B"),
        ("<AssumeRoleWithWebIdentityResponse>", "<!DOCTYPE a><AssumeRoleWithWebIdentityResponse>"),
        ("</Credentials>", ""),
        ("</Credentials>", "</credentials>"),
        ("</AssumeRoleWithWebIdentityResponse>", "</AssumeRoleWithWebIdentityResponse><a></a>"),
        ("<Credentials>", "<Credentials>text"),
        ("<Credentials>", "<Credentials><a><a><a><a><a><a></a></a></a></a></a></a>"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        assert!(!verdict(bad.clone()), "{bad}");
    }
}

#[test]
fn a_temporary_refusal_of_aws_is_tried_once_more_with_a_new_assertion() {
    let refusal = |code: &str, message: &str| {
        Instead::Answer(400, json!({"Error": {"Code": code, "Message": message}}).to_string())
    };
    for temporary in [
        refusal("IDPCommunicationError", "x"),
        refusal("InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider"),
    ] {
        let stage = Stage::new();
        stage.instead(std::slice::from_ref(&temporary));
        stage.prepare(&kind("aws", &json!({}))).unwrap();
        let asked = stage.providers.asked.borrow().clone();
        assert_eq!(asked.len(), 2);
        assert_ne!(asked[0].assertion()["jti"], asked[1].assertion()["jti"]);
        assert!(stage.lines().is_empty());

        let stage = Stage::new();
        stage.always(temporary);
        unavailable(&stage.prepare(&kind("aws", &json!({}))).unwrap_err(), 5);
        assert_eq!(stage.exchanges(), 2);
        assert_eq!(line(&stage)["reason"], "temporary");
    }
    let stage = Stage::new();
    stage.always(refusal("InvalidIdentityToken", "No OpenIDConnect provider found in your account"));
    stage.prepare(&kind("aws", &json!({}))).unwrap_err();
    assert_eq!(stage.exchanges(), 1);
}

#[test]
fn an_assertion_that_is_not_signed_is_its_own_line() {
    let stage = Stage::new();
    stage.keys.take();
    for (name, identity) in [("oauth", "identity"), ("assertion", "subject")] {
        let whose = if name == "oauth" { "caller-subject" } else { "caller" };
        let failure = stage.prepare(&kind(name, &json!({ identity: whose }))).unwrap_err();
        unavailable(&failure, 5);
    }
    assert_eq!(stage.exchanges(), 0);
    for (line, (kind, aud)) in stage
        .lines()
        .iter()
        .zip([("oauth", "https://auth.example.com"), ("assertion", "https://api.example.com")])
    {
        assert_eq!(
            (&line["message"], &line["level"]),
            (&json!("upstream assertion not signed"), &json!("error"))
        );
        assert_eq!((&line["upstream"], &line["kind"]), (&json!("acme-api"), &json!(kind)));
        assert_eq!((&line["sub"], &line["aud"]), (&json!(PRINCIPAL), &json!(aud)));
    }
    assert_eq!(stage.lines().len(), 2);
}

#[test]
fn with_a_callers_token_the_log_names_no_claims_of_ours() {
    let stage = Stage::new();
    stage.refuse(400, &json!({"error": "invalid_grant"}));
    let oauth = kind("oauth", &json!({"identity": "caller-token"}));
    let shown = Shown::token("caller.token.of-a-canary", &["https://auth.example.com"]);
    stage.prepare_as(&oauth, &shown).unwrap_err();
    let line = line(&stage);
    assert!(line.get("sub").is_none() && line.get("iss").is_none(), "{line}");
    assert!(!line.to_string().contains("canary"));
}
