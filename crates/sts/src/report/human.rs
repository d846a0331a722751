//! For people: the place, the line with a caret, and what to write instead.

use octo_sts_policy::{Diagnostic, Severity};

use super::super::files::Checked;
use super::super::outcome::Style;
use super::{Counts, has_place, help, severity, shown, snippet};

pub(crate) fn all(files: &[Checked], style: Style) -> String {
    let mut out = String::new();
    for file in files {
        out.push_str(&problems(file, style));
    }
    out.push_str(&summary(Counts::of(files), style));
    out
}

/// Every problem of a file.
pub(crate) fn problems(file: &Checked, style: Style) -> String {
    let problems = file.diagnostics.iter().map(|diagnostic| {
        let kind = format!("{}[{}]", severity(diagnostic), diagnostic.code);
        let kind = match diagnostic.severity {
            Severity::Error => style.error(&kind),
            Severity::Warning => style.warning(&kind),
        };
        problem(file, diagnostic, &kind, help(diagnostic).map(|help| ("= help:", help)), style)
    });
    let accepted = file.accepted.iter().map(|accepted| {
        let kind = style.good(&format!("accepted[{}]", accepted.diagnostic.code));
        let because = Some(("= because:", accepted.reason.as_str()));
        problem(file, &accepted.diagnostic, &kind, because, style)
    });
    problems.chain(accepted).collect()
}

fn problem(
    file: &Checked,
    diagnostic: &Diagnostic,
    kind: &str,
    more: Option<(&str, &str)>,
    style: Style,
) -> String {
    let number = diagnostic.line.to_string();
    let margin = " ".repeat(number.len());
    let bar = style.frame("|");
    let path = shown(&file.path);
    let mut out = format!("{kind}{}\n", style.strong(&format!(": {}", shown(&diagnostic.message))));
    if has_place(diagnostic) {
        let snippet = snippet::of(&file.source, diagnostic);
        let place = format!("{path}:{}:{}", diagnostic.line, diagnostic.column);
        let marks = match diagnostic.severity {
            Severity::Error => style.error(&snippet.marks),
            Severity::Warning => style.warning(&snippet.marks),
        };
        out.push_str(&format!("{margin}{} {place}\n", style.frame("-->")));
        out.push_str(&format!("{margin} {bar}\n"));
        out.push_str(&format!("{} {bar} {}\n", style.frame(&number), snippet.line));
        out.push_str(&format!("{margin} {bar} {marks}\n"));
    } else {
        out.push_str(&format!("{margin}{} {path}\n", style.frame("-->")));
    }
    if let Some((what, text)) = more {
        out.push_str(&format!("{margin} {} {}\n", style.frame(what), shown(text)));
    }
    out.push('\n');
    out
}

fn summary(counts: Counts, style: Style) -> String {
    let Counts { files, errors, warnings, accepted } = counts;
    let verdict = if errors == 0 { style.good("ok") } else { style.error("failed") };
    let mut parts = vec![number(files, "file")];
    if errors + warnings == 0 {
        parts.push("no problems".to_owned());
    }
    for (count, what) in [(errors, "error"), (warnings, "warning")] {
        if count > 0 {
            parts.push(number(count, what));
        }
    }
    if accepted > 0 {
        parts.push(format!("{} accepted", number(accepted, "warning")));
    }
    format!("{verdict}: {}\n", parts.join(", "))
}

fn number(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn people_see_the_line_a_caret_and_what_to_write() {
        insta::assert_snapshot!(all(&sample::files(), Style::PLAIN));
    }
}
