//! How long a caller waits at most. Every call has its own limit; peers that always use all of it must not make the
//! caller wait for the sum.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::nothing_else_lives;
use crate::sessions;
use crate::support::deliveries::{DEPLOY, check_suite, pull_request, push, push_of};
use crate::support::fault::Fault;
use crate::support::platform::KvFault;
use crate::support::repositories::sha;
use crate::support::{Answer, POLICY, World, proxy};

/// No answer takes longer.
const BOUND: Duration = Duration::from_secs(25);

/// The platform ends longer work after the answer.
const AFTER: Duration = Duration::from_secs(30);

fn world() -> World {
    let world = World::with_settings(&[("EVENT_INGRESS_URI", "https://events.example.com/in")]);
    let github = world.github();
    github.install(2, "user-bob", &[".github"]);
    for repository in ["acme/app", "acme/.github", "user-bob/.github"] {
        github.commit(repository, DEPLOY, POLICY);
    }
    let files: Vec<(String, &str)> =
        (0..20).map(|index| (format!(".github/chainguard/p{index}.sts.yaml"), POLICY)).collect();
    let tree: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    github.repositories.tree("acme/app", "a", &tree);
    let changed = |path: &str| json!({ "filename": path, "status": "modified" });
    let listed = tree.iter().map(|(path, _)| changed(path)).collect();
    github.repositories.pull_request("acme/app", 42, listed);
    world
}

type Story = (&'static str, fn(&World) -> Answer);

/// Each way through each route.
const STORIES: [Story; 9] = [
    ("exchange for a repository", |world| world.exchange()),
    ("exchange for an organization", |world| world.exchange_for("acme", "deploy")),
    ("exchange for a user", |world| world.exchange_for("user-bob", "deploy")),
    ("exchange with an unknown key", |world| {
        let token = world.issuer().sign_as("invented", &world.claims());
        world.exchange_with("acme/app", "deploy", &token)
    }),
    ("revocation", |world| {
        world.call(Method::POST, "/sts/revoke", &[("authorization", "Bearer ghs_0123456789")], "")
    }),
    ("push", |world| world.deliver("push", &push_of(DEPLOY))),
    ("push of many commits", |world| {
        world.deliver("push", &push(&json!(vec![json!({ "added": ["x"] }); 20])))
    }),
    ("pull request", |world| world.deliver("pull_request", &pull_request(20))),
    ("check suite", |world| world.deliver("check_suite", &check_suite("main", &sha("b"), &json!([])))),
];

/// What is cached when the request arrives.
const STATES: [fn(&World); 3] = [
    |_| {},
    |world| drop(world.exchange()),
    // Everything is known, and nothing of it is fresh.
    |world| {
        drop(world.exchange());
        world.advance(3600);
    },
];

fn assert_in_time(world: &World, answer: &Answer, what: &str) {
    assert!(answer.took <= BOUND, "{what}: {:?} for {:#?}", answer.took, answer.sent);
    for sent in world.network.requests.borrow().iter() {
        assert!(sent.timeout >= Duration::from_secs(1), "{what}: {sent} has no time");
    }
    let after = world.elapsed() - answer.took;
    assert!(after <= AFTER, "{what}: {after:?} after the answer");
}

#[test]
fn no_answer_is_later_than_twenty_five_seconds_however_late_others_are() {
    for (story, ask) in STORIES {
        for (state, prepare) in STATES.iter().enumerate() {
            for kv in [None, Some(KvFault::Hangs), Some(KvFault::IsLate)] {
                // How many calls are answered at the last moment before one is never answered at all.
                let step = if kv.is_none() { 1 } else { 4 };
                for late in (0..12).step_by(step).chain([u32::MAX]) {
                    let what = format!("{story}, state {state}, kv {kv:?}, {late} late calls");
                    let world = world();
                    prepare(&world);
                    let before = world.network.requests.borrow().len();
                    world.github().ledger.borrow_mut().clear();
                    world.kv.fault.set(kv);
                    world.network.fail("", Fault::TimedOut);
                    world.network.fail_times("", Fault::Late, late);
                    world.network.fail("DELETE", Fault::Late);
                    let answer = ask(&world);
                    assert_in_time(&world, &answer, &what);
                    nothing_else_lives(&world, &answer, &what);
                    assert!(world.network.requests.borrow().len() > before, "{what}: something was sent");
                }
            }
        }
    }
}

#[test]
fn an_issuer_that_breaks_off_at_the_last_moment_takes_no_more_time_than_there_is() {
    for kv in [None, Some(KvFault::IsLate)] {
        let world = world();
        world.kv.fault.set(kv);
        world.network.fail("", Fault::Late);
        world.network.fail_times("/jwks", Fault::RefusedLate, 1);
        world.network.fail_times("openid-configuration", Fault::RefusedLate, 1);
        let answer = world.exchange();
        answer.is(503, "unavailable");
        assert_in_time(&world, &answer, &format!("{kv:?}"));
        let documents = answer.sent.iter().filter(|sent| sent.contains("githubusercontent")).count();
        assert_eq!(documents, 4, "each document was tried twice, with all of its five seconds");
        let requests = world.network.requests.borrow();
        assert!(
            requests
                .iter()
                .filter(|sent| sent.host.contains("githubusercontent"))
                .all(|sent| sent.timeout.as_secs() == 5)
        );
    }
}

#[test]
fn a_budget_is_not_asked_where_its_answer_would_come_too_late() {
    let world = sessions::world_with(&[]);
    let token = sessions::subject_token(&world);
    world.kv.fault.set(Some(KvFault::IsLate));
    world.network.fail("", Fault::Late);
    world.network.fail_times("/jwks", Fault::RefusedLate, 1);
    world.network.fail_times("openid-configuration", Fault::RefusedLate, 1);
    sessions::ask(&world, &token, "models", "").is(503, "unavailable");
    assert_eq!(world.event()["subject"], "repo:acme/app:ref:refs/heads/main", "the token was verified");
    assert_eq!(world.budgets.asked.borrow().len(), 0);
    // A request through the proxy has other limits: here it may take longer.
    let headers = [("x-api-key", token.as_str())];
    world.proxied_raw("GET", "/proxy/models/a", &headers, &proxy::Answer::Head(200, &[])).passed();
    assert_eq!(world.budgets.asked.borrow().len(), 1);
}

#[test]
fn a_call_with_no_time_left_is_not_sent_and_nothing_is_remembered_of_it() {
    let world = world();
    world.network.fail("", Fault::Late);
    let answer = world.exchange();
    answer.is(503, "unavailable");
    // Two documents of 5 s, an installation of 10 s, and what is left for the next.
    assert_eq!(answer.sent.len(), 4, "{:?}", answer.sent);
    let requests = world.network.requests.borrow();
    assert_eq!(requests.get(3).unwrap().timeout.as_millis(), 5003);
    drop(requests);
    assert_eq!(world.network.count("contents/"), 0);
    world.network.heal();
    world.exchange().granted();
}

#[test]
fn tokens_are_revoked_however_long_the_rest_has_taken() {
    let world = world();
    world.network.fail("", Fault::Late);
    let answer = world.deliver("push", &push_of(".github/chainguard/p1.sts.yaml"));
    assert_in_time(&world, &answer, "push");
    let revocations: Vec<Duration> = {
        let requests = world.network.requests.borrow();
        requests.iter().filter(|sent| sent.method == "DELETE").map(|sent| sent.timeout).collect()
    };
    assert_eq!(revocations, [Duration::from_secs(10)]);
    assert!(world.github().ledger.borrow().iter().all(|minted| minted.revoked));
}
