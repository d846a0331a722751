//! The whole way: a signed token, verified claims, a grant. The key is generated when the test runs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use octo_sts_native::NativeSignatures;
use octo_sts_worker::jose::JwkSet;
use octo_sts_worker::oidc::{Issuer, IssuerRules, UnverifiedToken, VerifiedClaims, VerifyRules, verify};
use octo_sts_worker::policy::{AppIdentity, PolicyHome, RepositorySelection, authorize, load};
use octo_sts_worker::time::Timestamp;
use serde_json::json;

const DOMAIN: &str = "sts.example.com";
const APP: AppIdentity<'_> = AppIdentity { name: None, id: "1" };
const ISSUER: &str = "https://token.actions.githubusercontent.com";

fn verified(subject: &str) -> VerifiedClaims {
    let pair = Ed25519KeyPair::generate().unwrap();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": encode(pair.public_key().as_ref())});
    let header = json!({"alg": "EdDSA", "kid": "1"});
    let now = 1_800_000_000;
    let claims = json!({
        "iss": ISSUER, "sub": subject, "aud": DOMAIN, "iat": now, "exp": now + 300, "event_name": "push", "run_attempt": 1,
    });
    let signed =
        format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let token = format!("{signed}.{}", encode(pair.sign(signed.as_bytes()).as_ref()));

    let rules = IssuerRules { allowed: None, own_domain: DOMAIN.to_owned(), allow_loopback_http: false };
    let keys = JwkSet::parse(json!({"keys": [key]}).to_string().as_bytes()).unwrap();
    pollster::block_on(verify(
        &UnverifiedToken::parse(&token).unwrap(),
        &Issuer::parse(ISSUER, &rules).unwrap(),
        &keys,
        &VerifyRules { max_lifetime: Duration::from_secs(3600) },
        Timestamp::from_unix_seconds(now).unwrap(),
        &NativeSignatures,
    ))
    .unwrap()
}

#[test]
fn verified_claims_that_satisfy_the_policy_get_exactly_what_it_grants() {
    let yaml = b"
issuer: https://token.actions.githubusercontent.com
subject_pattern: repo:acme/release:ref:refs/heads/(main|next)
claim_pattern: {event_name: push}
permissions: {contents: write, issues: read}
repositories: [app, docs]
";
    let policy = load(yaml, PolicyHome::OrganizationPolicyRepository).value.unwrap();
    let scope = "acme".parse().unwrap();
    let grant =
        authorize(&policy, &verified("repo:acme/release:ref:refs/heads/main"), DOMAIN, &scope, APP).unwrap();
    assert_eq!(
        serde_json::to_value(grant.permissions()).unwrap(),
        json!({"contents": "write", "issues": "read"})
    );
    match grant.repositories() {
        RepositorySelection::These(these) => {
            assert_eq!(these.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["app", "docs"]);
        }
        RepositorySelection::All => panic!("every repository"),
    }
    assert_eq!(
        grant.matched_claims().iter().collect::<Vec<_>>(),
        [(&"event_name".to_owned(), &"push".to_owned())]
    );

    let denial =
        authorize(&policy, &verified("repo:acme/release:ref:refs/heads/main-evil"), DOMAIN, &scope, APP)
            .unwrap_err();
    assert_eq!(denial.code(), "subject");
    assert_eq!(
        denial.to_string(),
        "the token's subject `repo:acme/release:ref:refs/heads/main-evil` does not satisfy the policy"
    );
}
