//! The member `credential` of an upstream: every kind, and every problem at once with its path.

use octo_sts_worker::federation::{Credential, UpstreamContext};
use serde_json::{Value, json};

fn parse_with(
    credential: &Value,
    has_issuer_key: bool,
    setting: &dyn Fn(&str) -> Option<String>,
) -> Result<Credential, Vec<String>> {
    let upstream = UpstreamContext {
        name: "acme-api",
        domain: "sts.example.com",
        allow_loopback_http: false,
        has_issuer_key,
        setting,
    };
    let mut problems = Vec::new();
    let parsed = Credential::parse(credential, "acme-api.credential", &upstream, &mut problems);
    assert_eq!(parsed.is_some(), problems.is_empty(), "{problems:?}");
    parsed.ok_or(problems)
}

fn parse(credential: &Value) -> Result<Credential, Vec<String>> {
    parse_with(credential, true, &|_| Some("hunter2".to_owned()))
}

const PROVIDER: &str =
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/sts";

/// Each kind with everything that it needs.
pub(crate) fn kinds() -> Value {
    json!({
        "secret": {"name": "ACME_API_KEY"},
        "assertion": {"audience": "https://api.example.com"},
        "anthropic": {
            "federation_rule_id": "fdrl_1",
            "organization_id": "0e1c2c8b-4b2c-4d3f-9d3a-3f1f3f0d3c11",
            "service_account_id": "svac_1",
        },
        "aws": {"role_arn": "arn:aws:iam::123456789012:role/sts", "region": "eu-central-1", "service": "bedrock"},
        "google": {"audience": PROVIDER},
        "azure": {"tenant_id": "acme.example.com", "client_id": "c", "scope": "https://api.example.com/.default"},
        "openai": {"identity_provider_id": "idp_1", "service_account_id": "sa_1", "audience": "https://openai.example.com"},
        "oauth": {"token_url": "https://auth.example.com/token", "grant": "jwt-bearer", "audience": "https://auth.example.com"},
    })
}

/// One kind with changes; `null` removes a member.
fn kind(name: &str, changes: &Value) -> Value {
    let mut members = kinds()[name].clone();
    for (member, value) in changes.as_object().unwrap() {
        members[member] = value.clone();
        if value.is_null() {
            members.as_object_mut().unwrap().remove(member);
        }
    }
    json!({ name: members })
}

#[track_caller]
fn refused(name: &str, changes: &Value, problem: &str) {
    let problems = parse(&kind(name, changes)).map(|_| ()).unwrap_err();
    let path = format!("acme-api.credential.{name}");
    assert_eq!(problems, [format!("{path}{problem}")], "{name} {changes}");
}

#[track_caller]
fn taken(name: &str, changes: &Value) -> Credential {
    parse(&kind(name, changes)).unwrap_or_else(|problems| panic!("{name} {changes}: {problems:?}"))
}

#[test]
fn every_kind_is_read() {
    for (name, members) in kinds().as_object().unwrap() {
        let credential = taken(name, &json!({}));
        assert_eq!(credential.kind(), name);
        assert_eq!(credential.header(), "authorization");
        assert_eq!(credential.signs_bodies(), name == "aws");
        assert_eq!(credential.needs_issuer_key(), name != "secret");
        let problems = parse(&kind(name, &json!({"extra": 1}))).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let start = format!("acme-api.credential.{name}.extra: there is no such member; the members are `");
        assert!(problems[0].starts_with(&start), "{problems:?}");
        for member in members.as_object().unwrap().keys() {
            refused(name, &json!({ member: null }), &format!(".{member}: it is missing"));
            let problems = parse(&kind(name, &json!({ member: ["a"] }))).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(
                problems[0].starts_with(&format!("acme-api.credential.{name}.{member}: it is ")),
                "{problems:?}"
            );
        }
    }
}

