//! The service's own limits: each if it is bound, and none otherwise.

use http::Method;
use serde_json::json;

use crate::support::{Answer, World};

const IDENTITY: &str = "RATE_LIMIT_IDENTITY";
const OWNER: &str = "RATE_LIMIT_OWNER";
const FAILURES: &str = "RATE_LIMIT_FAILURES";

impl Answer {
    #[track_caller]
    fn is_limited(&self, message: &str) {
        self.is(429, "rate_limited");
        assert_eq!(self.message(), message);
        assert_eq!(self.header("retry-after"), Some("60"));
    }
}

const OF_THE_SUBJECT: &str = "too many exchanges by the token's subject";
const OF_THE_OWNER: &str = "too many exchanges for the owner";
const OF_THE_READS: &str = "too many policy lookups for the owner";
const OF_THE_ADDRESS: &str = "too many refused requests from this address";

/// An exchange from an address.
fn exchange_from(world: &World, address: &str, identity: &str, token: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str()), ("cf-connecting-ip", address)];
    world.call(Method::GET, &format!("/sts/exchange?scope=acme/app&identity={identity}"), &headers, "")
}

#[test]
fn without_a_binding_nothing_is_counted_or_told() {
    let world = World::new();
    for _ in 0..50 {
        exchange_from(&world, "192.0.2.1", "missing", &world.token()).is(404, "policy_not_found");
        exchange_from(&world, "192.0.2.1", "deploy", "a.b.c").is(401, "invalid_token");
        exchange_from(&world, "192.0.2.1", "deploy", &world.token()).granted();
    }
    assert!(world.limits.counted.borrow().is_empty());
    let readiness = world.call(Method::GET, "/readyz", &[], "");
    assert_eq!(readiness.body, json!({ "status": "ready", "missing": [], "malformed": [] }));
    assert_eq!(readiness.header("x-octo-sts-limits"), None);
}

#[test]
fn one_identity_does_not_use_up_anothers_limit() {
    let world = World::new().limited(IDENTITY, 3);
    for _ in 0..3 {
        world.exchange().granted();
    }
    let (reads, requests) = (world.kv.reads.get(), world.network.requests.borrow().len());
    let answer = world.exchange();
    answer.is_limited(OF_THE_SUBJECT);
    assert_eq!(
        (world.kv.reads.get(), world.network.requests.borrow().len()),
        (reads, requests),
        "nothing is asked"
    );
    let event = world.event();
    assert_eq!(event["outcome"], "rate_limited");
    assert_eq!(event["subject"], "repo:acme/app:ref:refs/heads/main");
    assert!(world.log.says("rate limited"));
    let other = world.token_with(&json!({ "sub": "repo:acme/app:ref:refs/heads/dev" }));
    world.exchange_with("acme/app", "deploy", &other).is(403, "permission_denied");
}

#[test]
fn nobody_is_counted_before_the_token_is_verified() {
    let world = World::new().limited(IDENTITY, 1).limited(OWNER, 1);
    let token = world.token();
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{rest}.{}", signature.chars().rev().collect::<String>());
    let expired = world.token_with(&json!({ "exp": world.now() - 1 }));
    for token in ["a.b.c", forged.as_str(), expired.as_str()] {
        world.exchange_with("acme/app", "deploy", token).is(401, "invalid_token");
    }
    assert!(world.limits.counted.borrow().is_empty());
}

#[test]
fn subjects_that_resemble_each_other_are_counted_apart() {
    let world = World::new().limited(IDENTITY, 100);
    for subject in ["a", "a/", "a%2F", "A", &"a".repeat(127), &"a".repeat(126)] {
        let token = world.token_with(&json!({ "sub": subject }));
        world.exchange_with("acme/app", "deploy", &token).is(403, "permission_denied");
    }
    let counts = world.limits.counts(IDENTITY);
    assert_eq!(counts, [1; 6]);
    let counted = world.limits.counted.borrow();
    assert!(counted.keys().all(|(_, key)| !key.contains("acme") && !key.contains("aaa")), "{counted:?}");
}

