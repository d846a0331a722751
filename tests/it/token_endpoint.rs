//! `POST /sts/token`, for installation tokens: RFC 8693 over the engine of `/sts/exchange`.

use http::{Method, Request};
use serde_json::json;

use crate::support::{Answer, World};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn form(parameters: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    pairs.join("&")
}

fn post(world: &World, body: &str) -> Answer {
    let request = Request::post("https://sts.example.com/sts/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.to_owned().into());
    world.send(request.unwrap())
}

/// A valid request with other values; `None` removes a parameter.
fn asking(world: &World, changes: &[(&str, Option<&str>)]) -> String {
    let token = world.token();
    let mut parameters = vec![
        ("grant_type", EXCHANGE),
        ("subject_token", token.as_str()),
        ("subject_token_type", ID_TOKEN),
        ("resource", "https://github.com/acme/app"),
        ("scope", "deploy"),
    ];
    for (name, value) in changes {
        parameters.retain(|(known, _)| known != name);
        if let Some(value) = value {
            parameters.push((name, value));
        }
    }
    form(&parameters)
}

pub(crate) fn ask(world: &World, changes: &[(&str, Option<&str>)]) -> Answer {
    post(world, &asking(world, changes))
}

#[test]
fn an_installation_token_is_issued_as_rfc_8693_says() {
    let world = World::new();
    let answer = ask(&world, &[]);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = &answer.body;
    let token = body["access_token"].as_str().unwrap();
    assert!(token.starts_with("ghs_"));
    assert_eq!(
        (&body["issued_token_type"], &body["token_type"], &body["scope"]),
        (&json!(ACCESS_TOKEN), &json!("Bearer"), &json!("deploy contents:read"))
    );
    assert_eq!(
        (&body["permissions"], &body["repositories"]),
        (&json!({ "contents": "read" }), &json!(["app"]))
    );
    assert!(body["expires_in"].as_u64().is_some() && body["expires_at"].is_string());
    assert_eq!(body["request_id"], answer.header("x-request-id").unwrap());
    assert_eq!(body.get("token"), None);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.header("x-octo-sts-policy").is_some());
    let event = world.event();
    assert_eq!(
        (&event["event"], &event["endpoint"], &event["outcome"], &event["scope"], &event["identity"]),
        (&json!("exchange"), &json!("token"), &json!("granted"), &json!("acme/app"), &json!("deploy"))
    );
    for (changes, scope) in [
        (
            &[("subject_token_type", Some(JWT)), ("requested_token_type", Some(ACCESS_TOKEN))][..],
            "deploy contents:read",
        ),
        (&[("scope", Some("contents:read deploy"))], "deploy contents:read"),
        (&[("resource", Some("https://github.com/ACME/App"))], "deploy contents:read"),
        (&[("unknown", Some("x"))], "deploy contents:read"),
    ] {
        let answer = ask(&world, changes);
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.body["scope"], scope);
    }
}

#[test]
fn each_fault_of_a_request_has_its_error_and_the_first_of_several_is_told() {
    let world = World::new();
    let twice = |name: &str| format!("{}&{name}=x", asking(&world, &[(name, Some("x"))]));
    let faults: Vec<(String, &str)> = vec![
        (asking(&world, &[("grant_type", None)]), "unsupported_grant_type"),
        (asking(&world, &[("grant_type", Some("client_credentials"))]), "unsupported_grant_type"),
        (asking(&world, &[("subject_token", None)]), "invalid_request"),
        (asking(&world, &[("subject_token", Some(""))]), "invalid_request"),
        (asking(&world, &[("subject_token_type", None)]), "invalid_request"),
        (asking(&world, &[("subject_token_type", Some(ACCESS_TOKEN))]), "invalid_request"),
        (asking(&world, &[("resource", None)]), "invalid_target"),
        (asking(&world, &[("resource", Some(""))]), "invalid_target"),
        (asking(&world, &[("resource", Some("https://gitlab.com/acme/app"))]), "invalid_target"),
        (asking(&world, &[("resource", Some("https://github.com"))]), "invalid_target"),
        (asking(&world, &[("resource", Some("https://github.com/acme/app/"))]), "invalid_target"),
        (asking(&world, &[("resource", Some("https://github.com/acme/app.git"))]), "invalid_target"),
        (asking(&world, &[("resource", Some("HTTPS://github.com/acme/app"))]), "invalid_target"),
        (asking(&world, &[("resource", Some("https://github.com/acme/../b"))]), "invalid_target"),
        (asking(&world, &[("resource", Some("https://sts.example.com/proxy/Big"))]), "invalid_target"),
        (asking(&world, &[("scope", None)]), "invalid_scope"),
        (asking(&world, &[("scope", Some(""))]), "invalid_scope"),
        (asking(&world, &[("scope", Some("deploy  contents:read"))]), "invalid_scope"),
        (asking(&world, &[("scope", Some(" deploy"))]), "invalid_scope"),
        (asking(&world, &[("scope", Some("deploy other"))]), "invalid_scope"),
        (asking(&world, &[("scope", Some("contents:read"))]), "invalid_scope"),
        (asking(&world, &[("scope", Some("de/ploy"))]), "invalid_scope"),
        (asking(&world, &[("scope", Some("deploy contents:owner"))]), "invalid_scope"),
        (asking(&world, &[("scope", Some("deploy contents:read contents:read"))]), "invalid_scope"),
        (asking(&world, &[("requested_token_type", Some(JWT))]), "invalid_request"),
        (asking(&world, &[("requested_token_type", Some(""))]), "invalid_request"),
        (asking(&world, &[("audience", Some(""))]), "invalid_request"),
        (asking(&world, &[("actor_token", Some("x"))]), "invalid_request"),
        (asking(&world, &[("actor_token_type", Some("x"))]), "invalid_request"),
        (twice("grant_type"), "invalid_request"),
        (twice("scope"), "invalid_request"),
        (twice("audience"), "invalid_request"),
        (format!("{}&x=%zz", asking(&world, &[])), "invalid_request"),
        (format!("{}&x=%ff", asking(&world, &[])), "invalid_request"),
        // The order of the table, not of the form.
        (asking(&world, &[("audience", Some("x")), ("scope", None)]), "invalid_scope"),
        (asking(&world, &[("scope", None), ("resource", None)]), "invalid_target"),
        (asking(&world, &[("resource", None), ("subject_token", None)]), "invalid_request"),
        (asking(&world, &[("subject_token", None), ("grant_type", None)]), "unsupported_grant_type"),
    ];
    for (body, error) in &faults {
        let answer = post(&world, body);
        answer.is(400, error);
        assert_eq!(answer.body["code"], 3, "{}", answer.text);
        assert_eq!(answer.sent.len(), 0, "{body}");
        assert_eq!(answer.header("www-authenticate"), None);
        assert_eq!(world.event()["outcome"], *error);
    }
    assert_eq!(world.events().len(), faults.len());
}

