//! Every file under `tests/data/policies/valid` loads, none under `invalid` does; the report about each is a snapshot.
//! The subfolder is the kind of file: `repository`, `organization` or `trusted-issuers`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use octo_sts_worker::policy::{Diagnostic, PolicyHome, Severity, check, trusted_issuers};

fn files(verdict: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/policies").join(verdict);
    let mut files: Vec<PathBuf> = ["repository", "organization", "trusted-issuers"]
        .iter()
        .flat_map(|kind| std::fs::read_dir(root.join(kind)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

/// Whether the file is usable, and the report about it.
fn load_file(path: &Path) -> (bool, Vec<Diagnostic>) {
    let source = std::fs::read(path).unwrap();
    let kind = path.parent().unwrap().file_name().unwrap();
    if kind == "trusted-issuers" {
        let report = trusted_issuers::load(&source);
        return (report.value.is_some(), report.diagnostics);
    }
    let home = if kind == "organization" {
        PolicyHome::OrganizationPolicyRepository
    } else {
        PolicyHome::Repository
    };
    let report = check(&source, home);
    (report.value.is_some(), report.diagnostics)
}

fn name(path: &Path) -> String {
    let kind = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
    format!("{kind}/{}", path.file_stem().unwrap().to_str().unwrap())
}

fn snapshot(verdict: &str) -> String {
    let mut out = String::new();
    for path in files(verdict) {
        out.push_str(&format!("== {}\n", name(&path)));
        for diagnostic in load_file(&path).1 {
            out.push_str(&format!("{diagnostic}\n"));
        }
    }
    out
}

#[test]
fn every_valid_file_loads() {
    for path in files("valid") {
        let (usable, diagnostics) = load_file(&path);
        assert!(usable, "{}: {diagnostics:?}", name(&path));
    }
    insta::assert_snapshot!("valid", snapshot("valid"));
}

#[test]
fn no_invalid_file_loads_and_every_problem_is_told() {
    let files = files("invalid");
    assert!(files.len() >= 40);
    for path in &files {
        let (usable, diagnostics) = load_file(path);
        assert!(!usable, "{}", name(path));
        assert!(
            diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error),
            "{}",
            name(path)
        );
    }
    insta::assert_snapshot!("invalid", snapshot("invalid"));
}

#[test]
fn texts_are_one_line_lower_case_and_without_a_period() {
    for path in files("invalid").into_iter().chain(files("valid")) {
        for diagnostic in load_file(&path).1 {
            let message = &diagnostic.message;
            assert!(!message.contains('\n') && !message.ends_with('.'), "{message}");
            assert!(!message.starts_with(char::is_uppercase), "{message}");
            assert!(message.len() < 600, "{message}");
            assert!(diagnostic.line >= 1 && diagnostic.column >= 1);
            assert!(
                diagnostic.code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            );
        }
    }
}
