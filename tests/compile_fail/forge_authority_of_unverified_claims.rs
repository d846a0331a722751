use octo_sts_worker::names::Scope;
use octo_sts_worker::oidc::Claims;
use octo_sts_worker::policy::{AppIdentity, CompiledPolicy, Grant, authorize};

fn forge(policy: &CompiledPolicy, claims: &Claims, scope: &Scope, app: AppIdentity<'_>) -> Option<Grant> {
    authorize(policy, claims, "sts.example.com", scope, app).ok()
}

fn main() {}
