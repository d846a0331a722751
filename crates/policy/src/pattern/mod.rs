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

/// The most states, and ranges of characters in them, that the automaton of a pattern may have. Matching costs at most
/// these × characters of the value, and a value comes from a token of at most 16 KiB: `\w{1000}` passes, a thousandfold
/// of a dozen different things does not.
const MAX_STATES: u64 = 8192;

/// A compiled pattern. It matches a whole value or nothing.
///
/// ```
/// use octo_sts_policy::Pattern;
/// let pattern: Pattern = r"repo:acme/app:ref:refs/heads/(main|release-\d+)".parse()?;
/// assert!(pattern.matches("repo:acme/app:ref:refs/heads/release-7"));
/// assert!(!pattern.matches("repo:acme/app:ref:refs/heads/main-evil"));
/// # Ok::<(), octo_sts_policy::PatternError>(())
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

    /// What it costs to keep, in states of about 32 bytes.
    pub(crate) fn weight(&self) -> usize {
        usize::try_from(self.root.states()).unwrap_or(usize::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(source: &str) -> Pattern {
        source.parse().unwrap_or_else(|error| panic!("{source}: {error}"))
    }

    #[test]
    fn classes_and_assertions_have_go_s_meaning() {
        for (source, matching, other) in [
            (r"\d", "7", "٣"),
            (r"\w", "_", "é"),
            (r"\W", "é", "a"),
            (r"\s", "\u{c}", "\u{b}"),
            (r"[[:space:]]", "\u{b}", "\u{85}"),
            (r".", "\r", "\n"),
            (r"(?s).", "\n", "ab"),
            (r"[^a]", "\n", "a"),
            (r"é\b.*", "éa", "é"),
            (r"a$", "a", "a\n"),
            (r"(?m)a$\nb", "a\nb", "a"),
            (r"(?i)k", "\u{212a}", "c"),
            (r"(?i)[r-t]", "\u{17f}", "u"),
            (r"(?i)\w", "\u{17f}", "é"),
            (r"(?i)\W", "é", "\u{212a}"),
            (r"(?i)[^k]", "c", "\u{212a}"),
            (r"(?i:k)K", "\u{212a}K", "kk"),
            (r"(?i-i:k)", "k", "K"),
            (r"\Qa.b\E+", "a.bb", "axb"),
            (r"\057\x2F\x{2f}", "///", "//"),
            (r"\{[0-9a-f]+\}", "{0a}", "0a"),
            (r"{a}", "{a}", "a"),
        ] {
            let pattern = pattern(source);
            assert!(pattern.matches(matching), "{source} on {matching:?}");
            assert!(!pattern.matches(other), "{source} on {other:?}");
        }
        // Without the flag there is no folding; set in one branch it holds in the next, and ends with the group.
        assert!(!pattern("k").matches("\u{212a}"));
        let lasting = pattern("(?:a(?i)b|c)d");
        assert!(lasting.matches("Cd") && lasting.matches("aBd"));
        assert!(!lasting.matches("CD") && !lasting.matches("Abd"));
    }

    #[test]
    fn a_value_matches_whole_or_not_at_all() {
        for source in ["a|b", "a", "(?m)a", "(?m)^a$", "^a$", "a|b$", "^a|b"] {
            let pattern = pattern(source);
            assert!(pattern.matches("a"), "{source}");
            for longer in ["aa", "ab", "a\n", "\na", "a\nb", "xa", "aEVIL", "EVILb"] {
                assert!(!pattern.matches(longer), "{source} on {longer:?}");
            }
        }
        assert!(pattern("a|b").matches_only_unanchored("aEVIL"));
        assert!(pattern("a|b").matches_only_unanchored("EVILb"));
        assert!(
            !pattern("a|b").matches_only_unanchored("a") && !pattern("a|b").matches_only_unanchored("EVILa")
        );
        assert!(!pattern("(a|b)").matches_only_unanchored("aEVIL"));
    }

    #[test]
    fn what_would_break_out_of_the_group_around_it_is_an_error() {
        for source in ["a)|(b", ")(", "a)", "(a", "a\\", "\\Qa", "(?i", "[a"] {
            assert!(source.parse::<Pattern>().is_err(), "{source}");
        }
    }

    #[test]
    fn size_is_bounded_before_anything_is_compiled() {
        for (source, kind) in [
            ("a".repeat(1025), PatternErrorKind::TooLong),
            ("é".repeat(1025), PatternErrorKind::TooLong),
            ("a{1001}".to_owned(), PatternErrorKind::RepeatsTooOften),
            ("(a{100}){11}".to_owned(), PatternErrorKind::RepeatsTooOften),
            ("(abcdefghij){999}".to_owned(), PatternErrorKind::TooLarge),
            ("[acegikmoqs]{999}".to_owned(), PatternErrorKind::TooLarge),
            (format!("{}a{}", "(".repeat(41), ")".repeat(41)), PatternErrorKind::TooDeep),
        ] {
            assert_eq!(source.parse::<Pattern>().unwrap_err().kind, kind, "{source}");
        }
        for source in [
            "é".repeat(1024),
            "a{1000}".to_owned(),
            "\\w{1000}".to_owned(),
            "(a{100}){10}".to_owned(),
            ".{0,1000}".to_owned(),
        ] {
            assert!(source.parse::<Pattern>().is_ok(), "{source}");
        }
    }

    #[test]
    fn a_slash_that_varies_is_found_in_the_expression() {
        for (source, why) in [
            ("https://a.b", Some(VariableSlash::Dot)),
            ("https://[^.]+", Some(VariableSlash::Class)),
            (r"https://\S", Some(VariableSlash::Class)),
            ("https://(a/)?b", Some(VariableSlash::InsideVariable)),
            (r"https:(\x2f){2}b", Some(VariableSlash::InsideVariable)),
            (r"https://a|b", Some(VariableSlash::InsideVariable)),
            (r"https://[a-z.]+/(x|y)", None),
            (r"https://a\x2Fb[/]c\057d", None),
            (r"(https://)a", None),
        ] {
            assert_eq!(pattern(source).variable_slash().map(|(_, why)| why), why, "{source}");
        }
    }
}
