//! No check run is green by accident: not before its verdict is complete, and not because of a failure.

use serde_json::{Value, json};

use crate::support::deliveries::{
    DEPLOY, check_run, check_suite, pull_request, push, push_of, push_to_branch, with,
};
use crate::support::fault::Fault;
use crate::support::repositories::sha;
use crate::support::{POLICY, World};
use crate::webhook::world;

const OTHER: &str = ".github/chainguard/other.sts.yaml";
const BROKEN: &str = "issuer: 7\n";

fn states(world: &World) -> Vec<String> {
    world.github().repositories.states.take()
}

fn listed(filename: &str, status: &str) -> Value {
    json!({ "filename": filename, "status": status })
}

fn title(world: &World) -> String {
    world.check_run()["output"]["title"].as_str().unwrap().to_owned()
}

/// `acme/app`, whose commit `a…` has these files.
fn holding(files: &[(&str, &str)]) -> World {
    let world = World::new();
    world.github().repositories.tree("acme/app", "a", files);
    world
}

fn paths(count: usize) -> Vec<String> {
    (0..count).map(|index| format!(".github/chainguard/p{index}.sts.yaml")).collect()
}

#[test]
fn a_run_is_begun_before_anything_is_read() {
    let world = world();
    let first = world.deliver("push", &push_of(DEPLOY));
    assert_eq!(states(&world), ["in_progress", "success"]);
    let begun = first.sent.iter().position(|sent| sent.starts_with("POST") && sent.ends_with("check-runs"));
    let read = first.sent.iter().position(|sent| sent.contains("/contents/"));
    assert!(begun < read, "{:?}", first.sent);

    // A run that has ended fails until there is a new verdict.
    world.deliver("push", &push_to_branch(DEPLOY));
    assert_eq!(states(&world), ["failure", "success"]);
    assert_eq!(world.check_runs().len(), 1);
}

#[test]
fn where_nothing_is_read_there_is_nothing_to_begin() {
    let world = world();
    world.deliver("push", &push(&json!([{ "removed": [OTHER] }])));
    assert_eq!(states(&world), ["success"]);
    world.deliver("pull_request", &pull_request(3001));
    assert_eq!(states(&world), ["failure"]);
}

#[test]
fn a_run_remembers_every_state_of_a_file() {
    for commits in [
        json!([{ "removed": [DEPLOY] }, { "added": [DEPLOY], "modified": [OTHER] }]),
        json!([{ "added": [DEPLOY] }, { "removed": [DEPLOY], "modified": [OTHER] }]),
    ] {
        let world = holding(&[(DEPLOY, POLICY), (OTHER, BROKEN)]);
        assert_eq!(world.deliver("push", &push(&commits)).body["conclusion"], "failure");
        // The second push of the same head does not know about the broken file.
        let second = world.deliver("push", &push_to_branch(DEPLOY));
        assert_eq!(second.body["conclusion"], "failure", "{commits}");
    }
}

#[test]
fn a_damaged_record_is_never_green() {
    let damages: [fn(&str) -> String; 4] = [
        |text| text.replace("octo-sts: ", "octo-sts: A"),
        |text| text.replace("<!-- octo-sts: ", "<!-- "),
        |_| "Checked".to_owned(),
        |text| text.chars().take(text.len() - 10).collect(),
    ];
    for damage in damages {
        let world = holding(&[(DEPLOY, POLICY), (OTHER, BROKEN)]);
        world.deliver("push", &push(&json!([{ "added": [DEPLOY, OTHER] }])));
        {
            let mut runs = world.github().repositories.check_runs.borrow_mut();
            let text = runs[0]["output"]["text"].as_str().unwrap().to_owned();
            runs[0]["output"]["text"] = json!(damage(&text));
        }
        for _ in 0..2 {
            assert_eq!(world.deliver("push", &push_to_branch(DEPLOY)).body["conclusion"], "failure");
            assert_eq!(title(&world), "Not validated: the record of this check run is damaged");
        }
        // Whoever asks for the whole folder gets a verdict again.
        world.github().repositories.tree("acme/app", "a", &[(DEPLOY, POLICY)]);
        let again = with(check_suite("main", &sha("b"), &json!([])), "action", json!("rerequested"));
        world.deliver("check_suite", &again);
        assert_eq!(title(&world), "The changed file is valid");
    }
}

