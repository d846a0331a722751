//! `sts upstream check` in use, with a stand-in for the service on loopback.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::{Value, json};

/// An answer of the proxy: its status, its `X-Octo-Sts-Error` if it is our own, and its message.
type Told = (u16, Option<&'static str>, &'static str);

const STRANGER: Told = (401, Some("invalid_token"), "there is no token");

/// A healthy service, except for its proxy's answers without and with a token.
fn service(stranger: Told, caller: Told) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let Some(first) = lines.next() else { continue };
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let is_token = |line: &String| line.eq_ignore_ascii_case("authorization: Bearer the-token");
            let has_token = head.iter().any(is_token);
            let path = first.split(' ').nth(1).unwrap().to_owned();
            let (status, error, body) = match path.as_str() {
                "/healthz" => (200, None, json!({ "status": "ok" })),
                "/readyz" => (200, None, json!({ "status": "ready", "missing": [], "malformed": [] })),
                "/proxy/example/v1/models" => {
                    let (status, error, message) = if has_token { caller } else { stranger };
                    (status, error, json!({ "message": message }))
                }
                _ => (404, None, json!({})),
            };
            let error = error.map(|error| format!("x-octo-sts-error: {error}\r\n")).unwrap_or_default();
            let body = body.to_string();
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{error}content-length: {length}\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
    });
    url
}

fn check(arguments: &[&str], token: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sts"));
    command.args(["upstream", "check"]).args(arguments).stdin(Stdio::null());
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "ACTIONS_ID_TOKEN_REQUEST_URL"] {
        command.env_remove(variable);
    }
    if let Some(token) = token {
        command.env("OIDC", token).args(["--token", "env:OIDC"]);
    }
    command.output().unwrap()
}

fn found(stranger: Told, caller: Told, token: Option<&str>) -> (Option<i32>, Vec<String>, Value) {
    let url = service(stranger, caller);
    let arguments = ["example", "--url", &url, "--path", "/v1/models", "--format", "json"];
    let output = check(&arguments, token);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let codes = said["findings"].as_array().unwrap().iter();
    let codes = codes.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect();
    (output.status.code(), codes, said)
}

#[test]
fn an_upstream_that_answers_is_well() {
    let (code, codes, said) = found(STRANGER, (200, None, "ok"), Some("the-token"));
    assert_eq!((code, codes), (Some(0), Vec::new()), "{said}");
    assert_eq!(
        said["well"],
        json!(["reachable", "clock", "ready", "metadata and keys", "proxy", "credential", "request"])
    );
}

#[test]
fn each_leg_that_fails_has_its_code() {
    let unavailable = |message| (503, Some("unavailable"), message);
    for (caller, code) in [
        ((401, Some("invalid_token"), "the token expired"), "token"),
        ((404, Some("not_found"), "no such path"), "upstream_absent"),
        ((500, Some("misconfigured"), "the service is not configured: `EXAMPLE_API_KEY`"), "setting"),
        ((403, Some("permission_denied"), "the token's subject does not satisfy"), "rules"),
        ((403, Some("budget_exhausted"), "all requests were made"), "budget"),
        ((429, Some("rate_limited"), "more than `2` requests"), "budget"),
        (unavailable("the upstream's credential is not available"), "credential"),
        (unavailable("the upstream `example` did not answer"), "upstream"),
        (unavailable("the record of budgets did not answer"), "budget_object"),
        (unavailable("the token's issuer did not answer"), "request"),
        ((401, None, "theirs"), "upstream_refuses"),
        ((502, None, "theirs"), "upstream_fails"),
    ] {
        let (status, codes, said) = found(STRANGER, caller, Some("the-token"));
        assert_eq!((status, codes), (Some(1), vec![code.to_owned()]), "{caller:?} {said}");
        assert!(!said.to_string().contains("the-token"), "{said}");
    }
    for (stranger, code) in [
        ((404, Some("not_found"), "no such path"), "proxy_absent"),
        ((500, Some("misconfigured"), "the service is not configured: `UPSTREAMS`"), "proxy_closed"),
        ((200, None, "somebody else"), "proxy"),
    ] {
        let (status, codes, said) = found(stranger, STRANGER, Some("the-token"));
        assert_eq!((status, codes), (Some(1), vec![code.to_owned()]), "{said}");
    }
    let (status, codes, _) = found(STRANGER, STRANGER, None);
    assert_eq!((status, codes), (Some(1), vec!["no_token".to_owned()]));
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    for arguments in [
        ["Example", "--url", "https://sts.example.com"],
        ["example", "--url", "sts.example.com"],
        ["example", "--path=v1", "--url=https://sts.example.com"],
    ] {
        assert_eq!(check(&arguments, None).status.code(), Some(2), "{arguments:?}");
    }
}
