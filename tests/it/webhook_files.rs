//! Which files are validated.

use serde_json::{Value, json};

use crate::support::deliveries::{
    DEPLOY, ISSUERS, check_run, check_suite, pull_request, push, push_of, push_to_branch, repository, with,
};
use crate::support::repositories::sha;
use crate::support::{POLICY, World};
use crate::webhook::world;

const OTHER: &str = ".github/chainguard/other.sts.yaml";
const BROKEN: &str = "issuer: 7\n";

/// The files that a check run's table names, with their results.
pub(crate) fn table(run: &Value) -> Vec<String> {
    let summary = run["output"]["summary"].as_str().unwrap();
    let rows = summary
        .lines()
        .skip_while(|line| !line.starts_with("| ---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let plain = row
            .replace("<code>", "")
            .replace("</code>", "")
            .replace("&#46;", ".")
            .replace(".github/chainguard/", "");
        plain.split('|').skip(2).take(2).map(str::trim).collect::<Vec<_>>().join(": ")
    })
    .collect()
}

fn read(world: &World) -> Vec<String> {
    let requests = world.network.requests.borrow();
    let at_head = format!("?ref={}", sha("a"));
    let paths = requests.iter().filter_map(|sent| sent.path.strip_suffix(&at_head)?.split_once("/contents/"));
    paths.map(|(_, path)| path.to_owned()).filter(|path| path != ".github/chainguard").collect()
}

fn listed(filename: &str, status: &str) -> Value {
    json!({ "filename": filename, "status": status, "sha": "x", "patch": "@@" })
}

#[test]
fn the_end_state_of_a_push_is_validated() {
    for (commits, files) in [
        (json!([{ "added": [DEPLOY] }]), vec!["deploy.sts.yaml: valid"]),
        (json!([{ "added": [DEPLOY] }, { "modified": [DEPLOY] }]), vec!["deploy.sts.yaml: valid"]),
        (json!([{ "removed": [OTHER] }]), vec!["other.sts.yaml: removed"]),
        (json!([{ "removed": [DEPLOY] }, { "added": [DEPLOY] }]), vec!["deploy.sts.yaml: valid"]),
        (
            json!([{ "added": [DEPLOY, "README.md"], "removed": [OTHER] }]),
            vec!["other.sts.yaml: removed", "deploy.sts.yaml: valid"],
        ),
    ] {
        let world = world();
        world.deliver("push", &push(&commits));
        assert_eq!(table(&world.check_run()), files, "{commits}");
        assert_eq!(world.check_run()["conclusion"], "success");
    }
    let world = world();
    let gone = json!([{ "added": [OTHER] }, { "removed": [OTHER] }]);
    assert_eq!(world.deliver("push", &push(&gone)).body, json!({ "status": "unaffected" }));
    assert_eq!(world.check_runs().len(), 0);
}

#[test]
fn of_a_file_that_a_push_removed_and_touched_otherwise_the_head_decides() {
    for commits in [
        json!([{ "modified": [OTHER] }, { "removed": [OTHER] }]),
        json!([{ "removed": [OTHER] }, { "added": [OTHER] }]),
        json!([{ "added": [OTHER] }, { "removed": [OTHER] }, { "modified": [DEPLOY] }]),
    ] {
        for (content, result, conclusion) in [
            (Some(POLICY), "other.sts.yaml: valid", "success"),
            (Some(BROKEN), "other.sts.yaml: not valid", "failure"),
            (None, "other.sts.yaml: removed", "success"),
        ] {
            let world = world();
            let others = content.map(|text| (OTHER, text));
            let files: Vec<(&str, &str)> = others.into_iter().chain([(DEPLOY, POLICY)]).collect();
            world.github().repositories.tree("acme/app", "a", &files);
            world.deliver("push", &push(&commits));
            let run = world.check_run();
            assert!(table(&run).iter().any(|row| row.starts_with(result)), "{commits} {:?}", table(&run));
            assert_eq!(run["conclusion"], conclusion, "{commits} {content:?}");
        }
    }
}

