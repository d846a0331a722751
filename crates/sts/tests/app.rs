//! `sts app` and `sts doctor` in use, with stand-ins for GitHub, the service and wrangler on loopback.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use octo_sts_doubles::loopback::{Got, Loopback, serve, serve_as, silence, told};
use octo_sts_native::{new_rsa_key, sha256_base64url};
use serde_json::{Value, json};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("app").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn sts(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sts"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    for variable in ["NO_COLOR", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(variable);
    }
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A status that is none: the connection closes without an answer.
const NO_ANSWER: u16 = 0;

type Answers = BTreeMap<String, (u16, Value)>;

/// A server on loopback with answers by `METHOD path`; everything else is 404.
fn stand_in(answers: Answers, date: Option<&'static str>) -> Loopback {
    serve(move |got| {
        let (status, answer) =
            answers.get(&got.call()).cloned().unwrap_or((404, json!({ "message": "Not Found" })));
        if status == NO_ANSWER {
            return silence();
        }
        let answer = told(status, if answer.is_null() { String::new() } else { answer.to_string() });
        match date {
            Some(date) => answer.header("Date", date),
            None => answer,
        }
    })
}

fn answers<const N: usize>(list: [(&str, u16, Value); N]) -> Answers {
    list.into_iter().map(|(key, status, value)| (key.to_owned(), (status, value))).collect()
}

