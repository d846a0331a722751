//! What is cached, for how long, and what is not.

use std::time::Duration;

use octo_sts_worker::cache::{Bounds, Cache, Fact, Key, Lifetime};
use serde_json::json;

use crate::support::fault::Fault;
use crate::support::github::blob_sha;
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
    let reads = world.kv.reads.get();
    world.exchange().is(403, "permission_denied");
    world.exchange_for("acme/elsewhere", "deploy").is(404, "installation_not_found");
    assert_eq!(world.network.count("/installation"), 2);
    assert_eq!(world.kv.reads.get(), reads, "memory refuses alone");
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
fn tokens_are_never_stored() {
    let world = World::new();
    world.exchange().granted();
    assert_eq!(world.kv.entries.borrow().len(), 4);
    // The rest is checked by the world itself, at the end of every story.
}

#[test]
fn only_the_delivered_token_lives_on() {
    let world = World::new();
    world.exchange().granted();
    let ledger = world.github().ledger.borrow();
    let alive: Vec<_> = ledger.iter().filter(|minted| !minted.revoked).collect();
    assert_eq!(alive.len(), 1, "only the delivered token lives on");
}

#[test]
fn what_kv_forgot_is_forgotten_when_memory_ends() {
    for kv_fails in [false, true] {
        let world = World::new();
        world.exchange().granted();
        // As the webhook does when the policy is tightened, in another isolate; or KV itself is lost.
        world.kv.entries.borrow_mut().clear();
        world.kv.broken.set(kv_fails);
        world.github().commit("acme/app", POLICY_PATH, &POLICY.replace("main", "trunk"));
        world.advance(29);
        world.exchange().granted();
        world.advance(1);
        world.exchange().is(403, "permission_denied");
    }
}

/// A fact that is a word.
#[derive(Debug)]
struct Word(String);

impl Fact for Word {
    type Record = String;
    type Surroundings = ();

    fn from_record(record: String, (): &()) -> Option<Self> {
        Some(Self(record))
    }

    fn lifetime(&self) -> Lifetime {
        let day = Duration::from_secs(86_400);
        Lifetime { memory: day, fresh: day, kept: day }
    }

    fn weight(&self) -> usize {
        self.0.len()
    }
}

fn words(entries: usize, weight: usize) -> Cache<Word> {
    Cache::new(Bounds { entries: entries.try_into().unwrap(), weight })
}

/// Especially while GitHub fails: the older text of a tightened policy must not decide for another hour.
#[test]
fn what_kv_forgot_is_not_used_stale() {
    for (kv_fails, status) in [(false, 503), (true, 200)] {
        let world = World::new();
        world.exchange().granted();
        world.advance(31);
        if kv_fails {
            world.kv.broken.set(true);
        } else {
            world.kv.entries.borrow_mut().clear();
        }
        world.network.fail(CONTENTS, Fault::Status(500));
        assert_eq!(world.exchange().status.as_u16(), status, "KV that did not say forgets nothing");
    }
}

#[test]
fn a_request_that_came_earlier_does_not_undo_what_a_later_one_learnt() {
    let world = World::new();
    let cache = words(10, 1000);
    let key = Key::issuer_keys("x");
    let (earlier, later) = (world.context_in(0), world.context_in(1));
    cache.keep(&key, "absent".to_owned(), later.now, &(), &later);
    world.run_deferred(&later);
    let kept = cache.keep(&key, "valid".to_owned(), earlier.now, &(), &earlier).unwrap();
    world.run_deferred(&earlier);
    assert_eq!(kept.fact.0, "absent", "the earlier one is told");
    assert_eq!(world.kv.writes.get(), 1);
    assert!(world.kv.values()[0].contains("absent"));
}

#[test]
fn memory_is_bounded_by_number_and_by_weight() {
    let world = World::new();
    let context = world.context_in(0);
    for (cache, remembered) in [(words(100, usize::MAX), 100), (words(100_000, 500), 50)] {
        let keys: Vec<_> = (0..100_000).map(|n| Key::issuer_keys(&n.to_string())).collect();
        for key in &keys {
            cache.note(key, Word("ten bytes.".to_owned()), context.now, &context);
        }
        assert_eq!(keys.iter().filter(|key| cache.is_in_memory(key)).count(), remembered);
        assert!(cache.is_in_memory(&keys[99_999]), "the newest");
    }
}

