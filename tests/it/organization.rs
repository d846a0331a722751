//! The organization's trusted issuers: every row of the failure table, at the level of HTTP.

use serde_json::json;

use crate::support::fault::Fault;
use crate::support::{GITHUB_ACTIONS, World};

const PATH: &str = ".github/chainguard/trusted-token-issuers.yaml";
const CONTENTS: &str = "contents/.github/chainguard/trusted-token-issuers.yaml";

fn world_with(list: &str) -> World {
    let world = World::new();
    world.github().commit("acme/.github", PATH, list);
    world
}

fn listing(issuer: &str) -> String {
    format!("issuers: [{issuer}]\n")
}

#[test]
fn a_listed_issuer_passes_and_another_does_not() {
    let world = world_with(&listing(GITHUB_ACTIONS));
    world.exchange().granted();
    assert_eq!(
        world.event()["organization"],
        json!({ "state": "present", "mode": "enforce", "listed": true, "allowed": true, "stale": false })
    );
    let world = world_with(&listing("https://secret-idp.example.com"));
    let answer = world.exchange();
    answer.is(403, "permission_denied");
    assert_eq!(answer.message(), "issuer not permitted by organization policy");
    assert_eq!(world.network.count("contents/.github/chainguard/deploy"), 0, "later steps do no work");
    assert_eq!(
        world.event()["organization"],
        json!({ "state": "present", "mode": "enforce", "listed": false, "allowed": false, "stale": false })
    );
}

#[test]
fn patterns_and_exact_entries_are_one_list() {
    let world = world_with(
        "issuers: [https://idp.example.com]\nissuer_patterns: ['https://token\\.actions\\.[a-z]+\\.com']\n",
    );
    world.exchange().granted();
}

#[test]
fn audit_mode_allows_and_records() {
    let world = world_with("mode: audit\nissuers: [https://idp.example.com]\n");
    world.exchange().granted();
    assert_eq!(
        world.event()["organization"],
        json!({ "state": "present", "mode": "audit", "listed": false, "allowed": true, "stale": false })
    );
}

#[test]
fn an_absent_file_permits_every_issuer_and_is_remembered() {
    let mut world = World::new();
    world.exchange().granted();
    assert_eq!(world.event()["organization"], json!({ "state": "absent", "allowed": true, "stale": false }));
    world.github().commit("acme/.github", PATH, &listing("https://idp.example.com"));
    world.advance(299);
    world.new_isolate();
    world.exchange().granted();
    assert_eq!(world.network.count(CONTENTS), 2, "the second time to believe it");
    world.advance(1);
    world.exchange().is(403, "permission_denied");
}

#[test]
fn an_unreadable_policy_repository_permits_only_after_a_fresh_look() {
    let world = World::new();
    world.github().alter("acme", |installation| installation.repositories.retain(|name| name != ".github"));
    let answer = world.exchange();
    answer.granted();
    assert!(world.log.says("the app cannot read the policy repository, so every issuer is permitted"));
    assert_eq!(world.event()["organization"]["state"], "unreadable");
    assert_eq!(world.network.count("/repos/acme/app/installation"), 1, "the look-up of this request counts");

    // Later, with a cached installation, a look-up is made for this.
    world.advance(301);
    let answer = world.exchange();
    answer.granted();
    assert_eq!(world.network.count("/repos/acme/app/installation"), 2, "{:?}", answer.sent);
}

#[test]
fn a_replaced_installation_that_can_read_the_list_is_found_by_the_fresh_look() {
    let world = World::new();
    world.github().alter("acme", |installation| installation.repositories.retain(|name| name != ".github"));
    world.exchange().granted();
    world.advance(301);
    // The old installation still mints, a new one has the policy repository.
    world.github().alter("acme", |installation| installation.owner = "acme-old".to_owned());
    world.github().install(2, "acme", &["app", ".github"]);
    world.github().commit("acme/.github", PATH, &listing("https://idp.example.com"));
    world.exchange().is(403, "permission_denied");
}

#[test]
fn a_fresh_look_that_fails_is_no_permission() {
    for (fault, status) in [(Fault::Status(500), 503), (Fault::Status(429), 429), (Fault::Status(403), 503)] {
        // The installation is known from KV, nothing is known about the list, and the App cannot read it.
        let world = World::new();
        world.exchange_for("acme/app", "other").is(404, "policy_not_found");
        world.kv.entries.borrow_mut().retain(|key, _| !key.contains("/trusted-issuers/"));
        world
            .github()
            .alter("acme", |installation| installation.repositories.retain(|name| name != ".github"));
        world.network.fail("/repos/acme/app/installation", fault);
        let isolate = world.twin();
        let answer = isolate.exchange();
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
        assert!(
            !world.kv.values().iter().any(|value| value.contains("trusted-issuers")),
            "nothing is remembered of it"
        );
    }
}

