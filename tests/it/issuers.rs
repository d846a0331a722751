//! An issuer's keys: freshness, rotation, cool-downs, and an issuer that fails.

use serde_json::json;

use crate::support::fault::Fault;
use crate::support::{GITHUB_ACTIONS, World};

const DISCOVERY: &str = "GET token.actions.githubusercontent.com/.well-known/openid-configuration";
const JWKS: &str = "GET token.actions.githubusercontent.com/jwks";

#[test]
fn keys_are_fresh_for_fifteen_minutes() {
    let world = World::new();
    world.exchange().granted();
    world.advance(15 * 60 - 1);
    world.exchange().granted();
    assert_eq!(world.network.count(JWKS), 1);
    world.advance(1);
    world.exchange().granted();
    assert_eq!(world.network.count(JWKS), 2);
}

#[test]
fn cache_control_shortens_and_lengthens_within_bounds() {
    for (header, seconds) in
        [("max-age=120", 120), ("max-age=1", 60), ("no-store", 60), ("public, max-age=86400", 3600)]
    {
        let world = World::new();
        *world.issuer().cache_control.borrow_mut() = Some(header.to_owned());
        world.exchange().granted();
        world.advance(seconds - 1);
        world.exchange().granted();
        assert_eq!(world.network.count(JWKS), 1, "{header}");
        world.advance(1);
        world.exchange().granted();
        assert_eq!(world.network.count(JWKS), 2, "{header}");
    }
}

#[test]
fn a_rotation_is_seen_at_once_and_unknown_keys_refetch_once_a_minute() {
    let world = World::new();
    world.exchange().granted();
    world.issuer().rotate("key-2");
    world.exchange().granted();
    assert_eq!(world.network.count(JWKS), 2);
    for _ in 0..20 {
        let invented = world.issuer().sign_as("invented", &world.claims());
        world.exchange_with("acme/app", "deploy", &invented).is(401, "invalid_token");
    }
    assert_eq!((world.network.count(DISCOVERY), world.network.count(JWKS)), (2, 2), "the cool-down holds");
    world.advance(60);
    let invented = world.issuer().sign_as("invented", &world.claims());
    world.exchange_with("acme/app", "deploy", &invented).is(401, "invalid_token");
    assert_eq!(world.network.count(JWKS), 3);
    world.exchange().granted();
}

#[test]
fn an_unknown_key_of_a_cold_issuer_causes_no_second_fetch() {
    let world = World::new();
    let invented = world.issuer().sign_as("invented", &world.claims());
    world.exchange_with("acme/app", "deploy", &invented).is(401, "invalid_token");
    assert_eq!(world.network.count(JWKS), 1);
}

#[test]
fn the_cool_down_is_known_to_other_isolates() {
    let mut world = World::new();
    world.exchange().granted();
    let invented = world.issuer().sign_as("invented", &world.claims());
    world.exchange_with("acme/app", "deploy", &invented).is(401, "invalid_token");
    assert_eq!(world.network.count(JWKS), 2);
    world.new_isolate();
    world.exchange_with("acme/app", "deploy", &invented).is(401, "invalid_token");
    assert_eq!(world.network.count(JWKS), 2);
}

#[test]
fn another_isolates_newer_keys_are_taken_from_kv() {
    // One world plays both isolates: a second service reads KV without its memory.
    let world = World::new();
    world.exchange().granted();
    let newer = world.twin();
    world.issuer().rotate("key-2");
    newer.advance(1);
    newer.exchange().granted();
    let fetched = world.network.count(JWKS);
    world.advance(2);
    world.exchange().granted();
    assert_eq!(world.network.count(JWKS), fetched, "the other isolate had fetched them");
}

