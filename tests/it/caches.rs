//! What is remembered, for how long, and what is not.

use serde_json::json;

use crate::support::github::blob_sha;
use crate::support::platform::Fault;
use crate::support::{POLICY, World};

const CONTENTS: &str = "contents/.github/chainguard/deploy.sts.yaml";
const INSTALLATION: &str = "GET api.github.com/repos/acme/app/installation";
const POLICY_PATH: &str = ".github/chainguard/deploy.sts.yaml";

#[test]
fn a_policy_holds_thirty_seconds_in_memory_and_five_minutes_in_kv() {
    let world = World::new();
    world.exchange().granted();
    world.github().commit("acme/app", POLICY_PATH, &POLICY.replace("main", "trunk"));
    let reads = world.kv.reads.get();
    world.advance(29);
    world.exchange().granted();
    assert_eq!(world.kv.reads.get(), reads, "memory");
    world.advance(1);
    world.exchange().granted();
    assert_eq!(world.kv.reads.get(), reads + 2, "KV, for the policy and the organization's issuers");
    world.advance(269);
    world.exchange().granted();
    assert_eq!(world.network.count(CONTENTS), 1);
    world.advance(1);
    world.exchange().is(403, "permission_denied");
    assert_eq!(world.network.count(CONTENTS), 2);
}

#[test]
fn memory_never_outlives_the_entry_itself() {
    let mut world = World::new();
    world.exchange().granted();
    world.advance(299);
    world.new_isolate();
    world.exchange().granted();
    world.github().delete("acme/app", POLICY_PATH);
    world.advance(1);
    world.exchange().is(404, "policy_not_found");
}

#[test]
fn a_missing_policy_is_remembered_for_a_minute() {
    let mut world = World::new();
    world.exchange_for("acme/app", "late").is(404, "policy_not_found");
    world.github().commit("acme/app", ".github/chainguard/late.sts.yaml", POLICY);
    world.advance(30);
    world.new_isolate();
    let requests = world.network.requests.borrow().len();
    world.exchange_for("acme/app", "late").is(404, "policy_not_found");
    assert_eq!(
        world.network.requests.borrow().len(),
        requests,
        "no token is minted for what is known to be absent"
    );
    world.advance(30);
    world.exchange_for("acme/app", "late").granted();
}

#[test]
fn nothing_is_remembered_of_policies_for_unverified_tokens() {
    let world = World::new();
    world.exchange_with("acme/app", "missing", "a.b.c").is(401, "invalid_token");
    assert_eq!(world.kv.entries.borrow().len(), 0);
}

#[test]
fn a_stale_policy_decides_only_for_an_hour_and_only_on_rate_limit_or_5xx() {
    for fault in [
        Fault::Status(429),
        Fault::StatusWith(403, "x-ratelimit-remaining", "0".to_owned()),
        Fault::Status(500),
    ] {
        let world = World::new();
        world.exchange().granted();
        world.advance(301);
        world.network.fail(CONTENTS, fault);
        let answer = world.exchange();
        answer.granted();
        assert_eq!(answer.header("x-octo-sts-policy"), Some(&*format!("{}; age=301", blob_sha(POLICY))));
        let asked = world.network.count(CONTENTS);
        world.exchange().granted();
        assert_eq!(
            world.network.count(CONTENTS),
            asked,
            "a limited origin is left alone for as long as memory holds"
        );
        world.advance(3600 - 301);
        world.exchange().granted();
        world.advance(1);
        assert!(!world.exchange().status.is_success());
    }
    for fault in [Fault::Refused, Fault::TimedOut, Fault::Garbage] {
        let world = World::new();
        world.exchange().granted();
        world.advance(301);
        world.network.fail(CONTENTS, fault.clone());
        world.exchange().is(503, "unavailable");
    }
}

#[test]
fn an_observed_absence_ends_a_policy_for_every_isolate() {
    for fault in [None, Some(Fault::Status(403))] {
        let world = World::new();
        let other = world.twin();
        other.exchange().granted();
        world.exchange().granted();
        // This isolate sees the policy gone; the other still has it in memory when GitHub starts to fail.
        world.advance(301);
        other.advance(301);
        match fault {
            None => world.github().delete("acme/app", POLICY_PATH),
            Some(fault) => world.network.fail(CONTENTS, fault),
        }
        world.exchange().is(404, "policy_not_found");
        world.network.heal();
        world.network.fail(CONTENTS, Fault::Status(500));
        world.advance(61);
        other.advance(61);
        other.exchange().is(503, "unavailable");
        world.exchange().is(503, "unavailable");
    }
}

