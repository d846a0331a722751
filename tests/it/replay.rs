//! `SINGLE_USE_TOKENS`: one delivered token for each OIDC token, whatever fails.

use std::time::Duration;

use http::Method;
use octo_sts_worker::ports::Reservations as _;
use octo_sts_worker::time::Timestamp;
use serde_json::json;

use crate::support::fault::Fault;
use crate::support::issuer::malleated;
use crate::support::used_tokens::StoreFault;
use crate::support::{POLICY, START, World};

const MINT: &str = "POST api.github.com/app/installations/1/access_tokens";
const USED: &str = "the token was used already";

fn single_use(rule: &str) -> World {
    let world = World::with_settings(&[("SINGLE_USE_TOKENS", rule)]);
    let writes = POLICY.replace("contents: read", "contents: read\n  issues: write");
    world.github().commit("acme/app", ".github/chainguard/writes.sts.yaml", &writes);
    world
}

fn exchange(world: &World, token: &str) -> crate::support::Answer {
    world.exchange_with("acme/app", "deploy", token)
}

#[track_caller]
fn assert_used(answer: &crate::support::Answer) {
    answer.is(401, "invalid_token");
    assert_eq!(answer.message(), USED);
    assert_eq!(answer.header("www-authenticate"), Some(r#"Bearer error="invalid_token""#));
}

#[test]
fn a_token_is_exchanged_once() {
    let world = single_use("true");
    let token = world.token();
    exchange(&world, &token).granted();
    let again = exchange(&world, &token);
    assert_used(&again);
    assert_eq!(again.sent.len(), 0, "nothing is minted");
    assert_eq!(world.github().minted().len(), 1);
    // The token is used up, not what it was exchanged for.
    assert_used(&world.exchange_with("acme/app", "writes", &token));
    world.advance(1);
    exchange(&world, &world.token()).granted();
}

#[test]
fn a_second_use_is_an_event_like_any_refusal() {
    let world = single_use("true");
    let token = world.token();
    exchange(&world, &token).granted();
    exchange(&world, &token);
    assert_eq!(world.events().len(), 2);
    let event = world.event();
    assert_eq!(event["outcome"], "invalid_token");
    assert_eq!(event["subject"], "repo:acme/app:ref:refs/heads/main");
    assert_eq!(event["identity"], "deploy");
    assert!(event["policy"]["sha"].is_string());
    assert_eq!(event.get("token_sha256"), None);
    assert_eq!(event["subrequests"], 0, "what an object is asked is no request to anybody");
}

#[test]
fn by_default_nobody_is_asked_and_nothing_is_said() {
    for settings in [&[][..], &[("SINGLE_USE_TOKENS", "false")]] {
        let world = World::with_settings(settings).without("USED_TOKENS");
        let token = world.token();
        let first = exchange(&world, &token);
        first.granted();
        let names: Vec<&str> = first.headers.keys().map(http::HeaderName::as_str).collect();
        let expected =
            ["content-type", "x-octo-sts-policy", "x-content-type-options", "x-request-id", "cache-control"];
        assert_eq!(names, expected);
        exchange(&world, &token).granted();
        world.network.fail(MINT, Fault::Status(500));
        exchange(&world, &token).is(503, "unavailable");
        assert!(world.used_tokens.asked.borrow().is_empty());
        let others = world.log.lines().iter().filter(|line| line.get("event").is_none()).count();
        assert_eq!(others, 1, "the mint that failed: {:?}", world.log.texts());
        let ready = world.call(Method::GET, "/readyz", &[], "");
        assert_eq!(ready.body, json!({ "status": "ready", "missing": [], "malformed": [] }));
    }
}

#[test]
fn without_its_binding_the_exchange_is_closed_by_name() {
    for rule in ["true", "writes"] {
        let world = single_use(rule).without("USED_TOKENS");
        let answer = world.exchange();
        answer.is(500, "misconfigured");
        assert_eq!(answer.message(), "the service is not configured: `USED_TOKENS`");
        assert_eq!(answer.sent.len(), 0);
        let ready = world.call(Method::GET, "/readyz", &[], "");
        assert_eq!(ready.status, 503);
        assert_eq!(ready.body, json!({ "status": "unready", "missing": ["USED_TOKENS"], "malformed": [] }));
    }
}

#[test]
fn an_accident_does_not_turn_it_off() {
    for value in ["", "TRUE", "True", "1", "yes", "write", " true", "false "] {
        let world = World::with_settings(&[("SINGLE_USE_TOKENS", value)]);
        world.exchange().is(500, "misconfigured");
        let ready = world.call(Method::GET, "/readyz", &[], "");
        assert_eq!(ready.status, 503, "{value:?}");
        assert_eq!(ready.body["malformed"], json!(["SINGLE_USE_TOKENS"]), "{value:?}");
    }
}

#[test]
fn with_writes_only_a_policy_that_writes_uses_a_token_up() {
    let world = single_use("writes");
    let token = world.token();
    for _ in 0..3 {
        exchange(&world, &token).granted();
    }
    world.used_tokens.fault.set(Some(StoreFault::Down));
    exchange(&world, &token).granted();
    assert!(world.used_tokens.asked.borrow().is_empty(), "reading asks nobody");
    world.used_tokens.fault.set(None);

    world.exchange_with("acme/app", "writes", &token).granted();
    assert_used(&world.exchange_with("acme/app", "writes", &token));
    exchange(&world, &token).granted();
}

#[test]
fn an_administering_policy_uses_a_token_up_too() {
    let world = single_use("writes");
    world.github().alter("acme", |installation| {
        installation.permissions.insert("repository_projects".to_owned(), "admin".to_owned());
    });
    let admin = POLICY.replace("contents: read", "repository_projects: admin");
    world.github().commit("acme/app", ".github/chainguard/admin.sts.yaml", &admin);
    let token = world.token();
    world.exchange_with("acme/app", "admin", &token).granted();
    assert_used(&world.exchange_with("acme/app", "admin", &token));
}

#[test]
fn a_token_with_another_text_is_the_same_token() {
    let off = World::new();
    let token = off.token();
    let other = malleated(&token);
    assert_ne!(token, other);
    exchange(&off, &token).granted();
    exchange(&off, &other).granted();

    let world = single_use("true");
    let token = world.token();
    let other = malleated(&token);
    world.network.secrets.borrow_mut().push(other.clone());
    exchange(&world, &token).granted();
    assert_used(&exchange(&world, &other));
    assert_eq!(malleated(&other), token);
}

#[test]
fn tokens_with_other_claims_are_others() {
    let world = single_use("true");
    for claims in [json!({}), json!({ "jti": "a" }), json!({ "jti": "b" }), json!({ "run_id": "1" })] {
        exchange(&world, &world.token_with(&claims)).granted();
    }
    // Equal claims are one token, even if signed again: an issuer of several tokens in one second has to distinguish
    // them.
    assert_used(&exchange(&world, &world.token_with(&json!({ "jti": "a" }))));
}

#[test]
fn a_refusal_uses_nothing_up() {
    let world = single_use("true");
    let token = world.token();
    world.exchange_with("acme/app", "absent", &token).is(404, "policy_not_found");
    world.exchange_with("acme/other", "deploy", &token).is(404, "installation_not_found");
    world.exchange_with("acme/app", "..", &token).is(400, "invalid_request");
    let other = POLICY.replace("heads/main", "heads/release");
    world.github().commit("acme/app", ".github/chainguard/release.sts.yaml", &other);
    world.exchange_with("acme/app", "release", &token).is(403, "permission_denied");
    assert!(world.used_tokens.asked.borrow().is_empty(), "before the grant nobody is asked");
    exchange(&world, &token).granted();
}

#[test]
fn a_mint_that_fails_gives_the_token_back() {
    let limited = |status| Fault::StatusWith(status, "retry-after", "42".to_owned());
    for (fault, status) in [
        (Fault::Status(422), 403),
        (Fault::Status(403), 403),
        (Fault::Status(401), 503),
        (Fault::Status(404), 503),
        (Fault::Status(302), 503),
        (Fault::Status(410), 503),
        (limited(403), 429),
        (limited(422), 429),
        (Fault::Status(429), 429),
        (Fault::Status(500), 503),
        (Fault::Status(502), 503),
        (Fault::Refused, 503),
        (Fault::TimedOut, 503),
        (Fault::Garbage, 502),
        (Fault::TooLarge, 502),
        (Fault::BrokenOff, 502),
    ] {
        let world = single_use("true");
        exchange(&world, &world.token_with(&json!({ "jti": "warm" }))).granted();
        let token = world.token();
        world.network.fail(MINT, fault.clone());
        for _ in 0..2 {
            assert_eq!(exchange(&world, &token).status.as_u16(), status, "{fault:?}");
        }
        assert_eq!(world.used_tokens.held().len(), 1, "{fault:?}: the first exchange's alone");
        world.network.heal();
        exchange(&world, &token).granted();
        assert_used(&exchange(&world, &token));
        let asked = ["reserve", "reserve", "release", "reserve", "release", "reserve", "reserve"];
        assert_eq!(*world.used_tokens.asked.borrow(), asked, "{fault:?}");
    }
}

#[test]
fn the_token_is_free_before_the_answer() {
    let world = single_use("true");
    exchange(&world, &world.token_with(&json!({ "jti": "warm" }))).granted();
    let authorization = format!("Bearer {}", world.token());
    let target = "/sts/exchange?scope=acme/app&identity=deploy";
    let send =
        || world.send_only(world.request(Method::GET, target, &[("authorization", &authorization)], ""));
    world.network.fail_times(MINT, Fault::Status(500), 1);
    send().is(503, "unavailable");
    send().granted();
    assert_used(&send());
}

#[test]
fn a_look_up_that_fails_within_the_mint_gives_the_token_back() {
    let world = single_use("true");
    exchange(&world, &world.token_with(&json!({ "jti": "warm" }))).granted();
    let token = world.token();
    for fault in [Fault::Status(500), Fault::Status(429), Fault::TimedOut] {
        world.network.fail(MINT, Fault::Status(404));
        world.network.fail("GET api.github.com/repos/acme/app/installation", fault);
        assert!(!exchange(&world, &token).status.is_success());
        assert_eq!(world.used_tokens.held().len(), 1);
        world.network.heal();
    }
    exchange(&world, &token).granted();
}

#[test]
fn a_minted_token_that_is_not_delivered_gives_the_token_back() {
    let distortions: [fn(&mut serde_json::Value); 4] = [
        |answer| answer["permissions"]["contents"] = json!("write"),
        |answer| answer["permissions"]["issues"] = json!("read"),
        |answer| answer["repositories"] = json!([{ "name": "docs", "full_name": "acme/docs", "id": 1 }]),
        |answer| answer["expires_at"] = json!("soon"),
    ];
    for distortion in distortions {
        let world = single_use("true");
        exchange(&world, &world.token_with(&json!({ "jti": "warm" }))).granted();
        let token = world.token();
        *world.github().distort.borrow_mut() = Some(Box::new(distortion));
        exchange(&world, &token).is(502, "upstream_error");
        *world.github().distort.borrow_mut() = None;
        exchange(&world, &token).granted();
        assert_used(&exchange(&world, &token));
        let alive = world.github().minted().iter().filter(|minted| !minted.revoked).count();
        assert_eq!(alive, 2, "one for each OIDC token");
    }
}

#[test]
fn of_many_at_once_one_gets_a_token() {
    let world = single_use("true");
    exchange(&world, &world.token_with(&json!({ "jti": "warm" }))).granted();
    let (minted, token) = (world.network.count(MINT), world.token());
    let mut tokens = vec![token.clone(); 10];
    tokens.extend(vec![malleated(&token); 10]);
    let answers = world.exchange_at_once(&tokens);
    let granted: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(granted.len(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        assert_used(refused);
    }
    assert_eq!(world.network.count(MINT), minted + 1);
}

#[test]
fn while_one_mints_the_other_is_refused_and_may_come_back_when_it_failed() {
    let world = single_use("true");
    exchange(&world, &world.token_with(&json!({ "jti": "warm" }))).granted();
    let token = world.token();
    world.network.fail_times(MINT, Fault::Status(500), 1);
    let answers = world.exchange_at_once(&[token.clone(), token.clone()]);
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [401, 503]);
    exchange(&world, &token).granted();
}

#[test]
fn another_isolate_knows_what_was_used() {
    let world = single_use("true");
    let token = world.token();
    exchange(&world, &token).granted();
    assert_used(&exchange(&world.twin(), &token));
}

#[test]
fn a_store_that_is_down_closes_what_needs_it() {
    for fault in [StoreFault::Down, StoreFault::ReserveFails, StoreFault::AnswerIsLost] {
        let world = single_use("true");
        let token = world.token();
        world.used_tokens.fault.set(Some(fault));
        let answer = exchange(&world, &token);
        answer.is(503, "unavailable");
        assert_eq!(answer.message(), "the record of used tokens did not answer");
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert!(!answer.text.contains("the object is down"));
        assert!(world.log.says("the token could not be reserved"));
        assert_eq!(world.github().minted().len(), 0, "nothing is minted");
        world.used_tokens.fault.set(None);
        // Also if the reservation was made but its answer was lost: it is released.
        assert_eq!(world.used_tokens.held().len(), 0, "{fault:?}");
        exchange(&world, &token).granted();
    }
}

#[test]
fn a_release_that_fails_is_told_to_the_log_and_the_token_stays_used() {
    let world = single_use("true");
    let token = world.token();
    exchange(&world, &world.token_with(&json!({ "jti": "warm" }))).granted();
    world.network.fail(MINT, Fault::Status(500));
    world.used_tokens.fault.set(Some(StoreFault::ReleaseFails));
    exchange(&world, &token).is(503, "unavailable");
    assert!(world.log.says("the token could not be released"));
    world.used_tokens.fault.set(None);
    world.network.heal();
    assert_used(&exchange(&world, &token));
}

#[test]
fn a_late_release_frees_nobody_elses() {
    let world = single_use("true");
    let token = world.token();
    exchange(&world, &token).granted();
    let (name, holder, _) = world.used_tokens.held().remove(0);
    pollster::block_on(world.used_tokens.release(&name, "an earlier request")).unwrap();
    assert_used(&exchange(&world, &token));
    pollster::block_on(world.used_tokens.release(&name, &holder)).unwrap();
    exchange(&world, &token).granted();
}

#[test]
fn the_record_knows_a_hash_a_request_and_a_time() {
    let world = single_use("true");
    let token = world.token();
    let answer = exchange(&world, &token);
    let held = world.used_tokens.held();
    let input = token.rsplit_once('.').unwrap().0;
    let name = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(input));
    let holder = answer.body["request_id"].as_str().unwrap().to_owned();
    // A minute longer than the token is valid.
    assert_eq!(held, [(name, holder, world.now() + 300 + 60)]);
}

#[test]
fn a_use_is_forgotten_only_when_the_token_is_good_nowhere() {
    let world = single_use("true");
    let token = world.token();
    exchange(&world, &token).granted();
    world.advance(299);
    assert_used(&exchange(&world, &token));
    world.advance(1);
    let expired = exchange(&world, &token);
    expired.is(401, "invalid_token");
    assert!(expired.message().starts_with("the token expired at"), "{}", expired.message());
    assert_eq!(world.used_tokens.held().len(), 1, "by another clock it may still be good");
    world.advance(60);
    assert_eq!(world.used_tokens.held().len(), 0);
}

#[test]
fn a_request_that_comes_when_the_use_is_forgotten_is_refused() {
    let world = single_use("true");
    let token = world.token();
    exchange(&world, &token).granted();
    // By this clock the token is valid, but by the record's it has expired: the exchange took long, or a clock is
    // wrong.
    let over = Timestamp::from_unix_seconds(world.now() + 360).unwrap();
    world.used_tokens.now.set(over.unix_millis());
    assert_eq!(world.used_tokens.held().len(), 0);
    let answer = exchange(&world, &token);
    answer.is(401, "invalid_token");
    assert_eq!(answer.message(), "the token expired at `2026-11-20T17:05:00.000Z`");
    assert_eq!(world.used_tokens.held().len(), 0);
}

#[test]
fn nothing_is_reserved_without_time_to_mint_and_always_released() {
    let until = Timestamp::from_unix_seconds(START + 1).unwrap();
    for (elapsed, asked) in [(20, ["reserve", "release"].as_slice()), (21, &["release"]), (26, &["release"])]
    {
        let world = World::new();
        let context = world.context_in(0);
        world.clock.set(Duration::from_secs(elapsed));
        let reserved = pollster::block_on(context.ports.reservations.reserve("name", "holder", until));
        assert_eq!(reserved.is_ok(), asked.contains(&"reserve"), "{elapsed}");
        pollster::block_on(context.ports.reservations.release("name", "holder")).unwrap();
        assert_eq!(*world.used_tokens.asked.borrow(), asked, "{elapsed}");
    }
}
