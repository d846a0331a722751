//! Revocation.

use http::Method;

use crate::support::{Answer, World};

fn revoke(world: &World, credential: &str) -> Answer {
    world.call(Method::POST, "/sts/revoke", &[("authorization", &format!("Bearer {credential}"))], "")
}

#[test]
fn a_token_is_revoked_and_stays_so() {
    let world = World::new();
    let token = world.exchange().granted().to_owned();
    for _ in 0..2 {
        let answer = revoke(&world, &token);
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
        assert_eq!(answer.sent, ["DELETE api.github.com/installation/token"]);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(answer.header("x-request-id").is_some());
        let event = world.event();
        assert_eq!((event["event"].as_str(), event["outcome"].as_str()), (Some("revoke"), Some("revoked")));
        assert_eq!(event["token_sha256"], hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&token)));
        assert_eq!(event["subrequests"], 1);
    }
    assert!(world.github().ledger.borrow().iter().all(|minted| minted.revoked));
}

#[test]
fn only_installation_tokens_are_forwarded() {
    let world = World::new();
    for credential in ["ghp_abcdefghijkl", "github_pat_abcdef", "gho_abc", "eyJhbGciOi.e30.x", "x", "GHS_abc"]
    {
        revoke(&world, credential).is(400, "invalid_request");
    }
    let answer = world.call(Method::POST, "/sts/revoke", &[], "");
    answer.is(401, "invalid_token");
    assert_eq!(world.network.requests.borrow().len(), 0);
    assert_eq!(world.events().len(), 7);
}

#[test]
fn revocation_needs_nothing_but_github() {
    let world = World::new().without("GITHUB_APP_PRIVATE_KEY").without("DOMAIN").without("OCTO_STS_KV");
    let answer = revoke(&world, "ghs_0123456789abcdef");
    assert_eq!(answer.status.as_u16(), 204);
}
