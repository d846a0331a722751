//! The report of the check run: one line, a table of the files, details of each file, and annotations.

use crate::github::{Annotation, AnnotationLevel, Conclusion, Failure};
use crate::policy::{Accepted, Diagnostic, Severity};
use crate::webhook::commit::{Before, FileReport, Verdict};
use crate::webhook::effect::{self, NARROWER, WIDER};
use crate::webhook::listing::Unvalidated;
use crate::webhook::markdown::{code, code_up_to, message, visible};
use crate::webhook::runs::MAX_ANNOTATIONS;
use crate::webhook::words::{self, Setting};

/// GitHub takes 65,535 bytes.
const MAX_SUMMARY_BYTES: usize = 60_000;

/// Room for the text after the cut.
const RESERVED_BYTES: usize = 200;

/// A file with more problems than this is described by its first ones.
const MAX_TOLD: usize = 20;

/// A complete reason: `policy::Accepted` has no longer one.
const MAX_REASON_CHARACTERS: usize = 300;

/// GitHub refuses longer titles of annotations.
const MAX_ANNOTATION_CHARACTERS: usize = 2000;

/// The report about a commit.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) conclusion: Conclusion,
    /// Plain text.
    pub(super) title: String,
    /// Markdown.
    pub(super) summary: String,
    /// Errors first, up to the limit of a check run.
    pub(super) annotations: Vec<Annotation>,
    /// How many there are without the limit.
    pub(super) problems: usize,
}

impl Report {
    /// For files that were read.
    pub(super) fn of_files(files: &[FileReport], setting: Setting<'_>) -> Self {
        let failed = files.iter().filter(|file| file.fails()).count();
        let conclusion = if failed == 0 { Conclusion::Success } else { Conclusion::Failure };
        let of = |severity: Severity| {
            files.iter().flat_map(move |file| {
                let told = file.diagnostics.iter().filter(move |diagnostic| diagnostic.severity == severity);
                told.map(|diagnostic| annotation(&file.path, diagnostic))
            })
        };
        let all = of(Severity::Error).chain(of(Severity::Warning));
        Self {
            conclusion,
            title: title(files.len(), failed),
            summary: summary(files, setting),
            annotations: all.take(MAX_ANNOTATIONS).collect(),
            problems: files.iter().map(|file| file.diagnostics.len()).sum(),
        }
    }

    /// For files that were not read, with the reason.
    pub(super) fn of_unvalidated(why: Unvalidated) -> Self {
        let title = why.title();
        Self::failure(title, &format!("### ❌ {title}\n\n{why}.\n"))
    }

    /// For a commit whose files could not be validated, because GitHub failed.
    pub(super) fn of_failure(failure: Failure) -> Self {
        let (title, what) = match failure {
            Failure::RateLimited(_) => (
                "Not validated: GitHub's rate limit is reached",
                "GitHub limits how many requests this App may send, and the limit is reached",
            ),
            Failure::NoAnswer | Failure::BrokenOff => (
                "Not validated: no answer in time",
                "GitHub did not answer in time, or the policies took too long to validate",
            ),
            Failure::Unauthorized
            | Failure::Forbidden
            | Failure::NotFound
            | Failure::Redirected
            | Failure::Unprocessable
            | Failure::ServerError
            | Failure::Unexpected
            | Failure::Unreadable
            | Failure::TooLarge
            | Failure::Unsendable => (
                "Not validated: GitHub did not answer as expected",
                "GitHub refused a request, or its answer was unusable",
            ),
        };
        let code = failure.code();
        Self::failure(
            title,
            &format!(
                "### ❌ {title}\n\n{what} (`{code}`). Re-run this check, or redeliver the event in the App's settings.\n"
            ),
        )
    }

    /// For a run whose files are being read.
    pub(super) fn begun() -> Self {
        Self::failure("Validating", "The policies that this commit changes are being validated.\n")
    }

    /// The same for a run that had already ended, and fails until there is a new verdict.
    pub(super) fn begun_again() -> Self {
        Self::failure(
            "Being validated again",
            "### ⏳ Being validated again\n\nAnother event about this commit has arrived. This check fails until its policies are validated.\n",
        )
    }

    /// For a run that GitHub does not accept otherwise.
    pub(super) fn refused() -> Self {
        Self::failure(
            "Not validated: GitHub refuses the report",
            "GitHub refuses the report of this check.\n",
        )
    }

    /// For a commit that changes no policy.
    pub(super) fn skipped() -> Self {
        Self {
            conclusion: Conclusion::Skipped,
            ..Self::failure("No policy is changed", "This commit changes no trust policy.\n")
        }
    }

    /// The verdict alone.
    pub(super) fn shortened(&self) -> Self {
        Self {
            summary: "The details are omitted: GitHub refuses them. `sts validate` shows them.\n".to_owned(),
            ..self.without_annotations()
        }
    }