#[test]
fn ignorance_is_never_permission() {
    let rows: [(&str, Fault, u16, &str); 13] = [
        (CONTENTS, Fault::Status(429), 429, "rate limited"),
        (CONTENTS, Fault::StatusWith(403, "retry-after", "7".to_owned()), 429, "rate limited"),
        (CONTENTS, Fault::StatusWith(403, "x-ratelimit-remaining", "0".to_owned()), 429, "rate limited"),
        (CONTENTS, Fault::Status(500), 503, "unavailable"),
        (CONTENTS, Fault::Status(401), 503, "unavailable"),
        (CONTENTS, Fault::Status(302), 503, "unavailable"),
        (CONTENTS, Fault::Status(422), 503, "unavailable"),
        (CONTENTS, Fault::TimedOut, 503, "unavailable"),
        (CONTENTS, Fault::Refused, 503, "unavailable"),
        (CONTENTS, Fault::BrokenOff, 503, "unavailable"),
        (CONTENTS, Fault::Garbage, 503, "unavailable"),
        ("access_tokens", Fault::Status(403), 503, "unavailable"),
        ("access_tokens", Fault::StatusWith(422, "retry-after", "7".to_owned()), 429, "rate limited"),
    ];
    for (request, fault, status, text) in rows {
        // Without a last known good state, whether a list would permit the issuer or not.
        let world = world_with(&listing(GITHUB_ACTIONS));
        world.network.fail(request, fault.clone());
        let answer = world.exchange();
        assert_eq!(answer.status.as_u16(), status, "{fault:?}: {}", answer.text);
        assert_eq!(answer.message(), format!("organization trusted-issuer lookup {text}"), "{fault:?}");
        assert!(answer.header("retry-after").is_some());
        assert_eq!(
            world.event()["organization"],
            json!({ "state": "unknown", "allowed": false, "stale": false })
        );
        assert!(
            !world.kv.values().iter().any(|value| value.contains("trusted-issuers")),
            "nothing is remembered of it"
        );

        // With one: for an hour, unchanged, if GitHub has a temporary failure. Its other answers are not such failures.
        if request != CONTENTS {
            continue;
        }
        let merely_fails = !matches!(fault, Fault::Status(401 | 302 | 422) | Fault::Garbage);
        for (list, granted) in [(listing(GITHUB_ACTIONS), true), (listing("https://idp.example.com"), false)]
        {
            let world = world_with(&list);
            assert_eq!(world.exchange().status.is_success(), granted);
            world.network.fail(request, fault.clone());
            world.advance(301);
            let answer = world.exchange();
            if merely_fails {
                assert_eq!(answer.status.is_success(), granted, "{fault:?}");
                assert_eq!(world.event()["organization"]["stale"], true);
                world.advance(3601 - 301);
            }
            let answer = world.exchange();
            assert_eq!(answer.status.as_u16(), status, "{fault:?}: {}", answer.text);
        }
    }
}

/// GitHub tells a token that is milliseconds old that an existing file is absent.
#[test]
fn one_404_switches_no_list_off() {
    // The list is there, and GitHub says once that it is not.
    let world = world_with(&listing("https://idp.example.com"));
    world.network.fail_times(CONTENTS, Fault::Status(404), 1);
    let answer = world.exchange();
    answer.is(403, "permission_denied");
    assert_eq!(answer.message(), "issuer not permitted by organization policy");
    assert_eq!(answer.took, std::time::Duration::ZERO, "a repository that is seen at once is not waited for");
    // The token does not see the repository yet.
    let repository = |sent: &crate::support::platform::Sent| sent.path == "/repos/acme/.github";
    for (unseen, seconds) in [(1, 1), (2, 2)] {
        let world = world_with(&listing("https://idp.example.com"));
        world.network.fail_times(CONTENTS, Fault::Status(404), 1);
        world.network.fail_where_times(repository, unseen, Fault::Status(404));
        let answer = world.exchange();
        answer.is(403, "permission_denied");
        assert_eq!(answer.took.as_secs(), seconds, "a second for each time that it was not seen");
    }
    // Nor later: nothing is known about the list, and nothing is cached.
    let world = world_with(&listing("https://idp.example.com"));
    world.network.fail_times(CONTENTS, Fault::Status(404), 1);
    world.network.fail_where(repository, 0, Fault::Status(404));
    let answer = world.exchange();
    answer.is(503, "unavailable");
    assert_eq!(answer.message(), "organization trusted-issuer lookup unavailable");
    assert_eq!(world.network.requests.borrow().iter().filter(|sent| repository(sent)).count(), 3);
    assert!(!world.kv.values().iter().any(|value| value.contains("trusted-issuers")));
    // The known list remains in use.
    let world = world_with(&listing(GITHUB_ACTIONS));
    world.exchange().granted();
    world.advance(301);
    world.network.fail(CONTENTS, Fault::Status(404));
    world.network.fail_where(repository, 0, Fault::Status(404));
    world.exchange().granted();
    assert_eq!(world.event()["organization"]["stale"], true);
}