#[test]
fn sizes_are_counted_as_github_counts_them() {
    let mut files: Vec<(String, String)> = Vec::new();
    for path in paths(40) {
        let subject = format!("subject: '{}'", "🦑".repeat(200));
        files.push((path, POLICY.replace("subject: repo:acme/app:ref:refs/heads/main", &subject)));
    }
    let tree: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let world = holding(&tree);
    let suite = check_suite("main", &sha("b"), &json!([]));
    assert_eq!(world.deliver("check_suite", &suite).body["conclusion"], "success");
    let run = world.check_run();
    let summary = run["output"]["summary"].as_str().unwrap();
    assert!((40_000..=60_000).contains(&summary.len()), "{}", summary.len());
    assert_eq!(states(&world), ["in_progress", "success"]);
}

#[test]
fn a_report_that_github_refuses_becomes_smaller() {
    let all = paths(20);
    let tree: Vec<(&str, &str)> = all.iter().map(|path| (path.as_str(), POLICY)).collect();
    for (takes, title_of_run, conclusion) in [
        (3000, "All 20 changed files are valid", "success"),
        (1000, "Not validated: GitHub refuses the report", "failure"),
    ] {
        let world = holding(&tree);
        world.github().repositories.takes_bytes.set(takes);
        let answer = world.deliver("push", &push(&json!([{ "added": all }])));
        assert_eq!(answer.body["status"], "validated", "{}", answer.text);
        assert_eq!(
            (title(&world).as_str(), &world.check_run()["conclusion"]),
            (title_of_run, &json!(conclusion))
        );
        assert_eq!(world.check_run()["output"]["annotations"], json!([]));
        // A run that could not note its files does not pass after another delivery either.
        world.deliver("push", &push_to_branch(&all[0]));
        assert_eq!(world.check_run()["conclusion"], conclusion);
    }
}

#[test]
fn a_delivery_whose_time_is_over_ends_red() {
    let all = paths(20);
    let tree: Vec<(&str, &str)> = all.iter().map(|path| (path.as_str(), POLICY)).collect();
    let world = holding(&tree);
    // Whether an answer or the validation takes the time makes no difference to the clock.
    world.network.fail("/contents/", Fault::Late);
    world.deliver("push", &push(&json!([{ "added": all }]))).is(503, "unavailable");
    assert_eq!(title(&world), "Not validated: no answer in time");
    assert_eq!(world.check_run()["conclusion"], "failure");
    world.network.heal();
    assert_eq!(world.deliver("push", &push(&json!([{ "added": all }]))).body["conclusion"], "success");
}

#[test]
fn what_a_dead_worker_began_is_taken_over() {
    let world = holding(&[(DEPLOY, POLICY), (OTHER, BROKEN)]);
    // Nothing can be written after the start, as if the Worker had died.
    world.network.fail("PATCH ", Fault::Status(500));
    world.deliver("push", &push(&json!([{ "added": [DEPLOY, OTHER] }]))).is(503, "unavailable");
    assert_eq!(world.check_run()["status"], "in_progress");
    world.network.heal();
    // Another event, which knows only one of the files.
    assert_eq!(world.deliver("push", &push_to_branch(DEPLOY)).body["conclusion"], "failure");
    let run = world.check_run();
    assert_eq!((&run["status"], &run["conclusion"]), (&json!("completed"), &json!("failure")));
    assert_eq!(title(&world), "1 of 2 changed files is not valid");
}

#[test]
fn a_list_that_github_does_not_give_turns_a_green_run_red() {
    let world = holding(&[(DEPLOY, POLICY), (OTHER, BROKEN)]);
    let both = vec![listed(DEPLOY, "modified"), listed(OTHER, "added")];
    world.github().repositories.pull_request("acme/app", 42, both);
    world.deliver("push", &push_to_branch(DEPLOY));
    world.network.fail("/pulls/", Fault::Status(500));
    world.deliver_as("pull", "pull_request", &pull_request(2)).is(503, "unavailable");
    assert_eq!(world.check_run()["conclusion"], "failure");
    assert_eq!(title(&world), "Not validated: GitHub did not answer as expected");
    world.network.heal();
    // A push does not make up for a pull request.
    world.deliver("push", &push_to_branch(DEPLOY));
    assert_eq!(title(&world), "Not validated: the changed files are not known");
    world.deliver_as("pull", "pull_request", &pull_request(2));
    assert_eq!(title(&world), "1 of 2 changed files is not valid");
}

