//! How long a credential is used, who refreshes it, and when it is dropped.

use futures_util::future::join_all;
use octo_sts_worker::time::Timestamp;
use serde_json::json;

use super::stage::{Instead, Shown, Stage, bearer, kind};

/// For lifetimes in seconds: when a request refreshes, and when one waits.
const LIVES: [(i64, i64, i64); 8] = [
    (3600, 2700, 3570),
    (43_200, 32_400, 43_170),
    (1200, 900, 1170),
    (900, 600, 870),
    (600, 300, 570),
    (300, 150, 270),
    (60, 30, 54),
    (10, 5, 9),
];

#[test]
fn a_life_has_its_moments() {
    let oauth = kind("oauth", &json!({}));
    for (life, refresh, last) in LIVES {
        let stage = Stage::new();
        stage.providers.life.set(life);
        let first = stage.bearer(&oauth);
        stage.advance(u64::try_from(refresh - 1).unwrap());
        assert_eq!(stage.bearer(&oauth), first);
        assert_eq!(stage.exchanges(), 1, "{life}: not due yet");
        stage.advance(1);
        assert_eq!(stage.bearer(&oauth), first, "{life}: nobody waits");
        assert_eq!(stage.exchanges(), 2, "{life}: due");
        assert_ne!(stage.bearer(&oauth), first, "{life}: refreshed");

        let stage = Stage::new();
        stage.providers.life.set(life);
        let first = stage.bearer(&oauth);
        stage.advance(u64::try_from(last - 1).unwrap());
        assert_eq!(bearer(&stage.prepare_only(&oauth).unwrap()), first, "{life}: still serves");
        let stage = Stage::new();
        stage.providers.life.set(life);
        let first = stage.bearer(&oauth);
        stage.advance(u64::try_from(last).unwrap());
        assert_ne!(bearer(&stage.prepare_only(&oauth).unwrap()), first, "{life}: waits for a new one");
        assert_eq!(stage.exchanges(), 2);
    }
}

