//! The calls to GitHub and to the service: what is sent, how answers are parsed, and what is retried.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use octo_sts::client::{ClientError, Exchange, Sts};
use octo_sts::{FetchError, Inbound, NativeTransport, Secret, actions};
use octo_sts_doubles::loopback::{serve, told};
use octo_sts_doubles::script::Script;
use octo_sts_doubles::sent::{inbound, inbound_with};
use serde_json::json;

fn sts(script: &Script) -> Sts {
    Sts::with_transport("sts.example.com", Arc::new(script.clone())).unwrap()
}

fn oidc() -> Secret {
    Secret::new("the.oidc.token".to_owned())
}

fn granted() -> Inbound {
    let body = json!({
        "token": "ghs_secret", "expires_at": "2026-11-20T18:00:00Z", "permissions": {"contents": "read"},
        "repositories": ["app"], "request_id": "r1",
    });
    inbound(200, body.to_string())
}

#[test]
fn an_exchange_sends_what_was_asked_and_reads_what_was_granted() {
    let script = Script::of(vec![Ok(granted())]);
    let exchange = Exchange::new("acme/app", "deploy").permission("contents", "read").repository("app");
    let token = sts(&script).exchange_blocking(&exchange, &oidc()).unwrap();
    assert_eq!(token.token.expose(), "ghs_secret");
    assert_eq!(token.permissions["contents"], "read");
    assert_eq!(
        (token.repositories.as_deref(), token.request_id.as_str()),
        (Some(&["app".to_owned()][..]), "r1")
    );
    let sent = script.sent().remove(0);
    assert_eq!(
        (sent.method.as_str(), sent.uri.to_string().as_str()),
        ("POST", "https://sts.example.com/sts/exchange")
    );
    assert_eq!(sent.header("authorization"), "Bearer the.oidc.token");
    assert_eq!(
        sent.body,
        json!({"scope": "acme/app", "identity": "deploy", "permissions": {"contents": "read"}, "repositories": ["app"]})
    );
    assert!(!format!("{token:?}").contains("ghs_"), "a token is not printed");
}

#[test]
fn a_session_is_asked_for_at_the_token_endpoint() {
    let answer = json!({"access_token": "eyJ.session.token", "expires_in": 3600, "token_type": "Bearer"});
    let script = Script::of(vec![Ok(inbound(200, answer.to_string()))]);
    let session = sts(&script).session_blocking("anthropic", &oidc()).unwrap();
    assert_eq!((session.token.expose(), session.expires_in.as_secs()), ("eyJ.session.token", 3600));
    let sent = script.sent().remove(0);
    assert_eq!(
        (sent.uri.to_string().as_str(), sent.header("authorization")),
        ("https://sts.example.com/sts/token", "")
    );
    assert_eq!(
        sent.text(),
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=the.oidc.token&\
         subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aid_token&\
         resource=https%3A%2F%2Fsts.example.com%2Fproxy%2Fanthropic"
    );
}

