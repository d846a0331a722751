//! What a delivery clears from the caches.

use serde_json::{Value, json};

use crate::support::deliveries::{
    DEPLOY, ISSUERS, installation, pull_request, push, push_of, push_to_branch, repository, with,
};
use crate::support::fault::Fault;
use crate::support::repositories::sha;
use crate::support::{POLICY, World};
use crate::webhook::world;

const OTHER: &str = ".github/chainguard/other.sts.yaml";
const TRUSTED: &str = "issuers: [https://token.actions.githubusercontent.com]\n";

/// A world with full caches: `deploy`, `other`, the absence of `missing`, the issuers, the installations.
fn warm() -> World {
    let world = world();
    let github = world.github();
    github.commit("acme/app", OTHER, POLICY);
    github.commit("acme/docs", DEPLOY, POLICY);
    github.commit("acme/.github", ISSUERS, TRUSTED);
    github.commit("acme/.github", DEPLOY, POLICY);
    github.install(2, "acme2", &["app"]);
    github.commit("acme2/app", DEPLOY, POLICY);
    for (scope, identity) in [
        ("acme/app", "deploy"),
        ("acme/app", "other"),
        ("acme/docs", "deploy"),
        ("acme", "deploy"),
        ("acme2/app", "deploy"),
    ] {
        world.exchange_for(scope, identity).granted();
    }
    world.exchange_for("acme/app", "missing").is(404, "policy_not_found");
    world
}

fn keys(world: &World) -> Vec<String> {
    let shorten = |key: String| {
        key.rsplit_once("/4711/")
            .map(|(kind, rest)| (kind.split('/').nth(1).unwrap(), rest))
            .filter(|(kind, _)| *kind != "issuer-keys")
            .map(|(kind, rest)| format!("{kind}: {rest}"))
    };
    let keys = world.kv.holding().into_iter().filter_map(shorten);
    keys.filter(|key| !key.starts_with("delivery")).collect()
}

/// What the answer has removed.
fn forgotten(world: &World, event: &str, payload: &Value) -> Vec<String> {
    let before = keys(world);
    world.deliver(event, payload);
    let after = keys(world);
    before.into_iter().filter(|key| !after.contains(key)).collect()
}

fn commits(added: &[&str], modified: &[&str], removed: &[&str]) -> Value {
    json!([{ "added": added, "modified": modified, "removed": removed }])
}

#[test]
fn exactly_what_a_push_touched_is_forgotten() {
    let missing = ".github/chainguard/missing.sts.yaml";
    for (payload, gone) in [
        (push_of(DEPLOY), vec!["policy: acme/app/deploy"]),
        (push(&commits(&[missing], &[], &[])), vec!["policy: acme/app/missing"]),
        (push(&commits(&[], &[], &[OTHER])), vec!["policy: acme/app/other"]),
        // A renamed file was removed here and added there.
        (
            push(&commits(&[missing], &[], &[DEPLOY])),
            vec!["policy: acme/app/deploy", "policy: acme/app/missing"],
        ),
        // Added and removed again: it may have been cached in between.
        (push(&json!([{ "added": [missing] }, { "removed": [missing] }])), vec!["policy: acme/app/missing"]),
        (push(&commits(&["README.md"], &[".github/chainguard/sub/deploy.sts.yaml"], &[])), vec![]),
        (push(&commits(&[], &[ISSUERS], &[])), vec![]),
        (push_to_branch(DEPLOY), vec![]),
        (with(push_of(DEPLOY), "ref", json!("refs/tags/main")), vec![]),
        (with(push_of(DEPLOY), "deleted", json!(true)), vec![]),
        (pull_request(1), vec![]),
        // The branch is not known.
        (with(push_of(DEPLOY), "ref", Value::Null), vec!["policy: acme/app/deploy"]),
        (
            with(push(&commits(&[], &[DEPLOY, ISSUERS], &[])), "repository", repository(".GitHub")),
            vec!["policy: acme/.github/deploy", "trusted-issuers: acme/.github"],
        ),
        (
            with(push(&commits(&[], &[], &[ISSUERS])), "repository", repository(".github")),
            vec!["trusted-issuers: acme/.github"],
        ),
        // The branch does not continue from where it was, so nobody lists what was removed.
        (
            with(push(&json!([])), "forced", json!(true)),
            vec!["policy: acme/app/deploy", "policy: acme/app/missing", "policy: acme/app/other"],
        ),
        (
            with(push(&json!([])), "before", json!(sha(""))),
            vec!["policy: acme/app/deploy", "policy: acme/app/missing", "policy: acme/app/other"],
        ),
        (
            with(with(push(&json!([])), "forced", json!(true)), "repository", repository(".github")),
            vec!["policy: acme/.github/deploy", "trusted-issuers: acme/.github"],
        ),
    ] {
        assert_eq!(forgotten(&warm(), "push", &payload), gone, "{payload}");
    }
}

