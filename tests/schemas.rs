//! The schemas of `policies-schema` are up to date, and agree with the loader about every file, as far as a schema can.
//! The validator and the YAML parser are not ours (crates `jsonschema` and `yaml_serde`, which is libyaml).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use octo_sts_worker::config::{UpstreamContext, read_upstreams, upstreams_schema};
use octo_sts_worker::policy::schema::Schema;
use octo_sts_worker::policy::{PolicyHome, check, trusted_issuers};
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Every file of the test data with what it is.
fn test_data(verdict: &str) -> Vec<(PathBuf, Schema)> {
    let folder = root().join("tests/data/policies").join(verdict);
    [
        ("repository", Schema::TrustPolicy),
        ("organization", Schema::OrganizationTrustPolicy),
        ("trusted-issuers", Schema::TrustedTokenIssuers),
    ]
    .into_iter()
    .flat_map(|(kind, schema)| files(&folder.join(kind)).into_iter().map(move |path| (path, schema)))
    .collect()
}

fn examples() -> Vec<(PathBuf, Schema)> {
    let folder = root().join("policies-schema/examples");
    let organization = |path: PathBuf| {
        let is_list = path.file_name().is_some_and(|name| name == "trusted-token-issuers.yaml");
        (path, if is_list { Schema::TrustedTokenIssuers } else { Schema::OrganizationTrustPolicy })
    };
    let repository = files(&folder.join("repository")).into_iter().map(|path| (path, Schema::TrustPolicy));
    repository.chain(files(&folder.join("organization")).into_iter().map(organization)).collect()
}

/// The report about a file, as codes, and whether it is usable.
fn loaded(path: &Path, schema: Schema) -> (bool, Vec<&'static str>) {
    let source = std::fs::read(path).unwrap();
    let (usable, diagnostics) = match schema {
        Schema::TrustPolicy => {
            let report = check(&source, PolicyHome::Repository);
            (report.value.is_some(), report.diagnostics)
        }
        Schema::OrganizationTrustPolicy => {
            let report = check(&source, PolicyHome::OrganizationPolicyRepository);
            (report.value.is_some(), report.diagnostics)
        }
        Schema::TrustedTokenIssuers => {
            let report = trusted_issuers::load(&source);
            (report.value.is_some(), report.diagnostics)
        }
    };
    (usable, diagnostics.into_iter().map(|diagnostic| diagnostic.code).collect())
}

/// Why the schema refuses a file, if it does.
fn validated(path: &Path, schema: Schema) -> Result<(), String> {
    let source = std::fs::read(path).unwrap();
    // libyaml reads the mark as a separate empty document; editors remove it.
    let source = source.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&source);
    let value: Value = yaml_serde::from_slice(source).map_err(|error| format!("no YAML: {error}"))?;
    let validator = jsonschema::draft202012::new(&schema.document()).unwrap();
    validator.validate(&value).map_err(|error| format!("{}: {error}", error.instance_path()))
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

#[test]
fn the_files_are_fresh() {
    for schema in Schema::ALL {
        let path = root().join("policies-schema").join(schema.file_name());
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == format!("{:#}\n", schema.document()),
            "{} is old: run scripts/generate-schemas.sh and commit what it writes",
            name(&path)
        );
        let files = std::fs::read_dir(root().join("policies-schema")).unwrap();
        let schemas =
            files.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().ends_with(".json"));
        assert_eq!(schemas.count(), Schema::ALL.len() + 1, "and the one of upstreams");
    }
}

