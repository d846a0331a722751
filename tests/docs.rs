//! The documents are consistent: every relative link leads to a file, and to a heading in it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

/// The documents of the repository, by their path.
fn documents() -> BTreeMap<PathBuf, String> {
    let mut documents = BTreeMap::new();
    for folder in ["", "docs", "docs/adr", "policies-schema"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).unwrap();
                documents.insert(path.canonicalize().unwrap(), text);
            }
        }
    }
    documents
}

/// The anchor that GitHub makes from a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

fn anchors(text: &str) -> Vec<String> {
    let mut anchors = Vec::new();
    let mut heading: Option<String> = None;
    for event in Parser::new(text) {
        match (event, &mut heading) {
            (Event::Start(Tag::Heading { .. }), _) => heading = Some(String::new()),
            (Event::End(TagEnd::Heading(_)), Some(text)) => {
                anchors.push(anchor(text));
                heading = None;
            }
            (Event::Text(part) | Event::Code(part), Some(text)) => text.push_str(&part),
            _ => {}
        }
    }
    anchors
}

fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for event in Parser::new(text) {
        if let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event {
            links.push(dest_url.to_string());
        }
    }
    links.retain(|link| !link.contains(':'));
    links
}

#[test]
fn every_relative_link_leads_somewhere() {
    let documents = documents();
    assert!(documents.len() > 10);
    let mut dead = Vec::new();
    for (path, text) in &documents {
        for link in links(text) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let leads = target.canonicalize().is_ok_and(|target| {
                anchor.is_empty()
                    || documents
                        .get(&target)
                        .is_some_and(|text| anchors(text).iter().any(|known| known == anchor))
            });
            if !leads {
                dead.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
}

/// A file of the repository, with runs of white space as one space.
fn flat(path: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The value of a constant: the numbers at `index` of its arguments, multiplied.
fn constant(path: &str, name: &str, index: usize) -> u64 {
    let text = flat(path);
    let (_, after) = text
        .split_once(&format!("const {name}:"))
        .or_else(|| text.split_once(&format!("const {name} ")))
        .unwrap_or_else(|| panic!("{path} has no constant {name}"));
    let (value, _) = after.split_once("= ").unwrap().1.split_once(';').unwrap();
    let arguments = value.split_once('(').map_or(value, |(_, rest)| rest.split(')').next().unwrap());
    let argument = arguments.split(',').nth(index).unwrap();
    argument
        .split('*')
        .map(|factor| factor.trim().replace('_', "").parse::<u64>())
        .product::<Result<u64, _>>()
        .unwrap_or_else(|error| panic!("{path}: {name}: {error}"))
}

/// 2000 is written `2000` or `2,000`.
fn says(document: &str, sentence: &str, number: u64) -> bool {
    let mut grouped = number.to_string();
    if let Some(thousands) = grouped.len().checked_sub(3).filter(|place| *place > 0) {
        grouped.insert(thousands, ',');
    }
    [number.to_string(), grouped].iter().any(|text| document.contains(&sentence.replace("{}", text)))
}

#[test]
fn numbers_in_the_documents_are_those_of_the_code() {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * 1024;
    const OPERATING: &str = "docs/operating.md";
    const ARCHITECTURE: &str = "docs/architecture.md";
    const PROXY: &str = "docs/proxy.md";
    const THREATS: &str = "docs/threat-model.md";
    // File, constant, which of its arguments, unit; document, sentence.
    let table: &[(&str, &str, usize, u64, &str, &str)] = &[
        ("scripts/check-size.mjs", "LIMIT_KB", 0, 1, "docs/development.md", "fails above {} KB of gzip"),
        (
            "scripts/check-size.mjs",
            "FUNCTION_LIMIT_KB",
            0,
            1,
            "CHANGELOG.md",
            "a function of more than {} KB",
        ),
        ("src/authn/bearer.rs", "MAX_CREDENTIAL", 0, KIB, OPERATING, "| OIDC token | {} KiB;"),
        ("src/authn/bearer.rs", "MAX_CREDENTIAL", 0, KIB, "docs/api.md", "an OIDC token of at most {} KiB"),
        ("crates/verifier/src/json/mod.rs", "MAX_DEPTH", 0, 1, OPERATING, "JSON nesting {}"),
        ("crates/verifier/src/json/mod.rs", "MAX_NODES", 0, 1, THREATS, "at most {} values"),
        ("src/sts/parameters.rs", "MAX_BODY", 0, KIB, OPERATING, "body of an exchange | {} KiB"),
        ("crates/policy/src/document.rs", "MAX_BYTES", 0, KIB, OPERATING, "list of issuers | {} KiB"),
        (
            "crates/policy/src/document.rs",
            "MAX_BYTES",
            0,
            KIB,
            "docs/policies.md",
            "A file has at most {} KiB",
        ),
        ("crates/policy/src/load.rs", "MAX_CLAIM_PATTERNS", 0, 1, OPERATING, "{} claim patterns;"),
        ("crates/policy/src/load.rs", "MAX_REPOSITORIES", 0, 1, OPERATING, "{} repositories;"),
        (
            "crates/policy/src/pattern/mod.rs",
            "MAX_PATTERN_CHARACTERS",
            0,
            1,
            OPERATING,
            "patterns of {} characters;",
        ),
        ("crates/policy/src/pattern/program.rs", "MAX_STATES", 0, 1, "docs/policies.md", "at most {} states"),
        ("crates/policy/src/pattern/program.rs", "MAX_STATES", 0, 1, THREATS, "a pattern at most {} states"),
        ("crates/policy/src/pattern/program.rs", "MAX_STEPS", 0, 1, "docs/policies.md", "{} such visits"),
        ("crates/policy/src/pattern/program.rs", "MAX_STEPS", 0, 1, THREATS, "at most {} steps"),
        ("crates/policy/src/trusted_issuers.rs", "MAX_ISSUERS", 0, 1, OPERATING, "{} issuers and"),
        (
            "crates/policy/src/trusted_issuers.rs",
            "MAX_ISSUER_PATTERNS",
            0,
            1,
            OPERATING,
            "{} issuer patterns of",
        ),
        ("src/ports.rs", "KEY_VALUE_TIMEOUT", 0, 1, OPERATING, "a call of KV | {} s"),
        ("src/ports.rs", "RESERVATION_TIMEOUT", 0, 1, OPERATING, "record of used tokens | {} s"),
        ("src/context/budget.rs", "BEFORE_THE_ANSWER", 0, 1, OPERATING, "any answer of the service | {} s"),
        ("src/context/budget.rs", "BEFORE_THE_ANSWER", 0, 1, THREATS, "No answer is later than {} s"),
        ("src/context/budget.rs", "AFTER_THE_ANSWER", 0, 1, ARCHITECTURE, "{} s after it"),
        ("src/authn/mod.rs", "ISSUERS", 0, 1, OPERATING, "| {} issuers,"),
        ("src/authn/mod.rs", "ISSUERS", 1, MIB, ARCHITECTURE, "as fresh (256; {} MiB)"),
        ("src/apps/mod.rs", "INSTALLATIONS", 0, 1, OPERATING, "{} installations,"),
        ("src/apps/mod.rs", "INSTALLATIONS", 1, MIB, ARCHITECTURE, "10 min (4096; {} MiB)"),
        ("src/sts/service.rs", "POLICIES", 0, 1, OPERATING, "{} policies,"),
        ("src/sts/service.rs", "POLICIES", 1, MIB, ARCHITECTURE, "30 s (1024; {} MiB)"),
        ("src/sts/service.rs", "ORGANIZATIONS", 0, 1, OPERATING, "{} lists,"),
        ("src/sts/service.rs", "ORGANIZATIONS", 1, MIB, ARCHITECTURE, "30 s (256; {} MiB)"),
        ("src/webhook/mod.rs", "DELIVERIES", 0, 1, OPERATING, "{} deliveries,"),
        ("src/cache/newcomers.rs", "WRITTEN", 0, 1, OPERATING, "| {} a minute for each isolate"),
        ("src/cache/newcomers.rs", "WRITTEN", 0, 1, ARCHITECTURE, "an isolate writes {} a minute"),
        ("src/cache/newcomers.rs", "WRITTEN", 0, 1, "CHANGELOG.md", "at most {} KV writes a minute"),
        ("src/authn/strangers.rs", "WAITING", 0, 1, ARCHITECTURE, "{} requests of an isolate wait"),
        ("src/authn/strangers.rs", "PER_HOST", 0, 1, ARCHITECTURE, "{} requests a minute leave for one host"),
        ("src/webhook/quota.rs", "REQUESTS", 0, 1, "CHANGELOG.md", "{} validation requests an hour"),
        (
            "src/webhook/quota.rs",
            "REQUESTS_OF_FORKS",
            0,
            1,
            THREATS,
            "{} requests an hour are for pull requests",
        ),
        ("src/config/upstreams.rs", "DEFAULT_REQUESTS", 0, 1, PROXY, "| `max_requests` | {} |"),
        ("src/config/upstreams.rs", "DEFAULT_RATE", 0, 1, PROXY, "| `requests_per_second` | {} |"),
        ("src/config/upstreams.rs", "DEFAULT_SESSION", 0, 1, PROXY, "| `max_session_seconds` | {} |"),
        ("src/config/upstreams.rs", "LONGEST_SESSION", 0, 1, PROXY, "60 to {} |"),
        (
            "src/config/upstreams.rs",
            "DEFAULT_FIRST_BYTE",
            0,
            1,
            PROXY,
            "| `first_byte_timeout_seconds` | {} |",
        ),
    ];
    let mut stale = Vec::new();
    for (path, name, index, unit, document, sentence) in table {
        let value = constant(path, name, *index);
        assert_eq!(value % unit, 0, "{name} in {path} is no multiple of {unit}");
        if !says(&flat(document), sentence, value / unit) {
            stale.push(format!("{document}: `{sentence}` with {} ({name} of {path})", value / unit));
        }
    }
    assert!(stale.is_empty(), "sentences that are not there:\n{}", stale.join("\n"));
}

#[test]
fn every_page_and_every_decision_is_listed_and_no_number_is_there_twice() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".md")).collect()
    };
    let (readme, index, architecture) =
        (flat("README.md"), flat("docs/README.md"), flat("docs/architecture.md"));
    for page in names("docs").iter().filter(|page| *page != "README.md") {
        assert!(readme.contains(&format!("(docs/{page})")), "README.md does not list {page}");
        assert!(index.contains(&format!("({page}")), "docs/README.md does not list {page}");
    }
    let mut numbers = BTreeMap::new();
    for decision in names("docs/adr") {
        assert!(
            architecture.contains(&format!("(adr/{decision})")),
            "architecture.md does not list {decision}"
        );
        let (number, _) = decision.split_once('-').unwrap();
        let other = numbers.insert(number.to_owned(), decision.clone());
        assert_eq!(other, None, "two decisions have the number of {decision}");
    }
}