#[test]
fn an_installation_holds_ten_minutes_in_memory_and_an_hour_in_kv() {
    let world = World::new();
    world.exchange().granted();
    world.advance(599);
    world.exchange().granted();
    world.advance(2999);
    world.exchange().granted();
    assert_eq!(world.network.count(INSTALLATION), 1);
    world.advance(2);
    world.exchange().granted();
    assert_eq!(world.network.count(INSTALLATION), 2);
}

#[test]
fn absent_and_suspended_installations_are_remembered_for_a_minute() {
    let world = World::new();
    world.github().alter("acme", |installation| installation.suspended = true);
    world.exchange().is(403, "permission_denied");
    world.exchange_for("acme/elsewhere", "deploy").is(404, "installation_not_found");
    world.github().alter("acme", |installation| {
        installation.suspended = false;
        installation.repositories.push("elsewhere".to_owned());
    });
    world.advance(59);
    world.exchange().is(403, "permission_denied");
    world.exchange_for("acme/elsewhere", "deploy").is(404, "installation_not_found");
    assert_eq!(world.network.count("/installation"), 2);
    world.advance(1);
    world.exchange().granted();
    world.exchange_for("acme/elsewhere", "deploy").is(404, "policy_not_found");
}

#[test]
fn a_replaced_installation_is_looked_up_again_once() {
    let world = World::new();
    world.exchange().granted();
    world.github().alter("acme", |installation| installation.id = 2);
    let answer = world.exchange();
    answer.granted();
    assert_eq!(
        answer.sent,
        [
            "POST api.github.com/app/installations/1/access_tokens",
            "GET api.github.com/repos/acme/app/installation",
            "POST api.github.com/app/installations/2/access_tokens",
        ]
    );
    assert_eq!(world.event()["installation_id"], 2);
    assert_eq!(world.exchange().sent.len(), 1);

    world.github().installations.borrow_mut().clear();
    world.exchange().is(404, "installation_not_found");
    let answer = world.exchange();
    answer.is(404, "installation_not_found");
    assert_eq!(answer.sent.len(), 0);
}

#[test]
fn the_app_jwt_is_signed_once_for_nearly_ten_minutes() {
    let world = World::new();
    world.exchange().granted();
    world.advance(479);
    world.exchange().granted();
    assert_eq!(world.signatures.signed.get(), 1);
    world.advance(1);
    world.exchange().granted();
    assert_eq!(world.signatures.signed.get(), 2);
    let sent = world.network.requests.borrow().last().unwrap().clone();
    let jwt = sent.headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap().to_owned();
    let claims: serde_json::Value = {
        use base64::Engine as _;
        let payload = jwt.split('.').nth(1).unwrap();
        serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap())
            .unwrap()
    };
    assert_eq!(claims, json!({ "iss": "4711", "iat": world.now() - 60, "exp": world.now() + 540 }));
}

#[test]
fn a_kv_that_fails_costs_requests_and_nothing_else() {
    let mut world = World::new();
    world.kv.broken.set(true);
    assert_eq!(world.exchange().sent.len(), 8);
    assert_eq!(world.exchange().sent.len(), 1, "memory still works");
    world.new_isolate();
    let answer = world.exchange();
    answer.granted();
    assert_eq!(answer.sent.len(), 8);
    assert!(world.log.says("kv read failed") && world.log.says("kv write failed"));
}

#[test]
fn garbage_in_kv_is_a_miss() {
    let future = 10_i64.pow(15);
    for value in [
        String::new(),
        "null".to_owned(),
        "{}".to_owned(),
        "[1,2,3]".to_owned(),
        "\u{0}\u{1}".to_owned(),
        r#"{"learnt_at":0,"written_at":0,"record":null}"#.to_owned(),
        format!(r#"{{"learnt_at":{future},"written_at":{future},"record":"Absent"}}"#),
        format!(r#"{{"learnt_at":{},"written_at":0,"record":"Absent"}}"#, i64::MAX),
    ] {
        let mut world = World::new();
        world.exchange().granted();
        for kind in ["/issuer-keys/", "/installation/", "/policy/", "/trusted-issuers/"] {
            world.kv.overwrite(kind, &value);
        }
        world.new_isolate();
        let answer = world.exchange();
        answer.granted();
        assert_eq!(answer.sent.len(), 8, "{value}: {:?}", answer.sent);
        assert!(world.log.says("kv value does not decode"), "{value}");
    }
}

#[test]
fn tokens_are_never_stored() {
    let world = World::new();
    world.exchange().granted();
    assert_eq!(world.kv.entries.borrow().len(), 4);
    // The rest is checked by the world itself, at the end of every story.
}

#[test]
fn every_credential_expires_before_it_could_be_reused() {
    let world = World::new();
    world.exchange().granted();
    let ledger = world.github().ledger.borrow();
    let alive: Vec<_> = ledger.iter().filter(|minted| !minted.revoked).collect();
    assert_eq!(alive.len(), 1, "only the delivered token lives on");
}
