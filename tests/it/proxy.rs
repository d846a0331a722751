//! The proxy's order of checks, its budget and its event.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fault::Fault;
use crate::support::proxy::{AUDIENCE, Answer, CANARY, upstreams};
use crate::support::{GITHUB_ACTIONS, World, keys};
use octo_sts_worker::ports::BudgetError;
use octo_sts_worker::proxy::NoHead;

const OK: Answer<'static> = Answer::Head(200, &[]);

#[test]
fn a_request_goes_on_with_the_credential_in_place_of_the_token() {
    let world = World::with_upstream(&json!({}));
    let answer = world.proxied_with(
        "POST",
        "/proxy/example/v1/messages?beta=true",
        &[("content-type", "application/json")],
    );
    assert_eq!(answer.status, 200);
    let arrived = answer.passed();
    assert_eq!(arrived.url, "https://api.example.com/v1/messages?beta=true");
    assert_eq!(arrived.headers["authorization"], format!("Bearer {CANARY}"));
    assert_eq!(arrived.headers["content-type"], "application/json");
    assert_eq!(arrived.first_byte_timeout, 300);
    assert_eq!(answer.header("x-octo-sts-remaining"), Some("199"));
    assert_eq!(answer.header("x-octo-sts-request-id"), Some("request-1"));
    assert_eq!(answer.header("vary"), None);
    assert_eq!(world.budgets.asked.borrow().len(), 1, "one call to the budget");
    let event = world.event();
    let expected = json!({
        "event": "proxy", "time": "2026-11-20T17:00:00.000Z", "request_id": "request-1", "upstream": "example",
        "method": "POST", "path": "/v1/messages", "status": 200, "outcome": "forwarded", "issuer": GITHUB_ACTIONS,
        "subject": "repo:acme/app:ref:refs/heads/main", "session": false, "remaining": 199, "first_byte_ms": 0,
        "subrequests": 3,
    });
    assert_eq!(event, expected);
    // Warm: nothing but the upstream.
    world.proxied().passed();
    assert_eq!(world.event()["subrequests"], 1);
}

#[test]
fn without_upstreams_there_is_no_proxy_and_no_event() {
    for world in [
        World::new(),
        World::with_settings(&[("UPSTREAMS", "{}")]),
        World::with_settings(&[("UPSTREAMS", "")]),
    ] {
        for target in ["/proxy/example/v1", "/proxy/example", "/proxy/", "/proxy/%2e", "/proxy/A/b"] {
            world.proxied_with("POST", target, &[("transfer-encoding", "chunked")]).is(404, "not_found");
        }
        assert!(world.events().is_empty());
        let ready = world.call(http::Method::GET, "/readyz", &[], "");
        assert_eq!(ready.body, json!({"status": "ready", "missing": [], "malformed": []}));
    }
}

