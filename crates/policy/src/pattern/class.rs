//! The parts of the grammar that name characters: escapes and bracketed classes.

use super::charset::{CharSet, perl_class, posix_class};
use super::parse::Parser;
use super::tree::{Assertion, Kind, Node};
use super::{PatternError, PatternErrorKind as E};

impl Parser {
    /// After nothing, at a `\` outside a class. `\Q…\E` is several parts.
    pub(super) fn escape(&mut self) -> Result<Vec<Node>, PatternError> {
        let offset = self.at;
        let node = |kind| Ok(vec![Node { offset, kind }]);
        let Some(letter) = self.ahead(1) else { return Err(self.error(E::TrailingBackslash)) };
        let assertion = match letter {
            'A' => Some(Assertion::TextStart),
            'z' => Some(Assertion::TextEnd),
            'b' => Some(Assertion::WordBoundary),
            'B' => Some(Assertion::NotWordBoundary),
            _ => None,
        };
        if let Some(assertion) = assertion {
            self.at += 2;
            // Other engines read `\b{start}` as one assertion.
            if matches!(letter, 'b' | 'B') && self.peek() == Some('{') {
                return Err(Self::error_at(offset, E::UnknownEscape));
            }
            return node(Kind::Assertion(assertion));
        }
        if letter == 'Q' {
            return self.quoted_literals();
        }
        if let Some(set) = self.perl_escape() {
            return node(Kind::Set(set));
        }
        let character = self.escaped_character()?;
        Ok(vec![self.literal(character, offset)?])
    }

    /// `\Q…\E`. Go also accepts one without an end, and then whatever follows the pattern becomes part of it: for the
    /// Go service, `\Qa` is the text `a$`.
    fn quoted_literals(&mut self) -> Result<Vec<Node>, PatternError> {
        let start = self.at;
        self.at += 2;
        let mut parts = Vec::new();
        while !self.looking_at("\\E") {
            let Some(character) = self.peek() else { return Err(Self::error_at(start, E::OpenQuotation)) };
            parts.push(self.literal(character, self.at)?);
            self.at += 1;
        }
        self.at += 2;
        // Go lets a repetition after `a*\Q\E` repeat the `a*`.
        if parts.is_empty() { Err(Self::error_at(start, E::EmptyQuotation)) } else { Ok(parts) }
    }

    /// `\d`, `\D` and so on; `None`, with nothing consumed, for any other escape.
    fn perl_escape(&mut self) -> Option<CharSet> {
        let letter = self.ahead(1).filter(|_| self.peek() == Some('\\'))?;
        let set = perl_class(letter.to_ascii_lowercase())?;
        self.at += 2;
        Some(self.signed(&set, letter.is_ascii_uppercase()))
    }

    /// Folds first, then negates: `(?i)\W` does not match the KELVIN SIGN.
    fn signed(&self, set: &CharSet, negated: bool) -> CharSet {
        let set = if self.flags.fold { set.folded() } else { set.clone() };
        if negated { set.negated() } else { set }
    }

