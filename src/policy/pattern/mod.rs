//! Patterns: regular expressions that mean here exactly what they mean to Go's RE2, matched in linear time against the
//! whole value.
//!
//! [`parse`] reads Go's grammar into a [`tree`], [`emit`] writes the tree as a canonical expression without flags or
//! named classes, and `regex-lite` matches that. A pattern must never become wider by moving here; where Go's meaning
//! needs Unicode tables or is easily misread, the pattern is refused with a reason.

pub(crate) mod charset;
mod class;
mod emit;
mod error;
mod parse;
pub(crate) mod tree;

use std::fmt;

pub use error::{PatternError, PatternErrorKind};

use tree::{Kind, Node, VariableSlash};

/// The longest pattern, in characters.
pub const MAX_PATTERN_CHARACTERS: usize = 1024;

/// The most states the automaton of a pattern may have. Matching costs at most states × characters of the value, and a
/// value comes from a token of at most 16 KiB: `[a-z]{1000}` passes, a thousandfold of a dozen different things does not.
const MAX_STATES: u64 = 3000;

/// A compiled pattern. It matches a whole value or nothing.
///
/// ```
/// use octo_sts_worker::policy::Pattern;
/// let pattern: Pattern = r"repo:acme/app:ref:refs/heads/(main|release-\d+)".parse()?;
/// assert!(pattern.matches("repo:acme/app:ref:refs/heads/release-7"));
/// assert!(!pattern.matches("repo:acme/app:ref:refs/heads/main-evil"));
/// # Ok::<(), octo_sts_worker::policy::PatternError>(())
/// ```
#[derive(Debug)]
pub struct Pattern {
    source: String,
    whole: regex_lite::Regex,
    root: Node,
    /// The flag `m` in force where Go's own `$` would stand.
    ends_multi_line: bool,
}

impl std::str::FromStr for Pattern {
    type Err = PatternError;

    fn from_str(source: &str) -> Result<Self, PatternError> {
        if source.chars().count() > MAX_PATTERN_CHARACTERS {
            return Err(PatternError { kind: PatternErrorKind::TooLong, offset: 0 });
        }
        // Alone first: `a)|(b` is an error, not something that breaks out of the group around it.
        let (root, flags) = parse::parse(source)?;
        if root.states() > MAX_STATES {
            return Err(PatternError { kind: PatternErrorKind::TooLarge, offset: 0 });
        }
        let whole = emit::compile(&format!("\\A(?:{})\\z", emit::canonical(&root)))?;
        Ok(Self { source: source.to_owned(), whole, root, ends_multi_line: flags.multi_line })
    }
}

impl Pattern {
    /// Whether the pattern matches the whole value.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        self.whole.is_match(value)
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the pattern is alternatives that no group holds together (`a|b`). The Go service reads that as
    /// `^a|b$`, which is wider.
    #[must_use]
    pub fn has_top_level_alternation(&self) -> bool {
        matches!(self.root.kind, Kind::Alternation(_))
    }

    /// Whether the Go service, with its `^p$`, would let a value pass that this does not.
    #[must_use]
    pub fn matches_only_unanchored(&self, value: &str) -> bool {
        if self.matches(value) || !self.has_top_level_alternation() {
            return false;
        }
        // Only after a refusal, and only for such patterns: not worth keeping compiled.
        let end = if self.ends_multi_line { "(?m:$)" } else { "\\z" };
        let wide = format!("\\A{}{end}", emit::canonical(&self.root));
        emit::compile(&wide).is_ok_and(|wide| wide.is_match(value))
    }

    /// Where, in characters, and why the pattern can match `/` at a place that varies.
    pub(crate) fn variable_slash(&self) -> Option<(usize, VariableSlash)> {
        self.root.variable_slash()
    }

    pub(crate) fn root(&self) -> &Node {
        &self.root
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}
