//! Session tokens at the proxy: verified with the service's own keys, counted like their subject token, revoked with
//! it.

use std::time::Duration;

use octo_sts_native::NativeSignatures;
use octo_sts_test_allocator::kept;
use octo_sts_worker::config::Config;
use octo_sts_worker::issuer::session::{self, Request};
use octo_sts_worker::jose::JwkSet;
use octo_sts_worker::oidc::{self, Issuer, IssuerRules, UnverifiedToken, VerifyRules};
use octo_sts_worker::time::Timestamp;
use serde_json::{Value, json};

use crate::support::keys::issuer_key_pem;
use crate::support::proxy::{AUDIENCE, Answer, Proxied};
use crate::support::{GITHUB_ACTIONS, World};

const OK: Answer<'static> = Answer::Head(200, &[]);

fn issuing(changes: &Value, more: &[(&'static str, &str)]) -> World {
    let pem = issuer_key_pem("current");
    let mut settings = vec![("ISSUER_PRIVATE_KEY", pem.as_str())];
    settings.extend(more);
    World::with_upstream_and(changes, &settings)
}

/// As the token endpoint makes it of a subject token.
fn session(world: &World, subject_token: &str, audience: &str, seconds: u64, key: &'static str) -> String {
    let pem = issuer_key_pem(key);
    let setting = |name: &str| (name == "ISSUER_PRIVATE_KEY").then(|| pem.clone());
    let keys = Config::parse(&setting, &|_| true).issuer.unwrap().unwrap();
    let now = Timestamp::from_unix_seconds(world.now()).unwrap();
    let token = UnverifiedToken::parse(subject_token).unwrap();
    let rules = IssuerRules { allowed: None, own_domain: "x.example.com".into(), allow_loopback_http: false };
    let issuer = Issuer::parse(token.issuer().unwrap(), &rules).unwrap();
    let set = JwkSet::parse(world.issuer().jwks().to_string().as_bytes()).unwrap();
    let rules = VerifyRules { max_lifetime: Duration::from_secs(86_400) };
    pollster::block_on(async {
        let verified = oidc::verify(&token, &issuer, &set, &rules, now, &NativeSignatures).await.unwrap();
        let request = Request {
            domain: "sts.example.com",
            audience,
            lifetime: Duration::from_secs(seconds),
            id: "session-1",
        };
        let print = token.fingerprint_base64url();
        let made = session::make(&request, &verified, &print, &keys, now, &NativeSignatures).await.unwrap();
        world.network.secrets.borrow_mut().push(made.expose().to_owned());
        made.expose().to_owned()
    })
}

fn ask(world: &World, token: &str) -> Proxied {
    world.proxied_raw("GET", "/proxy/example/a", &[("x-api-key", token)], &OK)
}

#[test]
fn a_session_is_admitted_as_its_subject_token_would_be() {
    let world = issuing(&json!({"max_token_age_seconds": 60}), &[]);
    let subject = world.proxy_token(&json!({}));
    let token = session(&world, &subject, AUDIENCE, 3600, "current");
    assert_eq!(ask(&world, &token).header("x-octo-sts-remaining"), Some("199"));
    let event = world.event();
    assert_eq!(event["session"], true);
    assert_eq!(event["issuer"], GITHUB_ACTIONS);
    assert_eq!(event["subject"], "repo:acme/app:ref:refs/heads/main");
    assert_eq!(event["session_sha256"].as_str().unwrap().len(), 64);
    // It uses its subject token's budget.
    assert_eq!(ask(&world, &subject).header("x-octo-sts-remaining"), Some("198"));
    // The maximum age applies to the subject token; the session continues until its own expiry.
    world.advance(3599);
    assert_eq!(ask(&world, &token).header("x-octo-sts-remaining"), Some("197"));
    world.advance(1);
    ask(&world, &token).is(401, "invalid_token");
}

#[test]
fn a_session_that_this_isolate_has_seen_costs_no_signature() {
    let world = issuing(&json!({}), &[]);
    let token = session(&world, &world.proxy_token(&json!({})), AUDIENCE, 3600, "current");
    ask(&world, &token).passed();
    let verified = world.signatures.verified.get();
    ask(&world, &token).passed();
    assert_eq!(world.signatures.verified.get(), verified);
}

/// Read as a tree, these claims take half a megabyte; an isolate has 128 for everything.
#[test]
fn sessions_that_are_remembered_take_no_room_for_their_claims() {
    const MANY: usize = 32;
    let world = issuing(&json!({}), &[]);
    let objects = vec![json!({"a": 1}); 700];
    let subject = world.proxy_token(&json!({ "x": objects }));
    let tokens: Vec<String> =
        (3600..).take(MANY).map(|seconds| session(&world, &subject, AUDIENCE, seconds, "current")).collect();
    ask(&world, &tokens[0]).passed();
    let ((), bytes) = kept(|| {
        for token in &tokens {
            ask(&world, token).passed();
        }
    });
    assert!(bytes < MANY * 64 * 1024, "{bytes} bytes are kept of {MANY} sessions");
    let verified = world.signatures.verified.get();
    ask(&world, &tokens[0]).passed();
    assert_eq!(world.signatures.verified.get(), verified, "and they are remembered");
}

#[test]
fn a_session_of_another_key_upstream_or_time_is_none() {
    let world = issuing(&json!({}), &[]);
    let subject = world.proxy_token(&json!({}));
    ask(&world, &session(&world, &subject, AUDIENCE, 3600, "next")).is(401, "invalid_token");
    let other = "https://sts.example.com/proxy/other";
    ask(&world, &session(&world, &subject, other, 3600, "current")).is(401, "invalid_token");
    let good = session(&world, &subject, AUDIENCE, 3600, "current");
    // As long as a signature is; and once refused, it is not remembered.
    for signature in ["AAAA".to_owned(), "A".repeat(342), "A".repeat(342)] {
        let forged = format!("{}.{signature}", good.rsplit_once('.').unwrap().0);
        ask(&world, &forged).is(401, "invalid_token");
    }
    ask(&world, &good).passed();
    // For an upstream that is gone: it says so itself.
    let gone = session(&world, &subject, other, 3600, "current");
    world.proxied_raw("GET", "/proxy/other/a", &[("x-api-key", &gone)], &OK).is(404, "not_found");
}

#[test]
fn settings_of_today_hold_for_sessions_of_yesterday() {
    let world = issuing(&json!({"max_session_seconds": 600}), &[]);
    let token = session(&world, &world.proxy_token(&json!({})), AUDIENCE, 3600, "current");
    world.advance(599);
    ask(&world, &token).passed();
    world.advance(1);
    ask(&world, &token).is(401, "invalid_token");

    // A longer limit does not make a session longer.
    let longer = issuing(&json!({"max_session_seconds": 7200}), &[]);
    let token = session(&longer, &longer.proxy_token(&json!({})), AUDIENCE, 600, "current");
    longer.advance(599);
    ask(&longer, &token).passed();
    longer.advance(1);
    ask(&longer, &token).is(401, "invalid_token");

    let changed =
        issuing(&json!({"allow": [{"issuer": GITHUB_ACTIONS, "subject": "repo:acme/other:ref:x"}]}), &[]);
    let token = session(&changed, &changed.proxy_token(&json!({})), AUDIENCE, 3600, "current");
    ask(&changed, &token).is(403, "permission_denied");

    let distrusted = issuing(&json!({}), &[("ALLOWED_ISSUERS", "https://other.example.com")]);
    let token = session(&distrusted, &distrusted.proxy_token(&json!({})), AUDIENCE, 3600, "current");
    ask(&distrusted, &token).is(401, "invalid_token");
}

#[test]
fn a_revoked_subject_token_is_refused_with_all_its_sessions() {
    let world = issuing(&json!({}), &[]);
    let subject = world.proxy_token(&json!({}));
    let sessions = [3600, 600].map(|seconds| session(&world, &subject, AUDIENCE, seconds, "current"));
    for token in &sessions {
        ask(&world, token).passed();
    }
    world.revoke_at_budget(&subject);
    for token in sessions.iter().chain([&subject]) {
        let refused = ask(&world, token);
        refused.is(401, "invalid_token");
        assert_eq!(refused.message(), "the token is revoked");
    }
    // Another token of the same run is not.
    ask(&world, &world.proxy_token(&json!({"jti": "another"}))).passed();
}

#[test]
fn a_malformed_key_closes_sessions_and_nothing_else() {
    let world = issuing(&json!({}), &[]);
    let subject = world.proxy_token(&json!({}));
    let token = session(&world, &subject, AUDIENCE, 3600, "current");
    let broken = World::with_upstream_and(&json!({}), &[("ISSUER_PRIVATE_KEY", "x")]);
    broken.proxied().passed();
    let refused = ask(&broken, &token);
    refused.is(500, "misconfigured");
    assert_eq!(refused.message(), "the service is not configured: `ISSUER_PRIVATE_KEY`");
    let keyless = World::with_upstream(&json!({}));
    ask(&keyless, &token).is(401, "invalid_token");
}
