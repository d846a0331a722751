//! Settings: each problem is named, and disables exactly the routes that need the setting.

use http::Method;
use serde_json::{Value, json};

use crate::support::World;

fn readiness(world: &World) -> (u16, Value) {
    let answer = world.call(Method::GET, "/readyz", &[], "");
    (answer.status.as_u16(), answer.body)
}

#[test]
fn a_missing_required_setting_closes_the_exchange_by_name() {
    for name in ["DOMAIN", "GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY", "OCTO_STS_KV"] {
        let world = World::new().without(name);
        let answer = world.exchange();
        answer.is(500, "misconfigured");
        assert_eq!(answer.body["code"], 13);
        assert!(answer.message().contains(name), "{}", answer.text);
        assert_eq!(answer.sent.len(), 0);
        assert_eq!(
            readiness(&world),
            (503, json!({ "status": "unready", "missing": [name], "malformed": [] }))
        );
        assert_eq!(world.event()["outcome"], "misconfigured");
    }
    let world = World::new().without("GITHUB_WEBHOOK_SECRET");
    world.exchange().granted();
    let listed = json!({ "status": "ready", "missing": ["GITHUB_WEBHOOK_SECRET"], "malformed": [] });
    assert_eq!(readiness(&world), (200, listed));
}

#[test]
fn an_empty_required_setting_is_missing() {
    for name in ["DOMAIN", "GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY"] {
        let world = World::with_settings(&[(name, "")]);
        world.exchange().is(500, "misconfigured");
        assert_eq!(readiness(&world).1["missing"], json!([name]));
    }
}

#[test]
fn malformed_settings_close_the_exchange() {
    for (name, value) in [
        ("DOMAIN", "https://sts.example.com"),
        ("DOMAIN", "sts.example.com/path"),
        ("DOMAIN", "sts.example.com:8443"),
        ("DOMAIN", "sts..example.com"),
        ("DOMAIN", " sts.example.com"),
        ("GITHUB_APP_ID", "47 11"),
        ("GITHUB_APP_ID", "47/11"),
        ("GITHUB_APP_PRIVATE_KEY", "hunter2-not-a-key"),
        ("GITHUB_BASE_URL", "api.github.com"),
        ("GITHUB_BASE_URL", "http://github.example.com"),
        ("ORG_POLICY_REPO", ""),
        ("ORG_POLICY_REPO", "a/b"),
        ("ALLOWED_ISSUERS", ""),
        ("ALLOWED_ISSUERS", " , "),
        ("ALLOWED_ISSUERS", "token.actions.githubusercontent.com"),
        ("ALLOWED_ISSUERS", "https://a.example.com,,https://b.example.com"),
        ("MAX_TOKEN_LIFETIME_SECONDS", ""),
        ("MAX_TOKEN_LIFETIME_SECONDS", "0"),
        ("MAX_TOKEN_LIFETIME_SECONDS", "-1"),
        ("MAX_TOKEN_LIFETIME_SECONDS", "1h"),
        ("SINGLE_USE_TOKENS", ""),
        ("SINGLE_USE_TOKENS", "sometimes"),
    ] {
        let world = World::with_settings(&[(name, value)]);
        let answer = world.exchange();
        answer.is(500, "misconfigured");
        assert!(answer.message().contains(name));
        let (status, body) = readiness(&world);
        assert_eq!((status, &body["malformed"]), (503, &json!([name])), "{name}={value}");
        if value.len() > 6 {
            assert!(
                !answer.text.contains(value) && !body.to_string().contains(value),
                "{name}: a value was told"
            );
        }
    }
}

#[test]
fn some_malformed_settings_close_nothing() {
    for (name, value) in [
        ("LOG_LEVEL", "verbose"),
        ("LOG_LEVEL", "INFO"),
        ("EVENT_INGRESS_URI", "events"),
        ("EVENT_INGRESS_URI", "ftp://events.example.com/"),
        ("EVENT_INGRESS_URI", "https://user@events.example.com/"),
        ("ALLOW_LOOPBACK_HTTP", "yes"),
        ("WEBHOOK_REPORT_ALWAYS", "yes"),
    ] {
        let world = World::with_settings(&[(name, value)]);
        world.exchange().granted();
        let (status, body) = readiness(&world);
        assert_eq!((status, body), (200, json!({ "status": "ready", "missing": [], "malformed": [name] })));
    }
}

#[test]
fn every_problem_is_found_at_once() {
    let world = World::with_settings(&[("ORG_POLICY_REPO", ""), ("LOG_LEVEL", "x")])
        .without("DOMAIN")
        .without("OCTO_STS_KV");
    let answer = world.exchange();
    for name in ["DOMAIN", "OCTO_STS_KV", "ORG_POLICY_REPO"] {
        assert!(answer.message().contains(name), "{}", answer.text);
    }
    let (_, body) = readiness(&world);
    assert_eq!(body["missing"], json!(["DOMAIN", "OCTO_STS_KV"]));
    assert_eq!(body["malformed"], json!(["LOG_LEVEL", "ORG_POLICY_REPO"]));
}

#[test]
fn a_malformed_filter_closes_the_webhook_alone() {
    let world = World::with_settings(&[("GITHUB_WEBHOOK_ORGANIZATION_FILTER", "")]);
    world.exchange().granted();
    assert_eq!(readiness(&world).0, 200);
}

