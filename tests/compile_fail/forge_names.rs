use octo_sts_worker::names::Repository;

fn forge() -> Repository {
    Repository("../other".to_owned())
}

fn main() {}
