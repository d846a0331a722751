//! Who may import whom. `src/lib.rs` has the map; this compares the code with it, and names the file and the broken
//! rule.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may import, which are above it. A room that is missing here fails the test. The verifier and the policy
/// language are crates: what they may import, their manifests say.
const ROOMS: &[(&str, &[&str])] = &[
    ("redact", &[]),
    ("reservation", &[]),
    ("ports", &["reservation"]),
    ("context", &["ports", "redact", "reservation"]),
    ("cache", &["context", "ports"]),
    ("github", &["ports"]),
    ("issuer", &["ports"]),
    ("federation", &["context", "issuer", "ports"]),
    ("config", &["cache", "federation", "github", "issuer", "ports"]),
    ("problem", &["config"]),
    ("authn", &["cache", "config", "context", "ports", "problem", "reservation"]),
    ("apps", &["authn", "cache", "config", "context", "github", "ports", "problem"]),
    ("events", &["context", "ports", "redact"]),
    ("metrics", &["context", "ports"]),
    (
        "proxy",
        &["authn", "config", "context", "events", "federation", "issuer", "metrics", "ports", "problem"],
    ),
    (
        "sts",
        &[
            "apps",
            "authn",
            "cache",
            "config",
            "context",
            "events",
            "github",
            "issuer",
            "metrics",
            "ports",
            "problem",
            "proxy",
            "redact",
            "reservation",
        ],
    ),
    ("webhook", &["apps", "cache", "config", "context", "github", "metrics", "ports", "problem", "sts"]),
    ("api", &["config", "context", "federation", "issuer", "ports", "problem", "proxy", "sts", "webhook"]),
    ("cloudflare", &["api", "config", "federation", "ports", "proxy", "redact", "reservation"]),
];

/// The same inside the verifier, which is a crate of its own.
const VERIFIER: &[(&str, &[&str])] = &[
    ("secret", &[]),
    ("time", &[]),
    ("json", &["time"]),
    ("jose", &["json", "secret"]),
    ("ports", &["jose"]),
    ("oidc", &["jose", "json", "ports", "secret", "time"]),
];

/// What only some rooms may name, and why.
const RESERVED: &[(&str, &[&str], &str)] = &[
    ("worker::", &["cloudflare"], "the platform has one room"),
    ("web_sys", &["cloudflare"], "the platform has one room"),
    ("js_sys", &["cloudflare"], "the platform has one room"),
    ("wasm_bindgen", &["cloudflare"], "the platform has one room"),
    ("SystemTime", &[], "the clock is an argument"),
    ("Instant::now", &[], "the clock is an argument"),
    ("Utc::now", &[], "the clock is an argument"),
    ("std::env", &[], "settings are an argument"),
    ("std::fs", &[], "the library reads no files"),
    ("std::net::Tcp", &[], "the network is a port"),
    ("regex::", &[], "patterns have one engine, and it is ours"),
    ("saphyr_parser", &["policy"], "documents have one reader"),
    ("LruCache::unbounded", &[], "memory is bounded"),
    ("hmac", &["webhook", "federation"], "shared secrets are the webhook's and AWS's"),
];

/// Room, file and text of every source file of the service, without comments and unit tests.
fn sources() -> Vec<(String, PathBuf, String)> {
    let mut sources = sources_below("src");
    sources.retain(|(room, _, _)| room != "lib");
    sources
}

/// The same for a folder. Its direct entries are the rooms.
fn sources_below(root: &str) -> Vec<(String, PathBuf, String)> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let mut files = Vec::new();
    collect(&root, &mut files);
    files
        .into_iter()
        .map(|path| {
            let relative = path.strip_prefix(&root).unwrap();
            let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
            let room = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
            let code =
                code.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n");
            (room, relative.to_owned(), code)
        })
        .collect()
}

/// The rooms that the text imports with `crate::`, one by one or in braces.
fn imported(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (index, _) in code.match_indices("crate::") {
        let rest = code.get(index + "crate::".len()..).unwrap();
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap().split(',').map(str::trim).collect(),
            None => vec![rest],
        };
        for name in names {
            let room: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            rooms.push(room);
        }
    }
    rooms
}