    /// An escape for one character, inside or outside a class.
    fn escaped_character(&mut self) -> Result<char, PatternError> {
        let offset = self.at;
        let Some(letter) = self.ahead(1) else { return Err(self.error(E::TrailingBackslash)) };
        self.at += 2;
        match letter {
            'a' => Ok('\u{7}'),
            'f' => Ok('\u{c}'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\u{b}'),
            'x' => self.hexadecimal(offset),
            // A single non-zero digit would be a backreference, which linear time rules out.
            '0' => Ok(self.octal('0')),
            '1'..='7' if self.peek().is_some_and(|next| next.is_digit(8)) => Ok(self.octal(letter)),
            '1'..='9' => Err(Self::error_at(offset, E::BackReference)),
            'p' | 'P' => Err(Self::error_at(offset, E::UnicodeClass)),
            '<' | '>' => Err(Self::error_at(offset, E::AngleEscape)),
            other if other.is_ascii() && !other.is_ascii_alphanumeric() => Ok(other),
            _ => Err(Self::error_at(offset, E::UnknownEscape)),
        }
    }

    /// After the first of up to three octal digits.
    fn octal(&mut self, first: char) -> char {
        let mut value = first.to_digit(8).unwrap_or(0);
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|next| next.to_digit(8)) else { break };
            value = value * 8 + digit;
            self.at += 1;
        }
        // At most 0o777, which is a character.
        char::from_u32(value).unwrap_or('\0')
    }

    /// After `\x`: two digits, or any number of them in braces.
    fn hexadecimal(&mut self, offset: usize) -> Result<char, PatternError> {
        let wrong = || Self::error_at(offset, E::Hexadecimal);
        let digits: String = if self.eat('{') {
            let digits: String = self.text.iter().skip(self.at).take_while(|c| **c != '}').collect();
            self.at += digits.chars().count();
            if !self.eat('}') {
                return Err(wrong());
            }
            digits
        } else {
            let digits: String = self.text.iter().skip(self.at).take(2).collect();
            self.at += 2;
            if digits.chars().count() != 2 {
                return Err(wrong());
            }
            digits
        };
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).ok_or_else(wrong)
    }

    /// At a `[`.
    pub(super) fn class(&mut self) -> Result<Node, PatternError> {
        let offset = self.at;
        self.at += 1;
        let negated = self.eat('^');
        let mut set = CharSet::default();
        let mut first = true;
        loop {
            match self.peek() {
                None => return Err(Self::error_at(offset, E::MissingBracket)),
                Some(']') if !first => break,
                Some(_) => {}
            }
            first = false;
            if let Some(named) = self.named_class()? {
                set.add_set(&named);
            } else if let Some(perl) = self.perl_escape() {
                set.add_set(&perl);
            } else {
                set.add_set(&self.class_range()?);
            }
        }
        self.at += 1;
        let set = if negated { set.negated() } else { set };
        let kind = match set.single() {
            Some(character) => Kind::Literal(character),
            None if set.ranges().next().is_none() => return Err(Self::error_at(offset, E::EmptyClass)),
            None => Kind::Set(set),
        };
        Ok(Node { offset, kind })
    }

    /// `[:name:]` or `[:^name:]`.
    fn named_class(&mut self) -> Result<Option<CharSet>, PatternError> {
        if !self.looking_at("[:") {
            return Ok(None);
        }
        let offset = self.at;
        let negated = self.ahead(2) == Some('^');
        let begin = offset + 2 + usize::from(negated);
        let name: String = self.text.iter().skip(begin).take_while(|c| c.is_ascii_alphabetic()).collect();
        self.at = begin + name.chars().count();
        let closed = self.eat(':') && self.eat(']');
        match posix_class(&name) {
            Some(set) if closed => Ok(Some(self.signed(&set, negated))),
            Some(_) | None => Err(Self::error_at(offset, E::NestedBracket)),
        }
    }

    /// One character, or two with a `-` between.
    fn class_range(&mut self) -> Result<CharSet, PatternError> {
        let offset = self.at;
        let low = self.class_character()?;
        let mut high = low;
        if self.peek() == Some('-') && self.ahead(1).is_some_and(|next| next != ']') {
            if self.ahead(1) == Some('-') {
                return Err(self.error(E::SetOperator));
            }
            self.at += 1;
            high = self.class_character()?;
            if high < low {
                return Err(Self::error_at(offset, E::BackwardsRange));
            }
        }
        let set = CharSet::from_ranges(&[(low, high)]);
        if !self.flags.fold {
            Ok(set)
        } else if set.is_ascii() {
            Ok(set.folded())
        } else {
            Err(Self::error_at(offset, E::FoldsBeyondAscii))
        }
    }

    fn class_character(&mut self) -> Result<char, PatternError> {
        match self.peek() {
            None => Err(self.error(E::MissingBracket)),
            Some('\\') => self.escaped_character(),
            Some('[') => Err(self.error(E::NestedBracket)),
            Some(character @ ('&' | '-' | '~')) if self.ahead(1) == Some(character) => {
                Err(self.error(E::SetOperator))
            }
            Some(character) => {
                self.at += 1;
                Ok(character)
            }
        }
    }
}