#[test]
fn a_tightening_is_in_force_at_once() {
    let world = warm();
    let other = world.twin();
    other.exchange().granted();
    let tight = POLICY.replace("main", "trunk");
    world.github().commit("acme/app", DEPLOY, &tight);
    world.exchange().granted();
    world.deliver("push", &push_of(DEPLOY));
    world.exchange().is(403, "permission_denied");
    // Another isolate's memory may answer for thirty more seconds, and KV does not bring the old text back.
    other.exchange().granted();
    other.advance(30);
    other.exchange().is(403, "permission_denied");
}

#[test]
fn a_tightened_list_is_in_force_within_half_a_minute_where_github_had_refused_it() {
    let world = warm();
    world.advance(301);
    let other = world.twin();
    world.network.fail("trusted-token-issuers.yaml", Fault::Status(403));
    other.exchange().granted();
    world.network.heal();
    world.github().commit("acme/.github", ISSUERS, "issuers: [https://elsewhere.example.com]\n");
    world.deliver("push", &with(push_of(ISSUERS), "repository", repository(".github")));
    world.exchange().is(403, "permission_denied");
    other.advance(29);
    other.exchange().granted();
    other.advance(1);
    other.exchange().is(403, "permission_denied");
}

#[test]
fn a_repaired_absence_is_in_force_at_once() {
    let world = warm();
    world.github().commit("acme/app", ".github/chainguard/missing.sts.yaml", POLICY);
    world.exchange_for("acme/app", "missing").is(404, "policy_not_found");
    world.deliver("push", &push(&commits(&[".github/chainguard/missing.sts.yaml"], &[], &[])));
    world.exchange_for("acme/app", "missing").granted();
}

#[test]
fn twenty_commits_are_compared() {
    let twenty = json!(vec![json!({ "added": ["README.md"] }); 20]);
    let world = warm();
    let tree = [(DEPLOY, "new"), (OTHER, POLICY)];
    world.github().repositories.tree("acme/app", "b", &[(DEPLOY, POLICY), (OTHER, POLICY)]);
    world.github().repositories.tree("acme/app", "a", &tree);
    assert_eq!(forgotten(&world, "push", &push(&twenty)), ["policy: acme/app/deploy"]);

    // A comparison says where a file was before.
    let world = warm();
    let renamed = vec![json!({ "filename": OTHER, "status": "renamed", "previous_filename": DEPLOY })];
    world.github().repositories.compared("acme/app", "b", "a", renamed);
    assert_eq!(
        forgotten(&world, "push", &push(&twenty)),
        ["policy: acme/app/deploy", "policy: acme/app/other"]
    );
}

#[test]
fn what_may_be_incomplete_makes_everything_of_the_repository_forgotten() {
    let all = ["policy: acme/app/deploy", "policy: acme/app/missing", "policy: acme/app/other"];
    let twenty = json!(vec![json!({ "added": ["README.md"] }); 20]);
    // 300 files are as many as GitHub lists.
    let world = warm();
    let files = (0..300).map(|index| json!({ "filename": format!("f{index}"), "status": "added" })).collect();
    world.github().repositories.compared("acme/app", "b", "a", files);
    assert_eq!(forgotten(&world, "push", &push(&twenty)), all);
    assert_eq!(world.check_run()["conclusion"], "success", "the whole folder is looked at instead");

    for fault in [
        Fault::Status(404),
        Fault::Status(500),
        Fault::Status(429),
        Fault::Refused,
        Fault::Garbage,
        Fault::TooLarge,
    ] {
        let world = warm();
        world.network.fail("/compare/", fault.clone());
        assert_eq!(forgotten(&world, "push", &push(&twenty)), all, "{fault:?}");
    }
    // The token fails before anything is compared.
    let world = warm();
    world.network.fail("access_tokens", Fault::Status(500));
    assert_eq!(forgotten(&world, "push", &push(&twenty)), all);
    // And if nobody may be asked.
    let mut payload = push(&twenty);
    payload.as_object_mut().unwrap().remove("installation");
    assert_eq!(forgotten(&warm(), "push", &payload), all);
    // A new branch with that many commits, and a moved one.
    for payload in [with(push(&twenty), "before", json!(sha(""))), with(push(&twenty), "forced", json!(true))]
    {
        let world = warm();
        world.github().repositories.compared("acme/app", "b", "a", vec![]);
        assert_eq!(forgotten(&world, "push", &payload), all);
    }
    // Outside the default branch, nothing is cleared.
    let elsewhere = with(push(&twenty), "ref", json!("refs/heads/x"));
    let world = warm();
    world.network.fail("/compare/", Fault::Status(500));
    assert_eq!(forgotten(&world, "push", &elsewhere), Vec::<String>::new());
}