fn broken_imports(sources: &[(String, PathBuf, String)], rooms: &[(&str, &[&str])]) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = rooms.iter().copied().collect();
    let mut broken = Vec::new();
    for (room, file, code) in sources {
        let may =
            allowed.get(room.as_str()).unwrap_or_else(|| panic!("{}: `{room}` is on no map", file.display()));
        for name in imported(code) {
            let is_room = allowed.contains_key(name.as_str());
            if is_room && name != *room && !may.contains(&name.as_str()) {
                broken.push(format!("{}: `{room}` may not import `{name}`", file.display()));
            }
        }
    }
    broken
}

#[test]
fn every_room_imports_only_what_it_may() {
    let broken = broken_imports(&sources(), ROOMS);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    let mut verifier = sources_below("crates/verifier/src");
    verifier.retain(|(room, _, _)| room != "lib");
    let broken = broken_imports(&verifier, VERIFIER);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// A room imports rooms above it alone, so no way leads back to it. What the tables allow is all there is.
#[test]
fn no_import_leads_back() {
    for rooms in [ROOMS, VERIFIER] {
        for (index, (room, may)) in rooms.iter().enumerate() {
            let above: Vec<&str> = rooms[..index].iter().map(|(name, _)| *name).collect();
            let below: Vec<_> = may.iter().filter(|name| !above.contains(name)).collect();
            assert!(below.is_empty(), "`{room}` may import {below:?}, which is not above it");
        }
    }
}

/// A crate can only import its dependencies. The verifier knows no platform, no YAML and no policy; the policy language
/// knows no GitHub and no platform.
#[test]
fn the_library_crates_depend_on_little() {
    for (name, must_not) in [
        (
            "verifier",
            &["octo-sts-policy", "octo-sts-native", "worker", "yaml", "saphyr", "tokio", "ureq"][..],
        ),
        ("policy", &["octo-sts-native", "worker", "http", "tokio", "ureq", "chrono"]),
    ] {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates").join(name).join("Cargo.toml");
        let text = fs::read_to_string(manifest).unwrap();
        let dependencies = text.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
        let named = |dependency: &str| {
            dependencies
                .lines()
                .any(|line| line.split(['.', ' ', '=']).next().is_some_and(|n| n == dependency))
        };
        for dependency in must_not {
            assert!(!named(dependency), "crates/{name} may not depend on `{dependency}`");
        }
        assert!(named("serde_json"), "the scan sees the dependencies");
    }
}

#[test]
fn what_is_reserved_stays_in_its_room() {
    let mut broken = Vec::new();
    let mut all = sources();
    for library in ["verifier", "policy"] {
        let files = sources_below(&format!("crates/{library}/src"));
        all.extend(files.into_iter().map(|(_, file, code)| (library.to_owned(), file, code)));
    }
    for (room, file, code) in all {
        for (name, rooms, reason) in RESERVED {
            if code.contains(name) && !rooms.contains(&room.as_str()) {
                broken.push(format!("{}: `{name}` is not for `{room}`: {reason}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_map_in_lib_rs_names_every_room() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    for (room, _, _) in sources() {
        assert!(lib.contains(&format!("`{room}`")), "src/lib.rs does not name `{room}`");
    }
}

/// The folders of all code that is not a test: the service, every crate, and what tests are made of.
fn code_folders() -> Vec<String> {
    let crates = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("crates")).unwrap();
    let mut folders: Vec<String> =
        crates.map(|entry| format!("crates/{}/src", entry.unwrap().file_name().to_str().unwrap())).collect();
    folders.extend(["src", "tests/doubles/src"].map(str::to_owned));
    folders
}

/// The functions of a formatted text with the lines that each takes, its head and its braces among them.
fn functions(code: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let heads = lines.iter().enumerate().filter(|(_, line)| {
        let line = line.trim_start();
        let line =
            line.strip_prefix("pub(").and_then(|rest| rest.split_once(") ")).map_or(line, |(_, rest)| rest);
        let mut words = line.split(' ').skip_while(|word| matches!(*word, "pub" | "const" | "async"));
        words.next() == Some("fn")
    });
    heads
        .filter_map(|(first, head)| {
            let indent = head.len() - head.trim_start().len();
            let rest = lines[first..].iter();
            let mut ends = rest.map(|line| (line.len() - line.trim_start().len() == indent, line.trim()));
            let length = ends.position(|(at_the_head, line)| {
                at_the_head
                    && (line == "}" || line.ends_with(';') || line.ends_with(" }") || line.ends_with("{}"))
            })?;
            Some((head.trim(), length + 1))
        })
        .collect()
}

#[test]
fn files_and_functions_stay_small() {
    let generated = Path::new("permissions_list.rs");
    let (mut all, mut too_long) = (0, Vec::new());
    for folder in code_folders() {
        for (_, file, code) in sources_below(&folder) {
            let lines = code.trim_end().lines().count();
            if lines > 400 && file != generated {
                too_long.push(format!("{folder}/{}: {lines} lines", file.display()));
            }
            for (function, lines) in functions(&code) {
                all += 1;
                if lines > 80 {
                    too_long.push(format!("{folder}/{}: `{function}` has {lines} lines", file.display()));
                }
            }
        }
    }
    assert!(too_long.is_empty(), "{too_long:#?}");
    assert!(all > 1500, "the scan sees the functions: {all}");
}

/// What a port promises is faked once, in tests/doubles. A test that needs another fake has it there.
#[test]
fn every_port_has_its_fakes_in_one_place() {
    let ports = [
        "Background",
        "Budgets",
        "Fetch",
        "Headers",
        "Ids",
        "KeyValueRead",
        "KeyValueWrite",
        "Log",
        "Metrics",
        "RateLimits",
        "Reservations",
        "Signatures",
        "Stopwatch",
        "Timer",
    ];
    let is_fake = |line: &&str| {
        let implemented = line.trim().strip_prefix("impl ").and_then(|rest| rest.split(" for ").next());
        implemented.is_some_and(|name| ports.contains(&name.rsplit("::").next().unwrap()))
    };
    let mut elsewhere = Vec::new();
    for folder in ["tests", "benches", "crates"] {
        for (_, file, code) in sources_below(folder) {
            let is_the_platforms_own = folder == "crates" && file.starts_with("native/src")
                || file == Path::new("client/src/transport.rs");
            if !is_the_platforms_own && !file.starts_with("doubles") {
                let fakes = code.lines().filter(is_fake);
                elsewhere.extend(fakes.map(|line| format!("{folder}/{}: {line}", file.display())));
            }
        }
    }
    assert!(elsewhere.is_empty(), "a fake belongs to tests/doubles: {elsewhere:#?}");
}

#[test]
fn the_scan_sees_what_it_should() {
    let code = "impl A {\n    pub(in crate::a) const fn b() -> C\n    where\n        D: E,\n    {\n        f();\n    }\n\n    \
                fn g(&self);\n    fn h() {}\n}\n";
    let lines: Vec<usize> = functions(code).into_iter().map(|(_, lines)| lines).collect();
    assert_eq!(lines, [6, 1, 1]);
    assert_eq!(imported("use crate::{policy, sts};"), ["policy", "sts"]);
    assert_eq!(imported("use crate::api::App; fn f(x: crate::time::Timestamp)"), ["api", "time"]);
    assert!(
        sources().iter().any(|(room, _, _)| room == "cloudflare"),
        "the Worker's room is read, though not compiled"
    );
}

/// A guarantee whose test was renamed or removed is no guarantee.
#[test]
fn the_threat_model_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    for folder in ["src", "tests", "crates"] {
        let mut folders = vec![root.join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    code.push_str(&fs::read_to_string(path).unwrap());
                }
            }
        }
    }
    let text = fs::read_to_string(root.join("docs/threat-model.md")).unwrap();
    let is_test_name = |name: &&str| {
        name.matches('_').count() >= 2
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    // The tests are in the last cell of each row of the tables of guarantees.
    let guarantees = text.split("## Residual risks").next().unwrap();
    let cells =
        guarantees.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.rsplit('|').nth(1));
    let names: Vec<&str> =
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).filter(is_test_name).collect();
    assert!(names.len() > 50, "the page names its tests");
    let missing: Vec<&&str> = names.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "docs/threat-model.md names what is no test: {missing:?}");
}