#[test]
fn exactly_one_kind_is_there_and_its_value_is_an_object() {
    for credential in [json!({}), json!("secret"), json!(null), json!({"secret": {}, "oauth": {}})] {
        let problems = parse(&credential).unwrap_err();
        assert_eq!(
            problems,
            [
                "acme-api.credential: it is not an object with exactly one of `secret`, `assertion`, `anthropic`, `aws`, \
              `google`, `azure`, `openai`, `oauth`"
            ]
        );
    }
    let problems = parse(&json!({"vault": {}})).unwrap_err();
    assert!(problems[0].starts_with("acme-api.credential.vault: there is no such kind"), "{problems:?}");
    for name in kinds().as_object().unwrap().keys() {
        assert_eq!(
            parse(&json!({ name: "x" })).unwrap_err(),
            [format!("acme-api.credential.{name}: it is not an object")]
        );
    }
}

#[test]
fn all_problems_are_found_at_once() {
    let problems = parse(&json!({"oauth": {
        "token_url": "http://auth.example.com/token",
        "grant": "password",
        "encoding": "xml",
        "audience": "https://sts.example.com",
        "assertion_seconds": 59,
        "parameters": {"client_secret": "s", "resource": 1},
        "headers": ["x"],
        "identity": "me",
        "tokenurl": 1,
    }}))
    .unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "acme-api.credential.oauth.audience",
            "acme-api.credential.oauth.token_url",
            "acme-api.credential.oauth.identity",
            "acme-api.credential.oauth.grant",
            "acme-api.credential.oauth.encoding",
            "acme-api.credential.oauth.assertion_seconds",
            "acme-api.credential.oauth.parameters",
            "acme-api.credential.oauth.headers",
            "acme-api.credential.oauth.tokenurl",
        ]
    );
}

#[test]
fn a_secret_is_a_workers_own_and_none_of_the_services_settings() {
    for name in
        ["GITHUB_APP_PRIVATE_KEY", "ISSUER_PRIVATE_KEY_NEXT", "UPSTREAMS_2", "DOMAIN", "RATE_LIMIT_OWNER"]
    {
        refused("secret", &json!({ "name": name }), ".name: it is a setting of this service");
    }
    for name in ["", "acme", "1ACME", "_ACME", "ACME-KEY", "ACME KEY", "ACMe"] {
        refused(
            "secret",
            &json!({ "name": name }),
            ".name: it is not the name of a secret, such as `EXAMPLE_API_KEY`",
        );
    }
    let credential = taken("secret", &json!({"header": "X-API-Key"}));
    assert_eq!(credential.header(), "x-api-key");
    for header in ["host", "Content-Length", "transfer-encoding", "cf-ray", "x octo", "X-Octo-Sts-Key", ""] {
        let changes = json!({ "header": header });
        refused("secret", &changes, ".header: it is not the name of a header that can be set");
    }
    refused(
        "secret",
        &json!({"prefix": "a\nb"}),
        ".prefix: it is not text of at most 64 visible characters and spaces",
    );
}

#[test]
fn a_secret_that_is_missing_or_no_header_closes_its_upstream_alone() {
    let credential = json!({"secret": {"name": "ACME_API_KEY"}});
    for value in [None, Some(""), Some(" "), Some("a\nb"), Some("schlüssel")] {
        let parsed = parse_with(&credential, false, &|_| value.map(str::to_owned)).unwrap();
        assert_eq!(parsed.missing_secret(), Some("ACME_API_KEY"), "{value:?}");
    }
    assert_eq!(parse(&credential).unwrap().missing_secret(), None);
    assert!(!format!("{:?}", parse(&credential).unwrap()).contains("hunter2"));
}

#[test]
fn the_services_own_settings_are_all_known() {
    let config = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operating.md")).unwrap();
    let names: Vec<&str> = config
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split('`').next())
        .filter(|name| {
            name.contains('_')
                && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit())
        })
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names.into_iter().chain(["DOMAIN", "METRICS", "UPSTREAMS"]) {
        refused("secret", &json!({ "name": name }), ".name: it is a setting of this service");
    }
}