#[test]
fn a_credential_that_never_ends_is_no_trap() {
    let stage = Stage::new();
    stage
        .always(Instead::Answer(200, r#"{"access_token":"a","expires_in":18446744073709551615}"#.to_owned()));
    let oauth = kind("oauth", &json!({}));
    stage.bearer(&oauth);
    stage.advance(1_000_000);
    stage.bearer(&oauth);
    assert_eq!(stage.exchanges(), 1);
}

/// This many requests at once.
fn storm(stage: &Stage, requests: usize) -> Vec<String> {
    let oauth = kind("oauth", &json!({}));
    let shown = Shown::session();
    let all = (0..requests).map(|_| stage.prepare_now(&oauth, &shown));
    let prepared = pollster::block_on(join_all(all));
    stage.settle();
    prepared.into_iter().map(|prepared| bearer(&prepared.unwrap())).collect()
}

#[test]
fn a_storm_makes_at_most_one_exchange_while_an_old_credential_lives() {
    let oauth = kind("oauth", &json!({}));
    for moment in [2700, 3000, 3569, 3570, 3599] {
        let stage = Stage::new();
        let first = stage.bearer(&oauth);
        stage.advance(moment);
        let bearers = storm(&stage, 100);
        assert_eq!(stage.exchanges(), 2, "{moment}");
        let old = bearers.iter().filter(|bearer| **bearer == first).count();
        assert_eq!(old, if moment < 3570 { 100 } else { 99 }, "{moment}");
        storm(&stage, 100);
        assert_eq!(stage.exchanges(), 2);
    }
}

#[test]
fn a_claim_is_void_after_half_a_minute() {
    let stage = Stage::new();
    let oauth = kind("oauth", &json!({}));
    stage.bearer(&oauth);
    stage.advance(2700);
    // Its work after the answer is never done.
    let lost = stage.prepare_only(&oauth).unwrap();
    stage.world.drop_deferred();
    for (seconds, exchanges) in [(29, 1), (1, 2)] {
        stage.advance(seconds);
        assert_eq!(bearer(&stage.prepare(&oauth).unwrap()), bearer(&lost));
        assert_eq!(stage.exchanges(), exchanges, "{seconds}");
    }
}

#[test]
fn a_failed_refresh_is_tried_again_after_half_a_minute_and_the_old_one_serves_to_its_end() {
    let stage = Stage::new();
    let oauth = kind("oauth", &json!({}));
    let first = stage.bearer(&oauth);
    stage.refuse(503, &json!({}));
    stage.advance(2700);
    assert_eq!(stage.bearer(&oauth), first);
    assert_eq!((stage.exchanges(), stage.lines().len()), (2, 1));
    stage.advance(29);
    assert_eq!(stage.bearer(&oauth), first);
    assert_eq!(stage.exchanges(), 2);
    stage.advance(1);
    assert_eq!(stage.bearer(&oauth), first);
    assert_eq!(stage.exchanges(), 3);
    // In the last half minute, a request makes its own exchange, but still has the old credential.
    stage.advance(3570 - 2730);
    assert_eq!(stage.bearer(&oauth), first);
    assert_eq!(stage.exchanges(), 4);
    stage.advance(29);
    assert_eq!(stage.bearer(&oauth), first);
    assert_eq!(stage.exchanges(), 4);
    stage.advance(1);
    stage.prepare(&oauth).unwrap_err();
    assert_eq!(stage.exchanges(), 5);
    // Without an old credential, a failure is not recorded.
    stage.prepare(&oauth).unwrap_err();
    assert_eq!(stage.exchanges(), 6);
    stage.heal();
    assert_ne!(stage.bearer(&oauth), first);
}

#[test]
fn a_failed_first_exchange_is_not_remembered() {
    let stage = Stage::new();
    let oauth = kind("oauth", &json!({}));
    stage.refuse(400, &json!({"error": "invalid_grant"}));
    stage.prepare(&oauth).unwrap_err();
    stage.heal();
    stage.prepare(&oauth).unwrap();
    assert_eq!(stage.exchanges(), 2);
}

#[test]
fn there_is_no_falling_back_to_another_credential() {
    let stage = Stage::new();
    let own = kind("oauth", &json!({"identity": "caller-subject"}));
    stage.prepare_as(&own, &Shown::subject("one")).unwrap();
    stage.refuse(503, &json!({}));
    stage.prepare_as(&own, &Shown::subject("two")).unwrap_err();
}

#[test]
fn a_thousand_and_some_are_kept_and_the_least_recently_used_goes() {
    let stage = Stage::new();
    let own = kind("oauth", &json!({"identity": "caller-token"}));
    let subject = |index: usize| shown(&index.to_string());
    for index in 0..1024 {
        stage.prepare_as(&own, &subject(index)).unwrap();
    }
    stage.prepare_as(&own, &subject(0)).unwrap();
    assert_eq!(stage.exchanges(), 1024);
    stage.prepare_as(&own, &subject(1024)).unwrap();
    stage.prepare_as(&own, &subject(0)).unwrap();
    stage.prepare_as(&own, &subject(2)).unwrap();
    assert_eq!(stage.exchanges(), 1025);
    stage.prepare_as(&own, &subject(1)).unwrap();
    assert_eq!(stage.exchanges(), 1026);
}

#[test]
fn failures_push_nobody_out() {
    let stage = Stage::new();
    let own = kind("oauth", &json!({"identity": "caller-token"}));
    stage.prepare_as(&own, &shown("good")).unwrap();
    stage.refuse(400, &json!({}));
    for index in 0..1100 {
        stage.prepare_as(&own, &shown(&index.to_string())).unwrap_err();
    }
    stage.prepare_as(&own, &shown("good")).unwrap();
}

/// A caller whose own token is exchanged, which needs no signature.
fn shown(name: &str) -> Shown {
    Shown::token(&format!("caller.token.{name}"), &["https://auth.example.com"])
}

fn answered(
    stage: &Stage,
    prepared: &octo_sts_worker::federation::Prepared,
    status: u16,
    error: Option<&str>,
) {
    let now = Timestamp::from_unix_seconds(stage.world.now()).unwrap();
    stage.federation.upstream_answered(&prepared.sent, status, error, now);
}

#[test]
fn an_upstream_that_says_401_makes_the_isolate_forget_once_in_half_a_minute() {
    for name in ["assertion", "anthropic", "aws", "google", "azure", "openai", "oauth"] {
        let stage = Stage::new();
        let credential = kind(name, &json!({}));
        let made = || {
            if name == "assertion" {
                usize::try_from(stage.world.signatures.signed.get()).unwrap()
            } else {
                stage.exchanges()
            }
        };
        let first = stage.prepare(&credential).unwrap();
        for status in [200, 400, 403, 404, 500, 503] {
            answered(&stage, &first, status, Some("AccessDeniedException"));
        }
        stage.prepare(&credential).unwrap();
        assert_eq!(made(), 1, "{name}");
        answered(&stage, &first, 401, None);
        let second = stage.prepare(&credential).unwrap();
        assert_eq!(made(), 2, "{name}");
        // A late answer to the first one does not cost the second.
        stage.advance(31);
        answered(&stage, &first, 401, None);
        stage.prepare(&credential).unwrap();
        assert_eq!(made(), 2, "{name}");
        answered(&stage, &second, 401, None);
        let third = stage.prepare(&credential).unwrap();
        assert_eq!(made(), 3, "{name}");
        stage.advance(29);
        answered(&stage, &third, 401, None);
        stage.prepare(&credential).unwrap();
        assert_eq!(made(), 3, "{name}: once in 30 s");
        stage.advance(1);
        answered(&stage, &third, 401, None);
        stage.prepare(&credential).unwrap();
        assert_eq!(made(), 4, "{name}");
    }
}

#[test]
fn aws_also_says_it_with_403() {
    for sign in ["sigv4", "bedrock-key"] {
        for (name, forgets) in [
            ("ExpiredTokenException", true),
            ("UnrecognizedClientException", true),
            ("ExpiredTokenException:http://internal.amazon.com/coral/", true),
            ("AccessDeniedException", false),
            ("expiredtokenexception", false),
            ("", false),
        ] {
            let stage = Stage::new();
            let aws = kind("aws", &json!({ "sign": sign }));
            let prepared = stage.prepare(&aws).unwrap();
            answered(&stage, &prepared, 403, Some(name));
            stage.prepare(&aws).unwrap();
            assert_eq!(stage.exchanges() == 2, forgets, "{sign} {name}");
        }
    }
    let stage = Stage::new();
    let oauth = kind("oauth", &json!({}));
    let prepared = stage.prepare(&oauth).unwrap();
    answered(&stage, &prepared, 403, Some("ExpiredTokenException"));
    stage.prepare(&oauth).unwrap();
    assert_eq!(stage.exchanges(), 1);
}

#[test]
fn a_stored_secret_is_never_forgotten() {
    let stage = Stage::new();
    let secret = kind("secret", &json!({}));
    let prepared = stage.prepare(&secret).unwrap();
    answered(&stage, &prepared, 401, None);
    stage.prepare(&secret).unwrap();
}