#[test]
fn only_a_form_in_the_body_is_read() {
    let world = World::new();
    let good = asking(&world, &[]);
    let send = |content_type: &str, body: &str, target: &str| {
        world.call(Method::POST, target, &[("content-type", content_type)], body)
    };
    send("application/json", &good, "/sts/token").is(415, "unsupported_media_type");
    send("", &good, "/sts/token").is(415, "unsupported_media_type");
    let large = format!("{good}&x={}", "y".repeat(64 * 1024));
    send("application/x-www-form-urlencoded", &large, "/sts/token").is(413, "payload_too_large");
    let query = format!("/sts/token?{good}");
    send("application/x-www-form-urlencoded", "", &query).is(400, "unsupported_grant_type");
    let answer = send("Application/X-WWW-Form-Urlencoded; charset=utf-8", &good, "/sts/token?grant_type=x");
    assert_eq!(answer.status, 200, "{}", answer.text);
    for method in [Method::GET, Method::HEAD, Method::PUT] {
        let answer = world.call(method, "/sts/token", &[], "");
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some("POST")));
    }
    // A header must not contain a token here.
    let bearer = format!("Bearer {}", world.token());
    let without = asking(&world, &[("subject_token", None)]);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    world.call(Method::POST, "/sts/token", &headers, &without).is(400, "invalid_request");
}

#[test]
fn refusals_are_those_of_the_exchange_but_for_a_bad_token() {
    let world = World::new();
    let expired = world.token_with(&json!({ "exp": world.now() - 1 }));
    let answer = ask(&world, &[("subject_token", Some(&expired))]);
    answer.is(400, "invalid_grant");
    assert_eq!((&answer.body["code"], answer.header("www-authenticate")), (&json!(16), None));
    assert_eq!(world.event()["outcome"], "invalid_grant");
    ask(&world, &[("subject_token", Some("x"))]).is(400, "invalid_grant");
    let other = world.token_with(&json!({ "sub": "repo:acme/app:ref:refs/heads/dev" }));
    ask(&world, &[("subject_token", Some(&other))]).is(403, "permission_denied");
    ask(&world, &[("scope", Some("absent"))]).is(404, "policy_not_found");
    ask(&world, &[("resource", Some("https://github.com/other/app"))]).is(404, "installation_not_found");
    let narrowed = ask(&world, &[("scope", Some("deploy contents:write"))]);
    narrowed.is(403, "permission_denied");
    assert_eq!(narrowed.message(), "the policy does not grant `contents:write`");
    assert_eq!(world.event()["requested"], json!({ "permissions": { "contents": "write" } }));
}

#[test]
fn the_target_is_the_github_that_people_open() {
    let world = World::with_settings(&[("GITHUB_BASE_URL", "https://github.example.com/api/v3")]);
    ask(&world, &[]).is(400, "invalid_target");
    let target = Some("https://github.example.com/acme/app");
    ask(&world, &[("resource", target), ("scope", None)]).is(400, "invalid_scope");
}

#[test]
fn limits_and_single_use_hold_here_too() {
    let world = World::with_settings(&[("SINGLE_USE_TOKENS", "true")]);
    let body = asking(&world, &[]);
    assert_eq!(post(&world, &body).status, 200);
    post(&world, &body).is(400, "invalid_grant");
    let world = World::new().limited("RATE_LIMIT_IDENTITY", 1);
    assert_eq!(ask(&world, &[]).status, 200);
    let limited = ask(&world, &[]);
    limited.is(429, "rate_limited");
    assert!(limited.header("retry-after").is_some());
}
