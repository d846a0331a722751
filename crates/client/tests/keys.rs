//! What a verifier remembers about an issuer's keys, and when it asks again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::thread;

use octo_sts::{Failure, Refusal, Verifier};
use serde_json::json;
use support::{ISSUER, Key, Mood, World, claims, keys_of};

fn token(world: &World, key: &Key) -> String {
    key.sign(&claims(ISSUER, world.now()))
}

fn outcome(verifier: &Verifier, token: &str) -> &'static str {
    verifier.verify_blocking(token).as_ref().map_or_else(Refusal::code, |_| "accepted")
}

#[test]
fn keys_are_fetched_once_and_hold_for_a_quarter_of_an_hour() {
    let key = Key::generate("a");
    let world = World::new(&[&key]);
    let verifier = world.verifier();
    assert_eq!(world.asked(), 0, "nothing is fetched before the first token");
    for (pass, asked) in [(0, 1), (0, 1), (899, 1), (1, 2), (899, 2)] {
        world.pass(pass);
        assert_eq!(outcome(&verifier, &token(&world, &key)), "accepted");
        assert_eq!(world.asked(), asked);
    }
}

#[test]
fn the_issuer_says_how_long_within_bounds() {
    for (says, holds) in [("max-age=300", 300), ("no-store", 60), ("max-age=86400", 3600)] {
        let key = Key::generate("a");
        let world = World::new(&[]);
        world.becomes(Mood::Keys(vec![key.jwk()], Some(says)));
        let verifier = world.verifier();
        for (pass, asked) in [(0, 1), (holds - 1, 1), (1, 2)] {
            world.pass(pass);
            assert_eq!(outcome(&verifier, &token(&world, &key)), "accepted");
            assert_eq!(world.asked(), asked, "{says}");
        }
    }
}

#[test]
fn any_number_of_callers_causes_one_fetch() {
    let key = Key::generate("a");
    let world = World::new(&[&key]);
    let verifier = world.verifier();
    let token = token(&world, &key);
    let slow = world.gate.lock().unwrap();
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (verifier, token) = (verifier.clone(), token.clone());
            thread::spawn(move || outcome(&verifier, &token))
        })
        .collect();
    drop(slow);
    assert!(callers.into_iter().all(|caller| caller.join().unwrap() == "accepted"));
    assert_eq!(world.asked(), 1);
}

#[test]
fn callers_on_an_async_runtime_wait_without_holding_a_thread() {
    let key = Key::generate("a");
    let world = World::new(&[&key]);
    let verifier = world.verifier();
    let token = token(&world, &key);
    let slow = world.gate.lock().unwrap();
    // One thread, and a hundred callers that wait on it.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let local = runtime.block_on(async {
        let callers: Vec<_> = (0..100)
            .map(|_| {
                let (verifier, token) = (verifier.clone(), token.clone());
                tokio::spawn(async move { verifier.verify(&token).await.is_ok() })
            })
            .collect();
        tokio::task::yield_now().await;
        // A caller that goes away does not affect the others.
        callers.first().unwrap().abort();
        drop(slow);
        let mut accepted = 0;
        for caller in callers {
            accepted += usize::from(caller.await.unwrap_or(false));
        }
        accepted
    });
    assert_eq!((local, world.asked()), (99, 1));
}

#[test]
fn stale_keys_serve_an_hour_while_the_issuer_does_not_answer() {
    for mood in [Mood::Down, Mood::Status(500), Mood::Status(503)] {
        let key = Key::generate("a");
        let world = World::new(&[&key]);
        let verifier = world.verifier();
        assert_eq!(outcome(&verifier, &token(&world, &key)), "accepted");
        world.becomes(mood);
        world.pass(900);
        assert_eq!(outcome(&verifier, &token(&world, &key)), "accepted");
        assert_eq!(world.asked(), 2);
        world.pass(59);
        assert_eq!(outcome(&verifier, &token(&world, &key)), "accepted");
        assert_eq!(world.asked(), 2, "a failed attempt is remembered for a minute");
        world.pass(1);
        assert_eq!(outcome(&verifier, &token(&world, &key)), "accepted");
        assert_eq!(world.asked(), 3);
        world.pass(3600 - 60);
        let refusal = verifier.verify_blocking(&token(&world, &key)).unwrap_err();
        assert_eq!((refusal.status().as_u16(), refusal.retry_after_seconds()), (503, Some(60)));
        world.pass(60);
        world.becomes(keys_of(&[&key]));
        assert_eq!(outcome(&verifier, &token(&world, &key)), "accepted", "it recovers");
    }
}

