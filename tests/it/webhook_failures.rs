//! GitHub failing at each call: what is answered, no run half made, and that sending the delivery again completes it.

use serde_json::json;

use crate::support::World;
use crate::support::deliveries::{DEPLOY, check_suite, pull_request, push, push_of};
use crate::support::fault::Fault;
use crate::support::repositories::sha;
use crate::webhook::world;

const MINT: &str = "POST api.github.com/app/installations/1/access_tokens";
const LOOK_UP: &str = "/check-runs?";
const CREATE: &str = "POST api.github.com/repos/acme/app/check-runs";
const UPDATE: &str = "PATCH api.github.com/repos/acme/app/check-runs/";
const CONTENT: &str = "/contents/.github/chainguard/deploy.sts.yaml?";
const DIRECTORY: &str = "/contents/.github/chainguard?";
const COMPARE: &str = "/compare/";
const PULLS: &str = "/pulls/42/files";

fn limited(status: u16) -> Fault {
    Fault::StatusWith(status, "retry-after", "42".to_owned())
}

/// A delivery in whose course each of the calls is made.
fn event(call: &str) -> (&'static str, serde_json::Value) {
    match call {
        DIRECTORY => ("check_suite", check_suite("main", &sha(""), &json!([]))),
        COMPARE => ("push", push(&json!(vec![json!({ "added": ["x"] }); 20]))),
        PULLS => ("pull_request", pull_request(1)),
        _ => ("push", push_of(DEPLOY)),
    }
}

fn prepared(call: &str) -> World {
    let world = world();
    world.github().repositories.tree("acme/app", "b", &[]);
    let file = json!({ "filename": DEPLOY, "status": "added" });
    world.github().repositories.pull_request("acme/app", 42, vec![file]);
    if call == UPDATE {
        world.deliver("push", &push_of(DEPLOY));
    }
    world
}

#[test]
fn every_failure_of_every_call_has_its_answer() {
    for call in [MINT, LOOK_UP, CREATE, UPDATE, CONTENT, DIRECTORY, COMPARE, PULLS] {
        for (fault, status, outcome) in [
            (Fault::Status(429), 200, "rate_limited"),
            (limited(403), 200, "rate_limited"),
            (limited(422), 200, "rate_limited"),
            (Fault::StatusWith(403, "x-ratelimit-remaining", "0".to_owned()), 200, "rate_limited"),
            (Fault::Status(401), 503, "unavailable"),
            (Fault::Status(422), 503, "unavailable"),
            (Fault::Status(500), 503, "unavailable"),
            (Fault::Status(503), 503, "unavailable"),
            (Fault::Refused, 503, "unavailable"),
            (Fault::TimedOut, 503, "unavailable"),
            (Fault::Garbage, 502, "upstream_error"),
            (Fault::BrokenOff, 502, "upstream_error"),
        ] {
            fails_and_is_completed(call, &fault, status, outcome);
        }
        // Of a file and a comparison these say something else.
        if !matches!(call, CONTENT | COMPARE | DIRECTORY) {
            fails_and_is_completed(call, &Fault::Status(404), 503, "unavailable");
        }
        if call != CONTENT {
            fails_and_is_completed(call, &Fault::Status(403), 503, "unavailable");
            fails_and_is_completed(call, &Fault::Status(302), 503, "unavailable");
        }
        if !matches!(call, CONTENT | COMPARE) {
            fails_and_is_completed(call, &Fault::TooLarge, 502, "upstream_error");
        }
    }
}

fn fails_and_is_completed(call: &str, fault: &Fault, status: u16, outcome: &str) {
    let world = prepared(call);
    let (name, payload) = event(call);
    let runs = world.check_runs();
    world.network.fail(call, fault.clone());
    let answer = world.deliver_as("one", name, &payload);
    let said = answer.body["error"].as_str().or(answer.body["status"].as_str());
    assert_eq!((answer.status.as_u16(), said), (status, Some(outcome)), "{call} {fault:?}");
    assert_eq!(answer.header("retry-after").is_some(), status == 503, "{call} {fault:?}");
    assert!(!answer.text.contains("upstream says"), "no upstream body is ever returned");
    assert_eq!(world.check_runs(), runs, "{call} {fault:?}");
    assert!(world.log.lines().iter().any(|line| line["level"] == "warn" || line["level"] == "error"));

    world.network.heal();
    let answer = world.deliver_as("one", name, &payload);
    assert_eq!(
        answer.body,
        json!({ "status": "validated", "conclusion": "success", "files": 1 }),
        "{call} {fault:?}"
    );
    assert_eq!(world.check_run()["conclusion"], "success");
    assert!(world.github().ledger.borrow().iter().all(|minted| minted.revoked), "{call} {fault:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_a_failure_that_says_so() {
    for (fault, why) in [
        (Fault::Status(404), "it is not there at this commit"),
        (Fault::Status(302), "it is not there at this commit"),
        (Fault::Status(403), "github refuses to show it"),
        (Fault::TooLarge, "it is too large"),
    ] {
        let world = world();
        world.network.fail(CONTENT, fault);
        let answer = world.deliver("push", &push_of(DEPLOY));
        assert_eq!(answer.body["conclusion"], "failure");
        let run = world.check_run();
        assert_eq!(run["conclusion"], "failure");
        assert!(run["output"]["summary"].as_str().unwrap().contains(why));
    }
}

#[test]
fn a_comparison_that_is_not_to_be_had_is_replaced_by_the_folder() {
    for fault in [Fault::Status(404), Fault::TooLarge] {
        let world = prepared(COMPARE);
        world.network.fail(COMPARE, fault);
        let (name, payload) = event(COMPARE);
        assert_eq!(world.deliver(name, &payload).body["conclusion"], "success");
        assert_eq!(world.network.count(DIRECTORY), 1);
    }
}

#[test]
fn a_limited_rate_is_not_tested_further() {
    let world = world();
    let paths: Vec<String> = (0..20).map(|index| format!(".github/chainguard/p{index}.sts.yaml")).collect();
    world.network.fail("/contents/", limited(403));
    let answer = world.deliver("push", &push(&json!([{ "added": paths }])));
    assert_eq!((answer.status.as_u16(), &answer.body), (200, &json!({ "status": "rate_limited" })));
    assert_eq!(world.network.count("/contents/"), 1);
    assert_eq!(world.check_runs().len(), 0);
    assert!(world.log.says("the commit is not checked"));
}

#[test]
fn a_clean_up_that_fails_changes_no_answer() {
    let world = world();
    world.network.fail("DELETE api.github.com/installation/token", Fault::Status(500));
    assert_eq!(world.deliver("push", &push_of(DEPLOY)).body["status"], "validated");
    assert!(world.log.says("token not revoked"));
}

#[test]
fn time_limits_are_set_on_every_call() {
    let world = prepared(PULLS);
    for call in [CREATE, DIRECTORY, COMPARE, PULLS] {
        let (name, payload) = event(call);
        world.deliver(name, &payload);
    }
    assert!(world.network.requests.borrow().iter().all(|sent| sent.timeout.as_secs() == 10));
}
