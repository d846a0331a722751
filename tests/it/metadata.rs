//! The service as an issuer: what it publishes, and when it is off.

use aws_lc_rs::rsa::KeySize;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::keys::{app_private_key_pem, issuer_key_pem, rsa_pem};
use crate::support::{Answer, World};

const OPENID: &str = "/.well-known/openid-configuration";
const JWKS: &str = "/.well-known/jwks.json";
const SERVER: &str = "/.well-known/oauth-authorization-server";

fn get(world: &World, path: &str) -> Answer {
    world.call(Method::GET, path, &[], "")
}

fn issuing() -> World {
    World::with_settings(&[("ISSUER_PRIVATE_KEY", &issuer_key_pem("current"))])
}

fn kids(world: &World) -> Vec<String> {
    let answer = get(world, JWKS);
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_three_documents_say_exactly_what_the_page_says() {
    let world = issuing();
    let exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
    assert_eq!(
        get(&world, OPENID).body,
        json!({
            "issuer": "https://sts.example.com",
            "jwks_uri": "https://sts.example.com/.well-known/jwks.json",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid"],
            "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nbf", "jti"],
            "token_endpoint": "https://sts.example.com/sts/token",
            "grant_types_supported": [exchange],
            "token_endpoint_auth_methods_supported": ["none"],
        })
    );
    let server = get(&world, SERVER).body;
    assert_eq!(
        server,
        json!({
            "issuer": "https://sts.example.com",
            "token_endpoint": "https://sts.example.com/sts/token",
            "grant_types_supported": [exchange],
            "token_endpoint_auth_methods_supported": ["none"],
            "response_types_supported": [],
            "jwks_uri": "https://sts.example.com/.well-known/jwks.json",
            "service_documentation": get(&world, "/").body["documentation"],
        })
    );
    for path in [OPENID, JWKS, SERVER] {
        for target in [path.to_owned(), format!("{path}/")] {
            let answer = get(&world, &target);
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert!(answer.header("x-request-id").is_some());
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
        let head = world.call(Method::HEAD, path, &[], "");
        assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
        let post = world.call(Method::POST, path, &[], "");
        post.is(405, "method_not_allowed");
        assert_eq!(post.header("allow"), Some("GET, HEAD"));
    }
    assert_eq!(world.network.requests.borrow().len(), 0);
    assert_eq!((world.signatures.signed.get(), world.signatures.verified.get()), (0, 0));
    assert_eq!(world.kv.reads.get(), 0);
    assert!(world.events().is_empty());
}

#[test]
fn a_key_is_named_by_its_thumbprint_and_published_with_nothing_private() {
    let world = issuing();
    let set = get(&world, JWKS).body;
    let key = &set["keys"][0];
    let members: Vec<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
    assert_eq!((&key["alg"], &key["kty"], &key["use"]), (&json!("RS256"), &json!("RSA"), &json!("sig")));
    let canonical = json!({ "e": key["e"], "kty": "RSA", "n": key["n"] }).to_string();
    assert_eq!(key["kid"], URL_SAFE_NO_PAD.encode(Sha256::digest(canonical)));
    assert_eq!(URL_SAFE_NO_PAD.decode(key["n"].as_str().unwrap()).unwrap().len(), 256);
}

#[test]
fn the_set_has_the_current_key_first_and_each_once() {
    let [current, next, previous] = ["current", "next", "previous"].map(issuer_key_pem);
    let of = |settings: &[(&'static str, &str)]| kids(&World::with_settings(settings));
    let [a, b, c] = [&current, &next, &previous].map(|pem| of(&[("ISSUER_PRIVATE_KEY", pem)])[0].clone());
    let all = of(&[
        ("ISSUER_PRIVATE_KEY", &current),
        ("ISSUER_PRIVATE_KEY_NEXT", &next),
        ("ISSUER_PRIVATE_KEY_PREVIOUS", &previous),
    ]);
    assert_eq!(all, [a.clone(), b.clone(), c.clone()]);
    let twice = of(&[
        ("ISSUER_PRIVATE_KEY", &current.replace('\n', "\\n")),
        ("ISSUER_PRIVATE_KEY_NEXT", &current),
        ("ISSUER_PRIVATE_KEY_PREVIOUS", &previous),
    ]);
    assert_eq!(twice, [a, c]);
    let empty = of(&[("ISSUER_PRIVATE_KEY", &next), ("ISSUER_PRIVATE_KEY_NEXT", "")]);
    assert_eq!(empty, [b]);
}

/// The runbook of a rotation: a relying party may hold the set of its own step, of the step before, or of any later one
/// that still publishes the key.
#[test]
fn a_token_verifies_at_every_step_of_a_rotation() {
    let [old, new] = ["old", "new"].map(issuer_key_pem);
    let (key, next, previous) =
        ("ISSUER_PRIVATE_KEY", "ISSUER_PRIVATE_KEY_NEXT", "ISSUER_PRIVATE_KEY_PREVIOUS");
    let steps: [&[(&'static str, &str)]; 6] = [
        &[(key, &old)],
        &[(key, &old), (next, &new)],
        &[(key, &old), (next, &new), (previous, &old)],
        &[(key, &new), (next, &new), (previous, &old)],
        &[(key, &new), (previous, &old)],
        &[(key, &new)],
    ];
    let sets: Vec<Vec<String>> = steps.iter().map(|step| kids(&World::with_settings(step))).collect();
    for (step, set) in sets.iter().enumerate() {
        let signs = &set[0];
        assert!(
            sets[step.saturating_sub(1)].contains(signs),
            "the set of the step before {step} has the key"
        );
        assert!(sets.iter().skip(step).take_while(|later| later.contains(signs)).count() >= 1);
    }
    // The old key is published for two steps more than it signs.
    assert!(sets[3].contains(&sets[0][0]) && sets[4].contains(&sets[0][0]));
}

#[test]
fn without_a_key_nothing_of_an_issuer_answers() {
    for settings in [&[][..], &[("ISSUER_PRIVATE_KEY", "")], &[("ISSUER_PRIVATE_KEY_NEXT", "garbage")]] {
        let world = World::with_settings(settings);
        for path in [OPENID, JWKS] {
            get(&world, path).is(404, "not_found");
            world.call(Method::POST, path, &[], "").is(404, "not_found");
        }
        let server = get(&world, SERVER);
        assert_eq!((server.status.as_u16(), server.body.get("jwks_uri")), (200, None));
        world.exchange().granted();
    }
}

#[test]
fn a_malformed_key_closes_the_issuer_and_nothing_else() {
    let small = rsa_pem(KeySize::Rsa2048).replace("MII", "MIJ");
    for bad in ["hunter2-not-a-key", &small] {
        let world = World::with_settings(&[("ISSUER_PRIVATE_KEY", bad)]);
        for path in [OPENID, JWKS] {
            let answer = get(&world, path);
            answer.is(500, "misconfigured");
            assert!(answer.message().contains("`ISSUER_PRIVATE_KEY`") && !answer.text.contains("hunter2"));
        }
        assert_eq!(get(&world, SERVER).body.get("jwks_uri"), None);
        assert_eq!(get(&world, "/readyz").body["malformed"], json!(["ISSUER_PRIVATE_KEY"]));
        assert_eq!(get(&world, "/readyz").status, 200);
        world.exchange().granted();
    }
    let longest = World::with_settings(&[("ISSUER_PRIVATE_KEY", &rsa_pem(KeySize::Rsa4096))]);
    assert_eq!(kids(&longest).len(), 1);
}

#[test]
fn a_malformed_next_or_previous_key_is_named_and_left_out() {
    for name in ["ISSUER_PRIVATE_KEY_NEXT", "ISSUER_PRIVATE_KEY_PREVIOUS"] {
        let world = World::with_settings(&[
            ("ISSUER_PRIVATE_KEY", &issuer_key_pem("current")),
            (name, "hunter2-not-a-key"),
        ]);
        assert_eq!(kids(&world).len(), 1);
        assert_eq!(get(&world, "/readyz").body["malformed"], json!([name]));
        let lines = world.log.lines();
        let told: Vec<&Value> = lines.iter().filter(|line| line["setting"] == name).collect();
        assert_eq!(told.len(), 1, "once per isolate: {lines:?}");
        assert!(!told[0].to_string().contains("hunter2"));
    }
}

/// As for every private key, the reason word is next to its name.
#[test]
fn a_key_that_is_none_has_its_reason() {
    let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----";
    for name in ["ISSUER_PRIVATE_KEY", "ISSUER_PRIVATE_KEY_NEXT", "ISSUER_PRIVATE_KEY_PREVIOUS"] {
        let ready = get(&World::with_settings(&[(name, public)]), "/readyz");
        assert_eq!(ready.body["malformed"], json!([name]));
        assert_eq!(ready.body["reasons"], json!({ name: "public-key" }));
        assert_eq!((ready.status.as_u16(), &ready.body["status"]), (200, &json!("ready")));
    }
}

#[test]
fn without_a_domain_nothing_is_published() {
    for domain in ["", "https://sts.example.com"] {
        let world = World::with_settings(&[("ISSUER_PRIVATE_KEY", "garbage"), ("DOMAIN", domain)]);
        for path in [OPENID, JWKS, SERVER] {
            let answer = get(&world, path);
            answer.is(500, "misconfigured");
            assert_eq!(answer.message(), "the service is not configured: `DOMAIN`");
        }
    }
}

#[test]
fn our_own_issuer_is_never_accepted_whatever_is_allowed() {
    let world = World::with_settings(&[
        ("ISSUER_PRIVATE_KEY", &app_private_key_pem()),
        ("ALLOWED_ISSUERS", "https://sts.example.com,https://token.actions.githubusercontent.com"),
    ]);
    let token = world.token_with(&json!({ "iss": "https://sts.example.com" }));
    let answer = world.exchange_with("acme/app", "deploy", &token);
    answer.is(401, "invalid_token");
    assert_eq!(answer.sent.len(), 0);
}