#[test]
fn an_owners_limit_counts_what_its_policies_grant() {
    let world = World::new().limited(OWNER, 3);
    world.github().install(2, "umbrella", &["app", ".github"]);
    let dev = world.token_with(&json!({ "sub": "repo:acme/app:ref:refs/heads/dev" }));
    for _ in 0..3 {
        world.exchange().granted();
        world.exchange_with("acme/app", "deploy", &dev).is(403, "permission_denied");
    }
    let minted = world.github().ledger.borrow().len();
    world.exchange().is_limited(OF_THE_OWNER);
    assert_eq!(world.github().ledger.borrow().len(), minted, "GitHub is not asked");
    assert_eq!(world.event()["outcome"], "rate_limited");
    // Ignoring case, not for another owner, and callers that the policy refuses still get that refusal.
    world.exchange_for("ACME/app", "deploy").is_limited(OF_THE_OWNER);
    world.exchange_for("umbrella/app", "deploy").is(404, "policy_not_found");
    world.exchange_with("acme/app", "deploy", &dev).is(403, "permission_denied");
}

/// Otherwise anybody with a verified token could lock out an owner.
#[test]
fn what_strangers_make_up_does_not_use_up_the_owners_exchanges() {
    let world = World::new().limited(OWNER, 5);
    let stranger = world.token_with(&json!({ "sub": "repo:mallory/app:ref:refs/heads/main" }));
    world.exchange().granted();
    // The list and the policy were read; three more reads are within the limit.
    for (identity, within) in [("a", true), ("b", true), ("c", true), ("d", false), ("e", false)] {
        let answer = world.exchange_with("acme/app", identity, &stranger);
        if within {
            answer.is(404, "policy_not_found");
        } else {
            answer.is_limited(OF_THE_READS);
            assert!(answer.sent.is_empty(), "{:?}", answer.sent);
        }
    }
    for _ in 0..20 {
        world.exchange_with("acme/app", "deploy", &stranger).is(403, "permission_denied");
        world.exchange_with("acme/app", "a", &stranger).is(404, "policy_not_found");
    }
    world.exchange().granted();
}

/// All of GitHub Actions is one issuer, so one job that makes up names must not block the others.
#[test]
fn names_that_one_subject_makes_up_do_not_use_up_anothers_limit() {
    let world = World::new().limited(IDENTITY, 3);
    let stranger = world.token_with(&json!({ "sub": "repo:mallory/app:ref:refs/heads/main" }));
    for (n, within) in [true, true, true, false, false].into_iter().enumerate() {
        let answer = world.exchange_with(&format!("nobody-{n}/app"), "deploy", &stranger);
        if within {
            answer.is(404, "installation_not_found");
        } else {
            answer.is_limited(OF_THE_SUBJECT);
            assert!(answer.sent.is_empty(), "{:?}", answer.sent);
        }
    }
    world.exchange().granted();
}

#[test]
fn an_address_above_its_limit_learns_nothing_and_is_still_served() {
    let world = World::new().limited(FAILURES, 3);
    let address = "192.0.2.1";
    for (identity, token, status) in
        [("deploy", "a.b.c".to_owned(), 401), ("missing", world.token(), 404), ("", world.token(), 400)]
    {
        assert_eq!(exchange_from(&world, address, identity, &token).status.as_u16(), status);
    }
    let dev = world.token_with(&json!({ "sub": "repo:acme/app:ref:refs/heads/dev" }));
    for (identity, token) in
        [("deploy", "a.b.c".to_owned()), ("missing", world.token()), ("deploy", dev), ("", world.token())]
    {
        let answer = exchange_from(&world, address, identity, &token);
        answer.is_limited(OF_THE_ADDRESS);
        assert_eq!(answer.header("www-authenticate"), None);
        assert_eq!(world.event()["outcome"], "rate_limited");
    }
    let instead_of: Vec<_> = world
        .log
        .lines()
        .iter()
        .filter(|line| line["message"] == "rate limited")
        .map(|line| line["instead_of"].clone())
        .collect();
    assert_eq!(instead_of, ["invalid_token", "policy_not_found", "permission_denied", "invalid_request"]);
    let counted = world.limits.counts(FAILURES);
    exchange_from(&world, address, "deploy", &world.token()).granted();
    assert_eq!(world.limits.counts(FAILURES), counted, "what is granted is not counted");
    exchange_from(&world, "192.0.2.2", "deploy", "a.b.c").is(401, "invalid_token");
    world.exchange_with("acme/app", "deploy", "a.b.c").is(401, "invalid_token");
}

