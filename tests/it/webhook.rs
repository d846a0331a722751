//! Which deliveries are accepted, and the answers.

use http::{HeaderMap, Method};
use octo_sts_worker::api;
use serde_json::{Value, json};

use crate::support::deliveries::{
    DEPLOY, check_run, check_suite, installation, pull_request, push, push_of, push_to_branch, with,
};
use crate::support::repositories::sha;
use crate::support::{Answer, POLICY, SECRET, World, sign};

/// A world where commit `a…` of `acme/app` holds a good policy.
pub(crate) fn world() -> World {
    prepared(World::new())
}

pub(crate) fn prepared(world: World) -> World {
    world.github().repositories.tree("acme/app", "a", &[(DEPLOY, POLICY)]);
    world
}

#[track_caller]
fn ignored(answer: &Answer, reason: &str) {
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.body, json!({ "status": "ignored", "reason": reason }));
    assert_eq!(answer.sent, Vec::<String>::new());
}

#[test]
fn a_push_of_a_good_policy_is_validated() {
    let world = world();
    let answer = world.deliver("push", &push_of(DEPLOY));
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.body, json!({ "status": "validated", "conclusion": "success", "files": 1 }));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("x-request-id"), Some("request-1"));
    assert_eq!(answer.header("cache-control"), None);

    let run = world.check_run();
    assert_eq!(run["name"], "Trust Policy Validation");
    assert_eq!((&run["head_sha"], &run["external_id"]), (&json!(sha("a")), &json!(sha("a"))));
    assert_eq!((&run["status"], &run["conclusion"]), (&json!("completed"), &json!("success")));
    assert_eq!(run["completed_at"], "2026-11-20T17:00:00Z");
}

#[test]
fn the_root_takes_deliveries_too() {
    let world = world();
    let body = push_of(DEPLOY).to_string();
    let signature = sign(SECRET, &body);
    let headers = [
        ("x-github-event", "push"),
        ("content-type", "application/json"),
        ("x-hub-signature-256", &*signature),
    ];
    for target in ["/", "/webhook", "/webhook/"] {
        let answer = world.call(Method::POST, target, &headers, &body);
        assert_eq!(answer.body["status"], "validated", "{target}: {}", answer.text);
    }
    world.call(Method::POST, "/", &headers[1..], &body).is(405, "method_not_allowed");
    assert_eq!(world.call(Method::GET, "/", &headers, "").status, 200);
    let answer = world.call(Method::GET, "/webhook", &headers, "");
    assert_eq!(answer.is(405, "method_not_allowed").header("allow"), Some("POST"));
}

#[test]
fn no_body_is_parsed_before_its_signature_is_right() {
    let world = world();
    let body = push_of(DEPLOY).to_string();
    let good = sign(SECRET, &body);
    let sha1 = "sha1=0123456789abcdef0123456789abcdef01234567";
    let other_secret = sign("another secret", &body);
    for headers in [
        vec![],
        vec![("x-hub-signature-256", "")],
        vec![("x-hub-signature-256", "sha256=00")],
        vec![("x-hub-signature-256", sha1)],
        vec![("x-hub-signature", sha1)],
        // What the Go service accepts: the older header with the newer hash.
        vec![("x-hub-signature", &*good)],
        vec![("x-hub-signature-256", &*other_secret)],
        vec![("x-hub-signature-256", &*good), ("x-hub-signature-256", &*good)],
    ] {
        let answer = world.deliver_with("push", &body, &headers);
        answer.is(401, "invalid_token");
        assert_eq!(answer.sent.len(), 0);
    }
    // Whatever else is wrong, too.
    let bad = [("x-hub-signature-256", "sha256=00")];
    world.deliver_with("push", "not json", &bad).is(401, "invalid_token");
    world.deliver_with("unheard_of", "{}", &bad).is(401, "invalid_token");
    world.call(Method::POST, "/webhook", &bad, "").is(401, "invalid_token");
    // The signature covers the bytes, not their meaning.
    world
        .deliver_with("push", &format!("{body} "), &[("x-hub-signature-256", &good)])
        .is(401, "invalid_token");
    assert_eq!((world.kv.reads.get(), world.check_runs().len()), (0, 0));
}

