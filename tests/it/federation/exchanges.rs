//! Each kind: what is requested, with whose assertion, and what the upstream gets.

use octo_sts_worker::federation::Failure;
use octo_sts_worker::time::Timestamp;
use serde_json::{Value, json};

use super::stage::{PRINCIPAL, SUBJECT, Shown, Stage, bearer, claims_of, kind};

const GOOGLE: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/sts";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// The last exchange's members without the assertion, whose claims are checked.
#[track_caller]
fn asked(stage: &Stage, assertion: &str, audience: &str, lifetime: i64) -> Value {
    let asked = stage.last();
    assert_eq!(asked.timeout.as_secs(), 10);
    assert_eq!(asked.max_body, 64 * 1024);
    let claims = asked.assertion();
    assert_eq!(claims["iss"], "https://sts.example.com");
    assert_eq!(claims["sub"], "upstream:acme-api");
    assert_eq!(claims["aud"], audience);
    // For a verifier whose clock is behind by a minute.
    assert_eq!(claims["nbf"].as_i64().unwrap(), claims["iat"].as_i64().unwrap() - 60);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), lifetime);
    let mut members = asked.members;
    assert_eq!(claims_of(&members.remove(assertion).expect("the assertion")), claims);
    json!(members)
}

#[test]
fn anthropic_is_asked_for_a_token_of_a_service_account() {
    let stage = Stage::new();
    let prepared = stage.prepare(&kind("anthropic", &json!({"workspace_id": "wrkspc_1"}))).unwrap();
    assert!(bearer(&prepared).starts_with("Bearer anthropic-token-"));
    assert_eq!(prepared.headers.remove, ["x-api-key", "anthropic-workspace-id"]);
    assert_eq!(prepared.headers.merge, [("anthropic-beta", "oauth-2025-04-20")]);
    assert_eq!(prepared.headers.if_absent, [("anthropic-version", "2023-06-01")]);
    assert!(prepared.headers.signer.is_none());
    let members = asked(&stage, "assertion", "https://api.anthropic.com", 1800);
    assert_eq!(
        members,
        json!({
            "grant_type": JWT_BEARER,
            "federation_rule_id": "fdrl_1",
            "organization_id": "0e1c2c8b-4b2c-4d3f-9d3a-3f1f3f0d3c11",
            "service_account_id": "svac_1",
            "workspace_id": "wrkspc_1",
        })
    );
    let sent = stage.last();
    assert_eq!(sent.url, "https://api.anthropic.com/v1/oauth/token");
    assert_eq!(sent.header("content-type"), "application/json");
    assert_eq!(sent.header("anthropic-beta"), "oauth-2025-04-20,oidc-federation-2026-04-01");

    let stage = Stage::new();
    stage.prepare(&kind("anthropic", &json!({}))).unwrap();
    assert!(asked(&stage, "assertion", "https://api.anthropic.com", 1800).get("workspace_id").is_none());
}

#[test]
fn openai_is_asked_for_a_token_exchange() {
    let stage = Stage::new();
    let prepared = stage.prepare(&kind("openai", &json!({}))).unwrap();
    assert!(bearer(&prepared).starts_with("Bearer openai-token-"));
    assert!(
        prepared.headers.remove.is_empty()
            && prepared.headers.merge.is_empty()
            && prepared.headers.if_absent.is_empty()
    );
    assert_eq!(
        asked(&stage, "subject_token", "https://openai.example.com", 3600),
        json!({
            "grant_type": TOKEN_EXCHANGE,
            "subject_token_type": JWT,
            "identity_provider_id": "idp_1",
            "service_account_id": "sa_1",
        })
    );
    assert_eq!(stage.last().header("content-type"), "application/json");
}

