//! Routes, methods, parameters and headers: what is refused before anything else happens.

use http::Method;
use serde_json::json;

use crate::support::World;

#[test]
fn routes_and_methods() {
    let world = World::new();
    for (method, path, status, allow) in [
        (Method::GET, "/", 200, None),
        (Method::GET, "/healthz", 200, None),
        (Method::GET, "/healthz/", 200, None),
        (Method::GET, "/readyz", 200, None),
        (Method::HEAD, "/", 200, None),
        (Method::HEAD, "/healthz", 200, None),
        (Method::HEAD, "/readyz", 200, None),
        (Method::POST, "/healthz", 405, Some("GET, HEAD")),
        (Method::OPTIONS, "/readyz", 405, Some("GET, HEAD")),
        (Method::HEAD, "/sts/exchange", 405, Some("GET, POST")),
        (Method::PUT, "/sts/exchange", 405, Some("GET, POST")),
        (Method::OPTIONS, "/sts/exchange/", 405, Some("GET, POST")),
        (Method::GET, "/sts/revoke", 405, Some("POST")),
        (Method::HEAD, "/sts/revoke", 405, Some("POST")),
        (Method::DELETE, "/sts/revoke/", 405, Some("POST")),
        (Method::GET, "/nowhere", 404, None),
        (Method::GET, "/healthz//", 404, None),
        (Method::GET, "//healthz", 404, None),
        (Method::GET, "/sts", 404, None),
        (Method::GET, "/sts/", 404, None),
        (Method::GET, "/STS/exchange", 404, None),
        (Method::GET, "/sts/exchange/x", 404, None),
    ] {
        let answer = world.call(method.clone(), path, &[], "");
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (status, allow), "{method} {path}");
        assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control").is_some(), path.starts_with("/sts/"), "{path}");
        assert_eq!(answer.text.is_empty(), method == Method::HEAD, "{method} {path}");
        if status >= 400 && method != Method::HEAD {
            assert_eq!(answer.body["code"], if status == 404 { 5 } else { 12 });
        }
    }
    assert_eq!(world.network.requests.borrow().len(), 0);
}

#[test]
fn the_small_routes_answer_what_the_protocol_says() {
    let world = World::new();
    let answer = world.call(Method::GET, "/healthz", &[], "");
    assert_eq!(answer.body, json!({ "status": "ok" }));
    let answer = world.call(Method::GET, "/readyz", &[], "");
    assert_eq!(answer.body, json!({ "status": "ready", "missing": [], "malformed": [] }));
    let answer = world.call(Method::GET, "/", &[], "");
    for member in ["name", "version", "documentation"] {
        assert!(answer.body[member].is_string(), "{}", answer.text);
    }
}

#[test]
fn the_request_forms_of_the_public_clients_work() {
    let world = World::new();
    let authorization = format!("Bearer {}", world.token());
    let headers = [("authorization", authorization.as_str())];
    for target in [
        "/sts/exchange?scope=acme/app&scopes=acme/app&identity=deploy",
        "/sts/exchange?scope=acme/app&identity=deploy",
        "/sts/exchange/?scopes=acme/app&identity=deploy",
    ] {
        world.call(Method::GET, target, &headers, "").granted();
        world.call(Method::POST, target, &headers, "").granted();
    }
    let json_headers = [headers[0], ("content-type", "application/json")];
    let body = r#"{"scopes":["acme/app"],"identity":"deploy"}"#;
    world.call(Method::POST, "/sts/exchange", &json_headers, body).granted();
}

