//! GitHub failing at each call: the exact status and code, and nothing minted that is not delivered.

use crate::support::World;
use crate::support::fault::Fault;

const INSTALLATION: &str = "GET api.github.com/repos/acme/app/installation";
const CONTENTS: &str = "contents/.github/chainguard/deploy.sts.yaml";
const MINT: &str = "POST api.github.com/app/installations/1/access_tokens";

fn limited(status: u16) -> Fault {
    Fault::StatusWith(status, "retry-after", "42".to_owned())
}

/// Everything of the exchange but for the delivered token works, so that only the call in question fails.
fn prepared(request: &str) -> World {
    let world = World::new();
    match request {
        INSTALLATION => {}
        CONTENTS => drop(world.exchange_for("acme/app", "other")),
        _ => drop(world.exchange()),
    }
    world
}

#[test]
fn every_failure_of_every_call_has_its_answer() {
    let rows: Vec<(&str, Fault, u16, &str)> = vec![
        (INSTALLATION, Fault::Status(404), 404, "installation_not_found"),
        (INSTALLATION, Fault::Status(301), 404, "installation_not_found"),
        (INSTALLATION, Fault::Status(403), 403, "permission_denied"),
        (INSTALLATION, Fault::Status(401), 503, "unavailable"),
        (INSTALLATION, Fault::Status(422), 503, "unavailable"),
        (INSTALLATION, Fault::Status(429), 429, "rate_limited"),
        (INSTALLATION, limited(403), 429, "rate_limited"),
        (INSTALLATION, Fault::Status(500), 503, "unavailable"),
        (INSTALLATION, Fault::Refused, 503, "unavailable"),
        (INSTALLATION, Fault::TimedOut, 503, "unavailable"),
        (INSTALLATION, Fault::Garbage, 503, "unavailable"),
        (INSTALLATION, Fault::TooLarge, 503, "unavailable"),
        (INSTALLATION, Fault::BrokenOff, 503, "unavailable"),
        (CONTENTS, Fault::Status(404), 404, "policy_not_found"),
        (CONTENTS, Fault::Status(302), 404, "policy_not_found"),
        (CONTENTS, Fault::Status(403), 404, "policy_not_found"),
        (CONTENTS, Fault::Status(401), 503, "unavailable"),
        (CONTENTS, Fault::Status(422), 503, "unavailable"),
        (CONTENTS, Fault::Status(429), 429, "rate_limited"),
        (CONTENTS, limited(403), 429, "rate_limited"),
        (CONTENTS, Fault::Status(500), 503, "unavailable"),
        (CONTENTS, Fault::Refused, 503, "unavailable"),
        (CONTENTS, Fault::TimedOut, 503, "unavailable"),
        (CONTENTS, Fault::Garbage, 503, "unavailable"),
        (CONTENTS, Fault::TooLarge, 404, "policy_not_found"),
        (CONTENTS, Fault::BrokenOff, 503, "unavailable"),
        (MINT, Fault::Status(422), 403, "permission_denied"),
        (MINT, Fault::Status(403), 403, "permission_denied"),
        (MINT, Fault::Status(401), 503, "unavailable"),
        (MINT, Fault::Status(404), 503, "unavailable"),
        (MINT, Fault::Status(302), 503, "unavailable"),
        (MINT, Fault::Status(429), 429, "rate_limited"),
        (MINT, limited(403), 429, "rate_limited"),
        (MINT, limited(422), 429, "rate_limited"),
        (MINT, Fault::Status(500), 503, "unavailable"),
        (MINT, Fault::Refused, 503, "unavailable"),
        (MINT, Fault::TimedOut, 503, "unavailable"),
        (MINT, Fault::Garbage, 502, "upstream_error"),
        (MINT, Fault::TooLarge, 502, "upstream_error"),
        (MINT, Fault::BrokenOff, 502, "upstream_error"),
    ];
    for (request, fault, status, error) in rows {
        let world = prepared(request);
        let events = world.events().len();
        world.network.fail(request, fault.clone());
        let answer = world.exchange();
        assert_eq!(
            (answer.status.as_u16(), answer.body["error"].as_str()),
            (status, Some(error)),
            "{request} {fault:?}: {}",
            answer.text
        );
        let retry_after = answer.header("retry-after").map(str::to_owned);
        assert_eq!(retry_after.is_some(), matches!(status, 429 | 503), "{request} {fault:?}");
        if matches!(fault, Fault::StatusWith(..)) {
            assert_eq!(retry_after.as_deref(), Some("42"));
        }
        assert!(!answer.text.contains("upstream says"), "no upstream body is ever returned");
        assert_eq!(world.events().len(), events + 1);
        assert_eq!(world.event()["outcome"], error);

        world.network.heal();
        world.advance(61);
        world.exchange().granted();
    }
}

#[test]
fn reading_a_policy_can_fail_at_its_token() {
    for (fault, status, error) in [
        (Fault::Status(422), 404, "policy_not_found"),
        (Fault::Status(403), 404, "policy_not_found"),
        (Fault::Status(404), 404, "policy_not_found"),
        (Fault::Status(429), 429, "rate_limited"),
        (Fault::Status(500), 503, "unavailable"),
        (Fault::Refused, 503, "unavailable"),
        (Fault::Garbage, 503, "unavailable"),
    ] {
        let world = World::new();
        // The organization's list is known, so that the next token is the policy's.
        world.exchange_for("acme/app", "other").is(404, "policy_not_found");
        world.network.fail(MINT, fault.clone());
        world.exchange().is(status, error);
    }
}

#[test]
fn a_wider_read_token_is_not_used_and_is_revoked() {
    let world = World::new();
    *world.github().distort.borrow_mut() =
        Some(Box::new(|answer| answer["permissions"]["contents"] = serde_json::json!("write")));
    world.exchange().is(503, "unavailable");
    assert_eq!(world.network.count("contents/"), 0);
    assert!(world.github().ledger.borrow().iter().all(|minted| minted.revoked));
}

#[test]
fn a_reset_in_the_future_is_told_in_seconds() {
    let world = World::new();
    let reset = (world.now() + 90).to_string();
    world.network.fail(INSTALLATION, Fault::StatusWith(429, "x-ratelimit-reset", reset));
    assert_eq!(world.exchange().header("retry-after"), Some("90"));
    for (value, told) in [("999999999999", "3600"), ("1", "1"), ("soon", "60")] {
        world.network.fail(INSTALLATION, Fault::StatusWith(429, "x-ratelimit-reset", value.to_owned()));
        assert_eq!(world.exchange().header("retry-after"), Some(told));
    }
}

#[test]
fn time_limits_and_caps_are_set_on_every_call() {
    let world = World::new();
    world.exchange().granted();
    for sent in world.network.requests.borrow().iter() {
        let limit = if sent.host == "api.github.com" { 10 } else { 5 };
        assert_eq!(sent.timeout.as_secs(), limit, "{sent}");
        let cap = match sent.path.as_str() {
            "/.well-known/openid-configuration" | "/jwks" => 100 * 1024,
            path if path.ends_with("/access_tokens") => 8 * 1024 * 1024,
            path if path.contains("/contents/") => 128 * 1024,
            path if path.ends_with("/installation") => 64 * 1024,
            _ => 16 * 1024,
        };
        assert_eq!(sent.max_body, cap, "{sent}");
    }
}
