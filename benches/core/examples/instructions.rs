//! `instructions WORKLOAD TIMES`: repeats one piece of work this many times, for `scripts/check-instructions.mjs` to
//! count.

use std::hint::black_box;

use octo_sts_benches::{BudgetObject, Credential, Proxy, World, Worst, check, key_set, load, policy_text};
use octo_sts_worker::jose::JwkSet;
use octo_sts_worker::policy::{Pattern, trusted_issuers};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let workload = arguments.next().expect("a workload");
    let times: u32 = arguments.next().and_then(|times| times.parse().ok()).expect("a number");

    let world = World::new(4, 3);
    let (token, issuer) = world.read();
    let claims = world.verify(&token, &issuer);
    let (keys, policy) = (key_set(4), policy_text(3));
    let worst = Worst::new();
    let (proxy, budget) = (Proxy::new(), BudgetObject::new());
    let work: &dyn Fn() = match workload.as_str() {
        "token" => &|| drop(black_box(world.read())),
        "claims" => &|| drop(black_box(world.verify(&token, &issuer))),
        "decision" => &|| drop(black_box(world.decide(&claims))),
        "policy" => &|| drop(black_box(load(&policy))),
        "key set" => &|| drop(black_box(JwkSet::parse(keys.as_bytes()))),
        "check" => &|| drop(black_box(check(&policy))),
        "proxied" => &|| drop(black_box(proxy.pass(Credential::Job))),
        "proxied session" => &|| drop(black_box(proxy.pass(Credential::Session))),
        "budget" => &|| {
            black_box(budget.take());
        },
        // Hostile input: bounded, and this measures by how much.
        "worst decision" => &|| {
            black_box(worst.decide());
        },
        "worst nesting" => &|| drop(black_box(check(&worst.nested_policy))),
        "worst line" => &|| drop(black_box(check(&worst.dotted_policy))),
        "worst problems" => &|| drop(black_box(check(&worst.broken_policy))),
        "worst pattern" => &|| drop(black_box(worst.repeated_pattern.parse::<Pattern>())),
        "worst list" => &|| drop(black_box(trusted_issuers::load(worst.expensive_issuers.as_bytes()))),
        "worst issuer" => &|| {
            black_box(worst.issuers.permits(&worst.issuer));
        },
        other => panic!("no workload `{other}`"),
    };
    for _ in 0..times {
        work();
    }
}
