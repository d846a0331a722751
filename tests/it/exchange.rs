//! The exchange: what is granted, and in which order what is refused.

use serde_json::json;

use crate::support::github::blob_sha;
use crate::support::{GITHUB_ACTIONS, POLICY, World};

#[test]
fn a_cold_exchange_costs_eight_requests_and_a_warm_one_exactly_one() {
    let world = World::new();
    let list = format!("issuers: [{GITHUB_ACTIONS}]\n");
    world.github().commit("acme/.github", ".github/chainguard/trusted-token-issuers.yaml", &list);
    let cold = world.exchange();
    cold.granted();
    assert_eq!(
        cold.sent,
        [
            "GET token.actions.githubusercontent.com/.well-known/openid-configuration",
            "GET token.actions.githubusercontent.com/jwks",
            "GET api.github.com/repos/acme/app/installation",
            "POST api.github.com/app/installations/1/access_tokens",
            "GET api.github.com/repos/acme/.github/contents/.github/chainguard/trusted-token-issuers.yaml",
            "POST api.github.com/app/installations/1/access_tokens",
            "GET api.github.com/repos/acme/app/contents/.github/chainguard/deploy.sts.yaml",
            "POST api.github.com/app/installations/1/access_tokens",
        ]
    );
    assert_eq!(world.event()["subrequests"], 8);
    assert_eq!(cold.took, std::time::Duration::ZERO, "nothing is waited for");
    assert_eq!(world.kv.reads.get(), 4);
    assert_eq!((world.signatures.verified.get(), world.signatures.signed.get()), (1, 1));
    assert_eq!(
        world.network.count("DELETE api.github.com/installation/token"),
        2,
        "both read tokens are revoked"
    );

    let warm = world.exchange();
    warm.granted();
    assert_eq!(warm.sent, ["POST api.github.com/app/installations/1/access_tokens"]);
    assert_eq!(world.event()["subrequests"], 1);
    assert_eq!(world.kv.reads.get(), 4, "no KV read");
    assert_eq!((world.signatures.verified.get(), world.signatures.signed.get()), (2, 1), "no signature made");
}

#[test]
fn a_new_isolate_with_a_warm_kv_costs_one_request_and_four_reads() {
    let mut world = World::new();
    world.exchange().granted();
    world.new_isolate();
    let reads = world.kv.reads.get();
    let signed = world.signatures.signed.get();
    let answer = world.exchange();
    answer.granted();
    assert_eq!(answer.sent, ["POST api.github.com/app/installations/1/access_tokens"]);
    assert_eq!(world.kv.reads.get() - reads, 4);
    assert_eq!(world.signatures.signed.get() - signed, 1);
}

#[test]
fn both_files_of_an_organization_are_read_with_one_token() {
    let world = World::new();
    world.github().commit("acme/.github", ".github/chainguard/deploy.sts.yaml", POLICY);
    let answer = world.exchange_for("acme", "deploy");
    answer.granted();
    assert_eq!(answer.sent.len(), 9, "two of them to see that there is no list: {:#?}", answer.sent);
    assert!(answer.body.get("repositories").is_none(), "good for every repository");
    assert!(world.github().minted()[0].repositories.is_null());
    assert_eq!(world.github().minted()[0].permissions, json!({ "contents": "read" }));
}

#[test]
fn the_answer_is_the_protocols() {
    let world = World::new();
    let answer = world.exchange();
    let token = answer.granted();
    assert_eq!(
        answer.body,
        json!({
            "token": token,
            "access_token": token,
            "token_type": "bearer",
            "expires_in": 3600,
            "expires_at": "2026-11-20T18:00:00Z",
            "permissions": { "contents": "read" },
            "repositories": ["app"],
            "request_id": "request-1",
        })
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("x-request-id"), Some("request-1"));
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(answer.header("x-octo-sts-policy"), Some(&*format!("{}; age=0", blob_sha(POLICY))));
    world.advance(20);
    assert_eq!(world.exchange().header("x-octo-sts-policy"), Some(&*format!("{}; age=20", blob_sha(POLICY))));
}

