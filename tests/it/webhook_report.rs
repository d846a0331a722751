//! What a check run says, and that there is one.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::deliveries::{
    DEPLOY, ISSUERS, check_run, check_suite, pull_request, push, push_of, push_to_branch, repository, with,
};
use crate::support::fault::Fault;
use crate::support::repositories::sha;
use crate::support::{Answer, POLICY, World};
use crate::webhook::world;
use crate::webhook_files::table;

const OTHER: &str = ".github/chainguard/other.sts.yaml";
const BROKEN: &str = "issuer: https://a.example.com\nsubject: x\npermissions: {contents: wrte}\nnovel: 1\n";

/// A Markdown text as it reads: without code tags and character references.
fn readable(markdown: &str) -> String {
    let mut out = String::new();
    let mut rest = markdown;
    while let Some((before, after)) = rest.split_once("&#") {
        let (number, after) = after.split_once(';').unwrap();
        out.push_str(before);
        out.push(char::from_u32(number.parse().unwrap()).unwrap());
        rest = after;
    }
    out.push_str(rest);
    out.replace("<code>", "").replace("</code>", "")
}

fn summary(world: &World) -> String {
    readable(world.check_run()["output"]["summary"].as_str().unwrap())
}

fn listed(filename: &str, status: &str) -> Value {
    json!({ "filename": filename, "status": status })
}

#[test]
fn who_gets_what_is_said_in_words() {
    let world = world();
    world.deliver("push", &push_of(DEPLOY));
    assert_eq!(
        summary(&world),
        "\
| | file | result |
| --- | --- | --- |
| ✅ | .github/chainguard/deploy.sts.yaml | valid |

### ✅ .github/chainguard/deploy.sts.yaml

acme/app on refs/heads/main may: contents read

- **Who:** a token with
  - issuer https://token.actions.githubusercontent.com
  - subject repo:acme/app:ref:refs/heads/main
  - audience sts.example.com (this service)
- **What:** contents read
- **Where:** acme/app
"
    );
    assert_eq!(world.check_run()["output"]["title"], "The changed file is valid");
    assert!(world.check_run()["output"]["text"].as_str().unwrap().starts_with("Checked by octo-sts-worker "));
}

#[test]
fn every_problem_is_an_annotation_at_its_place() {
    let world = World::new();
    world.github().repositories.tree("acme/app", "a", &[(DEPLOY, BROKEN), (OTHER, POLICY)]);
    world.deliver("push", &push(&json!([{ "added": [DEPLOY, OTHER] }])));
    let run = world.check_run();
    assert_eq!(
        (&run["conclusion"], &run["output"]["title"]),
        (&json!("failure"), &json!("1 of 2 changed files is not valid"))
    );
    let annotations = run["output"]["annotations"].as_array().unwrap();
    let places: Vec<(&Value, &Value, &Value, &Value)> = annotations
        .iter()
        .map(|annotation| {
            assert_eq!(annotation["path"], DEPLOY);
            assert_eq!(annotation["start_line"], annotation["end_line"]);
            assert_eq!(annotation["start_column"], annotation["end_column"]);
            (
                &annotation["title"],
                &annotation["annotation_level"],
                &annotation["start_line"],
                &annotation["start_column"],
            )
        })
        .collect();
    assert_eq!(
        places,
        [
            (&json!("permission-level"), &json!("failure"), &json!(3), &json!(25)),
            (&json!("unknown-key"), &json!("failure"), &json!(4), &json!(1)),
        ]
    );
    assert_eq!(annotations[0]["message"], "`contents` has no level `wrte` (its levels are `read`, `write`)");
    assert!(
        summary(&world)
            .contains("- ❌ line 3, column 25: contents has no level wrte (its levels are read, write)\n")
    );
}