#[test]
fn nineteen_commits_are_read_from_the_payload_and_twenty_are_compared() {
    for (count, compared) in [(19, 0), (20, 1)] {
        let world = world();
        world.github().repositories.tree("acme/app", "b", &[(OTHER, POLICY)]);
        let mut commits = vec![json!({ "added": ["README.md"] }); count - 1];
        commits.push(json!({ "added": [DEPLOY], "removed": [OTHER] }));
        world.deliver("push", &push(&json!(commits)));
        assert_eq!(world.network.count(&format!("/compare/{}...{}", sha("b"), sha("a"))), compared);
        let mut files = table(&world.check_run());
        files.sort();
        assert_eq!(files, ["deploy.sts.yaml: valid", "other.sts.yaml: removed"]);
    }
    // A new branch has no previous commit, so everything is validated.
    let world = world();
    let commits = json!(vec![json!({ "added": ["README.md"] }); 20]);
    world.deliver("push", &with(push(&commits), "before", json!(sha(""))));
    assert_eq!(
        (world.network.count("/compare/"), table(&world.check_run())),
        (0, vec!["deploy.sts.yaml: valid".to_owned()])
    );
}

#[test]
fn all_pages_of_a_pull_request_are_read() {
    for (count, pages) in [(1, 1), (100, 2), (101, 2), (250, 3), (3000, 30)] {
        let world = world();
        let mut files = vec![listed("README.md", "modified"); count - 1];
        files.push(listed(DEPLOY, "added"));
        world.github().repositories.pull_request("acme/app", 42, files);
        let answer = world.deliver("pull_request", &pull_request(count));
        assert_eq!(
            answer.body,
            json!({ "status": "validated", "conclusion": "success", "files": 1 }),
            "{count}"
        );
        assert_eq!(world.network.count("/pulls/42/files?per_page=100&page="), pages, "{count}");
        assert!(answer.sent.len() <= 50);
    }
}

#[test]
fn pages_are_read_to_the_end_where_nobody_says_how_many_there_are() {
    let world = world();
    let mut files = vec![listed("README.md", "modified"); 820];
    files.push(listed(DEPLOY, "added"));
    world.github().repositories.pull_request("acme/app", 42, files);
    let mut payload = pull_request(1);
    payload["pull_request"].as_object_mut().unwrap().remove("changed_files");
    assert_eq!(world.deliver("pull_request", &payload).body["files"], 1);

    world.github().repositories.pull_request("acme/app", 42, vec![listed("README.md", "modified"); 3000]);
    world.deliver("pull_request", &payload);
    assert_eq!(world.check_run()["output"]["title"], "Not validated: too many files");
}

#[test]
fn more_files_than_github_lists_are_a_failure() {
    let world = world();
    world.github().repositories.pull_request("acme/app", 42, vec![listed(DEPLOY, "added"); 3001]);
    let answer = world.deliver("pull_request", &pull_request(3001));
    assert_eq!(answer.body, json!({ "status": "validated", "conclusion": "failure", "files": 0 }));
    let run = world.check_run();
    assert_eq!(
        (&run["conclusion"], &run["output"]["title"]),
        (&json!("failure"), &json!("Not validated: too many files"))
    );
    assert!(run["output"]["summary"].as_str().unwrap().contains("more than 3000 files"));
    assert_eq!(world.network.count("/pulls/"), 0, "nothing is gained by listing some of them");
}

#[test]
fn more_policies_than_one_delivery_can_read_are_a_failure() {
    for (count, title) in [(256, "All 256 changed files are valid"), (257, "Not validated: too many files")] {
        let world = World::new();
        let paths: Vec<String> =
            (0..count).map(|index| format!(".github/chainguard/p{index}.sts.yaml")).collect();
        let tree: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), POLICY)).collect();
        world.github().repositories.tree("acme/app", "a", &tree);
        world.deliver("push", &push(&json!([{ "added": paths }])));
        assert_eq!(world.check_run()["output"]["title"], title);
        assert_eq!(read(&world).len(), if count == 256 { 256 } else { 0 });
    }
}