#[test]
fn failures_that_are_not_the_callers_do_not_count() {
    use crate::support::fault::Fault;
    for (request, fault, status) in [
        ("access_tokens", Fault::Status(429), 429),
        ("access_tokens", Fault::Status(500), 503),
        ("openid-configuration", Fault::TimedOut, 503),
        ("access_tokens", Fault::Garbage, 503),
    ] {
        let world = World::new().limited(FAILURES, 1);
        world.network.fail(request, fault);
        for _ in 0..3 {
            let answer = exchange_from(&world, "192.0.2.1", "deploy", &world.token());
            assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
        }
        assert!(world.limits.counted.borrow().is_empty());
    }
    // Nor does a request that another limit refused.
    let world = World::new().limited(FAILURES, 1).limited(IDENTITY, 1);
    exchange_from(&world, "192.0.2.1", "deploy", &world.token()).granted();
    exchange_from(&world, "192.0.2.1", "deploy", &world.token()).is_limited(OF_THE_SUBJECT);
    assert!(world.limits.counts(FAILURES).is_empty());
}

#[test]
fn refused_revocations_count_and_revoking_is_never_limited() {
    let world = World::new().limited(FAILURES, 2);
    let revoke = |token: &str| {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str()), ("cf-connecting-ip", "192.0.2.1")];
        world.call(Method::POST, "/sts/revoke", &headers, "")
    };
    for _ in 0..5 {
        assert_eq!(revoke("ghs_000000000000000000000000000000000dead").status.as_u16(), 204);
    }
    revoke("ghp_x").is(400, "invalid_request");
    revoke("ghp_x").is(400, "invalid_request");
    revoke("ghp_x").is_limited(OF_THE_ADDRESS);
    assert_eq!(world.event()["outcome"], "rate_limited");
    let token = world.exchange().granted().to_owned();
    assert_eq!(revoke(&token).status.as_u16(), 204);
}

/// GitHub's own deliveries come from few addresses; if a wrong secret got 429, nobody would notice it.
#[test]
fn deliveries_and_unknown_paths_are_not_counted() {
    let world = World::new().limited(FAILURES, 1);
    for _ in 0..3 {
        let headers = [("cf-connecting-ip", "192.0.2.1"), ("x-github-event", "push")];
        world.call(Method::POST, "/webhook", &headers, "{}").is(401, "invalid_token");
        world.call(Method::GET, "/nowhere", &headers, "").is(404, "not_found");
    }
    assert!(world.limits.counted.borrow().is_empty());
}

#[test]
fn a_limiter_that_fails_refuses_nobody() {
    let world = World::new().limited(IDENTITY, 1).limited(OWNER, 1).limited(FAILURES, 1);
    world.limits.broken.set(true);
    for _ in 0..3 {
        exchange_from(&world, "192.0.2.1", "deploy", &world.token()).granted();
        exchange_from(&world, "192.0.2.1", "deploy", "a.b.c").is(401, "invalid_token");
    }
    assert!(world.log.says("rate limit not counted"));
}

#[test]
fn readiness_names_the_limits_that_hold() {
    let world = World::new().limited(FAILURES, 1).limited(IDENTITY, 1);
    let answer = world.call(Method::GET, "/readyz", &[], "");
    assert_eq!(
        answer.body,
        json!({ "status": "ready", "missing": [], "malformed": [] }),
        "as without limits"
    );
    assert_eq!(answer.header("x-octo-sts-limits"), Some("RATE_LIMIT_IDENTITY, RATE_LIMIT_FAILURES"));
}

#[test]
fn a_binding_that_is_no_rate_limiter_closes_the_exchange() {
    let world = World::new().limited(OWNER, 0).limited(IDENTITY, 1);
    let answer = world.call(Method::GET, "/readyz", &[], "");
    assert_eq!(answer.status.as_u16(), 503);
    assert_eq!(answer.body, json!({ "status": "unready", "missing": [], "malformed": [OWNER] }));
    assert_eq!(answer.header("x-octo-sts-limits"), Some(IDENTITY));
    let answer = world.exchange();
    answer.is(500, "misconfigured");
    assert!(answer.message().contains(OWNER));
}
