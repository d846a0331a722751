//! The fuzz targets: functions that take bytes and panic if a law is broken. libFuzzer runs them through the binaries
//! in `fuzz_targets`, and `cargo test` through tests/fuzz_targets.rs, with the same seeds.
//!
//! An input of several texts separates them by NUL bytes: files can be seeds as they are, and a mutation seldom moves a
//! border.

mod github;
mod platform;
mod policies;
mod redaction;
mod requests;
mod seeds;
mod service;
mod settings;
mod tokens;
mod webhook;

use std::path::Path;

/// A function and its seeds.
pub struct Target {
    /// The name of its binary and its folder of regressions.
    pub name: &'static str,
    /// Panics if a law is broken.
    pub run: fn(&[u8]),
    /// Inputs from `tests/data`, whose path is given, and from here.
    pub seeds: fn(&Path) -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "token", run: tokens::token, seeds: seeds::tokens },
    Target { name: "jwks", run: tokens::key_set, seeds: seeds::key_sets },
    Target { name: "discovery", run: tokens::discovery, seeds: seeds::discovery },
    Target { name: "policy", run: policies::policy, seeds: seeds::policies },
    Target { name: "pattern", run: policies::pattern, seeds: seeds::patterns },
    Target { name: "issuers", run: policies::trusted_issuers, seeds: seeds::trusted_issuers },
    Target { name: "github", run: github::answer, seeds: seeds::github_answers },
    Target { name: "exchange", run: service::exchange, seeds: seeds::exchanges },
    Target { name: "cache", run: service::cache, seeds: seeds::cache_entries },
    Target { name: "request", run: requests::request, seeds: seeds::requests },
    Target { name: "webhook", run: webhook::delivery, seeds: seeds::deliveries },
    Target { name: "settings", run: settings::settings, seeds: seeds::settings },
    Target { name: "redact", run: redaction::line, seeds: seeds::lines },
];

/// Runs the target with this name, as a binary in `fuzz_targets` does.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    (target.run)(data);
}

/// The texts of an input; missing ones are empty.
fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut parts = data.splitn(N, |byte| *byte == 0);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// Whether the input itself contains the text that is searched for afterwards, because a fuzzer learns what its input
/// is compared with.
fn plants(data: &[u8], canaries: &[&str]) -> bool {
    canaries.iter().any(|canary| data.windows(canary.len()).any(|window| window == canary.as_bytes()))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
