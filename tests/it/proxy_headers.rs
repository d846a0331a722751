//! What the proxy forwards of a message, in both directions; redirects; pages in a browser.

use octo_sts_worker::proxy::NoHead;
use serde_json::json;

use crate::support::World;
use crate::support::proxy::{Answer, CANARY};

#[test]
fn a_request_reaches_the_upstream_without_what_is_not_for_it() {
    let world = World::with_upstream(&json!({}));
    let answer = world.proxied_with(
        "POST",
        "/proxy/example/a",
        &[
            ("connection", "close, X-Secret, Authorization"),
            ("x-secret", "hop"),
            ("cookie", "a=b"),
            ("host", "sts.example.com"),
            ("expect", "100-continue"),
            ("x-forwarded-for", "192.0.2.1"),
            ("cf-connecting-ip", "192.0.2.1"),
            ("x-http-method-override", "DELETE"),
            ("x-octo-sts-remaining", "9"),
            ("proxy-authorization", "Basic eA=="),
            ("te", "trailers"),
            ("trailer", "x"),
            ("anthropic-version", "2023-06-01"),
            ("accept", "text/event-stream"),
            ("content-length", "5"),
            ("user-agent", "agent/1"),
        ],
    );
    let arrived = answer.passed();
    let mut names: Vec<&str> = arrived.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "anthropic-version", "authorization", "content-length", "user-agent"]);
    assert_eq!(arrived.headers.get_all("authorization").iter().count(), 1);
    assert_eq!(arrived.headers["authorization"], format!("Bearer {CANARY}"));
    assert_eq!(world.event()["user_agent"], "agent/1");
}

#[test]
fn an_answer_reaches_the_caller_without_what_is_not_for_it() {
    let world = World::with_upstream(&json!({}));
    let token = world.proxy_token(&json!({}));
    let answer = world.proxied_raw(
        "GET",
        "/proxy/example/a",
        &[("x-api-key", &token)],
        &Answer::Head(
            200,
            &[
                ("set-cookie", "a=b"),
                ("set-cookie", "c=d"),
                ("alt-svc", "h3"),
                ("strict-transport-security", "max-age=1"),
                ("access-control-allow-origin", "*"),
                ("x-octo-sts-error", "unavailable"),
                ("x-octo-sts-remaining", "1000000"),
                ("connection", "x-named"),
                ("x-named", "hop"),
                ("keep-alive", "timeout=5"),
                ("content-encoding", "gzip"),
                ("content-type", "text/event-stream"),
                ("request-id", "req_1"),
                ("vary", "Accept"),
                ("location", "https://elsewhere.example.com/"),
            ],
        ),
    );
    answer.passed();
    let mut names: Vec<&str> = answer.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "content-encoding",
            "content-type",
            "location",
            "request-id",
            "vary",
            "x-octo-sts-remaining",
            "x-octo-sts-request-id"
        ]
    );
    assert_eq!(answer.header("x-octo-sts-remaining"), Some("199"));
    assert_eq!(answer.header("vary"), Some("Accept"));
}

#[test]
fn a_redirect_leads_to_the_upstream_or_nowhere() {
    let world = World::with_upstream(&json!({"url": "https://api.example.com/v1"}));
    let any = World::with_upstream(&json!({"redirects": "any"}));
    let location = |world: &World, status, location: &str| {
        let token = world.proxy_token(&json!({}));
        let answer = world.proxied_raw(
            "GET",
            "/proxy/example/a/b",
            &[("x-api-key", &token)],
            &Answer::Head(status, &[("location", location)]),
        );
        answer.passed();
        answer.header("location").map(str::to_owned)
    };
    for status in [300, 301, 302, 303, 304, 307, 308, 399] {
        let within = location(&world, status, "https://api.example.com/v1/c?d");
        assert_eq!(within.as_deref(), Some("/proxy/example/c?d"));
        assert_eq!(location(&world, status, "c").as_deref(), Some("/proxy/example/a/c"));
        for elsewhere in
            ["https://evil.example.com/v1/c", "/v2/c", "../../../sts/exchange", "//evil.example.com"]
        {
            assert_eq!(location(&world, status, elsewhere), None, "{elsewhere}");
        }
        let elsewhere = "https://evil.example.com/c";
        assert_eq!(location(&any, status, elsewhere).as_deref(), Some(elsewhere));
    }
    for status in [201, 299, 400] {
        let elsewhere = "https://evil.example.com/c";
        assert_eq!(location(&world, status, elsewhere).as_deref(), Some(elsewhere), "no redirect");
    }
    let hosts: Vec<String> = world
        .log
        .lines()
        .iter()
        .filter(|line| line["message"] == "upstream redirects elsewhere")
        .filter_map(|line| line["host"].as_str().map(str::to_owned))
        .collect();
    assert!(hosts.iter().any(|host| host == "evil.example.com"));
}

