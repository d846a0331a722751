//! `sts upstream check` in use, with a stand-in for the service on loopback.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::process::{Command, Output, Stdio};

use octo_sts_doubles::loopback::{serve, told};
use serde_json::{Value, json};

/// An answer of the proxy: its status, its `X-Octo-Sts-Error` if it is our own, and its message.
type Said = (u16, Option<&'static str>, &'static str);

const STRANGER: Said = (401, Some("invalid_token"), "there is no token");

/// A healthy service, except for its proxy's answers without and with a token.
fn service(stranger: Said, caller: Said) -> String {
    let service = serve(move |got| match got.path() {
        "/healthz" => told(200, json!({ "status": "ok" })),
        "/readyz" => told(200, json!({ "status": "ready", "missing": [], "malformed": [] })),
        "/proxy/example/v1/models" => {
            let has_token = got.header("authorization") == "Bearer the-token";
            let (status, error, message) = if has_token { caller } else { stranger };
            let answer = told(status, json!({ "message": message }));
            match error {
                Some(error) => answer.header("x-octo-sts-error", error),
                None => answer,
            }
        }
        _ => told(404, "{}"),
    });
    service.url
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

fn found(stranger: Said, caller: Said, token: Option<&str>) -> (Option<i32>, Vec<String>, Value) {
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
        (unavailable("the upstream `credential-store` did not answer"), "upstream"),
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
