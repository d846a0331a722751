use octo_sts_worker::oidc::{Claims, VerifiedClaims};

fn forge(claims: Claims) -> VerifiedClaims {
    VerifiedClaims(claims)
}

fn main() {}