#[test]
fn a_refusal_of_the_list_is_asked_again_and_then_told_as_one_for_a_minute() {
    for status in [401, 403] {
        let world = world_with(&listing(GITHUB_ACTIONS));
        world.network.fail_times(CONTENTS, Fault::Status(status), 1);
        let answer = world.exchange();
        answer.granted();
        assert_eq!(answer.took.as_secs(), 1);
    }
    let mut world = world_with(&listing(GITHUB_ACTIONS));
    world.network.fail(CONTENTS, Fault::Status(403));
    let answer = world.exchange();
    answer.is(403, "permission_denied");
    assert_eq!(answer.message(), "organization trusted-issuer lookup refused");
    let asked = world.network.count(CONTENTS);
    assert_eq!(asked, 2);
    world.advance(59);
    world.exchange().is(403, "permission_denied");
    world.new_isolate();
    world.exchange().is(403, "permission_denied");
    assert_eq!(world.network.count(CONTENTS), asked, "in every isolate");
    world.network.heal();
    world.advance(1);
    world.exchange().granted();

    // The last valid list is used for an hour, and GitHub is asked again when memory's half minute is over.
    world.network.fail(CONTENTS, Fault::Status(403));
    world.advance(301);
    world.exchange().granted();
    let asked = world.network.count(CONTENTS);
    world.advance(29);
    world.exchange().granted();
    assert_eq!(world.network.count(CONTENTS), asked);
    world.advance(3600 - 301 - 29);
    world.exchange().granted();
    world.advance(1);
    world.advance(60);
    world.exchange().is(403, "permission_denied");
}

#[test]
fn a_policy_that_a_young_token_does_not_see_is_asked_for_once_more() {
    let policy = "contents/.github/chainguard/deploy.sts.yaml";
    for status in [401, 403, 404] {
        let world = world_with(&listing(GITHUB_ACTIONS));
        world.network.fail_times(policy, Fault::Status(status), 1);
        let answer = world.exchange();
        answer.granted();
        assert_eq!((answer.sent.len(), answer.took.as_secs()), (9, 1), "one request more, a second later");
    }
    let world = world_with(&listing(GITHUB_ACTIONS));
    world.network.fail(policy, Fault::Status(404));
    let answer = world.exchange();
    answer.is(404, "policy_not_found");
    assert_eq!((world.network.count(policy), answer.took.as_secs()), (2, 1));
    world.exchange().is(404, "policy_not_found");
    assert_eq!(world.network.count(policy), 2, "then it is remembered");

    // A token that is five seconds old is believed.
    let world = world_with(&listing(GITHUB_ACTIONS));
    world.network.fail(policy, Fault::LateStatus(404, 5));
    let answer = world.exchange();
    answer.is(404, "policy_not_found");
    assert_eq!(world.network.count(policy), 1);
}

#[test]
fn an_invalid_file_refuses_everyone_but_for_an_hour_of_the_last_good_list() {
    let broken: Vec<serde_json::Value> = vec![
        json!("issuer_patterns: ['[unclosed']\n"),
        json!("issuers: [https://a.example.com]\nenabled: true\n"),
        json!("mode: off\nissuers: [https://a.example.com]\n"),
        json!(""),
        json!([]),
        json!({ "type": "symlink", "target": "x", "sha": "0".repeat(40) }),
        json!({ "type": "submodule", "sha": "0".repeat(40) }),
        json!({ "type": "file", "encoding": "none", "content": "", "sha": "0".repeat(40) }),
    ];
    for content in broken {
        let put = |world: &World| match content.as_str() {
            Some(text) => world.github().commit("acme/.github", PATH, text),
            None => world.github().put("acme/.github", PATH, content.clone()),
        };
        let world = World::new();
        put(&world);
        for _ in 0..2 {
            let answer = world.exchange();
            answer.is(403, "permission_denied");
            assert_eq!(answer.message(), "organization trusted-issuer configuration is invalid", "{content}");
        }
        assert_eq!(world.event()["organization"]["state"], "invalid");

        // A valid list before it still counts, for permission and refusal alike.
        let mut world = world_with(&listing(GITHUB_ACTIONS));
        world.exchange().granted();
        put(&world);
        world.advance(301);
        world.exchange().granted();
        world.new_isolate();
        world.exchange().granted();
        assert_eq!(world.event()["organization"]["stale"], true);
        world.advance(3600 - 301);
        world.exchange().granted();
        world.advance(1);
        world.exchange().is(403, "permission_denied");

        // An absent file before it does not count as a list.
        let world = World::new();
        world.exchange().granted();
        put(&world);
        world.advance(301);
        world.exchange().is(403, "permission_denied");
        // And GitHub failing now does not bring the absence back.
        world.network.fail(CONTENTS, Fault::Status(500));
        world.advance(61);
        assert!(!world.exchange().status.is_success(), "{content}");
    }
}

