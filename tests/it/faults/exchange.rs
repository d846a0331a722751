//! The exchange, from its table.

use serde_json::json;

use super::exchange_table::{AFTER, ROWS};
use super::{Cell, Row, catalogue, is, nothing_else_lives};
use crate::support::fault::Fault;
use crate::support::{Answer, POLICY, World};

/// The kinds of facts in the order in which an exchange learns them.
const FACTS: [&str; 4] = ["issuer-keys", "installation", "trusted-issuers", "policy"];

/// A list that permits, and the policy in `acme/app`, `acme/.github` and a user's `.github`.
fn world() -> World {
    let world = World::with_settings(&[("EVENT_INGRESS_URI", "https://events.example.com/in")]);
    let github = world.github();
    github.install(2, "user-bob", &[".github"]);
    let policy = format!("{POLICY}  issues: write\n");
    for repository in ["acme/app", "acme/.github", "user-bob/.github"] {
        github.commit(repository, ".github/chainguard/deploy.sts.yaml", &policy);
    }
    let list = "issuers: [https://token.actions.githubusercontent.com]\n";
    github.commit("acme/.github", ".github/chainguard/trusted-token-issuers.yaml", list);
    world
}

impl Row {
    fn ask(&self, world: &World) -> Answer {
        world.exchange_for(self.story, "deploy")
    }

    /// What a successful exchange sends, up to this call.
    fn way(&self) -> Vec<String> {
        let world = world();
        let answer = self.ask(&world);
        answer.granted();
        let requests = world.network.requests.borrow();
        let position = requests.iter().position(|sent| (self.request)(sent)).expect("the call is made");
        answer.sent.iter().take(position + 1).cloned().collect()
    }

    /// An issuer is asked twice if the network failed, and GitHub if a token may just be too young.
    fn tries(&self, fault: &Fault) -> usize {
        let status = match answered(fault) {
            // A limit, which does not depend on age.
            Some(403) if catalogue::told_to_wait(fault).is_some() => 0,
            Some(403) if matches!(fault, Fault::StatusWith(_, _, left) if left == "0") => 0,
            status => status.unwrap_or_default(),
        };
        let of_youth = matches!(status, 401 | 403 | 404);
        match self.call {
            "list of issuers" | "policy" if of_youth => 2,
            "policy repository, if the list is absent" if of_youth || status / 100 == 3 => 3,
            _ if self.fact != "issuer-keys" => 1,
            _ => 1 + usize::from(matches!(fault, Fault::Refused | Fault::BrokenOff)),
        }
    }

    /// The kinds of facts that KV has afterwards.
    fn learnt(&self, cell: Cell) -> Vec<&'static str> {
        let own = FACTS.iter().position(|fact| *fact == self.fact).unwrap_or(FACTS.len());
        let known = if cell.status == 200 { FACTS.len() } else { own + usize::from(cell.remembered) };
        FACTS.iter().take(known).copied().collect()
    }
}

fn kinds(world: &World) -> Vec<&'static str> {
    let entries = world.kv.entries.borrow();
    let is_there = |fact: &&&str| entries.keys().any(|key| key.split('/').nth(1) == Some(**fact));
    FACTS.iter().filter(is_there).copied().collect()
}

#[test]
fn every_fault_of_every_call_has_its_answer() {
    let mut cells = 0;
    for row in &ROWS {
        let way = row.way();
        for (name, fault, cell) in row.each() {
            let what = format!("{}: {name}: {fault:?}", row.call);
            let world = world();
            row.fails(&world, &fault);
            let answer = row.ask(&world);
            is(&answer, cell, row.pause, &fault, &what);

            // The requests: up to this call, and no further.
            let mut sent = answer.sent.clone();
            sent.dedup();
            if cell.status == 200 {
                assert_eq!(sent.get(..way.len()), Some(&*way), "{what}");
                assert_eq!(row.made(&world), row.tries(&fault), "{what}");
            } else if row.call != "installation of an organization" {
                assert_eq!(sent, way, "{what}");
                assert_eq!(row.made(&world), row.tries(&fault), "{what}");
            }
            assert_eq!(kinds(&world), row.learnt(cell), "{what}");
            assert_eq!(world.events().len(), 1, "{what}");
            let outcome = if cell.status == 200 { "granted" } else { cell.said };
            assert_eq!(world.event()["outcome"], outcome, "{what}");
            if !matches!(fault, Fault::AboveTheCap) {
                nothing_else_lives(&world, &answer, &what);
            }

            // Whether the next one asks again.
            let made = row.made(&world);
            let again = row.ask(&world);
            assert_eq!(
                (again.status, &again.body["error"]),
                (answer.status, &answer.body["error"]),
                "{what}"
            );
            assert_eq!(row.made(&world) == made, cell.remembered, "{what}: {:?}", again.sent);

            // No fault has an effect for longer than a minute.
            world.network.heal();
            world.advance(60);
            row.ask(&world).granted();
            cells += 1;
        }
    }
    assert!(cells > 300, "{cells}");
}

