//! The fuzz targets without a fuzzer: on every seed, on inputs that once broke them, and on a fixed number of
//! mutations, the same in each run. docs/fuzzing.md says how they are fuzzed for hours.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{RngSeed, TestCaseError, TestRunner};

#[expect(unreachable_pub, dead_code, reason = "in tests/fuzz the same files are a library")]
#[path = "fuzz/src/lib.rs"]
mod fuzz;

use fuzz::{TARGETS, Target};

/// More would take long for inputs of a whole exchange, and find little that a fuzzer would not find sooner.
const MUTATIONS: u32 = 250;

/// Larger inputs cost time and cover nothing more.
const MAX_SEED: usize = 16 * 1024;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let mut seeds = (target.seeds)(&root().join("tests/data"));
    seeds.retain(|seed| seed.len() <= MAX_SEED);
    assert!(seeds.len() >= 4, "{} has seeds", target.name);
    seeds
}

/// Inputs that once broke a target. The file's name says what was wrong.
fn regressions(target: &Target) -> Vec<Vec<u8>> {
    let Ok(folder) = fs::read_dir(root().join("tests/fuzz/regressions").join(target.name)) else {
        return Vec::new();
    };
    folder.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

/// A change to an input.
#[derive(Debug, Clone)]
enum Edit {
    Flip(Index, u8),
    Remove(Index, usize),
    Insert(Index, &'static str),
    Repeat(Index, usize, usize),
    Splice(Index, Index),
}

/// What the formats are made of.
const WORDS: &[&str] = &[
    "\0",
    "\n",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "'",
    "#",
    "%",
    "&",
    "*",
    "?",
    "-",
    "|",
    ".",
    "/",
    "=",
    "+",
    "@",
    "null",
    "true",
    "0",
    "-1",
    "1e400",
    "18446744073709551616",
    "\u{feff}",
    "é",
    "\u{1f600}",
    "\r\n",
    "\t",
    "..",
    "%00",
    "ghs_",
    "eyJ",
    "-----BEGIN ",
    "(?i)",
    "{2,3}",
    "\\d",
    "\\x{",
    "https://",
    "\"a\":1,",
];

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Flip(at, byte)),
        (any::<Index>(), 1..16_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        (any::<Index>(), select(WORDS)).prop_map(|(at, word)| Edit::Insert(at, word)),
        (any::<Index>(), 1..16_usize, 1..64_usize)
            .prop_map(|(at, length, times)| Edit::Repeat(at, length, times)),
        (any::<Index>(), any::<Index>()).prop_map(|(at, seed)| Edit::Splice(at, seed)),
    ]
}

fn edited(mut input: Vec<u8>, edits: &[Edit], seeds: &[Vec<u8>]) -> Vec<u8> {
    for edit in edits {
        let place = |at: &Index| at.index(input.len() + 1);
        match edit {
            Edit::Flip(at, byte) => {
                let at = place(at);
                if let Some(old) = input.get_mut(at) {
                    *old ^= byte;
                }
            }
            Edit::Remove(at, length) => {
                let at = place(at);
                let end = (at + length).min(input.len());
                input.drain(at..end);
            }
            Edit::Insert(at, word) => {
                let at = place(at);
                input.splice(at..at, word.bytes());
            }
            Edit::Repeat(at, length, times) => {
                let at = place(at);
                let end = (at + length).min(input.len());
                let repeated = input[at..end].repeat(*times);
                input.splice(at..at, repeated);
            }
            Edit::Splice(at, seed) => {
                let at = place(at);
                let other = &seeds[seed.index(seeds.len())];
                input.truncate(at);
                input.extend(other.iter().skip(at));
            }
        }
    }
    input
}

fn smoke(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = seeds(target);
    for input in seeds.iter().chain(&regressions(target)) {
        (target.run)(input);
    }
    let config = ProptestConfig {
        cases: MUTATIONS,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x5eed),
        ..ProptestConfig::default()
    };
    let inputs = (select(seeds.clone()), proptest::collection::vec(edit(), 1..6));
    let outcome = TestRunner::new(config).run(&inputs, |(seed, edits)| {
        (target.run)(&edited(seed, &edits, &seeds));
        Ok::<(), TestCaseError>(())
    });
    if let Err(error) = outcome {
        panic!("{name}: {error}");
    }
}

/// scripts/fuzz.sh names the folder that the fuzzer reads; without it this is a rehearsal.
#[test]
fn seeds_are_written_where_the_fuzzer_wants_them() {
    let rehearsal = || Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-seeds");
    let root = std::env::var_os("FUZZ_SEEDS").map_or_else(rehearsal, PathBuf::from);
    for target in TARGETS {
        let folder = root.join(target.name);
        fs::create_dir_all(&folder).unwrap();
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{} starts from nothing", target.name);
        for (index, seed) in seeds.iter().enumerate() {
            let file = folder.join(format!("{index:04}"));
            fs::write(&file, seed).unwrap();
            assert_eq!(fs::read(&file).unwrap(), *seed, "{}", file.display());
        }
    }
}

macro_rules! smoke {
    ($(fn $test:ident() = $name:literal;)*) => {
        $(#[test]
        fn $test() {
            smoke($name);
        })*

        #[test]
        fn every_target_is_run_here_and_by_the_fuzzer() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$($name),*]);
            let manifest = fs::read_to_string(root().join("tests/fuzz/Cargo.toml")).unwrap();
            for name in names {
                assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
                let binary = fs::read_to_string(root().join(format!("tests/fuzz/fuzz_targets/{name}.rs"))).unwrap();
                assert!(binary.contains(&format!("run(\"{name}\", data)")), "{name}");
            }
        }
    };
}

smoke! {
    fn a_token_has_one_reading_and_no_claims_that_do_not_hold() = "token";
    fn a_key_set_holds_what_can_verify_and_prints_as_itself() = "jwks";
    fn a_discovery_document_leads_to_public_hosts_alone() = "discovery";
    fn a_policy_that_loads_is_within_the_limits_and_prints_as_itself() = "policy";
    fn a_pattern_is_whole_and_agrees_with_another_engine() = "pattern";
    fn a_list_that_loads_permits_what_it_lists() = "issuers";
    fn an_answer_of_github_is_read_or_a_failure() = "github";
    fn an_exchange_ends_in_one_answer_and_no_lost_token() = "exchange";
    fn what_is_no_entry_in_kv_is_a_miss() = "cache";
    fn any_request_gets_an_answer_with_its_headers() = "request";
    fn any_delivery_gets_an_answer_and_leaves_no_token() = "webhook";
    fn any_settings_are_read_or_close_what_needs_them() = "settings";
    fn any_line_of_the_log_stays_one_without_secrets() = "redact";
}
