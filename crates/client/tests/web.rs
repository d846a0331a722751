//! The layer and the extractor: what a request gets, and the errors it sees.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use axum::body::{Body, to_bytes};
use axum::routing::get;
use axum::{Extension, Router};
use http::{Request, Response};
use octo_sts::axum::{Verified, VerifiedGitHub};
use octo_sts::tower::RequireToken;
use octo_sts::{VerifiedClaims, Verifier};
use serde_json::Value;
use support::{ISSUER, Key, Mood, World, claims};
use tower::ServiceExt as _;

const RULE: &str = "issuer: https://issuer.example.com\nsubject_pattern: repo:acme/[^:]+:ref:refs/heads/main\n\
                    claim_pattern: {event_name: push}\n";

fn extractor(verifier: Verifier) -> Router {
    async fn who(Verified(token): Verified, VerifiedGitHub(github): VerifiedGitHub) -> String {
        format!("{} {}", token.claims().subject(), github.repository_id.unwrap_or_default())
    }
    async fn maybe(token: Option<Verified>) -> &'static str {
        if token.is_some() { "somebody" } else { "nobody" }
    }
    Router::new().route("/", get(who)).route("/maybe", get(maybe)).with_state(verifier)
}

fn layer(verifier: Verifier) -> Router {
    async fn who(Extension(token): Extension<VerifiedClaims>) -> String {
        format!("{} {}", token.claims().subject(), 74)
    }
    Router::new().route("/", get(who)).layer(RequireToken::new(verifier))
}

async fn ask(app: &Router, path: &str, authorization: Option<&str>) -> Response<Body> {
    let mut request = Request::builder().uri(path);
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(to_bytes(response.into_body(), 10_000).await.unwrap().to_vec()).unwrap()
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_good_token_passes_and_a_bad_one_is_told_nothing() {
    let (key, stranger) = (Key::generate("a"), Key::generate("a"));
    let world = World::new(&[&key]);
    let good = claims(ISSUER, world.now());
    let mut expired = good.clone();
    expired["exp"] = world.now().into();
    for app in [extractor(world.verifier()), layer(world.verifier())] {
        let response = ask(&app, "/", Some(&format!("Bearer {}", key.sign(&good)))).await;
        assert_eq!(response.status(), 200);
        assert_eq!(text(response).await, "repo:acme/app:ref:refs/heads/main 74");

        let response = ask(&app, "/", None).await;
        assert_eq!((response.status().as_u16(), header(&response, "www-authenticate")), (401, "Bearer"));
        assert_eq!(text(response).await, r#"{"detail":"a bearer token is required"}"#);

        for bad in [stranger.sign(&good), key.sign(&expired), "a.b.c".to_owned()] {
            let response = ask(&app, "/", Some(&format!("Bearer {bad}"))).await;
            assert_eq!(response.status(), 401);
            assert_eq!(header(&response, "www-authenticate"), "Bearer error=\"invalid_token\"");
            assert_eq!(text(response).await, r#"{"detail":"the token is not accepted"}"#);
        }
        assert_eq!(ask(&app, "/", Some("Basic YTpi")).await.status(), 401);
    }
}

#[tokio::test]
async fn a_rule_in_front_is_403_with_the_failing_step() {
    let key = Key::generate("a");
    let world = World::new(&[&key]);
    let verifier = || world.builder().allow(RULE).build().unwrap();
    for app in [extractor(verifier()), layer(verifier())] {
        let with = |name: &str, value: &str| {
            let mut claims = claims(ISSUER, world.now());
            claims[name] = value.into();
            format!("Bearer {}", key.sign(&claims))
        };
        assert_eq!(ask(&app, "/", Some(&with("event_name", "push"))).await.status(), 200);
        for (name, value, step) in [
            (
                "event_name",
                "pull_request",
                "the token's claim `event_name` with the value `pull_request` does not satisfy the policy",
            ),
            (
                "sub",
                "repo:evil/app:ref:refs/heads/main",
                "the token's subject `repo:evil/app:ref:refs/heads/main` does not satisfy the policy",
            ),
        ] {
            let response = ask(&app, "/", Some(&with(name, value))).await;
            assert_eq!(response.status(), 403);
            let body: Value = serde_json::from_str(&text(response).await).unwrap();
            assert_eq!(body["detail"], step);
        }
    }
}

#[tokio::test]
async fn a_layer_in_front_verifies_for_the_extractor_only_where_both_are_one_verifier() {
    let key = Key::generate("a");
    let world = World::new(&[&key]);
    let (outer, inner) = (world.verifier(), world.builder().allow(RULE).build().unwrap());
    let mut pull_request = claims(ISSUER, world.now());
    pull_request["event_name"] = "pull_request".into();
    let token = format!("Bearer {}", key.sign(&pull_request));
    let app = extractor(inner.clone()).layer(RequireToken::new(outer.clone()));
    assert_eq!(ask(&app, "/", Some(&token)).await.status(), 403, "the extractor's own rule holds");
    let other = world.builder().audience("other.example.com").build().unwrap();
    let app = extractor(inner).layer(RequireToken::new(other));
    assert_eq!(ask(&app, "/", Some(&token)).await.status(), 403);
    let app = extractor(outer.clone()).layer(RequireToken::new(outer));
    assert_eq!(ask(&app, "/", Some(&token)).await.status(), 200);
}

#[tokio::test]
async fn one_rule_of_several_suffices_and_the_nearest_is_told() {
    let key = Key::generate("a");
    let world = World::new(&[&key]);
    let other = "issuer: https://issuer.example.com\nsubject: repo:acme/other:ref:refs/heads/main\n";
    let verifier = world.builder().allow(other).allow(RULE).build().unwrap();
    let token = |event: &str| {
        let mut claims = claims(ISSUER, world.now());
        claims["event_name"] = event.into();
        key.sign(&claims)
    };
    assert!(verifier.verify(&token("push")).await.is_ok());
    let refusal = verifier.verify(&token("schedule")).await.unwrap_err();
    assert!(refusal.to_string().contains("claim `event_name`"), "{refusal}");
    let elsewhere = format!("{RULE}audience: other.example.com\n");
    let refusal = world.builder().allow(elsewhere).build().unwrap().verify(&token("push")).await.unwrap_err();
    assert!(refusal.to_string().contains("audience `api.example.com`"), "{refusal}");
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_is_503() {
    let key = Key::generate("a");
    let world = World::new(&[&key]);
    world.becomes(Mood::Down);
    for app in [extractor(world.verifier()), layer(world.verifier())] {
        let response =
            ask(&app, "/", Some(&format!("Bearer {}", key.sign(&claims(ISSUER, world.now()))))).await;
        assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (503, "60"));
        assert_eq!(header(&response, "www-authenticate"), "");
    }
}

#[tokio::test]
async fn an_optional_token_may_be_absent_and_not_bad() {
    let key = Key::generate("a");
    let world = World::new(&[&key]);
    let app = extractor(world.verifier());
    assert_eq!(text(ask(&app, "/maybe", None).await).await, "nobody");
    let good = format!("Bearer {}", key.sign(&claims(ISSUER, world.now())));
    assert_eq!(text(ask(&app, "/maybe", Some(&good)).await).await, "somebody");
    assert_eq!(ask(&app, "/maybe", Some("Bearer a.b.c")).await.status(), 401);
}