#[test]
fn a_green_run_that_cannot_be_changed_is_hidden_by_a_red_one() {
    let world = holding(&[(DEPLOY, POLICY), (OTHER, BROKEN)]);
    world.deliver("push", &push_to_branch(DEPLOY));
    for request in ["PATCH ", "/check-runs?"] {
        let world = holding(&[(DEPLOY, POLICY), (OTHER, BROKEN)]);
        world.deliver("push", &push_to_branch(DEPLOY));
        world.network.fail(request, Fault::Status(500));
        world.deliver("push", &push_to_branch(OTHER)).is(503, "unavailable");
        let runs = world.check_runs();
        assert_eq!(runs.last().unwrap()["conclusion"], "failure", "{request}");
        world.network.heal();
        world.deliver("push", &push_to_branch(DEPLOY));
        assert!(world.check_runs().iter().all(|run| run["conclusion"] == "failure"), "{request}");
    }
}

/// The run was green for a branch that has the broken file already; against another base it is part of the change.
#[test]
fn another_base_is_another_change() {
    let world = holding(&[(DEPLOY, POLICY), (OTHER, BROKEN)]);
    world.github().repositories.pull_request("acme/app", 42, vec![listed(DEPLOY, "added")]);
    assert_eq!(world.deliver("pull_request", &pull_request(1)).body["conclusion"], "success");
    let both = vec![listed(DEPLOY, "added"), listed(OTHER, "added")];
    world.github().repositories.pull_request("acme/app", 42, both);
    let edited = with(pull_request(2), "action", json!("edited"));
    assert_eq!(world.deliver("pull_request", &edited).status, 202, "a title changes nothing");
    let edited =
        with(edited, "changes", json!({ "base": { "ref": { "from": "x" }, "sha": { "from": sha("d") } } }));
    assert_eq!(world.deliver("pull_request", &edited).body["conclusion"], "failure");
    let title_alone = with(edited, "changes", json!({ "title": { "from": "x" } }));
    assert_eq!(world.deliver("pull_request", &title_alone).status, 202);
}

/// GitHub sends neither the branch nor the pull request of a fork's commit.
#[test]
fn a_re_run_of_a_forks_commit_looks_at_its_pull_request() {
    let world = holding(&[(DEPLOY, BROKEN)]);
    world.github().repositories.pull_request("acme/app", 42, vec![listed(DEPLOY, "added")]);
    let mut of_a_fork = pull_request(1);
    of_a_fork["pull_request"]["head"]["repo"]["id"] = json!(99);
    assert_eq!(world.deliver("pull_request", &of_a_fork).body["conclusion"], "failure");
    world.github().repositories.tree("acme/app", "a", &[(DEPLOY, POLICY)]);

    let mut suite = check_suite("x", "", &json!([]));
    suite["check_suite"]["head_branch"] = Value::Null;
    suite["check_suite"]["before"] = Value::Null;
    let listed_before = world.network.count("/pulls/42/files");
    for (event, payload) in
        [("check_run", check_run(&suite)), ("check_suite", with(suite, "action", json!("rerequested")))]
    {
        assert_eq!(world.deliver(event, &payload).body["conclusion"], "success", "{event}");
    }
    assert_eq!(world.network.count("/pulls/42/files") - listed_before, 2);
    let ledger = world.github().ledger.borrow();
    assert_eq!(ledger.last().unwrap().permissions["pull_requests"], "read");
}

fn merge_group(action: &str) -> Value {
    let mut payload = push_of(DEPLOY);
    payload["action"] = json!(action);
    payload["merge_group"] = json!({
        "head_sha": sha("a"), "head_ref": "refs/heads/gh-readonly-queue/main/pr-42", "base_sha": sha("b"),
        "base_ref": "refs/heads/main",
    });
    payload
}

#[test]
fn a_merge_group_gets_its_run_at_its_head() {
    let world = holding(&[(DEPLOY, POLICY), (OTHER, BROKEN)]);
    world.github().repositories.tree("acme/app", "b", &[(DEPLOY, POLICY)]);
    let answer = world.deliver("merge_group", &merge_group("checks_requested"));
    assert_eq!(answer.body, json!({ "status": "validated", "conclusion": "failure", "files": 1 }));
    assert_eq!(world.check_run()["head_sha"], sha("a"));
    assert_eq!(world.network.count(&format!("/compare/{}...{}", sha("b"), sha("a"))), 1);
    let answer = world.deliver("merge_group", &merge_group("destroyed"));
    assert_eq!((answer.status.as_u16(), answer.sent.len()), (202, 0));
    let mut broken = merge_group("checks_requested");
    broken["merge_group"]["head_sha"] = json!("main");
    world.deliver("merge_group", &broken).is(400, "invalid_request");
}