#[test]
fn the_largest_pull_request_with_the_most_policies_stays_within_a_thousand_requests() {
    let world = World::new();
    let paths: Vec<String> = (0..256).map(|index| format!(".github/chainguard/p{index}.sts.yaml")).collect();
    let tree: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), POLICY)).collect();
    world.github().repositories.tree("acme/app", "a", &tree);
    let mut files = vec![listed("README.md", "modified"); 3000 - 256];
    files.extend(paths.iter().map(|path| listed(path, "modified")));
    world.github().repositories.pull_request("acme/app", 42, files);
    world.deliver("pull_request", &pull_request(3000));
    assert_eq!(world.check_run()["conclusion"], "success");
    // Token, pages, look-up, run started, files and their previous versions, look-up, run; look-up, revocation of the
    // token.
    assert_eq!(world.network.requests.borrow().len(), 1 + 30 + 2 + 2 * 256 + 2 + 2);
}

#[test]
fn a_pull_request_of_a_fork_is_read_where_it_was_opened() {
    let world = world();
    world.github().repositories.pull_request("acme/app", 42, vec![listed(DEPLOY, "added")]);
    let mut payload = pull_request(1);
    payload["pull_request"]["head"]["repo"] =
        json!({ "id": 99, "full_name": "stranger/app", "owner": { "login": "stranger" } });
    assert_eq!(world.deliver("pull_request", &payload).body["conclusion"], "success");
    assert_eq!(world.network.count("stranger"), 0);
    // A head whose fork is gone has no repository.
    payload["pull_request"]["head"]["repo"] = Value::Null;
    assert_eq!(world.deliver("pull_request", &payload).body["conclusion"], "success");
}

#[test]
fn a_renamed_policy_is_removed_and_added() {
    let world = World::new();
    world.github().repositories.tree("acme/app", "a", &[(OTHER, POLICY)]);
    world.github().repositories.tree("acme/app", "c", &[(DEPLOY, POLICY)]);
    let mut file = listed(OTHER, "renamed");
    file["previous_filename"] = json!(DEPLOY);
    world.github().repositories.pull_request("acme/app", 42, vec![file]);
    world.deliver("pull_request", &pull_request(1));
    let run = world.check_run();
    assert_eq!(table(&run), ["deploy.sts.yaml: removed", "other.sts.yaml: valid"]);
    assert!(run["output"]["summary"].as_str().unwrap().contains("Nothing: who gets what stays the same"));
}

#[test]
fn a_suite_of_the_default_branch_looks_at_the_whole_folder() {
    for action in ["requested", "rerequested"] {
        let world = World::new();
        let tree = [
            (DEPLOY, POLICY),
            (OTHER, BROKEN),
            (".github/chainguard/README.md", ""),
            (ISSUERS, "x"),
            ("x.sts.yaml", ""),
        ];
        world.github().repositories.tree("acme/app", "a", &tree);
        let suite = with(check_suite("main", &sha(""), &json!([])), "action", json!(action));
        let answer = world.deliver("check_suite", &suite);
        assert_eq!(answer.body, json!({ "status": "validated", "conclusion": "failure", "files": 3 }));
        assert_eq!(
            table(&world.check_run()),
            [
                "other.sts.yaml: not valid, 2 errors, 1 warning",
                "trusted-token-issuers.yaml: is not read, 1 warning",
                "deploy.sts.yaml: valid",
            ]
        );
        assert_eq!(read(&world), [DEPLOY, OTHER]);
    }
    // No folder, no check.
    let world = World::new();
    world.github().repositories.tree("acme/app", "a", &[("README.md", "")]);
    assert_eq!(
        world.deliver("check_suite", &check_suite("main", &sha("b"), &json!([]))).body,
        json!({ "status": "unaffected" })
    );
}

#[test]
fn a_folder_that_is_too_large_does_not_pass() {
    for (count, title) in [(256, "255 of 256"), (257, "Not validated: too many files")] {
        let world = World::new();
        let paths: Vec<String> =
            (0..count).map(|index| format!(".github/chainguard/p{index}.sts.yaml")).collect();
        let mut files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), BROKEN)).collect();
        files[7].1 = POLICY;
        world.github().repositories.tree("acme/app", "a", &files);
        world.deliver("check_suite", &check_suite("main", &sha("b"), &json!([])));
        let run = world.check_run();
        assert!(run["output"]["title"].as_str().unwrap().starts_with(title), "{}", run["output"]["title"]);
        assert_eq!(run["conclusion"], "failure");
    }
}

