//! A delivery, from its table: the answer, no half-finished check run, and completion by redelivery.

use serde_json::{Value, json};

use super::webhook_table::{REVOCATION, ROWS};
use super::{Cell, Row, is, nothing_else_lives};
use crate::support::deliveries::{DEPLOY, check_suite, pull_request, push, push_of};
use crate::support::fault::Fault;
use crate::support::repositories::sha;
use crate::support::{Answer, POLICY, World};

impl Row {
    /// A world in which the delivery succeeds, and makes the call.
    fn prepared(&self) -> World {
        let world = World::new();
        let more = format!("{POLICY}  issues: write\n");
        let text = if self.story == "push of more" { &more } else { POLICY };
        let trees = &world.github().repositories;
        trees.tree("acme/app", "a", &[(DEPLOY, text)]);
        trees.tree("acme/app", "b", &[]);
        trees.tree("acme/app", "c", &[(DEPLOY, "the file before")]);
        let file = json!({ "filename": DEPLOY, "status": "modified" });
        trees.pull_request("acme/app", 42, vec![file]);
        if self.story == "second push" {
            self.deliver("first", &world);
        }
        world
    }

    fn deliver(&self, id: &str, world: &World) -> Answer {
        let (event, payload): (&str, Value) = match self.story {
            "check suite" => ("check_suite", check_suite("main", &sha(""), &json!([]))),
            "many commits" => ("push", push(&json!(vec![json!({ "added": ["x"] }); 20]))),
            "pull request" => ("pull_request", pull_request(1)),
            _ => ("push", push_of(DEPLOY)),
        };
        world.deliver_as(id, event, &payload)
    }
}

/// A completed delivery is not handled again.
fn is_final(cell: Cell) -> bool {
    cell.status == 200 && cell.said != "rate_limited"
}

#[test]
fn every_fault_of_every_call_of_a_delivery_has_its_answer() {
    for row in &ROWS {
        for (name, fault, cell) in row.each() {
            let what = format!("{}: {name}: {fault:?}", row.call);
            let world = row.prepared();
            let made = row.made(&world);
            row.fails(&world, &fault);
            let answer = row.deliver("one", &world);
            is(&answer, cell, row.pause, &fault, &what);
            // As often as before, and once more: nothing is retried, except the call that completes a check run.
            let (calls, is_about_runs) = (row.made(&world) - made, row.call.contains("check run"));
            // And for an absent folder, because a token that is seconds old may get that answer by mistake.
            let is_asked_again = row.call == "folder" && matches!(fault, Fault::Status(404));
            let once = usize::try_from(row.skip).unwrap() + 1 + usize::from(is_asked_again);
            assert!(calls == once || is_about_runs && (once..=once + 4).contains(&calls), "{what}: {calls}");
            if matches!(cell.status, 502 | 503) || cell.said == "rate_limited" {
                let says_so = |line: &Value| line["level"] == "warn" || line["level"] == "error";
                assert!(world.log.lines().iter().any(says_so), "{what}");
                let runs = world.check_runs();
                let newest = runs.last().map_or(&Value::Null, |run| &run["conclusion"]);
                assert_ne!(newest, "success", "{what}: nothing is green by accident");
                let is_refused = row.call == "new check run" || row.call == "change of a check run";
                assert!(is_refused || runs.iter().all(|run| run["conclusion"] == "failure"), "{what}");
            }
            let remembers =
                world.kv.values().iter().any(|entry| entry.contains("/delivery/") && entry.contains("one"));
            assert_eq!(remembers, is_final(cell), "{what}");
            let is_lost = row.call == "token for the check" && matches!(fault, Fault::AboveTheCap);
            if !is_lost {
                nothing_else_lives(&world, &answer, &what);
            }

            world.network.heal();
            let again = row.deliver("one", &world);
            if is_final(cell) {
                assert_eq!(again.status.as_u16(), 202, "{what}: {}", again.text);
            } else {
                assert_eq!(again.body["conclusion"], "success", "{what}: {}", again.text);
                assert!(world.check_runs().iter().all(|run| run["conclusion"] == "success"), "{what}");
            }
        }
    }
}

#[test]
fn a_clean_up_that_fails_changes_no_delivery() {
    for (name, fault, cell) in REVOCATION.each() {
        let what = format!("{name}: {fault:?}");
        let world = REVOCATION.prepared();
        REVOCATION.fails(&world, &fault);
        is(&REVOCATION.deliver("one", &world), cell, "", &fault, &what);
        assert_eq!(REVOCATION.made(&world), 1, "{what}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_failure_that_says_so() {
    let row = ROWS.iter().find(|row| row.call == "file at the commit").unwrap();
    for (fault, why) in [
        (Fault::Status(404), "it is not there at this commit"),
        (Fault::Status(302), "it is not there at this commit"),
        (Fault::Status(403), "github refuses to show it"),
        (Fault::TooLarge, "it is too large"),
        (Fault::Body(200, "[]".to_owned()), "it is a directory"),
    ] {
        let world = row.prepared();
        row.fails(&world, &fault);
        row.deliver("one", &world);
        let run = world.check_run();
        assert_eq!(run["conclusion"], "failure");
        assert!(run["output"]["summary"].as_str().unwrap().contains(why), "{why}");
    }
}

#[test]
fn a_limited_rate_is_not_tested_further() {
    let world = World::new();
    let paths: Vec<String> = (0..20).map(|index| format!(".github/chainguard/p{index}.sts.yaml")).collect();
    world.network.fail("/contents/", Fault::StatusWith(403, "retry-after", "42".to_owned()));
    let answer = world.deliver("push", &push(&json!([{ "added": paths }])));
    assert_eq!((answer.status.as_u16(), &answer.body), (200, &json!({ "status": "rate_limited" })));
    assert_eq!(world.network.count("/contents/"), 1);
    let run = world.check_run();
    assert_eq!(run["conclusion"], "failure");
    assert_eq!(run["output"]["title"], "Not validated: GitHub's rate limit is reached");
    assert!(world.log.says("the commit is not checked"));

    // Before there is a run, none is left.
    let world = World::new();
    world.network.fail("access_tokens", Fault::StatusWith(403, "retry-after", "42".to_owned()));
    let answer = world.deliver("push", &push(&json!([{ "added": [DEPLOY] }])));
    assert_eq!((answer.status.as_u16(), &answer.body), (200, &json!({ "status": "rate_limited" })));
    assert_eq!(world.check_runs().len(), 0);
}

#[test]
fn time_limits_are_set_on_every_call() {
    for row in &ROWS {
        let world = row.prepared();
        row.deliver("one", &world);
        assert!(world.network.requests.borrow().iter().all(|sent| sent.timeout.as_secs() == 10));
    }
}

#[test]
fn a_content_type_or_a_late_answer_does_not_matter_to_a_delivery() {
    for row in ROWS.iter().filter(|row| row.story != "check suite") {
        for fault in [Fault::OtherType, Fault::Late] {
            let world = row.prepared();
            row.fails(&world, &fault);
            assert_eq!(row.deliver("one", &world).body["conclusion"], "success", "{}: {fault:?}", row.call);
        }
    }
}