#[test]
fn malformed_requests_are_refused_before_any_network_call() {
    let world = World::new();
    let good = "scope=acme/app&identity=deploy";
    let queries = [
        "",
        "scope=acme/app",
        "identity=deploy",
        "scope=&identity=deploy",
        "scope=acme/app&identity=",
        "scope=acme/app&scope=acme/app&identity=deploy",
        "scope=acme/app&identity=deploy&identity=deploy",
        "scopes=acme/app&scopes=acme/docs&identity=deploy",
        "scope=acme/app&scopes=acme/docs&identity=deploy",
        "scope=a/../b&identity=x",
        "scope=a/b/c&identity=x",
        "scope=/b&identity=x",
        "scope=a/&identity=x",
        "scope=%2e%2e/b&identity=x",
        "scope=a/%2e%2e&identity=x",
        "scope=a/%2e&identity=x",
        "scope=a%2fb%2fc&identity=x",
        "scope=a/b%3f&identity=x",
        "scope=a/b%23&identity=x",
        "scope=a%5cb&identity=x",
        "scope=a/b%00&identity=x",
        "scope=a/b%0a&identity=x",
        "scope=-a/b&identity=x",
        "scope=a-/b&identity=x",
        "scope=a/b.git&identity=x",
        "scope=a/b+c&identity=x",
        "scope=a/%C3%A9&identity=x",
        "scope=a/b;c&identity=x",
        "scope=https://a/b&identity=x",
        "scope=a/b&identity=.x",
        "scope=a/b&identity=..",
        "scope=a/b&identity=a..b",
        "scope=a/b&identity=a/b",
        "scope=a/b&identity=a%2fb",
        "scope=a/b&identity=x%00",
        "scope=a/b&identity=%F0%9F%94%91",
        "scope=a/b&identity=x%",
        "scope=%ff/b&identity=x",
        "SCOPE=a/b&identity=x",
        "scope[]=a/b&identity=x",
    ];
    for query in queries {
        let authorization = format!("Bearer {}", world.token());
        let target = format!("/sts/exchange?{query}");
        let answer = world.call(Method::GET, &target, &[("authorization", &authorization)], "");
        answer.is(400, "invalid_request");
        assert_eq!(answer.body["code"], 3);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let long = format!("scope=acme/{}&identity=x", "r".repeat(101));
    for query in [
        long,
        format!("scope={}&identity=x", "o".repeat(100)),
        format!("scope=a/b&identity={}", "i".repeat(101)),
    ] {
        world.call(Method::GET, &format!("/sts/exchange?{query}"), &[], "").is(400, "invalid_request");
    }
    let token = world.token();
    for (name, value) in [
        ("x-authorization", format!("Bearer {token}")),
        ("authorization", String::new()),
        ("authorization", "Bearer".to_owned()),
        ("authorization", "Bearer ".to_owned()),
        ("authorization", format!("Basic {token}")),
        ("authorization", format!("Token {token}")),
        ("authorization", token.clone()),
        ("authorization", format!("Bearer {token}, Bearer {token}")),
        ("authorization", format!("Bearer {token} x")),
        ("authorization", format!("Bearer {}", "x".repeat(16_385))),
        ("cookie", format!("token={token}")),
    ] {
        let answer = world.call(Method::GET, &format!("/sts/exchange?{good}"), &[(name, &value)], "");
        answer.is(401, "invalid_token");
        assert_eq!(answer.body["code"], 16);
        assert_eq!(answer.header("www-authenticate"), Some(r#"Bearer error="invalid_token""#));
    }
    let twice = format!("Bearer {token}");
    let headers = [("authorization", twice.as_str()), ("authorization", twice.as_str())];
    world.call(Method::GET, &format!("/sts/exchange?{good}"), &headers, "").is(401, "invalid_token");
    world
        .call(Method::GET, &format!("/sts/exchange?{good}&access_token={token}"), &[], "")
        .is(401, "invalid_token");
    assert_eq!(world.network.requests.borrow().len(), 0);
    assert_eq!(world.kv.reads.get(), 0);
    world.network.secrets.borrow_mut().push(token);
}

#[test]
fn bodies_are_capped_and_typed() {
    let world = World::new();
    let authorization = format!("Bearer {}", world.token());
    let post = |content_type: &str, body: &str| {
        let headers = [("authorization", authorization.as_str()), ("content-type", content_type)];
        world.call(Method::POST, "/sts/exchange", &headers, body)
    };
    let body = r#"{"scope":"acme/app","identity":"deploy"}"#;
    post("application/json", body).granted();
    post("text/plain", body).is(415, "unsupported_media_type");
    post("application/x-www-form-urlencoded", "scope=acme/app&identity=deploy")
        .is(415, "unsupported_media_type");
    post("application/json", &format!("{body}{}", " ".repeat(65_536))).is(413, "payload_too_large");
    for body in [
        "[]",
        "null",
        "{",
        "{}x",
        r#"{"scope":"acme/app","scope":"acme/app","identity":"deploy"}"#,
        r#"{"scope":["acme/app"],"identity":"deploy"}"#,
        r#"{"scopes":"acme/app","identity":"deploy"}"#,
        r#"{"scopes":["acme/app","acme/docs"],"identity":"deploy"}"#,
        r#"{"scope":"\ud800/app","identity":"deploy"}"#,
    ] {
        post("application/json", body).is(400, "invalid_request");
    }
}

#[test]
fn platforms_read_no_more_of_a_body_than_a_route_takes() {
    let limit = |method, path| octo_sts_worker::api::body_limit(&method, path, &http::HeaderMap::new());
    assert_eq!(limit(Method::POST, "/sts/exchange"), 65_536);
    assert_eq!(limit(Method::POST, "/sts/exchange/"), 65_536);
    for (method, path) in
        [(Method::GET, "/sts/exchange"), (Method::POST, "/sts/revoke"), (Method::POST, "/nowhere")]
    {
        assert_eq!(limit(method, path), 0, "{path}");
    }
}

#[test]
fn a_request_that_broke_off_is_refused_and_audited() {
    let world = World::new();
    let authorization = format!("Bearer {}", world.token());
    let target = "/sts/exchange?scope=acme/app&identity=deploy";
    let mut request = world.request(Method::POST, target, &[("authorization", &authorization)], "");
    request.extensions_mut().insert(octo_sts_worker::ports::Truncated);
    world.send(request).is(400, "invalid_request");
    assert_eq!(world.event()["outcome"], "invalid_request");

    let arrival = octo_sts_worker::api::Arrival {
        now: octo_sts_worker::time::Timestamp::from_unix_seconds(crate::support::START).unwrap(),
        request_id: "request-0".to_owned(),
    };
    let answer = octo_sts_worker::api::unreadable_request(&arrival);
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["cache-control"]),
        (400, &"no-store".parse().unwrap())
    );
}

/// One lower-case line without a period, except for text in backticks.
#[test]
fn messages_have_one_form() {
    let world = World::with_settings(&[("ORG_POLICY_REPO", "")]);
    let misconfigured = world.exchange();
    let world = World::new();
    let other_issuer = |issuer: &str| world.token_with(&json!({ "iss": issuer }));
    let mut answers = vec![
        misconfigured,
        world.call(Method::PUT, "/sts/exchange", &[], ""),
        world.call(Method::GET, "/nowhere", &[], ""),
        world.call(Method::POST, "/sts/exchange", &[("content-type", "application/json")], "{"),
        world.call(Method::POST, "/sts/exchange", &[("content-type", "text/plain")], "x"),
        world.call(
            Method::POST,
            "/sts/exchange",
            &[("content-type", "application/json")],
            &"x".repeat(65_537),
        ),
        world.call(Method::GET, "/sts/exchange?scope=a/b&identity=x", &[], ""),
        world.exchange_with("acme/app", "deploy", "a.b.c"),
        world.exchange_with("acme/app", "deploy", "e30.e30.e30"),
        world.exchange_with("acme/app", "deploy", &other_issuer("https://10.0.0.1")),
        world.exchange_with("acme/app", "deploy", &other_issuer("https://éxample.com")),
        world.exchange_with("acme/app", "deploy", &other_issuer("https://idp.example.com")),
        world.exchange_with("acme/app", "deploy", &world.token_with(&json!({ "aud": "Other" }))),
        world.exchange_with("acme/app", "deploy", &world.token_with(&json!({ "sub": null }))),
        world.exchange_for("acme/app", "missing"),
        world.exchange_for("other/app", "deploy"),
    ];
    world.network.fail("access_tokens", crate::support::fault::Fault::Garbage);
    answers.push(world.exchange());
    for answer in answers {
        let outside: String = answer.message().split('`').step_by(2).collect();
        assert!(!outside.is_empty() && !outside.contains('\n'), "{outside}");
        assert_eq!(outside, outside.to_lowercase());
        assert!(!outside.ends_with('.'), "{outside}");
    }
}
