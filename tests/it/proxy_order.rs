//! The proxy's order of checks: of two steps that fail in one request, the earlier one answers, and no later one has done
//! any work.

use octo_sts_worker::ports::BudgetError;
use serde_json::{Value, json};

use crate::support::proxy::{Answer, Proxied};
use crate::support::{World, keys};

/// What can fail, in the order of the checks, and what the caller is told: status, error, part of the message.
const STEPS: [(&str, u16, &str, &str); 24] = [
    ("1, the name", 404, "not_found", "no such path"),
    ("1, closed", 500, "misconfigured", "`UPSTREAMS`"),
    ("1, the target", 400, "invalid_request", "the target has a character in its path"),
    ("1, chunked", 400, "invalid_request", "a chunked body with `GET`"),
    ("2, two credentials", 401, "invalid_token", "several different credentials"),
    ("3, the shape", 401, "invalid_token", "three parts"),
    ("4, the issuer", 401, "invalid_token", "issuer"),
    ("5, expired", 401, "invalid_token", "expired"),
    ("6, no keys", 503, "unavailable", "issuer"),
    ("7, forged", 401, "invalid_token", "signature"),
    ("8, unknown", 404, "not_found", "no such path"),
    ("8, the key", 500, "misconfigured", "`ISSUER_PRIVATE_KEY`"),
    ("9, the rules", 403, "permission_denied", "the token's subject"),
    ("10, the age", 401, "invalid_token", "seconds old"),
    ("11, the method", 403, "permission_denied", "the method"),
    ("11, ambiguous", 400, "invalid_request", "the path has an encoded"),
    ("11, the path", 403, "permission_denied", "the path is not allowed"),
    ("12, upgrade", 501, "not_implemented", "upgrades"),
    ("12, too large", 413, "payload_too_large", "25000000"),
    ("13, revoked", 401, "invalid_token", "revoked"),
    ("13, exhausted", 403, "budget_exhausted", "all `1` requests"),
    ("13, too fast", 429, "rate_limited", "more than `1` requests"),
    ("13, no verdict", 503, "unavailable", "the record of budgets"),
    ("14, no credential", 503, "unavailable", "the upstream's credential"),
];

/// These set the whole answer of the object, so the others of step 13 are not asked.
fn share_a_verdict(first: &str, second: &str) -> bool {
    first.starts_with("13") && second == "13, no verdict"
}

fn number(step: &str) -> u32 {
    step.split(',').next().unwrap().parse().unwrap()
}