#[test]
fn an_issuer_that_does_not_answer_is_503_and_is_left_alone_for_a_minute() {
    let limited = Fault::StatusWith(403, "retry-after", "7".to_owned());
    for fault in [Fault::Status(500), Fault::Status(503), Fault::TimedOut, Fault::Status(429), limited] {
        for document in ["/.well-known/openid-configuration", "/jwks"] {
            let world = World::new();
            world.network.fail(document, fault.clone());
            let first = world.exchange();
            first.is(503, "unavailable");
            assert_eq!(first.body["code"], 14);
            let requests = world.network.requests.borrow().len();
            assert_eq!(world.network.count(document), 1, "{fault:?} is no network error: no second try");
            world.advance(10);
            let second = world.exchange();
            second.is(503, "unavailable");
            assert_eq!(second.header("retry-after"), Some("50"));
            assert_eq!(world.network.requests.borrow().len(), requests);
            world.network.heal();
            world.advance(50);
            world.exchange().granted();
        }
    }
}

#[test]
fn a_network_error_is_tried_once_more_within_the_request() {
    let world = World::new();
    world.network.fail_times(DISCOVERY, Fault::Refused, 1);
    world.network.fail_times(JWKS, Fault::BrokenOff, 1);
    world.exchange().granted();
    assert_eq!((world.network.count(DISCOVERY), world.network.count(JWKS)), (2, 2));

    let world = World::new();
    world.network.fail(DISCOVERY, Fault::Refused);
    world.exchange().is(503, "unavailable");
    assert_eq!(world.network.count(DISCOVERY), 2);
}

