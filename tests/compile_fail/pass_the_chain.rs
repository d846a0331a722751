//! What does compile, so that the failures beside this file fail for their own reason.

use octo_sts_worker::github::mint::MintRequest;
use octo_sts_worker::names::Scope;
use octo_sts_worker::oidc::VerifiedClaims;
use octo_sts_worker::policy::{AppIdentity, CompiledPolicy, authorize};

fn mint(policy: &CompiledPolicy, claims: &VerifiedClaims, scope: &Scope) -> Option<MintRequest> {
    let app = AppIdentity { name: None, id: "1" };
    let grant = authorize(policy, claims, "sts.example.com", scope, app).ok()?;
    Some(MintRequest::from_grant(&grant))
}

fn main() {
    let _ = mint;
}
