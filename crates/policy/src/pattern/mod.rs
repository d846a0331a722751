//! Patterns: regular expressions that mean here exactly what they mean to Go's RE2, matched in linear time against the
//! whole value.
//!
//! [`parse`] reads Go's grammar into a [`tree`], and [`program`] compiles and matches the tree. A pattern must never
//! become wider by moving here. If Go's meaning needs Unicode tables or is easily misread, the pattern is refused with
//! a reason.
//!
//! Parsing is linear in the pattern's characters, and compiling in its states, at most 8192. A match costs at most
//! states × characters, and all matches of a decision together at most a fixed number of steps.

pub(crate) mod charset;
mod class;
mod error;
mod parse;
mod program;
pub(crate) mod tree;

use std::fmt;
use std::sync::OnceLock;

pub use error::{PatternError, PatternErrorKind};

use crate::weight;
use program::Program;
pub(crate) use program::{Matched, Steps};
use tree::{Kind, Node, VariableSlash};

/// The longest pattern, in characters.
pub const MAX_PATTERN_CHARACTERS: usize = 1024;

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
    program: Program,
    has_top_level_alternation: bool,
    /// The expression, if lint asks for it; an exchange does not keep it in memory.
    root: OnceLock<Box<Node>>,
}

impl std::str::FromStr for Pattern {
    type Err = PatternError;

    fn from_str(source: &str) -> Result<Self, PatternError> {
        if source.chars().count() > MAX_PATTERN_CHARACTERS {
            return Err(PatternError { kind: PatternErrorKind::TooLong, offset: 0 });
        }
        // Parsed alone first: `a)|(b` is an error, not something that breaks out of a surrounding group.
        let (root, _) = parse::parse(source)?;
        let too_large = PatternError { kind: PatternErrorKind::TooLarge, offset: 0 };
        let program = Program::whole(&root).ok_or(too_large)?;
        let has_top_level_alternation = matches!(root.kind, Kind::Alternation(_));
        Ok(Self { source: source.into(), program, has_top_level_alternation, root: OnceLock::new() })
    }
}

impl Pattern {
    /// Whether the pattern matches the whole value. A match that takes more steps than a decision allows counts as no
    /// match.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        self.matches_within(value, &Steps::of_a_decision()) == Matched::Yes
    }

    /// Whether one of several patterns matches the whole value. They share the steps of one decision.
    #[must_use]
    pub fn any_matches<'p>(patterns: impl IntoIterator<Item = &'p Self>, value: &str) -> bool {
        let steps = Steps::of_a_decision();
        patterns.into_iter().any(|pattern| pattern.matches_within(value, &steps) == Matched::Yes)
    }

    /// The same with the rest of a decision's steps.
    pub(crate) fn matches_within(&self, value: &str, steps: &Steps) -> Matched {
        self.program.matches(value, steps)
    }

    /// The pattern as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the pattern consists of alternatives without a group around them (`a|b`). The Go service reads that as
    /// `^a|b$`, which is wider.
    #[must_use]
    pub fn has_top_level_alternation(&self) -> bool {
        self.has_top_level_alternation
    }

    /// Whether the Go service, with its `^p$`, would accept a value that this does not.
    #[must_use]
    pub fn matches_only_unanchored(&self, value: &str) -> bool {
        !self.matches(value) && self.go_service_admits(value, &Steps::of_a_decision())
    }

    /// Whether the Go service's reading of a top-level `|` admits the value; `false` for patterns without one, and if
    /// the steps run out, because it is only a hint.
    pub(crate) fn go_service_admits(&self, value: &str, steps: &Steps) -> bool {
        // Needed only after a refusal, and only for such patterns, so it is not worth keeping.
        match parse::parse(&self.source) {
            Ok((Node { kind: Kind::Alternation(branches), .. }, flags)) => {
                Program::go_service(&branches, flags.multi_line).matches(value, steps) == Matched::Yes
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// Where, in characters, and why the pattern can match `/` at a varying place.
    pub(crate) fn variable_slash(&self) -> Option<(usize, VariableSlash)> {
        self.expression().variable_slash()
    }

    /// How many bytes the pattern takes on the heap, before lint has parsed it.
    pub(crate) fn heap_bytes(&self) -> usize {
        weight::block(self.source.capacity()) + self.program.heap_bytes()
    }

    pub(crate) fn root(&self) -> &Node {
        self.root.get_or_init(|| Box::new(self.expression()))
    }

    fn expression(&self) -> Node {
        // It has been parsed before. If that were not so, the widest expression is the safe answer.
        let anything = Node { offset: 0, kind: Kind::Dot { line_feed: true } };
        parse::parse(&self.source).map_or(anything, |(root, _)| root)
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
            ("([a-z]\\d){1,1000}(.*){100}x".repeat(3), PatternErrorKind::TooLarge),
            (format!("{}a{}", "(".repeat(41), ")".repeat(41)), PatternErrorKind::TooDeep),
        ] {
            assert_eq!(source.parse::<Pattern>().unwrap_err().kind, kind, "{source}");
        }
        for source in [
            "é".repeat(1024),
            "a{1000}".to_owned(),
            "\\w{1000}".to_owned(),
            "[acegikmoqs]{999}".to_owned(),
            "(abcdefgh){1000}".to_owned(),
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
