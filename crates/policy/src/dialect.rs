//! What YAML 1.1 parsers (the Go service's) and 1.2 (ours) disagree about when they split text into scalars. All of it
//! is refused, so that an accepted file has only one reading; `tests/data/go/documents.jsonl` has Go's.

use saphyr_parser::{ScalarStyle, Span};

use super::diagnostic::{Place, Problems, printable, quoted};
use crate::cost::work;

/// Checks the lines, before anything is parsed. Returns whether parsing makes sense.
pub(super) fn check_lines(text: &str, problems: &mut Problems) -> bool {
    let mut fine = true;
    let mut ended = false;
    for (line, number) in text.split('\n').zip(1u32..) {
        work(line.len() + 1);
        let start = Place { line: number, column: 1 };
        let line = line.strip_suffix('\r').unwrap_or(line);
        if ended && !is_blank(line) {
            let message = "something follows the end marker `...`; there must be exactly one document";
            let is_another = line.starts_with("---");
            let code = if is_another { "yaml-multiple-documents" } else { "yaml-document-end" };
            problems.error(code, start, message, None);
            return false;
        }
        ended |= is_end_mark(line);
        // At most one problem per line: a binary file has thousands.
        if let Some((place, code, message)) = odd_line(line, start) {
            problems.error(code, place, message, None);
            fine = false;
        }
    }
    fine
}

fn odd_line(line: &str, start: Place) -> Option<(Place, &'static str, String)> {
    // YAML 1.1 breaks lines at U+0085, U+2028 and U+2029, and YAML 1.2 does not: a comment for one is a key for the
    // other. The rest is not text for either.
    let odd = line.chars().enumerate().find(|(_, character)| {
        matches!(character, '\u{0}'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}')
            || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    });
    if let Some((index, character)) = odd {
        let code_point = u32::from(character);
        let message =
            format!("the character U+{code_point:04X} is not allowed: YAML parsers disagree about it");
        return Some((start.right(index), "yaml-character", message));
    }
    // Also after the `-` of a list, which starts an indentation.
    let content = line.trim_start_matches([' ', '\t', '-', '?', ':']);
    if let Some(indentation) = line.strip_suffix(content)
        && let Some(index) = indentation.find('\t')
    {
        return Some((start.right(index), "yaml-tab", "a tab where a line is indented".to_owned()));
    }
    if line.starts_with('%') {
        return Some((start, "yaml-directive", "directives are not allowed".to_owned()));
    }
    if line.starts_with("... ") || line.starts_with("...\t") {
        let has_more = !is_end_mark(line);
        let message = "only a comment may follow on the line of the end marker `...`".to_owned();
        return has_more.then_some((start, "yaml-document-end", message));
    }
    None
}

/// `...` alone on a line, or followed by a comment. It closes the document, and only comments may follow.
fn is_end_mark(line: &str) -> bool {
    line.strip_prefix("...")
        .is_some_and(|rest| rest.is_empty() || (rest.starts_with([' ', '\t']) && is_blank(rest)))
}

/// Nothing, or a comment.
fn is_blank(line: &str) -> bool {
    let content = line.trim_start_matches([' ', '\t']);
    content.is_empty() || content.starts_with('#')
}

/// Reports where the parser stopped; `reason` is the parser's own.
#[cold]
#[inline(never)]
pub(super) fn tell_syntax(text: &str, stopped: Place, reason: &str, problems: &mut Problems) {
    let (place, message, suggestion) = match unknown_escape(text, stopped) {
        Some((place, escape)) => {
            let message =
                format!("a `\\` in double quotes starts an escape, but {} is not one", quoted(&escape));
            let suggestion = r"put the text into single quotes, or write `\\` for each `\`".to_owned();
            (place, message, Some(suggestion))
        }
        None => (stopped, format!("not valid YAML: {}", printable(reason)), None),
    };
    problems.error("yaml-syntax", place, message, suggestion);
}

/// The first escape in double quotes that YAML does not know, on the line where the parser stopped. Single quotes and
/// comments are skipped; text that began on an earlier line is not recognized.
fn unknown_escape(text: &str, stopped: Place) -> Option<(Place, String)> {
    let index = usize::try_from(stopped.line.checked_sub(1)?).ok()?;
    let line = text.split('\n').nth(index)?;
    let mut quote = None;
    let mut before = ' ';
    let mut characters = line.chars().zip(1u32..);
    while let Some((character, column)) = characters.next() {
        match (quote, character) {
            (None, '#') if matches!(before, ' ' | '\t') => return None,
            (None, '"' | '\'') if matches!(before, ' ' | '\t' | '[' | '{' | ',') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            (Some('"'), '\\') => {
                let (next, _) = characters.next()?;
                if !"0abt\tnvfre \"/\\N_LPxuU".contains(next) {
                    return Some((Place { line: stopped.line, column }, format!("\\{next}")));
                }
            }
            (_, _) => {}
        }
        before = character;
    }
    None
}

/// The characters of the file, to see how a scalar is written.
#[derive(Debug)]
pub(super) struct Written {
    characters: Vec<char>,
}

impl Written {
    pub(super) fn new(text: &str) -> Self {
        Self { characters: text.chars().collect() }
    }

    /// The characters from there on.
    pub(super) fn from(&self, index: usize) -> impl Iterator<Item = char> {
        self.characters.get(index..).unwrap_or_default().iter().copied()
    }

    /// Whether a collection is written in brackets or braces.
    pub(super) fn is_flow(&self, span: Span) -> bool {
        matches!(self.characters.get(span.start.index()), Some('[' | '{'))
    }

    /// Why the scalar is one that readers disagree about.
    pub(super) fn scalar_problem(
        &self,
        value: &str,
        style: ScalarStyle,
        span: Span,
        in_flow: bool,
    ) -> Option<&'static str> {
        let raw = self.characters.get(span.start.index()..span.end.index()).unwrap_or_default();
        work(raw.len());
        match style {
            ScalarStyle::Plain => match raw {
                [first, ..] if "|>@`%!&*'\"#,[]{}:?".contains(*first) => {
                    Some("text that begins with such a character must be quoted")
                }
                _ if in_flow && value.contains('?') => {
                    Some("text with a `?` must be quoted inside brackets or braces")
                }
                _ => None,
            },
            ScalarStyle::DoubleQuoted => {
                // Pairs, so that the second half of `\\` does not start an escape.
                let mut rest = raw.iter();
                while let Some(character) = rest.next() {
                    if *character == '\\' && rest.next() == Some(&'/') {
                        return Some(
                            "the escape `\\/` is not known to YAML 1.1; a plain `/` needs no escape",
                        );
                    }
                }
                None
            }
            ScalarStyle::Literal | ScalarStyle::Folded => {
                // YAML 1.2 adds a line feed after the last line, whether the file has one or not.
                let at_end = span.end.index() >= self.characters.len();
                let cut_off = at_end && value.ends_with('\n') && self.characters.last() != Some(&'\n');
                cut_off.then_some("the file ends within a block of text; end it with a line feed")
            }
            ScalarStyle::SingleQuoted => None,
        }
    }

    /// Whether a key is on one line together with its `:`.
    pub(super) fn is_simple_key(&self, span: Span) -> bool {
        let behind = self.characters.get(span.end.index()..).unwrap_or_default();
        let next = behind.iter().find(|character| !matches!(character, ' ' | '\t'));
        span.start.line() == span.end.line() && next == Some(&':')
    }
}
