//! `docs/policies.md` is complete and true: every example is loaded, every permission and code is there, every pattern
//! in a table is matched. So are the examples of `policies-schema/README.md`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use octo_sts_worker::policy::{
    Diagnostic, FILE_MISNAMED, PERMISSION_NOT_INSTALLED, Pattern, PolicyHome, Severity, Subject, check,
    diagnostic_code, diagnostic_codes, known_permissions, trusted_issuers,
};

const REFERENCE: &str = "docs/policies.md";

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// A fenced block: the text after its fence, its content, and its first line's number.
struct Block {
    info: String,
    text: String,
    line: usize,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in page.lines().enumerate() {
        match (open.take(), line.strip_prefix("```")) {
            (None, Some(info)) => {
                open = Some(Block { info: info.to_owned(), text: String::new(), line: index + 2 });
            }
            (Some(block), Some(_)) => blocks.push(block),
            (Some(mut block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    blocks
}

/// Whether the text is usable, and the report about it.
fn loaded(kind: &str, text: &str) -> (bool, Vec<Diagnostic>) {
    if kind.starts_with("trusted-issuers") {
        let report = trusted_issuers::load(text.as_bytes());
        return (report.value.is_some(), report.diagnostics);
    }
    let home = if kind.starts_with("policy-org") {
        PolicyHome::OrganizationPolicyRepository
    } else {
        PolicyHome::Repository
    };
    let report = check(text.as_bytes(), home);
    (report.value.is_some(), report.diagnostics)
}

/// Checks every marked block with the loader. Returns the kinds that it found.
fn hold(path: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for block in blocks(&read(path)) {
        let mut words = block.info.split(' ');
        let (language, kind, code) = (words.next(), words.next(), words.next());
        let (Some("yaml"), Some(kind)) = (language, kind) else { continue };
        let place = format!("{path}:{}", block.line);
        let (usable, diagnostics) = loaded(kind, &block.text);
        let codes: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
        match kind {
            "policy" | "policy-org" | "trusted-issuers" => {
                assert_eq!((usable, codes), (true, vec![]), "{place}")
            }
            "policy-invalid" | "policy-org-invalid" | "trusted-issuers-invalid" => {
                assert_eq!((usable, codes), (false, vec![code.unwrap()]), "{place}");
            }
            "policy-warns" | "policy-org-warns" => {
                assert_eq!((usable, codes), (true, vec![code.unwrap()]), "{place}");
            }
            other => panic!("{place}: `{other}` is no kind of example"),
        }
        seen.push(block.info);
    }
    seen
}

#[test]
fn every_example_is_what_it_says() {
    let seen = hold(REFERENCE);
    for kind in
        ["policy", "policy-org", "policy-invalid", "policy-org-invalid", "policy-warns", "trusted-issuers"]
    {
        assert!(seen.iter().any(|info| info.split(' ').nth(1) == Some(kind)), "no example of `{kind}`");
    }
    assert!(!hold("policies-schema/README.md").is_empty());
}

#[test]
fn every_pattern_of_the_table_does_what_it_says() {
    let page = read(REFERENCE);
    let block = blocks(&page).into_iter().find(|block| block.info == "text patterns").unwrap();
    assert!(block.text.lines().count() >= 15);
    for line in block.text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [pattern, verb, value] = words.as_slice() else { panic!("{line}") };
        let pattern: Pattern = pattern.parse().unwrap();
        assert_eq!(pattern.matches(value), *verb == "matches", "{line}");
        assert!(["matches", "refuses"].contains(verb), "{line}");
    }
}

#[test]
fn the_explanation_is_what_the_command_says() {
    let page = read(REFERENCE);
    let block = blocks(&page).into_iter().find(|block| block.info == "text explain").unwrap();
    let snapshot = read("crates/sts/tests/snapshots/cli__explain_refused.snap");
    let said = snapshot.splitn(3, "---\n").nth(2).unwrap();
    assert_eq!(block.text.trim_end(), said.trim_end(), "{REFERENCE}:{}", block.line);
}

/// Codes of problems that do not make a file unusable: those of lint, and those that need more than the file.
fn warnings() -> BTreeSet<&'static str> {
    let mut warnings = BTreeSet::from([FILE_MISNAMED, PERMISSION_NOT_INSTALLED]);
    for file in ["lint.rs", "nobody.rs", "accept.rs"] {
        let source = read(&format!("crates/policy/src/{file}"));
        let code = source.split("#[cfg(test)]").next().unwrap();
        warnings.extend(code.split('"').filter_map(diagnostic_code).map(|code| code.name));
    }
    warnings
}

#[test]
fn every_warning_has_a_section_with_an_example_that_is_warned_of() {
    let page = read(REFERENCE);
    let section = page.split("\n## Warnings\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let sections: BTreeSet<&str> = section.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let about_all = "Accepting a warning";
    assert_eq!(sections, warnings().into_iter().chain([about_all]).collect());
    for part in section.split("\n### ").skip(1).filter(|part| !part.starts_with(about_all)) {
        let code = part.lines().next().unwrap();
        assert!(part.lines().count() >= 4, "{code}");
        let needs_more_than_a_file = [FILE_MISNAMED, PERMISSION_NOT_INSTALLED].contains(&code);
        let has_example = part.contains(&format!("-warns {code}\n"));
        assert!(has_example || needs_more_than_a_file, "{code}");
    }
}

/// The parts of the page that are made from the lists of the loader.
fn generated() -> [(&'static str, String); 2] {
    let cell = |text: &str| text.replace('|', "\\|");
    let mut permissions =
        String::from("| permission | levels | granted by | for |\n| --- | --- | --- | --- |\n");
    for known in known_permissions() {
        let levels: Vec<&str> = known.levels.iter().map(|level| level.as_str()).collect();
        let (name, levels, purpose) = (known.name, levels.join(", "), cell(known.purpose));
        let home = match known.subject() {
            Subject::Repository => "any policy",
            Subject::Organization | Subject::Enterprise => "organization policies",
        };
        permissions.push_str(&format!("| `{name}` | {levels} | {home} | {purpose} |\n"));
    }
    let mut errors = String::from("| code | what it means | what to do |\n| --- | --- | --- |\n");
    let warnings = warnings();
    for code in diagnostic_codes().iter().filter(|code| !warnings.contains(code.name)) {
        let (name, meaning, fix) = (code.name, cell(code.meaning), cell(code.fix));
        errors.push_str(&format!("| <a id=\"{name}\"></a>`{name}` | {meaning} | {fix} |\n"));
    }
    [("permissions", permissions), ("errors", errors)]
}

#[test]
fn every_permission_and_every_code_is_there() {
    let mut page = read(REFERENCE);
    let mut fresh = true;
    for (name, table) in generated() {
        let begin =
            format!("<!-- {name}: begin (UPDATE_REFERENCE=1 cargo test --test policy_reference) -->\n");
        let end = format!("<!-- {name}: end -->\n");
        let (before, rest) = page.split_once(&begin).unwrap();
        let (table_there, after) = rest.split_once(&end).unwrap();
        fresh &= table_there == table;
        page = format!("{before}{begin}{table}{end}{after}");
    }
    if !fresh && std::env::var_os("UPDATE_REFERENCE").is_some() {
        // Renamed into place: the other tests read the page at the same time.
        let written = Path::new(env!("CARGO_TARGET_TMPDIR")).join("policies.md");
        std::fs::write(&written, &page).unwrap();
        std::fs::rename(written, Path::new(env!("CARGO_MANIFEST_DIR")).join(REFERENCE)).unwrap();
        fresh = true;
    }
    assert!(fresh, "{REFERENCE} is old: UPDATE_REFERENCE=1 cargo test --test policy_reference");
    for code in diagnostic_codes() {
        let is_heading = page.contains(&format!("\n### {}\n", code.name));
        assert!(
            is_heading || page.contains(&format!("<a id=\"{}\">", code.name)),
            "no anchor `{}`",
            code.name
        );
    }
}

#[test]
fn what_is_told_as_an_error_here_is_one() {
    // The other direction of the sections: no lint warning is listed as an error.
    let yaml = "issuer: a\nsubject: b\npermissions: {contents: write}\n";
    let report = check(yaml.as_bytes(), PolicyHome::Repository);
    let warnings = warnings();
    assert!(report.diagnostics.len() >= 2);
    for diagnostic in report.diagnostics {
        assert_eq!(diagnostic.severity, Severity::Warning);
        assert!(warnings.contains(diagnostic.code), "{}", diagnostic.code);
    }
}

#[test]
fn links_within_the_page_lead_somewhere() {
    let page = read(REFERENCE);
    let headings: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')))
        .map(|heading| {
            let kept = heading.to_lowercase().replace(' ', "-");
            kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
        })
        .collect();
    for (index, _) in page.match_indices("](#") {
        let anchor = page.get(index + 3..).unwrap().split(')').next().unwrap();
        assert!(headings.contains(anchor), "#{anchor}");
    }
    for (index, _) in page.match_indices("](../") {
        let target = page.get(index + 5..).unwrap().split([')', '#']).next().unwrap();
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(target).exists(), "{target}");
    }
}