/// When a fact stops being fresh, and until when it may be used stale.
fn ages(row: &Row) -> (u64, u64) {
    match row.fact {
        "issuer-keys" => (900, 900 + 3600 - 1),
        "installation" => (3600, 3600),
        "trusted-issuers" | "policy" => (300, 3600),
        _ => (0, 0),
    }
}

#[test]
fn what_was_known_before_serves_on_only_where_the_table_says_so() {
    for row in &ROWS {
        let (stale, last) = ages(row);
        for (name, fault, cell) in row.each() {
            let what = format!("{}: {name}: {fault:?}", row.call);
            let world = world();
            row.ask(&world).granted();
            world.advance(stale);
            row.fails(&world, &fault);
            let made = row.made(&world);
            let answer = row.ask(&world);
            assert!(row.made(&world) > made, "{what}: it was asked");
            if !cell.stale {
                is(&answer, cell, row.pause, &fault, &what);
                continue;
            }
            answer.granted();
            // Other calls go well, so their facts are known again.
            world.advance(last - stale);
            row.ask(&world).granted();
            world.advance(61);
            let answer = row.ask(&world);
            is(&answer, cell, row.pause, &fault, &what);
            if cell.said == "done" {
                nothing_else_lives(&world, &answer, &what);
            }
        }
    }
}

/// The status of the fault; 204 if the answer is correct.
fn answered(fault: &Fault) -> Option<u16> {
    match fault {
        Fault::Status(status)
        | Fault::LateStatus(status, _)
        | Fault::StatusWith(status, ..)
        | Fault::Body(status, _) => Some(*status),
        Fault::Garbage | Fault::BrokenOff | Fault::Drip | Fault::TooLarge | Fault::AboveTheCap => Some(200),
        Fault::Refused | Fault::RefusedLate | Fault::TimedOut => None,
        Fault::Late | Fault::AtTheCap | Fault::OtherType | Fault::Altered(_) => Some(204),
    }
}

#[test]
fn what_comes_after_the_answer_changes_none() {
    for row in &AFTER {
        for (name, fault, cell) in row.each() {
            let what = format!("{}: {name}: {fault:?}", row.call);
            let world = world();
            row.fails(&world, &fault);
            let answer = row.ask(&world);
            is(&answer, cell, row.pause, &fault, &what);
            assert_eq!(kinds(&world), FACTS, "{what}");
            let status = answered(&fault);
            if row.call == "event ingress" {
                // Any 2xx means that the event arrived, whatever the body.
                let arrived = status.is_some_and(|status| status < 300);
                assert_eq!(row.made(&world), if arrived { 1 } else { 3 }, "{what}");
                assert_eq!(world.log.says("audit event not delivered"), !arrived, "{what}");
                nothing_else_lives(&world, &answer, &what);
            } else {
                // A token that no longer works counts as revoked.
                let ended = matches!(status, Some(204 | 401 | 404));
                assert_eq!(world.log.says("token not revoked"), !ended, "{what}");
                assert_eq!(row.made(&world), 2, "{what}: each is tried once");
            }
        }
    }
}

#[test]
fn neither_a_content_type_nor_a_body_as_long_as_the_cap_matters() {
    for row in ROWS.iter().chain(&AFTER) {
        for fault in [Fault::OtherType, Fault::AtTheCap, Fault::Late] {
            let world = world();
            row.fails(&world, &fault);
            let answer = row.ask(&world);
            answer.granted();
            nothing_else_lives(&world, &answer, row.call);
        }
    }
}

#[test]
fn what_a_remembered_installation_answers_is_looked_at_again() {
    // A 401 or 404 may only mean that the installation was replaced, so each costs a look-up and one more try.
    for row in ROWS.iter().filter(|row| row.call == "mint") {
        for (name, fault, cell) in row.each() {
            let what = format!("{name}: {fault:?}");
            let world = world();
            row.ask(&world).granted();
            row.fails(&world, &fault);
            let answer = row.ask(&world);
            is(&answer, cell, row.pause, &fault, &what);
            let is_looked_up = matches!(fault, Fault::Status(401 | 404));
            assert_eq!(answer.sent.len(), if is_looked_up { 3 } else { 1 }, "{what}: {:?}", answer.sent);
            assert_eq!(world.event()["subrequests"], json!(answer.sent.len()), "{what}");
        }
    }
}
