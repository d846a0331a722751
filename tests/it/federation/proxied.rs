//! Credentials of every kind through the whole service: what the upstream gets and what the caller is told.

use octo_sts_worker::proxy::NoHead;
use serde_json::{Value, json};

use super::stage::claims_of_unverified;
use crate::support::proxy::{AUDIENCE, Answer, CANARY};
use crate::support::{World, keys};

const TOKEN: &str = "sk-ant-oat01-a-canary-of-the-provider";

fn anthropic(changes: &Value) -> Value {
    let mut members = json!({
        "federation_rule_id": "fdrl_1", "organization_id": "org", "service_account_id": "svac_1",
    });
    for (name, value) in changes.as_object().unwrap() {
        members[name] = value.clone();
    }
    json!({ "credential": { "anthropic": members } })
}

fn world(upstream: &Value) -> World {
    let key = keys::app_private_key_pem();
    let world = World::with_upstream_and(upstream, &[("ISSUER_PRIVATE_KEY", &key)]);
    grant(&world, TOKEN);
    world
}

fn grant(world: &World, token: &str) {
    let granted = json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}).to_string();
    world.network.hosts.borrow_mut().insert("api.anthropic.com", (200, granted));
    world.network.secrets.borrow_mut().push(token.to_owned());
}

#[test]
fn a_request_goes_on_with_what_our_assertion_was_traded_for() {
    let world = world(&anthropic(&json!({})));
    let token = world.proxy_token(&json!({}));
    let headers = [
        ("x-api-key", token.as_str()),
        ("anthropic-beta", "files-api-2025-04-14"),
        ("anthropic-workspace-id", "wrkspc_other"),
        ("anthropic_workspace_id", "wrkspc_other"),
        ("content-type", "application/json"),
    ];
    let answer = world.proxied_raw("POST", "/proxy/example/v1/messages", &headers, &Answer::Head(200, &[]));
    let arrived = answer.passed();
    assert_eq!(arrived.headers["authorization"], format!("Bearer {TOKEN}"));
    assert_eq!(arrived.headers["anthropic-beta"], "files-api-2025-04-14,oauth-2025-04-20");
    assert_eq!(arrived.headers["anthropic-version"], "2023-06-01");
    for name in ["x-api-key", "anthropic-workspace-id", "anthropic_workspace_id"] {
        assert!(!arrived.headers.contains_key(name), "{name}");
    }
    assert_eq!(arrived.collect, None);
    let exchange = world.network.requests.borrow().last().unwrap().clone();
    assert_eq!(exchange.to_string(), "POST api.anthropic.com/v1/oauth/token");
    let claims = claims_of_unverified(exchange.body["assertion"].as_str().unwrap());
    assert_eq!(
        (&claims["iss"], &claims["sub"]),
        (&json!("https://sts.example.com"), &json!("upstream:example"))
    );

    let own = [("anthropic-version", "2099-01-01"), ("anthropic-beta", "oauth-2025-04-20, b")];
    let answer = world.proxied_with("POST", "/proxy/example/v1/messages", &own);
    assert_eq!(answer.passed().headers["anthropic-version"], "2099-01-01");
    assert_eq!(answer.passed().headers["anthropic-beta"], "oauth-2025-04-20, b");
    assert_eq!(world.network.count("/v1/oauth/token"), 1);
}

#[test]
fn what_a_caller_hides_behind_connection_is_not_there() {
    let world = world(&anthropic(&json!({})));
    let hidden = [
        ("connection", "anthropic-beta, anthropic-version"),
        ("anthropic-beta", "a"),
        ("anthropic-version", "b"),
    ];
    let answer = world.proxied_with("GET", "/proxy/example/v1", &hidden);
    assert_eq!(answer.passed().headers["anthropic-beta"], "oauth-2025-04-20");
    assert_eq!(answer.passed().headers["anthropic-version"], "2023-06-01");
}

#[test]
fn an_upstream_that_refuses_the_credential_costs_one_exchange() {
    let world = world(&anthropic(&json!({})));
    let refused = || {
        let authorization = format!("Bearer {}", world.proxy_token(&json!({})));
        let headers = [("authorization", authorization.as_str())];
        let head = [("x-of", "upstream")];
        world.proxied_raw("GET", "/proxy/example/v1", &headers, &Answer::Head(401, &head))
    };
    let answer = refused();
    answer.passed();
    assert_eq!((answer.status, answer.header("x-of")), (401, Some("upstream")));
    refused().passed();
    assert_eq!(world.network.count("/v1/oauth/token"), 2);
    refused().passed();
    assert_eq!(world.network.count("/v1/oauth/token"), 2, "once in 30 s");
}

#[test]
fn a_provider_that_says_no_is_unavailable_and_its_code_is_in_the_log() {
    let world = world(&anthropic(&json!({})));
    let refusal = json!({"error": "invalid_grant", "error_description": CANARY}).to_string();
    world.network.hosts.borrow_mut().insert("api.anthropic.com", (400, refusal));
    let answer = world.proxied();
    answer.is(503, "unavailable");
    assert_eq!(answer.message(), "the upstream's credential is not available");
    assert!(answer.header("retry-after").is_some());
    let line =
        world.log.lines().into_iter().find(|line| line["message"] == "upstream credential not granted");
    let line = line.unwrap();
    assert_eq!((&line["upstream"], &line["code"]), (&json!("example"), &json!("invalid_grant")));
    assert_eq!(world.event()["outcome"], "unavailable");
    assert_eq!(world.event()["remaining"], 199, "a request that passed the budget is counted");
    // It is not remembered.
    grant(&world, TOKEN);
    world.proxied().passed();
}

