//! The shapes of subjects and audiences, as the Go service has them.

use std::borrow::Cow;
use std::str::FromStr;

use super::claims::ClaimsError;
use super::quoted::is_printable;

/// OIDC Core 2 has it for `sub`.
const MAX_CHARACTERS: usize = 255;

/// A text that has the shape of a subject: 1 to 255 printable characters without quotes, brackets, white space and
/// the characters that shells and markup act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectShape(String);

/// A text that has the shape of an audience: as a subject, and without `|` and `@`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudienceShape(String);

impl SubjectShape {
    /// The subject.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AudienceShape {
    /// The audience.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SubjectShape {
    type Err = ClaimsError;

    fn from_str(text: &str) -> Result<Self, ClaimsError> {
        subject(text.into()).map(Self)
    }
}

impl FromStr for AudienceShape {
    type Err = ClaimsError;

    fn from_str(text: &str) -> Result<Self, ClaimsError> {
        audience(text.into()).map(Self)
    }
}

/// The text, if it has the shape of a subject.
pub(super) fn subject(text: Cow<'_, str>) -> Result<String, ClaimsError> {
    let text = text.into_owned();
    if is_identifier(&text) { Ok(text) } else { Err(ClaimsError::Subject(text)) }
}

/// The text, if it has the shape of an audience.
pub(super) fn audience(text: Cow<'_, str>) -> Result<String, ClaimsError> {
    let text = text.into_owned();
    if is_identifier(&text) && !text.contains(['|', '@']) {
        Ok(text)
    } else {
        Err(ClaimsError::Audience(text))
    }
}

fn is_identifier(text: &str) -> bool {
    if text.is_ascii() {
        return (1..=MAX_CHARACTERS).contains(&text.len()) && text.bytes().all(is_identifier_byte);
    }
    text.chars().count() <= MAX_CHARACTERS && text.chars().all(is_identifier_character)
}

fn is_identifier_character(character: char) -> bool {
    u8::try_from(character)
        .ok()
        .filter(u8::is_ascii)
        .map_or_else(|| is_printable(character), is_identifier_byte)
}

fn is_identifier_byte(byte: u8) -> bool {
    // A bit for each of the 128, made once by the compiler.
    const ALLOWED: u128 = {
        let (mut allowed, mut byte) = (0, 0_u8);
        while byte < 128 {
            let is_shell_or_markup = matches!(
                byte,
                b'"' | b'\''
                    | b'`'
                    | b'\\'
                    | b'<'
                    | b'>'
                    | b';'
                    | b'&'
                    | b'$'
                    | b'('
                    | b')'
                    | b'{'
                    | b'}'
                    | b'['
                    | b']'
            );
            if byte.is_ascii_graphic() && !is_shell_or_markup {
                allowed |= 1_u128 << byte;
            }
            byte += 1;
        }
        allowed
    };
    byte < 128 && ALLOWED >> byte & 1 == 1
}
