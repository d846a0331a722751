//! The examples, run as a newcomer runs them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use octo_sts::{NativeTransport, Outbound, Transport as _};
use octo_sts_doubles::loopback::{serve, told};
use serde_json::json;
use support::{Key, claims, real_now};

/// Cargo builds the examples beside the tests.
fn example(name: &str) -> Command {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    let mut command = Command::new(path.join("examples").join(name));
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(variable);
    }
    command
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn the_axum_server_lets_in_whom_it_should() {
    let key = Key::generate("a");
    let issuer = key.issuer().url;
    let mut command = example("axum_server");
    let command = command.env("ISSUER", &issuer).env("LISTEN", "127.0.0.1:0").stdout(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let mut address = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let url = format!("{}/deploy", address.trim());
    let transport = NativeTransport::default();
    let ask = |token: &str| {
        let request = http::Request::builder()
            .method("POST")
            .uri(&url)
            .header("authorization", format!("Bearer {token}"));
        let request = request.body(Bytes::from_static(b"{}")).unwrap();
        let outbound = Outbound { request, timeout: Duration::from_secs(20), max_body: 10_000 };
        let inbound = transport.send(outbound).unwrap();
        (inbound.status.as_u16(), String::from_utf8(inbound.body.unwrap().to_vec()).unwrap())
    };
    let good = claims(&issuer, real_now());
    let (status, body) = ask(&key.sign(&good));
    assert_eq!(
        (status, body.as_str()),
        (200, "deploying for repo:acme/app:ref:refs/heads/main, run 30433642\n")
    );
    let mut other = good.clone();
    other["event_name"] = "pull_request".into();
    let (status, body) = ask(&key.sign(&other));
    assert!(status == 403 && body.contains("`event_name`"), "{status} {body}");
    let (status, body) = ask(&Key::generate("a").sign(&good));
    assert_eq!((status, body.as_str()), (401, r#"{"detail":"the token is not accepted"}"#));
}

#[test]
fn the_script_gets_a_token_and_ends_it() {
    let stand_in = serve(|got| match got.call().as_str() {
        "GET /token" => told(200, json!({"value": "the.oidc.token"})),
        "POST /sts/exchange" => told(
            200,
            json!({"token": "ghs_x", "expires_at": "2026-11-20T18:00:00Z", "permissions": {"contents": "read"}}),
        ),
        _ => told(204, ""),
    });
    let url = &stand_in.url;
    let output = example("ci_script")
        .env("DOMAIN", url)
        .env("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{url}/token?api-version=2.0"))
        .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner-token")
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(out, "may {\"contents\": \"read\"} until 2026-11-20T18:00:00Z\n");
    let lines: Vec<String> = stand_in.seen().into_iter().map(|got| got.line).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.last().is_some_and(|line| line.starts_with("POST /sts/revoke")), "{lines:?}");
    assert!(!out.contains("ghs_"));
}