#[test]
fn a_callers_own_token_needs_the_providers_audience_beside_ours() {
    let world = World::with_upstream(&anthropic(&json!({"identity": "caller-token"})));
    grant(&world, TOKEN);
    let answer = world.proxied();
    answer.is(401, "invalid_token");
    assert_eq!(answer.message(), "this upstream takes a token with the audience `https://api.anthropic.com`");
    assert_eq!(world.event()["remaining"], 199, "step 14");
    let both = json!({"aud": [AUDIENCE, "https://api.anthropic.com"]});
    let token = world.proxy_token(&both);
    let headers = [("authorization", format!("Bearer {token}"))];
    let headers = [(headers[0].0, headers[0].1.as_str())];
    world.proxied_raw("GET", "/proxy/example/v1", &headers, &Answer::Head(200, &[])).passed();
    let exchange = world.network.requests.borrow().last().unwrap().clone();
    assert_eq!(exchange.body["assertion"], token);
}

#[test]
fn a_malformed_key_closes_what_needs_it_and_nothing_else() {
    let closed = World::with_upstream_and(&anthropic(&json!({})), &[("ISSUER_PRIVATE_KEY", "x")]);
    let answer = closed.proxied();
    answer.is(500, "misconfigured");
    assert_eq!(answer.message(), "the service is not configured: `ISSUER_PRIVATE_KEY`");
    assert_eq!(closed.event()["subject"], "repo:acme/app:ref:refs/heads/main", "after step 8");
    World::with_upstream_and(&json!({}), &[("ISSUER_PRIVATE_KEY", "x")]).proxied().passed();

    let missing = World::with_upstream(&anthropic(&json!({})));
    let answer = missing.proxied();
    answer.is(500, "misconfigured");
    assert_eq!(answer.message(), "the service is not configured: `UPSTREAMS`");
    let problem = "example.credential.anthropic: it needs `ISSUER_PRIVATE_KEY`, which is not set";
    assert!(missing.log.lines().iter().any(|line| line["problem"] == problem));
}

fn aws() -> Value {
    json!({"credential": {"aws": {
        "role_arn": "arn:aws:iam::123456789012:role/sts", "region": "eu-central-1", "service": "bedrock",
    }}})
}

fn aws_world() -> World {
    let world = world(&aws());
    world.grant_aws();
    world
}

#[test]
fn a_body_that_is_signed_has_to_be_whole_and_has_a_cap() {
    let world = aws_world();
    let sent =
        [("x-amz-date", "20200101T000000Z"), ("x-amz-security-token", "x"), ("x-amz-content-sha256", "x")];
    let answer = world.proxied_with("POST", "/proxy/example/model/a/invoke", &sent);
    let arrived = answer.passed();
    assert_eq!(arrived.collect, Some(25_000_000));
    for (name, _) in sent {
        assert!(!arrived.headers.contains_key(name), "{name} is set when the body is whole");
    }
    assert!(!arrived.headers.contains_key("authorization"));

    let asked = world.budgets.asked.borrow().len();
    world
        .proxied_with("POST", "/proxy/example/a", &[("content-length", "25000001")])
        .is(413, "payload_too_large");
    // The runtime cannot create these requests with a body.
    for method in ["GET", "HEAD"] {
        let length = |length| [("content-length", length)];
        let answer = world.proxied_with(method, "/proxy/example/a", &length("5"));
        answer.is(400, "invalid_request");
        assert_eq!(answer.message(), format!("a body with `{method}` cannot be signed"));
    }
    assert_eq!(world.budgets.asked.borrow().len(), asked, "before step 13");
    world.proxied_with("GET", "/proxy/example/a", &[("content-length", "0")]).passed();
    world.proxied_with("POST", "/proxy/example/a", &[("content-length", "25000000")]).passed();
}

#[test]
fn what_becomes_of_a_body_that_is_not_there_in_time() {
    for (why, status, error, message) in [
        (
            NoHead::BodyTooLarge(25_000_000),
            413,
            "payload_too_large",
            "the body is larger than 25000000 bytes",
        ),
        (NoHead::BodyIncomplete, 400, "invalid_request", "the whole body did not arrive in time"),
        (NoHead::NoRoom, 503, "unavailable", "too many large bodies arrive at once"),
    ] {
        let world = aws_world();
        let authorization = format!("Bearer {}", world.proxy_token(&json!({})));
        let headers = [("authorization", authorization.as_str())];
        let answer = world.proxied_raw("POST", "/proxy/example/a", &headers, &Answer::None(why));
        answer.is(status, error);
        assert_eq!(answer.message(), message);
        let retry_after = (why == NoHead::NoRoom).then_some("1");
        assert_eq!(answer.header("retry-after"), retry_after);
        assert_eq!(world.event()["outcome"], error);
    }
}

#[test]
fn a_request_that_its_caller_signed_is_no_request_with_a_token() {
    let world = aws_world();
    let signed = "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261120/eu-central-1/bedrock/aws4_request, SignedHeaders=host, Signature=00";
    let headers = [("authorization", signed)];
    let answer = world.proxied_raw("POST", "/proxy/example/a", &headers, &Answer::Head(200, &[]));
    answer.is(401, "invalid_token");
    assert!(world.network.requests.borrow().is_empty());
}
