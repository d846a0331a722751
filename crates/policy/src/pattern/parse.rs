//! Parses the syntax of Go's `regexp` (RE2), as `regexp/syntax` with the flags of `regexp.Compile`, node by node.
//!
//! Our own parser instead of `regex-syntax`: the grammars differ in ways that a tree does not show (`a{ 2 }` is a
//! repetition for one and literal text for the other, and so is `a{,2}`; `\<`, `\Q…\E`, `\1`, the scope of flags). Each
//! of these would be a pattern that means something else here than where it was written. Whatever Go refuses is
//! refused; whatever Go accepts means the same, or is refused with a reason. `tests/data/go/` has Go's own answers.

use super::charset::CharSet;
use super::tree::{Assertion, Kind, Node};
use super::{PatternError, PatternErrorKind as E};
use crate::cost::work;

/// Nested groups. Go allows 1000; our stack is smaller, and nobody writes ten.
const MAX_DEPTH: usize = 40;

/// Go's bound on a counted repetition.
pub(super) const MAX_REPEAT: u32 = 1000;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    /// `i`
    pub(super) fold: bool,
    /// `m`
    pub(super) multi_line: bool,
    /// `s`
    pub(super) dot_line_feed: bool,
    // `U` swaps greedy and lazy, which does not matter for matching a whole value.
}

/// An expression, and the greatest product of the counts of its nested repetitions. Go bounds that product. It is
/// tracked while parsing, because computing it from the tree at every repetition would visit a node once per level.
struct Part {
    node: Node,
    repeats: u32,
}

pub(super) struct Parser {
    pub(super) text: Vec<char>,
    pub(super) at: usize,
    pub(super) flags: Flags,
}

/// The expression, and the flags in force at its end. Linear in the pattern's length.
pub(super) fn parse(pattern: &str) -> Result<(Node, Flags), PatternError> {
    let mut parser = Parser { text: pattern.chars().collect(), at: 0, flags: Flags::default() };
    let root = parser.alternation(0)?.node;
    match parser.peek() {
        None => Ok((root, parser.flags)),
        Some(_) => Err(parser.error(E::UnexpectedParenthesis)),
    }
}

impl Parser {
    pub(super) fn peek(&self) -> Option<char> {
        work(1);
        self.text.get(self.at).copied()
    }

    pub(super) fn ahead(&self, by: usize) -> Option<char> {
        self.text.get(self.at + by).copied()
    }

    pub(super) fn eat(&mut self, expected: char) -> bool {
        let found = self.peek() == Some(expected);
        self.at += usize::from(found);
        found
    }

    pub(super) fn looking_at(&self, expected: &str) -> bool {
        expected.chars().enumerate().all(|(index, character)| self.ahead(index) == Some(character))
    }

    pub(super) fn error(&self, kind: E) -> PatternError {
        PatternError { kind, offset: self.at.min(self.text.len()) }
    }

    pub(super) fn error_at(offset: usize, kind: E) -> PatternError {
        PatternError { kind, offset }
    }

    fn alternation(&mut self, depth: usize) -> Result<Part, PatternError> {
        let offset = self.at;
        let first = self.concatenation(depth)?;
        if self.peek() != Some('|') {
            return Ok(first);
        }
        let mut repeats = first.repeats;
        let mut branches = vec![first.node];
        // Flags set in one branch also apply to the following ones: Go resets them only at the end of the group.
        while self.eat('|') {
            let branch = self.concatenation(depth)?;
            repeats = repeats.max(branch.repeats);
            branches.push(branch.node);
        }
        Ok(Part { node: Node { offset, kind: Kind::Alternation(branches) }, repeats })
    }