#[test]
fn the_schema_of_upstreams_is_fresh_and_says_what_the_reader_says() {
    let document = upstreams_schema::document();
    let path = root().join("policies-schema").join(upstreams_schema::FILE);
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), format!("{document:#}\n"), "it is old");
    assert!(jsonschema::draft202012::meta::is_valid(&document));
    hold_examples(&document, &document);
    let validator = jsonschema::draft202012::new(&document).unwrap();
    let base = json!({
        "url": "https://api.example.com",
        "credential": {"secret": {"name": "EXAMPLE_API_KEY"}},
        "allow": [{"issuer": "https://a.example.com", "subject": "repo:acme/app:ref:refs/heads/main"}],
    });
    let both = |name: &str, member: &str, value: Value| {
        let mut upstream = base.clone();
        upstream[member] = value;
        let whole = json!({ name: upstream });
        let text = whole.to_string();
        let setting = |asked: &str| (asked == "UPSTREAMS").then(|| text.clone());
        let reading = read_upstreams(&UpstreamContext {
            name: "",
            domain: "sts.example.com",
            allow_loopback_http: false,
            has_issuer_key: true,
            setting: &setting,
        });
        (validator.is_valid(&whole), reading.problems.is_empty())
    };
    for (member, value) in [
        ("max_requests", json!(1)),
        ("max_requests", json!(10000)),
        ("requests_per_second", json!(100)),
        ("max_token_age_seconds", json!(86400)),
        ("max_session_seconds", json!(60)),
        ("paths", json!(["/v1/.*"])),
        ("first_byte_timeout_seconds", json!(900)),
        ("redirects", json!("any")),
        ("budget_per", json!("token")),
        ("methods", json!(["GET"])),
        ("cors", json!({"origin": "*", "headers": []})),
    ] {
        assert_eq!(both("example", member, value.clone()), (true, true), "{member}: {value}");
    }
    for (member, value) in [
        ("max_requests", json!(0)),
        ("max_requests", json!("1")),
        ("max_requests", json!(10001)),
        ("requests_per_second", json!(101)),
        ("max_session_seconds", json!(59)),
        ("redirects", json!("none")),
        ("allow", json!([])),
        ("allow", json!([{"issuer": "https://a.example.com"}])),
        ("allow", json!([{"issuer": 5, "subject": "s"}])),
        ("allow", json!([{"issuer": "https://a.example.com", "subject": "s", "permissions": {}}])),
        ("credential", json!({})),
        ("credential", json!({"secret": {"name": "lower"}})),
        ("methods", json!([])),
        ("cors", json!({})),
        ("other", json!(1)),
        ("url", json!("https://api.example.com?x")),
    ] {
        assert_eq!(both("example", member, value.clone()), (false, false), "{member}: {value}");
    }
    assert_eq!(both("Example", "redirects", json!("any")), (false, false));
    for (kind, members) in kinds().as_object().unwrap() {
        let with = |name: &str, value: Value| {
            let mut changed = members.clone();
            changed[name] = value;
            both("example", "credential", json!({ kind: changed }))
        };
        assert_eq!(both("example", "credential", json!({ kind: members })), (true, true), "{kind}");
        assert_eq!(with("more", json!("x")), (false, false), "{kind}");
        let properties = &document["additionalProperties"]["properties"]["credential"]["properties"][kind];
        for (name, schema) in properties["properties"].as_object().unwrap() {
            assert_eq!(with(name, json!(false)), (false, false), "{kind}.{name}");
            if let Some(default) = schema.get("default") {
                assert_eq!(with(name, default.clone()), (true, true), "{kind}.{name}");
            }
            let mut without = members.clone();
            without.as_object_mut().unwrap().remove(name);
            let (schema, reader) = both("example", "credential", json!({ kind: without }));
            assert_eq!(schema, reader, "{kind} without {name}");
        }
    }
    for (kind, name, value) in [
        ("secret", "header", json!("")),
        ("assertion", "subject", json!("caller-token")),
        ("anthropic", "token_url", json!("https://api.example.com?x")),
        ("aws", "session_seconds", json!(899)),
        ("aws", "role_arn", json!("role/example")),
        ("aws", "region", json!("eu.central")),
        ("aws", "sign", json!("none")),
        ("google", "audience", json!("https://iam.googleapis.com/projects/1/providers/a")),
        ("google", "service_account", json!("deploy")),
        ("google", "scopes", json!([])),
        ("azure", "tenant_id", json!("../x")),
        ("openai", "audience", json!("")),
        ("oauth", "grant", json!("password")),
        ("oauth", "assertion_seconds", json!(3601)),
        ("oauth", "parameters", json!({"client_secret": "x"})),
        ("oauth", "parameters", json!({"grant_type": "x"})),
        ("oauth", "headers", json!({"authorization": "x"})),
    ] {
        let mut members = kinds()[kind].clone();
        members[name] = value.clone();
        assert_eq!(
            both("example", "credential", json!({ kind: members })),
            (false, false),
            "{kind}.{name}: {value}"
        );
    }
    let mut by_key = kinds()["aws"].clone();
    by_key["sign"] = "bedrock-key".into();
    assert_eq!(both("example", "credential", json!({ "aws": by_key })), (true, true));
    by_key["service"] = "execute-api".into();
    assert_eq!(both("example", "credential", json!({ "aws": by_key })), (false, false));
}

/// Each kind with the required members, and some more.
fn kinds() -> Value {
    json!({
        "secret": {"name": "EXAMPLE_API_KEY"},
        "assertion": {"audience": "https://api.example.com"},
        "anthropic": {"federation_rule_id": "fdrl_1", "organization_id": "o", "service_account_id": "svac_1"},
        "aws": {"role_arn": "arn:aws:iam::123456789012:role/example", "region": "eu-central-1", "service": "bedrock"},
        "google": {"audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b"},
        "azure": {"tenant_id": "example.com", "client_id": "c", "scope": "https://cognitiveservices.azure.com/.default"},
        "openai": {"identity_provider_id": "i", "service_account_id": "s", "audience": "https://api.openai.com/v1"},
        "oauth": {"token_url": "https://auth.example.com/token", "grant": "jwt-bearer", "audience": "a", "parameters": {"a": "b"}},
    })
}

