//! What is wrong with a file, and where. Every problem is reported, not only the first. Codes are stable, because
//! people filter and document by them. Texts: lower case, one line, no period, what the file says in backticks.

use std::fmt;

use serde::Serialize;

use super::accept::Accepted;
use crate::cost::work;

/// How much a problem matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is not usable and grants nothing.
    Error,
    /// The file is usable, but somebody should check it.
    Warning,
}

/// One problem in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Names the rule; stable, without any value.
    pub code: &'static str,
    /// Whether the file is refused because of it.
    pub severity: Severity,
    /// One line, for people.
    pub message: String,
    /// 1-based.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
    /// What to write instead, as one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}:{}: {severity}[{}]: {}", self.line, self.column, self.code, self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, " ({suggestion})"),
            None => Ok(()),
        }
    }
}

/// The result of loading a file.
#[derive(Debug)]
pub struct Report<T> {
    /// The file's meaning; present exactly if no diagnostic is an error.
    pub value: Option<T>,
    /// Every problem, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// Warnings that a comment in the file accepts. They are not among the `diagnostics` and do not count.
    pub accepted: Vec<Accepted>,
}

impl<T> Report<T> {
    /// Only the problems because of which the file is refused.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Only the problems that somebody should check.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Warning)
    }
}

/// A place in a file: 1-based line, 1-based column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Place {
    /// The beginning of a file, which is also the position of anything missing.
    pub(crate) const START: Self = Self { line: 1, column: 1 };

    pub(crate) fn right(self, characters: usize) -> Self {
        let characters = u32::try_from(characters).unwrap_or(u32::MAX);
        Self { line: self.line, column: self.column.saturating_add(characters) }
    }
}

/// Collects the problems of one file, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Diagnostic>,
    accepted: Vec<Accepted>,
    /// The number of problems for each code.
    counts: Vec<(&'static str, usize)>,
    has_errors: bool,
}

/// Nobody reads more problems of one kind than this; the last one kept says how many more there are. A hostile file
/// could have a problem per character, each of which would cost memory and text.
const MAX_OF_A_CODE: usize = 150;

/// Each suggestion searches a hundred names; after twenty misspellings, an author needs no more.
const MAX_SUGGESTED: usize = 20;

/// For all kinds together.
const MAX_DIAGNOSTICS: usize = 200;

impl Problems {
    #[cold]
    pub(crate) fn error(
        &mut self,
        code: &'static str,
        place: Place,
        message: impl Into<String>,
        suggestion: Option<String>,
    ) {
        self.has_errors = true;
        self.push(code, Severity::Error, place, message.into(), suggestion);
    }

    pub(crate) fn warning(
        &mut self,
        code: &'static str,
        place: Place,
        message: impl Into<String>,
        suggestion: Option<String>,
    ) {
        self.push(code, Severity::Warning, place, message.into(), suggestion);
    }

    /// Whether a further problem of this code would be kept, so that composing its text is worthwhile. It has to be
    /// reported in any case.
    pub(crate) fn has_room(&self, code: &'static str) -> bool {
        self.counts.iter().all(|&(known, count)| known != code || count < MAX_OF_A_CODE)
    }

    /// Whether searching a suggestion for a further problem of this code is worthwhile.
    pub(crate) fn may_suggest(&self, code: &'static str) -> bool {
        self.counts.iter().all(|&(known, count)| known != code || count < MAX_SUGGESTED)
    }