#[test]
fn warnings_do_not_fail() {
    let world = World::new();
    let policy = POLICY.replace("contents: read", "issues: write");
    world.github().repositories.tree("acme/app", "a", &[(DEPLOY, &policy)]);
    assert_eq!(world.deliver("push", &push_of(DEPLOY)).body["conclusion"], "success");
    let run = world.check_run();
    let annotations = run["output"]["annotations"].as_array().unwrap();
    assert!(
        !annotations.is_empty()
            && annotations.iter().all(|annotation| annotation["annotation_level"] == "warning")
    );
    assert!(
        summary(&world).contains("| ⚠️ | .github/chainguard/deploy.sts.yaml | valid, 2 warnings |"),
        "{}",
        summary(&world)
    );
}

/// A reviewer of the change sees what its author decided, and why.
#[test]
fn accepted_warnings_are_listed_with_their_reasons() {
    let world = World::new();
    let reason = "@acme/security has seen it, see https://evil.example.com and `x` | <b>";
    let policy = POLICY.replace(
        "contents: read",
        &format!("contents: write # sts: accept write-on-policy-repository because {reason}"),
    );
    world.github().repositories.tree("acme/app", "a", &[(DEPLOY, &policy)]);
    assert_eq!(world.deliver("push", &push_of(DEPLOY)).body["conclusion"], "success");
    let run = world.check_run();
    assert!(!run["output"].to_string().contains("@acme") && !run["output"].to_string().contains("<b>"));
    let annotated = run["output"]["annotations"].to_string();
    assert!(!annotated.contains("write-on-policy-repository"), "{annotated}");
    let summary = summary(&world);
    assert!(summary.contains("| valid, 2 warnings, 1 warning accepted |"), "{summary}");
    let (_, accepted) = summary.split_once("\n**Accepted warnings**\n\n").unwrap();
    assert!(accepted.starts_with("- ☑️ line 4, column "), "{accepted}");
    let told = format!("(write-on-policy-repository), accepted because {reason}\n");
    assert!(accepted.contains(&told), "{accepted}");
}

#[test]
fn permissions_that_the_installation_lacks_are_warnings() {
    let policy = POLICY.replace("  contents: read", "  actions: read\n  contents: read\n  issues: write");
    for (has, warned) in [
        (vec![("issues", "write"), ("actions", "read"), ("contents", "read"), ("checks", "write")], vec![]),
        (
            vec![("issues", "read"), ("actions", "write"), ("contents", "read"), ("checks", "write")],
            vec![(6, 3)],
        ),
        (vec![("contents", "read"), ("checks", "write")], vec![(4, 3), (6, 3)]),
    ] {
        let world = World::new();
        world.github().repositories.tree("acme/app", "a", &[(DEPLOY, &policy)]);
        world.github().alter("acme", |installation| {
            installation.permissions =
                has.iter().map(|(name, level)| ((*name).to_owned(), (*level).to_owned())).collect();
        });
        assert_eq!(world.deliver("push", &push_of(DEPLOY)).body["conclusion"], "success");
        let run = world.check_run();
        let places: Vec<(u64, u64)> = run["output"]["annotations"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|annotation| annotation["title"] == "permission-not-installed")
            .map(|annotation| {
                (annotation["start_line"].as_u64().unwrap(), annotation["start_column"].as_u64().unwrap())
            })
            .collect();
        assert_eq!(places, warned, "{has:?}");
    }
    // The installation cannot be looked up: nothing is said about it.
    let world = World::new();
    world.github().repositories.tree("acme/app", "a", &[(DEPLOY, &policy)]);
    world.network.fail("acme/app/installation", Fault::Status(500));
    assert_eq!(world.deliver("push", &push_of(DEPLOY)).body["conclusion"], "success");
    assert!(!summary(&world).contains("installation does not have"));
}

/// Everything that is on the line after this heading.
fn changes(world: &World) -> Vec<String> {
    let summary = summary(world);
    let (_, rest) = summary.split_once("**What changes**\n\n").unwrap_or_default();
    rest.lines().take_while(|line| line.starts_with("- ")).map(str::to_owned).collect()
}

