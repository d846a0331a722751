//! What the validation of a repository may cost in an hour.

use serde_json::{Value, json};

use crate::support::deliveries::{DEPLOY, check_run, check_suite, pull_request, push};
use crate::support::repositories::sha;
use crate::support::{POLICY, World};

const QUOTA: &str = "Not validated: too many policies";

/// Pull request 42 of a fork, with this many policies at a commit.
fn of_a_fork(world: &World, commit: &str, policies: usize) -> Value {
    let mut payload = pull_request(policies);
    payload["pull_request"]["head"]["repo"]["id"] = json!(99);
    proposed(world, commit, policies);
    payload["pull_request"]["head"]["sha"] = json!(sha(commit));
    payload
}

fn proposed(world: &World, commit: &str, policies: usize) {
    let paths: Vec<String> =
        (0..policies).map(|index| format!(".github/chainguard/p{index}.sts.yaml")).collect();
    let tree: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), POLICY)).collect();
    world.github().repositories.tree("acme/app", commit, &tree);
    let files = paths.iter().map(|path| json!({ "filename": path, "status": "added" })).collect();
    world.github().repositories.pull_request("acme/app", 42, files);
}

fn title(world: &World, commit: &str) -> String {
    let runs = world.check_runs();
    let run = runs.iter().rev().find(|run| run["head_sha"] == sha(commit)).unwrap();
    run["output"]["title"].as_str().unwrap().to_owned()
}

#[test]
fn a_fork_cannot_spend_an_hours_requests() {
    for (policies, title_of_run) in [(150, "All 150 changed files are valid"), (200, QUOTA)] {
        let world = World::new();
        let payload = of_a_fork(&world, "a", policies);
        let answer = world.deliver("pull_request", &payload);
        assert_eq!(answer.body["status"], "validated");
        assert_eq!(title(&world, "a"), title_of_run);
        if title_of_run == QUOTA {
            assert!(answer.sent.len() <= 6, "{:?}", answer.sent);
            let summary = world.check_run()["output"]["summary"].as_str().unwrap().to_owned();
            assert!(
                summary.contains("too many policies to validate") && summary.contains("re-run"),
                "{summary}"
            );
        }
    }
}

#[test]
fn pushes_to_a_fork_share_the_hour() {
    let mut world = World::new();
    let commits = ["a1", "a2", "a3", "a4"];
    for commit in commits {
        let payload = of_a_fork(&world, commit, 100);
        world.deliver("pull_request", &payload);
        // Another isolate knows through KV.
        world.new_isolate();
    }
    let titles: Vec<String> = commits.iter().map(|commit| title(&world, commit)).collect();
    assert_eq!(titles, ["All 100 changed files are valid", QUOTA, QUOTA, QUOTA]);

    // Other commits of the repository are not affected.
    proposed(&world, "b1", 100);
    world.deliver("push", &{
        let mut payload = push(&json!([{ "added": [".github/chainguard/p0.sts.yaml"] }]));
        payload["after"] = json!(sha("b1"));
        payload
    });
    assert_eq!(title(&world, "b1"), "The changed file is valid");

    // A maintainer re-runs it.
    proposed(&world, "a2", 100);
    let mut suite = check_suite("x", "", &json!([]));
    suite["check_suite"]["head_branch"] = Value::Null;
    suite["check_suite"]["before"] = Value::Null;
    suite["check_suite"]["head_sha"] = json!(sha("a2"));
    world.deliver("check_run", &check_run(&suite));
    assert_eq!(title(&world, "a2"), "All 100 changed files are valid");

    // And the next hour is another one.
    world.advance(3600);
    let payload = of_a_fork(&world, "a5", 100);
    world.deliver("pull_request", &payload);
    assert_eq!(title(&world, "a5"), "All 100 changed files are valid");
}

#[test]
fn a_repository_has_a_thousand_requests_an_hour() {
    let world = World::new();
    let mut sent = 0;
    for index in 0..12 {
        let commit = format!("a{index}");
        proposed(&world, &commit, 200);
        let mut payload = pull_request(200);
        payload["pull_request"]["head"]["sha"] = json!(sha(&commit));
        let before = world.network.requests.borrow().len();
        world.deliver("pull_request", &payload);
        sent += world.network.requests.borrow().len() - before;
        assert_eq!(title(&world, &commit) == QUOTA, index >= 4, "{index}");
    }
    // Each run that says so costs a few.
    assert!(sent < 1000 + 8 * 8, "{sent}");
    // Another repository has its own.
    world.github().repositories.tree("acme/docs", "a", &[(DEPLOY, POLICY)]);
    let mut payload = push(&json!([{ "added": [DEPLOY] }]));
    payload["repository"]["name"] = json!("docs");
    assert_eq!(world.deliver("push", &payload).body["conclusion"], "success");
}

/// In one isolate, simultaneous deliveries count before they spend.
#[test]
fn deliveries_at_the_same_moment_share_the_hour() {
    let world = World::new();
    let payloads: Vec<(&str, Value)> =
        (0..6).map(|index| ("pull_request", of_a_fork(&world, &format!("a{index}"), 100))).collect();
    world.deliver_at_once(&payloads);
    assert!(world.network.requests.borrow().len() < 700, "{}", world.network.requests.borrow().len());
}