#[test]
fn a_policy_of_other_failures_is_not_used_stale() {
    for status in [400, 401, 409, 410, 422, 451] {
        let world = World::new();
        world.exchange().granted();
        world.advance(301);
        world.network.fail(CONTENTS, Fault::Status(status));
        world.exchange().is(503, "unavailable");
    }
}

#[test]
fn a_renamed_owners_installation_does_not_serve_who_took_the_name() {
    for warm in [true, false] {
        let mut world = World::new();
        world.exchange().granted();
        // `acme` is renamed and keeps its installation, and somebody else registers the name.
        world.github().alter("acme", |installation| installation.owner = "umbrella".to_owned());
        if !warm {
            world.kv.entries.borrow_mut().retain(|key, _| key.contains("/installation/"));
            world.new_isolate();
        }
        let answer = world.exchange();
        answer.is(404, "installation_not_found");
        let delivered = world.github().ledger.borrow().iter().filter(|minted| !minted.revoked).count();
        assert_eq!(delivered, 1, "only what was delivered before the renaming lives on");
        world.github().install(2, "acme", &["app", ".github"]);
        world.advance(61);
        world.exchange().granted();
        assert_eq!(world.event()["installation_id"], 2);
    }
}

/// A policy of the organization, without `repositories`: GitHub's answer to the mint names no owner.
fn world_of_an_organization() -> World {
    let world = World::new();
    world.github().commit("acme/.github", POLICY_PATH, POLICY);
    world.exchange_for("acme", "deploy").granted();
    world
}

#[test]
fn a_renamed_owners_installation_gives_nobody_a_token_that_names_no_owner() {
    // Four minutes later everything is still cached; or a new isolate knows the owner only from KV.
    for is_new in [false, true] {
        let mut world = world_of_an_organization();
        world.github().alter("acme", |installation| installation.owner = "umbrella".to_owned());
        world.advance(240);
        if is_new {
            world.new_isolate();
        }
        world.exchange_for("acme", "deploy").is(404, "installation_not_found");
        let alive = world.github().ledger.borrow().iter().filter(|minted| !minted.revoked).count();
        assert_eq!(alive, 1, "what was minted before the account was confirmed is revoked");
        // The stranger who took the name gets a token of their own installation.
        world.github().install(2, "acme", &[".github"]);
        world.advance(61);
        world.exchange_for("acme", "deploy").granted();
        assert_eq!(world.event()["installation_id"], 2);
    }
    // The name has another installation already.
    let world = world_of_an_organization();
    world.github().alter("acme", |installation| installation.owner = "umbrella".to_owned());
    world.github().install(2, "acme", &[".github"]);
    world.advance(240);
    world.exchange_for("acme", "deploy").granted();
    assert_eq!(world.event()["installation_id"], 2);
    assert!(world.log.says("the installation now belongs to another owner"));
    let alive = world.github().ledger.borrow().iter().filter(|minted| !minted.revoked).count();
    assert_eq!(alive, 2, "each delivered one");
}

#[test]
fn an_account_is_confirmed_where_the_token_names_no_owner_and_is_known_for_half_a_minute() {
    let world = world_of_an_organization();
    world.advance(30);
    assert_eq!(world.exchange_for("acme", "deploy").sent.len(), 1, "just learnt");
    world.advance(1);
    let writes = world.kv.writes.get();
    let answer = world.exchange_for("acme", "deploy");
    answer.granted();
    let (mint, look) = (
        "POST api.github.com/app/installations/1/access_tokens",
        "GET api.github.com/orgs/acme/installation",
    );
    assert_eq!(answer.sent, [mint, look]);
    assert_eq!(world.kv.writes.get(), writes, "only its age is new");
    assert_eq!(world.exchange_for("acme", "deploy").sent.len(), 1, "confirmed");
    // A token for a selection says whose it is.
    world.exchange().granted();
    world.advance(240);
    assert_eq!(world.exchange().sent.len(), 1);
    // And a confirmation that fails delivers nothing.
    world.network.fail("/orgs/acme/installation", Fault::Status(500));
    world.exchange_for("acme", "deploy").is(503, "unavailable");
    let alive = world.github().ledger.borrow().iter().filter(|minted| !minted.revoked).count();
    assert_eq!(alive, 6, "what was delivered");
}