#[test]
fn a_pull_request_says_what_it_changes_in_effect() {
    let wider = POLICY.replace("contents: read", "contents: write\n  issues: read");
    for (before, after, status, changed) in [
        (
            Some(POLICY),
            Some(wider.as_str()),
            "modified",
            vec![
                "- **Wider:** permission contents: read → write",
                "- **Wider:** permission issues: none → read",
            ],
        ),
        (
            Some(&wider),
            Some(POLICY),
            "modified",
            vec![
                "- **Narrower:** permission contents: write → read",
                "- **Narrower:** permission issues: read → none",
            ],
        ),
        (
            Some(POLICY),
            Some(&*POLICY.replace("heads/main", "heads/next")),
            "modified",
            vec![
                "- **Changed:** subject: repo:acme/app:ref:refs/heads/main → repo:acme/app:ref:refs/heads/next",
            ],
        ),
        (
            Some(POLICY),
            Some(&*format!("# why\n{POLICY}")),
            "modified",
            vec!["- Nothing: who gets what stays the same"],
        ),
        (None, Some(POLICY), "added", vec!["- **Wider:** everything above: the file is new"]),
        (
            Some(BROKEN),
            Some(POLICY),
            "modified",
            vec!["- **Wider:** everything above: the file was not valid before"],
        ),
        (
            Some(POLICY),
            Some(BROKEN),
            "modified",
            vec!["- **Narrower:** no longer granted: acme/app on refs/heads/main may: contents read"],
        ),
        (
            Some(POLICY),
            None,
            "removed",
            vec!["- **Narrower:** no longer granted: acme/app on refs/heads/main may: contents read"],
        ),
        (Some(BROKEN), None, "removed", vec![]),
    ] {
        let world = World::new();
        let tree = |commit: &str, text: Option<&str>| {
            let files: Vec<(&str, &str)> = text.map(|text| (DEPLOY, text)).into_iter().collect();
            world.github().repositories.tree("acme/app", commit, &files);
        };
        tree("c", before);
        tree("a", after);
        world.github().repositories.pull_request("acme/app", 42, vec![listed(DEPLOY, status)]);
        let answer = world.deliver("pull_request", &pull_request(1));
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(changes(&world), changed, "{before:?} {after:?}");
    }
}

#[test]
fn a_base_that_cannot_be_read_is_not_compared() {
    let world = world();
    world.github().repositories.tree("acme/app", "c", &[(DEPLOY, POLICY)]);
    world.github().repositories.pull_request("acme/app", 42, vec![listed(DEPLOY, "modified")]);
    world.network.fail(&format!("?ref={}", sha("c")), Fault::Status(500));
    assert_eq!(world.deliver("pull_request", &pull_request(1)).body["conclusion"], "success");
    assert_eq!(changes(&world), Vec::<String>::new());
}

#[test]
fn a_push_is_compared_with_what_the_caches_hold() {
    let world = world();
    world.exchange().granted();
    world.github().repositories.tree(
        "acme/app",
        "a",
        &[(DEPLOY, &POLICY.replace("contents: read", "contents: write"))],
    );
    let answer = world.deliver("push", &push_of(DEPLOY));
    assert_eq!(changes(&world), ["- **Wider:** permission contents: read → write"]);
    assert!(answer.sent.len() <= 6, "{:?}", answer.sent);
    assert!(!world.kv.entries.borrow().keys().any(|key| key.contains("/policy/")), "and is forgotten");

    // Without them nothing is reported, and a later delivery with a spare request reports it.
    let world = world_with_both("b");
    world.deliver("push", &push_of(DEPLOY));
    assert_eq!(changes(&world), Vec::<String>::new());
    world.deliver("check_suite", &check_suite("main", &sha("b"), &json!([])));
    assert_eq!(changes(&world), ["- **Wider:** permission contents: read → write"]);
}