#[test]
fn google_gives_its_token_in_one_leg() {
    let stage = Stage::new();
    let scopes = json!({"scopes": ["https://www.googleapis.com/auth/a", "b"]});
    assert!(stage.bearer(&kind("google", &scopes)).starts_with("Bearer google-token-"));
    assert_eq!(
        asked(&stage, "subject_token", &format!("https:{GOOGLE}"), 3600),
        json!({
            "grant_type": TOKEN_EXCHANGE,
            "audience": GOOGLE,
            "scope": "https://www.googleapis.com/auth/a b",
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token_type": JWT,
        })
    );
    assert_eq!(stage.last().header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(stage.exchanges(), 1);
}

#[test]
fn google_gives_a_service_accounts_token_in_two() {
    let stage = Stage::new();
    let account = json!({"service_account": "sts@acme.iam.gserviceaccount.com", "scopes": ["a", "b"]});
    assert!(stage.bearer(&kind("google", &account)).starts_with("Bearer account-token-"));
    assert_eq!(stage.exchanges(), 2);
    let first = stage.providers.asked.borrow()[0].clone();
    assert_eq!(first.members["scope"], "https://www.googleapis.com/auth/cloud-platform");
    assert_eq!(first.assertion()["exp"].as_i64().unwrap() - first.assertion()["iat"].as_i64().unwrap(), 300);
    let second = stage.last();
    assert_eq!(
        second.url,
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/sts%40acme.iam.gserviceaccount.com:\
         generateAccessToken"
    );
    assert_eq!(second.body, r#"{"scope":["a","b"]}"#);
    assert!(second.headers["authorization"].is_sensitive());
    assert_eq!((second.timeout.as_secs(), second.max_body), (10, 64 * 1024));
}

#[test]
fn azure_takes_the_assertion_for_a_clients_secret() {
    let stage = Stage::new();
    assert!(stage.bearer(&kind("azure", &json!({}))).starts_with("Bearer azure-token-"));
    assert_eq!(
        asked(&stage, "client_assertion", "api://AzureADTokenExchange", 300),
        json!({
            "grant_type": "client_credentials",
            "client_id": "c",
            "scope": "https://api.example.com/.default",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        })
    );
    assert_eq!(stage.last().header("content-type"), "application/x-www-form-urlencoded");
}

#[test]
fn any_other_provider_is_a_setting() {
    let more = json!({"federation_policy_id": "p&1", "audience": "ä b"});
    for (grant, encoding, assertion) in [
        ("token-exchange", "form", "subject_token"),
        ("token-exchange", "json", "subject_token"),
        ("jwt-bearer", "form", "assertion"),
        ("jwt-bearer", "json", "assertion"),
    ] {
        let stage = Stage::new();
        let oauth = kind(
            "oauth",
            &json!({
                "grant": grant, "encoding": encoding, "assertion_seconds": 90, "parameters": more,
                "headers": {"X-Tenant": "acme", "x-version": "1"},
            }),
        );
        assert!(stage.bearer(&oauth).starts_with("Bearer oauth-token-"));
        let mut expected = more.clone();
        if grant == "token-exchange" {
            expected["grant_type"] = TOKEN_EXCHANGE.into();
            expected["subject_token_type"] = JWT.into();
        } else {
            expected["grant_type"] = JWT_BEARER.into();
        }
        assert_eq!(asked(&stage, assertion, "https://auth.example.com", 90), expected);
        let sent = stage.last();
        assert_eq!((sent.header("x-tenant"), sent.header("x-version")), ("acme", "1"));
        let is_form = sent.header("content-type") == "application/x-www-form-urlencoded";
        assert_eq!(is_form, encoding == "form");
    }
}

#[test]
fn aws_gives_a_session_in_json_and_in_xml() {
    for xml in [false, true] {
        let stage = Stage::new();
        stage.providers.xml.set(xml);
        let prepared = stage.prepare(&kind("aws", &json!({"session_seconds": 900}))).unwrap();
        assert_eq!(
            asked(&stage, "WebIdentityToken", "sts.amazonaws.com", 300),
            json!({
                "Action": "AssumeRoleWithWebIdentity",
                "Version": "2011-06-15",
                "RoleArn": "arn:aws:iam::123456789012:role/sts",
                "RoleSessionName": "sts-acme-api",
                "DurationSeconds": "900",
            })
        );
        assert_eq!(stage.last().header("content-type"), "application/x-www-form-urlencoded");
        assert!(prepared.headers.set.is_empty());
        assert_eq!(prepared.headers.remove, ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256"]);
        let now = Timestamp::from_unix_seconds(stage.world.now()).unwrap();
        let url = "https://bedrock-runtime.eu-central-1.amazonaws.com/model/a%3A1/invoke";
        let set = prepared.headers.signer.unwrap().sign("POST", url, &[], "hash", now).unwrap();
        let of = |name: &str| set.iter().find(|(known, _)| known == name).unwrap().1.expose();
        assert!(of("authorization").starts_with("AWS4-HMAC-SHA256 Credential=aws-id-token-"));
        assert!(of("authorization").contains("/20261120/eu-central-1/bedrock/aws4_request, "));
        assert!(of("x-amz-security-token").starts_with("aws-session-token-"));
    }
}

#[test]
fn bedrocks_key_is_a_bearer_token_for_the_rest_of_the_session() {
    use base64::Engine as _;
    let stage = Stage::new();
    stage.providers.life.set(3600);
    let bedrock = kind("aws", &json!({"sign": "bedrock-key"}));
    let bearer = stage.bearer(&bedrock);
    let key = bearer.strip_prefix("Bearer bedrock-api-key-").unwrap();
    let url = base64::engine::general_purpose::STANDARD.decode(key).unwrap();
    let url = String::from_utf8(url).unwrap();
    assert!(url.starts_with("bedrock.amazonaws.com/?Action=CallWithBearerToken&"), "{url}");
    assert!(url.contains("&X-Amz-Expires=3600&"), "{url}");
    assert!(url.ends_with("&Version=1"), "{url}");
    stage.advance(1000);
    assert_eq!(stage.bearer(&bedrock), bearer, "made once for a session");
    assert!(!bedrock.signs_bodies());
}

#[test]
fn an_assertion_goes_to_the_upstream_as_it_is_and_is_used_again_until_its_last_minute() {
    let stage = Stage::new();
    let assertion = kind("assertion", &json!({}));
    let first = stage.bearer(&assertion);
    let claims = claims_of(first.strip_prefix("Bearer ").unwrap());
    assert_eq!(
        (&claims["sub"], &claims["aud"]),
        (&json!("upstream:acme-api"), &json!("https://api.example.com"))
    );
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
    stage.advance(239);
    assert_eq!(stage.bearer(&assertion), first);
    stage.advance(1);
    assert_ne!(stage.bearer(&assertion), first);
    let caller = kind("assertion", &json!({"subject": "caller"}));
    let claims = claims_of(stage.bearer(&caller).strip_prefix("Bearer ").unwrap());
    assert_eq!(claims["sub"], PRINCIPAL);
    assert_eq!(stage.exchanges(), 0);
}

#[test]
fn a_stored_secret_goes_into_its_header_as_it_is() {
    for (members, name, value) in [
        (json!({}), "authorization", "Bearer a stored canary"),
        (json!({"prefix": "Token "}), "authorization", "Token a stored canary"),
        (json!({"prefix": ""}), "authorization", "a stored canary"),
        (json!({"header": "X-Api-Key"}), "x-api-key", "a stored canary"),
        (json!({"header": "X-Api-Key", "prefix": "key="}), "x-api-key", "key=a stored canary"),
    ] {
        let stage = Stage::new();
        let prepared = stage.prepare(&kind("secret", &members)).unwrap();
        let (header, secret) = &prepared.headers.set[0];
        assert_eq!((header.as_str(), secret.expose()), (name, value));
        assert_eq!(prepared.headers.set.len(), 1);
        assert_eq!(stage.exchanges(), 0);
    }
}

#[test]
fn a_callers_subject_names_the_calling_principal_and_its_sessions_are_its_own() {
    let stage = Stage::new();
    let aws = kind("aws", &json!({"identity": "caller-subject"}));
    let mut names = Vec::new();
    for subject in [SUBJECT, "repo:acme/app:ref:refs/heads/other"] {
        stage.prepare_as(&aws, &Shown::subject(subject)).unwrap();
        let asked = stage.last();
        let principal = format!("token.actions.githubusercontent.com|{subject}");
        assert_eq!(asked.assertion()["sub"], principal);
        let name = asked.members["RoleSessionName"].clone();
        assert!(name.starts_with("sts-acme-api-") && name.len() <= 64, "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b)), "{name}");
        names.push(name);
    }
    assert_ne!(names[0], names[1]);
    assert_eq!(stage.exchanges(), 2);
    stage.prepare_as(&aws, &Shown::subject(SUBJECT)).unwrap();
    assert_eq!(stage.exchanges(), 2);
}

#[test]
fn a_principal_that_is_too_long_for_a_subject_is_refused() {
    let stage = Stage::new();
    let oauth = kind("oauth", &json!({"identity": "caller-subject"}));
    let room = 255 - "token.actions.githubusercontent.com|".len();
    assert!(stage.prepare_as(&oauth, &Shown::subject(&"ä".repeat(room))).is_ok());
    let refused = stage.prepare_as(&oauth, &Shown::subject(&"ä".repeat(room + 1))).unwrap_err();
    assert!(matches!(&refused, Failure::Subject(_)), "{refused:?}");
    assert_eq!(
        refused.message(),
        "the subject is too long: the token's issuer and subject together have more than 255 characters"
    );
    assert_eq!(stage.exchanges(), 1);
}

#[test]
fn a_callers_token_is_traded_itself_if_it_is_for_the_provider() {
    let stage = Stage::new();
    let oauth = kind("oauth", &json!({"identity": "caller-token"}));
    let shown = Shown::token("caller.token.1", &["other", "https://auth.example.com"]);
    assert!(bearer(&stage.prepare_as(&oauth, &shown).unwrap()).starts_with("Bearer oauth-token-"));
    assert_eq!(stage.last().members["assertion"], "caller.token.1");
    stage.prepare_as(&oauth, &shown).unwrap();
    assert_eq!(stage.exchanges(), 1, "kept for the token");
    stage.prepare_as(&oauth, &Shown::token("caller.token.2", &["https://auth.example.com"])).unwrap();
    assert_eq!(stage.exchanges(), 2, "and for no other");

    for shown in
        [Shown::session(), Shown::token("caller.token.3", &["https://auth.example.com/", "sts.example.com"])]
    {
        let refused = stage.prepare_as(&oauth, &shown).unwrap_err();
        assert!(matches!(refused, Failure::CallerToken(_)), "{refused:?}");
    }
    let refused =
        stage.prepare_as(&oauth, &Shown::token("caller.token.3", &["sts.example.com"])).unwrap_err();
    assert_eq!(refused.message(), "this upstream takes a token with the audience `https://auth.example.com`");
    assert_eq!(stage.exchanges(), 2);
}

#[test]
fn googles_audience_is_taken_with_a_scheme_and_without() {
    let stage = Stage::new();
    let google = kind("google", &json!({"identity": "caller-token"}));
    for (index, audience) in [GOOGLE.to_owned(), format!("https:{GOOGLE}")].iter().enumerate() {
        stage.prepare_as(&google, &Shown::token(&format!("caller.token.{index}"), &[audience])).unwrap();
    }
    let refused = stage.prepare_as(&google, &Shown::token("caller.token.3", &[&format!("http:{GOOGLE}")]));
    assert!(matches!(refused.unwrap_err(), Failure::CallerToken(_)));
    assert_eq!(stage.exchanges(), 2);
}
