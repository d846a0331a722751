//! Asking for less than the policy grants, at both endpoints.

use http::{Method, Request};
use serde_json::{Value, json};

use crate::support::{Answer, World};

const WIDE: &str = "\
issuer: https://token.actions.githubusercontent.com
subject: repo:acme/app:ref:refs/heads/main
permissions:
  contents: write
  issues: read
";

fn wide() -> World {
    let world = World::new();
    world.github().commit("acme/app", ".github/chainguard/deploy.sts.yaml", WIDE);
    world.github().commit("acme/.github", ".github/chainguard/all.sts.yaml", WIDE);
    let some = format!("{WIDE}repositories: [app, docs]\n");
    world.github().commit("acme/.github", ".github/chainguard/some.sts.yaml", &some);
    world
}

fn by_query(world: &World, scope: &str, identity: &str, more: &str) -> Answer {
    let bearer = format!("Bearer {}", world.token());
    let target = format!("/sts/exchange?scope={scope}&identity={identity}&{more}");
    world.call(Method::GET, &target, &[("authorization", &bearer)], "")
}

fn by_body(world: &World, query: &str, body: &Value) -> Answer {
    let request = Request::post(format!("https://sts.example.com/sts/exchange?{query}"))
        .header("authorization", format!("Bearer {}", world.token()))
        .header("content-type", "application/json")
        .body(body.to_string().into());
    world.send(request.unwrap())
}

/// What the last mint asked for.
fn minted(world: &World) -> Value {
    let requests = world.network.requests.borrow();
    let mint = requests.iter().rev().find(|sent| sent.path.ends_with("/access_tokens"));
    mint.unwrap().body.clone()
}

#[test]
fn a_narrowed_token_is_asked_for_narrowed_and_told_so() {
    let world = wide();
    let answer = by_query(&world, "acme/app", "deploy", "permissions=contents:read");
    answer.granted();
    assert_eq!(answer.body["permissions"], json!({ "contents": "read" }));
    assert_eq!(minted(&world), json!({ "permissions": { "contents": "read" }, "repositories": ["app"] }));
    assert_eq!(world.event()["requested"], json!({ "permissions": { "contents": "read" } }));
    assert!(answer.header("x-octo-sts-policy").is_some());

    let body = json!({
        "scope": "acme", "identity": "some", "permissions": { "issues": "read", "contents": "write" },
        "repositories": ["DOCS"],
    });
    let answer = by_body(&world, "", &body);
    answer.granted();
    assert_eq!(
        minted(&world),
        json!({ "permissions": { "contents": "write", "issues": "read" }, "repositories": ["docs"] })
    );
    assert_eq!(
        world.event()["requested"],
        json!({ "permissions": { "contents": "write", "issues": "read" }, "repositories": ["DOCS"] })
    );

    let answer = by_query(&world, "acme", "all", "repositories=docs,app");
    answer.granted();
    assert_eq!(minted(&world)["repositories"], json!(["docs", "app"]));
}

#[test]
fn who_asks_for_nothing_gets_what_the_policy_grants() {
    let world = wide();
    let answer = by_query(&world, "acme/app", "deploy", "");
    assert_eq!(answer.body["permissions"], json!({ "contents": "write", "issues": "read" }));
    assert_eq!(world.event().get("requested"), None);
    assert_eq!(world.event().get("endpoint"), None);
}

#[test]
fn what_is_not_granted_is_refused_by_the_callers_own_item() {
    let world = wide();
    for (scope, identity, more, message) in [
        ("acme/app", "deploy", "permissions=issues:write", "the policy does not grant `issues:write`"),
        (
            "acme/app",
            "deploy",
            "permissions=contents:read,checks:read",
            "the policy does not grant `checks:read`",
        ),
        ("acme/app", "deploy", "permissions=no_such:read", "the policy does not grant `no_such:read`"),
        ("acme/app", "deploy", "repositories=docs", "the policy does not cover the repository `docs`"),
        ("acme", "some", "repositories=app,.github", "the policy does not cover the repository `.github`"),
    ] {
        let answer = by_query(&world, scope, identity, more);
        answer.is(403, "permission_denied");
        assert_eq!(answer.message(), message);
        assert!(world.event()["requested"].is_object());
    }
    assert!(world.github().ledger.borrow().iter().all(|token| token.revoked), "nothing but read tokens");
}

#[test]
fn what_nobody_could_grant_is_a_bad_request_before_anything_is_asked() {
    let world = wide();
    let many = (0..501).map(|n| format!("r{n}")).collect::<Vec<_>>().join(",");
    for more in [
        "permissions=".to_owned(),
        "permissions=contents".to_owned(),
        "permissions=contents:".to_owned(),
        "permissions=contents:read,".to_owned(),
        "permissions=contents:read,contents:write".to_owned(),
        "permissions=contents:read,CONTENTS:read".to_owned(),
        "permissions=workflows:read".to_owned(),
        "permissions=contents:owner".to_owned(),
        "permissions=contents:read&permissions=contents:read".to_owned(),
        "repositories=".to_owned(),
        "repositories=app,App".to_owned(),
        "repositories=acme/app".to_owned(),
        format!("repositories={many}"),
    ] {
        let answer = by_query(&world, "acme/app", "deploy", &more);
        answer.is(400, "invalid_request");
        assert_eq!(answer.sent.len(), 0, "{more}");
    }
    for wrong in [
        json!({ "permissions": {} }),
        json!({ "permissions": ["contents:read"] }),
        json!({ "permissions": { "contents": 1 } }),
        json!({ "permissions": null }),
        json!({ "repositories": [] }),
        json!({ "repositories": "app" }),
        json!({ "repositories": [1] }),
    ] {
        by_body(&world, "scope=acme/app&identity=deploy", &wrong).is(400, "invalid_request");
    }
    let differs = json!({ "permissions": { "contents": "write" } });
    by_body(&world, "scope=acme/app&identity=deploy&permissions=contents:read", &differs)
        .is(400, "invalid_request");
    let same = json!({ "permissions": { "contents": "read" } });
    by_body(&world, "scope=acme/app&identity=deploy&permissions=contents:read", &same).granted();
}

#[test]
fn a_token_wider_than_the_narrowed_request_is_revoked() {
    let world = wide();
    by_query(&world, "acme/app", "deploy", "").granted();
    // As wide as the policy, which is wider than requested.
    *world.github().distort.borrow_mut() = Some(Box::new(|answer| {
        if answer["permissions"]["issues"].is_null() {
            answer["permissions"]["issues"] = json!("read");
        }
    }));
    let answer = by_query(&world, "acme/app", "deploy", "permissions=contents:read");
    answer.is(502, "upstream_error");
    assert_eq!(answer.sent.len(), 1, "the mint alone");
    assert!(world.github().ledger.borrow().last().unwrap().revoked);
}

#[test]
fn a_narrowed_read_does_not_use_the_token_up_where_only_writes_do() {
    let world = World::with_settings(&[("SINGLE_USE_TOKENS", "writes")]);
    world.github().commit("acme/app", ".github/chainguard/deploy.sts.yaml", WIDE);
    let bearer = format!("Bearer {}", world.token());
    let get = |more: &str| {
        let target = format!("/sts/exchange?scope=acme/app&identity=deploy{more}");
        world.call(Method::GET, &target, &[("authorization", &bearer)], "")
    };
    get("&permissions=contents:read").granted();
    get("&permissions=contents:read").granted();
    get("").granted();
    get("").is(401, "invalid_token");
}
