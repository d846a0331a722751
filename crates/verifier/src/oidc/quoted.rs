//! A caller's value in a message.

use std::fmt;

/// How much of a value is shown. Longer than any valid issuer, subject or audience.
const MAX_CHARACTERS: usize = 256;

/// Text in backticks, on one line: unprintable characters and the backtick itself are escaped; long text is cut off.
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

/// Letters, marks, numbers, punctuation and symbols: Go's `unicode.IsPrint`. The standard library exposes this only
/// through `str::escape_debug`, which escapes unprintable characters. Marks are escaped at the start of text, hence the
/// letter before. (So are quotes and the backslash, which print.)
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
