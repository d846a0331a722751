//! How the core's pure parts grow with what strangers and organizations put into them. `make bench` runs this and draws
//! the curves.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use octo_sts_benches::{World, key_set, load, organization_policy_text, pattern, policy_text, value};
use octo_sts_worker::jose::JwkSet;
use octo_sts_worker::policy::Pattern;

fn keys(criterion: &mut Criterion) {
    let mut parse = criterion.benchmark_group("key_set_parse");
    for keys in [1, 2, 5, 10, 20, 50, 100] {
        let text = key_set(keys);
        parse.bench_with_input(BenchmarkId::from_parameter(keys), &text, |bencher, text| {
            bencher.iter(|| JwkSet::parse(black_box(text.as_bytes())));
        });
    }
    parse.finish();

    let mut choice = criterion.benchmark_group("key_choice");
    for keys in [1, 2, 5, 10, 20, 50, 100] {
        let world = World::new(keys, 3);
        let (token, issuer) = world.read();
        choice.bench_function(BenchmarkId::from_parameter(keys), |bencher| {
            bencher.iter(|| world.verify(black_box(&token), &issuer));
        });
    }
    choice.finish();
}

fn policies(criterion: &mut Criterion) {
    let counts = [0, 1, 2, 4, 8, 16, 32];
    let mut decision = criterion.benchmark_group("decision_by_claim_patterns");
    for patterns in counts {
        let world = World::new(1, patterns);
        let (token, issuer) = world.read();
        let claims = world.verify(&token, &issuer);
        decision.bench_function(BenchmarkId::from_parameter(patterns), |bencher| {
            bencher.iter(|| world.decide(black_box(&claims)));
        });
    }
    decision.finish();

    let mut compile = criterion.benchmark_group("policy_load_by_claim_patterns");
    for patterns in counts {
        let text = policy_text(patterns);
        compile.bench_function(BenchmarkId::from_parameter(patterns), |bencher| {
            bencher.iter(|| load(black_box(&text)));
        });
    }
    compile.finish();

    let mut repositories = criterion.benchmark_group("policy_load_by_repositories");
    for count in [1, 10, 50, 100, 200, 350, 500] {
        let text = organization_policy_text(count);
        repositories.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| load(black_box(&text)));
        });
    }
    repositories.finish();
}

fn patterns(criterion: &mut Criterion) {
    let lengths = [10, 32, 64, 128, 256, 512, 1024];
    let mut compile = criterion.benchmark_group("pattern_compile");
    for length in lengths {
        let source = pattern(length);
        compile.bench_function(BenchmarkId::from_parameter(length), |bencher| {
            bencher.iter(|| black_box(&source).parse::<Pattern>());
        });
    }
    compile.finish();

    let mut matching = criterion.benchmark_group("pattern_match");
    let value = value();
    for length in lengths {
        let pattern = pattern(length).parse::<Pattern>().expect("a pattern");
        matching.bench_function(BenchmarkId::from_parameter(length), |bencher| {
            bencher.iter(|| pattern.matches(black_box(&value)));
        });
    }
    matching.finish();
}

criterion_group!(curves, keys, policies, patterns);
criterion_main!(curves);
