use octo_sts_worker::policy::Grant;

fn forge() -> Grant {
    Grant::default()
}

fn main() {}
