//! Identifies every outbound call.

use serde_json::{Value, json};

use crate::support::platform::Sent;

pub(super) fn discovery(sent: &Sent) -> bool {
    sent.path.ends_with("/.well-known/openid-configuration")
}

pub(super) fn key_set(sent: &Sent) -> bool {
    sent.path == "/jwks"
}

pub(super) fn installation_of_repository(sent: &Sent) -> bool {
    sent.path.starts_with("/repos/") && sent.path.ends_with("/installation")
}

pub(super) fn installation_of_organization(sent: &Sent) -> bool {
    sent.path.starts_with("/orgs/")
}

pub(super) fn installation_of_user(sent: &Sent) -> bool {
    sent.path.starts_with("/users/")
}

fn asks_for(sent: &Sent, repositories: &Value, permission: &str) -> bool {
    sent.path.ends_with("/access_tokens")
        && sent.body["repositories"] == *repositories
        && sent.body["permissions"].get(permission).is_some()
}

/// Reads the organization's list.
pub(super) fn token_for_issuers(sent: &Sent) -> bool {
    asks_for(sent, &json!([".github"]), "contents") && !mint(sent)
}

pub(super) fn issuers(sent: &Sent) -> bool {
    sent.path.ends_with("/contents/.github/chainguard/trusted-token-issuers.yaml")
}

pub(super) fn policy_repository(sent: &Sent) -> bool {
    sent.method == "GET" && sent.path.ends_with("/.github")
}

/// Reads the policy.
pub(super) fn token_for_policy(sent: &Sent) -> bool {
    asks_for(sent, &json!(["app"]), "contents") && !mint(sent) && !token_for_checks(sent)
}

pub(super) fn policy(sent: &Sent) -> bool {
    sent.path.ends_with("/contents/.github/chainguard/deploy.sts.yaml")
}

/// The policy grants this permission, and nothing else asks for it.
pub(super) fn mint(sent: &Sent) -> bool {
    sent.path.ends_with("/access_tokens") && sent.body["permissions"].get("issues").is_some()
}

pub(super) fn revocation(sent: &Sent) -> bool {
    sent.method == "DELETE" && sent.path == "/installation/token"
}

pub(super) fn ingress(sent: &Sent) -> bool {
    sent.host == "events.example.com"
}

pub(super) fn token_for_checks(sent: &Sent) -> bool {
    asks_for(sent, &json!(["app"]), "checks")
}

pub(super) fn comparison(sent: &Sent) -> bool {
    sent.path.contains("/compare/")
}

pub(super) fn pull_request_files(sent: &Sent) -> bool {
    sent.path.contains("/pulls/42/files")
}

pub(super) fn directory(sent: &Sent) -> bool {
    sent.path.contains("/contents/.github/chainguard?")
}

pub(super) fn file_at_head(sent: &Sent) -> bool {
    sent.path.contains("/contents/") && sent.path.contains("?ref=a")
}

pub(super) fn file_at_base(sent: &Sent) -> bool {
    sent.path.contains("/contents/") && sent.path.contains("?ref=c")
}

pub(super) fn check_runs(sent: &Sent) -> bool {
    sent.path.contains("/check-runs?")
}

pub(super) fn new_check_run(sent: &Sent) -> bool {
    sent.method == "POST" && sent.path.ends_with("/check-runs")
}

pub(super) fn changed_check_run(sent: &Sent) -> bool {
    sent.method == "PATCH"
}