#[test]
fn what_needs_an_assertion_needs_the_key() {
    for name in kinds().as_object().unwrap().keys().filter(|name| *name != "secret") {
        let problems = parse_with(&kind(name, &json!({})), false, &|_| None).unwrap_err();
        let problem = format!("acme-api.credential.{name}: it needs `ISSUER_PRIVATE_KEY`, which is not set");
        assert_eq!(problems, [problem]);
        if name != "assertion" {
            let traded = kind(name, &json!({"identity": "caller-token"}));
            assert!(!parse_with(&traded, false, &|_| None).unwrap().needs_issuer_key());
        }
    }
}

#[test]
fn an_audience_is_never_what_this_service_accepts() {
    for name in ["assertion", "anthropic", "aws", "azure", "openai", "oauth"] {
        for audience in [
            "sts.example.com",
            "STS.example.com",
            "https://sts.example.com",
            "https://sts.example.com/proxy/acme-api",
        ] {
            let changes = json!({ "audience": audience });
            refused(name, &changes, ".audience: this service accepts it itself");
        }
        taken(name, &json!({"audience": "https://api.sts.example.com"}));
        refused(
            name,
            &json!({"audience": "a b"}),
            ".audience: it is not text of 1 to 255 visible characters",
        );
    }
    for audience in
        ["iam.googleapis.com/projects/1/providers/a", "https://iam.googleapis.com/projects/1/providers/a"]
    {
        let changes = json!({ "audience": audience });
        refused("google", &changes, ".audience: it is not `//iam.googleapis.com/projects/…/providers/…`");
    }
}

#[test]
fn an_exchange_goes_to_a_public_host_that_is_not_this_service() {
    for (url, problem) in [
        ("http://auth.example.com/token", "it does not begin with `https://`"),
        ("auth.example.com/token", "it does not begin with `https://`"),
        ("https://auth.example.com/token?a=b", "it has a query or a fragment"),
        ("https://auth.example.com/token#a", "it has a query or a fragment"),
        ("https://user@auth.example.com/token", "it has user info"),
        ("https://127.0.0.1/token", "its host is an ip address"),
        ("https://[::1]/token", "its host is an ip address"),
        ("https://metadata.internal/token", "its host is reserved for local networks"),
        ("https://localhost/token", "its host is reserved for local networks"),
        ("https://auth/token", "its host has no dot"),
        ("https://auth.example.com:8443/token", "its port is not 443"),
        ("https://sts.example.com/token", "it is this service"),
        ("https://STS.example.com:443/token", "it is this service"),
        ("https://auth.example.com//token", "its path has a character or a segment that is not allowed"),
        ("https://auth.example.com/a/../token", "its path has a character or a segment that is not allowed"),
        (
            "https://auth.example.com/a/%2E./token",
            "its path has a character or a segment that is not allowed",
        ),
        ("https://auth.example.com/a\\token", "its path has a character or a segment that is not allowed"),
        ("https://auth.example.com/tökén", "its path has a character or a segment that is not allowed"),
        ("", "it is empty or longer than 255 characters"),
    ] {
        for name in ["oauth", "anthropic", "openai"] {
            refused(name, &json!({ "token_url": url }), &format!(".token_url: {problem}"));
        }
    }
    for url in
        ["https://auth.example.com", "https://auth.example.com/", "https://auth.example.com:443/v1/a:b/token"]
    {
        taken("oauth", &json!({ "token_url": url }));
    }
}

