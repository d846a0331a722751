//! Workers KV failing: a miss and a line in the log, never an error of an exchange; and a delivery that cannot clear
//! the caches is delivered again.

use serde_json::{Value, json};

use super::nothing_else_lives;
use crate::support::deliveries::{DEPLOY, installation, push, push_of, with};
use crate::support::platform::KvFault;
use crate::support::{POLICY, World};

/// What fails, and the result.
pub(super) struct Row {
    /// The text on the page.
    pub(super) what: &'static str,
    fault: KvFault,
    /// A new isolate whose KV would know everything: how many requests the exchange sends, and how many seconds it
    /// takes.
    pub(super) exchange: (usize, u64),
    /// A push of one policy; a push without a list of what it removed; an installation's event.
    pub(super) deliveries: [&'static str; 3],
    /// In the log.
    pub(super) told: &'static str,
}

const DONE: [&str; 3] = ["validated", "unaffected", "forgotten"];
const AGAIN: &str = "unavailable";

/// KV is asked twice on the way to an answer, each time for several things at once.
pub(super) const ROWS: [Row; 4] = [
    Row {
        what: "reads fail",
        fault: KvFault::Reads,
        exchange: (10, 0),
        deliveries: DONE,
        told: "kv read failed",
    },
    Row {
        what: "writes fail",
        fault: KvFault::Writes,
        exchange: (1, 0),
        deliveries: ["validated", AGAIN, AGAIN],
        told: "kv write failed",
    },
    Row {
        what: "deletions fail",
        fault: KvFault::Deletions,
        exchange: (1, 0),
        deliveries: [AGAIN, "unaffected", AGAIN],
        told: "the caches could not be notified of a change",
    },
    Row {
        what: "nothing is answered",
        fault: KvFault::Hangs,
        exchange: (10, 10),
        deliveries: [AGAIN, AGAIN, AGAIN],
        told: "kv read failed",
    },
];

/// Everything is known in memory and in KV.
fn warm() -> World {
    let world = World::new();
    world.github().repositories.tree("acme/app", "a", &[(DEPLOY, POLICY)]);
    world.exchange().granted();
    world
}

fn deliveries() -> [(&'static str, Value); 3] {
    let forced = with(push(&json!([])), "forced", json!(true));
    [("push", push_of(DEPLOY)), ("push", forced), ("installation", installation("created"))]
}

#[test]
fn a_kv_that_fails_costs_requests_and_nothing_else() {
    for row in &ROWS {
        let what = row.what;
        // Nothing but KV knows anything.
        let mut world = warm();
        world.new_isolate();
        world.kv.fault.set(Some(row.fault));
        let answer = world.exchange();
        answer.granted();
        let (requests, seconds) = row.exchange;
        assert_eq!((answer.sent.len(), answer.took.as_secs()), (requests, seconds), "{what}");
        assert_eq!(world.exchange().sent.len(), 1, "{what}: memory still works");
        nothing_else_lives_but_two(&world, what);

        // Nothing is known at all.
        let world = World::new();
        world.kv.fault.set(Some(row.fault));
        let answer = world.exchange();
        answer.granted();
        assert_eq!(answer.sent.len(), 10, "{what}");
        nothing_else_lives(&world, &answer, what);
        let is_written = !matches!(row.fault, KvFault::Writes | KvFault::Hangs);
        assert_eq!(world.kv.entries.borrow().len(), if is_written { 4 } else { 0 }, "{what}");
        let is_of_exchanges = row.told.starts_with("kv ");
        assert_eq!(world.log.says(row.told), is_of_exchanges, "{what}");
    }
}

/// Three exchanges were granted: each has its token.
#[track_caller]
fn nothing_else_lives_but_two(world: &World, what: &str) {
    let alive = world.github().ledger.borrow().iter().filter(|minted| !minted.revoked).count();
    assert_eq!(alive, 3, "{what}");
}

#[test]
fn a_delivery_that_cannot_make_the_caches_forget_is_delivered_again() {
    for row in &ROWS {
        for ((event, payload), said) in deliveries().into_iter().zip(row.deliveries) {
            let what = format!("{}: {event} {payload}", row.what);
            let world = warm();
            world.kv.fault.set(Some(row.fault));
            let answer = world.deliver_as("one", event, &payload);
            let told = answer.body["error"].as_str().or(answer.body["status"].as_str());
            assert_eq!(told, Some(said), "{what}: {}", answer.text);
            if said == AGAIN {
                assert_eq!(answer.status.as_u16(), 503);
                assert_eq!(answer.header("retry-after"), Some("5"), "{what}");
                assert!(world.log.says("the caches could not be notified of a change"), "{what}");
            } else {
                assert_eq!(answer.status.as_u16(), 200, "{what}");
            }
            // Memory is cleared in any case, and delivering again clears KV.
            world.kv.fault.set(None);
            let again = world.deliver_as("one", event, &payload);
            assert!(again.status.is_success(), "{what}");
            let kind = if event == "push" { "/policy/" } else { "/installation/" };
            assert!(!world.kv.holding().iter().any(|entry| entry.contains(kind)), "{what}");
        }
    }
}

/// Each value of an entry, as the service would not have written it.
fn garbage(value: &str) -> Vec<String> {
    let altered = |change: &dyn Fn(&mut Value)| {
        let mut entry: Value = serde_json::from_str(value).unwrap();
        change(&mut entry);
        entry.to_string()
    };
    let moved = |by: i64| {
        altered(&|entry: &mut Value| {
            for member in ["learnt_at", "written_at"] {
                entry[member] = json!(entry[member].as_i64().unwrap() + by);
            }
        })
    };
    vec![
        String::new(),
        "null".to_owned(),
        "{}".to_owned(),
        "[1,2,3]".to_owned(),
        "\u{0}\u{1}".to_owned(),
        value.chars().take(value.chars().count() - 1).collect(),
        // From another version: a missing member, an unknown record.
        altered(&|entry| drop(entry.as_object_mut().unwrap().remove("written_by"))),
        altered(&|entry| entry["record"] = Value::Null),
        altered(&|entry| entry["record"] = json!({ "Novel": {} })),
        altered(&|entry| entry["written_at"] = json!("2026-11-20")),
        // From a wrong clock.
        moved(61_000),
        moved(10_i64.pow(15)),
        altered(&|entry| entry["learnt_at"] = json!(i64::MAX)),
    ]
}

#[test]
fn garbage_in_kv_is_a_miss() {
    for index in 0..garbage(r#"{"learnt_at":0,"written_at":0}"#).len() {
        let mut world = warm();
        for value in world.kv.entries.borrow_mut().values_mut() {
            *value = garbage(value).swap_remove(index);
        }
        world.new_isolate();
        let answer = world.exchange();
        answer.granted();
        assert_eq!(answer.sent.len(), 10, "{index}: {:?}", answer.sent);
        assert!(world.log.says("kv value does not decode"), "{index}");
        // The overwritten entry is valid again.
        world.new_isolate();
        assert_eq!(world.exchange().sent.len(), 1, "{index}");
    }
}

#[test]
fn a_clock_that_is_ahead_by_less_than_a_minute_is_sane() {
    let mut world = warm();
    for value in world.kv.entries.borrow_mut().values_mut() {
        let mut entry: Value = serde_json::from_str(value).unwrap();
        for member in ["learnt_at", "written_at"] {
            entry[member] = json!(entry[member].as_i64().unwrap() + 60_000);
        }
        *value = entry.to_string();
    }
    world.new_isolate();
    assert_eq!(world.exchange().sent.len(), 1);
}