#[test]
fn the_schemas_are_schemas() {
    for schema in Schema::ALL {
        let document = schema.document();
        assert!(jsonschema::draft202012::meta::is_valid(&document), "{}", schema.name());
        assert_eq!(document["$id"], schema.address());
        assert!(schema.address().ends_with(&format!("/policies-schema/{}", schema.file_name())));
        hold_examples(&document, &document);
    }
}

/// Every `examples` and `default` is valid in its place, because editors offer them.
fn hold_examples(schema: &Value, root: &Value) {
    let Some(object) = schema.as_object() else { return };
    let offered = object.get("examples").and_then(Value::as_array).into_iter().flatten();
    let validator = jsonschema::draft202012::new(schema).unwrap();
    for example in offered.chain(object.get("default")) {
        assert!(validator.is_valid(example), "{example} in {}", root["$id"]);
    }
    let properties = object.get("properties").and_then(Value::as_object).into_iter().flatten();
    for (_, property) in properties {
        hold_examples(property, root);
    }
    for inner in ["items", "additionalProperties"] {
        object.get(inner).into_iter().for_each(|inner| hold_examples(inner, root));
    }
}

#[test]
fn examples_pass_schema_and_loader_without_a_warning() {
    assert!(examples().len() >= 10);
    for (path, schema) in examples() {
        assert_eq!(loaded(&path, schema), (true, Vec::new()), "{}", name(&path));
        assert_eq!(validated(&path, schema), Ok(()), "{}", name(&path));
        let first = std::fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
        assert_eq!(first, format!("# yaml-language-server: $schema={}", schema.address()), "{}", name(&path));
    }
}

#[test]
fn what_the_loader_takes_the_schema_takes() {
    for (path, schema) in test_data("valid") {
        assert!(loaded(&path, schema).0, "{}", name(&path));
        assert_eq!(validated(&path, schema), Ok(()), "{}", name(&path));
    }
}

#[test]
fn what_only_the_loader_refuses_is_written_down() {
    let readme = std::fs::read_to_string(root().join("policies-schema/README.md")).unwrap();
    let mut refused = 0;
    let mut beyond = BTreeSet::new();
    let mut list = String::new();
    for (path, schema) in test_data("invalid") {
        let (usable, codes) = loaded(&path, schema);
        assert!(!usable, "{}", name(&path));
        if validated(&path, schema).is_err() {
            refused += 1;
            continue;
        }
        list.push_str(&format!("{}: {}\n", name(&path), codes.join(" ")));
        // Only what follows from a key that another reader can read.
        beyond.extend(codes.into_iter().filter(|code| *code != "issuer-missing"));
    }
    assert!(refused >= 25, "the schemas refuse only {refused} files");
    insta::assert_snapshot!("beyond_the_schemas", list);
    for code in beyond {
        assert!(readme.contains(&format!("`{code}`")), "policies-schema/README.md does not name `{code}`");
    }
}

#[test]
fn a_schema_refuses_what_an_editor_can_correct() {
    let base = "issuer: https://a.example.com\nsubject: a\npermissions: {contents: read}\n";
    for (change, at) in [
        ("claim_patterns: {a: b}", ""),
        ("audience: a\naudience_pattern: b", ""),
        ("issuer_pattern: a", ""),
        ("repositories: [app]", ""),
        ("permissions: {}", "/permissions"),
        ("permissions: {content: read}", "/permissions"),
        ("permissions: {members: read}", "/permissions"),
        ("permissions: {contents: admin}", "/permissions/contents"),
        ("permissions: {workflows: read}", "/permissions/workflows"),
        ("claim_pattern: [a]", "/claim_pattern"),
        ("claim_pattern: {a: [b]}", "/claim_pattern/a"),
        ("claim_pattern: {'': b}", "/claim_pattern"),
        ("subject: ''", "/subject"),
    ] {
        let key = change.split_once(':').unwrap().0;
        let kept: Vec<&str> = base.lines().filter(|line| line.split_once(':').unwrap().0 != key).collect();
        let yaml = format!("{}\n{change}\n", kept.join("\n"));
        let value: Value = yaml_serde::from_str(&yaml).unwrap();
        let validator = jsonschema::draft202012::new(&Schema::TrustPolicy.document()).unwrap();
        let error = validator.validate(&value).err().unwrap_or_else(|| panic!("{change}"));
        assert_eq!(error.instance_path().to_string(), at, "{change}: {error}");
        assert!(check(yaml.as_bytes(), PolicyHome::Repository).value.is_none(), "{change}");
    }
}
