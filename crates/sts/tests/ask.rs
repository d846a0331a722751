//! The commands that ask for tokens, against a service and a runner on the loopback.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use octo_sts_doubles::loopback::{Got, Loopback, Told, serve, told};
use serde_json::json;

#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    notes: String,
}

/// A runner and a service in one.
struct World(Loopback);

fn oidc() -> String {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims =
        json!({"iss": "https://issuer.example.com", "sub": "repo:acme/app:ref:refs/heads/main", "aud": "a"});
    format!("{}.{}.c2lnbmF0dXJl", part(json!({"alg": "RS256"})), part(claims))
}

impl World {
    fn new() -> Self {
        Self(serve(answer))
    }

    fn sts(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sts"));
        command.args(arguments).env("STS_DOMAIN", &self.0.url);
        for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "GH_TOKEN"] {
            command.env_remove(variable);
        }
        command.env_remove("ACTIONS_ID_TOKEN_REQUEST_URL").env_remove("ACTIONS_ID_TOKEN_REQUEST_TOKEN");
        command
    }

    fn in_a_job(&self, arguments: &[&str]) -> Command {
        let mut command = self.sts(arguments);
        command
            .env("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/token?api-version=2.0", self.0.url))
            .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner-token");
        command
    }

    /// Each request as `METHOD path authorization body`.
    fn requests(&self) -> Vec<String> {
        let told = |got: Got| {
            format!("{} {} {} {}", got.method(), got.target(), got.header("authorization"), got.body)
        };
        self.0.seen().into_iter().map(told).collect()
    }
}

fn answer(got: &Got) -> Told {
    match got.call().as_str() {
        "GET /token" => told(200, json!({"value": oidc()})),
        "POST /sts/exchange" => told(200, json!({"token": "ghs_secret", "permissions": {}})),
        "POST /sts/token" => told(
            403,
            json!({
                "error": "permission_denied", "request_id": "r1",
                "message": "the token's subject does not satisfy the policy",
            }),
        ),
        _ => told(204, ""),
    }
}

