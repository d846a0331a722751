//! A caller's value in a message.

use std::fmt;

/// How much of a value is shown. Longer than any issuer, subject or audience that passes its shape.
const MAX_CHARACTERS: usize = 256;

/// A text in backticks, on one line: what does not print, and the backtick itself, is escaped; what is too long is
/// cut.
///
/// ```
/// use octo_sts_verifier::oidc::Quoted;
/// assert_eq!(Quoted("repo:acme/app").to_string(), "`repo:acme/app`");
/// assert_eq!(Quoted("a\nb`").to_string(), "`a\\nb\\u{60}`");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`")?;
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(MAX_CHARACTERS) {
            match character {
                '`' => f.write_str("\\u{60}")?,
                '\'' | '"' | '\\' => write!(f, "{character}")?,
                _ if is_printable(character) => write!(f, "{character}")?,
                _ => write!(f, "{}", character.escape_debug())?,
            }
        }
        f.write_str(if characters.next().is_some() { "…`" } else { "`" })
    }
}

/// Letters, marks, numbers, punctuation and symbols: Go's `unicode.IsPrint`. The standard library knows it too, but
/// only tells through `str::escape_debug`, which escapes what is not printable. Marks are escaped at the start of a
/// text, hence the letter before. (So are quotes and the backslash, which print.)
pub(super) fn is_printable(character: char) -> bool {
    let mut buffer = String::with_capacity(5);
    buffer.push('a');
    buffer.push(character);
    buffer.escape_debug().eq(buffer.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_on_its_line_and_within_its_quotes() {
        assert_eq!(Quoted("").to_string(), "``");
        assert_eq!(Quoted("\r\n\0\u{7f}").to_string(), r"`\r\n\0\u{7f}`");
        assert_eq!(Quoted("a\u{202e}b\u{2028}").to_string(), r"`a\u{202e}b\u{2028}`");
        assert_eq!(Quoted(r#"it's "\d+""#).to_string(), r#"`it's "\d+"`"#);
        assert_eq!(Quoted("用户😀").to_string(), "`用户😀`");
        assert_eq!(Quoted("e\u{301}").to_string(), "`e\u{301}`");
    }

    #[test]
    fn a_long_value_is_cut() {
        assert_eq!(Quoted(&"a".repeat(256)).to_string(), format!("`{}`", "a".repeat(256)));
        assert_eq!(Quoted(&"ü".repeat(257)).to_string(), format!("`{}…`", "ü".repeat(256)));
    }
}
