use octo_sts_worker::secret::Secret;

fn clone(secret: &Secret) -> Secret {
    secret.clone()
}

fn main() {}
