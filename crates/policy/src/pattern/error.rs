//! Why text is not a pattern, and what to write instead.

use std::fmt;

/// Why text is not a pattern, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong.
    pub kind: PatternErrorKind,
    /// Where, in characters from the pattern's beginning.
    pub offset: usize,
}

/// What is wrong with a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the texts below say it")]
pub enum PatternErrorKind {
    TooLong,
    TooLarge,
    TooDeep,
    UnexpectedParenthesis,
    MissingParenthesis,
    MissingBracket,
    NothingToRepeat,
    StackedRepetition,
    RepeatsTooOften,
    BackwardsCount,
    DoubtfulBrace,
    GroupName,
    GroupFlags,
    LookAround,
    BackReference,
    TrailingBackslash,
    UnknownEscape,
    AngleEscape,
    Hexadecimal,
    EmptyQuotation,
    OpenQuotation,
    UnicodeClass,
    FoldsBeyondAscii,
    NestedBracket,
    SetOperator,
    BackwardsRange,
    EmptyClass,
}

impl PatternErrorKind {
    /// Go or another engine accepts the construct: it is refused because of the difference, not as invalid.
    fn is_unsupported(self) -> bool {
        match self {
            Self::DoubtfulBrace
            | Self::LookAround
            | Self::BackReference
            | Self::AngleEscape
            | Self::EmptyQuotation
            | Self::OpenQuotation
            | Self::UnicodeClass
            | Self::FoldsBeyondAscii
            | Self::NestedBracket
            | Self::SetOperator
            | Self::EmptyClass => true,
            Self::TooLong
            | Self::TooLarge
            | Self::TooDeep
            | Self::UnexpectedParenthesis
            | Self::MissingParenthesis
            | Self::MissingBracket
            | Self::NothingToRepeat
            | Self::StackedRepetition
            | Self::RepeatsTooOften
            | Self::BackwardsCount
            | Self::GroupName
            | Self::GroupFlags
            | Self::TrailingBackslash
            | Self::UnknownEscape
            | Self::Hexadecimal
            | Self::BackwardsRange => false,
        }
    }
}

impl PatternError {
    /// The stable code of the problem.
    #[must_use]
    pub fn code(&self) -> &'static str {
        if self.kind == PatternErrorKind::TooLong {
            "pattern-too-long"
        } else if self.kind == PatternErrorKind::TooLarge {
            "pattern-too-expensive"
        } else if matches!(self.kind, PatternErrorKind::TooDeep | PatternErrorKind::RepeatsTooOften) {
            "pattern-too-large"
        } else if self.kind.is_unsupported() {
            "pattern-unsupported"
        } else {
            "pattern-syntax"
        }
    }

    /// What to write instead, if known.
    #[must_use]
    pub fn suggestion(&self) -> Option<&'static str> {
        match self.kind {
            PatternErrorKind::TooLong | PatternErrorKind::TooLarge | PatternErrorKind::TooDeep => {
                Some("write a simpler pattern, or several policies")
            }
            PatternErrorKind::UnexpectedParenthesis | PatternErrorKind::MissingParenthesis => {
                Some(r"close every group, and write a literal parenthesis as `\(` or `\)`")
            }
            PatternErrorKind::MissingBracket => {
                Some(r"close every class, and write a literal bracket as `\[`")
            }
            PatternErrorKind::NothingToRepeat => {
                Some(r"for any text write `.*`; for a literal `*` write `\*`")
            }
            PatternErrorKind::DoubtfulBrace => {
                Some(r"for a repetition write `{0,n}` or `{n}`; for a literal brace write `\{`")
            }
            PatternErrorKind::NestedBracket => Some(r"write a literal bracket inside a class as `\[`"),
            PatternErrorKind::SetOperator => Some(r"write `\&`, `\-` or `\~`, or the character once"),
            PatternErrorKind::AngleEscape => Some("write `<` or `>` without a backslash"),
            PatternErrorKind::EmptyQuotation => Some(r"remove `\Q\E`"),
            PatternErrorKind::OpenQuotation => Some(r"write `\E` at the end of the quotation"),
            PatternErrorKind::UnicodeClass => Some("list the characters, as in `[A-Za-z]`"),
            PatternErrorKind::FoldsBeyondAscii => Some("list both cases in a class, without the flag `i`"),
            PatternErrorKind::LookAround => Some("list what is allowed instead"),
            PatternErrorKind::StackedRepetition
            | PatternErrorKind::RepeatsTooOften
            | PatternErrorKind::BackwardsCount
            | PatternErrorKind::GroupName
            | PatternErrorKind::GroupFlags
            | PatternErrorKind::BackReference
            | PatternErrorKind::TrailingBackslash
            | PatternErrorKind::UnknownEscape
            | PatternErrorKind::Hexadecimal
            | PatternErrorKind::BackwardsRange
            | PatternErrorKind::EmptyClass => None,
        }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            PatternErrorKind::TooLong => "the pattern is longer than 1024 characters",
            PatternErrorKind::TooLarge => {
                "the pattern has more than 8192 states when its repetitions are written out"
            }
            PatternErrorKind::TooDeep => "the pattern has more than 40 nested groups",
            PatternErrorKind::UnexpectedParenthesis => "unexpected `)`",
            PatternErrorKind::MissingParenthesis => "a group is not closed",
            PatternErrorKind::MissingBracket => "a character class is not closed",
            PatternErrorKind::NothingToRepeat => "a repetition operator has nothing to repeat",
            PatternErrorKind::StackedRepetition => "a repetition operator follows another one",
            PatternErrorKind::RepeatsTooOften => "repetition above 1000, counting nested repetitions",
            PatternErrorKind::BackwardsCount => "the repetition's lower bound is above its upper bound",
            PatternErrorKind::DoubtfulBrace => "engines disagree whether this brace is a repetition or text",
            PatternErrorKind::GroupName => "a group name is letters, digits and `_`",
            PatternErrorKind::GroupFlags => "unknown kind of group; the flags are `i`, `m`, `s` and `U`",
            PatternErrorKind::LookAround => "look-around is not supported: patterns run in linear time",
            PatternErrorKind::BackReference => {
                "backreferences are not supported: patterns run in linear time"
            }
            PatternErrorKind::TrailingBackslash => "the pattern ends in a backslash",
            PatternErrorKind::UnknownEscape => "unknown escape",
            PatternErrorKind::AngleEscape => "engines disagree about `\\<` and `\\>`",
            PatternErrorKind::Hexadecimal => {
                "`\\x` takes two hexadecimal digits, or the number of a character in braces"
            }
            PatternErrorKind::EmptyQuotation => "an empty `\\Q\\E`",
            PatternErrorKind::OpenQuotation => {
                "a `\\Q` without `\\E`, which would quote whatever follows the pattern"
            }
            PatternErrorKind::UnicodeClass => "Unicode classes are not supported",
            PatternErrorKind::FoldsBeyondAscii => "the flag `i` is supported for ASCII only",
            PatternErrorKind::NestedBracket => "`[` inside a character class, which engines read differently",
            PatternErrorKind::SetOperator => {
                "`&&`, `--` or `~~` inside a character class, which engines read differently"
            }
            PatternErrorKind::BackwardsRange => "a range in a character class goes backwards",
            PatternErrorKind::EmptyClass => "the character class matches nothing",
        })
    }
}

impl std::error::Error for PatternError {}
