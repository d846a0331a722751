use octo_sts_worker::oidc::{Claims, VerifiedClaims};

fn forge(claims: Claims) -> VerifiedClaims {
    claims.into()
}

fn main() {}
