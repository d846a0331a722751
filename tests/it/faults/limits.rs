//! Other faults of GitHub: when to try again, size limits, and a token that is wider than requested.

use crate::support::World;
use crate::support::fault::Fault;

const INSTALLATION: &str = "GET api.github.com/repos/acme/app/installation";

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

/// GitHub also signals a secondary limit of the mint with 422.
#[test]
fn headers_of_a_limit_are_looked_at_before_the_status() {
    let world = World::new();
    world.exchange().granted();
    world.network.fail("access_tokens", Fault::StatusWith(422, "retry-after", "42".to_owned()));
    assert_eq!(world.exchange().is(429, "rate_limited").header("retry-after"), Some("42"));
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
            path if path.ends_with("/installation") || path == "/repos/acme/.github" => 64 * 1024,
            _ => 16 * 1024,
        };
        assert_eq!(sent.max_body, cap, "{sent}");
    }
}

#[test]
fn an_exchange_is_seen_through_though_its_caller_hangs_up() {
    for sent in 1..=10 {
        let world = World::new();
        let headers = [("authorization", format!("Bearer {}", world.token()))];
        let headers = [(headers[0].0, headers[0].1.as_str())];
        let target = "/sts/exchange?scope=acme/app&identity=deploy";
        world.hang_up_after(sent, world.request(http::Method::GET, target, &headers, ""));
        let alive = world.github().ledger.borrow().iter().filter(|minted| !minted.revoked).count();
        assert_eq!(alive, 1, "after {sent} requests: the minted token, which reached nobody");
        assert_eq!((world.events().len(), world.kv.entries.borrow().len()), (1, 4), "after {sent} requests");
        assert!(world.event()["token_sha256"].is_string());
    }
}