    fn concatenation(&mut self, depth: usize) -> Result<Part, PatternError> {
        let offset = self.at;
        let mut parts: Vec<Node> = Vec::new();
        // The greatest product of all parts, and that of the last one.
        let (mut repeats, mut last) = (1, 1);
        // What a repetition operator here would repeat: nothing, a part, or an already repeated part.
        let mut repeatable = Err(E::NothingToRepeat);
        while let Some(character) = self.peek() {
            let start = self.at;
            match character {
                '|' | ')' => break,
                '*' | '+' | '?' => {
                    self.at += 1;
                    let (min, max) = match character {
                        '*' => (0, None),
                        '+' => (1, None),
                        _ => (0, Some(1)),
                    };
                    repeatable.map_err(|kind| Self::error_at(start, kind))?;
                    last = self.repeat_last(&mut parts, last, (min, max), start)?;
                    repeatable = Err(E::StackedRepetition);
                }
                '{' => match self.counted()? {
                    Some((min, max)) => {
                        repeatable.map_err(|kind| Self::error_at(start, kind))?;
                        last = self.repeat_last(&mut parts, last, (min, max), start)?;
                        repeatable = Err(E::StackedRepetition);
                    }
                    None => {
                        self.at += 1;
                        last = 1;
                        parts.push(self.literal('{', start)?);
                        repeatable = Ok(());
                    }
                },
                '(' => match self.group(depth)? {
                    Some(group) => {
                        last = group.repeats;
                        parts.push(group.node);
                        repeatable = Ok(());
                    }
                    // Go would repeat what comes before the flags.
                    None => repeatable = Err(E::NothingToRepeat),
                },
                '\\' => {
                    last = 1;
                    parts.extend(self.escape()?);
                    repeatable = Ok(());
                }
                '[' => {
                    last = 1;
                    parts.push(self.class()?);
                    repeatable = Ok(());
                }
                other => {
                    self.at += 1;
                    last = 1;
                    parts.push(self.single(other, start)?);
                    repeatable = Ok(());
                }
            }
            repeats = repeats.max(last);
        }
        let node = match parts.len() {
            0 => Node { offset, kind: Kind::Empty },
            1 => parts.remove(0),
            _ => Node { offset, kind: Kind::Concatenation(parts) },
        };
        Ok(Part { node, repeats })
    }

    /// A character that is not part of a longer construct.
    fn single(&self, character: char, offset: usize) -> Result<Node, PatternError> {
        let kind = match character {
            '.' => Kind::Dot { line_feed: self.flags.dot_line_feed },
            '^' if self.flags.multi_line => Kind::Assertion(Assertion::LineStart),
            '^' => Kind::Assertion(Assertion::TextStart),
            '$' if self.flags.multi_line => Kind::Assertion(Assertion::LineEnd),
            '$' => Kind::Assertion(Assertion::TextEnd),
            other => return self.literal(other, offset),
        };
        Ok(Node { offset, kind })
    }

    pub(super) fn literal(&self, character: char, offset: usize) -> Result<Node, PatternError> {
        let kind = if !self.flags.fold {
            Kind::Literal(character)
        } else if character.is_ascii_alphabetic() {
            Kind::Set(CharSet::of(character).folded())
        } else if character.is_ascii() {
            Kind::Literal(character)
        } else {
            return Err(Self::error_at(offset, E::FoldsBeyondAscii));
        };
        Ok(Node { offset, kind })
    }

    /// Repeats the last part, whose repetitions multiply to `inside`. Returns the product with the new one.
    fn repeat_last(
        &mut self,
        parts: &mut Vec<Node>,
        inside: u32,
        (min, max): (u32, Option<u32>),
        operator: usize,
    ) -> Result<u32, PatternError> {
        // Lazy or greedy: the same texts match as a whole.
        self.eat('?');
        let of = parts.pop().ok_or_else(|| Self::error_at(operator, E::NothingToRepeat))?;
        let repeats = match (min, max) {
            (0 | 1, None) | (0, Some(1)) => inside,
            // `{0}` matches nothing, whatever is inside.
            (_, Some(0)) => 1,
            (min, max) => max.unwrap_or(min).saturating_mul(inside),
        };
        if repeats > MAX_REPEAT {
            return Err(Self::error_at(operator, E::RepeatsTooOften));
        }
        parts.push(Node { offset: of.offset, kind: Kind::Repetition { of: Box::new(of), min, max } });
        Ok(repeats)
    }

