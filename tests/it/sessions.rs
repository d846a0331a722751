//! Sessions of the proxy at the token endpoint: how they begin and how they end.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, Request};
use octo_sts_worker::ports::BudgetError;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::keys::issuer_key_pem;
use crate::support::{Answer, World, proxy};

const UPSTREAMS: &str = r#"{"models": {
    "url": "https://models.example.com",
    "credential": {"secret": {"name": "MODELS_KEY"}},
    "allow": [{"issuer": "https://token.actions.githubusercontent.com", "subject_pattern": "repo:acme/app:.*"}],
    "max_session_seconds": 7200,
    "max_token_age_seconds": 600
}}"#;

const AUDIENCE: &str = "https://sts.example.com/proxy/models";

fn settings() -> Vec<(&'static str, String)> {
    vec![
        ("ISSUER_PRIVATE_KEY", issuer_key_pem("current")),
        ("UPSTREAMS", UPSTREAMS.to_owned()),
        ("MODELS_KEY", "sk-models-0123456789".to_owned()),
    ]
}

pub(crate) fn world_with(changes: &[(&'static str, &str)]) -> World {
    let mut all = settings();
    all.extend(changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let all: Vec<(&'static str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
    World::with_settings(&all)
}

pub(crate) fn subject_token(world: &World) -> String {
    world.token_with(&json!({ "aud": AUDIENCE }))
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

pub(crate) fn ask(world: &World, token: &str, upstream: &str, more: &str) -> Answer {
    let body = format!(
        "grant_type={}&subject_token={}&subject_token_type={}&resource={}{more}",
        encoded("urn:ietf:params:oauth:grant-type:token-exchange"),
        encoded(token),
        encoded("urn:ietf:params:oauth:token-type:id_token"),
        encoded(&format!("https://sts.example.com/proxy/{upstream}")),
    );
    let request = Request::post("https://sts.example.com/sts/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.into());
    world.send(request.unwrap())
}

pub(crate) fn begin(world: &World) -> String {
    let answer = ask(world, &subject_token(world), "models", "");
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["access_token"].as_str().unwrap().to_owned()
}

pub(crate) fn revoke(world: &World, credential: &str) -> Answer {
    world.call(Method::POST, "/sts/revoke", &[("authorization", &format!("Bearer {credential}"))], "")
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn a_session_token_says_who_began_it_and_for_which_upstream() {
    let world = world_with(&[]);
    let subject = subject_token(&world);
    let answer = ask(&world, &subject, "models", "");
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = &answer.body;
    let token = body["access_token"].as_str().unwrap();
    let members: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["access_token", "expires_in", "issued_token_type", "token_type"]);
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(7200)));
    assert_eq!(body["issued_token_type"], "urn:ietf:params:oauth:token-type:jwt");
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let header = part(token, 0);
    let kid = world.call(Method::GET, "/.well-known/jwks.json", &[], "").body["keys"][0]["kid"].clone();
    assert_eq!(header, json!({ "alg": "RS256", "kid": kid, "typ": "octo-sts-session+jwt" }));
    let claims = part(token, 1);
    let now = world.now();
    let signed = subject.rsplit_once('.').unwrap().0;
    assert_eq!(claims["iss"], "https://sts.example.com");
    assert_eq!(claims["aud"], AUDIENCE);
    assert_eq!(claims["sub"], "token.actions.githubusercontent.com|repo:acme/app:ref:refs/heads/main");
    assert_eq!((&claims["iat"], &claims["nbf"]), (&json!(now), &json!(now - 60)));
    assert_eq!(claims["exp"], now + 7200);
    assert_eq!(claims["source"], part(&subject, 1));
    assert_eq!(claims["source_token"], URL_SAFE_NO_PAD.encode(Sha256::digest(signed)));
    assert_eq!(claims["jti"].as_str().unwrap().len(), 36);
    assert_eq!(claims.as_object().unwrap().len(), 9);

    let event = world.event();
    assert_eq!(
        (&event["event"], &event["endpoint"], &event["outcome"], &event["upstream"]),
        (&json!("session"), &json!("token"), &json!("granted"), &json!("models"))
    );
    assert_eq!(event["token_sha256"], hex::encode(Sha256::digest(token)));
    let answer = proxy::Answer::Head(200, &[]);
    world.proxied_raw("GET", "/proxy/models/a", &[("x-api-key", token)], &answer).passed();
    assert_eq!(
        world.event()["session_sha256"],
        event["token_sha256"],
        "whoever reads both knows which is which"
    );
    assert!(
        event["expires_at"].is_string() && event.get("scope").is_none() && event.get("identity").is_none()
    );
    assert_eq!(world.signatures.signed.get(), 1);
    assert!(world.network.requests.borrow().iter().all(|sent| !sent.path.contains("/access_tokens")));
}

#[test]
fn the_beginning_of_a_session_reaches_the_ingress_with_a_type_of_its_own() {
    let world = world_with(&[("EVENT_INGRESS_URI", "https://events.example.com/")]);
    begin(&world);
    ask(&world, "x", "models", "").is(400, "invalid_grant");
    let events = world.network.ingress.borrow();
    let told: Vec<_> = events.iter().map(|event| (&event["type"], &event["data"]["outcome"])).collect();
    let kind = json!("dev.octo-sts.session");
    assert_eq!(told, [(&kind, &json!("granted")), (&kind, &json!("invalid_grant"))]);
}

#[test]
fn a_session_is_refused_in_the_order_of_the_page() {
    // Refused before any token is read.
    let answer = ask(&world_with(&[("ISSUER_PRIVATE_KEY", "")]), "x", "models", "");
    answer.is(501, "not_configured");
    assert_eq!(answer.body["code"], 12);
    assert!(answer.message().contains("`ISSUER_PRIVATE_KEY`"));
    ask(&world_with(&[("ISSUER_PRIVATE_KEY", "garbage")]), "x", "models", "").is(500, "misconfigured");
    ask(&world_with(&[("UPSTREAMS", "garbage")]), "x", "models", "").is(500, "misconfigured");
    let unbound = world_with(&[]).without("PROXY_BUDGETS");
    ask(&unbound, "x", "models", "").is(500, "misconfigured");

    let world = world_with(&[]);
    ask(&world, "x", "models", "").is(400, "invalid_grant");
    ask(&world, "x", "models", "&scope=x").is(400, "invalid_scope");
    ask(&world, "x", "absent", "").is(400, "invalid_grant");
    ask(&world, &subject_token(&world), "absent", "").is(404, "not_found");
    assert_eq!(world.event()["event"], "session");
    let other = world.token();
    ask(&world, &other, "models", "").is(403, "permission_denied");
    let old = json!({ "aud": AUDIENCE, "iat": world.now() - 601, "exp": world.now() + 60 });
    ask(&world, &world.token_with(&old), "models", "").is(400, "invalid_grant");

    // Without upstreams none exists.
    let none = world_with(&[("UPSTREAMS", "")]);
    ask(&none, &subject_token(&none), "models", "").is(404, "not_found");
    // A missing secret does not matter yet, and GitHub's address does not matter at all.
    begin(&world_with(&[("MODELS_KEY", "")]));
    begin(&world_with(&[("GITHUB_BASE_URL", "garbage"), ("GITHUB_APP_ID", "")]));
}

#[test]
fn what_would_not_fit_is_denied() {
    let world = world_with(&[]);
    let long =
        world.token_with(&json!({ "aud": AUDIENCE, "sub": format!("repo:acme/app:{}", "x".repeat(230)) }));
    let answer = ask(&world, &long, "models", "");
    answer.is(403, "permission_denied");
    assert!(answer.message().contains("too long"), "{}", answer.text);
    let large = world.token_with(&json!({ "aud": AUDIENCE, "x": "y".repeat(8 * 1024) }));
    ask(&world, &large, "models", "").is(403, "permission_denied");
    let mut deep = json!(1);
    for _ in 0..15 {
        deep = json!([deep]);
    }
    let deep = world.token_with(&json!({ "aud": AUDIENCE, "x": deep }));
    ask(&world, &deep, "models", "").is(403, "permission_denied");
}

#[test]
fn a_session_uses_its_subject_token_up() {
    for rule in ["true", "writes"] {
        let world = world_with(&[("SINGLE_USE_TOKENS", rule)]);
        let token = subject_token(&world);
        *world.budgets.fault.borrow_mut() = Some(Err(BudgetError("moved".to_owned())));
        let answer = ask(&world, &token, "models", "");
        answer.is(503, "unavailable");
        assert!(answer.header("retry-after").is_some());
        *world.budgets.fault.borrow_mut() = None;
        assert_eq!(ask(&world, &token, "models", "").status, 200);
        ask(&world, &token, "models", "").is(400, "invalid_grant");
    }
}

#[test]
fn a_revoked_session_takes_its_subject_token_along() {
    let world = world_with(&[]);
    let subject = subject_token(&world);
    let session = ask(&world, &subject, "models", "").body["access_token"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        let answer = revoke(&world, &session);
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
        assert_eq!(answer.sent.len(), 0);
    }
    assert_eq!(world.event()["outcome"], "revoked");
    assert_eq!(world.event()["token_sha256"], hex::encode(Sha256::digest(&session)));
    ask(&world, &subject, "models", "").is(400, "invalid_grant");
    let another = world.token_with(&json!({ "aud": AUDIENCE, "jti": "another" }));
    assert_eq!(ask(&world, &another, "models", "").status, 200);
}

#[test]
fn what_cannot_be_revoked_says_why() {
    let world = world_with(&[]);
    let session = begin(&world);
    let (input, _) = session.rsplit_once('.').unwrap();
    revoke(&world, &format!("{input}.{}", "A".repeat(342))).is(401, "invalid_token");
    let own = world.token_with(&json!({ "iss": "https://sts.example.com" }));
    revoke(&world, &own).is(401, "invalid_token");
    revoke(&world, &world.token()).is(400, "invalid_request");
    *world.budgets.fault.borrow_mut() = Some(Err(BudgetError("moved".to_owned())));
    revoke(&world, &session).is(503, "unavailable");
    *world.budgets.fault.borrow_mut() = None;
    world.advance(2 * 3600 + 1);
    assert_eq!(revoke(&world, &session).status, 204, "one that is over");

    // Without a key, its origin is unknown.
    revoke(&World::new(), &session).is(400, "invalid_request");
    let gone = world_with(&[("UPSTREAMS", "")]);
    assert_eq!(revoke(&gone, &begin(&world_with(&[]))).status, 204, "whose upstream is gone");
    revoke(&world_with(&[("UPSTREAMS", "garbage")]), &begin(&world_with(&[]))).is(500, "misconfigured");
    let unbound = world_with(&[]).without("PROXY_BUDGETS");
    revoke(&unbound, &begin(&world_with(&[]))).is(500, "misconfigured");
    // This affects only sessions.
    revoke(&unbound, "ghs_0123456789abcdef");
    assert_eq!(unbound.event()["outcome"], "revoked");
}

/// A subject token may outlive its session; its budget does not start again.
#[test]
fn a_budget_is_not_forgotten_while_its_subject_token_lives() {
    let upstreams = UPSTREAMS
        .replace(r#""max_token_age_seconds": 600"#, r#""budget_per": "token", "max_requests": 1"#)
        .replace("7200", "60");
    let world = world_with(&[("UPSTREAMS", &upstreams)]);
    let subject = world.token_with(&json!({ "aud": AUDIENCE, "exp": world.now() + 4 * 3600 }));
    let session = ask(&world, &subject, "models", "").body["access_token"].as_str().unwrap().to_owned();
    let proxied = |token: &str| {
        world.proxied_raw("GET", "/proxy/models/a", &[("x-api-key", token)], &proxy::Answer::Head(200, &[]))
    };
    assert_eq!(proxied(&session).status, 200);
    world.advance(200);
    proxied(&subject).is(403, "budget_exhausted");
    world.advance(4 * 3600 - 200);
    proxied(&subject).is(401, "invalid_token");
    world.advance(60);
    assert_eq!(world.budgets.stored(), 0);
}