#[test]
fn a_suite_elsewhere_looks_at_its_pull_requests_or_at_what_came_last() {
    // A new branch without a pull request: nothing.
    let nothing = world();
    let answer = nothing.deliver("check_suite", &check_suite("feature", &sha(""), &json!([])));
    assert_eq!((answer.status.as_u16(), answer.sent.len()), (202, 0));
    assert_eq!(answer.body["reason"], "a new branch without a pull request");

    // With some: theirs, but none of another repository.
    let listed_requests = json!([
        { "number": 41, "base": { "sha": sha("c"), "repo": { "id": 7 } } },
        { "number": 42 },
        { "number": 43, "base": { "sha": sha("c"), "repo": { "id": 8 } } },
    ]);
    for payload in [
        check_suite("feature", &sha(""), &listed_requests),
        check_run(&check_suite("feature", &sha("b"), &listed_requests)),
    ] {
        let world = World::new();
        world.github().repositories.tree("acme/app", "a", &[(DEPLOY, POLICY), (OTHER, BROKEN)]);
        world.github().repositories.pull_request("acme/app", 41, vec![listed(DEPLOY, "added")]);
        world.github().repositories.pull_request("acme/app", 42, vec![listed(OTHER, "added")]);
        let event = if payload["check_run"].is_null() { "check_suite" } else { "check_run" };
        assert_eq!(world.deliver(event, &payload).body["conclusion"], "failure");
        assert_eq!(read(&world), [DEPLOY, OTHER]);
        assert_eq!(world.network.count("/pulls/43/"), 0);
        assert_eq!(world.network.count("/compare/") + world.network.count("contents/.github/chainguard?"), 0);
    }

    // Without: what changed since the suite's previous commit.
    let world = world();
    world.github().repositories.tree("acme/app", "b", &[]);
    world.deliver("check_suite", &check_suite("feature", &sha("b"), &json!([])));
    assert_eq!(table(&world.check_run()), ["deploy.sts.yaml: valid"]);
    assert_eq!(world.network.count("contents/.github/chainguard?"), 0);
}

#[test]
fn only_policies_of_their_own_folder_matter() {
    for path in [
        ".github/chainguard/sub/deploy.sts.yaml",
        ".github/workflows/ci.yaml",
        ".github/chainguard/README.md",
        "deploy.sts.yaml",
        ".GitHub/chainguard/deploy.sts.yaml",
    ] {
        let answer = world().deliver("push", &push_of(path));
        assert_eq!(answer.body, json!({ "status": "unaffected" }), "{path}");
    }
}

#[test]
fn a_name_that_no_caller_can_use_is_a_failure() {
    let world = world();
    let path = ".github/chainguard/@acme|<b> x.sts.yaml";
    world.deliver("push", &push_to_branch(path));
    let run = world.check_run();
    assert_eq!(run["conclusion"], "failure");
    assert_eq!(world.network.count("/contents/"), 0, "a path that is no parsed name goes into no request");
    let annotation = &run["output"]["annotations"][0];
    assert_eq!((&annotation["path"], &annotation["annotation_level"]), (&json!(path), &json!("failure")));
    assert!(
        annotation["message"].as_str().unwrap().starts_with("no caller can name this policy"),
        "{annotation}"
    );
    let summary = run["output"]["summary"].as_str().unwrap();
    assert!(!summary.contains('@') && !summary.contains("<b>"), "{summary}");
}

#[test]
fn a_misnamed_policy_is_a_warning() {
    for name in ["deploy.yaml", "deploy.yml", "deploy.sts.yml", "trusted-token-issuers.yaml"] {
        let world = world();
        let path = format!(".github/chainguard/{name}");
        world.deliver("push", &push(&json!([{ "added": [path] }])));
        let run = world.check_run();
        assert_eq!(run["conclusion"], "success");
        let annotation = &run["output"]["annotations"][0];
        assert_eq!((&annotation["path"], &annotation["annotation_level"]), (&json!(path), &json!("warning")));
        assert_eq!(world.network.count("/contents/"), 0);
    }
}

