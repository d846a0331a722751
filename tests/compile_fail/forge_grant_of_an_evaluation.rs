use octo_sts_worker::github::mint::MintRequest;
use octo_sts_worker::oidc::Claims;
use octo_sts_worker::policy::{CompiledPolicy, evaluate};

fn forge(policy: &CompiledPolicy, claims: &Claims) -> MintRequest {
    let evaluation = evaluate(policy, claims, "sts.example.com");
    MintRequest::from_grant(&evaluation)
}

fn main() {}