#[test]
fn the_caches_are_told_whatever_becomes_of_the_check() {
    for request in ["access_tokens", "commits/", "contents/", "POST api.github.com/repos/acme/app/check-runs"]
    {
        for fault in
            [Fault::Status(500), Fault::Status(403), Fault::Status(429), Fault::Refused, Fault::Garbage]
        {
            let world = warm();
            world.network.fail(request, fault.clone());
            assert_eq!(
                forgotten(&world, "push", &push_of(DEPLOY)),
                ["policy: acme/app/deploy"],
                "{request} {fault:?}"
            );
        }
    }
}

#[test]
fn a_kv_that_does_not_forget_is_told_again() {
    let world = warm();
    world.kv.broken.set(true);
    let answer = world.deliver_as("one", "push", &push_of(DEPLOY));
    assert_eq!(answer.is(503, "unavailable").message(), "the caches could not be notified of the change");
    assert_eq!(world.check_run()["conclusion"], "success", "the check has its run all the same");
    world.deliver_as("two", "installation", &installation("deleted")).is(503, "unavailable");
    world.kv.broken.set(false);
    assert_eq!(world.deliver_as("one", "push", &push_of(DEPLOY)).status, 200);
    assert!(!keys(&world).contains(&"policy: acme/app/deploy".to_owned()));
    assert_eq!(world.check_runs().len(), 1);
}

#[test]
fn an_installations_facts_are_forgotten_for_its_owner_alone() {
    for (event, action) in [
        ("installation", "created"),
        ("installation", "deleted"),
        ("installation", "suspend"),
        ("installation", "new_permissions_accepted"),
        ("installation_repositories", "added"),
        ("installation_repositories", "removed"),
    ] {
        let world = warm();
        let answered = world.deliver(event, &installation(action));
        assert_eq!((answered.status.as_u16(), &answered.body), (200, &json!({ "status": "forgotten" })));
        assert_eq!(answered.sent.len(), 0);
        let left: Vec<String> = keys(&world).into_iter().filter(|key| !key.starts_with("policy")).collect();
        assert_eq!(left, ["installation: acme2/app", "trusted-issuers: acme2/.github"], "{action}");
    }
}

#[test]
fn a_suspension_is_in_force_at_once() {
    let world = warm();
    world.github().alter("acme", |installation| installation.suspended = true);
    world.deliver("installation", &installation("suspend"));
    let answer = world.exchange();
    answer.is(403, "permission_denied");
    assert_eq!(answer.message(), "the app's installation is suspended");
}

#[test]
fn the_policy_repository_is_looked_for_again_when_the_app_may_read_it() {
    let world = World::new();
    world.github().alter("acme", |installation| installation.repositories.retain(|name| name != ".github"));
    world.github().commit("acme/.github", ISSUERS, "issuers: [https://elsewhere.example.com]\n");
    world.exchange().granted();
    world.github().alter("acme", |installation| installation.repositories.push(".github".to_owned()));
    world.exchange().granted();
    world.deliver("installation_repositories", &installation("added"));
    world.exchange().is(403, "permission_denied");
}

#[test]
fn a_push_of_many_policies_makes_everything_of_the_repository_forgotten() {
    for (count, deletes_one_by_one) in [(250, true), (251, false)] {
        let world = warm();
        let deleted = world.kv.deletions.get();
        let many: Vec<String> = (0..count - 1).map(|i| format!(".github/chainguard/p{i}.sts.yaml")).collect();
        let touched: Vec<&str> = many.iter().map(String::as_str).chain([DEPLOY]).collect();
        let gone = forgotten(&world, "push", &push(&commits(&[], &touched, &[])));
        assert!(gone.contains(&"policy: acme/app/deploy".to_owned()), "{gone:?}");
        let deletions = usize::try_from(world.kv.deletions.get() - deleted).unwrap();
        assert_eq!(deletions, if deletes_one_by_one { count } else { 0 });
        assert_eq!(gone.contains(&"policy: acme/app/other".to_owned()), !deletes_one_by_one);
    }
}

