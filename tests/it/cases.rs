//! How the Go service behaves, as data (`tests/data/cases`). Every case is run here or is listed with its reason in
//! `differences-service.json`; none is skipped silently.

use std::collections::BTreeSet;

use http::Method;
use octo_sts_worker::github::BaseUrl;
use serde_json::{Value, json};

use crate::support::fault::Fault;
use crate::support::{Answer, GITHUB_ACTIONS, World};

fn file(name: &str) -> Value {
    let path = format!("{}/tests/data/cases/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn cases(name: &str) -> Vec<Value> {
    file(name)["cases"].as_array().unwrap().clone()
}

fn name(case: &Value) -> &str {
    case["name"].as_str().unwrap()
}

/// The cases of a file on which we differ: their names.
fn differing(of: &str) -> BTreeSet<String> {
    let listed = file("differences-service.json");
    let listed = listed.as_array().unwrap().iter().filter(|row| row["file"] == of);
    listed
        .map(|row| {
            assert!(row["reason"].as_str().is_some_and(|reason| reason.len() > 20), "a reason: {row}");
            row["case"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// Runs the cases that `run` knows, and compares the rest with the list of differences; every entry is a case of the
/// file.
fn run_all(of: &str, run: impl Fn(&Value) -> bool) {
    let differing = differing(of);
    let mut seen = BTreeSet::new();
    for case in cases(of) {
        let listed = differing.contains(name(&case));
        let ran = run(&case);
        assert!(
            ran != listed,
            "{of}: {} {}",
            name(&case),
            if ran { "is listed, but runs" } else { "is neither run nor listed" }
        );
        seen.insert(name(&case).to_owned());
    }
    assert!(differing.is_subset(&seen), "{of}: a difference that is no case");
}

/// gRPC's codes as the Go service's gateway maps them to HTTP.
fn status(code: &str) -> u16 {
    match code {
        "OK" => 200,
        "InvalidArgument" | "FailedPrecondition" => 400,
        "Unauthenticated" => 401,
        "PermissionDenied" => 403,
        "NotFound" => 404,
        "ResourceExhausted" => 429,
        "Unavailable" => 503,
        other => unknown_code(other),
    }
}

fn unknown_code(code: &str) -> u16 {
    assert_eq!(code, "", "an unknown code");
    0
}

/// A world with the case's organizations, files and faults.
fn world_of(input: &Value) -> World {
    let policy_repository = input["config"]["ORG_POLICY_REPO"].as_str().unwrap_or(".github");
    let world = World::with_settings(&[("ORG_POLICY_REPO", policy_repository)]);
    let mut owners = vec!["org", "orgallow", "orgdeny", "orgaudit", "orgbad"];
    if input["configured_orgs"].is_null() {
        owners.push("other-org");
    }
    for (index, owner) in owners.iter().enumerate() {
        let id = 100 + u64::try_from(index).unwrap();
        world.github().install(id, owner, &["repo", ".github", "my-policies"]);
        let policy = "issuer: https://token.actions.githubusercontent.com\nsubject: foo\naudience: octosts\n\npermissions:\n  pull_requests: write\n";
        world.github().commit(&format!("{owner}/repo"), ".github/chainguard/foo.sts.yaml", policy);
    }
    for (repository, files) in input["files"].as_object().into_iter().flatten() {
        for (path, text) in files.as_object().unwrap() {
            world.github().commit(repository, path, text.as_str().unwrap());
        }
    }
    match &input["github"]["contents"] {
        Value::Number(status) => {
            world.network.fail("/contents/", Fault::Status(status.as_u64().unwrap().try_into().unwrap()));
        }
        Value::Object(answer) => {
            let status = answer["status"].as_u64().unwrap().try_into().unwrap();
            let remaining = answer["headers"]["X-RateLimit-Remaining"].as_str().unwrap().to_owned();
            world.network.fail("/contents/", Fault::StatusWith(status, "x-ratelimit-remaining", remaining));
        }
        Value::Null => {}
        other @ (Value::Bool(_) | Value::String(_) | Value::Array(_)) => assert!(other.is_null(), "{other}"),
    }
    world
}

fn exchanged(world: &World, input: &Value) -> Answer {
    let token = world.token_with(&json!({ "sub": "foo", "aud": ["octosts"], "exp": world.now() + 600 }));
    let authorization = format!("Bearer {token}");
    let asked = if input.get("request").is_some() { &input["request"] } else { input };
    let query: Vec<String> = ["scope", "identity"]
        .iter()
        .filter_map(|name| Some(format!("{name}={}", asked[name].as_str()?)))
        .collect();
    let target = format!("/sts/exchange?{}", query.join("&"));
    world.call(Method::GET, &target, &[("authorization", &authorization)], "")
}

#[test]
fn exchange() {
    run_all("exchange.json", |case| {
        let (input, expected) = (&case["input"], &case["expected"]);
        match name(case) {
            "first app rate limited, second works" | "all apps rate limited" | "invalid config denied" => {
                return false;
            }
            "missing policy is negatively cached" => {
                let world = world_of(input);
                for _ in 0..2 {
                    exchanged(&world, input).is(404, "policy_not_found");
                }
                // A second time because the token was young, and not a third time.
                assert_eq!(world.network.count("contents/.github/chainguard/does-not-exist.sts.yaml"), 2);
            }
            "negative cache hit needs no installation token" => {
                let asked = json!({ "scope": "org/repo", "identity": "cached-missing" });
                let world = world_of(input);
                exchanged(&world, &asked).is(404, "policy_not_found");
                let minted = world.network.count("access_tokens");
                exchanged(&world, &asked).is(404, "policy_not_found");
                assert_eq!(world.network.count("access_tokens"), minted);
            }
            "stale policy served while rate limited" => {
                let asked = json!({ "scope": "org/repo", "identity": "foo" });
                let world = world_of(input);
                exchanged(&world, &asked).granted();
                world.advance(301);
                world
                    .network
                    .fail("/contents/", Fault::StatusWith(403, "x-ratelimit-remaining", "0".to_owned()));
                exchanged(&world, &asked).granted();
                let reads = world.network.count("contents/.github/chainguard/foo");
                exchanged(&world, &asked).granted();
                assert_eq!(
                    world.network.count("contents/.github/chainguard/foo"),
                    reads,
                    "not asked again at once"
                );
            }
            "allowlist verdict is cached" => {
                let world = world_of(input);
                exchanged(&world, input).granted();
                exchanged(&world, input).granted();
                assert_eq!(world.network.count("trusted-token-issuers.yaml"), 2, "seen absent twice");
            }
            "audit decision recorded on event" => {
                let world = world_of(input);
                world.github().commit(
                    "orgaudit/.github",
                    ".github/chainguard/trusted-token-issuers.yaml",
                    "mode: audit\nissuers:\n  - https://some-other-idp.example.com\n",
                );
                exchanged(&world, input).granted();
                assert_eq!(world.events().len(), 1);
                let organization = &world.event()["organization"];
                assert_eq!(
                    (&organization["mode"], &organization["allowed"]),
                    (&json!("audit"), &json!(true))
                );
                assert_eq!(world.event()["issuer"], GITHUB_ACTIONS);
            }
            "uninstalled owner reads no allowlist" => {
                let world = world_of(input);
                world.github().installations.borrow_mut().clear();
                exchanged(&world, input).is(404, "installation_not_found");
                assert_eq!(world.network.count("trusted-token-issuers.yaml"), 0);
            }
            "denied message leaks nothing" => {
                let world = world_of(&json!({}));
                world.github().install(200, "leaky-org", &["repo", ".github"]);
                let list = "issuers: [https://secret-idp.internal.example.com]\n";
                world.github().commit(
                    "leaky-org/.github",
                    ".github/chainguard/trusted-token-issuers.yaml",
                    list,
                );
                let answer = exchanged(&world, &json!({ "scope": "leaky-org/repo", "identity": "foo" }));
                answer.is(403, "permission_denied");
                for text in expected["message_must_not_contain"].as_array().unwrap() {
                    assert!(!answer.text.contains(text.as_str().unwrap()), "{}", answer.text);
                }
            }
            _ => {
                let world = world_of(input);
                let answer = exchanged(&world, input);
                if expected["code"] == "error" {
                    assert!(!answer.status.is_success(), "{}", name(case));
                } else {
                    assert_eq!(
                        answer.status.as_u16(),
                        status(expected["code"].as_str().unwrap()),
                        "{}: {}",
                        name(case),
                        answer.text
                    );
                }
                if let Some(minted) = expected.get("minted") {
                    let token = answer.granted();
                    let ours = world.github().minted().into_iter().find(|m| m.token == token).unwrap();
                    assert_eq!(
                        (&ours.permissions, &ours.repositories),
                        (&minted["permissions"], &minted["repositories"])
                    );
                }
            }
        }
        true
    });
}

#[test]
fn base_urls() {
    run_all("github-base-url.json", |case| {
        let input = case["input"].as_str().unwrap();
        let base = if input.is_empty() { BaseUrl::default() } else { BaseUrl::parse(input).unwrap() };
        assert_eq!(format!("{base}/"), case["expected"], "{}", name(case));
        true
    });
}

/// A failing answer, from its status and headers. `None`: no answer at all.
fn fault_of(input: &Value, key: &str) -> Fault {
    let Some(status) = input[key].as_u64() else {
        return Fault::Refused;
    };
    let status = status.try_into().unwrap();
    let header = |name: &str| input["headers"][name].as_str().map(str::to_owned);
    match (header("Retry-After"), header("X-RateLimit-Remaining")) {
        (Some(after), _) => Fault::StatusWith(status, "retry-after", after),
        (None, Some(remaining)) => Fault::StatusWith(status, "x-ratelimit-remaining", remaining),
        (None, None) => Fault::Status(status),
    }
}

#[test]
fn mint_errors_while_reading_the_organizations_issuers() {
    run_all("mint-error-classify.json", |case| {
        let world = World::new();
        world.network.fail_times("access_tokens", fault_of(&case["input"], "github_status"), 1);
        let answer = world.exchange();
        let state = world.event()["organization"]["state"].clone();
        match case["expected"]["kind"].as_str().unwrap() {
            // The App cannot read the repository: permitted, and the policy is read next.
            "noAccess" => {
                assert_eq!((answer.status.as_u16(), state), (200, json!("unreadable")), "{}", name(case))
            }
            "rateLimited" => {
                assert_eq!((answer.status.as_u16(), state), (429, json!("unknown")), "{}", name(case))
            }
            "failed" => {
                assert_eq!((answer.status.as_u16(), state), (503, json!("unknown")), "{}", name(case))
            }
            _ => return false,
        }
        true
    });
}

#[test]
fn rate_limits() {
    run_all("rate-limit-classify.json", |case| {
        let (input, expected) = (&case["input"], &case["expected"]["allowlist_isOrgIssuerRateLimit"]);
        let world = World::new();
        match (input["status"].as_u64(), input["typed"].as_str()) {
            (None, _) => {}
            (Some(_), Some("RateLimitError")) => {
                world.network.fail(
                    "trusted-token-issuers",
                    Fault::StatusWith(403, "x-ratelimit-remaining", "0".to_owned()),
                );
            }
            (Some(_), Some(_)) => {
                world
                    .network
                    .fail("trusted-token-issuers", Fault::StatusWith(403, "retry-after", "60".to_owned()));
            }
            (Some(status), None) => {
                world.network.fail("trusted-token-issuers", Fault::Status(status.try_into().unwrap()))
            }
        }
        assert_eq!(json!(world.exchange().status.as_u16() == 429), *expected, "{}", name(case));
        true
    });
}

#[test]
fn revocations() {
    run_all("revoke.json", |case| {
        let (input, expected) = (&case["input"], &case["expected"]);
        if name(case) == "TestRevokeNon204StatusReturnsError" {
            return false;
        }
        let base = if name(case) == "TestRevoke" {
            "https://ghes.example.com/api/v3"
        } else {
            "https://ghes.example.com/api/v3/"
        };
        let world = World::with_settings(&[("GITHUB_BASE_URL", base)]);
        let status = input["answer"].as_u64().unwrap().try_into().unwrap();
        world.network.fail("DELETE", Fault::Body(status, String::new()));
        let headers = [("authorization", "Bearer ghs_test-token")];
        let answer = world.call(Method::POST, "/sts/revoke", &headers, "");
        assert_eq!(json!(answer.status.as_u16() != 204), expected["error"], "{}", name(case));
        assert_eq!(answer.sent, ["DELETE ghes.example.com/api/v3/installation/token"]);
        true
    });
}

const LIST_PATH: &str = ".github/chainguard/trusted-token-issuers.yaml";
const LIST: &str = "contents/.github/chainguard/trusted-token-issuers.yaml";

/// The organization's side of one App: what of the Go service's look-up over many installations is left with one.
#[test]
fn organization_look_ups() {
    let limited = || Fault::StatusWith(403, "x-ratelimit-remaining", "0".to_owned());
    let list = format!("issuers: [{GITHUB_ACTIONS}]\n");
    let blind =
        |world: &World| world.github().alter("acme", |i| i.repositories.retain(|name| name != ".github"));
    let state = |world: &World| world.event()["organization"]["state"].clone();
    run_all("org-issuer-lookup.json", |case| {
        let world = World::new();
        match name(case) {
            "TestFetchOrgIssuersOnce" => {
                world.github().commit("acme/.github", LIST_PATH, &list);
                world.exchange().granted();
                assert_eq!(world.event()["organization"]["mode"], case["expected"]["mode"]);
                assert_eq!(state(&world), "present");
            }
            "TestFetchOrgIssuersOnceAbsent" | "TestLookupAbsentFileIsCachedAbsent" => {
                world.exchange().granted();
                world.exchange().granted();
                assert_eq!((state(&world), world.network.count(LIST)), (json!("absent"), 2));
            }
            "TestFetchOrgIssuersOnceInvalid" | "TestLookupInvalidWithoutStaleReturnsInvalid" => {
                world.github().commit("acme/.github", LIST_PATH, "enabled: true\n");
                world.exchange().is(403, "permission_denied");
                assert_eq!(state(&world), "invalid");
            }
            "TestFetchOrgIssuersOnceDirectory" => {
                world.github().put("acme/.github", LIST_PATH, json!([]));
                world.exchange().is(403, "permission_denied");
                assert_eq!(state(&world), "invalid");
            }
            "TestFetchOrgIssuersOnceMintsLeastPrivilegeToken" => {
                world.exchange().granted();
                let minted = world.github().ledger.borrow()[0].clone();
                assert_eq!(
                    json!({ "repositories": minted.repositories, "permissions": minted.permissions }),
                    case["expected"]["minted"]
                );
            }
            "TestLookupServesStaleOnRateLimit" => {
                world.github().commit(
                    "acme/.github",
                    LIST_PATH,
                    "mode: audit\nissuers: [https://idp.example.com]\n",
                );
                world.exchange().granted();
                world.advance(301);
                world.network.fail(LIST, limited());
                world.exchange().granted();
                let organization = world.event()["organization"].clone();
                assert_eq!((&organization["mode"], &organization["stale"]), (&json!("audit"), &json!(true)));
                let reads = world.network.count(LIST);
                world.exchange().granted();
                assert_eq!(world.network.count(LIST), reads + 1, "a stale list is not taken for a fresh one");
            }
            "TestLookupRateLimitedWithoutStaleDenies" => {
                world.network.fail(LIST, limited());
                world.exchange().is(429, "rate_limited");
                world.network.heal();
                world.exchange().granted();
            }
            "TestLookupInvalidServesLastKnownGood" => {
                world.github().commit("acme/.github", LIST_PATH, &list);
                world.exchange().granted();
                world.github().commit("acme/.github", LIST_PATH, "enabled: true\n");
                world.advance(301);
                world.exchange().granted();
                assert_eq!(world.event()["organization"]["stale"], true);
            }
            "TestLookupInvalidIgnoresStaleAbsent" => {
                world.exchange().granted();
                world.github().commit("acme/.github", LIST_PATH, "enabled: true\n");
                world.advance(301);
                world.exchange().is(403, "permission_denied");
            }
            "TestLookupAllInstallationsBlindIsAbsent"
            | "TestLookupNewlyFoundInstallationBlindIsAbsent"
            | "TestLookupConfirmSubsetIsAbsent" => {
                blind(&world);
                world.exchange().granted();
                world.exchange().granted();
                assert_eq!(
                    (state(&world), world.network.count("/repos/acme/app/installation")),
                    (json!("unreadable"), 1)
                );
            }
            "TestLookupAllBlindWithStaleFallsOpen" => {
                world.github().commit("acme/.github", LIST_PATH, "issuers: [https://idp.example.com]\n");
                world.exchange().is(403, "permission_denied");
                blind(&world);
                world.advance(301);
                world.exchange().granted();
                assert_eq!(state(&world), "unreadable");
            }
            "TestLookupConfirmsBeforeGrantingAllowAll" => {
                blind(&world);
                world.exchange().granted();
                world.advance(301);
                world.github().alter("acme", |i| i.owner = "acme-old".to_owned());
                world.github().install(2, "acme", &["app", ".github"]);
                world.github().commit("acme/.github", LIST_PATH, &list);
                world.exchange().granted();
                assert_eq!(state(&world), "present");
            }
            "TestLookupFailedConfirmNeverCachesAbsent" | "TestLookupPartialEnumerationNeverCachesAbsent" => {
                // An installation from KV, nothing known of the list, and GitHub failing at the fresh look.
                world.exchange_for("acme/app", "other").is(404, "policy_not_found");
                world.kv.entries.borrow_mut().retain(|key, _| !key.contains("trusted-issuers"));
                let isolate = world.twin();
                blind(&isolate);
                isolate.network.fail("/repos/acme/app/installation", Fault::Status(500));
                isolate.exchange().is(503, "unavailable");
                assert!(!isolate.kv.values().iter().any(|value| value.contains("trusted-issuers")));
            }
            "TestLookupNewlyFoundInstallationRateLimitedFailsClosed" => {
                world.exchange_for("acme/app", "other").is(404, "policy_not_found");
                world.kv.entries.borrow_mut().retain(|key, _| !key.contains("trusted-issuers"));
                let isolate = world.twin();
                blind(&isolate);
                isolate.github().install(2, "acme", &["app", ".github"]);
                isolate.github().installations.borrow_mut().reverse();
                isolate.network.fail("installations/2/access_tokens", limited());
                isolate.exchange().is(429, "rate_limited");
            }
            "TestLookupBlindPlusFailedIsNotAbsent" => {
                world.network.fail(LIST, Fault::Status(502));
                world.exchange().is(503, "unavailable");
                assert!(!world.kv.values().iter().any(|value| value.contains("trusted-issuers")));
            }
            "TestLookupEmptyEnumerationIsNotAbsent" => {
                world.github().installations.borrow_mut().clear();
                world.exchange().is(404, "installation_not_found");
                assert!(!world.kv.values().iter().any(|value| value.contains("trusted-issuers")));
            }
            "TestStaleEntryIsNotReseededIntoPrimary" => {
                world.exchange().granted();
                world.advance(301);
                world.network.fail(LIST, Fault::Status(500));
                for _ in 0..2 {
                    world.exchange().granted();
                    assert_eq!(
                        world.event()["organization"],
                        json!({ "state": "absent", "allowed": true, "stale": true })
                    );
                }
                assert_eq!(world.network.count(LIST), 4);
            }
            "TestLookupSurvivesOneBlindInstallation"
            | "TestLookupMintRateLimitRetriesNextInstallation"
            | "TestOrgIssuerLookupSingleFlightsColdBurst"
            | "TestOrgIssuerLookupWaiterHonorsOwnContext" => return false,
            other => assert_eq!(other, "", "an unknown case"),
        }
        true
    });
}