/// A request of a browser.
fn browse(authority: &str, host: &str, target: &str) -> String {
    let mut stream = TcpStream::connect(authority).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn unescaped(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split_once(before).unwrap().1.split_once(after).unwrap().0
}

const PEM: &str = "-----BEGIN RSA PRIVATE KEY-----\ncanary-key\n-----END RSA PRIVATE KEY-----\n";

fn new_app() -> Value {
    json!({ "id": 4711, "client_id": "Iv1.x", "slug": "octo-sts-acme", "html_url": "https://github.com/apps/octo-sts-acme",
            "pem": PEM, "webhook_secret": "canary-secret", "client_secret": "canary-client", "owner": { "login": "acme" } })
}

/// Runs `sts app create`, presses the button, and comes back from GitHub. `meanwhile` sees the pages before.
fn created(folder: &Path, github: &Loopback, extra: &[&str], meanwhile: impl FnOnce(&str, &str)) -> Output {
    let web = format!("http://{}", github.address);
    let mut arguments =
        vec!["app", "create", "--org", "acme", "--domain", "sts.acme.test", "--no-browser", "--github", &web];
    arguments.extend(extra);
    let mut child = sts(folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut notes = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    notes.read_line(&mut line).unwrap();
    let Some((_, address)) = line.split_once("http://") else {
        let mut rest = line;
        notes.read_to_string(&mut rest).unwrap();
        let mut output = child.wait_with_output().unwrap();
        output.stderr = rest.into_bytes();
        return output;
    };
    let authority = address.trim().trim_end_matches('/').to_owned();
    let page = browse(&authority, &authority, "/");
    let action = unescaped(between(&page, "action=\"", "\""));
    let (place, state) = action.split_once("?state=").unwrap();
    assert_eq!(place, format!("{web}/organizations/acme/settings/apps/new"));
    meanwhile(&authority, &page);
    let last = browse(&authority, &authority, &format!("/created?code=abc123&state={state}"));
    assert!(last.starts_with("HTTP/1.1 200"), "{last}");
    assert!(!last.contains("canary"));
    let mut rest = String::new();
    notes.read_to_string(&mut rest).unwrap();
    let mut output = child.wait_with_output().unwrap();
    output.stderr = rest.into_bytes();
    output
}

fn github_with_new_app() -> Loopback {
    stand_in(answers([("POST /api/v3/app-manifests/abc123/conversions", 201, new_app())]), None)
}

/// A wrangler that records its input.
#[cfg(unix)]
fn wrangler(folder: &Path, code: i32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(folder.join("wrangler.toml"), "name = \"octo-sts\"\n").unwrap();
    let bin = folder.join("node_modules/.bin");
    std::fs::create_dir_all(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\nprintf '%s\\n' \"$*\" > called\ncat > handed\nprintf 'ERROR canary-key\\n' >&2\nexit {code}\n"
    );
    let path = bin.join("wrangler");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(unix)]
#[test]
fn create_hands_the_secrets_to_wrangler_by_standard_input_and_prints_none() {
    let folder = folder("create");
    wrangler(&folder, 0);
    let github = github_with_new_app();
    let output = created(
        &folder,
        &github,
        &["--permission", "issues=write", "--env", "staging", "--proxy"],
        |authority, page| {
            assert!(page.contains(&format!("form-action http://{} 'self'", github.address)), "{page}");
            let manifest: Value =
                serde_json::from_str(&unescaped(between(page, "name=\"manifest\" value=\"", "\""))).unwrap();
            assert_eq!(
                manifest["default_permissions"],
                json!({ "checks": "write", "contents": "read", "issues": "write", "merge_queues": "read", "pull_requests": "read" })
            );
            assert_eq!(
                manifest["default_events"],
                json!(["check_run", "check_suite", "merge_group", "pull_request", "push"])
            );
            assert_eq!(
                manifest["hook_attributes"],
                json!({ "url": "https://sts.acme.test/webhook", "active": true })
            );
            assert_eq!(manifest["redirect_url"], format!("http://{authority}/created"));
            assert_eq!(manifest["public"], false);
        },
    );
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("canary"), "{said}");
    assert!(
        said.ends_with(
            "\nNext steps:\n1. install it:  https://github.com/apps/octo-sts-acme/installations/new\n2. deploy:      npx wrangler deploy --env staging\n3. check:       sts doctor https://sts.acme.test\n"
        ),
        "{said}"
    );
    assert_eq!(std::fs::read_to_string(folder.join("called")).unwrap(), "secret bulk --env staging\n");
    let handed: Value = serde_json::from_slice(&std::fs::read(folder.join("handed")).unwrap()).unwrap();
    assert_eq!(
        (&handed["GITHUB_APP_ID"], &handed["GITHUB_APP_PRIVATE_KEY"], &handed["GITHUB_WEBHOOK_SECRET"]),
        (&json!("4711"), &json!(PEM), &json!("canary-secret"))
    );
    assert!(handed["ISSUER_PRIVATE_KEY"].as_str().unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(handed.as_object().unwrap().len(), 4);
}

#[cfg(unix)]
#[test]
fn create_writes_files_for_the_owner_alone_where_that_is_asked_for() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder("out");
    let output = created(&folder, &github_with_new_app(), &["--out", "secrets"], |_, _| {});
    assert!(output.status.success(), "{}", text(&output));
    assert!(!text(&output).contains("canary"));
    let mode = |path: &str| std::fs::metadata(folder.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("secrets"), 0o700);
    for (name, value) in [
        ("GITHUB_APP_ID", "4711"),
        ("GITHUB_APP_PRIVATE_KEY", PEM),
        ("GITHUB_WEBHOOK_SECRET", "canary-secret"),
    ] {
        let path = format!("secrets/{name}");
        assert_eq!(
            (std::fs::read_to_string(folder.join(&path)).unwrap().as_str(), mode(&path)),
            (value, 0o600)
        );
    }
    let again =
        sts(&folder, &["app", "create", "--org", "acme", "--domain", "sts.acme.test", "--out", "secrets"])
            .output()
            .unwrap();
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again).contains("`secrets` is not empty"), "{}", text(&again));
}