#[test]
fn stale_keys_do_not_serve_for_an_issuer_that_answers_something_else() {
    for mood in [Mood::Status(404), Mood::Status(302), Mood::Keys(vec![], None)] {
        let key = Key::generate("a");
        let world = World::new(&[&key]);
        let verifier = world.verifier();
        assert_eq!(outcome(&verifier, &token(&world, &key)), "accepted");
        world.becomes(mood);
        world.pass(900);
        let refusal = verifier.verify_blocking(&token(&world, &key)).unwrap_err();
        assert_eq!(refusal.status().as_u16(), 401, "{refusal}");
        assert!(matches!(refusal.failure(), Failure::NoKeys(Some(_))));
    }
}

#[test]
fn a_failed_discovery_is_remembered_for_a_minute() {
    let key = Key::generate("a");
    let world = World::new(&[&key]);
    world.becomes(Mood::Down);
    let verifier = world.verifier();
    for (pass, asked, left) in [(0, 1, 60), (20, 1, 40), (39, 1, 1)] {
        world.pass(pass);
        let refusal = verifier.verify_blocking(&token(&world, &key)).unwrap_err();
        assert_eq!((refusal.status().as_u16(), refusal.retry_after_seconds()), (503, Some(left)));
        assert_eq!(world.asked(), asked);
    }
    world.becomes(keys_of(&[&key]));
    world.pass(1);
    assert_eq!(outcome(&verifier, &token(&world, &key)), "accepted");
    assert_eq!(world.asked(), 2);
}

#[test]
fn an_unknown_key_causes_one_fetch_a_minute() {
    let (old, new, invented) = (Key::generate("old"), Key::generate("new"), Key::generate("invented"));
    let world = World::new(&[&old]);
    let verifier = world.verifier();
    assert_eq!(outcome(&verifier, &token(&world, &new)), "unknown_key", "these keys are as new as can be");
    assert_eq!(world.asked(), 1);
    world.becomes(keys_of(&[&old, &new]));
    assert_eq!(outcome(&verifier, &token(&world, &new)), "accepted", "the issuer has a new key");
    assert_eq!(world.asked(), 2);
    for _ in 0..5 {
        assert_eq!(outcome(&verifier, &token(&world, &invented)), "unknown_key");
    }
    assert_eq!(world.asked(), 2, "a flood of invented keys finds the door closed");
    world.pass(60);
    assert_eq!(outcome(&verifier, &token(&world, &invented)), "unknown_key");
    assert_eq!(world.asked(), 3);
    world.pass(60);
    world.becomes(Mood::Down);
    let refusal = verifier.verify_blocking(&token(&world, &invented)).unwrap_err();
    assert_eq!(refusal.status().as_u16(), 503, "nobody knows whether there is such a key");
    assert_eq!(outcome(&verifier, &token(&world, &old)), "accepted", "the keys that are there hold");
    assert_eq!(outcome(&verifier, &token(&world, &invented)), "issuer_timed_out");
    assert_eq!(world.asked(), 4);
}

#[test]
fn issuer_and_audience_are_compared_byte_for_byte() {
    let key = Key::generate("a");
    let world = World::new(&[&key]);
    let verifier = world.verifier();
    for issuer in [
        "https://issuer.example.com/",
        "https://ISSUER.example.com",
        "https://issuer.example.com:443",
        "https://evil.example.com",
    ] {
        assert_eq!(
            outcome(&verifier, &key.sign(&claims(issuer, world.now()))),
            "issuer_not_allowed",
            "{issuer}"
        );
    }
    assert_eq!(world.asked(), 0, "nobody is asked for a stranger");
    let with_audience = |audience: serde_json::Value| {
        let mut claims = claims(ISSUER, world.now());
        claims["aud"] = audience;
        key.sign(&claims)
    };
    assert_eq!(outcome(&verifier, &with_audience(json!(["x", "api.example.com"]))), "accepted");
    for other in [json!("API.example.com"), json!("api.example.com/"), json!(["x", "y"])] {
        assert_eq!(outcome(&verifier, &with_audience(other.clone())), "audience", "{other}");
    }
}