/// A request in which these fail, and nothing else does.
fn failing(steps: &[&str]) -> (World, Proxied) {
    let has = |step: &str| steps.contains(&step);
    let pick = |step: &str, failing: Value, good: Value| if has(step) { failing } else { good };
    let upstream = json!({
        "credential": {"aws": {"role_arn": "arn:aws:iam::123456789012:role/sts", "region": "eu-central-1", "service": "bedrock"}},
        "methods": pick("11, the method", json!(["POST"]), json!(["GET", "POST"])),
        "paths": ["/v1(/a%2fb)?"],
        "max_token_age_seconds": 60,
        "max_requests": pick("13, exhausted", json!(1), json!(200)),
        "requests_per_second": pick("13, too fast", json!(1), json!(100)),
    });
    let key = if has("8, the key") { "x".to_owned() } else { keys::app_private_key_pem() };
    let mut settings = vec![("ISSUER_PRIVATE_KEY", key.as_str())];
    settings.extend(has("1, closed").then_some(("UPSTREAMS_2", "{")));
    let world = World::with_upstream_and(&upstream, &settings);
    if !has("14, no credential") {
        world.grant_aws();
    }
    if has("13, exhausted") || has("13, too fast") {
        world.proxied_with("POST", "/proxy/example/v1", &[]);
    }

    let mut claims = json!({});
    for (step, name, value) in [
        ("4, the issuer", "iss", json!("https://127.0.0.1")),
        ("6, no keys", "iss", json!("https://down.example.com")),
        ("5, expired", "exp", json!(world.now())),
        ("9, the rules", "sub", json!("repo:acme/other:ref:refs/heads/main")),
        ("10, the age", "iat", json!(world.now() - 61)),
        ("5, expired", "iat", json!(world.now() - 61)),
    ] {
        if has(step) && claims.get(name).is_none() {
            claims[name] = value;
        }
    }
    let mut token = world.proxy_token(&claims);
    if has("13, revoked") {
        world.revoke_at_budget(&token);
    }
    if has("7, forged") {
        token = format!("{}.{}", token.rsplit_once('.').unwrap().0, "A".repeat(342));
    }
    if has("3, the shape") {
        token = format!("{token}.x");
    }
    if has("13, no verdict") {
        *world.budgets.fault.borrow_mut() = Some(Err(BudgetError("down".to_owned())));
    }

    let name = if has("1, the name") {
        "Example"
    } else if has("8, unknown") {
        "other"
    } else {
        "example"
    };
    let path = [
        (true, if has("11, the path") { "/v2" } else { "/v1" }),
        (has("11, ambiguous"), "/a%2fb"),
        (has("1, the target"), "{"),
    ];
    let path: String = path.into_iter().filter_map(|(there, part)| there.then_some(part)).collect();
    let authorization = format!("Bearer {token}");
    let headers = [
        (true, ("authorization", authorization.as_str())),
        (has("1, chunked"), ("transfer-encoding", "chunked")),
        (has("2, two credentials"), ("x-api-key", "another")),
        (has("12, upgrade"), ("upgrade", "websocket")),
        (has("12, too large"), ("content-length", "25000001")),
    ];
    let headers: Vec<(&str, &str)> =
        headers.into_iter().filter_map(|(there, header)| there.then_some(header)).collect();
    let method = if has("1, chunked") || has("11, the method") { "GET" } else { "POST" };
    let asked = (world.budgets.asked.borrow().len(), world.network.requests.borrow().len());
    let answer =
        world.proxied_raw(method, &format!("/proxy/{name}{path}"), &headers, &Answer::Head(200, &[]));
    let work =
        (world.budgets.asked.borrow().len() - asked.0, world.network.requests.borrow().len() - asked.1);
    let number = steps.first().map_or(15, |step| number(step));
    assert!(work.0 == 0 || number >= 13, "{steps:?}: the budget was asked");
    assert!(work.1 == 0 || number >= 6, "{steps:?}: the network was asked");
    (world, answer)
}

#[test]
fn each_step_alone_is_told_and_without_one_the_request_goes_on() {
    failing(&[]).1.passed();
    for (step, status, error, message) in STEPS {
        let (world, answer) = failing(&[step]);
        answer.is(status, error);
        assert!(answer.message().contains(message), "{step}: {}", answer.message());
        if step == "1, the name" {
            assert!(world.events().is_empty());
            continue;
        }
        let (event, number) = (world.event(), number(step));
        assert_eq!(event["outcome"], error, "{step}");
        for (member, is_there) in [
            ("issuer", number >= 6),
            ("subject", number >= 8),
            ("remaining", number >= 14),
            ("status", false),
            ("first_byte_ms", false),
            ("session_sha256", false),
        ] {
            assert_eq!(event.get(member).is_some(), is_there, "{step}: {member}");
        }
        for member in ["event", "time", "request_id", "upstream", "method", "path", "session", "subrequests"]
        {
            assert!(event.get(member).is_some(), "{step}: {member}");
        }
    }
}

#[test]
fn of_any_two_the_earlier_one_is_told() {
    for (index, (first, status, error, message)) in STEPS.into_iter().enumerate() {
        for (second, ..) in &STEPS[index + 1..] {
            if share_a_verdict(first, second) || (first, *second) == ("4, the issuer", "6, no keys") {
                continue;
            }
            let (_, answer) = failing(&[first, second]);
            assert_eq!(
                (answer.status, answer.body["error"].as_str()),
                (status, Some(error)),
                "{first} and {second}"
            );
            assert!(answer.message().contains(message), "{first} and {second}: {}", answer.message());
        }
    }
}