#[test]
fn health_needs_no_configuration() {
    let world = World::new().without("DOMAIN").without("OCTO_STS_KV").without("GITHUB_APP_ID");
    assert_eq!(world.call(Method::GET, "/healthz", &[], "").status.as_u16(), 200);
    assert_eq!(world.call(Method::GET, "/", &[], "").status.as_u16(), 200);
}

#[test]
fn only_listed_issuers_are_spoken_to() {
    let world =
        World::with_settings(&[("ALLOWED_ISSUERS", "https://idp.example.com, https://other.example.com/")]);
    let answer = world.exchange();
    answer.is(401, "invalid_token");
    assert_eq!(answer.sent.len(), 0);
    let world = World::with_settings(&[("ALLOWED_ISSUERS", crate::support::GITHUB_ACTIONS)]);
    world.exchange().granted();
}

#[test]
fn the_policy_repository_has_a_name_of_choice() {
    let world = World::with_settings(&[("ORG_POLICY_REPO", "Docs")]);
    world.github().commit("acme/docs", ".github/chainguard/deploy.sts.yaml", crate::support::POLICY);
    world.exchange_for("acme", "deploy").granted();
    assert_eq!(world.network.count("acme/.github"), 0);
}

#[test]
fn an_enterprise_server_is_spoken_to_where_it_is() {
    let world = World::with_settings(&[("GITHUB_BASE_URL", "https://ghes.example.com")]);
    world.exchange().is(503, "unavailable");
    assert_eq!(world.network.count("GET ghes.example.com/api/v3/repos/acme/app/installation"), 1);
}

#[test]
fn the_log_level_is_the_operators() {
    let world = World::with_settings(&[("LOG_LEVEL", "error")]);
    world.kv.broken.set(true);
    world.exchange().granted();
    assert!(world.log.lines().iter().all(|line| line.get("event").is_some()), "{:?}", world.log.texts());
    assert_eq!(world.events().len(), 1, "audit events are no matter of level");
}

/// One of a few fixed words, in `/readyz` and in the log; never a byte of the key.
#[test]
fn why_a_private_key_is_malformed_is_told_in_one_word() {
    let good = crate::support::keys::app_private_key_pem();
    let relabelled = |label: &str| good.replace("PRIVATE KEY", label);
    let cut: String = good.chars().take(400).collect();
    for (pem, why) in [
        (relabelled("ENCRYPTED PRIVATE KEY"), "encrypted"),
        (relabelled("OPENSSH PRIVATE KEY"), "openssh"),
        ("hunter2-not-a-key".to_owned(), "no-pem"),
        (relabelled("EC PRIVATE KEY"), "not-rsa"),
        (relabelled("PUBLIC KEY"), "public-key"),
        (base64(&good), "base64-of-pem"),
        (cut, "truncated"),
    ] {
        let world = World::with_settings(&[("GITHUB_APP_PRIVATE_KEY", &pem)]);
        let (status, body) = readiness(&world);
        let told = json!({ "GITHUB_APP_PRIVATE_KEY": why });
        assert_eq!((status, &body["reasons"]), (503, &told));
        assert_eq!(body["malformed"], json!(["GITHUB_APP_PRIVATE_KEY"]));
        let answer = world.exchange();
        answer.is(500, "misconfigured");
        let logged = world.log.lines().into_iter().find(|line| line.get("reasons").is_some()).unwrap();
        assert_eq!(logged["reasons"], format!("GITHUB_APP_PRIVATE_KEY: {why}"));
        let inside = pem.lines().nth(1).unwrap_or(&pem).chars().take(24).collect::<String>();
        for text in [body.to_string(), answer.text].into_iter().chain(world.log.texts()) {
            assert!(!text.contains(&inside), "{text}");
        }

        // The other key of a rotation disables nothing.
        let world = World::with_settings(&[("GITHUB_APP_PRIVATE_KEY_PREVIOUS", &pem)]);
        world.exchange().granted();
        let (status, body) = readiness(&world);
        assert!(
            world.log.lines().iter().any(|line| {
                line["setting"] == "GITHUB_APP_PRIVATE_KEY_PREVIOUS" && line["reason"] == why
            })
        );
        let told = json!({ "GITHUB_APP_PRIVATE_KEY_PREVIOUS": why });
        assert_eq!((status, &body["reasons"]), (200, &told));
        assert_eq!(body["malformed"], json!(["GITHUB_APP_PRIVATE_KEY_PREVIOUS"]));
    }
    let world = World::with_settings(&[("GITHUB_APP_PRIVATE_KEY_PREVIOUS", ""), ("GITHUB_APP_NAME", "")]);
    assert_eq!(readiness(&world), (200, json!({ "status": "ready", "missing": [], "malformed": [] })));
}

/// The keys that the service signs with as an issuer are read by the same rules.
#[test]
fn why_a_key_of_the_issuer_is_malformed_is_told_too() {
    let cut: String = crate::support::keys::app_private_key_pem().chars().take(400).collect();
    for name in ["ISSUER_PRIVATE_KEY", "ISSUER_PRIVATE_KEY_NEXT", "ISSUER_PRIVATE_KEY_PREVIOUS"] {
        let world = World::with_settings(&[(name, &cut)]);
        let listed = json!({
            "status": "ready", "missing": [], "malformed": [name], "reasons": { name: "truncated" },
        });
        assert_eq!(readiness(&world), (200, listed));
        let logged = |line: &Value| line["setting"] == name && line["reason"] == "truncated";
        assert_eq!(world.log.lines().iter().any(logged), name != "ISSUER_PRIVATE_KEY");
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