#[cfg(unix)]
#[test]
fn create_takes_no_code_but_its_own() {
    let folder = folder("state");
    let github = github_with_new_app();
    let output = created(&folder, &github, &["--out", "secrets"], |authority, page| {
        let state = between(page, "?state=", "\"");
        for (host, target) in [
            (authority, "/created?code=evil&state=x".to_owned()),
            (authority, "/created?code=evil".to_owned()),
            (authority, format!("/created?code=../evil&state={state}")),
            ("evil.example", format!("/created?code=evil&state={state}")),
            ("evil.example", "/".to_owned()),
        ] {
            let answer = browse(authority, host, &target);
            assert!(answer.starts_with("HTTP/1.1 400") && !answer.contains(state), "{target}: {answer}");
        }
        assert!(github.seen().is_empty());
    });
    assert!(output.status.success(), "{}", text(&output));
    let seen = github.seen();
    assert_eq!(
        seen.iter().map(Got::call).collect::<Vec<_>>(),
        ["POST /api/v3/app-manifests/abc123/conversions"]
    );
    assert!(!seen[0].head.to_ascii_lowercase().contains("authorization"));
}

#[cfg(unix)]
#[test]
fn create_says_what_is_lost_where_wrangler_fails() {
    let folder = folder("lost");
    wrangler(&folder, 1);
    let output = created(&folder, &github_with_new_app(), &[], |_, _| {});
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("its secrets were not stored") && said.contains("generate a new private key"),
        "{said}"
    );
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn create_says_so_where_github_gives_nothing() {
    let folder = folder("refused");
    let output = created(&folder, &stand_in(Answers::new(), None), &["--out", "secrets"], |_, _| {});
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("it answered with 404"), "{}", text(&output));
}

#[test]
fn create_refuses_what_makes_no_sense_before_there_is_an_app() {
    let folder = folder("usage");
    for (arguments, message) in [
        (&["--org", "acme/app", "--domain", "sts.acme.test"][..], "is not the name of an organization"),
        (&["--org", "acme", "--domain", "https://sts.acme.test"], "is not a bare host"),
        (
            &["--org", "acme", "--domain", "sts.acme.test", "--permission", "isues=write"],
            "did you mean `issues`?",
        ),
        (&["--org", "acme", "--domain", "sts.acme.test", "--permission", "issues"], "write `NAME=LEVEL`"),
        (
            &["--org", "acme", "--domain", "sts.acme.test", "--permission", "issues=admin"],
            "has no level `admin`",
        ),
        (
            &["--org", "acme", "--domain", "sts.acme.test", "--github", "http://github.com"],
            "is not the address of a GitHub",
        ),
        (&["--org", "acme", "--domain", "sts.acme.test"], "there is no `wrangler.toml`"),
    ] {
        let output =
            sts(&folder, &[&["app", "create", "--no-browser"], arguments].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output).contains(message), "{}", text(&output));
    }
}

const POLICY: &str = "issuer: https://token.actions.githubusercontent.com\nsubject: repo:acme/app:ref:refs/heads/main\npermissions: {PERMISSIONS}\n";

/// A folder with a key and two policies.
fn with_policies(name: &str) -> PathBuf {
    let folder = folder(name);
    let policies = folder.join("app/.github/chainguard");
    std::fs::create_dir_all(&policies).unwrap();
    for (name, permissions) in [("deploy", "deployments: write, issues: read"), ("triage", "issues: write")] {
        std::fs::write(policies.join(format!("{name}.sts.yaml")), POLICY.replace("PERMISSIONS", permissions))
            .unwrap();
    }
    std::fs::write(folder.join("key.pem"), new_rsa_key().unwrap().expose()).unwrap();
    folder
}

fn permissions(list: &[(&str, &str)]) -> Value {
    list.iter().map(|(name, level)| ((*name).to_owned(), json!(level))).collect()
}

const FIT: [(&str, &str); 7] = [
    ("checks", "write"),
    ("contents", "read"),
    ("deployments", "write"),
    ("issues", "write"),
    ("merge_queues", "read"),
    ("metadata", "read"),
    ("pull_requests", "read"),
];