#[test]
fn exactly_what_the_policy_grants_is_minted() {
    let world = World::new();
    let text = format!("{}  issues: write\nrepositories: [docs, app]\n", POLICY);
    world.github().commit("acme/.github", ".github/chainguard/wide.sts.yaml", &text);
    for (scope, identity, permissions, repositories) in [
        ("acme/app", "deploy", json!({ "contents": "read" }), json!(["app"])),
        ("acme", "wide", json!({ "contents": "read", "issues": "write" }), json!(["docs", "app"])),
        ("acme/.github", "wide", json!({ "contents": "read", "issues": "write" }), json!(["docs", "app"])),
    ] {
        let answer = world.exchange_for(scope, identity);
        let token = answer.granted();
        let minted = world.github().minted().into_iter().find(|m| m.token == token).unwrap();
        assert_eq!(
            (minted.permissions, minted.repositories),
            (permissions.clone(), repositories.clone()),
            "{scope}"
        );
        assert_eq!(
            (&answer.body["permissions"], &answer.body["repositories"]),
            (&permissions, &repositories)
        );
    }
}

#[test]
fn names_are_compared_without_case() {
    let world = World::new();
    world.exchange().granted();
    let answer = world.exchange_for("ACME/App", "deploy");
    answer.granted();
    assert_eq!(answer.sent.len(), 1, "the same entries: {:?}", answer.sent);
    world.exchange_for("acme/app", "Deploy").is(404, "policy_not_found");
}

#[test]
fn an_installation_on_a_user_is_found_after_the_organizations() {
    let world = World::new();
    world.github().install(2, "user-jo", &[".github"]);
    world.github().commit("user-jo/.github", ".github/chainguard/deploy.sts.yaml", POLICY);
    let answer = world.exchange_for("user-jo", "deploy");
    answer.granted();
    assert_eq!(answer.sent.len(), 10);
    assert!(answer.sent.contains(&"GET api.github.com/users/user-jo/installation".to_owned()));
}

#[test]
fn the_audit_event_tells_the_whole_story_of_a_grant() {
    let world = World::new();
    let text = format!("{POLICY}claim_pattern:\n  event_name: push\n");
    world.github().commit("acme/app", ".github/chainguard/deploy.sts.yaml", &text);
    let answer = world.call(
        http::Method::GET,
        "/sts/exchange?scope=acme/app&identity=deploy",
        &[("authorization", &format!("Bearer {}", world.token())), ("user-agent", &"u".repeat(300))],
        "",
    );
    let token = answer.granted();
    let event = world.event();
    let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(token));
    assert_eq!(event["event"], "exchange");
    assert_eq!(event["outcome"], "granted");
    assert_eq!(event["time"], "2026-11-20T17:00:00.000Z");
    assert_eq!(event["request_id"], answer.body["request_id"]);
    assert_eq!(event["scope"], "acme/app");
    assert_eq!(event["identity"], "deploy");
    assert_eq!(event["issuer"], GITHUB_ACTIONS);
    assert_eq!(event["subject"], "repo:acme/app:ref:refs/heads/main");
    assert_eq!(event["claims"], json!({ "event_name": "push" }));
    assert_eq!(event["installation_id"], 1);
    assert_eq!(event["permissions"], json!({ "contents": "read" }));
    assert_eq!(event["repositories"], json!(["app"]));
    assert_eq!(event["policy"], json!({ "sha": blob_sha(&text), "age": 0 }));
    assert_eq!(event["organization"]["state"], "absent");
    assert_eq!(event["user_agent"].as_str().map(str::len), Some(256));
    assert_eq!(event["token_sha256"], hash);
    assert!(event["hashed_token"].as_str().is_some_and(|text| text.len() == 44));
    assert_eq!(world.events().len(), 1);
}

#[test]
fn every_outcome_has_exactly_one_event() {
    let world = World::new();
    let stale = world.token_with(&json!({ "exp": world.now() - 1, "iat": world.now() - 60 }));
    let foreign = world.token_with(&json!({ "sub": "repo:acme/app:ref:refs/heads/dev" }));
    let outcomes = [
        (world.exchange_for("a/../b", "x"), "invalid_request"),
        (world.exchange_with("acme/app", "deploy", ""), "invalid_token"),
        (world.exchange_with("acme/app", "deploy", &stale), "invalid_token"),
        (world.exchange_with("acme/app", "deploy", &foreign), "permission_denied"),
        (world.exchange_for("acme/app", "missing"), "policy_not_found"),
        (world.exchange_for("other/app", "deploy"), "installation_not_found"),
        (world.call(http::Method::PUT, "/sts/exchange", &[], ""), "method_not_allowed"),
    ];
    let events = world.events();
    assert_eq!(events.len(), outcomes.len());
    for (event, (answer, outcome)) in events.iter().zip(&outcomes) {
        assert_eq!((event["event"].as_str(), event["outcome"].as_str()), (Some("exchange"), Some(*outcome)));
        assert_eq!(event["request_id"], answer.body["request_id"]);
        assert!(event.get("token_sha256").is_none());
    }
    assert_eq!(events[3]["subject"], "repo:acme/app:ref:refs/heads/dev");
    assert!(events[2].get("subject").is_none(), "an unverified subject is nobody's");
}