#[test]
fn during_a_rotation_both_secrets_sign() {
    let world = prepared(World::with_settings(&[("GITHUB_WEBHOOK_SECRET_PREVIOUS", "the previous secret")]));
    let body = push_of(DEPLOY).to_string();
    for (secret, status) in [(SECRET, 200), ("the previous secret", 200), ("any other secret", 401)] {
        let answer = world.deliver_with("push", &body, &[("x-hub-signature-256", &sign(secret, &body))]);
        assert_eq!(answer.status, status, "{secret}");
    }
}

#[test]
fn without_a_secret_nothing_is_signed() {
    for world in [
        World::new().without("GITHUB_WEBHOOK_SECRET"),
        World::with_settings(&[("GITHUB_WEBHOOK_SECRET", "")]),
        World::with_settings(&[
            ("GITHUB_WEBHOOK_SECRET", ""),
            ("GITHUB_WEBHOOK_SECRET_PREVIOUS", "the previous secret"),
        ]),
    ] {
        for secret in ["", "the previous secret"] {
            let body = push_of(DEPLOY).to_string();
            let answer = world.deliver_with("push", &body, &[("x-hub-signature-256", &sign(secret, &body))]);
            answer.is(500, "misconfigured");
            assert!(answer.message().contains("GITHUB_WEBHOOK_SECRET"));
        }
        world.exchange().granted();
    }
}

#[test]
fn a_service_that_cannot_speak_to_github_says_so_to_github_alone() {
    let world = World::new().without("GITHUB_APP_ID");
    let answer = world.deliver("push", &push_of(DEPLOY));
    assert_eq!(answer.is(500, "misconfigured").message(), "the service is not configured: `GITHUB_APP_ID`");
    world.deliver_with("push", "{}", &[]).is(401, "invalid_token");
}