fn world_with_both(before: &str) -> World {
    let world = World::new();
    let wider = POLICY.replace("contents: read", "contents: write");
    world.github().repositories.tree("acme/app", before, &[(DEPLOY, POLICY)]);
    world.github().repositories.tree("acme/app", "a", &[(DEPLOY, &wider)]);
    world
}

#[test]
fn trusted_issuers_are_told_and_compared() {
    let world = World::new();
    world.github().repositories.tree("acme/.github", "c", &[(ISSUERS, "issuers: [https://a.example.com]")]);
    world.github().repositories.tree(
        "acme/.github",
        "a",
        &[(ISSUERS, "mode: audit\nissuers: [https://b.example.com]")],
    );
    world.github().repositories.pull_request("acme/.github", 42, vec![listed(ISSUERS, "modified")]);
    world.deliver("pull_request", &with(pull_request(1), "repository", repository(".github")));
    let told = summary(&world);
    assert!(
        told.contains(
            "- https://b.example.com\n- all other issuers are accepted too, and recorded (mode audit)\n"
        ),
        "{told}"
    );
    assert_eq!(
        changes(&world),
        [
            "- **Wider:** mode: enforce → audit",
            "- **Wider:** now trusts https://b.example.com",
            "- **Narrower:** no longer trusts https://a.example.com",
        ]
    );
}

/// Commit `a…` of a branch with a pull request: the push was of `deploy`, an earlier one of `other`, which is broken.
fn branch() -> World {
    let world = World::new();
    let github = &world.github().repositories;
    github.tree("acme/app", "b", &[(DEPLOY, &POLICY.replace("read", "write")), (OTHER, BROKEN)]);
    github.tree("acme/app", "c", &[(DEPLOY, &POLICY.replace("read", "write"))]);
    github.tree("acme/app", "a", &[(DEPLOY, POLICY), (OTHER, BROKEN)]);
    github.pull_request("acme/app", 42, vec![listed(DEPLOY, "modified"), listed(OTHER, "added")]);
    world
}

fn send(world: &World, event: &str) -> Answer {
    match event {
        "push" => world.deliver("push", &push_to_branch(DEPLOY)),
        "pull_request" => world.deliver("pull_request", &pull_request(2)),
        "check_suite" => world.deliver("check_suite", &check_suite("feature", &sha("b"), &json!([]))),
        _ => world.deliver("check_run", &check_run(&check_suite("feature", &sha("b"), &json!([])))),
    }
}

#[test]
fn a_commit_has_one_run_whichever_event_comes_first_or_twice() {
    let orders: &[&[&str]] = &[
        &["push", "pull_request", "check_suite"],
        &["push", "check_suite", "pull_request"],
        &["pull_request", "push", "check_suite"],
        &["pull_request", "check_suite", "push"],
        &["check_suite", "push", "pull_request"],
        &["check_suite", "pull_request", "push"],
        &["pull_request", "pull_request", "push", "push", "check_suite", "check_run", "check_run"],
    ];
    let mut ends = Vec::new();
    for order in orders {
        let world = branch();
        for event in *order {
            let answer = send(&world, event);
            assert_eq!(answer.body["status"], "validated", "{order:?} {event}: {}", answer.text);
            assert_eq!(world.check_runs().len(), 1);
        }
        let run = world.check_run();
        // The push alone does not know about the broken file, and must not hide it.
        assert_eq!(run["conclusion"], "failure", "{order:?}");
        let mut files = table(&run);
        files.sort();
        let annotations = run["output"]["annotations"].as_array().unwrap().len();
        assert_eq!(changes(&world), ["- **Narrower:** permission contents: write → read"], "{order:?}");
        ends.push((files, annotations));
    }
    ends.dedup();
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert_eq!(ends[0].1, 2, "GitHub adds up the annotations of all updates, and each is there once");
}

