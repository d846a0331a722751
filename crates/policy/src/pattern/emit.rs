//! Writes a parsed pattern in the common core of all engines: no flags, no named classes, no laziness, every character
//! beyond letters and digits as its number. `regex-lite` gives these constructs one meaning.

use std::fmt::Write as _;

use super::charset::CharSet;
use super::tree::{Assertion, Kind, Node};
use super::{PatternError, PatternErrorKind};

/// A second bound behind [`super::MAX_STATES`], in the engine's own bytes. 3000 states with classes of many ranges stay
/// below it only if they are what people write.
const MAX_COMPILED_BYTES: usize = 1024 * 1024;

/// Our own nesting limit is 40 groups; what is written here nests at most three times as deep.
const MAX_NESTING: u32 = 200;

pub(super) fn compile(canonical: &str) -> Result<regex_lite::Regex, PatternError> {
    regex_lite::RegexBuilder::new(canonical)
        .size_limit(MAX_COMPILED_BYTES)
        .nest_limit(MAX_NESTING)
        .build()
        .map_err(|_| PatternError { kind: PatternErrorKind::TooLarge, offset: 0 })
}

/// An alternation at the top is written without a group around it.
pub(super) fn canonical(root: &Node) -> String {
    let mut out = String::new();
    write_node(root, &mut out);
    out
}

fn write_node(node: &Node, out: &mut String) {
    match &node.kind {
        Kind::Empty => out.push_str("(?:)"),
        Kind::Literal(character) => write_character(*character, out),
        Kind::Set(set) => write_set(set, out),
        Kind::Dot { line_feed: true } => write_set(&CharSet::default().negated(), out),
        Kind::Dot { line_feed: false } => write_set(&CharSet::of('\n').negated(), out),
        Kind::Assertion(assertion) => out.push_str(match assertion {
            Assertion::TextStart => "\\A",
            Assertion::TextEnd => "\\z",
            Assertion::LineStart => "(?m:^)",
            Assertion::LineEnd => "(?m:$)",
            // ASCII word characters, in this engine as in Go's.
            Assertion::WordBoundary => "\\b",
            Assertion::NotWordBoundary => "\\B",
        }),
        Kind::Group(inner) => write_group(inner, out),
        Kind::Repetition { of, min, max } => {
            match of.kind {
                Kind::Literal(_) | Kind::Set(_) | Kind::Dot { .. } | Kind::Group(_) => write_node(of, out),
                Kind::Empty
                | Kind::Assertion(_)
                | Kind::Repetition { .. }
                | Kind::Concatenation(_)
                | Kind::Alternation(_) => write_group(of, out),
            }
            write_count(*min, *max, out);
        }
        Kind::Concatenation(parts) => {
            for part in parts {
                write_node(part, out);
            }
        }
        Kind::Alternation(branches) => {
            for (index, branch) in branches.iter().enumerate() {
                if index > 0 {
                    out.push('|');
                }
                write_node(branch, out);
            }
        }
    }
}

fn write_group(inner: &Node, out: &mut String) {
    out.push_str("(?:");
    write_node(inner, out);
    out.push(')');
}

fn write_character(character: char, out: &mut String) {
    if character.is_ascii_alphanumeric() {
        out.push(character);
    } else {
        write_number(character, out);
    }
}

#[expect(clippy::let_underscore_must_use, reason = "writing to a String cannot fail")]
fn write_number(character: char, out: &mut String) {
    let _ = write!(out, "\\x{{{:X}}}", u32::from(character));
}

fn write_set(set: &CharSet, out: &mut String) {
    out.push('[');
    for (low, high) in set.ranges() {
        write_number(low, out);
        if low != high {
            out.push('-');
            write_number(high, out);
        }
    }
    out.push(']');
}

#[expect(clippy::let_underscore_must_use, reason = "writing to a String cannot fail")]
fn write_count(min: u32, max: Option<u32>, out: &mut String) {
    let _ = match (min, max) {
        (0, None) => write!(out, "*"),
        (1, None) => write!(out, "+"),
        (0, Some(1)) => write!(out, "?"),
        (min, None) => write!(out, "{{{min},}}"),
        (min, Some(max)) => write!(out, "{{{min},{max}}}"),
    };
}
