//! The claims of GitHub Actions, typed.
//!
//! GitHub writes ids and numbers as JSON strings, and flags as strings or booleans, and may change that. Here their
//! types do not depend on the JSON types. Every claim is optional: a missing or invalid claim is `None`. The signed
//! token itself is in [`VerifiedClaims`].

use std::collections::BTreeMap;

use octo_sts_verifier::oidc::{Claims, VerifiedClaims};
use serde_json::{Map, Value};

/// The issuer of github.com. GitHub Enterprise Cloud can give an enterprise its own issuer, and GitHub Enterprise
/// Server has `https://HOST/_services/token`.
pub const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// One valid claim.
trait Typed: Sized {
    fn of(value: &Value) -> Option<Self>;
}

impl Typed for String {
    fn of(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl Typed for u64 {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            Value::Number(number) => number.as_u64(),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl Typed for bool {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            Value::String(_) | Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

macro_rules! github_claims {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty,)+) => {
        /// The claims that GitHub documents, all optional, and all others by name.
        ///
        /// ```
        /// use octo_sts::{Claims, github::GitHubClaims};
        /// let claims = serde_json::json!({
        ///     "iss": "https://token.actions.githubusercontent.com", "sub": "repo:acme/app:ref:refs/heads/main",
        ///     "aud": "api.example.com", "repository_id": "74", "ref_protected": "true", "new_claim": [1],
        /// });
        /// let github = GitHubClaims::from(&Claims::from_object(claims.as_object().unwrap().clone())?);
        /// assert_eq!((github.repository_id, github.ref_protected), (Some(74), Some(true)));
        /// assert_eq!(github.other["new_claim"], serde_json::json!([1]));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[derive(Debug, Clone, Default, PartialEq)]
        #[non_exhaustive]
        pub struct GitHubClaims {
            /// The claim `ref`: the branch or tag that the run is about, `refs/heads/main`.
            pub git_ref: Option<String>,
            $($(#[doc = $doc])+ pub $name: Option<$type>,)+
            /// Claims that are in no field above.
            pub other: BTreeMap<String, Value>,
        }

        impl GitHubClaims {
            /// The claims with their names in a token, each in its type. `iss`, `sub`, `aud` and the times are
            /// in [`Claims`].
            ///
            /// ```
            /// let mut github = octo_sts::github::GitHubClaims::default();
            /// (github.git_ref, github.run_id) = (Some("refs/heads/main".to_owned()), Some(7));
            /// let json = serde_json::Value::Object(github.into_json());
            /// assert_eq!(json, serde_json::json!({"ref": "refs/heads/main", "run_id": 7}));
            /// ```
            #[must_use]
            pub fn into_json(self) -> Map<String, Value> {
                let mut members: Map<String, Value> = self.other.into_iter().collect();
                if let Some(value) = self.git_ref {
                    members.insert("ref".to_owned(), value.into());
                }
                $(if let Some(value) = self.$name {
                    members.insert(stringify!($name).to_owned(), value.into());
                })+
                members
            }
        }

        impl From<&Claims> for GitHubClaims {
            fn from(claims: &Claims) -> Self {
                let mut github = Self::default();
                for (name, value) in claims.all() {
                    match name.as_str() {
                        $(stringify!($name) => github.$name = <$type as Typed>::of(value),)+
                        // `ref` is a keyword of Rust.
                        "ref" => github.git_ref = Typed::of(value),
                        "iss" | "sub" | "aud" | "exp" | "iat" | "nbf" => {}
                        _ => {
                            github.other.insert(name.clone(), value.clone());
                        }
                    }
                }
                github
            }
        }
    };
}

github_claims! {
    /// A unique id of the token.
    jti: String,
    /// `branch` or `tag`.
    ref_type: String,
    /// Whether the ref is protected.
    ref_protected: bool,
    /// The commit.
    sha: String,
    /// `acme/app`. Names change hands; [`GitHubClaims::repository_id`] does not.
    repository: String,
    /// The repository's number.
    repository_id: u64,
    /// `acme`.
    repository_owner: String,
    /// The owner's number.
    repository_owner_id: u64,
    /// `public`, `private` or `internal`.
    repository_visibility: String,
    /// The enterprise's name.
    enterprise: String,
    /// The enterprise's number.
    enterprise_id: u64,
    /// Who started the run.
    actor: String,
    /// Their number.
    actor_id: u64,
    /// The workflow's name.
    workflow: String,
    /// The workflow file and its ref: `acme/app/.github/workflows/deploy.yaml@refs/heads/main`.
    workflow_ref: String,
    /// The workflow file's commit.
    workflow_sha: String,
    /// The reusable workflow that the job is in.
    job_workflow_ref: String,
    /// Its commit.
    job_workflow_sha: String,
    /// The event that started the run.
    event_name: String,
    /// A pull request's branch.
    head_ref: String,
    /// The target branch of a pull request.
    base_ref: String,
    /// The job's environment.
    environment: String,
    /// Its node id.
    environment_node_id: String,
    /// The run's number among all of GitHub's.
    run_id: u64,
    /// The run's number among those of its workflow.
    run_number: u64,
    /// How many times the run was started.
    run_attempt: u64,
    /// The check run of the job.
    check_run_id: u64,
    /// `github-hosted` or `self-hosted`.
    runner_environment: String,
    /// The enterprise whose issuer it is, if it has its own.
    issuer_scope: String,
}

impl From<&VerifiedClaims> for GitHubClaims {
    fn from(verified: &VerifiedClaims) -> Self {
        Self::from(verified.claims())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(more: &Value) -> GitHubClaims {
        let mut all = json!({"iss": ISSUER, "sub": "s", "aud": "a", "exp": 2, "iat": 1, "nbf": 1});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        GitHubClaims::from(&Claims::from_object(all.as_object().unwrap().clone()).unwrap())
    }

    #[test]
    fn numbers_and_flags_come_in_any_type() {
        for (value, expected) in [
            (json!("74"), Some(74)),
            (json!(74), Some(74)),
            (json!("18446744073709551615"), Some(u64::MAX)),
            (json!("18446744073709551616"), None),
            (json!("+74"), None),
            (json!(" 74"), None),
            (json!(""), None),
            (json!(-1), None),
            (json!(7.5), None),
            (json!(null), None),
            (json!(["74"]), None),
        ] {
            assert_eq!(claims(&json!({"run_id": value})).run_id, expected, "{value}");
        }
        for (value, expected) in [
            (json!(true), Some(true)),
            (json!("true"), Some(true)),
            (json!(false), Some(false)),
            (json!("false"), Some(false)),
            (json!("yes"), None),
            (json!(1), None),
        ] {
            assert_eq!(claims(&json!({"ref_protected": value})).ref_protected, expected, "{value}");
        }
    }

    #[test]
    fn the_ref_has_a_field_and_unknown_claims_are_kept() {
        let github = claims(&json!({"ref": "refs/heads/main", "head_ref": "", "future": {"a": 1}}));
        assert_eq!(github.git_ref.as_deref(), Some("refs/heads/main"));
        assert_eq!(github.head_ref.as_deref(), Some(""));
        assert_eq!(github.other.keys().collect::<Vec<_>>(), ["future"]);
        // A field cannot be set by a name that exists only here.
        let github = claims(&json!({"git_ref": "refs/heads/main"}));
        assert_eq!(github.git_ref, None);
        assert!(github.other.contains_key("git_ref"));
    }
}