#[test]
fn an_issuer_that_answers_something_else_is_401() {
    let no_keys = json!({ "issuer": GITHUB_ACTIONS, "jwks_uri": format!("{GITHUB_ACTIONS}/jwks") });
    let elsewhere = |uri: &str| json!({ "issuer": GITHUB_ACTIONS, "jwks_uri": uri }).to_string();
    let cases: Vec<(&str, Fault)> = vec![
        (DISCOVERY, Fault::Status(404)),
        (DISCOVERY, Fault::Status(403)),
        (DISCOVERY, Fault::StatusWith(403, "x-ratelimit-remaining", "0".to_owned())),
        (DISCOVERY, Fault::StatusWith(302, "location", format!("{GITHUB_ACTIONS}/elsewhere"))),
        (DISCOVERY, Fault::TooLarge),
        (DISCOVERY, Fault::Garbage),
        (DISCOVERY, Fault::Body(200, "{}".to_owned())),
        (DISCOVERY, Fault::Body(200, "[]".to_owned())),
        (
            DISCOVERY,
            Fault::Body(200, json!({ "issuer": "https://other.example.com", "jwks_uri": "x" }).to_string()),
        ),
        (
            DISCOVERY,
            Fault::Body(200, json!({ "issuer": format!("{GITHUB_ACTIONS}/"), "jwks_uri": "x" }).to_string()),
        ),
        (DISCOVERY, Fault::Body(200, json!({ "issuer": GITHUB_ACTIONS }).to_string())),
        (DISCOVERY, Fault::Body(200, elsewhere("http://token.actions.githubusercontent.com/jwks"))),
        (DISCOVERY, Fault::Body(200, elsewhere("https://169.254.169.254/jwks"))),
        (DISCOVERY, Fault::Body(200, elsewhere("https://localhost/jwks"))),
        (DISCOVERY, Fault::Body(200, elsewhere("https://metadata.internal/jwks"))),
        (JWKS, Fault::Status(404)),
        (JWKS, Fault::StatusWith(301, "location", format!("{GITHUB_ACTIONS}/jwks2"))),
        (JWKS, Fault::TooLarge),
        (JWKS, Fault::Garbage),
        (JWKS, Fault::Body(200, no_keys.to_string())),
        (JWKS, Fault::Body(200, r#"{"keys":{}}"#.to_owned())),
    ];
    for (request, fault) in cases {
        let world = World::new();
        world.network.fail(request, fault.clone());
        world.exchange().is(401, "invalid_token");
        let requests = world.network.requests.borrow().len();
        world.advance(59);
        world.exchange().is(401, "invalid_token");
        assert_eq!(world.network.requests.borrow().len(), requests, "remembered for a minute: {fault:?}");
        world.network.heal();
        world.advance(1);
        world.exchange().granted();
    }
}

#[test]
fn stale_keys_serve_an_hour_while_the_issuer_gives_5xx_or_no_answer() {
    let limited = Fault::StatusWith(403, "retry-after", "7".to_owned());
    for fault in [Fault::Status(502), Fault::Refused, Fault::TimedOut, Fault::Status(429), limited] {
        let world = World::new();
        world.exchange().granted();
        world.network.fail(DISCOVERY, fault);
        world.advance(15 * 60);
        world.exchange().granted();
        let asked = world.network.count(DISCOVERY);
        world.exchange().granted();
        assert_eq!(world.network.count(DISCOVERY), asked, "not asked again for a minute");
        world.advance(3600 - 1);
        world.exchange().granted();
        world.advance(1);
        world.exchange().is(503, "unavailable");
    }
}

#[test]
fn stale_keys_do_not_serve_while_the_issuer_answers_something_else() {
    let world = World::new();
    world.exchange().granted();
    world.network.fail(JWKS, Fault::Garbage);
    world.advance(15 * 60);
    world.exchange().is(401, "invalid_token");
    // The valid value was not overwritten, so a later outage can use it.
    world.network.heal();
    world.network.fail(JWKS, Fault::Status(503));
    world.advance(60);
    world.exchange().granted();
}

#[test]
fn a_refetch_that_fails_says_why_and_loses_no_key() {
    for (fault, status) in [(Fault::Status(500), 503), (Fault::Garbage, 401)] {
        let world = World::new();
        world.exchange().granted();
        world.network.fail(JWKS, fault);
        let invented = world.issuer().sign_as("invented", &world.claims());
        for _ in 0..3 {
            let answer = world.exchange_with("acme/app", "deploy", &invented);
            assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
        }
        assert_eq!(world.network.count(JWKS), 2);
        world.exchange().granted();
    }
}

#[test]
fn an_issuer_with_a_path_is_asked_below_it() {
    let mut world = World::new();
    let url = "https://idp.example.com/tenants/acme/";
    std::rc::Rc::get_mut(&mut world.network).unwrap().issuers.push(crate::support::issuer::Issuer::new(url));
    let policy = crate::support::POLICY.replace(GITHUB_ACTIONS, url);
    world.github().commit("acme/app", ".github/chainguard/idp.sts.yaml", &policy);
    let mut claims = world.claims();
    claims["iss"] = json!(url);
    let token = world.network.issuers[1].sign(&claims);
    world.exchange_with("acme/app", "idp", &token).granted();
    assert_eq!(world.network.count("GET idp.example.com/tenants/acme/.well-known/openid-configuration"), 1);
}

#[test]
fn issuers_that_could_be_inside_are_never_asked() {
    let world = World::new();
    for issuer in [
        "https://127.0.0.1",
        "https://10.0.0.1",
        "https://[::1]",
        "https://0x7f000001",
        "https://2130706433",
        "https://localhost",
        "https://idp.localhost",
        "https://printer.local",
        "https://metadata.google.internal",
        "https://intranet",
        "https://idp.example.com:8443",
        "https://idp.example.com.",
        "http://idp.example.com",
        "https://sts.example.com",
        "https://user@idp.example.com",
        "https://idp.example.com?x",
        "https://idp.example.com#x",
        "https://idp.example.com/../x",
        "https://idp.example.com//x",
        "https://idp.example.com/%2e%2e/x",
        "https://ídp.example.com",
        " https://idp.example.com",
        "https://idp.example.com\n",
        "",
        "idp.example.com",
    ] {
        world
            .exchange_with("acme/app", "deploy", &world.token_with(&json!({ "iss": issuer })))
            .is(401, "invalid_token");
    }
    assert_eq!(world.network.requests.borrow().len(), 0);
}

#[test]
fn loopback_issuers_need_the_operators_word() {
    let world = World::with_settings(&[("ALLOW_LOOPBACK_HTTP", "true")]);
    let token = world.token_with(&json!({ "iss": "http://127.0.0.1:8080" }));
    world.exchange_with("acme/app", "deploy", &token).is(503, "unavailable");
    assert_eq!(world.network.count("GET 127.0.0.1:8080/.well-known/openid-configuration"), 2);
}

#[test]
fn a_flood_of_invented_key_ids_finds_the_door_closed_while_one_fetch_is_under_way() {
    let world = World::new();
    world.exchange().granted();
    let invented: Vec<String> =
        (0..20).map(|n| world.issuer().sign_as(&format!("k{n}"), &world.claims())).collect();
    let answers = world.exchange_at_once(&invented);
    assert_eq!(world.network.count(JWKS), 2, "the first fetch and one more");
    let told_to_wait = answers.iter().filter(|answer| answer.status.as_u16() == 503).count();
    assert_eq!(told_to_wait, 19);
    assert!(answers.iter().all(|answer| !answer.status.is_success()));
    world.exchange().granted();
}

#[test]
fn keys_that_one_request_fetched_survive_the_failure_of_another_at_the_same_time() {
    for is_rotation in [false, true] {
        // The one that fails came later, and fails before the other is answered.
        let world = World::new();
        if is_rotation {
            world.exchange().granted();
            world.issuer().rotate("key-2");
            world.advance(15 * 60);
        }
        let meanwhile = || {
            world.network.fail(DISCOVERY, Fault::Status(500));
            world.advance(1);
            world.exchange().is(503, "unavailable");
            world.network.heal();
        };
        world.exchange_during(1, meanwhile).granted();
        world.exchange().granted();
        assert_eq!(world.network.count(JWKS), if is_rotation { 2 } else { 1 }, "the keys are kept");

        // It fails after the other was answered.
        let world = World::new();
        if is_rotation {
            world.exchange().granted();
            world.issuer().rotate("key-2");
            world.advance(15 * 60);
        }
        world.network.fail(DISCOVERY, Fault::Status(500));
        let meanwhile = || {
            world.network.heal();
            world.exchange().granted();
        };
        // Fresh keys are there by now, whoever fetched them.
        world.exchange_during(1, meanwhile).granted();
        world.exchange().granted();
    }
}

#[test]
fn keys_in_kv_that_are_newer_and_yet_too_old_are_no_answer() {
    let world = World::new();
    world.exchange().granted();
    let twin = world.twin();
    world.issuer().rotate("key-2");
    twin.exchange().granted();
    world.issuer().rotate("key-3");
    world.advance(60);
    world.exchange().granted();
    assert_eq!(world.network.count(JWKS), 3);
}

#[test]
fn a_rotation_seen_by_a_new_isolate_costs_no_fifth_kv_read() {
    let mut world = World::new();
    world.exchange().granted();
    world.issuer().rotate("key-2");
    world.new_isolate();
    let reads = world.kv.reads.get();
    world.exchange().granted();
    assert_eq!(world.kv.reads.get() - reads, 4);
}

/// An isolate that failed meanwhile must not treat its failure as newer than the keys in KV.
#[test]
fn keys_in_kv_outweigh_a_failure_that_came_later() {
    let world = World::new();
    let twin = world.twin();
    let meanwhile = || {
        twin.advance(3);
        twin.network.fail(DISCOVERY, Fault::Status(500));
        twin.exchange().is(503, "unavailable");
        twin.network.heal();
    };
    world.exchange_during(1, meanwhile).granted();
    twin.advance(61);
    let fetched = world.network.count(DISCOVERY);
    twin.exchange().granted();
    assert_eq!(world.network.count(DISCOVERY), fetched, "KV has them");
}