#[test]
fn a_form_is_read_like_json() {
    let world = world();
    let escaped: String = push_of(DEPLOY).to_string().bytes().map(|byte| format!("%{byte:02x}")).collect();
    let body = format!("payload={escaped}");
    let signed = |content_type: &str, body: &str| {
        let headers = [
            ("x-github-event", "push"),
            ("content-type", content_type),
            ("x-hub-signature-256", &*sign(SECRET, body)),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        world.call(Method::POST, "/webhook", &headers, body)
    };
    assert_eq!(signed("application/x-www-form-urlencoded", &body).body["status"], "validated");
    assert_eq!(
        signed("application/json; charset=utf-8", &push_of(DEPLOY).to_string()).body["status"],
        "validated"
    );
    signed("application/x-www-form-urlencoded", "payload=%7B").is(400, "invalid_request");
    signed("application/x-www-form-urlencoded", "other=1").is(400, "invalid_request");
    for other in ["text/plain", "multipart/form-data", "application/xml"] {
        signed(other, &body).is(415, "unsupported_media_type");
    }
}

#[test]
fn twenty_five_mebibytes_are_the_limit() {
    let world = world();
    let limit = 25 * 1024 * 1024;
    let padded = |size: usize| {
        let body = push_of(DEPLOY).to_string();
        format!("{body}{}", " ".repeat(size - body.len()))
    };
    for (body, status) in [(padded(limit), 200), (padded(limit + 1), 413)] {
        let answer = world.deliver_with("push", &body, &[("x-hub-signature-256", &sign(SECRET, &body))]);
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    let mut event = HeaderMap::new();
    event.insert("x-github-event", "push".parse().unwrap());
    for (method, path, headers, bytes) in [
        (Method::POST, "/webhook", HeaderMap::new(), limit),
        (Method::POST, "/", event.clone(), limit),
        (Method::POST, "/", HeaderMap::new(), 0),
        (Method::GET, "/", event.clone(), 0),
        (Method::GET, "/webhook", event, 0),
    ] {
        assert_eq!(api::body_limit(&method, path, &headers), bytes, "{method} {path}");
    }
}

#[test]
fn what_is_not_the_events_json_is_refused() {
    let world = world();
    let without = |member: &str| {
        let mut payload = push_of(DEPLOY);
        payload.as_object_mut().unwrap().remove(member);
        payload.to_string()
    };
    for body in [
        String::new(),
        "[]".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
        "{\"repository\":".to_owned(),
        without("repository"),
        without("after"),
        without("before"),
        with(push_of(DEPLOY), "after", json!("main")).to_string(),
        with(push_of(DEPLOY), "after", json!(7)).to_string(),
        with(push_of(DEPLOY), "commits", json!({})).to_string(),
        with(push_of(DEPLOY), "repository", json!({ "owner": { "login": "acme" } })).to_string(),
        with(push_of(DEPLOY), "installation", json!({ "id": "1" })).to_string(),
    ] {
        let answer = world.deliver_with("push", &body, &[("x-hub-signature-256", &sign(SECRET, &body))]);
        assert_eq!(
            (answer.status.as_u16(), &answer.body["error"]),
            (400, &json!("invalid_request")),
            "{body}"
        );
        assert_eq!(answer.sent.len(), 0);
    }
    let body = push_of(DEPLOY).to_string();
    let headers = [("content-type", "application/json"), ("x-hub-signature-256", &*sign(SECRET, &body))]
        .map(|(name, value)| (name, value.to_owned()));
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    world.call(Method::POST, "/webhook", &headers, &body).is(400, "invalid_request");
}

#[test]
fn events_that_mean_nothing_are_accepted_and_ignored() {
    let world = world();
    for event in ["ping", "issues", "unheard_of", "repository"] {
        ignored(&world.deliver(event, &json!({ "zen": "x" })), "the service does not handle this event");
    }
    for action in ["labeled", "edited", "assigned", "review_requested", "closed", "ready_for_review"] {
        let payload = with(pull_request(1), "action", json!(action));
        ignored(&world.deliver("pull_request", &payload), "the service does not handle this action");
    }
    let suite = check_suite("main", &sha("b"), &json!([]));
    ignored(
        &world.deliver("check_suite", &with(suite.clone(), "action", json!("completed"))),
        "the service does not handle this action",
    );
    for action in ["created", "completed", "requested_action"] {
        let payload = with(check_run(&suite), "action", json!(action));
        ignored(&world.deliver("check_run", &payload), "the service does not handle this action");
    }
    let mut other = check_run(&suite);
    other["check_run"]["name"] = json!("Unit tests");
    ignored(&world.deliver("check_run", &other), "the check run is not this service's");
    ignored(&world.deliver("push", &with(push_of(DEPLOY), "deleted", json!(true))), "the branch was deleted");
    ignored(
        &world.deliver("push", &with(push_of(DEPLOY), "after", json!(sha("")))),
        "the branch was deleted",
    );
    ignored(&world.deliver("push", &with(push_of(DEPLOY), "ref", json!("refs/tags/v1"))), "not a branch");
    assert_eq!(world.kv.reads.get() + world.kv.writes.get(), 0, "it is not even remembered");
}

#[test]
fn a_push_without_policies_costs_nothing() {
    let world = world();
    let commits = json!([{ "added": ["README.md", ".github/chainguard/README.md"], "modified": ["go.mod"], "removed": [] }]);
    for payload in [push(&commits), with(push(&commits), "ref", json!("refs/heads/x")), push(&json!([]))] {
        let answer = world.deliver("push", &payload);
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &json!({ "status": "unaffected" })));
        assert_eq!((answer.sent.len(), world.kv.reads.get(), world.kv.writes.get()), (0, 0, 0));
    }
    assert_eq!(world.signatures.signed.get(), 0);
}

#[test]
fn a_push_with_one_policy_costs_six_requests() {
    let world = world();
    let look = format!(
        "GET api.github.com/repos/acme/app/commits/{}/check-runs?check_name=Trust%20Policy%20Validation&filter=all&per_page=20&app_id=4711",
        sha("a")
    );
    assert_eq!(
        world.deliver("push", &push_of(DEPLOY)).sent,
        [
            "POST api.github.com/app/installations/1/access_tokens",
            &look,
            "POST api.github.com/repos/acme/app/check-runs",
            &format!("GET api.github.com/repos/acme/app/contents/{DEPLOY}?ref={}", sha("a")),
            &look,
            "PATCH api.github.com/repos/acme/app/check-runs/1",
        ]
    );
    // After the answer: a check, and the token's revocation.
    assert_eq!(world.network.requests.borrow().len(), 8);
}

