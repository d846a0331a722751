use std::collections::BTreeMap;

use octo_sts_worker::github::mint::MintRequest;

fn forge() -> MintRequest {
    MintRequest { repositories: None, permissions: BTreeMap::new() }
}

fn main() {}
