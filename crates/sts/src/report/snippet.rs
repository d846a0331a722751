//! The line of a problem with a caret below: as much as fits, without anything that a terminal would interpret.

use octo_sts_policy::Diagnostic;

use super::super::escape::{is_unprintable, tokens};

/// Longer lines are shown around the caret.
const MAX_CHARACTERS: usize = 100;

/// How much of a long line is shown before the caret.
const CONTEXT: usize = 40;

/// A line and the marks below it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snippet {
    pub(super) line: String,
    pub(super) marks: String,
}

/// The characters of a line; empty after the end of the file.
pub(super) fn line(source: &[u8], number: u32) -> Vec<char> {
    let index = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    let bytes = source.split(|byte| *byte == b'\n').nth(index).unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    // Columns do not count the mark, which no editor shows.
    let text = text.strip_prefix('\u{feff}').filter(|_| number == 1).unwrap_or(&text);
    text.trim_end_matches('\r').chars().collect()
}

/// How many characters the problem is about: a quoted or plain scalar, or one character within a pattern.
pub(super) fn extent(line: &[char], diagnostic: &Diagnostic) -> usize {
    let start = usize::try_from(diagnostic.column.saturating_sub(1)).unwrap_or(usize::MAX);
    let rest = line.get(start..).unwrap_or_default();
    let before = start.checked_sub(1).and_then(|index| line.get(index));
    // A position inside text: the preceding text is not the beginning of a scalar.
    let is_within = before.is_some_and(|before| !matches!(before, ' ' | '[' | '{' | ',' | '-'));
    let is_about_a_character =
        matches!(diagnostic.code, "pattern-unescaped-dot" | "yaml-character" | "yaml-tab");
    if is_within || is_about_a_character {
        return 1;
    }
    let length = match rest.first() {
        Some(quote @ ('\'' | '"')) => {
            rest.iter().skip(1).position(|character| character == quote).map(|end| end + 2)
        }
        Some('[') => rest.iter().position(|character| *character == ']').map(|end| end + 1),
        Some('{') => rest.iter().position(|character| *character == '}').map(|end| end + 1),
        Some(_) => plain_end(rest),
        None => None,
    };
    length.unwrap_or_else(|| trimmed(rest)).max(1)
}

/// Where a plain scalar ends: before `: `, ` #`, or what separates entries in brackets.
fn plain_end(rest: &[char]) -> Option<usize> {
    rest.iter().enumerate().skip(1).find_map(|(index, character)| {
        let next = rest.get(index + 1);
        let ends = match character {
            ':' => next.is_none_or(|next| *next == ' '),
            ' ' => next == Some(&'#') || rest.iter().skip(index).all(|c| *c == ' ' || *c == '#'),
            ',' => next.is_none_or(|next| *next == ' '),
            ']' | '}' => {
                rest.get(index + 1..).is_some_and(|behind| behind.iter().all(|c| " ]}".contains(*c)))
            }
            _ => false,
        };
        ends.then(|| trimmed(rest.get(..index).unwrap_or_default()))
    })
}

/// The length without spaces and a comment's beginning at the end.
fn trimmed(characters: &[char]) -> usize {
    characters.iter().rposition(|character| *character != ' ').map_or(0, |last| last + 1)
}

/// The line with marks below the problem.
pub(super) fn of(source: &[u8], diagnostic: &Diagnostic) -> Snippet {
    let characters = masked(line(source, diagnostic.line));
    let start =
        usize::try_from(diagnostic.column.saturating_sub(1)).unwrap_or(usize::MAX).min(characters.len());
    let length = extent(&characters, diagnostic);
    let from = if characters.len() > MAX_CHARACTERS { start.saturating_sub(CONTEXT) } else { 0 };
    let to = characters.len().min(from + MAX_CHARACTERS);
    let shown = |from: usize, to: usize| -> String {
        characters.get(from..to.max(from)).unwrap_or_default().iter().map(|c| printable(*c)).collect()
    };
    let mut text = shown(from, to);
    let mut lead = width(&shown(from, start));
    let marked = shown(start, (start + length).min(to));
    if from > 0 {
        text.insert(0, '…');
        lead += 1;
    }
    if to < characters.len() {
        text.push('…');
    }
    let marks = format!("{}{}", " ".repeat(lead), "^".repeat(width(&marked).max(1)));
    Snippet { line: text, marks }
}