#[test]
fn plan_is_the_smallest_set_and_compares_it_with_an_app() {
    let folder = with_policies("plan");
    let output = sts(&folder, &["app", "plan", "app"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        plan["default_permissions"],
        permissions(&FIT.iter().copied().filter(|(name, _)| *name != "metadata").collect::<Vec<_>>())
    );

    let compared = |status: u16, had: Value| {
        let github = stand_in(answers([("GET /api/v3/app", status, json!({ "permissions": had }))]), None);
        let web = format!("http://{}", github.address);
        sts(&folder, &["app", "plan", "app", "--app-id", "4711", "--key", "key.pem", "--github", &web])
            .output()
            .unwrap()
    };
    let fits = compared(200, permissions(&FIT));
    assert!(fits.status.success() && text(&fits).contains("exactly what 2 policies"), "{}", text(&fits));
    let output = compared(
        200,
        json!({ "contents": "write", "checks": "write", "pull_requests": "read", "issues": "read", "actions": "write" }),
    );
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    for line in [
        "too little: `deployments: write`, the App has nothing; needed by `app/.github/chainguard/deploy.sts.yaml`\n",
        "too little: `issues: write`, the App has `read`; needed by `app/.github/chainguard/triage.sts.yaml`\n",
        "too little: `merge_queues: read`, the App has nothing; needed by the service itself\n",
        "too much: `actions: write`, nothing needs it\n",
        "too much: `contents: write`, `read` is enough\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let wrong = compared(401, Value::Null);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong).contains("they do not belong together"));

    std::fs::write(folder.join("app/.github/chainguard/broken.sts.yaml"), "x: [").unwrap();
    let broken = sts(&folder, &["app", "plan", "app"]).output().unwrap();
    assert_eq!(broken.status.code(), Some(1));
    assert!(text(&broken).contains("broken.sts.yaml` is broken"));
}

/// A healthy service with its own key set.
fn service() -> Answers {
    answers([
        ("GET /healthz", 200, json!({ "status": "ok" })),
        ("GET /readyz", 200, json!({ "status": "ready", "missing": [], "malformed": [] })),
    ])
}

/// A healthy App.
fn app(host: &str) -> Answers {
    let events = ["check_run", "check_suite", "merge_group", "pull_request", "push"];
    answers([
        (
            "GET /api/v3/app",
            200,
            json!({ "id": 4711, "html_url": "https://github.com/apps/octo-sts-acme", "permissions": permissions(&FIT), "events": events }),
        ),
        (
            "GET /api/v3/app/hook/config",
            200,
            json!({ "url": format!("https://{host}/webhook"), "content_type": "json", "secret": "********", "insecure_ssl": "0" }),
        ),
        ("GET /api/v3/app/hook/deliveries", 200, json!([{ "status_code": 200, "event": "push" }])),
        (
            "GET /api/v3/app/installations",
            200,
            json!([{ "id": 7, "account": { "login": "Acme" }, "suspended_at": null, "permissions": permissions(&FIT) }]),
        ),
        ("POST /api/v3/app/installations/7/access_tokens", 201, json!({ "token": "ghs_canary" })),
        ("DELETE /api/v3/installation/token", 204, Value::Null),
    ])
}

const ISSUERS: &str = "GET /api/v3/repos/acme/.github/contents/.github/chainguard/trusted-token-issuers.yaml";

/// The codes that the doctor finds, and its whole output.
fn examined(
    folder: &Path,
    service: Answers,
    date: Option<&'static str>,
    change: impl FnOnce(&str, &mut Answers),
    extra: &[&str],
) -> (Vec<String>, Value) {
    let service = stand_in(service, date);
    let mut github = app(&service.address);
    change(&service.address, &mut github);
    let minting = github.get("POST /api/v3/app/installations/7/access_tokens").cloned();
    let github = stand_in(github, None);
    let (url, web) = (format!("http://{}", service.address), format!("http://{}", github.address));
    let mut arguments = vec![
        "doctor", &url, "app", "--app-id", "4711", "--key", "key.pem", "--github", &web, "--org", "acme",
        "--format", "json",
    ];
    arguments.extend(extra);
    let output = sts(folder, &arguments).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    assert!(!text(&output).contains("ghs_canary"));
    let codes: Vec<String> = said["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["code"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(output.status.code(), Some(i32::from(!codes.is_empty())));
    for finding in said["findings"].as_array().unwrap() {
        assert!(
            !finding["fix"].as_str().unwrap().is_empty() && !finding["message"].as_str().unwrap().is_empty()
        );
    }
    // No token for a check is left behind.
    let seen = github.seen();
    let count = |line: &str| seen.iter().filter(|seen| seen.call() == line).count();
    let gave_a_token =
        matches!(minting, Some((201, _))) && count("POST /api/v3/app/installations/7/access_tokens") > 0;
    assert_eq!(count("DELETE /api/v3/installation/token"), usize::from(gave_a_token));
    if let Some(minted) = seen.iter().find(|seen| seen.line.starts_with("POST")) {
        assert_eq!(
            serde_json::from_str::<Value>(&minted.body).unwrap(),
            json!({ "repositories": [".github"], "permissions": { "contents": "read" } })
        );
    }
    (codes, said)
}

#[test]
fn the_doctor_finds_nothing_where_nothing_is_wrong() {
    let folder = with_policies("well");
    let (codes, said) = examined(&folder, service(), None, |_, _| {}, &[]);
    assert_eq!(codes, [""; 0]);
    assert_eq!(
        said["well"],
        json!([
            "reachable",
            "clock",
            "ready",
            "metadata and keys",
            "key",
            "permissions",
            "events",
            "webhook",
            "deliveries",
            "installations",
            "policy repository"
        ])
    );
}

#[test]
fn each_finding_of_the_service_is_found() {
    let folder = with_policies("service");
    let with = |key: &str, status: u16, value: Value| {
        let mut answers = service();
        answers.insert(key.to_owned(), (status, value));
        answers
    };
    let unready = |missing: &[&str], malformed: &[&str]| json!({ "status": "unready", "missing": missing, "malformed": malformed, "reasons": { "GITHUB_APP_PRIVATE_KEY": "encrypted" } });
    let unready_because = |name: &str, why: &str| json!({ "status": "unready", "missing": [], "malformed": [name], "reasons": { name: why } });
    for (answers, code, words) in [
        (with("GET /healthz", 404, json!({})), "not_the_service", "routes"),
        (
            with("GET /readyz", 503, unready(&["GITHUB_APP_ID"], &[])),
            "setting_missing",
            "npx wrangler secret put GITHUB_APP_ID",
        ),
        (
            with("GET /readyz", 503, unready(&[], &["GITHUB_APP_PRIVATE_KEY"])),
            "setting_malformed",
            "openssl rsa",
        ),
        (
            with("GET /readyz", 503, unready_because("GITHUB_APP_PRIVATE_KEY", "public-key")),
            "setting_malformed",
            "a different kind of key",
        ),
        (
            with("GET /readyz", 503, unready_because("GITHUB_APP_PRIVATE_KEY", "truncated")),
            "setting_malformed",
            "with all its lines",
        ),
        (
            with("GET /readyz", 503, unready_because("ALLOWED_ISSUERS", "empty")),
            "setting_malformed",
            "docs/operating.md",
        ),
        (with("GET /readyz", 503, json!({})), "not_ready", "wrangler tail"),
        (with("GET /readyz", NO_ANSWER, Value::Null), "not_ready", "/readyz"),
        (
            with("GET /readyz", 200, json!({ "status": "ready", "missing": ["UPSTREAMS"], "malformed": [] })),
            "setting_missing",
            "`UPSTREAMS` is missing",
        ),
        (
            with(
                "GET /readyz",
                200,
                json!({ "status": "ready", "missing": ["GITHUB_WEBHOOK_SECRET"], "malformed": [] }),
            ),
            "webhook_off",
            "npx wrangler secret put",
        ),
        (with("GET /.well-known/openid-configuration", 500, json!({})), "metadata", "ISSUER_PRIVATE_KEY"),
    ] {
        let (codes, said) = examined(&folder, answers, None, |_, _| {}, &[]);
        assert_eq!(codes, [code], "{said}");
        assert!(said.to_string().contains(words), "{said}");
    }
    let (codes, _) = examined(&folder, service(), Some("Sun, 06 Nov 1994 08:49:37 GMT"), |_, _| {}, &[]);
    assert_eq!(codes, ["clock"]);
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = sts(&folder, &["doctor", &format!("http://{gone}")]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("error[unreachable]") && text(&output).contains("fix:"),
        "{}",
        text(&output)
    );
    for wrong in ["sts.example.com", "http://sts.example.com", "https://sts.example.com/x"] {
        assert_eq!(sts(&folder, &["doctor", wrong]).output().unwrap().status.code(), Some(2));
    }
}

#[test]
fn the_keys_of_the_service_are_held_against_its_metadata_and_the_last_look() {
    let folder = with_policies("keys");
    let key = |n: &str| {
        let kid = sha256_base64url(&format!(r#"{{"e":"AQAB","kty":"RSA","n":"{n}"}}"#));
        json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "use": "sig", "kid": kid })
    };
    // `before` are the keys of the last run, for the same issuer.
    let look = |keys: Value, seen: &str, issuer: Option<&str>, before: Option<Value>| {
        let service = serve_as(|url| {
            let own = url.replace("http", "https");
            if let Some(before) = before {
                let text = json!({ "issuer": own, "keys": before }).to_string();
                std::fs::write(folder.join(seen), text).unwrap();
            }
            let issuer = issuer.map_or(own.clone(), str::to_owned);
            move |got| match got.path() {
                "/healthz" => told(200, json!({ "status": "ok" })),
                "/readyz" => told(200, json!({ "status": "ready" })),
                "/.well-known/openid-configuration" => {
                    told(200, json!({ "issuer": issuer, "jwks_uri": format!("{own}/.well-known/jwks.json") }))
                }
                // A key set that is null is none.
                _ if keys.is_null() => silence(),
                _ if keys.get("error").is_some() => told(500, &keys),
                _ => told(200, &keys),
            }
        });
        let output =
            sts(&folder, &["doctor", &service.url, "--format", "json", "--seen", seen]).output().unwrap();
        let said: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
        said["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["code"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let kid = |n: &str| key(n)["kid"].clone();
    let one = || json!({ "keys": [key("a")] });
    assert_eq!(look(json!({ "keys": [key("a"), key("b")] }), "seen.json", None, None), [""; 0]);
    let seen: Value = serde_json::from_slice(&std::fs::read(folder.join("seen.json")).unwrap()).unwrap();
    assert_eq!(seen["keys"].as_array().unwrap().len(), 2);
    assert_eq!(look(one(), "seen.json", None, Some(json!([kid("a"), kid("b")]))), [""; 0]);
    assert_eq!(look(one(), "seen.json", None, Some(json!([kid("b")]))), ["keys_replaced"]);
    assert_eq!(look(json!({ "keys": [] }), "none.json", None, None), ["keys"]);
    assert_eq!(look(json!({ "keys": [key("a"), key("a")] }), "twice.json", None, None), ["keys"]);
    let mut renamed = key("a");
    renamed["kid"] = json!("other");
    assert_eq!(look(json!({ "keys": [renamed] }), "named.json", None, None), ["keys"]);
    assert_eq!(look(one(), "issuer.json", Some("https://sts.other.test"), None), ["issuer"]);
    assert_eq!(look(Value::Null, "silent.json", None, None), ["keys"]);
    assert_eq!(look(json!({ "error": "internal" }), "broken.json", None, None), ["keys"]);
}

/// Of metadata that is good but for one member.
#[test]
fn metadata_that_leads_elsewhere_is_found() {
    let folder = with_policies("elsewhere");
    let mut answers = service();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let keys = format!("https://{}/keys", listener.local_addr().unwrap());
    answers.insert(
        "GET /.well-known/openid-configuration".to_owned(),
        (200, json!({ "issuer": "https://sts.other.test", "jwks_uri": keys })),
    );
    let (codes, said) = examined(&folder, answers, None, |_, _| {}, &[]);
    assert_eq!(codes, ["issuer", "issuer", "keys"], "{said}");
    assert!(said.to_string().contains("has the keys at") && said.to_string().contains("answers with 404"));
}

/// So that nobody adds one without: the codes in the sources, and those that some test here expects.
#[test]
fn each_code_of_the_doctor_is_provoked() {
    let sources = concat!(include_str!("../src/doctor/outside.rs"), include_str!("../src/doctor/inside.rs"));
    let codes: Vec<&str> = sources
        .split("findings.")
        .skip(1)
        .filter_map(|rest| rest.strip_prefix("error(").or_else(|| rest.strip_prefix("warning(")))
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .collect();
    assert!(codes.len() > 30, "{codes:?}");
    let tests = include_str!("app.rs");
    for code in codes {
        assert!(
            tests.contains(&format!("\"{code}\"")) || tests.contains(&format!("error[{code}]")),
            "no test provokes `{code}`"
        );
    }
}

#[test]
fn each_finding_of_the_app_is_found() {
    let folder = with_policies("app-side");
    let set = |key: &'static str, status: u16, value: Value| {
        move |_: &str, github: &mut Answers| {
            github.insert(key.to_owned(), (status, value));
        }
    };
    let about = |permissions: Value, events: Value| json!({ "html_url": "https://github.com/apps/x", "permissions": permissions, "events": events });
    let events = json!(["check_run", "check_suite", "merge_group", "pull_request", "push"]);
    let without = |name: &str| {
        permissions(&FIT.iter().copied().filter(|(known, _)| *known != name).collect::<Vec<_>>())
    };
    let installation = |suspended: Value, had: Value| json!([{ "id": 7, "account": { "login": "acme" }, "suspended_at": suspended, "permissions": had }]);
    let mut more = permissions(&FIT);
    more["actions"] = json!("write");
    type Change = Box<dyn FnOnce(&str, &mut Answers)>;
    let cases: Vec<(Change, &str, &str)> = vec![
        (Box::new(set("GET /api/v3/app", 401, json!({}))), "key", "do not belong together"),
        (Box::new(set("GET /api/v3/app", 500, json!({}))), "github", "500"),
        (Box::new(set("GET /api/v3/app", NO_ANSWER, Value::Null)), "github", "githubstatus.com"),
        (Box::new(set("GET /api/v3/app/hook/config", 500, json!({}))), "github", "/app/hook/config with 500"),
        (
            Box::new(set("GET /api/v3/app/hook/deliveries", 500, json!({}))),
            "github",
            "/app/hook/deliveries with 500",
        ),
        (
            Box::new(set("GET /api/v3/app/installations", 500, json!({}))),
            "github",
            "/app/installations with 500",
        ),
        (
            Box::new(set("POST /api/v3/app/installations/7/access_tokens", NO_ANSWER, Value::Null)),
            "github",
            "grants no token",
        ),
        (Box::new(set(ISSUERS, 500, json!({}))), "github", "with 500"),
        (Box::new(set(ISSUERS, NO_ANSWER, Value::Null)), "github", "trusted-token-issuers.yaml"),
        (Box::new(set(ISSUERS, 200, json!({ "content": "%" }))), "github", "contains no file"),
        (
            Box::new(set("GET /api/v3/app", 200, about(without("issues"), events.clone()))),
            "permission_missing",
            "triage.sts.yaml",
        ),
        (
            Box::new(set("GET /api/v3/app", 200, about(without("merge_queues"), events.clone()))),
            "permission_missing",
            "the service itself",
        ),
        (
            Box::new(set(
                "GET /api/v3/app",
                200,
                about(permissions(&FIT), json!(["push", "pull_request", "check_suite", "check_run"])),
            )),
            "event_missing",
            "merge_group",
        ),
        (
            Box::new(set("GET /api/v3/app/hook/config", 404, json!({}))),
            "webhook_off",
            "PATCH /app/hook/config",
        ),
        (
            Box::new(set(
                "GET /api/v3/app/hook/deliveries",
                200,
                json!([{ "status_code": 401, "event": "push" }]),
            )),
            "deliveries",
            "the secrets differ",
        ),
        (
            Box::new(set(
                "GET /api/v3/app/hook/deliveries",
                200,
                json!([{ "status_code": 500, "event": "push" }]),
            )),
            "deliveries",
            "names the setting",
        ),
        (
            Box::new(set(
                "GET /api/v3/app/hook/deliveries",
                200,
                json!([{ "status_code": 200, "event": "push" }, { "status_code": 502, "event": "push" }]),
            )),
            "deliveries",
            "warning",
        ),
        (
            Box::new(set("GET /api/v3/app/installations", 200, json!([]))),
            "not_installed",
            "installations/new",
        ),
        (
            Box::new(set(
                "GET /api/v3/app/installations",
                200,
                json!([{ "id": 8, "account": { "login": "other" } }]),
            )),
            "not_installed",
            "`acme`",
        ),
        (
            Box::new(set(
                "GET /api/v3/app/installations",
                200,
                installation(json!("2026-11-20T18:00:00Z"), permissions(&FIT)),
            )),
            "suspended",
            "unsuspends",
        ),
        (
            Box::new(set("GET /api/v3/app/installations", 200, installation(Value::Null, without("issues")))),
            "permission_not_accepted",
            "issues: write",
        ),
        (
            Box::new(set("POST /api/v3/app/installations/7/access_tokens", 422, json!({}))),
            "policy_repository",
            "acme/.github",
        ),
        (Box::new(set("DELETE /api/v3/installation/token", 500, json!({}))), "token_left", "expires"),
        // `issuers: [` in base64.
        (
            Box::new(set(ISSUERS, 200, json!({ "content": "aXNzdWVyczog\nWw==" }))),
            "issuers_invalid",
            "sts validate",
        ),
    ];
    for (change, code, words) in cases {
        let (codes, said) = examined(&folder, service(), None, change, &[]);
        assert_eq!(codes, [code], "{said}");
        assert!(said.to_string().contains(words), "{said}");
    }
    let (codes, said) = examined(
        &folder,
        service(),
        None,
        |_, github| {
            github.insert("GET /api/v3/app".to_owned(), (200, about(more, events)));
        },
        &[],
    );
    assert_eq!(codes, ["permission_unneeded", "permission_not_accepted"], "{said}");

    let (codes, said) = examined(
        &folder,
        service(),
        None,
        |_, github| {
            let config = json!({ "url": "https://elsewhere.test/webhook", "content_type": "form", "insecure_ssl": "1" });
            github.insert("GET /api/v3/app/hook/config".to_owned(), (200, config));
        },
        &[],
    );
    assert_eq!(codes, ["webhook_url", "webhook_content_type", "webhook_secret", "webhook_tls"], "{said}");

    std::fs::write(folder.join("app/.github/chainguard/broken.sts.yaml"), "x: [").unwrap();
    let (codes, _) = examined(&folder, service(), None, |_, _| {}, &[]);
    assert_eq!(codes, ["policy_broken"]);
}