#[test]
fn events_go_to_the_ingress_after_the_answer() {
    let world = World::with_settings(&[("EVENT_INGRESS_URI", "https://events.example.com/ingest")]);
    let answer = world.exchange();
    answer.granted();
    assert!(!answer.sent.iter().any(|sent| sent.contains("events.example.com")));
    let delivered = world.network.ingress.borrow().clone();
    assert_eq!(delivered.len(), 1);
    assert_eq!(delivered[0]["specversion"], "1.0");
    assert_eq!(delivered[0]["type"], "dev.octo-sts.exchange");
    assert_eq!(delivered[0]["data"], world.event());
    assert_eq!(delivered[0]["datacontenttype"], "application/json");
    assert_eq!(
        (&delivered[0]["id"], &delivered[0]["time"]),
        (&world.event()["request_id"], &world.event()["time"])
    );
    assert!(delivered[0]["source"].as_str().is_some_and(|source| !source.is_empty()));
    let sent = world.network.requests.borrow().last().unwrap().clone();
    assert_eq!(sent.headers["content-type"], "application/cloudevents+json; charset=utf-8");

    world.exchange_for("acme/app", "missing").is(404, "policy_not_found");
    world.call(http::Method::POST, "/sts/revoke", &[("authorization", "Bearer ghs_0123456789abcdef")], "");
    let outcomes: Vec<_> =
        world.network.ingress.borrow().iter().map(|event| event["data"]["outcome"].clone()).collect();
    assert_eq!(outcomes, ["granted", "policy_not_found", "revoked"]);
}

#[test]
fn a_lost_event_is_tried_three_times_and_fails_nothing() {
    let world = World::with_settings(&[("EVENT_INGRESS_URI", "https://events.example.com/ingest")]);
    world.network.fail("events.example.com", crate::support::fault::Fault::Status(500));
    world.exchange().granted();
    assert_eq!(world.network.count("POST events.example.com/ingest"), 3);
    assert!(world.log.says("audit event not delivered"));
}

