//! Payloads, as small as GitHub would never send them.

use serde_json::{Value, json};

use super::repositories::sha;

pub(crate) const DEPLOY: &str = ".github/chainguard/deploy.sts.yaml";
pub(crate) const ISSUERS: &str = ".github/chainguard/trusted-token-issuers.yaml";

pub(crate) fn repository(name: &str) -> Value {
    json!({ "id": 7, "name": name, "owner": { "login": "acme" }, "default_branch": "main" })
}

fn event(mut members: Value) -> Value {
    members["installation"] = json!({ "id": 1 });
    members["sender"] = json!({ "login": "dev", "type": "User" });
    if members["repository"].is_null() {
        members["repository"] = repository("app");
    }
    members
}

/// A push to `acme/app`'s main branch, from commit `b…` to `a…`.
pub(crate) fn push(commits: &Value) -> Value {
    event(json!({ "ref": "refs/heads/main", "before": sha("b"), "after": sha("a"), "commits": commits }))
}

/// One commit that modified a file.
pub(crate) fn push_of(path: &str) -> Value {
    push(&json!([{ "added": [], "removed": [], "modified": [path] }]))
}

/// The same on a branch other than the main branch.
pub(crate) fn push_to_branch(path: &str) -> Value {
    with(push_of(path), "ref", json!("refs/heads/feature"))
}

pub(crate) fn with(mut payload: Value, member: &str, value: Value) -> Value {
    payload[member] = value;
    payload
}

/// Pull request 42 of `acme/app` at commit `a…` against `c…`, from its own branch.
pub(crate) fn pull_request(changed_files: usize) -> Value {
    event(json!({
        "action": "opened",
        "number": 42,
        "pull_request": {
            "number": 42, "changed_files": changed_files,
            "head": { "sha": sha("a"), "repo": { "id": 7 } }, "base": { "sha": sha("c"), "repo": { "id": 7 } },
        },
    }))
}

pub(crate) fn check_suite(branch: &str, before: &str, pull_requests: &Value) -> Value {
    event(json!({
        "action": "requested",
        "check_suite": {
            "head_sha": sha("a"), "head_branch": branch, "before": before, "pull_requests": pull_requests,
        },
    }))
}

pub(crate) fn check_run(suite: &Value) -> Value {
    event(json!({
        "action": "rerequested",
        "check_run": { "name": "Trust Policy Validation", "check_suite": suite["check_suite"] },
    }))
}

pub(crate) fn installation(action: &str) -> Value {
    json!({ "action": action, "installation": { "id": 1, "account": { "login": "Acme" } }, "sender": { "login": "dev" } })
}