#[test]
fn a_check_that_is_required_reports_always_where_that_is_set() {
    let always = [("WEBHOOK_REPORT_ALWAYS", "true")];
    for (settings, is_reported) in [
        (&always[..], true),
        (&[][..], false),
        (&[("WEBHOOK_REPORT_ALWAYS", "false")][..], false),
        // An invalid value falls back, and disables nothing.
        (&[("WEBHOOK_REPORT_ALWAYS", "yes")][..], false),
    ] {
        let world = World::with_settings(settings);
        for commit in ["a", "b"] {
            world.github().repositories.tree("acme/app", commit, &[(DEPLOY, POLICY)]);
        }
        world.github().repositories.pull_request("acme/app", 42, vec![listed("README.md", "modified")]);
        for (event, payload) in
            [("pull_request", pull_request(1)), ("merge_group", merge_group("checks_requested"))]
        {
            let answer = world.deliver(event, &payload);
            assert_eq!(world.check_runs().len(), usize::from(is_reported), "{event}");
            if is_reported {
                assert_eq!(world.check_run()["conclusion"], "skipped");
                assert_eq!(title(&world), "No policy is changed");
            } else {
                assert_eq!(answer.body, json!({ "status": "unaffected" }));
            }
        }
        // Never for others.
        let push = push(&json!([{ "added": ["README.md"] }]));
        assert_eq!(world.deliver("push", &push).sent.len(), 0);
    }
    // A more informative run stays, and a skipped one gets more informative.
    let world = World::with_settings(&always);
    world.github().repositories.tree("acme/app", "a", &[(DEPLOY, BROKEN)]);
    world.github().repositories.pull_request("acme/app", 42, vec![listed("README.md", "modified")]);
    for (event, payload, conclusion) in [
        ("pull_request", pull_request(1), "skipped"),
        ("push", push_to_branch(DEPLOY), "failure"),
        ("pull_request", pull_request(1), "failure"),
    ] {
        world.deliver(event, &payload);
        assert_eq!(world.check_run()["conclusion"], conclusion, "{event}");
    }
}

/// GitHub does not send the commits before a new branch, but the run knows what it is about.
#[test]
fn a_re_run_validates_what_the_run_is_about() {
    let world = holding(&[(DEPLOY, POLICY), (OTHER, BROKEN)]);
    let again = with(check_suite("feature", &sha(""), &json!([])), "action", json!("rerequested"));
    let nothing = world.deliver("check_suite", &again);
    assert_eq!(nothing.body, json!({ "status": "unaffected" }));
    assert_eq!(world.check_runs().len(), 0);

    let both = push(&json!([{ "added": [DEPLOY, OTHER] }]));
    world.network.fail("/contents/", Fault::Status(500));
    world.deliver("push", &both).is(503, "unavailable");
    world.network.heal();
    assert_eq!(title(&world), "Not validated: GitHub did not answer as expected");
    world.deliver("check_suite", &again);
    assert_eq!(title(&world), "1 of 2 changed files is not valid");

    // A run of another service with our name is different.
    world.github().repositories.check_runs.borrow_mut()[0]["output"]["text"] = Value::Null;
    world.deliver("check_suite", &again);
    assert_eq!(world.check_run()["conclusion"], "failure");
}

#[test]
fn a_skipped_run_that_could_not_be_written_is_written_again() {
    let world = World::with_settings(&[("WEBHOOK_REPORT_ALWAYS", "true")]);
    world.github().repositories.pull_request("acme/app", 42, vec![listed("README.md", "modified")]);
    world.network.fail("/check-runs?", Fault::Status(500));
    world.deliver_as("one", "pull_request", &pull_request(1)).is(503, "unavailable");
    assert_eq!(world.check_run()["conclusion"], "failure");
    world.network.heal();
    world.deliver_as("one", "pull_request", &pull_request(1));
    assert_eq!(world.check_run()["conclusion"], "skipped");
}