#[test]
fn nothing_is_asked_before_the_signature_is_verified() {
    let world = World::new();
    let forged = world.token().replace('.', ".e30.").replacen(".e30.", ".", 1);
    world.exchange_with("acme/app", "deploy", &forged).is(401, "invalid_token");
    assert_eq!(world.network.count("api.github.com"), 0);

    let other_key = crate::support::issuer::Issuer::new(GITHUB_ACTIONS).sign(&world.claims());
    let answer = world.exchange_with("acme/app", "deploy", &other_key);
    answer.is(401, "invalid_token");
    assert_eq!(world.network.count("api.github.com"), 0);
    assert_eq!(answer.header("www-authenticate"), Some(r#"Bearer error="invalid_token""#));
}

#[test]
fn the_first_failing_step_answers() {
    let world = World::new();
    // 1 before 2, 2 before 3, 3 before 4, 4 before 5: none of them sends anything.
    let expired = json!({ "exp": world.now() - 10, "iat": world.now() - 70 });
    let mut foreign_and_expired = expired.clone();
    foreign_and_expired["iss"] = json!("http://idp.example.com");
    for (scope, token, status, text) in [
        ("a/b/c", "", 400, "scope"),
        ("acme/app", "", 401, "empty"),
        ("acme/app", "a.b", 401, "token"),
        ("acme/app", &*world.token_with(&foreign_and_expired), 401, "issuer"),
        ("acme/app", &*world.token_with(&expired), 401, "expired"),
    ] {
        let answer = world.exchange_with(scope, "deploy", token);
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
        assert!(answer.message().contains(text), "{}", answer.text);
        assert_eq!(answer.sent.len(), 0);
    }
    assert_eq!(world.kv.reads.get(), 0);
}

#[test]
fn a_refusal_names_the_rule_and_the_callers_value_but_not_the_policys() {
    let world = World::new();
    let secretive = POLICY.replace("refs/heads/main", "refs/heads/secret-branch");
    world.github().commit("acme/app", ".github/chainguard/deploy.sts.yaml", &secretive);
    let answer = world.exchange();
    answer.is(403, "permission_denied");
    assert!(answer.message().contains("`repo:acme/app:ref:refs/heads/main`"), "{}", answer.text);
    assert!(!answer.text.contains("secret-branch"));
    assert_eq!(answer.body["code"], 7);
    assert_eq!(answer.body["details"], json!([]));
    assert_eq!(answer.body["error_description"], answer.body["message"]);
}

#[test]
fn a_claim_that_would_take_too_many_steps_is_refused_in_words() {
    let world = World::new();
    let hostile = format!("{POLICY}claim_pattern:\n  note: '(.*a?.*a?.*a?.*){{200}}z'\n");
    world.github().commit("acme/app", ".github/chainguard/deploy.sts.yaml", &hostile);
    let token = |length: usize| world.token_with(&json!({ "note": format!("{}z", "a".repeat(length)) }));
    world.exchange_with("acme/app", "deploy", &token(3)).granted();
    let answer = world.exchange_with("acme/app", "deploy", &token(9_000));
    answer.is(403, "permission_denied");
    let refusal = "the token's claim `note` would take too many steps to match the policy's pattern";
    assert_eq!(answer.message(), refusal);
}

#[test]
fn an_issuer_that_would_take_too_many_steps_is_not_on_the_list() {
    let mut world = World::new();
    let hostile = "- 'https://(\\w?[\\w.]*){1000}z'\n".repeat(4);
    let right = "- 'https://token\\.actions\\.githubusercontent\\.com'\n";
    let path = ".github/chainguard/trusted-token-issuers.yaml";
    world.github().commit("acme/.github", path, &format!("issuer_patterns:\n{right}{hostile}"));
    world.exchange().granted();
    // The last pattern would admit it, and the steps end before.
    world.new_isolate();
    world.advance(301);
    world.github().commit("acme/.github", path, &format!("issuer_patterns:\n{hostile}{right}"));
    let answer = world.exchange();
    answer.is(403, "permission_denied");
    assert_eq!(answer.message(), "issuer not permitted by organization policy");
}

#[test]
fn absent_unreadable_and_broken_policies_look_the_same() {
    let world = World::new();
    let path = |name: &str| format!(".github/chainguard/{name}.sts.yaml");
    world.github().commit("acme/app", &path("broken"), "issuer: [");
    world.github().commit("acme/app", &path("typo"), &POLICY.replace("read", "raed"));
    world.github().commit("acme/app", &path("large"), &format!("{POLICY}# {}\n", "x".repeat(65_536)));
    world.github().put("acme/app", &path("directory"), json!([]));
    world.github().put(
        "acme/app",
        &path("link"),
        json!({ "type": "symlink", "target": "x", "sha": "0".repeat(40) }),
    );
    let texts: std::collections::BTreeSet<String> =
        ["absent", "broken", "typo", "large", "directory", "link"]
            .map(|name| {
                let answer = world.exchange_for("acme/app", name);
                answer.is(404, "policy_not_found");
                answer.message().to_owned()
            })
            .into_iter()
            .collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    let lines = world.log.lines();
    let typo = lines
        .iter()
        .find(|line| line["path"] == ".github/chainguard/typo.sts.yaml")
        .expect("a line for the operator");
    assert_eq!(typo["mistakes"], "4:13 permission-level");
}

#[test]
fn an_installation_that_is_another_owners_is_none() {
    let world = World::new();
    world.network.fail(
        "GET api.github.com/repos/acme/app/installation",
        crate::support::fault::Fault::Body(
            200,
            json!({ "id": 9, "account": { "login": "evil" } }).to_string(),
        ),
    );
    world.exchange().is(404, "installation_not_found");
}

type Change = fn(&mut serde_json::Value);

#[test]
fn a_wider_token_is_refused_and_revoked() {
    let distortions: [(&str, Change); 8] = [
        ("another permission", |answer| answer["permissions"]["issues"] = json!("read")),
        ("a higher level", |answer| answer["permissions"]["contents"] = json!("write")),
        ("an unknown level", |answer| answer["permissions"]["contents"] = json!("owner")),
        ("metadata above read", |answer| answer["permissions"]["metadata"] = json!("write")),
        ("another repository", |answer| {
            answer["repositories"] = json!([{ "name": "app" }, { "name": "docs" }])
        }),
        ("no repositories", |answer| drop(answer.as_object_mut().unwrap().remove("repositories"))),
        ("empty repositories", |answer| answer["repositories"] = json!([])),
        ("all repositories", |answer| answer["repository_selection"] = json!("all")),
    ];
    for (name, distort) in distortions {
        let world = World::new();
        world.exchange().granted();
        *world.github().distort.borrow_mut() = Some(Box::new(distort));
        let answer = world.exchange();
        answer.is(502, "upstream_error");
        assert!(world.github().ledger.borrow().last().unwrap().revoked, "{name}");
        assert_eq!(world.event()["outcome"], "upstream_error");
        assert!(world.event().get("token_sha256").is_none(), "{name}");
    }
}

#[test]
fn a_mint_that_cannot_be_read_is_refused_and_revoked_where_there_is_a_token() {
    let distortions: [(&str, Change); 4] = [
        ("no permissions", |answer| drop(answer.as_object_mut().unwrap().remove("permissions"))),
        ("no expiry", |answer| drop(answer.as_object_mut().unwrap().remove("expires_at"))),
        ("an expiry that is none", |answer| answer["expires_at"] = json!("tomorrow")),
        ("permissions of another shape", |answer| answer["permissions"] = json!(["contents"])),
    ];
    for (name, distort) in distortions {
        let world = World::new();
        world.exchange().granted();
        *world.github().distort.borrow_mut() = Some(Box::new(distort));
        world.exchange().is(502, "upstream_error");
        assert!(world.github().ledger.borrow().last().unwrap().revoked, "{name}");
    }
    for token in [json!(""), json!("gh s"), json!("gh\u{e9}"), json!(1)] {
        let world = World::new();
        *world.github().distort.borrow_mut() = Some(Box::new(move |answer| {
            if answer["permissions"]["contents"] == "read" && answer["repositories"][0]["name"] == "app" {
                answer["token"] = token.clone();
            }
        }));
        let answer = world.exchange();
        assert!(answer.status.is_server_error(), "{}", answer.text);
    }
}

#[test]
fn a_token_of_any_shape_is_delivered() {
    let world = World::new();
    world.exchange().granted();
    let token = format!("ghs_{}.{}~!", "x".repeat(900), "y".repeat(20));
    let shaped = token.clone();
    *world.github().distort.borrow_mut() = Some(Box::new(move |answer| answer["token"] = json!(shaped)));
    assert_eq!(world.exchange().granted(), token);
}

#[test]
fn fewer_permissions_than_asked_are_told_as_they_are() {
    let world = World::new();
    let text = POLICY.replace("contents: read", "contents: write\n  issues: write");
    world.github().commit("acme/app", ".github/chainguard/deploy.sts.yaml", &text);
    *world.github().distort.borrow_mut() = Some(Box::new(|answer| {
        if answer["permissions"]["contents"] == "write" {
            answer["permissions"] = json!({ "contents": "read", "metadata": "read" });
        }
    }));
    let answer = world.exchange();
    answer.granted();
    assert_eq!(answer.body["permissions"], json!({ "contents": "read" }));
}

#[test]
fn a_422_is_told_as_what_it_means() {
    let world = World::new();
    let text = POLICY.replace("contents: read", "deployments: write");
    world.github().commit("acme/app", ".github/chainguard/deploy.sts.yaml", &text);
    let answer = world.exchange();
    answer.is(403, "permission_denied");
    assert!(answer.message().contains("the installation lacks a permission"), "{}", answer.text);
}

/// A policy may pin the App that mints, by its name or its id; the refusal comes after the decision.
#[test]
fn a_policy_for_another_app_of_the_service_is_refused() {
    for (pin, name, granted) in [
        ("app: deploys", "deploys", true),
        ("app: '4711'", "deploys", true),
        ("app: '4711'", "", true),
        ("app_pattern: dep.*", "deploys", true),
        ("app: deploys", "Deploys", false),
        ("app: deploys", "", false),
        ("app_pattern: dep", "deploys", false),
        ("app: '1'", "deploys", false),
    ] {
        let world = World::with_settings(&[("GITHUB_APP_NAME", name)]);
        world.github().commit("acme/app", ".github/chainguard/deploy.sts.yaml", &format!("{POLICY}{pin}\n"));
        let answer = world.exchange();
        if granted {
            answer.granted();
        } else {
            answer.is(403, "permission_denied");
            assert_eq!(answer.message(), "the policy is for another app of this service");
        }
    }
}

/// Where the App is set by its client id, that is the id which a policy may pin; a number is another App's.
#[test]
fn an_app_that_is_set_by_its_client_id_is_pinned_by_it() {
    for (pin, granted) in [("app: Iv23liAbCdEf", true), ("app: iv23liabcdef", false), ("app: '4711'", false)]
    {
        let world = World::with_settings(&[("GITHUB_APP_ID", "Iv23liAbCdEf")]);
        world.github().commit("acme/app", ".github/chainguard/deploy.sts.yaml", &format!("{POLICY}{pin}\n"));
        let answer = world.exchange();
        if granted {
            answer.granted();
        } else {
            answer.is(403, "permission_denied");
        }
    }
}

/// A pin reveals nothing to callers that the policy does not admit, and ignores case.
#[test]
fn a_pin_is_held_against_the_app_after_the_decision() {
    let world = World::with_settings(&[("GITHUB_APP_NAME", "deploys")]);
    let policy = format!("{POLICY}app: releases\n");
    world.github().commit("acme/app", ".github/chainguard/deploy.sts.yaml", &policy);
    let foreign = world.token_with(&json!({ "sub": "repo:acme/app:ref:refs/heads/dev" }));
    let answer = world.exchange_with("acme/app", "deploy", &foreign);
    answer.is(403, "permission_denied");
    assert!(answer.message().contains("does not satisfy the policy"), "{}", answer.text);
    assert!(!answer.message().contains("another app"), "{}", answer.text);
    assert_eq!(world.network.count("access_tokens"), 2, "nothing but the reading tokens was minted");
}

/// However a request under `/sts/` ends, it has one event, with the answer's id.
#[test]
fn whatever_is_wrong_with_a_request_there_is_one_event() {
    let json = ("content-type", "application/json");
    let large = format!(r#"{{"scope":"acme/app","identity":"deploy","more":"{}"}}"#, "x".repeat(64 * 1024));
    let authorized = ("authorization", "Bearer ghs_0123456789abcdef");
    for (method, target, headers, body, setting, kind, outcome) in [
        ("POST", "/sts/exchange", vec![json], large.as_str(), "", "exchange", "payload_too_large"),
        ("POST", "/sts/exchange", vec![], "x", "", "exchange", "unsupported_media_type"),
        ("POST", "/sts/exchange", vec![json], "[]", "", "exchange", "invalid_request"),
        ("GET", "/sts/exchange", vec![], "", "", "exchange", "invalid_request"),
        ("GET", "/sts/exchange?scope=acme/app&identity=deploy", vec![], "", "", "exchange", "invalid_token"),
        (
            "GET",
            "/sts/exchange/?scope=acme/app&identity=x",
            vec![],
            "",
            "DOMAIN",
            "exchange",
            "misconfigured",
        ),
        ("HEAD", "/sts/exchange", vec![], "", "", "exchange", "method_not_allowed"),
        ("OPTIONS", "/sts/exchange", vec![], "", "", "exchange", "method_not_allowed"),
        ("GET", "/sts/revoke", vec![authorized], "", "", "revoke", "method_not_allowed"),
        ("POST", "/sts/revoke", vec![], "", "", "revoke", "invalid_token"),
        ("POST", "/sts/revoke", vec![("authorization", "Bearer x")], "", "", "revoke", "invalid_request"),
        ("POST", "/sts/revoke", vec![authorized], "", "GITHUB_BASE_URL", "revoke", "misconfigured"),
    ] {
        let world = match setting {
            "" => World::new(),
            "GITHUB_BASE_URL" => World::with_settings(&[(setting, "x")]),
            missing => World::new().without(missing),
        };
        let answer = world.call(method.parse().unwrap(), target, &headers, body);
        let what = format!("{method} {target} {outcome}");
        let events = world.events();
        assert_eq!(events.len(), 1, "{what}");
        assert_eq!((&events[0]["event"], &events[0]["outcome"]), (&json!(kind), &json!(outcome)), "{what}");
        assert_eq!(answer.header("x-request-id"), events[0]["request_id"].as_str(), "{what}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{what}");
        assert_eq!(answer.sent.len(), 0, "{what}");
        assert!(method != "HEAD" || answer.text.is_empty(), "{what}");
    }
}