#[test]
fn only_429_and_5xx_are_tried_again_and_three_times_at_most() {
    let answer = |status: u16| {
        Ok(inbound_with(status, &[("retry-after", "0")], r#"{"error":"e","message":"m","request_id":"r"}"#))
    };
    let run = |answers: Vec<Result<Inbound, FetchError>>| {
        let script = Script::of(answers);
        let outcome = sts(&script).exchange_blocking(&Exchange::new("acme/app", "deploy"), &oidc());
        (outcome.map(|_| ()), script.sent().len())
    };
    for status in [429, 500, 502, 503] {
        assert_eq!(run(vec![answer(status), answer(status), Ok(granted())]), (Ok(()), 3), "{status}");
        let (outcome, sent) = run(vec![answer(status), answer(status), answer(status)]);
        assert!(matches!(outcome, Err(ClientError::Refused { status: told, .. }) if told == status));
        assert_eq!(sent, 3);
    }
    for status in [400, 401, 403, 404, 413, 501, 302] {
        let (outcome, sent) = run(vec![answer(status)]);
        assert_eq!(sent, 1, "{status}");
        assert_eq!(outcome.unwrap_err().to_string(), format!("m (status {status}, `e`), request r"));
    }
    assert_eq!(run(vec![Err(FetchError::Network)]), (Err(ClientError::NoAnswer), 1), "it may have arrived");
    let late = Ok(inbound_with(429, &[("retry-after", "3600")], ""));
    let (outcome, sent) = run(vec![late]);
    assert!(
        matches!(outcome, Err(ClientError::Refused { retry_after: Some(_), .. })) && sent == 1,
        "nobody waits an hour"
    );
}

#[test]
fn an_answer_without_a_token_is_no_token() {
    for body in
        ["", "[]", "{}", r#"{"token": 1}"#, r#"{"token": ""}"#, r#"{"token": "a b"}"#, r#"{"token": "a\nb"}"#]
    {
        let script = Script::of(vec![Ok(inbound(200, body))]);
        let outcome = sts(&script).exchange_blocking(&Exchange::new("acme/app", "deploy"), &oidc());
        assert_eq!(outcome.unwrap_err(), ClientError::Unreadable, "{body}");
    }
}

#[test]
fn a_token_that_cannot_stand_in_a_header_is_not_sent() {
    let script = Script::of(vec![]);
    let outcome = sts(&script).revoke_blocking(&Secret::new("a\r\nb".to_owned()));
    assert!(matches!(outcome, Err(ClientError::Input(_))) && script.sent().is_empty());
}

#[test]
fn the_jobs_token_is_asked_for_as_the_runner_says() {
    let runner = serve(|_| told(200, json!({"count": 4, "value": "the.oidc.token"})));
    let request_url = format!("{}/token?api-version=2.0", runner.url);
    let environment = |name: &str| match name {
        "ACTIONS_ID_TOKEN_REQUEST_URL" => Some(request_url.clone()),
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN" => Some("runner-token".to_owned()),
        _ => None,
    };
    let ask =
        |audience: &str| actions::id_token_from(audience, &environment, Arc::new(NativeTransport::default()));
    assert_eq!(ask("https://a.example.com/x y").unwrap().expose(), "the.oidc.token");
    let got = runner.seen().remove(0);
    assert_eq!(got.line, "GET /token?api-version=2.0&audience=https%3A%2F%2Fa.example.com%2Fx%20y HTTP/1.1");
    assert_eq!(got.header("authorization"), "Bearer runner-token");
    assert!(matches!(ask(""), Err(ClientError::Input(_))));
}

#[test]
fn outside_of_a_job_the_error_says_what_is_missing() {
    let ask = |environment: &dyn Fn(&str) -> Option<String>| {
        actions::id_token_from("a", environment, Arc::new(NativeTransport::default())).unwrap_err()
    };
    let nothing = ask(&|_| None);
    assert_eq!(nothing, ClientError::NotInAJob("ACTIONS_ID_TOKEN_REQUEST_URL"));
    assert!(nothing.to_string().contains("`permissions: id-token: write`"), "{nothing}");
    let half = ask(&|name| name.ends_with("_URL").then(|| "https://a.example.com".to_owned()));
    assert_eq!(half, ClientError::NotInAJob("ACTIONS_ID_TOKEN_REQUEST_TOKEN"));
    let elsewhere =
        ask(&|name| Some(if name.ends_with("_URL") { "http://a.example.com" } else { "t" }.to_owned()));
    assert!(matches!(elsewhere, ClientError::Input(_)), "a token does not travel in the clear");
}

#[tokio::test]
async fn the_calls_are_futures_too() {
    let service = serve(|got| match got.path() {
        "/sts/revoke" => told(204, ""),
        _ => told(200, json!({"token": "ghs_secret", "access_token": "eyJ.a.b"})),
    });
    let sts = Sts::new(&service.url).unwrap();
    let token = sts.exchange(&Exchange::new("acme", "deploy"), &oidc()).await.unwrap();
    sts.session("anthropic", &oidc()).await.unwrap();
    sts.revoke(&token.token).await.unwrap();
    let seen = service.seen();
    let lines: Vec<&str> = seen.iter().map(|got| got.line.as_str()).collect();
    assert_eq!(
        lines,
        ["POST /sts/exchange HTTP/1.1", "POST /sts/token HTTP/1.1", "POST /sts/revoke HTTP/1.1"]
    );
    let revoke = seen.last().unwrap();
    assert_eq!((revoke.header("authorization"), revoke.header("content-length")), ("Bearer ghs_secret", "0"));
}