/// Such a run knows that it is incomplete, and a re-run without data from GitHub does not change that.
#[test]
fn a_re_run_that_knows_nothing_settles_nothing() {
    let long: Vec<String> =
        (0..250).map(|n| format!(".github/chainguard/{}{n:03}.sts.yaml", "x".repeat(90))).collect();
    let world = holding(&[(DEPLOY, BROKEN)]);
    let to_branch = with(push(&json!([{ "added": long }])), "ref", json!("refs/heads/feature"));
    // GitHub refuses the long record, so that only the shortest one is kept.
    world.network.fail_where(
        |sent| {
            sent.path.contains("/check-runs") && sent.method != "GET" && sent.body.to_string().len() > 2_500
        },
        0,
        Fault::Status(422),
    );
    world.deliver("push", &to_branch);
    assert_eq!(world.check_run()["conclusion"], "failure");
    world.network.heal();
    let again = with(check_suite("feature", &sha(""), &json!([])), "action", json!("rerequested"));
    world.deliver("check_suite", &again);
    assert_eq!(world.check_run()["conclusion"], "failure", "{}", title(&world));
    assert_eq!(title(&world), "Not validated: too many files");
}

/// GitHub answers a token that is milliseconds old with 404 now and then.
#[test]
fn a_404_to_a_young_token_is_no_absence() {
    let again = with(check_suite("main", &sha("b"), &json!([])), "action", json!("rerequested"));
    let folder = |sent: &crate::support::platform::Sent| sent.path.contains("/contents/.github/chainguard?");
    let repository = |sent: &crate::support::platform::Sent| sent.path == "/repos/acme/app";
    // A red run stays red, although its folder is absent once.
    let world = holding(&[(DEPLOY, BROKEN)]);
    world.deliver("check_suite", &again);
    assert_eq!(world.check_run()["conclusion"], "failure");
    world.network.fail_where_times(folder, 1, Fault::Status(404));
    assert_eq!(world.deliver("check_suite", &again).body["conclusion"], "failure");
    // The repository is not seen either, once or for good.
    world.network.fail_where_times(folder, 1, Fault::Status(404));
    world.network.fail_where_times(repository, 2, Fault::Status(404));
    let answer = world.deliver("check_suite", &again);
    assert_eq!((&answer.body["conclusion"], answer.took.as_secs()), (&json!("failure"), 2));
    world.network.fail_where(folder, 0, Fault::Status(404));
    world.network.fail_where(repository, 0, Fault::Status(404));
    world.deliver("check_suite", &again).is(503, "unavailable");
    assert_eq!(world.check_run()["conclusion"], "failure");

    // A merge group that GitHub cannot compare, and whose folder is absent, is not skipped.
    let world = World::with_settings(&[("WEBHOOK_REPORT_ALWAYS", "true")]);
    world.github().repositories.tree("acme/app", "a", &[(DEPLOY, BROKEN)]);
    world.network.fail("/compare/", Fault::Status(404));
    world.network.fail_where_times(folder, 1, Fault::Status(404));
    world.deliver("merge_group", &merge_group("checks_requested"));
    assert_eq!(world.check_run()["conclusion"], "failure");

    // A file that one commit removed and another touched exists, whatever GitHub says first.
    let world = holding(&[(DEPLOY, BROKEN)]);
    let file =
        |sent: &crate::support::platform::Sent| sent.path.contains("/contents/.github/chainguard/deploy");
    world.network.fail_where_times(file, 1, Fault::Status(404));
    world.deliver("push", &push(&json!([{ "removed": [DEPLOY] }, { "modified": [DEPLOY] }])));
    assert_eq!(world.check_run()["conclusion"], "failure", "{}", title(&world));
}

/// What GitHub did not list stays unknown, although another delivery says itself what it changed.
#[test]
fn what_could_not_be_listed_is_settled_by_a_list_alone() {
    let world = holding(&[(DEPLOY, BROKEN), (OTHER, POLICY)]);
    world.github().repositories.tree("acme/app", "b", &[(OTHER, POLICY)]);
    let of_other = push_to_branch(OTHER);
    assert_eq!(world.deliver("push", &of_other).body["conclusion"], "success");
    let large = push(&Value::Array(vec![json!({ "modified": [OTHER] }); 20]));
    world.network.fail("/compare/", Fault::Status(500));
    world.deliver("push", &large).is(503, "unavailable");
    world.network.heal();
    let again = with(check_suite("feature", &sha(""), &json!([])), "action", json!("rerequested"));
    for (event, payload) in [("push", &of_other), ("check_suite", &again)] {
        world.deliver(event, payload);
        assert_eq!(world.check_run()["conclusion"], "failure", "{event}");
        assert_eq!(title(&world), "Not validated: the changed files are not known", "{event}");
    }
    world.deliver("push", &large);
    assert_eq!(title(&world), "1 of 2 changed files is not valid");
    world.github().repositories.tree("acme/app", "a", &[(DEPLOY, POLICY), (OTHER, POLICY)]);
    world.deliver("push", &large);
    assert_eq!(world.check_run()["conclusion"], "success");
}