#[test]
fn kv_holding_garbage_is_no_permission() {
    for value in [
        "",
        "null",
        "{}",
        r#"{"learnt_at":1,"written_at":1,"written_by":"x","record":{"file":"Everything","last_good":null}}"#,
    ] {
        let mut world = world_with(&listing("https://idp.example.com"));
        world.exchange().is(403, "permission_denied");
        world.kv.overwrite("/trusted-issuers/", value);
        world.new_isolate();
        world.exchange().is(403, "permission_denied");
        world.new_isolate();
        world.network.fail(CONTENTS, Fault::Status(500));
        world.kv.overwrite("/trusted-issuers/", value);
        world.exchange().is(503, "unavailable");
    }
}

#[test]
fn the_list_of_another_owner_is_none_of_ours() {
    let world = world_with(&listing("https://idp.example.com"));
    world.github().install(2, "umbrella", &["app", ".github"]);
    world.github().commit("umbrella/app", ".github/chainguard/deploy.sts.yaml", crate::support::POLICY);
    world.exchange().is(403, "permission_denied");
    world.exchange_for("umbrella/app", "deploy").granted();
}

/// An enforced list without the issuer, and a policy for another subject: whatever GitHub, the issuer and KV do, and
/// whatever the caches contain, neither admits anybody.
#[test]
fn no_story_grants_what_a_list_or_a_policy_refuses() {
    const STORIES: u32 = 80;
    let calls = [
        "access_tokens",
        "/installation",
        CONTENTS,
        "contents/.github/chainguard/deploy",
        "GET api.github.com/repos/acme/.github",
        "GET api.github.com/repos/acme/app",
        "api.github.com",
        "openid-configuration",
        "/jwks",
        "",
    ];
    let faults = [
        Fault::Status(404),
        Fault::Status(401),
        Fault::Status(403),
        Fault::Status(422),
        Fault::Status(500),
        Fault::Status(429),
        Fault::Status(302),
        Fault::Refused,
        Fault::TimedOut,
        Fault::BrokenOff,
        Fault::Garbage,
        Fault::TooLarge,
        Fault::Body(200, "{}".to_owned()),
        Fault::Body(200, "[]".to_owned()),
        Fault::Body(200, "null".to_owned()),
        Fault::StatusWith(403, "retry-after", "7".to_owned()),
        Fault::AboveTheCap,
        Fault::OtherType,
    ];
    // Pseudo-random, and the same each time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut any = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    for story in 0..STORIES {
        let is_listed = any(2) == 0;
        let list = if is_listed { listing(GITHUB_ACTIONS) } else { listing("https://idp.example.com") };
        let mut world = world_with(&list);
        let mut told = vec![format!("story {story}: {list}")];
        for _ in 0..8 {
            let (call, fault) = (calls[any(calls.len())], faults[any(faults.len())].clone());
            // GitHub's repeated answers about a list are believed: that it is absent, and that the App may not read it.
            let times = if matches!(fault, Fault::Status(404)) { 1 } else { 1 + any(4) };
            if matches!(fault, Fault::Status(422)) && !call.contains("contents") {
                continue;
            }
            let seconds = [0, 1, 31, 61, 301, 901, 3700][any(7)];
            told.push(format!("{times} times {fault:?} at {call}, then {seconds} seconds"));
            match any(4) {
                0 => world.new_isolate(),
                1 => world.kv.broken.set(true),
                _ => {}
            }
            world.network.fail_times(call, fault, u32::try_from(times).unwrap());
            let token = if is_listed {
                world.token_with(&json!({ "sub": "repo:acme/app:ref:refs/heads/dev" }))
            } else {
                world.token()
            };
            let answer = world.exchange_with("acme/app", "deploy", &token);
            assert!(!answer.status.is_success(), "{}: {told:#?}", answer.text);
            assert!(
                matches!(answer.status.as_u16(), 401 | 403 | 404 | 429 | 503),
                "{}: {told:#?}",
                answer.text
            );
            assert_eq!(world.event()["token_sha256"], json!(null), "{told:#?}");
            world.network.heal();
            world.kv.broken.set(false);
            world.advance(seconds);
        }
        let alive = world.github().ledger.borrow().iter().filter(|minted| !minted.revoked).count();
        assert!(alive <= 8, "{told:#?}");
    }
}
