//! JSON Schemas (draft 2020-12) of the files, for editors. Made from the lists and limits of the loader, so they cannot
//! contain anything that it does not know; `policies-schema/README.md` says what a schema cannot express.
//!
//! Never part of the Worker, which does not need them.

use serde_json::{Map, Value, json};

use super::admission::WHO;
use super::load::{MAX_CLAIM_PATTERNS, MAX_REPOSITORIES, POLICY};
use super::pattern::MAX_PATTERN_CHARACTERS;
use super::permissions::{Known, Subject, known_permissions};
use super::trusted_issuers::{
    MAX_ISSUER_PATTERN_CHARACTERS, MAX_ISSUER_PATTERNS, MAX_ISSUERS, Mode, TRUSTED_ISSUERS,
};

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// No issuer is longer; see [`octo_sts_verifier::oidc::IssuerShape`].
const MAX_ISSUER_CHARACTERS: usize = 255;

/// Which file a schema is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// A policy in the repository that it is for.
    TrustPolicy,
    /// A policy in the organization's policy repository.
    OrganizationTrustPolicy,
    /// The organization's list of trusted issuers.
    TrustedTokenIssuers,
}

impl Schema {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::TrustPolicy, Self::OrganizationTrustPolicy, Self::TrustedTokenIssuers];

    /// The name for `sts schema`, and the beginning of the file's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TrustPolicy => "trust-policy",
            Self::OrganizationTrustPolicy => "organization-trust-policy",
            Self::TrustedTokenIssuers => "trusted-token-issuers",
        }
    }

    /// The name of its file in `policies-schema`.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{}.schema.json", self.name())
    }

    /// Where an editor finds it: the file in this project's repository.
    #[must_use]
    pub fn address(self) -> String {
        let repository = env!("CARGO_PKG_REPOSITORY").replace("https://github.com/", "");
        format!("https://raw.githubusercontent.com/{repository}/main/policies-schema/{}", self.file_name())
    }

    /// The schema itself.
    #[must_use]
    pub fn document(self) -> Value {
        let (title, description, properties, rules) = match self {
            Self::TrustPolicy => (
                "Trust policy of a repository",
                "Who may get a GitHub token for this repository, and what the token may do. The file is `.github/chainguard/{identity}.sts.yaml` on the default branch.",
                policy_properties(self),
                policy_rules(),
            ),
            Self::OrganizationTrustPolicy => (
                "Trust policy of an organization",
                "Who may get a GitHub token for repositories of the organization, and what the token may do. The file is `.github/chainguard/{identity}.sts.yaml` on the default branch of the organization's policy repository.",
                policy_properties(self),
                policy_rules(),
            ),
            Self::TrustedTokenIssuers => (
                "Trusted token issuers of an organization",
                "The issuers that may federate with any repository of the organization. The file is `.github/chainguard/trusted-token-issuers.yaml` on the default branch of the organization's policy repository.",
                issuers_properties(),
                json!({ "anyOf": [
                    { "required": ["issuers"], "properties": { "issuers": { "minItems": 1 } } },
                    { "required": ["issuer_patterns"], "properties": { "issuer_patterns": { "minItems": 1 } } },
                ] }),
            ),
        };
        let mut document = object(json!({
            "$schema": DRAFT,
            "$id": self.address(),
            "title": title,
            "description": description,
            "type": "object",
            "additionalProperties": false,
            "properties": properties,
        }));
        document.extend(object(rules));
        Value::Object(document)
    }
}