/// A part of a line may begin inside a token, so tokens are removed before the line is cut; the columns stay.
fn masked(characters: Vec<char>) -> Vec<char> {
    let text: String = characters.iter().collect();
    let tokens = tokens(&text);
    if tokens.is_empty() {
        return characters;
    }
    let is_secret = |at: usize| tokens.iter().any(|token| token.contains(&at));
    text.char_indices().map(|(at, character)| if is_secret(at) { '•' } else { character }).collect()
}

/// Control characters would move the cursor or hide text, so they are shown as one visible sign.
pub(super) fn printable(character: char) -> char {
    match character {
        '\t' => '→',
        other if is_unprintable(other) => '\u{fffd}',
        other => other,
    }
}

/// Columns on a terminal. East Asian characters and emoji take two; combining marks are rare enough here.
fn width(text: &str) -> usize {
    let is_wide = |c: &char| {
        matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
            | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}'
            | '\u{20000}'..='\u{3fffd}')
    };
    text.chars().count() + text.chars().filter(is_wide).count()
}

#[cfg(test)]
mod tests {
    use octo_sts_policy::Severity;

    use super::*;

    fn at(code: &'static str, column: u32) -> Diagnostic {
        Diagnostic {
            code,
            severity: Severity::Error,
            message: String::new(),
            line: 1,
            column,
            suggestion: None,
        }
    }

    fn marked(source: &str, code: &'static str, column: u32) -> String {
        let snippet = of(source.as_bytes(), &at(code, column));
        assert!(!snippet.line.contains(char::is_control), "{snippet:?}");
        let (lead, length) = (snippet.marks.find('^').unwrap(), snippet.marks.matches('^').count());
        snippet.line.chars().skip(lead).take(length).collect()
    }

    #[test]
    fn the_marks_are_below_what_the_problem_is_about() {
        for (source, column, expected) in [
            ("  pull-requests: write", 3, "pull-requests"),
            ("issuer: 'a b' # c", 9, "'a b'"),
            ("issuer: \"a\"", 9, "\"a\""),
            ("issuer: https://a.example.com:80 # c", 9, "https://a.example.com:80"),
            ("issuer: https://a.example.com", 9, "https://a.example.com"),
            ("permissions: {contents: reed, issues: x}", 25, "reed"),
            ("permissions: {contents: reed, issues: x}", 39, "x"),
            ("repositories: [a b, c]", 16, "a b"),
            ("- on", 3, "on"),
            ("subject: [a]", 10, "[a]"),
            ("issuer: 'open", 9, "'open"),
            ("issuer:", 7, ":"),
            ("repo:acme/a.b", 12, "."),
        ] {
            assert_eq!(marked(source, "wrong-type", column), expected, "{source}");
        }
        assert_eq!(marked("subject_pattern: repo:a.b", "pattern-unescaped-dot", 24), ".");
        assert_eq!(marked("issuer: a", "issuer-shape", 200), "", "behind the end of the line");
    }

    #[test]
    fn a_long_line_is_shown_around_the_marks() {
        let source = format!("subject_pattern: '{}({}'", "a".repeat(500), "b".repeat(500));
        let snippet = of(source.as_bytes(), &at("pattern-syntax", 519));
        assert!(snippet.line.chars().count() <= MAX_CHARACTERS + 2);
        assert!(snippet.line.starts_with('…') && snippet.line.ends_with('…'));
        assert_eq!(snippet.line.chars().nth(snippet.marks.find('^').unwrap()), Some('('));
    }

    #[test]
    fn nothing_in_a_line_reaches_the_terminal_as_a_command() {
        let snippet = of("a: \u{1b}[31m\tred\u{202e}\u{7}".as_bytes(), &at("yaml-character", 4));
        assert_eq!(snippet.line, "a: \u{fffd}[31m→red\u{fffd}\u{fffd}");
        assert_eq!(of("用户: x".as_bytes(), &at("unknown-key", 5)).marks, "      ^");
    }
}