#[test]
fn another_apps_run_of_the_same_name_is_left_alone() {
    for (id, app, ours) in [
        ("4711", json!({ "id": 4711 }), true),
        ("Iv1.ours", json!({ "id": 1, "client_id": "Iv1.ours" }), true),
        ("4711", Value::Null, true),
        ("4711", json!({ "id": 4712 }), false),
        ("Iv1.ours", json!({ "id": 4712, "client_id": "Iv1.x" }), false),
    ] {
        let world = World::with_settings(&[("GITHUB_APP_ID", id)]);
        world.github().repositories.tree("acme/app", "a", &[(DEPLOY, POLICY)]);
        *world.github().repositories.app.borrow_mut() = app.clone();
        world.deliver("push", &push_of(DEPLOY));
        world.deliver("push", &push_of(DEPLOY));
        assert_eq!(world.check_runs().len(), if ours { 1 } else { 2 }, "{app}");
    }
    let world = world();
    world.deliver("push", &push_of(DEPLOY));
    world.github().repositories.check_runs.borrow_mut()[0]["external_id"] = json!("something else");
    world.deliver("push", &push_of(DEPLOY));
    assert_eq!(world.check_runs().len(), 2);
}

#[test]
fn runs_that_were_created_at_the_same_moment_end_alike() {
    for (first, second) in
        [("pull_request", "push"), ("push", "pull_request"), ("check_suite", "pull_request")]
    {
        let world = branch();
        send(&world, first);
        // The second looked for runs a moment before the first one's was there.
        world.github().repositories.blind.set(1);
        assert_eq!(send(&world, second).body["status"], "validated");
        let runs = world.check_runs();
        assert_eq!(runs.len(), 2, "{first} {second}");
        for run in &runs {
            // The push did not know about the broken file, and its run did not know the pull request's base.
            assert_eq!(run["conclusion"], "failure", "{first} {second}");
            assert_eq!(run["output"]["annotations"].as_array().unwrap().len(), 2);
            assert_eq!(run["output"]["summary"], runs[0]["output"]["summary"]);
            assert!(run["output"]["summary"].as_str().unwrap().contains("permission contents: write → read"));
        }
        assert!(world.github().ledger.borrow().iter().all(|minted| minted.revoked));
    }
}

#[test]
fn updates_at_the_same_moment_lose_no_file() {
    let deliveries = [
        ("push", push_to_branch(DEPLOY)),
        ("push", push_to_branch(OTHER)),
        ("pull_request", pull_request(2)),
        ("push", push_to_branch(".github/chainguard/gone.sts.yaml")),
    ];
    for (first, second) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 3), (3, 1)] {
        let world = branch();
        world.deliver("check_suite", &check_suite("feature", &sha("c"), &json!([])));
        world.github().repositories.check_runs.borrow_mut()[0]["output"]["text"] = json!("");
        let both = [deliveries[first].clone(), deliveries[second].clone()];
        for answer in world.deliver_at_once(&both) {
            assert_eq!(answer.body["status"], "validated", "{}", answer.text);
        }
        let one_by_one = branch();
        for (event, payload) in &both {
            one_by_one.deliver(event, payload);
        }
        let (run, expected) = (world.check_run(), one_by_one.check_run());
        let rows = |run: &Value| {
            let mut rows = table(run);
            rows.sort();
            rows
        };
        assert_eq!(rows(&run), rows(&expected), "{first} {second}");
        assert_eq!(run["conclusion"], expected["conclusion"]);
        assert!(world.github().ledger.borrow().iter().all(|minted| minted.revoked));
    }
}

#[test]
fn an_annotation_of_an_update_that_was_written_over_is_not_repeated() {
    let world = branch();
    send(&world, "push");
    let broken = || push_to_branch(OTHER);
    world.deliver_at_once(&[("push", broken()), ("push", push_to_branch(DEPLOY))]);
    let annotations = world.check_run()["output"]["annotations"].as_array().unwrap().clone();
    let mut distinct = annotations.clone();
    distinct.dedup();
    assert_eq!((annotations.len(), distinct.len()), (2, 2), "{annotations:?}");
}

