//! `instructions WORKLOAD TIMES`: does one piece of work so many times, for `scripts/check-instructions.mjs` to count.

use std::hint::black_box;

use octo_sts_benches::{World, key_set, load, policy_text};
use octo_sts_worker::jose::JwkSet;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let workload = arguments.next().expect("a workload");
    let times: u32 = arguments.next().and_then(|times| times.parse().ok()).expect("a number");

    let world = World::new(4, 3);
    let (token, issuer) = world.read();
    let claims = world.verify(&token, &issuer);
    let (keys, policy) = (key_set(4), policy_text(3));
    let work: &dyn Fn() = match workload.as_str() {
        "token" => &|| drop(black_box(world.read())),
        "claims" => &|| drop(black_box(world.verify(&token, &issuer))),
        "decision" => &|| drop(black_box(world.decide(&claims))),
        "policy" => &|| drop(black_box(load(&policy))),
        "key set" => &|| drop(black_box(JwkSet::parse(keys.as_bytes()))),
        other => panic!("no workload `{other}`"),
    };
    for _ in 0..times {
        work();
    }
}
