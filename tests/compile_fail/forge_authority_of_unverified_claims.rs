use octo_sts_worker::names::Scope;
use octo_sts_worker::oidc::Claims;
use octo_sts_worker::policy::{CompiledPolicy, Grant, authorize};

fn forge(policy: &CompiledPolicy, claims: &Claims, scope: &Scope) -> Option<Grant> {
    authorize(policy, claims, "sts.example.com", scope).ok()
}

fn main() {}