#[test]
fn a_delivery_is_handled_to_its_end_though_github_hangs_up() {
    for sent in 1..=6 {
        let world = world();
        let delivery = world.delivery("one", "push", &push_of(DEPLOY));
        world.hang_up_after(sent, delivery);
        assert_eq!(world.check_run()["conclusion"], "success", "after {sent} requests");
        assert!(world.github().ledger.borrow().iter().all(|minted| minted.revoked), "after {sent} requests");
        // It counts as handled.
        let again = world.deliver_as("one", "push", &push_of(DEPLOY));
        assert_eq!((again.status.as_u16(), again.sent.len()), (202, 0));
        let lines = world.log.lines();
        assert_eq!(lines.iter().filter(|line| line["message"] == "webhook delivery").count(), 2);
    }
}

#[test]
fn what_an_installation_has_is_asked_once_an_hour() {
    let writes = POLICY.replace("contents: read", "issues: write");
    let world = World::new();
    world.github().repositories.tree("acme/app", "a", &[(DEPLOY, &writes)]);
    world.github().repositories.tree("acme/app", "d", &[(DEPLOY, &writes)]);
    assert_eq!(world.deliver("push", &push_of(DEPLOY)).sent.len(), 7);
    assert_eq!(world.deliver("push", &with(push_of(DEPLOY), "after", json!(sha("d")))).sent.len(), 6);
    assert_eq!(world.network.count("acme/app/installation"), 1);
}

#[test]
fn tokens_are_no_wider_than_needed_and_die_after_the_answer() {
    let world = world();
    world.github().repositories.pull_request(
        "acme/app",
        42,
        vec![json!({ "filename": DEPLOY, "status": "added" })],
    );
    world.deliver("push", &push_of(DEPLOY));
    world.deliver("pull_request", &pull_request(1));
    let ledger = world.github().ledger.borrow();
    let minted: Vec<(&Value, &Value)> =
        ledger.iter().map(|minted| (&minted.permissions, &minted.repositories)).collect();
    let app = json!(["app"]);
    assert_eq!(
        minted,
        [
            (&json!({ "contents": "read", "checks": "write" }), &app),
            (&json!({ "contents": "read", "checks": "write", "pull_requests": "read" }), &app),
        ]
    );
    assert!(ledger.iter().all(|minted| minted.revoked));
}

#[test]
fn a_wider_token_is_not_used() {
    let world = world();
    *world.github().distort.borrow_mut() =
        Some(Box::new(|answer| answer["permissions"]["contents"] = json!("write")));
    world.deliver("push", &push_of(DEPLOY)).is(502, "upstream_error");
    assert_eq!(world.network.count("check-runs"), 0);
    assert!(world.github().ledger.borrow().iter().all(|minted| minted.revoked));
}

#[test]
fn owners_that_are_not_listed_are_ignored() {
    let world = prepared(World::with_settings(&[("GITHUB_WEBHOOK_ORGANIZATION_FILTER", "Example, ACME")]));
    assert_eq!(world.deliver("push", &push_of(DEPLOY)).body["status"], "validated");
    let world = prepared(World::with_settings(&[("GITHUB_WEBHOOK_ORGANIZATION_FILTER", "example,acme2")]));
    for (event, payload) in [("push", push_of(DEPLOY)), ("installation", installation("created"))] {
        ignored(&world.deliver(event, &payload), "the owner is not on this server's list");
    }
    let world = prepared(World::with_settings(&[("GITHUB_WEBHOOK_ORGANIZATION_FILTER", "")]));
    world.deliver("push", &push_of(DEPLOY)).is(500, "misconfigured");
}

#[test]
fn bots_start_no_checks() {
    let world = world();
    let suite = check_suite("main", &sha("b"), &json!([]));
    for sender in [json!({ "login": "octo-sts[bot]" }), json!({ "login": "octo-sts", "type": "Bot" })] {
        for (event, payload) in [("check_suite", suite.clone()), ("check_run", check_run(&suite))] {
            ignored(
                &world.deliver(event, &with(payload, "sender", sender.clone())),
                "a bot caused the event",
            );
        }
        // A bot's push is a push.
        let answer = world.deliver("push", &with(push_of(DEPLOY), "sender", sender));
        assert_eq!(answer.body["status"], "validated");
    }
}

