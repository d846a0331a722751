use octo_sts_worker::oidc::Issuer;

fn forge() -> Issuer {
    Issuer("https://127.0.0.1".to_owned())
}

fn main() {}