fn run(mut command: Command, input: &str) -> Ran {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        notes: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn the_jobs_token_is_printed_alone() {
    let world = World::new();
    let ran = run(world.in_a_job(&["token", "--audience", "a b"]), "");
    assert_eq!((ran.code, ran.out, ran.notes), (0, format!("{}\n", oidc()), String::new()));
    assert_eq!(world.requests(), ["GET /token?api-version=2.0&audience=a%20b Bearer runner-token "]);
}

#[test]
fn outside_of_a_job_it_says_what_is_missing() {
    let world = World::new();
    for arguments in
        [&["token", "--audience", "a"][..], &["exchange", "acme/app", "deploy"], &["session", "anthropic"]]
    {
        let ran = run(world.sts(arguments), "");
        assert_eq!((ran.code, ran.out.as_str()), (1, ""));
        assert!(ran.notes.contains("`permissions: id-token: write`"), "{}", ran.notes);
    }
    assert!(world.requests().is_empty());
}

#[test]
fn an_exchange_prints_the_token_alone() {
    let world = World::new();
    let arguments = [
        "exchange",
        "acme/app",
        "deploy",
        "--permissions",
        "contents:read,issues:read",
        "--repositories",
        "app",
    ];
    let ran = run(world.in_a_job(&arguments), "");
    assert_eq!((ran.code, ran.out.as_str(), ran.notes.as_str()), (0, "ghs_secret\n", ""));
    let requests = world.requests();
    let host = world.0.url.trim_start_matches("http://").replace(':', "%3A");
    assert_eq!(
        requests.first().unwrap(),
        &format!("GET /token?api-version=2.0&audience={host} Bearer runner-token ")
    );
    let (head, body) = requests.last().unwrap().split_once(" {").unwrap();
    assert_eq!(head, format!("POST /sts/exchange Bearer {}", oidc()));
    let body: serde_json::Value = serde_json::from_str(&format!("{{{body}")).unwrap();
    let permissions = json!({"contents": "read", "issues": "read"});
    assert_eq!(
        body,
        json!({"scope": "acme/app", "identity": "deploy", "permissions": permissions, "repositories": ["app"]})
    );
}

#[test]
fn a_token_may_be_given_and_not_on_the_command_line() {
    let world = World::new();
    let ran = run(world.sts(&["exchange", "acme/app", "deploy", "--token", "-"]), "given.oidc.token\n");
    assert_eq!((ran.code, ran.out.as_str()), (0, "ghs_secret\n"));
    assert!(world.requests().first().unwrap().contains(" Bearer given.oidc.token "));
    let ran = run(world.sts(&["exchange", "acme/app", "deploy", "--token", &oidc()]), "");
    assert!(ran.code == 2 && !ran.notes.contains("eyJ"), "{ran:?}");
}

#[test]
fn a_command_gets_the_token_and_it_is_revoked_whatever_comes_of_it() {
    let world = World::new();
    let revoked = |requests: Vec<String>| requests.last().unwrap() == "POST /sts/revoke Bearer ghs_secret ";
    for (script, code, out) in
        [("printf %s \"$GH_TOKEN\"", 0, "ghs_secret"), ("exit 7", 7, ""), ("kill -9 $$", 1, "")]
    {
        let ran = run(world.in_a_job(&["exchange", "acme/app", "deploy", "--exec", "sh", "-c", script]), "");
        assert_eq!((ran.code, ran.out.as_str()), (code, out), "{script}");
        assert!(revoked(world.requests()), "{script}");
    }
    let ran = run(world.in_a_job(&["exchange", "acme/app", "deploy", "--exec", "/no/such/command"]), "");
    assert!(ran.code == 1 && ran.notes.contains("`/no/such/command` cannot be run"), "{ran:?}");
    assert!(revoked(world.requests()));
}

#[test]
fn a_refusal_is_told_as_the_service_tells_it() {
    let world = World::new();
    let ran = run(world.in_a_job(&["session", "anthropic"]), "");
    let told = "error: the token's subject does not satisfy the policy (status 403, `permission_denied`), request r1\n";
    assert_eq!((ran.code, ran.out.as_str(), ran.notes.as_str()), (1, "", told));
    let audience = format!("{}/proxy/anthropic", world.0.url).replace(':', "%3A").replace('/', "%2F");
    assert!(
        world.requests().first().unwrap().contains(&format!("&audience={audience} ")),
        "meant for the upstream alone"
    );
}

#[test]
fn claims_are_told_without_the_token() {
    let world = World::new();
    let ran = run(world.in_a_job(&["claims", "--audience", "a"]), "");
    assert!(ran.code == 0 && ran.out.contains("\"sub\": \"repo:acme/app:ref:refs/heads/main\""), "{ran:?}");
    assert!(!ran.out.contains("eyJ") && ran.notes.contains("is not verified"));
    assert_eq!(run(world.sts(&["claims", "--token", "-"]), &oidc()).code, 0);
    let ran = run(world.sts(&["claims"]), "");
    assert!(ran.code == 2 && ran.notes.contains("--audience"), "{ran:?}");
    assert_eq!(run(world.sts(&["claims", "--token", "-"]), "no token").code, 1);
}

#[test]
fn a_token_is_revoked() {
    let world = World::new();
    let mut command = world.sts(&["revoke"]);
    command.env("GH_TOKEN", "ghs_mine");
    let ran = run(command, "");
    assert_eq!((ran.code, ran.out.as_str(), ran.notes.as_str()), (0, "", "the token is revoked\n"));
    assert_eq!(world.requests(), ["POST /sts/revoke Bearer ghs_mine "]);
    assert_eq!(run(world.sts(&["revoke"]), "").code, 2, "there is no token");
}

#[test]
fn the_service_must_be_named_and_be_reached_over_tls() {
    let world = World::new();
    let mut command = world.sts(&["revoke", "--token", "-"]);
    command.env_remove("STS_DOMAIN");
    let ran = run(command, "ghs_x");
    assert!(ran.code == 2 && ran.notes.contains("STS_DOMAIN"), "{ran:?}");
    let ran = run(world.sts(&["revoke", "--token", "-", "--domain", "http://sts.example.com"]), "ghs_x");
    assert!(ran.code == 2 && ran.notes.contains("host name"), "{ran:?}");
}

/// `script` gives the command a terminal, where there is one that does.
#[test]
fn a_terminal_is_shown_no_token() {
    let world = World::new();
    let on_a_terminal = |line: &str| {
        let command = format!("{} {line}", env!("CARGO_BIN_EXE_sts"));
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).env("STS_DOMAIN", &world.0.url);
        script
            .env("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/token?api-version=2.0", world.0.url))
            .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner-token")
            .output()
    };
    let Ok(refused) = on_a_terminal("token --audience a") else { return };
    let shown = String::from_utf8(refused.stdout).unwrap();
    assert!(
        shown.contains("--show") && !shown.contains("eyJ") && refused.status.code() == Some(2),
        "{shown}"
    );
    assert!(world.requests().is_empty(), "no token is even asked for");
    let shown = String::from_utf8(on_a_terminal("token --audience a --show").unwrap().stdout).unwrap();
    assert!(shown.contains(&oidc()), "{shown}");
}