#[test]
fn step_1_the_shape_of_the_name_comes_first_then_the_settings_then_the_target() {
    let closed = World::with_settings(&[("UPSTREAMS", r#"{"example": {"url": 5}}"#)]);
    closed.proxied_with("GET", "/proxy/Example/v1", &[]).is(404, "not_found");
    assert!(closed.events().is_empty(), "no upstream could have the name");
    let refused = closed.proxied_with("GET", "/proxy/example/%2e", &[]);
    refused.is(500, "misconfigured");
    assert_eq!(refused.message(), "the service is not configured: `UPSTREAMS`");
    assert_eq!(closed.event()["outcome"], "misconfigured");
    assert_eq!(closed.call(http::Method::GET, "/readyz", &[], "").body["malformed"], json!(["UPSTREAMS"]));
    let told: Vec<Value> = closed.log.lines().into_iter().filter(|line| line["level"] == "error").collect();
    let problems: Vec<&str> = told.iter().filter_map(|line| line["problem"].as_str()).collect();
    assert_eq!(
        problems,
        [
            "example.url: it is not a text",
            "example.credential: it is missing",
            "example.allow: it is missing"
        ]
    );

    let world = World::with_upstream(&json!({}));
    for target in ["/%2e%2e/v1", "/a\\b", "/a#b", "/\u{7f}", "/ä", "/a{", "/?a\"", "/./a"] {
        let answer = world.proxied_raw("GET", &format!("/proxy/example{target}"), &[], &OK);
        answer.is(400, "invalid_request");
    }
    for method in ["GET", "HEAD"] {
        let chunked = [("transfer-encoding", "chunked")];
        world.proxied_raw(method, "/proxy/example/a", &chunked, &OK).is(400, "invalid_request");
    }
    world.proxied_with("POST", "/proxy/example/a", &[("transfer-encoding", "chunked")]).passed();
}

#[test]
fn the_budgets_binding_is_needed_where_there_are_upstreams() {
    let world = World::with_upstream(&json!({})).without("PROXY_BUDGETS");
    let refused = world.proxied();
    refused.is(500, "misconfigured");
    assert_eq!(refused.message(), "the service is not configured: `PROXY_BUDGETS`");
    assert_eq!(world.call(http::Method::GET, "/readyz", &[], "").body["missing"], json!(["PROXY_BUDGETS"]));
    let other = World::new().without("PROXY_BUDGETS");
    assert_eq!(other.call(http::Method::GET, "/readyz", &[], "").body["missing"], json!([]));
}

#[test]
fn step_2_one_credential_in_whichever_header() {
    let world = World::with_upstream(
        &json!({"credential": {"secret": {"name": "EXAMPLE_API_KEY", "header": "x-key"}}}),
    );
    let (token, other) = (world.proxy_token(&json!({})), world.proxy_token(&json!({"jti": "2"})));
    let (bearer, other_bearer) = (format!("Bearer {token}"), format!("Bearer {other}"));
    let ask = |headers: &[(&str, &str)]| world.proxied_raw("GET", "/proxy/example/a", headers, &OK);
    for headers in [
        &[("authorization", bearer.as_str())][..],
        &[("x-api-key", &token)],
        &[("x-key", &token)],
        &[("authorization", &bearer), ("x-api-key", &token), ("x-key", &token)],
    ] {
        let answer = ask(headers);
        let arrived = answer.passed();
        assert_eq!(arrived.headers.get("x-key").unwrap(), CANARY);
        for name in ["authorization", "x-api-key"] {
            assert_eq!(arrived.headers.get(name), None, "{name}");
        }
    }
    let basic = format!("Basic {token}");
    let both = format!("{token}, {token}");
    for headers in [
        &[][..],
        &[("cookie", token.as_str())],
        &[("authorization", &basic)],
        &[("authorization", &basic), ("x-api-key", &token)],
        &[("authorization", &bearer), ("x-api-key", &other)],
        &[("authorization", &bearer), ("authorization", &bearer)],
        &[("x-api-key", &token), ("x-api-key", &other)],
        &[("x-api-key", &both)],
        &[("x-api-key", "")],
        &[("authorization", &other_bearer), ("x-key", &token)],
    ] {
        let refused = ask(headers);
        refused.is(401, "invalid_token");
        assert_eq!(refused.header("www-authenticate"), Some(r#"Bearer error="invalid_token""#));
    }
    // The query is never read.
    world.proxied_raw("GET", &format!("/proxy/example/a?token={token}"), &[], &OK).is(401, "invalid_token");
}

#[test]
fn steps_3_to_7_are_those_of_the_exchange() {
    let world = World::with_upstream(&json!({}));
    let ask = |token: &str| {
        let bearer = format!("Bearer {token}");
        world.proxied_raw("GET", "/proxy/example/a", &[("authorization", &bearer)], &OK)
    };
    ask("a.b.c").is(401, "invalid_token");
    ask(&world.proxy_token(&json!({"iss": "https://127.0.0.1"}))).is(401, "invalid_token");
    ask(&world.proxy_token(&json!({"exp": world.now()}))).is(401, "invalid_token");
    ask(&world.proxy_token(&json!({"iat": world.now() + 61}))).is(401, "invalid_token");
    let good = world.proxy_token(&json!({}));
    let forged = format!("{}.AAAA", good.rsplit_once('.').unwrap().0);
    ask(&forged).is(401, "invalid_token");
    assert_eq!(world.event()["issuer"], GITHUB_ACTIONS);
    assert!(world.event().get("subject").is_none(), "nobody signed it");
    assert!(world.budgets.asked.borrow().is_empty());
    ask(&good).passed();
}

#[test]
fn a_token_of_this_service_is_a_session_and_without_a_key_there_is_none() {
    let world = World::with_upstream(&json!({}));
    let token = world.proxy_token(&json!({"iss": "https://sts.example.com"}));
    world.proxied_raw("GET", "/proxy/example/a", &[("x-api-key", &token)], &OK).is(401, "invalid_token");
    let event = world.event();
    assert_eq!(event["session"], true);
    assert_eq!(event["session_sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn a_rule_for_tokens_of_the_whole_service_is_a_warning_in_the_log() {
    let rule = json!({"issuer": GITHUB_ACTIONS, "subject": "repo:acme/app:ref:refs/heads/main", "audience": "sts.example.com"});
    let world = World::with_upstream(&json!({ "allow": [rule] }));
    for _ in 0..2 {
        let bearer = format!("Bearer {}", world.token());
        world.proxied_raw("GET", "/proxy/example/a", &[("authorization", &bearer)], &OK).passed();
    }
    let lines = world.log.lines();
    let told: Vec<&Value> =
        lines.iter().filter(|line| line["message"] == "upstreams have warnings").collect();
    assert_eq!(told.len(), 1, "once in an isolate: {lines:?}");
    assert!(told[0]["warning"].as_str().unwrap().starts_with("example.allow[0].audience: "));
}

#[test]
fn step_8_strangers_do_not_learn_which_upstreams_there_are() {
    let world = World::with_upstream_and(&json!({}), &[("EXAMPLE_API_KEY", "")]);
    for name in ["example", "other"] {
        let stranger = world.proxied_raw("GET", &format!("/proxy/{name}/a"), &[], &OK);
        stranger.is(401, "invalid_token");
    }
    world.proxied_with("GET", "/proxy/other/a", &[]).is(404, "not_found");
    assert_eq!(world.event()["upstream"], "other");
    let closed = world.proxied();
    closed.is(500, "misconfigured");
    assert_eq!(closed.message(), "the service is not configured: `EXAMPLE_API_KEY`");
    // Before the rules.
    let other = world.proxy_token(&json!({"sub": "repo:acme/other:ref:refs/heads/main"}));
    let closed = world.proxied_raw("GET", "/proxy/example/a", &[("x-api-key", &other)], &OK);
    closed.is(500, "misconfigured");
    assert!(world.budgets.asked.borrow().is_empty());
    let lines = world.log.lines();
    let told: Vec<&Value> = lines.iter().filter(|line| line["settings"] == "EXAMPLE_API_KEY").collect();
    assert_eq!(told.len(), 2, "{lines:?}");
    assert_eq!(told[0]["message"], "settings are missing or malformed");
}

#[test]
fn step_9_the_rule_that_came_furthest_speaks() {
    let world = World::with_upstream(&json!({"allow": [
        {"issuer": "https://other.example.com", "subject": "x"},
        {"issuer": GITHUB_ACTIONS, "subject_pattern": "repo:acme/.*", "claim_pattern": {"event_name": "push", "ref": "refs/heads/release"}},
    ]}));
    let refused = world.proxied();
    refused.is(403, "permission_denied");
    assert_eq!(
        refused.message(),
        "the token's claim `ref` with the value `refs/heads/main` does not satisfy the policy"
    );
    assert_eq!(world.event()["claims"], json!({"event_name": "push"}));
    let release = world.proxy_token(&json!({"ref": "refs/heads/release"}));
    world.proxied_raw("GET", "/proxy/example/a", &[("x-api-key", &release)], &OK).passed();
    assert_eq!(world.event()["claims"], json!({"event_name": "push", "ref": "refs/heads/release"}));
    // A token that an agent uses as its API key works nowhere else, and no other token works here.
    for audience in ["sts.example.com", "https://sts.example.com/proxy/other"] {
        let token = world.proxy_token(&json!({"aud": audience, "ref": "refs/heads/release"}));
        let refused = world.proxied_raw("GET", "/proxy/example/a", &[("x-api-key", &token)], &OK);
        refused.is(403, "permission_denied");
    }
    // One rule has to hold as a whole.
    let halves = World::with_upstream(&json!({"allow": [
        {"issuer": GITHUB_ACTIONS, "subject": "x"},
        {"issuer": "https://other.example.com", "subject": "repo:acme/app:ref:refs/heads/main"},
    ]}));
    halves.proxied().is(403, "permission_denied");
    let key = world.proxy_token(&json!({}));
    world.exchange_with("acme/app", "deploy", &key).is(403, "permission_denied");
}

#[test]
fn step_10_an_old_token_is_refused() {
    let world = World::with_upstream(&json!({"max_token_age_seconds": 60}));
    let ask = |iat: i64| {
        let token = world.proxy_token(&json!({ "iat": iat }));
        world.proxied_raw("GET", "/proxy/example/a", &[("x-api-key", &token)], &OK)
    };
    ask(world.now() - 60).passed();
    ask(world.now() + 60).passed();
    let refused = ask(world.now() - 61);
    refused.is(401, "invalid_token");
    assert_eq!(refused.message(), "the token is `61` seconds old, and may be `60`");
    assert_eq!(world.budgets.asked.borrow().len(), 2);
    // In whole seconds.
    world.advance_by(Duration::from_millis(999));
    ask(world.now() - 60).passed();
    ask(world.now() - 61).is(401, "invalid_token");
}

#[test]
fn step_11_the_method_then_the_path() {
    let world = World::with_upstream(
        &json!({"methods": ["GET", "POST", "TRACE"], "paths": ["/v1/(messages|models)"]}),
    );
    world.proxied_with("POST", "/proxy/example/v1/messages?x=1", &[]).passed();
    for (method, path) in [
        ("DELETE", "/v1/messages"),
        ("DELETE", "/v1%2fmessages"),
        ("TRACE", "/v1/messages"),
        ("get", "/v1/models"),
        ("GET", "/v1/models/"),
        ("GET", "/v1/files"),
        ("GET", ""),
        ("GET", "/v1/models;x"),
        ("GET", "/v1/%6dodels"),
    ] {
        let refused = world.proxied_with(method, &format!("/proxy/example{path}"), &[]);
        refused.is(403, "permission_denied");
    }
    for path in [
        "/v1%2Fmodels",
        "/v1/..;/models",
        "//v1/models",
        "/v1//models",
        "/v1/%252e",
        "/v1%5cmodels",
        "/v1/a%2e",
    ] {
        let refused = world.proxied_with("GET", &format!("/proxy/example{path}"), &[]);
        refused.is(400, "invalid_request");
    }
    let open = World::with_upstream(&json!({}));
    for method in ["CONNECT", "TRACE", "TRACK"] {
        open.proxied_with(method, "/proxy/example/a", &[]).is(403, "permission_denied");
    }
    for method in ["PROPFIND", "QUERY", "PURGE", "OPTIONS"] {
        open.proxied_with(method, "/proxy/example/a", &[]).passed();
    }
    let arrived = open.proxied_with("GET", "/proxy/example//a%2Fb?c='", &[]);
    assert_eq!(arrived.passed().url, "https://api.example.com//a%2Fb?c='");
    let prefixed = World::with_upstream(&json!({"url": "https://api.example.com/v1/"}));
    prefixed.proxied_with("GET", "/proxy/example/a%2F..%2Fb", &[]).is(400, "invalid_request");
    let arrived = prefixed.proxied_with("GET", "/proxy/example/a/?b", &[]);
    assert_eq!(arrived.passed().url, "https://api.example.com/v1/a/?b");
    assert_eq!(
        prefixed.proxied_with("GET", "/proxy/example", &[]).passed().url,
        "https://api.example.com/v1"
    );
}

#[test]
fn step_12_an_upgrade_is_authenticated_and_refused() {
    let world = World::with_upstream(&json!({}));
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    world.proxied_raw("GET", "/proxy/example/a", &upgrade, &OK).is(401, "invalid_token");
    let refused = world.proxied_with("GET", "/proxy/example/a", &upgrade);
    refused.is(501, "not_implemented");
    assert_eq!(refused.body["code"], 12);
    assert!(world.budgets.asked.borrow().is_empty(), "it costs nothing");
}

#[test]
fn step_13_a_budget_is_a_run_s_and_ends() {
    let world = World::with_upstream(&json!({"max_requests": 3}));
    for remaining in ["2", "1", "0"] {
        let answer = world.proxied();
        assert_eq!(answer.header("x-octo-sts-remaining"), Some(remaining));
    }
    let refused = world.proxied();
    refused.is(403, "budget_exhausted");
    assert_eq!(refused.body["code"], 7);
    assert_eq!(refused.message(), "all `3` requests to `example` were made");
    assert_eq!(world.event()["outcome"], "budget_exhausted");
    // Another attempt, another run, another repository, another upstream: another budget.
    for changes in [
        json!({"run_attempt": "2"}),
        json!({"run_id": "3"}),
        json!({"repository_id": "4"}),
        json!({"run_id": 2}),
    ] {
        let token = world.proxy_token(&changes);
        let answer = world.proxied_raw("GET", "/proxy/example/a", &[("x-api-key", &token)], &OK);
        assert_eq!(answer.header("x-octo-sts-remaining"), Some("2"), "{changes}");
    }
    world.proxied().is(403, "budget_exhausted");
    // It is deleted a day after its last ask.
    world.advance(24 * 3600 + 120);
    assert_eq!(world.budgets.stored(), 0);
    world.proxied().passed();
}

#[test]
fn a_budget_per_token_bounds_one_token() {
    let world = World::with_upstream(&json!({"max_requests": 1, "budget_per": "token"}));
    let token = world.proxy_token(&json!({}));
    let ask = |token: &str| world.proxied_raw("GET", "/proxy/example/a", &[("x-api-key", token)], &OK);
    ask(&token).passed();
    ask(&token).is(403, "budget_exhausted");
    ask(&crate::support::issuer::malleated(&token)).is(403, "budget_exhausted");
    ask(&world.proxy_token(&json!({"jti": "another"}))).passed();
    world.advance(300 + 61);
    assert_eq!(world.budgets.stored(), 0, "both tokens are over");
}

#[test]
fn exactly_as_many_pass_at_once_as_the_budget_has() {
    for (max, at_once) in [(1, 50), (20, 200)] {
        let world = World::with_upstream(&json!({"max_requests": max}));
        let answers = world.proxied_at_once(at_once);
        let passed = answers.iter().filter(|answer| answer.arrived.is_some()).count();
        assert_eq!(passed, max);
        assert!(answers.iter().filter(|answer| answer.arrived.is_none()).all(|answer| answer.status == 403));
    }
}

#[test]
fn a_second_has_a_limit_of_its_own() {
    let world = World::with_upstream(&json!({"requests_per_second": 2}));
    world.proxied().passed();
    world.proxied().passed();
    let refused = world.proxied();
    refused.is(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("1"));
    world.advance(1);
    assert_eq!(world.proxied().header("x-octo-sts-remaining"), Some("197"), "what is refused is not counted");
}

#[test]
fn without_a_verdict_nothing_goes_through() {
    let world = World::with_upstream(&json!({}));
    for fault in [
        Err(BudgetError("the object is down".to_owned())),
        Ok(String::new()),
        Ok("{}".to_owned()),
        Ok("noted".to_owned()),
        Ok("fine".to_owned()),
    ] {
        *world.budgets.fault.borrow_mut() = Some(fault);
        let refused = world.proxied();
        refused.is(503, "unavailable");
        assert_eq!(refused.message(), "the record of budgets did not answer");
        assert!(refused.header("retry-after").is_some() && refused.arrived.is_none());
    }
    for (verdict, status, error) in [("revoked", 401, "invalid_token"), ("over", 401, "invalid_token")] {
        *world.budgets.fault.borrow_mut() = Some(Ok(verdict.to_owned()));
        world.proxied().is(status, error);
    }
}

#[test]
fn a_request_that_passed_is_counted_whatever_follows() {
    let world = World::with_upstream(&json!({}));
    let bearer = format!("Bearer {}", world.proxy_token(&json!({})));
    let headers = [("authorization", bearer.as_str())];
    for (why, reason) in
        [(NoHead::Failed, "no_answer"), (NoHead::Late, "timed_out"), (NoHead::HungUp, "hung_up")]
    {
        let refused = world.proxied_raw("GET", "/proxy/example/a", &headers, &Answer::None(why));
        refused.is(503, "unavailable");
        assert_eq!(refused.message(), "the upstream `example` did not answer");
        assert_eq!(world.event()["outcome"], "unavailable");
        assert!(world.event().get("status").is_none());
        assert!(world.log.lines().iter().any(|line| line["reason"] == reason));
    }
    assert_eq!(world.proxied().header("x-octo-sts-remaining"), Some("196"));
}

#[test]
fn words_of_the_edge_and_interim_answers_are_no_answers() {
    let world = World::with_upstream(&json!({}));
    let bearer = format!("Bearer {}", world.proxy_token(&json!({})));
    let headers = [("authorization", bearer.as_str())];
    for status in [100, 101, 103, 199, 520, 523, 527, 530, 600, 999] {
        world
            .proxied_raw("GET", "/proxy/example/a", &headers, &Answer::Head(status, &[]))
            .is(503, "unavailable");
        assert_eq!(world.event()["status"], status);
        assert_eq!(world.event()["outcome"], "unavailable");
    }
    for status in [200, 204, 301, 400, 401, 429, 500, 503, 519, 528, 529, 599] {
        let answer = world.proxied_raw("GET", "/proxy/example/a", &headers, &Answer::Head(status, &[]));
        answer.passed();
        assert_eq!(answer.status, status);
        assert_eq!(world.event()["outcome"], "forwarded");
    }
}

#[test]
fn refusals_to_an_address_are_limited_and_exhausted_budgets_are_none() {
    let world = World::with_upstream(&json!({"max_requests": 1})).limited("RATE_LIMIT_FAILURES", 1);
    let from = [("cf-connecting-ip", "192.0.2.1")];
    world.proxied_raw("GET", "/proxy/example/a", &from, &OK).is(401, "invalid_token");
    world.proxied_raw("GET", "/proxy/example/a", &from, &OK).is(429, "rate_limited");
    assert_eq!(world.event()["outcome"], "rate_limited");
    world.proxied_with("GET", "/proxy/example/a", &from).passed();
    world.proxied_with("GET", "/proxy/example/a", &from).is(403, "budget_exhausted");
}

#[test]
fn the_time_to_the_first_byte_is_measured_from_sending() {
    let world = World::with_upstream(&json!({}));
    world.network.fail_times("openid-configuration", Fault::Late, 1);
    let bearer = format!("Bearer {}", world.proxy_token(&json!({})));
    let late = Answer::After(Duration::from_millis(1234), 200);
    world.proxied_raw("GET", "/proxy/example/a", &[("authorization", &bearer)], &late).passed();
    assert!(world.elapsed() > Duration::from_secs(5));
    assert_eq!(world.event()["first_byte_ms"], 1234);
    let short = World::with_upstream(&json!({"first_byte_timeout_seconds": 7}));
    assert_eq!(short.proxied().passed().first_byte_timeout, 7);
}

/// Discovery, keys and both legs of an exchange take longer than other routes may.
#[test]
fn the_time_limit_of_other_routes_does_not_hold() {
    let credential = json!({"google": {
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "service_account": "a@b.iam.gserviceaccount.com",
    }});
    let key = keys::app_private_key_pem();
    let world =
        World::with_upstream_and(&json!({ "credential": credential }), &[("ISSUER_PRIVATE_KEY", &key)]);
    for (host, answer) in [
        (
            "sts.googleapis.com",
            json!({"access_token": "canary-a", "token_type": "Bearer", "expires_in": 3600}),
        ),
        (
            "iamcredentials.googleapis.com",
            json!({"accessToken": "canary-b", "expireTime": "2026-11-20T18:00:00Z"}),
        ),
    ] {
        world.network.hosts.borrow_mut().insert(host, (200, answer.to_string()));
    }
    world.network.secrets.borrow_mut().push("canary-a".to_owned());
    world.network.fail_times("openid-configuration", Fault::RefusedLate, 1);
    world.network.fail("/", Fault::Late);
    world.proxied().passed();
    assert!(world.elapsed() > Duration::from_secs(25), "{:?}", world.elapsed());
}

#[test]
fn a_path_or_an_agent_of_any_length_is_cut_for_the_event() {
    let world = World::with_upstream(&json!({}));
    let (agent, path) = ("a".repeat(300), format!("/{}", "p".repeat(3000)));
    world.proxied_with("GET", &format!("/proxy/example{path}"), &[("user-agent", &agent)]).passed();
    assert_eq!(world.event()["user_agent"].as_str().unwrap().len(), 256);
    assert_eq!(world.event()["path"].as_str().unwrap().len(), 2048);
}

#[test]
fn a_refusal_of_a_head_request_is_told_as_any_other() {
    let world = World::with_upstream(&json!({}));
    world.proxied_raw("HEAD", "/proxy/example/a", &[], &OK).is(401, "invalid_token");
    world.proxied_with("HEAD", "/proxy/example/a/", &[]).passed();
}

#[test]
fn events_reach_the_ingress_with_a_type_of_their_own() {
    let world = World::with_upstream_and(&json!({}), &[("EVENT_INGRESS_URI", "https://events.example.com/")]);
    world.proxied().passed();
    let event = world.network.ingress.borrow().last().cloned().unwrap();
    assert_eq!(event["type"], "dev.octo-sts.proxy");
    assert_eq!(event["subject"], "example");
    assert_eq!(event["data"]["outcome"], "forwarded");
    assert_eq!(event["id"], "request-1");
    world.proxied_raw("GET", "/proxy/other/a", &[], &OK).is(401, "invalid_token");
    let event = world.network.ingress.borrow().last().cloned().unwrap();
    assert_eq!((&event["type"], &event["subject"]), (&json!("dev.octo-sts.proxy"), &json!("other")));
}

#[test]
fn a_malformed_part_closes_all_of_it() {
    let good = upstreams(&json!({}));
    let world =
        World::with_settings(&[("UPSTREAMS", &good), ("UPSTREAMS_2", "{"), ("EXAMPLE_API_KEY", CANARY)]);
    world.proxied().is(500, "misconfigured");
    let ready = world.call(http::Method::GET, "/readyz", &[], "");
    assert_eq!((ready.status.as_u16(), &ready.body["malformed"]), (200, &json!(["UPSTREAMS"])));
    world.exchange().granted();
    let world = World::with_settings(&[("UPSTREAMS_9", &good), ("EXAMPLE_API_KEY", CANARY)]);
    world.proxied().passed();
    assert!(AUDIENCE.ends_with("/proxy/example"));
}
