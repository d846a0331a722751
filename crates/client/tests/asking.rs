//! The calls to GitHub and to the service: what is sent, how answers are parsed, and what is retried.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::{Arc, Mutex};

use octo_sts::client::{ClientError, Exchange, Sts};
use octo_sts::{FetchError, Inbound, NativeTransport, Outbound, Secret, Transport, actions};
use serde_json::{Value, json};
use support::{inbound, server};

/// What was sent: method, address, `Authorization`, body.
type Sent = (String, String, String, String);

/// Gives its answers in order, and records the requests.
#[derive(Default, Clone)]
struct Script {
    answers: Arc<Mutex<Vec<Result<Inbound, FetchError>>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Script {
    fn of(answers: Vec<Result<Inbound, FetchError>>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers)), sent: Arc::default() }
    }

    fn sts(&self) -> Sts {
        Sts::with_transport("sts.example.com", Arc::new(self.clone())).unwrap()
    }

    fn sent(&self) -> usize {
        self.sent.lock().unwrap().len()
    }
}

impl Transport for Script {
    fn send(&self, outbound: Outbound) -> Result<Inbound, FetchError> {
        let (parts, body) = outbound.request.into_parts();
        let authorization =
            parts.headers.get("authorization").map_or("", |value| value.to_str().unwrap()).to_owned();
        let body = String::from_utf8(body.to_vec()).unwrap();
        self.sent.lock().unwrap().push((
            parts.method.to_string(),
            parts.uri.to_string(),
            authorization,
            body,
        ));
        self.answers.lock().unwrap().remove(0)
    }
}

fn oidc() -> Secret {
    Secret::new("the.oidc.token".to_owned())
}

fn granted() -> Inbound {
    let body = json!({
        "token": "ghs_secret", "expires_at": "2026-11-20T18:00:00Z", "permissions": {"contents": "read"},
        "repositories": ["app"], "request_id": "r1",
    });
    inbound(200, &[], &body.to_string())
}

#[test]
fn an_exchange_sends_what_was_asked_and_reads_what_was_granted() {
    let script = Script::of(vec![Ok(granted())]);
    let exchange = Exchange::new("acme/app", "deploy").permission("contents", "read").repository("app");
    let token = script.sts().exchange_blocking(&exchange, &oidc()).unwrap();
    assert_eq!(token.token.expose(), "ghs_secret");
    assert_eq!(token.permissions["contents"], "read");
    assert_eq!(
        (token.repositories.as_deref(), token.request_id.as_str()),
        (Some(&["app".to_owned()][..]), "r1")
    );
    let (method, url, authorization, body) = script.sent.lock().unwrap().remove(0);
    assert_eq!((method.as_str(), url.as_str()), ("POST", "https://sts.example.com/sts/exchange"));
    assert_eq!(authorization, "Bearer the.oidc.token");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body,
        json!({"scope": "acme/app", "identity": "deploy", "permissions": {"contents": "read"}, "repositories": ["app"]})
    );
    assert!(!format!("{token:?}").contains("ghs_"), "a token is not printed");
}

#[test]
fn a_session_is_asked_for_at_the_token_endpoint() {
    let answer = json!({"access_token": "eyJ.session.token", "expires_in": 3600, "token_type": "Bearer"});
    let script = Script::of(vec![Ok(inbound(200, &[], &answer.to_string()))]);
    let session = script.sts().session_blocking("anthropic", &oidc()).unwrap();
    assert_eq!((session.token.expose(), session.expires_in.as_secs()), ("eyJ.session.token", 3600));
    let (_, url, authorization, body) = script.sent.lock().unwrap().remove(0);
    assert_eq!((url.as_str(), authorization.as_str()), ("https://sts.example.com/sts/token", ""));
    assert_eq!(
        body,
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=the.oidc.token&\
         subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aid_token&\
         resource=https%3A%2F%2Fsts.example.com%2Fproxy%2Fanthropic"
    );
}

#[test]
fn only_429_and_5xx_are_tried_again_and_three_times_at_most() {
    let answer = |status: u16| {
        Ok(inbound(status, &[("retry-after", "0")], r#"{"error":"e","message":"m","request_id":"r"}"#))
    };
    let run = |answers: Vec<Result<Inbound, FetchError>>| {
        let script = Script::of(answers);
        let outcome = script.sts().exchange_blocking(&Exchange::new("acme/app", "deploy"), &oidc());
        (outcome.map(|_| ()), script.sent())
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
    let late = Ok(inbound(429, &[("retry-after", "3600")], ""));
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
        let script = Script::of(vec![Ok(inbound(200, &[], body))]);
        let outcome = script.sts().exchange_blocking(&Exchange::new("acme/app", "deploy"), &oidc());
        assert_eq!(outcome.unwrap_err(), ClientError::Unreadable, "{body}");
    }
}

#[test]
fn a_token_that_cannot_stand_in_a_header_is_not_sent() {
    let script = Script::of(vec![]);
    let outcome = script.sts().revoke_blocking(&Secret::new("a\r\nb".to_owned()));
    assert!(matches!(outcome, Err(ClientError::Input(_))) && script.sent() == 0);
}

#[test]
fn the_jobs_token_is_asked_for_as_the_runner_says() {
    let (url, seen) =
        server(|_| ("200 OK".to_owned(), json!({"count": 4, "value": "the.oidc.token"}).to_string()));
    let request_url = format!("{url}/token?api-version=2.0");
    let environment = |name: &str| match name {
        "ACTIONS_ID_TOKEN_REQUEST_URL" => Some(request_url.clone()),
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN" => Some("runner-token".to_owned()),
        _ => None,
    };
    let ask =
        |audience: &str| actions::id_token_from(audience, &environment, Arc::new(NativeTransport::default()));
    assert_eq!(ask("https://a.example.com/x y").unwrap().expose(), "the.oidc.token");
    let got = seen.lock().unwrap().remove(0);
    assert_eq!(got.line, "GET /token?api-version=2.0&audience=https%3A%2F%2Fa.example.com%2Fx%20y HTTP/1.1");
    assert!(got.head.to_ascii_lowercase().contains("authorization: bearer runner-token"));
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
    let (url, seen) = server(|got| {
        if got.line.contains("/sts/revoke") {
            ("204 No Content".to_owned(), String::new())
        } else {
            ("200 OK".to_owned(), json!({"token": "ghs_secret", "access_token": "eyJ.a.b"}).to_string())
        }
    });
    let sts = Sts::new(&url).unwrap();
    let token = sts.exchange(&Exchange::new("acme", "deploy"), &oidc()).await.unwrap();
    sts.session("anthropic", &oidc()).await.unwrap();
    sts.revoke(&token.token).await.unwrap();
    let lines: Vec<String> = seen.lock().unwrap().iter().map(|got| got.line.clone()).collect();
    assert_eq!(
        lines,
        ["POST /sts/exchange HTTP/1.1", "POST /sts/token HTTP/1.1", "POST /sts/revoke HTTP/1.1"]
    );
    let revoke = seen.lock().unwrap()[2].head.to_ascii_lowercase();
    assert!(
        revoke.contains("authorization: bearer ghs_secret") && revoke.contains("content-length: 0"),
        "{revoke}"
    );
}