    fn push(
        &mut self,
        code: &'static str,
        severity: Severity,
        place: Place,
        message: String,
        suggestion: Option<String>,
    ) {
        work(1);
        let has_room = self.has_room(code);
        match self.counts.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => self.counts.push((code, 1)),
        }
        if !has_room {
            return;
        }
        let (line, column) = (place.line, place.column);
        // Kept in order rather than sorted at the end: a generic sort is several kilobytes of the Worker.
        let at = self.found.partition_point(|earlier| (earlier.line, earlier.column) <= (line, column));
        work(self.found.len() - at);
        self.found.insert(at, Diagnostic { code, severity, message, line, column, suggestion });
        if self.found.len() > MAX_DIAGNOSTICS {
            // Errors take precedence over warnings: the list must never suggest that the file is usable.
            let warning = self.found.iter().rposition(|found| found.severity == Severity::Warning);
            self.found.remove(warning.unwrap_or(MAX_DIAGNOSTICS));
        }
    }

    /// Adds to the last one of each kind how many more there are.
    fn tell_of_more(&mut self) {
        for &(code, count) in self.counts.iter().filter(|(_, count)| *count > MAX_OF_A_CODE) {
            if let Some(last) = self.found.iter_mut().rfind(|found| found.code == code) {
                last.message.push_str(&format!(", and {} more of this kind", count - MAX_OF_A_CODE));
            }
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// Moves warnings to the accepted ones if `accepts` returns a reason and its line.
    pub(crate) fn accept(&mut self, mut accepts: impl FnMut(&Diagnostic) -> Option<(String, u32)>) {
        for diagnostic in std::mem::take(&mut self.found) {
            match accepts(&diagnostic) {
                Some((reason, comment_line)) => {
                    self.accepted.push(Accepted { diagnostic, reason, comment_line });
                }
                None => self.found.push(diagnostic),
            }
        }
    }

    /// Ends the collection. If there is an error, the value is dropped here, so no caller can use it.
    pub(crate) fn into_report<T>(mut self, value: Option<T>) -> Report<T> {
        self.tell_of_more();
        Report {
            value: if self.has_errors { None } else { value },
            diagnostics: self.found,
            accepted: self.accepted,
        }
    }
}

/// Text from outside as one bounded line in backticks: control and invisible characters are escaped, the rest is cut.
pub(crate) fn quoted(text: &str) -> String {
    quoted_up_to(text, 120)
}

/// Like [`quoted`], with another bound on the number of characters.
pub(crate) fn quoted_up_to(text: &str, max_characters: usize) -> String {
    let mut out = String::from("`");
    for (index, character) in text.chars().enumerate() {
        if index >= max_characters {
            out.push('…');
            break;
        }
        match character {
            '`' => out.push_str("\\u{60}"),
            '\'' | '"' | '\\' => out.push(character),
            other => out.extend(other.escape_debug()),
        }
    }
    out.push('`');
    out
}

/// Another crate's text as one line.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// The known name that `text` was probably meant to be.
///
/// At most a third of the characters may differ; case, `-` and `_` count for nothing.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance is quadratic: a hostile key of 60 KiB gets no suggestion.
    if text.len() > 100 {
        return None;
    }
    let wanted = folded(text);
    let allowed = |name: &str| (name.len().max(wanted.len()) / 3).max(1);
    known
        .into_iter()
        // The distance is at least the difference in length, so most names can be skipped.
        .filter(|name| name.len().abs_diff(wanted.len()) <= allowed(name))
        .map(|name| (distance(&wanted, &folded(name)), name))
        .filter(|(distance, name)| *distance <= allowed(name))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn folded(text: &str) -> Vec<char> {
    text.chars().map(|c| if c == '-' || c == ' ' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Levenshtein distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        work(b.len());
        let mut diagonal = i;
        let mut before = i + 1;
        let mut next = vec![before];
        for (right, above) in b.iter().zip(row.iter().skip(1)) {
            let cost = usize::from(left != right);
            before = (diagonal + cost).min(above + 1).min(before + 1);
            next.push(before);
            diagonal = *above;
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_forgives_case_and_dashes() {
        let known = ["contents", "pull_requests", "issues", "packages"];
        assert_eq!(nearest("pull-requests", known), Some("pull_requests"));
        assert_eq!(nearest("Contents", known), Some("contents"));
        assert_eq!(nearest("content", known), Some("contents"));
        assert_eq!(nearest("issue", known), Some("issues"));
        assert_eq!(nearest("zzzzzz", known), None);
        assert_eq!(nearest(&"a".repeat(5000), known), None);
    }

    #[test]
    fn distance_is_levenshtein() {
        for (a, b, expected) in
            [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("flaw", "lawn", 2)]
        {
            assert_eq!(distance(&folded(a), &folded(b)), expected, "{a} {b}");
        }
    }

    #[test]
    fn quoted_text_is_one_bounded_line_that_cannot_close_its_quotes() {
        assert_eq!(quoted("a`b\nc\u{202e}"), "`a\\u{60}b\\nc\\u{202e}`");
        assert_eq!(quoted_up_to("abcdef", 3), "`abc…`");
        assert_eq!(quoted(r#"it's "x" \d"#), r#"`it's "x" \d`"#);
    }

    #[test]
    fn an_error_takes_the_value_away_and_is_never_cut_off() {
        const CODES: [&str; 12] = ["a", "b", "c", "d", "f", "g", "h", "i", "j", "k", "l", "m"];
        let mut problems = Problems::default();
        for code in CODES {
            for _ in 0..MAX_OF_A_CODE * 2 {
                problems.warning(code, Place::START, "warning", None);
            }
        }
        problems.error("e", Place { line: 9, column: 1 }, "error", None);
        let report = problems.into_report(Some(()));
        assert_eq!(report.value, None);
        assert_eq!(report.diagnostics.len(), MAX_DIAGNOSTICS);
        assert_eq!(report.errors().count(), 1);
    }

    #[test]
    fn the_last_problem_of_a_kind_counts_the_rest() {
        let mut problems = Problems::default();
        for column in 1..=1000 {
            problems.error("e", Place { line: 1, column }, "error", None);
            problems.error("f", Place { line: 2, column: 1 }, "other", None);
            assert_eq!(problems.has_room("e"), column < 150);
            assert_eq!(problems.may_suggest("e"), column < 20);
        }
        let report = problems.into_report(Some(()));
        assert_eq!(report.value, None);
        assert_eq!(report.diagnostics.len(), 200);
        assert_eq!(report.diagnostics[148].message, "error");
        assert_eq!(report.diagnostics[149].message, "error, and 850 more of this kind");
    }
}