#[test]
fn the_list_of_trusted_issuers_matters_in_the_policy_repository() {
    let path = ISSUERS;
    for (name, text, result) in [
        (".github", "issuers: [https://token.actions.githubusercontent.com]", "valid"),
        (".GitHub", "issuers: [https://token.actions.githubusercontent.com]", "valid"),
        (".github", "issuer_patterns: ['[unclosed']", "not valid, 1 error"),
        ("app", "issuer_patterns: ['[unclosed']", "is not read, 1 warning"),
    ] {
        let world = World::new();
        world.github().repositories.tree(&format!("acme/{name}"), "a", &[(path, text)]);
        world.deliver("push", &with(push_of(path), "repository", repository(name)));
        assert_eq!(
            table(&world.check_run()),
            [format!("trusted-token-issuers.yaml: {result}")],
            "{name} {text}"
        );
    }
    let world = World::with_settings(&[("ORG_POLICY_REPO", "policies")]);
    world.github().install(2, "other", &["policies"]);
    world.github().alter("acme", |installation| installation.repositories.push("policies".to_owned()));
    world.github().repositories.tree("acme/policies", "a", &[(path, "issuers: [https://a.example.com]")]);
    world.deliver("push", &with(push_of(path), "repository", repository("policies")));
    assert_eq!(table(&world.check_run()), ["trusted-token-issuers.yaml: valid"]);
}

#[test]
fn what_is_no_file_at_a_policys_path_cannot_be_read() {
    for (content, why) in [
        (
            json!({ "type": "symlink", "target": "x" }),
            "cannot be read: it is a directory, a symlink, a submodule or too large",
        ),
        (
            json!({ "type": "submodule" }),
            "cannot be read: it is a directory, a symlink, a submodule or too large",
        ),
        (
            json!([{ "name": "x", "type": "file" }]),
            "cannot be read: it is a directory, a symlink, a submodule or too large",
        ),
        (
            json!({ "type": "file", "encoding": "none", "content": "" }),
            "cannot be read: it is a directory, a symlink, a submodule or too large",
        ),
    ] {
        let world = World::new();
        world.github().repositories.tree_of("acme/app", "a", vec![(DEPLOY, content)]);
        world.deliver("push", &push_of(DEPLOY));
        assert_eq!(world.check_run()["conclusion"], "failure");
        assert_eq!(table(&world.check_run()), [format!("deploy.sts.yaml: {why}")]);
    }
    let world = World::new();
    let long = format!("{POLICY}# {}", "x".repeat(200_000));
    world.github().repositories.tree("acme/app", "a", &[(DEPLOY, &long)]);
    world.deliver("push", &push_of(DEPLOY));
    assert_eq!(table(&world.check_run()), ["deploy.sts.yaml: cannot be read: it is too large"]);
}

#[test]
fn a_commit_of_many_pull_requests_is_bounded() {
    for (count, title) in [(100, "The changed file is valid"), (101, "Not validated: too many files")] {
        let world = world();
        let numbers: Vec<Value> = (1..=count).map(|number| json!({ "number": number })).collect();
        for number in 1..=count {
            world.github().repositories.pull_request("acme/app", number, vec![listed(DEPLOY, "added")]);
        }
        let answer = world.deliver("check_suite", &check_suite("feature", &sha(""), &json!(numbers)));
        assert_eq!(answer.body["status"], "validated", "{}", answer.text);
        assert_eq!(world.check_run()["output"]["title"], title);
    }
}

/// GitHub cuts off the list of a commit's files at 3000: the rest is nowhere in the delivery.
#[test]
fn a_commit_whose_list_may_be_cut_is_compared() {
    for (files, compared) in [(2999, 0), (3000, 1)] {
        let world = world();
        let listed = json!([{ "modified": vec!["README.md"; files] }]);
        world.deliver("push", &push(&listed));
        assert_eq!(world.network.count("/compare/"), compared, "{files}");
    }
}

#[test]
fn a_token_of_another_owners_repository_checks_nothing() {
    let world = world();
    *world.github().distort.borrow_mut() =
        Some(Box::new(|answer| answer["repositories"][0]["full_name"] = json!("umbrella/app")));
    let answer = world.deliver("push", &push_of(DEPLOY));
    assert!(answer.status.is_server_error(), "{}", answer.text);
    assert_eq!(world.network.count("/contents/"), 0);
    assert!(world.github().ledger.borrow().iter().all(|minted| minted.revoked));
}
