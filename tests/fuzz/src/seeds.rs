//! The seeds of the targets: the files in `tests/data`, and inputs for code that those do not reach.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::platform::{NOW, PRIVATE_KEY};
use super::service::{POLICY, claims, stored};

/// One key of each kind, from RFC 7515 A.2 and A.3, RFC 8037 A.2 and RFC 7517's forms.
pub const KEYS: &str = r#"{"keys":[{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// The files below a folder, in order.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
        .iter()
        .flat_map(|path| if path.is_dir() { files(path) } else { vec![fs::read(path).expect("a file")] })
        .collect()
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("json")
}

/// The values behind a name, wherever they are in a document.
fn behind<'a>(name: &str, value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                if member == name {
                    found.push(value);
                }
                behind(name, value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| behind(name, item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn joined(parts: &[&str]) -> Vec<u8> {
    parts.join("\0").into_bytes()
}

pub fn tokens(data: &Path) -> Vec<Vec<u8>> {
    let vectors = json_of(&data.join("jws/rfc.json"));
    let mut found = Vec::new();
    behind("jws", &vectors, &mut found);
    let mut seeds: Vec<Vec<u8>> =
        found.iter().filter_map(|jws| Some(jws.as_str()?.as_bytes().to_vec())).collect();
    let claims = claims();
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    for (header, claims, length) in [
        (json!({ "alg": "ES256", "typ": "JWT" }), claims.clone(), 64),
        (json!({ "alg": "RS256", "kid": "k" }), claims.clone(), 256),
        (json!({ "alg": "EdDSA" }), with("aud", json!(["a", "sts.example.com"])), 64),
        (json!({ "alg": "PS512" }), with("nbf", json!(NOW)), 256),
        (json!({ "alg": "ES256", "crit": ["b64"] }), with("iss", json!("https://127.0.0.1")), 64),
        (json!({ "alg": "none" }), with("iss", json!("https://u@a.example.com/?#")), 0),
        (json!({ "alg": "ES256" }), with("iss", json!("https://a.example.com:443/tenant/v2.0/")), 64),
        (json!({ "alg": "ES256" }), with("exp", json!(1.5e9)), 64),
    ] {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signature = URL_SAFE_NO_PAD.encode(vec![7; length]);
        seeds.push(format!("{}.{}.{signature}", part(&header), part(&claims)).into_bytes());
    }
    seeds
}

pub fn key_sets(data: &Path) -> Vec<Vec<u8>> {
    let vectors = json_of(&data.join("jws/rfc.json"));
    let mut found = Vec::new();
    behind("jwk", &vectors, &mut found);
    let mut seeds: Vec<Vec<u8>> =
        found.iter().map(|key| json!({ "keys": [key] }).to_string().into_bytes()).collect();
    seeds.push(KEYS.as_bytes().to_vec());
    let p384 = r#"{"keys":[{"kty":"EC","crv":"P-384","use":"sig","alg":"ES384","kid":"k","key_ops":["verify"],"x":"qofKIr6LBTeOscce8yCtdG4dO2KLp5uYWfdB4IJUKjhVAvJdv1UpbDpUXjhydgq3","y":"NhfeSpYmLG9dnpi_kpLcKfj0Hb0omhR86doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f"},{"kty":"oct","k":"AQ"}]}"#;
    seeds.push(p384.as_bytes().to_vec());
    seeds
}

pub fn discovery(_: &Path) -> Vec<Vec<u8>> {
    let document =
        |keys: &str| json!({ "issuer": "https://a.example.com/tenant", "jwks_uri": keys }).to_string();
    [
        "https://a.example.com/tenant/jwks",
        "https://keys.example.com:443/v1?set=1",
        "https://10.0.0.1/",
        "https://a.example.com@b",
    ]
    .map(|keys| joined(&[&document(keys), KEYS, "public, max-age=300, no-cache=\"x\""]))
    .to_vec()
}

pub fn policies(data: &Path) -> Vec<Vec<u8>> {
    let claims = json!({
        "iss": "https://token.actions.githubusercontent.com", "sub": "repo:acme/app:ref:refs/heads/main",
        "aud": "sts.example.com", "ref": "refs/heads/main", "event_name": "push", "a": true, "b": null, "c": ["x"],
    })
    .to_string();
    let files = files(&data.join("policies")).into_iter();
    // Input that was once expensive, small enough for a fuzzer to continue from.
    let policy = |pattern: &str| {
        format!(
            "issuer: https://a.example.com\nsubject_pattern: '{pattern}'\npermissions: {{contents: write}}\n"
        )
        .into_bytes()
    };
    let expensive = [
        format!("repo:{}a{}", "(".repeat(38), "|b)".repeat(38)),
        "a.".repeat(400),
        "(.*a?.*a?){200}z".to_owned(),
    ];
    let files = files.chain(expensive.into_iter().map(|pattern| policy(&pattern)));
    files.map(|file| [file, claims.clone().into_bytes()].join(&0)).collect()
}

pub fn trusted_issuers(data: &Path) -> Vec<Vec<u8>> {
    let folders = ["policies/valid/trusted-issuers", "policies/invalid/trusted-issuers"];
    let files = folders.iter().flat_map(|folder| files(&data.join(folder)));
    files.map(|file| [file, b"https://token.actions.githubusercontent.com".to_vec()].join(&0)).collect()
}

/// Go's corpus: a line of values, followed by one pattern per line.
pub fn patterns(data: &Path) -> Vec<Vec<u8>> {
    let corpus = fs::read_to_string(data.join("go/patterns.jsonl")).expect("the corpus");
    let mut lines = corpus.lines().map(|line| serde_json::from_str::<Value>(line).expect("json"));
    let values = lines.next().unwrap_or_default();
    let values: Vec<&str> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let corpus = lines
        .filter_map(|line| line["p"].as_str().map(str::to_owned))
        .enumerate()
        .filter(|(index, _)| index % 8 == 0)
        .map(|(index, pattern)| joined(&[&pattern, values[index % values.len()]]));
    // Input that was once expensive.
    let expensive =
        ["(.*a?.*a?.*a?.*){200}z", "((a?){10}){100}", "(a|b|ab)*c", "a{1000}|b{1000}", "{1{1{1{1{1"];
    corpus.chain(expensive.iter().map(|pattern| joined(&[pattern, &"ab".repeat(1000)]))).collect()
}

pub fn github_answers(data: &Path) -> Vec<Vec<u8>> {
    let token = json!({
        "token": "ghs_x", "expires_at": "2026-11-20T18:00:00Z", "permissions": { "contents": "read", "metadata": "read" },
        "repositories": [{ "name": "app", "full_name": "acme/app" }], "repository_selection": "selected",
    });
    let file =
        json!({ "type": "file", "encoding": "base64", "sha": "a".repeat(40), "content": "aGVs\nbG8=\n" });
    let installation =
        json!({ "id": 1, "account": { "login": "acme" }, "suspended_at": null, "permissions": {} });
    let changed = json!([{ "filename": "a", "status": "renamed", "previous_filename": "b" }]);
    let runs = json!({ "check_runs": [{ "id": 1, "name": "n", "app": { "id": 1, "client_id": "c" }, "output": { "text": "t" } }] });
    let mut seeds: Vec<Vec<u8>> = [
        ("00", token.clone()),
        ("00", json!({ "token": "ghs_x" })),
        ("10", file),
        ("10", json!([{ "type": "file" }])),
        ("20", json!([{ "name": "a.sts.yaml" }])),
        ("30", installation),
        ("40", json!({ "files": changed })),
        ("50", changed),
        ("60", runs),
        ("72", json!({})),
    ]
    .iter()
    .map(|(which, body)| joined(&[which, "", &body.to_string()]))
    .collect();
    // Each with one forbidden thing.
    let with = |name: &str, value: Value| {
        let mut token = token.clone();
        token[name] = value;
        joined(&["00", "", &token.to_string()])
    };
    seeds.extend([
        with("token", json!("ghs_a b")),
        with("token", json!("ghs_\u{e9}")),
        with("token", json!("")),
        with("permissions", json!({ "contents": "write" })),
        with("permissions", json!({ "contents": "read", "issues": "read" })),
        with("permissions", json!({ "metadata": "write" })),
        with("repositories", json!([{ "name": "app" }, { "name": "docs" }])),
        with("repositories", json!([])),
        with("repositories", Value::Null),
        with("repository_selection", json!("all")),
    ]);
    seeds
        .extend((1..12).map(|status: u8| {
            joined(&[&format!("0{}", char::from(b'0' + status)), "0", &token.to_string()])
        }));
    let cases = json_of(&data.join("cases/rate-limit-classify.json"));
    let mut bodies = Vec::new();
    behind("body", &cases, &mut bodies);
    seeds.extend(bodies.iter().map(|body| joined(&["14", "60", &body.to_string()])));
    seeds
}

pub fn exchanges(_: &Path) -> Vec<Vec<u8>> {
    let minted = json!({
        "token": "ghs_minted", "expires_at": "2026-11-20T18:00:00Z", "permissions": { "contents": "read", "issues": "read" },
        "repositories": [{ "name": "app", "full_name": "acme/app" }],
    })
    .to_string();
    let installation =
        json!({ "id": 7, "account": { "login": "Acme" }, "suspended_at": "2026-01-01T00:00:00Z" })
            .to_string();
    let claims = claims().to_string();
    let document =
        json!({ "issuer": "https://a.example.com", "jwks_uri": "https://b.example.com/k" }).to_string();
    let list = "mode: audit\nissuer_patterns: ['https://a\\.example\\.com']";
    let pattern = "issuer_pattern: https://a[.]example[.]com\nsubject_pattern: repo:acme/.*\nclaim_pattern: {x: 'true'}\npermissions: {contents: write} # sts: accept write-on-policy-repository because x\napp_pattern: d.*\n...\n";
    vec![
        joined(&[&claims, "", "", "", "", "", "", ""]),
        joined(&[&claims, &document, KEYS, "", list, POLICY, &minted, ""]),
        joined(&[&claims, "", "", &installation, "issuers: [https://b.example.com]", pattern, "", ""]),
        joined(&[&claims, "", "", "", "", "not: a policy", &minted, "0000000"]),
        joined(&["", "", "", "", list, "", "{\"token\":\"ghs_found\"}", "0000007"]),
        joined(&[
            "",
            "",
            "",
            "",
            list,
            "",
            &minted.replace("\"issues\":\"read\"", "\"issues\":\"admin\""),
            "",
        ]),
        joined(&["", "", "", "", "", "", "", "00040000"]),
        joined(&["", "", "", "", "", "", "", "0005"]),
        joined(&["", "", "", "", "", "", "", "000008"]),
        joined(&["", "", "", "", "", "", "", "8"]),
    ]
}

pub fn cache_entries(_: &Path) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> =
        stored().iter().map(|(kind, value)| joined(&[&kind.to_string(), value])).collect();
    assert!(seeds.len() >= 4, "every kind of fact is stored");
    seeds.extend(["", "null", "{}", "[]"].map(|value| joined(&["2", value])));
    seeds
}

pub fn requests(_: &Path) -> Vec<Vec<u8>> {
    // Names, and near misses.
    let names = [
        ("acme/app", "a..b"),
        ("acme/app", ".hidden"),
        ("acme/app", "a/b"),
        ("acme/app", "a%0ab"),
        ("acme/..", "x"),
        ("acme/a..b", "x"),
        ("acme/app.git", "x"),
        ("-acme/app", "x"),
        ("acme/a/b", "x"),
        ("acme%2f..", "x"),
        ("a+c/app", "%c3%a9"),
        ("acme", "deploy"),
    ];
    let jwt = "Authorization: Bearer eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL2EuZXhhbXBsZS5jb20ifQ.c2ln";
    [
        ["GET", "/", "", ""],
        ["HEAD", "/healthz/", "", ""],
        ["GET", "/readyz?x", "", ""],
        ["GET", "/sts/exchange?scope=acme/app&scopes=acme/app&identity=deploy", jwt, ""],
        ["!GET", "/sts/exchange?scope=acme/app&identity=deploy", jwt, ""],
        [
            "POST",
            "/sts/exchange/",
            "Content-Type: application/json; charset=utf-8\nAuthorization: bearer x",
            r#"{"scopes":["acme/app"],"identity":"a.b"}"#,
        ],
        [
            "POST",
            "/sts/exchange?identity=%64eploy",
            "content-type: application/json",
            r#"{"scope":"acme","scope":"b"}"#,
        ],
        ["POST", "/sts/exchange?scope=acme/..&identity=..", "", ""],
        ["POST", "/sts/revoke", "Authorization: Bearer ghs_0123456789", ""],
        ["POST", "/sts/revoke", "Authorization: Bearer ghp_0123456789", ""],
        ["POST", "/", "X-GitHub-Event: push\nX-Hub-Signature-256: sha256=00", "{}"],
        ["PUT", "/webhook", "User-Agent: x", ""],
        ["OPTIONS", "/nowhere", "Origin: https://a.example.com", ""],
    ]
    .into_iter()
    .map(|parts| joined(&parts))
    .chain(names.map(|(scope, identity)| {
        joined(&["GET", &format!("/sts/exchange?scope={scope}&identity={identity}"), jwt, ""])
    }))
    .collect()
}

pub fn deliveries(data: &Path) -> Vec<Vec<u8>> {
    let sha = |letter: &str| letter.repeat(40);
    let repository =
        json!({ "id": 7, "name": "app", "owner": { "login": "acme" }, "default_branch": "main" });
    let event = |mut members: Value| {
        members["repository"] = repository.clone();
        members["installation"] = json!({ "id": 1 });
        members["sender"] = json!({ "login": "dev", "type": "User" });
        members.to_string()
    };
    let path = ".github/chainguard/deploy.sts.yaml";
    let push = event(json!({
        "ref": "refs/heads/main", "before": sha("b"), "after": sha("a"),
        "commits": [{ "added": [path], "modified": [".github/chainguard/x.yaml"], "removed": [] }],
    }));
    let pull_request = event(json!({
        "action": "opened", "number": 42,
        "pull_request": { "number": 42, "changed_files": 1, "head": { "sha": sha("a"), "repo": { "id": 7 } }, "base": { "sha": sha("c") } },
    }));
    let suite = event(json!({
        "action": "requested",
        "check_suite": { "head_sha": sha("a"), "head_branch": "main", "before": sha("0"), "pull_requests": [{ "number": 1 }] },
    }));
    let installation =
        json!({ "action": "suspend", "installation": { "id": 1, "account": { "login": "acme" } } })
            .to_string();
    let file = |text: &str| {
        use base64::engine::general_purpose::STANDARD;
        json!({ "type": "file", "encoding": "base64", "sha": sha("a"), "content": STANDARD.encode(text) })
            .to_string()
    };
    let runs = json!({ "total_count": 0, "check_runs": [] }).to_string();
    let run = json!({ "id": 1, "name": "Trust Policy Validation", "app": { "id": 4711 } }).to_string();
    let listed = json!([{ "filename": path, "status": "added" }]).to_string();
    let form: String = push.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let mut seeds = vec![
        joined(&["push", &push, &runs, &file(POLICY), &file("a: b"), &run]),
        joined(&["push", &push, &runs, &file("issuer: a"), "?", &run, "!"]),
        joined(&["pull_request", &pull_request, &listed, &runs, &file(POLICY), &run]),
        joined(&["check_suite", &suite, "[{\"name\":\"deploy.sts.yaml\"}]", &runs, &file(POLICY), &run]),
        joined(&["installation", &installation]),
        joined(&["+push", &format!("payload={form}"), &runs, &file(POLICY)]),
        joined(&["ping", "{}"]),
    ];
    let cases = json_of(&data.join("cases/webhook-http.json"));
    let mut payloads = Vec::new();
    behind("payload", &cases, &mut payloads);
    behind("body", &cases, &mut payloads);
    for payload in payloads {
        let payload = payload.as_str().map_or_else(|| payload.to_string(), str::to_owned);
        seeds.extend(
            ["push", "pull_request", "check_suite", "check_run"].map(|event| joined(&[event, &payload])),
        );
    }
    seeds
}

pub fn settings(_: &Path) -> Vec<Vec<u8>> {
    let all = format!(
        "DOMAIN=sts.example.com\nGITHUB_APP_ID=4711\nGITHUB_WEBHOOK_SECRET=s\nGITHUB_BASE_URL=https://ghes.example.com\n\
         ALLOWED_ISSUERS=https://a.example.com, https://b.example.com\nMAX_TOKEN_LIFETIME_SECONDS=3600\nLOG_LEVEL=debug\n\
         EVENT_INGRESS_URI=https://events.example.com/x\nORG_POLICY_REPO=.github\nALLOW_LOOPBACK_HTTP=true\n\
         GITHUB_WEBHOOK_ORGANIZATION_FILTER=acme,other\nGITHUB_APP_PRIVATE_KEY={PRIVATE_KEY}\n\n"
    );
    vec![
        all.clone().into_bytes(),
        all.replace("DOMAIN=", "DOMAIN=https://").into_bytes(),
        PRIVATE_KEY.as_bytes().to_vec(),
        PRIVATE_KEY.replace('\n', "\\n").into_bytes(),
        b"https://ghes.example.com/api/v3/".to_vec(),
        b"http://[::1]:8080".to_vec(),
    ]
}

pub fn lines(_: &Path) -> Vec<Vec<u8>> {
    [
        "{\"a\":\"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJhIn0.c2lnbmF0dXJl\",\"b\":1}",
        "Bearer @ \u{1e}@\\n@",
        "ghp_0123456789abcdef0123456789abcdef0123 github_pat_11ABCDEFG0abcdefghijkl_x",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n",
        "{\"k\":\"-----BEGIN PRIVATE KEY-----\\nMIIE\\n\",\"x\":\"\\u001eyJ\"}",
        "ghs_4711_eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
        "ghs_AbC-dE.f_1AbC-dE.f_1AbC-dE.f_1AbC-dE.f_1",
        "repo:acme/app:ref:refs/heads/highs_and_lows",
    ]
    .map(|line| line.as_bytes().to_vec())
    .to_vec()
}