#[test]
fn parameters_and_headers_of_oauth_are_bounded_and_none_of_the_exchanges_own() {
    let path = ".parameters";
    for name in ["client_secret", "password", "refresh_token"] {
        let what = format!("{path}.{name}: a secret does not belong in a variable");
        refused("oauth", &json!({"parameters": { name: "x" }}), &what);
    }
    for (grant, own) in [
        ("jwt-bearer", ["grant_type", "assertion"].as_slice()),
        ("token-exchange", &["grant_type", "subject_token", "subject_token_type"]),
    ] {
        for name in own {
            let changes = json!({"grant": grant, "parameters": { *name: "x" }});
            refused("oauth", &changes, &format!("{path}.{name}: the grant sets it itself"));
        }
    }
    let many = |count: usize| -> Value { (0..count).map(|n| (format!("p{n}"), json!("x"))).collect() };
    taken("oauth", &json!({"parameters": many(16), "headers": many(8)}));
    refused(
        "oauth",
        &json!({"parameters": many(17)}),
        ".parameters: it is not an object of at most 16 texts",
    );
    refused("oauth", &json!({"headers": many(9)}), ".headers: it is not an object of at most 8 texts");
    for name in ["Authorization", "content-type", "Content-Length", "HOST"] {
        refused("oauth", &json!({"headers": { name: "x" }}), &format!(".headers.{name}: it cannot be set"));
    }
    refused("oauth", &json!({"headers": {"x-a": "1", "X-A": "2"}}), ".headers.x-a: it appears twice");
    refused("oauth", &json!({"headers": {"a b": "1"}}), ".headers.…: it is not the name of a header");
    refused("oauth", &json!({"headers": {"x-a": "1\n2"}}), ".headers.x-a: it is not a valid header value");
    for seconds in [json!(59), json!(3601), json!("300"), json!(300.5)] {
        refused(
            "oauth",
            &json!({ "assertion_seconds": seconds }),
            ".assertion_seconds: it is not a whole number from 60 to 3600",
        );
    }
}

#[test]
fn parts_of_addresses_are_no_more_than_parts() {
    for region in ["", "eu-central-1.evil.example", "eu/central", "EU-CENTRAL-1", "eu central"] {
        refused("aws", &json!({ "region": region }), ".region: it is not a region, such as `eu-central-1`");
    }
    for tenant in ["", "acme/../x", "acme?", "acme#", "..", "a b"] {
        refused(
            "azure",
            &json!({ "tenant_id": tenant }),
            ".tenant_id: it is neither a tenant's id nor its domain",
        );
    }
    for email in ["", "sa", "sa@acme", "s/a@acme.example", "sa@acme.example/x", "a@b@c.example"] {
        refused(
            "google",
            &json!({ "service_account": email }),
            ".service_account: it is not the e-mail address of a service account",
        );
    }
    for role in [
        "arn:aws:iam::123456789012:user/sts",
        "arn:aws:iam::12345678901:role/sts",
        "arn:aws:iam::123456789012:role/",
        "arn:aws:iam::123456789012:role/a b",
        "arn:aws:s3::123456789012:role/a",
        "role/sts",
    ] {
        let what = ".role_arn: it is not the arn of a role, such as `arn:aws:iam::123456789012:role/example`";
        refused("aws", &json!({ "role_arn": role }), what);
    }
    taken("aws", &json!({"role_arn": "arn:aws-us-gov:iam::123456789012:role/path/a_b+c=d,e.f@g-h"}));
    for seconds in [899, 43_201] {
        let what = ".session_seconds: it is not a whole number from 900 to 43200";
        refused("aws", &json!({ "session_seconds": seconds }), what);
    }
    taken("aws", &json!({"sign": "bedrock-key"}));
    let what = ".service: it is not `bedrock`, whose key `bedrock-key` makes";
    refused("aws", &json!({"sign": "bedrock-key", "service": "s3"}), what);
    let scopes: Vec<&str> = vec!["a"; 17];
    for scopes in [json!([]), json!("a"), json!(["a b"]), json!([1]), json!(scopes)] {
        refused("google", &json!({ "scopes": scopes }), ".scopes: it is not a list of 1 to 16 scopes");
    }
}