    /// `{n}`, `{n,}`, `{n,m}`. `None`, with nothing consumed, if the brace is a literal.
    fn counted(&mut self) -> Result<Option<(u32, Option<u32>)>, PatternError> {
        let start = self.at;
        // Reads only as far as it can be a count. Otherwise, a pattern of nothing but braces would be read to its end
        // for each of them.
        let counts =
            |character: &char| character.is_ascii_digit() || *character == ',' || character.is_whitespace();
        let inside: String = self.text.iter().skip(start + 1).copied().take_while(counts).collect();
        work(inside.len());
        let closed = self.text.get(start + 1 + inside.chars().count()) == Some(&'}');
        let (low, high) = match inside.split_once(',') {
            Some((low, high)) => (low, Some(high)),
            None => (inside.as_str(), None),
        };
        let is_count = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_digit())
                && (text == "0" || !text.starts_with('0'))
        };
        if !closed || !is_count(low) || !high.is_none_or(|high| high.is_empty() || is_count(high)) {
            return if closed { Err(self.error(E::DoubtfulBrace)) } else { Ok(None) };
        }
        let count = |text: &str| {
            text.parse::<u32>()
                .ok()
                .filter(|count| *count <= MAX_REPEAT)
                .ok_or_else(|| Self::error_at(start, E::RepeatsTooOften))
        };
        let min = count(low)?;
        let max = match high {
            None => Some(min),
            Some("") => None,
            Some(high) => Some(count(high)?),
        };
        if max.is_some_and(|max| max < min) {
            return Err(Self::error_at(start, E::BackwardsCount));
        }
        self.at = start + inside.chars().count() + 2;
        Ok(Some((min, max)))
    }

    /// After `(`. `None` if it only sets flags.
    fn group(&mut self, depth: usize) -> Result<Option<Part>, PatternError> {
        let offset = self.at;
        self.at += 1;
        if depth >= MAX_DEPTH {
            return Err(Self::error_at(offset, E::TooDeep));
        }
        let outside = self.flags;
        if self.eat('?') {
            if self.looking_at("P<") || self.looking_at("<") {
                self.group_name(offset)?;
            } else {
                let (flags, opens) = self.group_flags(offset)?;
                self.flags = flags;
                if !opens {
                    return Ok(None);
                }
            }
        }
        let Part { node: inner, repeats } = self.alternation(depth + 1)?;
        if !self.eat(')') {
            return Err(Self::error_at(offset, E::MissingParenthesis));
        }
        self.flags = outside;
        let node = Node { offset, kind: Kind::Group(Box::new(inner)) };
        Ok(Some(Part { node, repeats }))
    }

    fn group_name(&mut self, offset: usize) -> Result<(), PatternError> {
        if matches!(self.ahead(1), Some('=' | '!')) {
            return Err(Self::error_at(offset, E::LookAround));
        }
        self.eat('P');
        self.eat('<');
        let name: String =
            self.text.iter().skip(self.at).take_while(|character| **character != '>').collect();
        let well_formed = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        self.at += name.chars().count();
        if !self.eat('>') || !well_formed {
            return Err(Self::error_at(offset, E::GroupName));
        }
        Ok(())
    }

    /// After `(?`: the flags, and whether a group opens (`:`) or they only change (`)`).
    fn group_flags(&mut self, offset: usize) -> Result<(Flags, bool), PatternError> {
        let mut flags = self.flags;
        let mut on = true;
        let mut saw_flag = false;
        while let Some(character) = self.peek() {
            self.at += 1;
            match character {
                'i' => flags.fold = on,
                'm' => flags.multi_line = on,
                's' => flags.dot_line_feed = on,
                'U' => {}
                '-' if on => {
                    on = false;
                    saw_flag = false;
                    continue;
                }
                ':' | ')' if on || saw_flag => return Ok((flags, character == ':')),
                '=' | '!' => return Err(Self::error_at(offset, E::LookAround)),
                _ => return Err(Self::error_at(offset, E::GroupFlags)),
            }
            saw_flag = true;
        }
        Err(Self::error_at(offset, E::MissingParenthesis))
    }
}