#[test]
fn of_many_runs_of_a_commit_the_newest_are_written() {
    let world = branch();
    for _ in 0..8 {
        world.github().repositories.blind.set(2);
        send(&world, "push");
    }
    assert_eq!(world.check_runs().len(), 8);
    send(&world, "pull_request");
    let failed: Vec<bool> = world.check_runs().iter().map(|run| run["conclusion"] == "failure").collect();
    assert_eq!(failed, [false, false, false, false, false, true, true, true]);
}

#[test]
fn runs_that_say_the_same_are_not_written_again() {
    let world = branch();
    send(&world, "push");
    let before = world.network.requests.borrow().len();
    world.github().repositories.blind.set(1);
    let answer = send(&world, "push");
    assert_eq!(world.check_runs().len(), 2);
    // After the answer: a check, and the token's revocation.
    assert_eq!(world.network.requests.borrow().len() - before - answer.sent.len(), 2);
}

#[test]
fn too_many_files_stay_too_many_until_somebody_asks_again() {
    let world = branch();
    world.deliver("pull_request", &pull_request(3001));
    assert_eq!(send(&world, "push").body["conclusion"], "failure");
    assert_eq!(world.check_run()["output"]["title"], "Not validated: too many files");
    // The re-run's event names no pull request, but the run remembers it.
    send(&world, "check_run");
    assert_eq!(world.check_run()["output"]["title"], "1 of 2 changed files is not valid");
}

#[test]
fn many_policies_are_not_read_again_to_reconcile() {
    let world = World::new();
    let paths: Vec<String> = (0..200).map(|index| format!(".github/chainguard/p{index}.sts.yaml")).collect();
    let tree: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), POLICY)).collect();
    world.github().repositories.tree("acme/app", "a", &tree);
    let (some, others) = paths.split_at(100);
    let of = |paths: &[String]| with(push(&json!([{ "added": paths }])), "ref", json!("refs/heads/feature"));
    world.deliver_at_once(&[("push", of(some)), ("push", of(others))]);
    for run in world.check_runs() {
        assert_eq!(run["output"]["title"], "All 200 changed files are valid");
    }
    // Each saw the other's started run, and read its files too, and nothing twice.
    assert_eq!(world.network.count("/contents/"), 400);
}

#[test]
fn runs_of_others_do_not_hide_ours() {
    for (id, foreign_runs, hidden) in
        [("4711", 400, false), ("Iv23liAbCdEf", 100, false), ("Iv23liAbCdEf", 400, true)]
    {
        let world = World::with_settings(&[("GITHUB_APP_ID", id)]);
        world.github().repositories.tree("acme/app", "a", &[(DEPLOY, POLICY)]);
        let other = json!({ "id": 15368, "client_id": "Iv1.actions" });
        *world.github().repositories.app.borrow_mut() = json!({ "id": 4711, "client_id": "Iv23liAbCdEf" });
        world.deliver("push", &push_of(DEPLOY));
        let mut foreign = world.check_run();
        foreign["app"] = other;
        // As much as GitHub accepts, of text that JSON makes six times as long.
        let length = if foreign_runs == 100 { 65_535 } else { 1 };
        foreign["output"]["summary"] = json!("\u{1b}".repeat(length));
        foreign["output"]["text"] = json!("\u{1b}".repeat(length));
        for index in 0..foreign_runs {
            foreign["id"] = json!(1000 + index);
            world.github().repositories.check_runs.borrow_mut().push(foreign.clone());
        }
        // GitHub lists the newest first.
        world.github().repositories.check_runs.borrow_mut().reverse();
        assert_eq!(world.deliver("push", &push_of(DEPLOY)).body["status"], "validated");
        let written: Vec<Value> =
            world.check_runs().into_iter().filter(|run| run["app"]["id"] == 4711).collect();
        let titles: Vec<&str> = written.iter().map(|run| run["output"]["title"].as_str().unwrap()).collect();
        if hidden {
            assert!(titles.contains(&"Not validated: too many files"), "{titles:?}");
        } else {
            assert_eq!(titles, ["The changed file is valid"]);
        }
    }
}

