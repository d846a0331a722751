//! Data points: what each request leaves in an Analytics Engine dataset, and the queries in docs/operating.md.

use std::io::Write as _;
use std::process::{Command, Stdio};

use http::Method;
use octo_sts_worker::proxy::NoHead;
use serde_json::{Value, json};

use crate::support::deliveries::{DEPLOY, installation, push_of};
use crate::support::fault::Fault;
use crate::support::metrics::Kept;
use crate::support::proxy::Answer as Upstream;
use crate::support::{POLICY, World};
use crate::{sessions, token_endpoint, webhook};

const OPERATING: &str = include_str!("../../docs/operating.md");

/// The points so far, with the names of the columns in docs/operating.md.
fn points(world: &World) -> Vec<Value> {
    let named = |point: &Kept| {
        let mut said = json!({ "index": point.index });
        for (place, value) in point.blobs.iter().enumerate() {
            said[column("blob", place)] = value.as_str().into();
        }
        for (place, value) in point.doubles.iter().enumerate() {
            said[column("double", place)] = (*value).into();
        }
        said
    };
    world.dataset.points.borrow().iter().map(named).collect()
}

/// The name that the table of docs/operating.md gives a column.
fn column(kind: &str, place: usize) -> &'static str {
    let row = format!("| `{kind}{}` | ", place + 1);
    let rest = OPERATING.split(&row).nth(1).unwrap_or_else(|| panic!("{row} is on no page"));
    rest.split(" |").next().unwrap()
}

/// The only point since the last time.
#[track_caller]
fn point(world: &World) -> Value {
    let mut all = points(world);
    assert_eq!(all.len(), 1, "{all:#?}");
    world.dataset.points.borrow_mut().clear();
    all.remove(0)
}

/// Kind, route, outcome, owner and upstream.
#[track_caller]
fn said(world: &World) -> [String; 5] {
    let point = point(world);
    ["kind", "route", "outcome", "owner", "upstream"].map(|name| point[name].as_str().unwrap().to_owned())
}

fn tiers(point: &Value) -> [&str; 4] {
    ["issuer keys", "installation", "trusted issuers", "policy"].map(|name| point[name].as_str().unwrap())
}