#[test]
fn the_other_private_key_is_tried_once_where_github_refuses_one() {
    let other = crate::support::keys::another_app_private_key_pem();
    let mut world = World::with_settings(&[("GITHUB_APP_PRIVATE_KEY_PREVIOUS", &other)]);
    let jwts = |world: &World| -> Vec<String> {
        let requests = world.network.requests.borrow();
        let of_the_app = requests
            .iter()
            .filter(|sent| sent.path.ends_with("/installation") || sent.path.ends_with("/access_tokens"));
        of_the_app.map(|sent| sent.headers["authorization"].to_str().unwrap().to_owned()).collect()
    };
    world.network.fail_times(INSTALLATION, Fault::Status(401), 1);
    let answer = world.exchange();
    answer.granted();
    assert_eq!(answer.sent.len(), 11, "one request more");
    let sent = jwts(&world);
    assert_ne!(sent[0], sent[1], "the other key's");
    assert!(sent[1..].iter().all(|jwt| *jwt == sent[1]), "what worked is remembered");
    let line = world
        .log
        .lines()
        .into_iter()
        .find(|l| l["message"] == "github accepts a different private key of the app");
    let line = line.unwrap();
    assert_eq!(line["taken"], "GITHUB_APP_PRIVATE_KEY_PREVIOUS");
    assert_eq!(line["refused"], "GITHUB_APP_PRIVATE_KEY");

    // For ten minutes; then the current one is tried again.
    world.advance(599);
    world.exchange().granted();
    assert_ne!(jwts(&world).last(), Some(&sent[0]));
    let signed = world.signatures.signed.get();
    world.advance(1);
    world.exchange().granted();
    assert_eq!(world.signatures.signed.get(), signed + 1, "the current key's is made again");

    // At the mint it comes before the second look-up, and where both are refused there is no third.
    world.network.fail_times("access_tokens", Fault::Status(401), 1);
    let answer = world.exchange();
    answer.granted();
    assert_eq!(answer.sent.len(), 2, "{:?}", answer.sent);
    world.new_isolate();
    world.network.fail("api.github.com", Fault::Status(401));
    let answer = world.exchange_for("acme/docs", "deploy");
    answer.is(503, "unavailable");
    assert_eq!(answer.sent.len(), 2, "{:?}", answer.sent);
}

#[test]
fn an_installation_suspended_since_it_was_learnt_is_refused_as_one() {
    let world = World::new();
    world.exchange().granted();
    world.github().alter("acme", |installation| installation.suspended = true);
    world.advance(301);
    let answer = world.exchange();
    answer.is(403, "permission_denied");
    assert_eq!(answer.message(), "the app's installation is suspended");
    assert_eq!(world.event()["installation_id"], 1);
}

/// A request that sees the file absent refuses, although a later request read it before it was deleted.
#[test]
fn an_absence_that_was_seen_is_not_overruled_by_what_another_request_read() {
    let world = World::new();
    // The later request reads it first.
    world.network.fail_where(|sent| sent.to_string().contains(CONTENTS), 1, Fault::Status(404));
    let meanwhile = || {
        world.advance(1);
        world.exchange().granted();
    };
    // Keys, installation, two tokens, the list and its absence are asked for before the policy.
    world.exchange_during(8, meanwhile).is(404, "policy_not_found");
    assert_eq!(world.network.count(CONTENTS), 3);
    // And the other's copy is gone, from memory and KV.
    world.exchange().is(404, "policy_not_found");
    assert!(!world.kv.values().iter().any(|value| value.contains("repo:acme/app")));
}