#[test]
fn what_a_later_push_changes_is_not_compared_with_what_an_earlier_one_did_not_know() {
    let world = World::new();
    let github = &world.github().repositories;
    let wider = POLICY.replace("read", "write");
    github.tree("acme/app", "b", &[(DEPLOY, &wider), (OTHER, POLICY)]);
    github.tree("acme/app", "a", &[(DEPLOY, &wider), (OTHER, &wider)]);
    world.exchange_for("acme/app", "deploy").granted();
    world.deliver("push", &push_to_branch(OTHER));
    // Both reach the main branch, where exchanges still use the narrow policy.
    let main = with(push(&json!([{ "modified": [DEPLOY, OTHER] }])), "before", json!(sha("c")));
    world.deliver("push", &main);
    let said = summary(&world);
    assert_eq!(said.matches("- **Wider:** permission contents: read → write").count(), 2, "{said}");
}

#[test]
fn more_than_fifty_annotations_are_sent_in_updates_and_each_once() {
    for (count, shown, requests) in [(50, 50, 1), (51, 51, 2), (120, 120, 3), (260, 200, 4)] {
        let world = World::new();
        let half = format!(
            "{POLICY}{}",
            (0..count / 2).map(|index| format!("novel_{index}: 1\n")).collect::<String>()
        );
        let rest = format!(
            "{POLICY}{}",
            (0..count - count / 2).map(|index| format!("other_{index}: 1\n")).collect::<String>()
        );
        world.github().repositories.tree("acme/app", "a", &[(DEPLOY, &half), (OTHER, &rest)]);
        let payload = push(&json!([{ "added": [DEPLOY, OTHER] }]));
        let answer = world.deliver("push", &payload);
        let sent =
            |answer: &Answer| answer.sent.iter().filter(|sent| sent.contains("acme/app/check-runs")).count();
        // One more started the run.
        assert_eq!((sent(&answer), world.check_runs().len()), (1 + requests, 1));
        let annotations =
            |world: &World| world.check_run()["output"]["annotations"].as_array().unwrap().clone();
        assert_eq!(annotations(&world).len(), shown);
        assert_eq!(world.check_run()["conclusion"], "failure");
        let told =
            world.check_run()["output"]["text"].as_str().unwrap().contains("60 more problems are omitted");
        assert_eq!(told, count == 260);

        assert_eq!(sent(&world.deliver("push", &payload)), 2, "they are there already");
        assert_eq!(annotations(&world).len(), shown);
    }
}

#[test]
fn annotations_go_on_where_they_broke_off() {
    let world = World::new();
    let file = format!("{POLICY}{}", (0..120).map(|index| format!("novel_{index}: 1\n")).collect::<String>());
    world.github().repositories.tree("acme/app", "a", &[(DEPLOY, &file)]);
    world.network.fail("PATCH ", Fault::Status(500));
    world.deliver_as("one", "push", &push_of(DEPLOY)).is(503, "unavailable");
    let run = world.check_run();
    // The started run could not be written again: it is not green, and the next delivery continues from there.
    assert_eq!((&run["status"], &run["conclusion"]), (&json!("in_progress"), &Value::Null));
    world.network.heal();
    assert_eq!(world.deliver_as("one", "push", &push_of(DEPLOY)).body["conclusion"], "failure");
    let run = world.check_run();
    let messages: Vec<&Value> = run["output"]["annotations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|annotation| &annotation["message"])
        .collect();
    let mut distinct = messages.clone();
    distinct.dedup();
    assert_eq!((messages.len(), distinct.len()), (120, 120));
}

#[test]
fn a_summary_fits_whatever_the_files_say() {
    let world = World::new();
    let issuer = "https://token.actions.githubusercontent.com";
    let hostile = "@|`<&*_[!#~:.".repeat(80);
    let claims: String =
        (0..32).map(|index| format!("  'claim{index}{}': 'x'\n", "@|`<&*_[!#~:.".repeat(25))).collect();
    let policy = format!(
        "issuer: {issuer}\nsubject: '{hostile}'\naudience: '{hostile}'\nclaim_pattern:\n{claims}permissions: {{contents: read}}\n"
    );
    let paths: Vec<String> =
        (0..32).map(|index| format!(".github/chainguard/{}{index}.sts.yaml", "p".repeat(90))).collect();
    let tree: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), policy.as_str())).collect();
    world.github().repositories.tree("acme/app", "a", &tree);
    let mut commits = json!([{ "added": paths }]);
    let bad: Vec<String> =
        (0..300).map(|index| format!(".github/chainguard/{index}{hostile}.yaml")).collect();
    commits[0]["modified"] = json!(bad);
    world.deliver("push", &push(&commits));
    let run = world.check_run();
    assert_eq!(run["conclusion"], "success", "{}", run["output"]["annotations"]);
    let summary = run["output"]["summary"].as_str().unwrap();
    let length = summary.chars().count();
    assert!(length > 20_000 && length <= 60_000, "{length}");
    assert!(summary.contains("more files are omitted from the details"), "{summary}");
    assert_eq!(summary.matches(['@', '`', '~']).count(), 0);
}