const PAGE: &str = "https://app.example.com";

#[test]
fn a_page_gets_a_preflight_without_a_token_and_leaves_no_event() {
    let world = World::with_upstream(
        &json!({"cors": {"origin": PAGE, "headers": ["anthropic-version"]}, "methods": ["GET", "POST"]}),
    );
    let preflight = |origin: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        world.proxied_raw("OPTIONS", "/proxy/example/a", &headers, &Answer::Head(200, &[]))
    };
    let allowed = preflight(PAGE);
    assert_eq!((allowed.status, allowed.arrived.is_none()), (204, true));
    for (name, value) in [
        ("access-control-allow-origin", PAGE),
        ("access-control-allow-methods", "GET, POST"),
        ("access-control-allow-headers", "authorization, x-api-key, content-type, anthropic-version"),
        ("access-control-max-age", "600"),
        ("vary", "Origin"),
        ("cache-control", "no-store"),
        ("x-request-id", "request-1"),
    ] {
        assert_eq!(allowed.header(name), Some(value), "{name}");
    }
    assert_eq!(allowed.header("access-control-allow-credentials"), None);
    let other = preflight("https://evil.example.com");
    assert_eq!((other.status, other.header("vary")), (204, Some("Origin")));
    assert!(other.headers.keys().all(|name| !name.as_str().starts_with("access-control-")));
    assert!(world.events().is_empty());
    // The target comes first, as with any request.
    let headers = [("origin", PAGE), ("access-control-request-method", "POST")];
    let odd = world.proxied_raw("OPTIONS", "/proxy/example/%2e", &headers, &Answer::Head(200, &[]));
    odd.is(400, "invalid_request");
    // Only `OPTIONS` asks, and only with an origin.
    for (method, headers) in [("GET", &headers[..]), ("OPTIONS", &headers[1..])] {
        world
            .proxied_raw(method, "/proxy/example/a", headers, &Answer::Head(200, &[]))
            .is(401, "invalid_token");
    }
    // No preflight without its header, nor without `cors`.
    let plain = [("origin", PAGE)];
    world
        .proxied_raw("OPTIONS", "/proxy/example/a", &plain, &Answer::Head(200, &[]))
        .is(401, "invalid_token");
    let without = World::with_upstream(&json!({}));
    let headers = [("origin", PAGE), ("access-control-request-method", "POST")];
    let refused = without.proxied_raw("OPTIONS", "/proxy/example/a", &headers, &Answer::Head(200, &[]));
    refused.is(401, "invalid_token");
    assert_eq!(refused.header("vary"), None);
}

#[test]
fn a_page_can_read_the_upstream_s_answers_and_ours() {
    let world = World::with_upstream(&json!({"cors": {"origin": PAGE}}));
    let from = |origin: Option<&'static str>| {
        let mut headers: Vec<(&str, &str)> = Vec::new();
        headers.extend(origin.map(|origin| ("origin", origin)));
        let passed = world.proxied_with("GET", "/proxy/example/a", &headers);
        passed.passed();
        let refused = world.proxied_raw("GET", "/proxy/example/a", &headers, &Answer::Head(200, &[]));
        refused.is(401, "invalid_token");
        let token = world.proxy_token(&json!({}));
        headers.push(("x-api-key", token.as_str()));
        let unreached = world.proxied_raw("GET", "/proxy/example/a", &headers, &Answer::None(NoHead::Failed));
        unreached.is(503, "unavailable");
        [passed, refused, unreached]
    };
    for answer in from(Some(PAGE)) {
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
        assert!(answer.header("access-control-expose-headers").unwrap().contains("X-Octo-Sts-Remaining"));
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
    let token = world.proxy_token(&json!({}));
    let varied = Answer::Head(200, &[("vary", "Accept"), ("access-control-allow-credentials", "true")]);
    let headers = [("x-api-key", token.as_str()), ("origin", PAGE)];
    let answer = world.proxied_raw("GET", "/proxy/example/a", &headers, &varied);
    let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["Accept", "Origin"], "the upstream's own holds too");
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    for origin in [None, Some("https://evil.example.com"), Some("null")] {
        for answer in from(origin) {
            assert_eq!(answer.header("vary"), Some("Origin"));
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
}
