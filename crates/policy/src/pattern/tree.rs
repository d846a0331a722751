//! A parsed pattern, and what lint and the trusted issuers ask of it.

use super::charset::CharSet;

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
    /// Parentheses, capturing or not: what is inside.
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

/// Why a pattern can match `/` at a place that varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VariableSlash {
    Dot,
    Class,
    InsideVariable,
}

impl Node {
    /// The first place where `/` can be matched other than as a literal that is always there, once.
    pub(crate) fn variable_slash(&self) -> Option<(usize, VariableSlash)> {
        self.slash_in(false)
    }

    fn slash_in(&self, variable: bool) -> Option<(usize, VariableSlash)> {
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

    /// How many states a matching automaton needs, about, and how many ranges it compares in them: every copy of a
    /// counted repetition counts.
    pub(crate) fn states(&self) -> u64 {
        match &self.kind {
            Kind::Empty | Kind::Literal(_) | Kind::Dot { .. } | Kind::Assertion(_) => 1,
            Kind::Set(set) => set.count().max(1),
            Kind::Group(inner) => inner.states(),
            Kind::Repetition { of, min, max } => {
                let copies = u64::from(max.unwrap_or(*min).max(1));
                copies.saturating_mul(of.states().saturating_add(1))
            }
            Kind::Concatenation(parts) | Kind::Alternation(parts) => {
                parts.iter().fold(1, |sum: u64, part| sum.saturating_add(part.states()))
            }
        }
    }

    /// Go's bound on counted repetition inside of counted repetition: the product of the counts is at most `budget`.
    pub(crate) fn repeats_at_most(&self, budget: u32) -> bool {
        match &self.kind {
            Kind::Empty | Kind::Literal(_) | Kind::Set(_) | Kind::Dot { .. } | Kind::Assertion(_) => true,
            Kind::Group(inner) => inner.repeats_at_most(budget),
            Kind::Repetition { of, min, max } => {
                let counted = !matches!((min, max), (0 | 1, None) | (0, Some(1)));
                let count = if counted { max.unwrap_or(*min) } else { 1 };
                match count {
                    // `{0}` matches nothing, whatever is inside.
                    0 => true,
                    count if count > budget => false,
                    count => of.repeats_at_most(budget / count),
                }
            }
            Kind::Concatenation(parts) | Kind::Alternation(parts) => {
                parts.iter().all(|part| part.repeats_at_most(budget))
            }
        }
    }

    /// The parts in a row; an expression that is no concatenation is a row of one.
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