/// Only ever called with an object.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// The described keys, each checked against the loader's own vocabulary.
fn properties(keys: &[&'static str], describe: impl Fn(&str) -> Option<Value>) -> Value {
    keys.iter().filter_map(|key| Some(((*key).to_owned(), describe(key)?))).collect::<Map<_, _>>().into()
}

fn policy_properties(schema: Schema) -> Value {
    properties(POLICY.keys, |key| {
        Some(match key {
            "issuer" => json!({
                "description": "Who must have issued the token: its claim `iss`, byte for byte. Exactly one of `issuer` and `issuer_pattern`.",
                "type": TEXT, "minLength": 1, "examples": ISSUERS,
            }),
            "issuer_pattern" => pattern(
                "A regular expression that the whole claim `iss` must match. Prefer `issuer`. Exactly one of `issuer` and `issuer_pattern`.",
                &json!([r"https://oidc\.eks\.[a-z0-9-]+\.amazonaws\.com/id/[A-F0-9]{32}"]),
            ),
            "subject" => json!({
                "description": "Whom the token is about: its claim `sub`, byte for byte. Exactly one of `subject` and `subject_pattern`.",
                "type": TEXT, "minLength": 1,
                "examples": [
                    "repo:acme/app:ref:refs/heads/main",
                    "repo:acme/app:environment:production",
                    "repo:acme/app:pull_request",
                ],
            }),
            "subject_pattern" => pattern(
                "A regular expression that the whole claim `sub` must match. Fix the repository's whole name: `repo:acme/app:`. Exactly one of `subject` and `subject_pattern`.",
                &json!([
                    r"repo:acme/app:ref:refs/heads/(main|release-\d+)",
                    r"repo:acme/app:ref:refs/tags/v\d+\.\d+\.\d+"
                ]),
            ),
            "audience" => json!({
                "description": "Whom the token must be intended for: one value of its claim `aud`, byte for byte. Without `audience` and `audience_pattern` this is the domain of the service. At most one of the two.",
                "type": TEXT, "minLength": 1, "examples": ["sts.example.com"],
            }),
            "audience_pattern" => pattern(
                "A regular expression that one whole audience of the token must match. At most one of `audience` and `audience_pattern`.",
                &json!([r"sts\.(staging\.)?example\.com"]),
            ),
            "claim_pattern" => claim_pattern(),
            "permissions" => permissions(schema),
            "app" => json!({
                "description": "Which of the service's Apps mints the token: its name at the service, or its id. At most one of `app` and `app_pattern`; without both, any.",
                "type": TEXT, "minLength": 1, "examples": ["deploys"],
            }),
            "app_pattern" => pattern(
                "A regular expression that the whole name of the service's App must match. At most one of `app` and `app_pattern`.",
                &json!([r"deploys(-\d+)?"]),
            ),
            "repositories" if schema == Schema::OrganizationTrustPolicy => json!({
                "description": "The repositories that the token covers: bare names, without the owner. Without it the token covers every repository of the installation.",
                "type": "array", "minItems": 1, "maxItems": MAX_REPOSITORIES, "uniqueItems": true,
                "items": {
                    "type": TEXT, "maxLength": 100,
                    // `.` and `..` are not names, and no name ends in `.git`, in any case.
                    "pattern": r"^(?!\.{1,2}$)(?!.*\.[gG][iI][tT]$)[A-Za-z0-9._-]+$",
                },
                "examples": [["app", "docs"]],
            }),
            _ => return None,
        })
    })
}

/// A rule in a setting that only says who: its keys are a policy's, and every value is text.
#[must_use]
pub fn who() -> Value {
    let mut properties = object(policy_properties(Schema::TrustPolicy));
    properties.retain(|key, _| WHO.keys.contains(&key.as_str()));
    for (_, property) in &mut properties {
        as_text(property);
    }
    let mut rule = object(policy_rules());
    rule.remove("required");
    rule.insert("type".to_owned(), "object".into());
    rule.insert("additionalProperties".to_owned(), false.into());
    rule.insert("properties".to_owned(), properties.into());
    Value::Object(rule)
}

/// JSON has types: what YAML reads as text must be a string here.
fn as_text(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("type") == Some(&json!(TEXT)) {
                members.insert("type".to_owned(), "string".into());
            }
            members.values_mut().for_each(as_text);
        }
        Value::Array(list) => list.iter_mut().for_each(as_text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The loader reads a scalar as its own text: `12345` and `true` need no quotes.
const TEXT: [&str; 3] = ["string", "number", "boolean"];

const ISSUERS: [&str; 4] = [
    "https://token.actions.githubusercontent.com",
    "https://gitlab.com",
    "https://accounts.google.com",
    "https://agent.buildkite.com",
];

fn pattern(description: &str, examples: &Value) -> Value {
    json!({
        "description": description,
        "type": TEXT, "minLength": 1, "maxLength": MAX_PATTERN_CHARACTERS, "examples": examples,
    })
}

fn policy_rules() -> Value {
    json!({
        "required": ["permissions"],
        "allOf": [
            { "oneOf": [{ "required": ["issuer"] }, { "required": ["issuer_pattern"] }] },
            { "oneOf": [{ "required": ["subject"] }, { "required": ["subject_pattern"] }] },
            { "not": { "required": ["audience", "audience_pattern"] } },
            { "not": { "required": ["app", "app_pattern"] } },
        ],
    })
}

/// GitHub's claims, which are what an editor can complete. Any other name may be used as well.
/// <https://docs.github.com/en/actions/reference/security/oidc>
const CLAIMS: &[(&str, &str, &[&str])] = &[
    ("actor", "The account that started the run.", &["octocat"]),
    ("actor_id", "The number of the account that started the run.", &["583231"]),
    ("base_ref", "The target branch of a pull request.", &["main"]),
    (
        "email",
        "An e-mail address (Google and others). Restrict `email_verified` too.",
        &[r"deploy@acme\.iam\.gserviceaccount\.com"],
    ),
    ("email_verified", "Whether the issuer checked the e-mail address.", &["true"]),
    ("environment", "The environment of the job; absent for a job without one.", &["production"]),
    (
        "event_name",
        "The event that started the run. Without it, `pull_request_target` and `issue_comment` count too.",
        &["push", "(push|workflow_dispatch)"],
    ),
    ("head_ref", "The source branch of a pull request.", &["feature"]),
    (
        "job_workflow_ref",
        "The workflow file that the job is in (a reusable one too), with its ref.",
        &[r"acme/app/\.github/workflows/deploy\.yaml@refs/heads/main"],
    ),
    ("ref", "The branch or tag of the run, as a full ref.", &["refs/heads/main", r"refs/tags/v\d+"]),
    ("ref_protected", "Whether the branch or tag is protected.", &["true"]),
    ("ref_type", "`branch` or `tag`.", &["branch"]),
    (
        "repository",
        "The repository of the run, with its owner. A name can change hands; `repository_id` cannot.",
        &["acme/app"],
    ),
    ("repository_id", "The number of the repository of the run; it never changes hands.", &["123456789"]),
    ("repository_owner", "The owner of the repository.", &["acme"]),
    ("repository_owner_id", "The number of the owner; it never changes hands.", &["4242"]),
    ("repository_visibility", "`public`, `private` or `internal`.", &["private"]),
    ("runner_environment", "`github-hosted` or `self-hosted`.", &["github-hosted"]),
    (
        "workflow_ref",
        "The workflow file of the run, with its ref.",
        &[r"acme/app/\.github/workflows/deploy\.yaml@refs/heads/main"],
    ),
];

fn claim_pattern() -> Value {
    let value = |description: &str, examples: &Value| {
        let mut value = object(pattern(description, examples));
        // A claim may be required to be empty.
        value.remove("minLength");
        Value::Object(value)
    };
    let known: Map<String, Value> = CLAIMS
        .iter()
        .map(|(name, description, examples)| ((*name).to_owned(), value(description, &json!(examples))))
        .collect();
    json!({
        "description": "Further claims of the token: each must be present, be text or a boolean, and match its regular expression as a whole.",
        "type": "object",
        "maxProperties": MAX_CLAIM_PATTERNS,
        "propertyNames": { "minLength": 1 },
        "properties": known,
        "additionalProperties": value("A regular expression that the whole claim must match.", &json!([])),
        "examples": [{ "repository_id": "123456789", "event_name": "push" }],
    })
}

fn permissions(schema: Schema) -> Value {
    let is_here =
        |known: &&Known| schema == Schema::OrganizationTrustPolicy || known.subject() == Subject::Repository;
    let known: Map<String, Value> = known_permissions()
        .iter()
        .filter(is_here)
        .map(|known| (known.name.to_owned(), permission(known)))
        .collect();
    json!({
        "description": "What the token may do. Never empty: GitHub would read that as everything that the App has.",
        "type": "object",
        "minProperties": 1,
        "additionalProperties": false,
        "properties": known,
        "examples": [{ "contents": "read" }],
    })
}

fn permission(known: &Known) -> Value {
    let levels: Vec<&str> = known.levels.iter().map(|level| level.as_str()).collect();
    json!({ "description": sentence(known.purpose), "enum": levels })
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

fn issuers_properties() -> Value {
    properties(TRUSTED_ISSUERS.keys, |key| {
        Some(match key {
            "mode" => json!({
                "description": "What happens with a token of another issuer: `enforce` refuses it, `audit` permits and records it.",
                "enum": [Mode::Enforce.as_str(), Mode::Audit.as_str()],
                "default": Mode::Enforce.as_str(),
            }),
            "issuers" => json!({
                "description": "Issuers, byte for byte as in the claim `iss`; scheme and host in lower case.",
                "type": "array", "maxItems": MAX_ISSUERS,
                "items": {
                    "type": "string", "maxLength": MAX_ISSUER_CHARACTERS,
                    "pattern": r"^https?://[^/\sA-Z?#@]+(/[A-Za-z0-9._~/-]*)?$",
                    "examples": ISSUERS,
                },
            }),
            "issuer_patterns" => json!({
                "description": "Regular expressions that a whole issuer may match. Every `/` is at a fixed place, and nothing that varies can match `/`.",
                "type": "array", "maxItems": MAX_ISSUER_PATTERNS,
                "items": {
                    "type": "string", "minLength": 1, "maxLength": MAX_ISSUER_PATTERN_CHARACTERS,
                    "examples": [r"https://oidc\.eks\.[a-z0-9-]+\.amazonaws\.com/id/[A-F0-9]{32}"],
                },
            }),
            _ => return None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_loader_is_described() {
        for (schema, keys, without) in [
            (Schema::TrustPolicy, POLICY.keys, Some("repositories")),
            (Schema::OrganizationTrustPolicy, POLICY.keys, None),
            (Schema::TrustedTokenIssuers, TRUSTED_ISSUERS.keys, None),
        ] {
            let document = schema.document();
            for key in keys {
                let described = !document["properties"][key]["description"].is_null();
                assert_eq!(described, Some(*key) != without, "{} {key}", schema.name());
            }
        }
    }

    #[test]
    fn permissions_on_the_organization_are_only_where_they_may_be_granted() {
        let names = |schema: Schema| schema.document()["properties"]["permissions"]["properties"].clone();
        let (repository, organization) = (names(Schema::TrustPolicy), names(Schema::OrganizationTrustPolicy));
        assert!(repository.get("members").is_none() && organization.get("members").is_some());
        assert_eq!(organization.as_object().unwrap().len(), known_permissions().len());
        assert_eq!(repository["workflows"]["enum"], json!(["write"]));
        assert_eq!(
            repository["contents"]["description"],
            "Repository contents, commits, branches, downloads, releases, and merges."
        );
    }
}