/// Whatever comes after it, and whatever GitHub does to that: one of the files at this head is broken, and that is
/// known.
#[test]
fn no_story_turns_a_broken_head_green() {
    let suite = || check_suite("main", &sha("b"), &json!([]));
    let elsewhere = || check_suite("feature", &sha(""), &json!([]));
    let with_pull_request =
        || check_suite("feature", &sha("b"), &json!([{ "number": 42, "base": { "sha": sha("c") } }]));
    let again = |payload: Value| with(payload, "action", json!("rerequested"));
    let events: [(&str, Value); 12] = [
        ("push", push_of(DEPLOY)),
        ("push", push_to_branch(OTHER)),
        ("push", push(&json!([{ "removed": [DEPLOY] }, { "modified": [DEPLOY] }]))),
        ("push", push(&Value::Array(vec![json!({ "modified": [OTHER] }); 20]))),
        ("pull_request", pull_request(1)),
        ("pull_request", with(pull_request(1), "action", json!("synchronize"))),
        ("merge_group", merge_group("checks_requested")),
        ("check_suite", suite()),
        ("check_suite", again(suite())),
        ("check_suite", again(elsewhere())),
        ("check_suite", again(with_pull_request())),
        ("check_run", check_run(&elsewhere())),
    ];
    let calls = [
        "access_tokens",
        "/contents/",
        "/contents/.github/chainguard?",
        "/check-runs?",
        "POST api.github.com/repos/acme/app/check-runs",
        "PATCH",
        "/compare/",
        "/pulls/42/files",
        "GET api.github.com/repos/acme/app",
        "api.github.com",
    ];
    let faults = [
        Fault::Status(404),
        Fault::Status(401),
        Fault::Status(403),
        Fault::Status(422),
        Fault::Status(500),
        Fault::Status(429),
        Fault::Status(302),
        Fault::Refused,
        Fault::TimedOut,
        Fault::BrokenOff,
        Fault::Garbage,
        Fault::TooLarge,
    ];
    const STORIES: u32 = 60;
    // Pseudo-random, and the same each time.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut any = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    for story in 0..STORIES {
        let always = if any(2) == 0 { "true" } else { "false" };
        let world = World::with_settings(&[("WEBHOOK_REPORT_ALWAYS", always)]);
        for commit in ["a", "b", "c"] {
            let text = if commit == "a" { BROKEN } else { POLICY };
            world.github().repositories.tree("acme/app", commit, &[(DEPLOY, text), (OTHER, POLICY)]);
        }
        let changed = vec![listed(OTHER, "modified"), listed(DEPLOY, "modified")];
        world.github().repositories.pull_request("acme/app", 42, changed);
        let mut told = vec![format!("story {story}")];
        for chapter in 0..6 {
            let (event, payload) = &events[if chapter == 0 { 0 } else { any(events.len()) }];
            let (call, fault) = (calls[any(calls.len())], faults[any(faults.len())].clone());
            // If GitHub says twice that a file or folder is absent, it is.
            let times = if matches!(fault, Fault::Status(404)) { 1 } else { 1 + any(3) };
            told.push(format!(
                "{event} {} {}: {times} times {fault:?} at {call}",
                payload["action"], payload["commits"]
            ));
            world.network.fail_times(call, fault, u32::try_from(times).unwrap());
            world.deliver(event, payload);
            world.network.heal();
            let runs = world.check_runs();
            // The first delivery may have had no effect, and then nobody knows about the file.
            let Some(newest) = runs.last().map(|run| &run["conclusion"]) else { break };
            assert!(newest != "success" && newest != "skipped", "{newest}: {told:#?}");
            world.advance(600);
        }
    }
}
