//! Who may import whom. The map is `src/lib.rs`'s; this holds the code to it and names the file and the broken rule.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may import. A room that is missing here fails the test.
const ROOMS: &[(&str, &[&str])] = &[
    ("secret", &[]),
    ("redact", &[]),
    ("time", &[]),
    ("names", &[]),
    ("json", &[]),
    ("jose", &["json", "secret"]),
    ("reservation", &["time"]),
    ("ports", &["jose", "reservation", "secret", "time"]),
    ("oidc", &["jose", "json", "ports", "secret", "time"]),
    ("policy", &["names", "oidc"]),
    ("context", &["ports", "redact", "reservation", "time"]),
    ("cache", &["context", "json", "names", "ports", "time"]),
    ("github", &["json", "names", "policy", "ports", "secret", "time"]),
    ("config", &["cache", "github", "names", "oidc", "ports", "secret"]),
    (
        "sts",
        &[
            "cache",
            "config",
            "context",
            "github",
            "jose",
            "json",
            "names",
            "oidc",
            "policy",
            "ports",
            "redact",
            "reservation",
            "secret",
            "time",
        ],
    ),
    (
        "webhook",
        &[
            "cache", "config", "context", "github", "jose", "json", "names", "oidc", "policy", "ports",
            "secret", "sts", "time",
        ],
    ),
    ("api", &["config", "context", "ports", "sts", "time", "webhook"]),
    ("cloudflare", &["api", "config", "jose", "ports", "redact", "reservation", "secret", "time"]),
    ("native", &["jose", "ports", "secret"]),
];

/// What only some rooms may name, and why.
const RESERVED: &[(&str, &[&str], &str)] = &[
    ("worker::", &["cloudflare"], "the platform has one room"),
    ("web_sys", &["cloudflare"], "the platform has one room"),
    ("js_sys", &["cloudflare"], "the platform has one room"),
    ("wasm_bindgen", &["cloudflare"], "the platform has one room"),
    ("aws_lc_rs", &["native"], "native signatures have one room"),
    ("ureq", &["native"], "the network is a port"),
    ("SystemTime", &[], "the clock is an argument"),
    ("Instant::now", &[], "the clock is an argument"),
    ("Utc::now", &[], "the clock is an argument"),
    ("std::env", &[], "settings are an argument"),
    ("std::fs", &[], "the library reads no files"),
    ("std::net::Tcp", &[], "the network is a port"),
    ("regex::", &[], "patterns have one engine, and it is ours"),
    ("saphyr_parser", &["policy"], "documents have one reader"),
    ("LruCache::unbounded", &[], "memory is bounded"),
    ("hmac", &["webhook"], "shared secrets are the webhook's"),
];

/// Room, file and text of every source file of the library, without comments and unit tests.
fn sources() -> Vec<(String, PathBuf, String)> {
    let mut sources = every_source();
    sources.retain(|(room, _, _)| room != "lib" && room != "bin");
    sources
}

fn sources_of(wanted: &str) -> Vec<(String, PathBuf, String)> {
    let mut sources = every_source();
    sources.retain(|(room, _, _)| room == wanted);
    sources
}

fn every_source() -> Vec<(String, PathBuf, String)> {
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
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

/// The rooms that a text names by `crate::`, one by one or in braces.
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

#[test]
fn every_room_imports_only_what_it_may() {
    let allowed: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut broken = Vec::new();
    for (room, file, code) in sources() {
        let may =
            allowed.get(room.as_str()).unwrap_or_else(|| panic!("{}: `{room}` is on no map", file.display()));
        for name in imported(&code) {
            let is_room = allowed.contains_key(name.as_str());
            if is_room && name != room && !may.contains(&name.as_str()) {
                broken.push(format!("{}: `{room}` may not import `{name}`", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// What the command line may see of the crate: what it shows, and the ports for it. Never the exchange, GitHub or the
/// settings of a server.
const COMMAND_LINE: &[&str] = &["jose", "json", "names", "native", "oidc", "policy", "secret", "time"];

#[test]
fn the_command_line_imports_only_what_it_may() {
    let mut seen = 0;
    let mut broken = Vec::new();
    for (_, file, code) in sources_of("bin") {
        for (index, name) in code.match_indices("octo_sts_worker::") {
            let rest = code.get(index + name.len()..).unwrap();
            let room: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            seen += 1;
            if !COMMAND_LINE.contains(&room.as_str()) {
                broken.push(format!("{}: the command line may not import `{room}`", file.display()));
            }
        }
        for reserved in ["println!", "eprintln!", "std::process::exit", "ureq", "std::net"] {
            if code.contains(reserved) {
                broken.push(format!("{}: `{reserved}` is not for the command line", file.display()));
            }
        }
        assert!(code.lines().count() <= 430, "{}", file.display());
    }
    assert!(seen > 10, "the scan sees the imports");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn what_is_reserved_stays_in_its_room() {
    let mut broken = Vec::new();
    for (room, file, code) in sources() {
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

#[test]
fn files_stay_small() {
    let generated = Path::new("policy/permissions_list.rs");
    for (_, file, code) in sources() {
        let lines = code.lines().count();
        assert!(lines <= 430 || file == generated, "{}: {lines} lines", file.display());
    }
}

#[test]
fn the_scan_sees_what_it_should() {
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
    for folder in ["src", "tests"] {
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
    // The tests stand in the last cell of each row of the tables of guarantees.
    let guarantees = text.split("## Residual risks").next().unwrap();
    let cells =
        guarantees.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.rsplit('|').nth(1));
    let names: Vec<&str> =
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).filter(is_test_name).collect();
    assert!(names.len() > 50, "the page names its tests");
    let missing: Vec<&&str> = names.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "docs/threat-model.md names what is no test: {missing:?}");
}