/// A long text does not hide who gets what.
#[test]
fn of_a_file_with_too_much_to_say_the_most_important_is_said() {
    let hostile = "@|`<&*_[!#~:.".repeat(20);
    let claims: String = (0..32)
        .map(|index| format!("  'claim{index}{hostile}': '{}'\n", "[.][.][.][.]".repeat(20)))
        .collect();
    let policy = POLICY.replace("permissions:", &format!("claim_pattern:\n{claims}permissions:"));
    let world = World::new();
    world.github().repositories.tree("acme/app", "a", &[(DEPLOY, &policy)]);
    assert_eq!(world.deliver("push", &push_of(DEPLOY)).body["conclusion"], "success");
    let summary = summary(&world);
    assert!(summary.contains("\nacme/app on refs/heads/main may: contents read\n"), "{summary}");
    assert!(summary.contains("The report is too long to show in full"), "{summary}");
}

#[test]
fn every_file_gets_the_verdict_of_the_exchange() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/policies");
    let mut seen = 0;
    for validity in ["valid", "invalid"] {
        for (kind, name) in
            [("repository", "app"), ("organization", ".github"), ("trusted-issuers", ".github")]
        {
            let mut files: Vec<PathBuf> = fs::read_dir(root.join(validity).join(kind))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            files.sort();
            for file in files {
                let content = fs::read(&file).unwrap();
                let checked = checked(kind, name, &content);
                let exchanged = exchanged(kind, name, &content);
                assert_eq!(
                    (checked, exchanged),
                    (validity == "valid", validity == "valid"),
                    "{}",
                    file.display()
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

/// Whether the check succeeds.
fn checked(kind: &str, name: &str, content: &[u8]) -> bool {
    let world = World::new();
    let path = if kind == "trusted-issuers" { ISSUERS } else { DEPLOY };
    let content = crate::support::repositories::file(path, content);
    world.github().repositories.tree_of(&format!("acme/{name}"), "a", vec![(path, content)]);
    let answer = world.deliver("push", &with(push_of(path), "repository", repository(name)));
    answer.body["conclusion"] == "success"
}

/// Whether an exchange finds a policy or a list, whatever it then decides.
fn exchanged(kind: &str, name: &str, content: &[u8]) -> bool {
    let world = World::new();
    if kind == "trusted-issuers" {
        world.github().put("acme/.github", ISSUERS, crate::support::repositories::file(ISSUERS, content));
        return world.exchange().body["message"] != "organization trusted-issuer configuration is invalid";
    }
    world.github().put(&format!("acme/{name}"), DEPLOY, crate::support::repositories::file(DEPLOY, content));
    world.exchange_for(&format!("acme/{name}"), "deploy").body["error"] != "policy_not_found"
}