#[test]
fn a_delivery_is_handled_once_a_day() {
    let mut world = world();
    assert_eq!(world.deliver_as("one", "push", &push_of(DEPLOY)).body["status"], "validated");
    let again = "the delivery was handled already";
    ignored(&world.deliver_as("one", "push", &push_of(DEPLOY)), again);
    assert_eq!(world.deliver_as("two", "push", &push_of(DEPLOY)).body["status"], "validated");
    world.new_isolate();
    ignored(&world.deliver_as("one", "push", &push_of(DEPLOY)), again);
    world.advance(24 * 3600 - 1);
    ignored(&world.deliver_as("one", "push", &push_of(DEPLOY)), again);
    world.advance(1);
    assert_eq!(world.deliver_as("one", "push", &push_of(DEPLOY)).body["status"], "validated");
    assert_eq!(world.check_runs().len(), 1);
    // Without an id, deliveries cannot be distinguished.
    let body = push_of(DEPLOY).to_string();
    for _ in 0..2 {
        let answer = world.deliver_with("push", &body, &[("x-hub-signature-256", &sign(SECRET, &body))]);
        assert_eq!(answer.body["status"], "validated");
    }
}

#[test]
fn a_delivery_of_no_installation_is_ignored() {
    let world = world();
    let mut payload = push_to_branch(DEPLOY);
    payload.as_object_mut().unwrap().remove("installation");
    ignored(&world.deliver("push", &payload), "the delivery does not come from an app's installation");
}

#[test]
fn names_that_nothing_can_be_exchanged_for_are_ignored() {
    let world = world();
    let mut payload = push_of(DEPLOY);
    payload["repository"]["name"] = json!("..");
    ignored(&world.deliver("push", &payload), "no exchange is possible for a repository with this name");
    payload["repository"]["owner"]["login"] = json!("a/b");
    ignored(&world.deliver("push", &payload), "no exchange is possible for an owner with this name");
}

#[test]
fn every_delivery_leaves_one_line() {
    let world = world();
    world.deliver_as("one", "push", &push_of(DEPLOY));
    world.deliver_as("one", "push", &push_of(DEPLOY));
    world.deliver_with("push", "{}", &[]);
    let lines: Vec<Value> =
        world.log.lines().into_iter().filter(|line| line["message"] == "webhook delivery").collect();
    assert_eq!(
        lines,
        [
            json!({
                "level": "info", "message": "webhook delivery", "request_id": "request-1", "delivery": "one",
                "github_event": "push", "repository": "acme/app", "head_sha": sha("a"), "outcome": "validated",
                "conclusion": "success", "files": "1", "subrequests": "6",
            }),
            json!({
                "level": "info", "message": "webhook delivery", "request_id": "request-2", "delivery": "one",
                "github_event": "push", "repository": "acme/app", "head_sha": sha("a"), "outcome": "ignored",
                "reason": "the delivery was handled already", "subrequests": "0",
            }),
            json!({
                "level": "info", "message": "webhook delivery", "request_id": "request-3", "github_event": "push",
                "outcome": "invalid_token", "reason": "the delivery's signature is missing or wrong", "subrequests": "0",
            }),
        ]
    );
    assert_eq!(world.events().len(), 0, "a delivery is no audit event");
}

#[test]
fn real_deliveries_are_understood() {
    let read = |name: &str| -> Value {
        let path = format!("{}/tests/data/webhook/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    for (event, status, outcome) in [
        ("ping", 202, json!({ "status": "ignored", "reason": "the service does not handle this event" })),
        ("push", 200, json!({ "status": "unaffected" })),
        ("installation", 200, json!({ "status": "forgotten" })),
        ("installation_repositories", 200, json!({ "status": "forgotten" })),
        ("check_run", 202, json!({ "status": "ignored", "reason": "the check run is not this service's" })),
    ] {
        let answer = World::new().deliver(event, &read(event));
        assert_eq!((answer.status.as_u16(), &answer.body), (status, &outcome), "{event}");
    }
    // These go on to GitHub, which does not know the installation.
    for (event, asked) in [("pull_request", "installations/1/"), ("check_suite", "installations/957387/")] {
        let world = World::new();
        world.github().installations.borrow_mut().clear();
        let answer = world.deliver(event, &read(event));
        answer.is(503, "unavailable");
        assert!(answer.sent[0].contains(asked), "{:?}", answer.sent);
    }
}
