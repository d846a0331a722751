//! The Go service's own cases (August 2026). If we differ, `differences-webhook.json` says what we do and why; an
//! unused difference fails.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::support::World;
use crate::support::deliveries::{repository, with};
use crate::support::fault::Fault;
use crate::support::repositories::sha;

fn data(name: &str) -> Value {
    let path = format!("{}/tests/data/cases/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// What one table of cases differs in, and whether a case needed it.
struct Differences {
    all: Vec<Value>,
    used: RefCell<Vec<usize>>,
}

impl Differences {
    fn of(file: &str) -> Self {
        let all = data("differences-webhook.json").as_array().unwrap().clone();
        Self { all: all.into_iter().filter(|one| one["file"] == file).collect(), used: RefCell::default() }
    }

    /// What is expected of us.
    fn ours(&self, case: &str, member: &str, theirs: &Value) -> Value {
        let found = self.all.iter().position(|one| one["case"] == case && one["member"] == member);
        found.map_or_else(
            || theirs.clone(),
            |index| {
                assert!(self.all[index]["reason"].is_string());
                assert_ne!(&self.all[index]["ours"], theirs, "{case}: no difference");
                self.used.borrow_mut().push(index);
                self.all[index]["ours"].clone()
            },
        )
    }

    fn all_used(&self) {
        let used = self.used.borrow();
        let unused: Vec<&Value> = self
            .all
            .iter()
            .enumerate()
            .filter(|(index, _)| !used.contains(index))
            .map(|(_, one)| one)
            .collect();
        assert!(unused.is_empty(), "{unused:#?}");
    }
}

/// The policy files that a push makes us read, in order.
fn read_of_push(repository_name: &str, commits: &Value) -> Value {
    let world = World::new();
    world.github().alter("acme", |installation| installation.repositories.push(repository_name.to_owned()));
    let mut payload = json!({
        "ref": "refs/heads/main", "before": sha("b"), "after": sha("a"), "commits": commits,
        "installation": { "id": 1 },
    });
    payload = with(payload, "repository", repository(repository_name));
    world.deliver("push", &payload);
    contents(&world)
}

fn contents(world: &World) -> Value {
    let requests = world.network.requests.borrow();
    let paths = requests.iter().filter_map(|sent| sent.path.split_once("/contents/")?.1.split('?').next());
    paths.filter(|path| *path != ".github/chainguard").collect()
}

#[test]
fn paths_are_validated_as_by_the_go_service() {
    let file = "webhook-validated-path.json";
    let differences = Differences::of(file);
    for case in data(file)["cases"].as_array().unwrap() {
        let (name, input) = (case["name"].as_str().unwrap(), &case["input"]);
        assert_eq!(input["org_policy_repo"], ".github");
        let read = read_of_push(input["repo"].as_str().unwrap(), &json!([{ "added": [input["path"]] }]));
        let expected = differences.ours(name, "expected", &case["expected"]);
        assert_eq!(json!(read == json!([input["path"]])), expected, "{name}");
    }
    differences.all_used();
}

#[test]
fn files_are_filtered_as_by_the_go_service() {
    let file = "webhook-filter-files.json";
    let differences = Differences::of(file);
    for case in data(file)["cases"].as_array().unwrap() {
        let (name, input) = (case["name"].as_str().unwrap(), &case["input"]);
        let read = read_of_push(input["repo"].as_str().unwrap(), &json!([{ "added": input["files"] }]));
        assert_eq!(read, differences.ours(name, "expected", &case["expected"]), "{name}");
    }
    differences.all_used();
}

#[test]
fn pushed_files_are_found_as_by_the_go_service() {
    let file = "webhook-push-files.json";
    let differences = Differences::of(file);
    for case in data(file)["cases"].as_array().unwrap() {
        let (name, input) = (case["name"].as_str().unwrap(), &case["input"]);
        let read = read_of_push(input["repo"].as_str().unwrap(), &input["commits"]);
        assert_eq!(read, differences.ours(name, "expected", &case["expected"]), "{name}");
    }
    differences.all_used();
}

/// The Go service's tests use short words as commits; GitHub's are 40 digits.
fn with_whole_shas(value: &mut Value) {
    if let Some(members) = value.as_object_mut() {
        for (name, member) in members.iter_mut() {
            let is_commit = matches!(&**name, "before" | "after" | "head_sha" | "sha" | "external_id");
            match member.as_str().map(sha).filter(|_| is_commit) {
                Some(whole) => *member = json!(whole),
                None => with_whole_shas(member),
            }
        }
    }
    value.as_array_mut().into_iter().flatten().for_each(with_whole_shas);
}

fn policy(fixtures: &Value, name: &str) -> String {
    let path = format!("/api/v3/repos/foo/bar/contents/.github/chainguard/{name}");
    fixtures[&path]["content_decoded"].as_str().unwrap().to_owned()
}

/// A world in which GitHub answers as the Go service's tests have it.
fn world_of(input: &Value) -> World {
    let fixtures = data("webhook-fixtures.json");
    let organizations: Vec<&str> = input["validator"]["organizations"]
        .as_array()
        .map(|names| names.iter().map(|name| name.as_str().unwrap()).collect())
        .unwrap_or_default();
    let filter = organizations.join(",");
    let settings: Vec<(&str, &str)> = organizations
        .first()
        .map(|_| ("GITHUB_WEBHOOK_ORGANIZATION_FILTER", filter.as_str()))
        .into_iter()
        .collect();
    let world = World::with_settings(&settings);
    let github = world.github();
    for id in [1111, 999_999] {
        github.install(id, "foo", &["bar", ".github"]);
    }
    let (test, test2) = (policy(&fixtures, "test.sts.yaml"), policy(&fixtures, "test2.sts.yaml"));
    let allowlist = input["github"]["allowlist_yaml"].as_str().unwrap_or_default();
    let text = |path: &str| {
        if path.ends_with("trusted-token-issuers.yaml") { allowlist.to_owned() } else { test.clone() }
    };
    let mut files = BTreeMap::from([
        (".github/chainguard/test.sts.yaml".to_owned(), test.clone()),
        (".github/chainguard/test2.sts.yaml".to_owned(), test2),
    ]);
    for (call, answer) in input["github"].as_object().into_iter().flatten() {
        match (call.as_str(), answer) {
            ("*", _) => world.network.fail("api.github.com", Fault::Status(401)),
            ("GET /repos/foo/bar/contents/*", _) => {
                world
                    .network
                    .fail("/contents/", Fault::StatusWith(403, "x-ratelimit-remaining", "0".to_owned()));
            }
            (directory, Value::Array(entries)) if directory.ends_with("/contents/.github/chainguard") => {
                if !entries.is_empty() {
                    files = entries
                        .iter()
                        .map(|entry| entry["path"].as_str().unwrap())
                        .map(|path| (path.to_owned(), text(path)))
                        .collect();
                }
            }
            ("response_headers" | "allowlist_yaml", _) => {}
            other => panic!("{other:?}"),
        }
    }
    let tree: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    for repository in ["foo/bar", "foo/.github"] {
        for commit in ["5678", "4321", "deadbeef", "abc123"] {
            github.repositories.tree(repository, commit, &tree);
        }
    }
    for (path, answer) in fixtures.as_object().unwrap() {
        if let Some(range) = path.strip_prefix("/api/v3/repos/foo/bar/compare/") {
            let (before, after) = range.split_once("...").unwrap();
            github.repositories.compared(
                "foo/bar",
                before,
                after,
                answer["files"].as_array().unwrap().clone(),
            );
        }
        if let Some(number) = path.strip_prefix("/api/v3/repos/foo/bar/pulls/") {
            let number = number.strip_suffix("/files").unwrap().parse().unwrap();
            github.repositories.pull_request("foo/bar", number, answer.as_array().unwrap().clone());
        }
    }
    world
}

/// Whether a call such as `GET /repos/foo/bar/compare/1234...5678` or `GET /repos/foo/bar/contents/*` was made.
fn was_made(world: &World, call: &str) -> bool {
    let call = match call.split_once("/compare/") {
        Some((start, range)) if range != "*" => {
            let (before, after) = range.split_once("...").unwrap();
            format!("{start}/compare/{}...{}", sha(before), sha(after))
        }
        _ => call.trim_end_matches('*').to_owned(),
    };
    let requests = world.network.requests.borrow();
    requests.iter().any(|sent| {
        let path = sent.path.split('?').next().unwrap();
        let made = format!("{} {path}", sent.method);
        made == call || (call.ends_with('/') && made.starts_with(&call))
    })
}

fn observed(member: &str, theirs: &Value, status: u16, world: &World) -> Value {
    let runs = world.check_runs();
    match member {
        "status" => json!(status),
        "check_runs" => {
            // As much of each run as the case says.
            let like = |theirs: &Value, ours: &Value| -> Value {
                let members = theirs.as_object().unwrap().iter();
                members
                    .map(|(name, value)| match (name.as_str(), value) {
                        ("started_at" | "completed_at", _) if ours[name].is_string() => {
                            (name.clone(), value.clone())
                        }
                        ("summary_contains", Value::String(text)) => {
                            let says = ours["output"]["summary"].as_str().unwrap().contains(text.as_str());
                            (name.clone(), if says { value.clone() } else { json!("it does not") })
                        }
                        ("output", _) => {
                            let summary = ours["output"]["summary"].as_str().unwrap();
                            let summary = if summary.is_empty() { "" } else { "<in words>" };
                            let output = json!({ "title": ours["output"]["title"], "summary": summary });
                            (name.clone(), output)
                        }
                        _ => (name.clone(), ours[name].clone()),
                    })
                    .collect()
            };
            let theirs = theirs.as_array().unwrap();
            assert_eq!(runs.len(), theirs.len(), "{runs:#?}");
            theirs.iter().zip(&runs).map(|(theirs, ours)| like(theirs, ours)).collect()
        }
        "github_calls" => json!(world.network.requests.borrow().len()),
        "must_call" => theirs
            .as_array()
            .unwrap()
            .iter()
            .filter(|call| was_made(world, call.as_str().unwrap()))
            .cloned()
            .collect(),
        "must_not_call" => theirs
            .as_array()
            .unwrap()
            .iter()
            .filter(|call| !was_made(world, call.as_str().unwrap()))
            .cloned()
            .collect(),
        "fetched_contents" => contents(world),
        "max_content_fetches" => json!(contents(world).as_array().unwrap().len()),
        "token_mints" => json!(world.network.count("access_tokens")),
        "error" => json!(runs.iter().any(|run| run["conclusion"] != "success")),
        "metric" | "why" => Value::Null,
        other => panic!("nobody observes `{other}`"),
    }
}

#[test]
fn deliveries_are_handled_as_by_the_go_service() {
    let file = "webhook-http.json";
    let differences = Differences::of(file);
    let mut count = 0;
    for case in data(file)["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let (mut input, mut expected) = (case["input"].clone(), case["expected"].clone());
        with_whole_shas(&mut input);
        with_whole_shas(&mut expected);
        if input["call"].is_string() {
            // A call of the function behind it: a push of that file.
            input = json!({ "event": "push", "payload": {
                "installation": { "id": 1111 }, "repository": { "owner": { "login": "foo" }, "name": "bar" },
                "before": sha("1234"), "after": sha("deadbeef"),
                "commits": [{ "added": [".github/chainguard/test.sts.yaml"] }],
            } });
        }
        let world = world_of(&input);
        let mut status = 0;
        for _ in 0..input["deliveries"].as_u64().unwrap_or(1) {
            status = world.deliver(input["event"].as_str().unwrap(), &input["payload"]).status.as_u16();
        }
        for (member, theirs) in expected.as_object().unwrap() {
            let ours = if member == "why" { Value::Null } else { differences.ours(name, member, theirs) };
            let wanted = if member == "check_runs" { &ours } else { theirs };
            assert_eq!(observed(member, wanted, status, &world), ours, "{name}: {member}");
        }
        count += 1;
    }
    assert_eq!(count, 27);
    differences.all_used();
}
