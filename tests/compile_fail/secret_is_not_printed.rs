use octo_sts_worker::secret::Secret;

fn print(secret: &Secret) -> String {
    format!("{secret}")
}

fn main() {}
