//! Workflow commands, which a run of GitHub Actions turns into annotations.
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>

use octo_sts_policy::Diagnostic;

use super::super::escape;
use super::super::files::Checked;
use super::{Counts, end_column, has_place, help, severity};

pub(crate) fn all(files: &[Checked]) -> String {
    let mut out = String::new();
    for file in files {
        for diagnostic in &file.diagnostics {
            out.push_str(&annotation(
                file,
                diagnostic,
                severity(diagnostic),
                help(diagnostic).map(help_line),
            ));
        }
        for accepted in &file.accepted {
            let because = format!("accepted because: {}", accepted.reason);
            out.push_str(&annotation(file, &accepted.diagnostic, "notice", Some(because)));
        }
    }
    let Counts { files, errors, warnings, accepted } = Counts::of(files);
    out.push_str(&format!("files: {files}, errors: {errors}, warnings: {warnings}, accepted: {accepted}\n"));
    out
}

fn help_line(help: &str) -> String {
    format!("help: {help}")
}

fn annotation(file: &Checked, diagnostic: &Diagnostic, kind: &str, more: Option<String>) -> String {
    let path = file.path.strip_prefix("./").unwrap_or(&file.path);
    let mut place = format!("file={}", property(path));
    if has_place(diagnostic) {
        let (line, column) = (diagnostic.line, diagnostic.column);
        // The end is the last column, not the one after it.
        let end = end_column(file, diagnostic).saturating_sub(1);
        place.push_str(&format!(",line={line},endLine={line},col={column},endColumn={end}"));
    }
    let text = match more {
        Some(more) => format!("{}\n{more}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    format!("::{kind} {place},title={}::{}\n", property(diagnostic.code), data(&text))
}

/// Text after the second `::`. Line feeds stay line feeds; other unprintable characters are shown as such.
fn data(text: &str) -> String {
    let lines: Vec<String> =
        text.split('\n').map(|line| escape::one_line(line).replace('%', "%25")).collect();
    lines.join("%0A")
}

/// Text between the first and the second `::`.
fn property(text: &str) -> String {
    escape::one_line(text).replace('%', "%25").replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn runs_show_annotations() {
        insta::assert_snapshot!(all(&sample::files()));
    }

    #[test]
    fn no_text_of_a_file_becomes_a_command() {
        assert_eq!(property("a,b:c\n::error::x"), "a%2Cb%3Ac\\u{2028}%3A%3Aerror%3A%3Ax");
        assert_eq!(data("100%\r\n::set-output"), "100%25\\u{d}%0A\\::set-output");
        assert_eq!(data("\u{1b}[31m\u{202e}##[error]"), "\\u{1b}[31m\\u{202e}#\\#[error]");
    }
}