    pub(super) fn without_annotations(&self) -> Self {
        Self {
            conclusion: self.conclusion,
            title: self.title.clone(),
            summary: self.summary.clone(),
            annotations: Vec::new(),
            problems: self.problems,
        }
    }

    fn failure(title: &str, summary: &str) -> Self {
        Self {
            conclusion: Conclusion::Failure,
            title: title.to_owned(),
            summary: summary.to_owned(),
            annotations: Vec::new(),
            problems: 0,
        }
    }
}

fn title(files: usize, failed: usize) -> String {
    match (files, failed) {
        (1, 0) => "The changed file is valid".to_owned(),
        (1, _) => "The changed file is not valid".to_owned(),
        (all, 0) => format!("All {all} changed files are valid"),
        (all, 1) => format!("1 of {all} changed files is not valid"),
        (all, failed) => format!("{failed} of {all} changed files are not valid"),
    }
}

fn annotation(path: &str, diagnostic: &Diagnostic) -> Annotation {
    let text = match &diagnostic.suggestion {
        Some(suggestion) => format!("{} ({suggestion})", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    Annotation {
        path: path.to_owned(),
        start_line: diagnostic.line,
        end_line: diagnostic.line,
        start_column: diagnostic.column,
        end_column: diagnostic.column,
        annotation_level: match diagnostic.severity {
            Severity::Error => AnnotationLevel::Failure,
            Severity::Warning => AnnotationLevel::Warning,
        },
        title: diagnostic.code.to_owned(),
        message: visible(&text, MAX_ANNOTATION_CHARACTERS),
    }
}

/// Failures come first, then warnings. If the text has to be cut off, only valid files are lost.
fn summary(files: &[FileReport], setting: Setting<'_>) -> String {
    let rank = |file: &FileReport| (!file.fails(), file.diagnostics.is_empty());
    let ranked = |wanted: (bool, bool)| files.iter().filter(move |file| rank(file) == wanted);
    let ranks = [(false, false), (false, true), (true, false), (true, true)];
    let files: Vec<&FileReport> = ranks.into_iter().flat_map(ranked).collect();
    let rows =
        files.iter().map(|file| format!("| {} | {} | {} |\n", sign(file), code(&file.path), result(file)));
    let mut summary = String::from("| | file | result |\n| --- | --- | --- |\n");
    let left = append(&mut summary, rows, MAX_SUMMARY_BYTES / 3);
    if left > 0 {
        summary.push_str(&format!("\n{left} more files are omitted from the table.\n"));
    }
    let left = append_sections(&mut summary, &files, setting);
    if left > 0 {
        summary.push_str(&format!("\n{left} more files are omitted from the details.\n"));
    }
    summary
}

/// If there is too much to say about a file, the most important part is shown: nobody can hide who gets what behind a
/// long text.
fn append_sections(summary: &mut String, files: &[&FileReport], setting: Setting<'_>) -> usize {
    let limit = MAX_SUMMARY_BYTES - RESERVED_BYTES;
    let mut left = 0_usize;
    for file in files {
        let whole = section(file, setting);
        let fits = |part: &String| summary.len().saturating_add(part.len()) <= limit;
        match Some(whole).filter(fits).or_else(|| Some(section_in_brief(file)).filter(fits)) {
            Some(part) if left == 0 => summary.push_str(&part),
            Some(_) | None => left = left.saturating_add(1),
        }
    }
    left
}

/// Appends as many parts as fit into this many bytes, and returns how many do not fit.
fn append(text: &mut String, parts: impl Iterator<Item = String>, limit: usize) -> usize {
    let mut left = 0_usize;
    for part in parts {
        if text.len().saturating_add(part.len()) > limit || left > 0 {
            left = left.saturating_add(1);
        } else {
            text.push_str(&part);
        }
    }
    left
}

fn sign(file: &FileReport) -> &'static str {
    if file.fails() {
        "❌"
    } else if !file.diagnostics.is_empty() {
        "⚠️"
    } else if matches!(file.verdict, Verdict::Removed) {
        "➖"
    } else {
        "✅"
    }
}

fn result(file: &FileReport) -> String {
    let count = |severity, one: &str| {
        let count = file.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
        match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            several => Some(format!("{several} {one}s")),
        }
    };
    let what = match &file.verdict {
        Verdict::Policy(_) | Verdict::Issuers(_) => Some("valid".to_owned()),
        Verdict::Invalid => Some("not valid".to_owned()),
        Verdict::Unreadable(why) => Some(format!("cannot be read: {why}")),
        Verdict::Unread => Some("is not read".to_owned()),
        Verdict::Removed => Some("removed".to_owned()),
    };
    let accepted = match file.accepted.len() {
        0 => None,
        1 => Some("1 warning accepted".to_owned()),
        several => Some(format!("{several} warnings accepted")),
    };
    let parts = [what, count(Severity::Error, "error"), count(Severity::Warning, "warning"), accepted];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn section_in_brief(file: &FileReport) -> String {
    let mut section = format!("\n### {} {}\n", sign(file), code(&file.path));
    if let Verdict::Policy(policy) = &file.verdict {
        section.push_str(&format!("\n{}\n", words::sentence(policy)));
    }
    section.push_str("\nThe report is too long to show in full. Run sts validate to see all of it.\n");
    section
}

fn section(file: &FileReport, setting: Setting<'_>) -> String {
    let mut section = format!("\n### {} {}\n", sign(file), code(&file.path));
    match &file.verdict {
        Verdict::Policy(policy) => {
            section.push_str(&format!("\n{}\n\n", words::sentence(policy)));
            push_list(&mut section, &words::in_short(policy, setting));
        }
        Verdict::Issuers(issuers) => {
            section.push_str(
                "\nTokens from these issuers can be exchanged for any repository of the organization:\n\n",
            );
            push_list(&mut section, &words::trusted_issuers(issuers));
        }
        Verdict::Invalid => section.push_str("\nThis file grants no tokens until it is fixed.\n"),
        Verdict::Unreadable(why) => section.push_str(&format!("\nThis file cannot be read: {why}.\n")),
        Verdict::Unread => section.push_str("\nNothing reads this file, so it grants no tokens.\n"),
        Verdict::Removed => section.push_str("\nThis file no longer grants any tokens.\n"),
    }
    section.push_str(&difference(file, setting));
    let has_errors = file.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    push_first(&mut section, if has_errors { "Problems" } else { "Warnings" }, &file.diagnostics, told);
    push_first(&mut section, "Accepted warnings", &file.accepted, told_as_accepted);
    section
}

/// The first ones, if any, and how many more there are.
fn push_first<T>(section: &mut String, heading: &str, all: &[T], told: fn(&T) -> String) {
    if all.is_empty() {
        return;
    }
    section.push_str(&format!("\n**{heading}**\n\n"));
    push_list(section, &all.iter().take(MAX_TOLD).map(told).collect::<Vec<_>>());
    let more = all.len().saturating_sub(MAX_TOLD);
    if more > 0 {
        section.push_str(&format!("- and {more} more\n"));
    }
}

fn push_list(section: &mut String, lines: &[String]) {
    for line in lines {
        section.push_str(&format!("- {line}\n"));
    }
}

fn told(diagnostic: &Diagnostic) -> String {
    let severity = match diagnostic.severity {
        Severity::Error => "❌",
        Severity::Warning => "⚠️",
    };
    let mut told = format!(
        "{severity} line {}, column {}: {}",
        diagnostic.line,
        diagnostic.column,
        message(&diagnostic.message)
    );
    if let Some(suggestion) = &diagnostic.suggestion {
        told.push_str(&format!(" ({})", message(suggestion)));
    }
    told
}

/// A warning that the author has accepted, with the author's reason.
fn told_as_accepted(accepted: &Accepted) -> String {
    let Accepted { diagnostic: Diagnostic { code: name, message: what, line, column, .. }, reason, .. } =
        accepted;
    let (name, what, reason) = (code(name), message(what), code_up_to(reason, MAX_REASON_CHARACTERS));
    format!("☑️ line {line}, column {column}: {what} ({name}), accepted because {reason}")
}

/// The effect of the change, if known.
fn difference(file: &FileReport, setting: Setting<'_>) -> String {
    let lines = match (&file.before, &file.verdict) {
        (Before::Policy(before), Verdict::Policy(after)) => effect::of_policy(before, after, setting),
        (Before::Issuers(before), Verdict::Issuers(after)) => effect::of_issuers(before, after),
        (Before::Policy(before), _) => {
            vec![format!("{NARROWER} no longer granted: {}", words::sentence(before))]
        }
        (Before::Issuers(_), Verdict::Removed) => {
            vec![format!("{WIDER} only the listed issuers → every issuer")]
        }
        (Before::Issuers(_), _) => vec![format!(
            "{NARROWER} every exchange for the organization is refused until this file is fixed"
        )],
        (Before::Broken, Verdict::Policy(_)) => {
            vec![format!("{WIDER} everything above: the file was not valid before")]
        }
        (Before::Broken, Verdict::Issuers(_)) => {
            vec![format!("{WIDER} exchanges work again: the list was not valid before")]
        }
        (Before::Absent, Verdict::Policy(_)) => vec![format!("{WIDER} everything above: the file is new")],
        (Before::Absent, Verdict::Issuers(_)) => {
            vec![format!("{NARROWER} every issuer → only the listed issuers")]
        }
        (Before::Unknown | Before::Absent | Before::Broken, _) => return String::new(),
    };
    let mut text = String::from("\n**What changes**\n\n");
    if lines.is_empty() {
        text.push_str("- Nothing: who gets what stays the same\n");
    }
    push_list(&mut text, &lines);
    text
}