/// Strangers make up any number of names, and each is cached as absent; one write invalidates all of them.
#[test]
fn what_strangers_left_in_kv_is_forgotten_by_one_write() {
    let world = warm();
    let token = world.token();
    for n in 0..1200 {
        world.exchange_with("acme/app", &format!("made-up-{n}"), &token).is(404, "policy_not_found");
    }
    let (writes, deletions) = (world.kv.writes.get(), world.kv.deletions.get());
    let forced = with(push(&json!([])), "forced", json!(true));
    let gone = forgotten(&world, "push", &forced);
    assert_eq!(gone.len(), 1200 + 3);
    // The delivery is recorded as well.
    assert_eq!((world.kv.writes.get() - writes, world.kv.deletions.get() - deletions), (2, 0));
    let before = keys(&world);
    world.deliver("installation", &installation("created"));
    assert!(before.iter().any(|key| key.starts_with("installation: acme/")));
    assert!(!keys(&world).iter().any(|key| key.starts_with("installation: acme/")));
    assert!(keys(&world).iter().any(|key| key.starts_with("installation: acme2/")));
    assert_eq!(world.kv.deletions.get() - deletions, 1, "the organization's list");
}

/// A fact read before a push and written to KV after it belongs to the previous generation.
#[test]
fn a_look_up_that_crosses_a_push_does_not_bring_the_old_text_back() {
    let mut world = world();
    let other = world.twin();
    let forced = with(push(&json!([])), "forced", json!(true));
    let tightened = || {
        world.github().commit("acme/app", DEPLOY, &POLICY.replace("main", "trunk"));
        other.deliver("push", &forced);
    };
    // Keys, installation, two tokens, the list's absence, and the policy; it is written to KV after the answer.
    world.exchange_during(9, tightened).granted();
    world.new_isolate();
    world.exchange().is(403, "permission_denied");
}

/// The same for a push of one file: the policy, and the organization's list.
#[test]
fn a_look_up_that_crosses_the_push_of_one_file_does_not_bring_the_old_text_back() {
    let mut world = world();
    let other = world.twin();
    let tightened = || {
        world.github().commit("acme/app", DEPLOY, &POLICY.replace("main", "trunk"));
        other.deliver("push", &push_of(DEPLOY));
    };
    // Keys, installation, two tokens, the list's absence, and the policy; it is written to KV after the answer.
    world.exchange_during(9, tightened).granted();
    world.new_isolate();
    world.exchange().is(403, "permission_denied");

    let mut world = self::world();
    world.github().commit("acme/.github", ISSUERS, TRUSTED);
    let other = world.twin();
    let tightened = || {
        world.github().commit("acme/.github", ISSUERS, "issuers: [https://elsewhere.example.com]\n");
        other.deliver("push", &with(push_of(ISSUERS), "repository", repository(".github")));
    };
    world.exchange_during(7, tightened).granted();
    world.new_isolate();
    world.exchange().is(403, "permission_denied");
}

/// Whatever a push of one file makes void, the next look-up is kept again, and other files never were void.
#[test]
fn what_is_learnt_after_the_push_of_one_file_is_kept() {
    let mut world = warm();
    world.deliver("push", &push_of(DEPLOY));
    world.exchange().granted();
    let asked = world.network.count("contents/.github/chainguard/");
    world.new_isolate();
    world.exchange().granted();
    world.exchange_for("acme/app", "other").granted();
    assert_eq!(world.network.count("contents/.github/chainguard/"), asked);
}

/// A generation outlives its entries, and an entry written without one belongs to none.
#[test]
fn entries_of_no_generation_and_of_another_do_not_hold() {
    let mut world = warm();
    let forced = with(push(&json!([])), "forced", json!(true));
    world.deliver("push", &forced);
    world.new_isolate();
    world.exchange().granted();
    world.new_isolate();
    let asked = world.network.count("contents/.github/chainguard/deploy");
    world.exchange().granted();
    assert_eq!(world.network.count("contents/.github/chainguard/deploy"), asked, "the new generation holds");
    // KV has dropped the generation.
    world.kv.entries.borrow_mut().retain(|key, _| !key.contains("/policies/"));
    world.new_isolate();
    world.exchange().granted();
    assert_eq!(world.network.count("contents/.github/chainguard/deploy"), asked + 1);
}
