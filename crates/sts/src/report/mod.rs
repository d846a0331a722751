//! Problems in files, in the formats that people and programs read.

pub(crate) mod github;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod sarif;
mod snippet;

use octo_sts_policy::{Diagnostic, Severity, diagnostic_code};

use super::files::Checked;

/// How many files and problems there are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) files: usize,
    pub(crate) errors: usize,
    pub(crate) warnings: usize,
    /// Warnings that the author has accepted, which do not count.
    pub(crate) accepted: usize,
}

impl Counts {
    pub(crate) fn of(files: &[Checked]) -> Self {
        let mut counts = Self { files: files.len(), ..Self::default() };
        counts.accepted = files.iter().map(|file| file.accepted.len()).sum();
        for diagnostic in files.iter().flat_map(|file| &file.diagnostics) {
            match diagnostic.severity {
                Severity::Error => counts.errors += 1,
                Severity::Warning => counts.warnings += 1,
            }
        }
        counts
    }
}

pub(crate) const fn severity(diagnostic: &Diagnostic) -> &'static str {
    match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// What to do: for the specific case, or else for all cases.
pub(crate) fn help(diagnostic: &Diagnostic) -> Option<&str> {
    diagnostic.suggestion.as_deref().or_else(|| diagnostic_code(diagnostic.code).map(|code| code.fix))
}

/// Whether there is a position in the file to point to.
pub(crate) fn has_place(diagnostic: &Diagnostic) -> bool {
    diagnostic_code(diagnostic.code).is_none_or(|code| !code.about_the_file)
}

/// A path for people: a file name may contain anything, including text that a terminal would interpret.
pub(crate) fn shown(path: &str) -> String {
    path.chars().map(snippet::printable).collect()
}

/// Where the marked text ends: 1-based, in characters, exclusive.
pub(crate) fn end_column(file: &Checked, diagnostic: &Diagnostic) -> u32 {
    let text = snippet::line(&file.source, diagnostic.line);
    let length = snippet::extent(&text, diagnostic);
    diagnostic.column.saturating_add(u32::try_from(length).unwrap_or(u32::MAX))
}

#[cfg(test)]
pub(super) mod sample {
    use octo_sts_policy::{PolicyHome, check};

    use super::super::files::Kind;
    use super::*;

    /// One file with an error in each kind of place, one valid file, and one with a wrong name.
    pub(crate) fn files() -> Vec<Checked> {
        let file = |path: &str, source: &str| {
            let home = PolicyHome::Repository;
            let report = check(source.as_bytes(), home);
            Checked {
                path: path.to_owned(),
                kind: Kind::Policy(home),
                source: source.into(),
                diagnostics: report.diagnostics,
                accepted: report.accepted,
            }
        };
        let broken = "issuer: https://token.actions.githubusercontent.com\n\
                      subject_pattern: 'repo:acme/app:(ref:refs/heads/main'\n\
                      claim_patterns: {ref: refs/heads/main}   # comment\n\
                      permissions:\n  pull-requests: write\n  issues: on\n";
        let fine = "issuer: https://gitlab.com\nsubject: project_path:acme/app:ref_type:branch:ref:main\n\
                    audience: sts.example.com\npermissions: {contents: read}\n";
        let warned = "issuer: https://token.actions.githubusercontent.com\nsubject: repo:acme/app:pull_request\n\
                      # sts: accept names-can-be-registered-anew because 100%, \u{202e}until May\n\
                      permissions: {issues: write}\n";
        let misnamed = Diagnostic {
            code: "file-misnamed",
            severity: Severity::Warning,
            message: "the file is not read: the name of a policy's file ends in `.sts.yaml`".to_owned(),
            line: 1,
            column: 1,
            suggestion: Some("rename it to `old.sts.yaml`".to_owned()),
        };
        vec![
            file(".github/chainguard/broken.sts.yaml", broken),
            file(".github/chainguard/fine.sts.yaml", fine),
            file(".github/chainguard/warned, 100%.sts.yaml", warned),
            file(".github/chainguard/empty.sts.yaml", ""),
            Checked {
                path: ".github/chainguard/old.yaml".to_owned(),
                kind: Kind::NotRead,
                source: Vec::new(),
                diagnostics: vec![misnamed],
                accepted: Vec::new(),
            },
        ]
    }
}