#[test]
fn an_exchange_says_who_answered_and_what_it_took() {
    let mut world = World::new();
    world.network.quotas.borrow_mut().insert("api.github.com", 5000);
    let sent = world.exchange().sent;
    let first = point(&world);
    assert_eq!(first["kind"], "exchange");
    assert_eq!((&first["owner"], &first["index"]), (&json!("acme"), &json!("acme")));
    assert_eq!(first["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(tiers(&first), ["origin"; 4]);
    assert_eq!(first["requests sent"], json!(f64::from(u32::try_from(sent.len()).unwrap())));
    let of_github = sent.iter().filter(|line| line.contains("api.github.com")).count();
    assert_eq!(first["quota left"], json!(5000.0 - f64::from(u32::try_from(of_github).unwrap())));
    assert_eq!(first["milliseconds"], json!(0.0));

    world.exchange();
    let second = point(&world);
    assert_eq!((tiers(&second), &second["requests sent"]), (["memory"; 4], &json!(1.0)));

    world.new_isolate();
    world.network.fail("access_tokens", Fault::Late);
    let answer = world.exchange();
    let third = point(&world);
    assert_eq!(tiers(&third), ["kv"; 4]);
    let took = u32::try_from(answer.took.as_millis()).unwrap();
    assert!(took > 1000, "{took}");
    assert_eq!(third["milliseconds"], json!(f64::from(took)));
}

#[test]
fn every_kind_and_outcome_has_its_point() {
    let world = World::new();
    let own = |values: [&str; 5]| values.map(str::to_owned);
    world.exchange_for("acme/app", "nothing").is(404, "policy_not_found");
    assert_eq!(said(&world), own(["exchange", "/sts/exchange", "policy_not_found", "acme", ""]));
    let other = world.token_with(&json!({ "sub": "repo:acme/app:ref:refs/heads/dev" }));
    world.exchange_with("acme/app", "deploy", &other).is(403, "permission_denied");
    assert_eq!(said(&world), own(["exchange", "/sts/exchange", "permission_denied", "acme", ""]));
    world.call(Method::GET, "/sts/exchange", &[], "").is(400, "invalid_request");
    assert_eq!(said(&world), own(["exchange", "/sts/exchange", "invalid_request", "", ""]));
    world.call(Method::PUT, "/sts/exchange", &[], "").is(405, "method_not_allowed");
    assert_eq!(said(&world), own(["exchange", "/sts/exchange", "method_not_allowed", "", ""]));
    assert_eq!(token_endpoint::ask(&world, &[]).status, 200);
    assert_eq!(said(&world), own(["exchange", "/sts/token", "granted", "acme", ""]));
    let token = world.exchange().granted().to_owned();
    assert_eq!(said(&world), own(["exchange", "/sts/exchange", "granted", "acme", ""]));
    assert_eq!(sessions::revoke(&world, &token).status, 204);
    assert_eq!(said(&world), own(["revoke", "/sts/revoke", "revoked", "", ""]));
    sessions::revoke(&world, "ghp_0123456789").is(400, "invalid_request");
    assert_eq!(said(&world), own(["revoke", "/sts/revoke", "invalid_request", "", ""]));

    let world = sessions::world_with(&[]);
    let session = sessions::begin(&world);
    assert_eq!(said(&world), own(["session", "/sts/token", "granted", "", "models"]));
    assert_eq!(sessions::revoke(&world, &session).status, 204);
    assert_eq!(said(&world), own(["revoke", "/sts/revoke", "revoked", "", "models"]));

    let world = webhook::world();
    world.deliver("push", &push_of(DEPLOY));
    assert_eq!(said(&world), own(["delivery", "/webhook", "validated", "acme", ""]));
    world.deliver("push", &push_of("README.md"));
    assert_eq!(said(&world), own(["delivery", "/webhook", "unaffected", "acme", ""]));
    world.deliver("installation", &installation("deleted"));
    assert_eq!(said(&world), own(["delivery", "/webhook", "forgotten", "acme", ""]));
    world.deliver("ping", &json!({}));
    assert_eq!(said(&world), own(["delivery", "/webhook", "ignored", "", ""]));

    let world = World::with_upstream(&json!({}));
    assert_eq!(world.proxied().status, 200);
    assert_eq!(said(&world), own(["proxy", "/proxy", "forwarded", "", "example"]));
    world.proxied_raw("GET", "/proxy/example/a", &[], &Upstream::Head(200, &[])).is(401, "invalid_token");
    assert_eq!(said(&world), own(["proxy", "/proxy", "invalid_token", "", "example"]));
    let authorization = format!("Bearer {}", world.proxy_token(&json!({})));
    let headers = [("authorization", authorization.as_str())];
    let none = Upstream::None(NoHead::Failed);
    world.proxied_raw("GET", "/proxy/example/a", &headers, &none).is(503, "unavailable");
    assert_eq!(said(&world), own(["proxy", "/proxy", "unavailable", "", "example"]));
}

/// Requests other than exchanges, sessions, revocations, deliveries and proxied requests are not counted.
#[test]
fn other_routes_have_no_point() {
    let world = World::new();
    for target in ["/", "/healthz", "/readyz", "/nothing", "/.well-known/jwks.json", "/webhook"] {
        world.call(Method::GET, target, &[], "");
    }
    assert_eq!(points(&world), Vec::<Value>::new());
}

/// Whoever holds a token of any issuer can ask for any name.
#[test]
fn made_up_names_are_in_no_point() {
    let world = World::new();
    world.exchange_with("madeup/app", "deploy", "a.b.c").is(401, "invalid_token");
    assert_eq!(point(&world)["owner"], "");
    // The token is valid but the owner does not exist: the first time, and from memory.
    for tier in ["origin", "memory"] {
        world.exchange_for("madeup/app", "deploy").is(404, "installation_not_found");
        let point = point(&world);
        assert_eq!((&point["owner"], &point["index"]), (&json!(""), &json!("exchange")));
        assert_eq!(point["installation"], tier);
    }
    world.exchange_for("ACME/App", "deploy").granted();
    assert_eq!(point(&world)["owner"], "acme");

    let push = push_of(DEPLOY);
    world.deliver_with("push", &push.to_string(), &[]).is(401, "invalid_token");
    assert_eq!(point(&world)["owner"], "");
    let filtered = World::with_settings(&[("GITHUB_WEBHOOK_ORGANIZATION_FILTER", "other")]);
    assert_eq!(filtered.deliver("push", &push).body["status"], "ignored");
    assert_eq!(point(&filtered)["owner"], "");

    let world = World::with_upstream(&json!({}));
    world.proxied_with("GET", "/proxy/madeup/a", &[]);
    assert_eq!((&point(&world)["upstream"], world.events().len()), (&json!(""), 1));
}

#[test]
fn the_longest_owner_fits_into_an_index() {
    let world = World::new();
    let owner = "a".repeat(99);
    world.github().install(7, &owner, &["app"]);
    world.github().commit(&format!("{owner}/app"), ".github/chainguard/deploy.sts.yaml", POLICY);
    world.exchange_for(&format!("{owner}/app"), "deploy").granted();
    let point = point(&world);
    assert_eq!(point["owner"], owner);
    assert_eq!(point["index"], "a".repeat(96));
}

/// An issuer may say anything about a quota, and is ignored.
#[test]
fn the_quota_is_githubs() {
    let world = World::new();
    world.network.quotas.borrow_mut().insert("token.actions.githubusercontent.com", 7);
    let token = world.token();
    let (signed, _) = token.rsplit_once('.').unwrap();
    let answer = world.exchange_with("acme/app", "deploy", &format!("{signed}.{}", "A".repeat(342)));
    answer.is(401, "invalid_token");
    assert!(!answer.sent.is_empty(), "the issuer was asked");
    assert_eq!(point(&world)["quota left"], json!(-1.0));
}

#[test]
fn a_failing_dataset_is_a_line_and_nothing_else() {
    let failing = World::new();
    failing.dataset.fails.set(true);
    let line = |world: &World| {
        let lines = world.log.lines();
        lines.into_iter().filter(|line| line["message"] == "data point not written").collect::<Vec<_>>()
    };
    for requests in 1..3 {
        failing.exchange().granted();
        let lines = line(&failing);
        assert_eq!(lines.len(), requests);
        let last = lines.last().unwrap();
        assert_eq!((&last["level"], &last["error"]), (&json!("warn"), &json!("the dataset is full")));
    }
    assert_eq!(failing.deliver("push", &push_of("README.md")).status, 200);
    assert_eq!(line(&failing).len(), 3);

    let working = World::new();
    let unbound = World::new().without("METRICS");
    for world in [&working, &unbound] {
        let answer = world.exchange();
        answer.granted();
        assert_eq!(line(world).len(), 0);
        assert_eq!(world.log.lines().len(), 1, "the event");
        let ready = world.call(Method::GET, "/readyz", &[], "");
        assert_eq!(ready.body, json!({ "status": "ready", "missing": [], "malformed": [] }));
    }
    assert_eq!((points(&working).len(), points(&unbound).len()), (1, 0));
}

/// Every test ends with a search for tokens and keys; this one searches for data that is not secret but does not belong
/// in a dataset.
#[test]
fn no_point_says_who_called_or_what_for() {
    let world = World::with_upstream(&json!({}));
    world.exchange().granted();
    let other = world.token_with(&json!({ "sub": "repo:acme/app:ref:refs/heads/dev" }));
    world.exchange_with("acme/app", "deploy", &other).is(403, "permission_denied");
    world.proxied();
    world.deliver("push", &push_of(DEPLOY));
    for text in world.dataset.texts() {
        for part in ["repo:", "refs/", "deploy", "app", "models", "token.actions", "request-"] {
            assert!(!text.contains(part), "{text}");
        }
    }
    assert_eq!(points(&world).len(), 4);
}

/// The queries of docs/operating.md.
fn queries() -> Vec<&'static str> {
    let section = OPERATING.split("\n## Metrics\n").nth(1).unwrap().split("\n## ").next().unwrap();
    section.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Runs them over points that were all written at one moment.
fn run(queries: &[&str], world: &World) -> Vec<Value> {
    let written: Vec<Value> = world
        .dataset
        .points
        .borrow()
        .iter()
        .map(|Kept { index, blobs, doubles }| {
            json!({ "timestamp": world.now(), "index": index, "blobs": blobs, "doubles": doubles })
        })
        .collect();
    let asked = json!({ "points": written, "queries": queries, "now": world.now() + 60 });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/analytics_engine.py");
    let mut python = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    python.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "a query does not run");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_queries_of_the_page_answer_their_questions() {
    let world = World::with_upstream(&json!({}));
    world.network.quotas.borrow_mut().insert("api.github.com", 5000);
    world.github().install(7, "slow", &["app"]);
    world.github().commit("slow/app", ".github/chainguard/deploy.sts.yaml", POLICY);
    for _ in 0..3 {
        world.exchange().granted();
    }
    world.exchange_for("acme/app", "nothing").is(404, "policy_not_found");
    world.network.fail("/app/installations/7/access_tokens", Fault::Late);
    world.exchange_for("slow/app", "deploy").granted();
    world.exchange_with("acme/app", "deploy", "a.b.c").is(401, "invalid_token");
    world.proxied();
    world.proxied_raw("GET", "/proxy/example/a", &[], &Upstream::Head(200, &[])).is(401, "invalid_token");

    let queries = queries();
    let results = run(&queries, &world);
    let [refusals, slowest, hits, quota, requests, proxied] = results.as_slice() else {
        panic!("{} queries", results.len());
    };
    assert_eq!(
        *refusals,
        json!([
            { "route": "/sts/exchange", "outcome": "invalid_token", "refusals": 1.0 },
            { "route": "/sts/exchange", "outcome": "policy_not_found", "refusals": 1.0 },
        ])
    );
    assert_eq!((&slowest[0]["owner"], &slowest[1]["owner"]), (&json!("slow"), &json!("acme")));
    assert!(slowest[0]["p95"].as_f64() > Some(1000.0), "{slowest}");
    assert_eq!(slowest[1]["exchanges"], json!(4.0));
    // Of five policies looked up, memory had two.
    assert_eq!((&hits[0]["policy_memory"], &hits[0]["policy_kv"]), (&json!(0.4), &json!(0.0)));
    assert_eq!(hits[0]["issuer_keys_memory"], json!(0.8));
    let left = quota.as_array().unwrap();
    assert_eq!(left.len(), 2, "{quota}");
    let lowest = f64::from(*world.network.quotas.borrow().get("api.github.com").unwrap());
    assert!(left[0]["lowest"].as_f64().unwrap() >= lowest && left[0]["lowest"].as_f64() < Some(5000.0));
    assert!(requests[0]["requests_each"].as_f64() > Some(1.0), "{requests}");
    assert_eq!(
        *proxied,
        json!([
            { "upstream": "example", "outcome": "forwarded", "requests": 1.0 },
            { "upstream": "example", "outcome": "invalid_token", "requests": 1.0 },
        ])
    );
}
