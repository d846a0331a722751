//! A parsed pattern, and the questions of lint and the trusted issuers about it.

use super::charset::CharSet;
use crate::cost::work;

/// An expression and where it begins in the pattern, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) offset: usize,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Matches the empty text.
    Empty,
    /// One character, as written or escaped.
    Literal(char),
    /// One character of a set: a class, or a letter under `i`. Never a set of one: that is a literal.
    Set(CharSet),
    /// `.`: any character, or any but a line feed.
    Dot {
        line_feed: bool,
    },
    Assertion(Assertion),
    /// Parentheses, capturing or not: their content.
    Group(Box<Node>),
    Repetition {
        of: Box<Node>,
        min: u32,
        max: Option<u32>,
    },
    Concatenation(Vec<Node>),
    Alternation(Vec<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assertion {
    TextStart,
    TextEnd,
    LineStart,
    LineEnd,
    WordBoundary,
    NotWordBoundary,
}

/// Why a pattern can match `/` at a varying place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VariableSlash {
    Dot,
    Class,
    InsideVariable,
}

impl Node {
    /// The first place that can match `/` other than as a literal that always occurs once.
    pub(crate) fn variable_slash(&self) -> Option<(usize, VariableSlash)> {
        self.slash_in(false)
    }

    fn slash_in(&self, variable: bool) -> Option<(usize, VariableSlash)> {
        work(1);
        match &self.kind {
            Kind::Empty | Kind::Assertion(_) => None,
            Kind::Literal('/') if variable => Some((self.offset, VariableSlash::InsideVariable)),
            Kind::Literal(_) => None,
            Kind::Set(set) => set.contains('/').then_some((self.offset, VariableSlash::Class)),
            Kind::Dot { .. } => Some((self.offset, VariableSlash::Dot)),
            Kind::Group(inner) => inner.slash_in(variable),
            Kind::Repetition { of, .. } => of.slash_in(true),
            Kind::Concatenation(parts) => parts.iter().find_map(|part| part.slash_in(variable)),
            Kind::Alternation(branches) => branches.iter().find_map(|branch| branch.slash_in(true)),
        }
    }

    /// How many instructions a program needs for the expression: every copy of a counted repetition counts. Visits each
    /// node once.
    pub(crate) fn states(&self) -> u64 {
        work(1);
        match &self.kind {
            Kind::Empty => 0,
            Kind::Literal(_) | Kind::Set(_) | Kind::Dot { .. } | Kind::Assertion(_) => 1,
            Kind::Group(inner) => inner.states(),
            Kind::Repetition { of, min, max } => {
                let (once, min) = (of.states(), u64::from(*min));
                match max.map(u64::from) {
                    _ if once == 0 => 0,
                    Some(0) => 0,
                    // A fork before each optional one.
                    Some(max) => max.saturating_mul(once).saturating_add(max.saturating_sub(min)),
                    None if min == 0 => once.saturating_add(2),
                    None => min.saturating_mul(once).saturating_add(1),
                }
            }
            Kind::Concatenation(parts) => {
                parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.states()))
            }
            // A fork before each branch but the last, and a jump after it.
            Kind::Alternation(branches) => branches
                .iter()
                .fold(0, |sum: u64, branch| sum.saturating_add(branch.states()).saturating_add(2))
                .saturating_sub(2),
        }
    }

    /// The parts in sequence; an expression that is not a concatenation is a sequence of one.
    pub(crate) fn parts(&self) -> &[Node] {
        match &self.kind {
            Kind::Concatenation(parts) => parts,
            Kind::Empty
            | Kind::Literal(_)
            | Kind::Set(_)
            | Kind::Dot { .. }
            | Kind::Assertion(_)
            | Kind::Group(_)
            | Kind::Repetition { .. }
            | Kind::Alternation(_) => std::slice::from_ref(self),
        }
    }
}
