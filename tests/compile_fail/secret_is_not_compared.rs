use octo_sts_worker::secret::Secret;

fn compare(one: &Secret, other: &Secret) -> bool {
    one == other
}

fn main() {}
