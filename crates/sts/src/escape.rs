//! Escapes text for a terminal, a log or another program. File names, arguments and values come from others. This
//! removes whatever a terminal or a GitHub Actions runner would interpret, and whatever looks like a token.
//!
//! [`super::outcome`] writes through this module, so no command has to care.

use std::borrow::Cow;
use std::ops::Range;

/// The replacement for a token.
const TOKEN: &str = "(a token, not shown)";

/// `{"` in base64, so the beginning of every JWT.
const JWT: &str = "eyJ";

/// The prefixes of GitHub's tokens.
const GITHUB: [&str; 6] = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"];

/// Shorter runs of such characters are words.
const SHORTEST_TOKEN: usize = 16;

/// Whether a terminal would show nothing, move the cursor, or change the direction of text.
pub(crate) fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text for people. Line feeds stay; what looks like a workflow command gets a backslash.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in redacted(text).split_inclusive('\n') {
        if line.trim_start().starts_with("::") {
            out.push('\\');
        }
        push_visible(&mut out, line);
    }
    // The runner's older command syntax works anywhere in a line.
    out.replace("##[", "#\\#[")
}

/// One line of text, as [`plain`].
pub(crate) fn one_line(text: &str) -> String {
    plain(&text.replace('\n', "\u{2028}"))
}

/// A JSON document: unprintable characters become JSON escapes.
pub(crate) fn json(document: &str) -> String {
    let mut out = String::with_capacity(document.len());
    for character in redacted(document).chars() {
        if character != '\n' && is_unprintable(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(character);
        }
    }
    out.replace("##[", "#\\u0023[")
}

fn push_visible(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\n' => out.push('\n'),
            '\t' => out.push(' '),
            other if is_unprintable(other) => out.extend(other.escape_unicode()),
            other => out.push(other),
        }
    }
}

/// The text without what looks like a token.
pub(crate) fn redacted(text: &str) -> Cow<'_, str> {
    let found = tokens(text);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for range in found {
        out.push_str(text.get(end..range.start).unwrap_or_default());
        out.push_str(TOKEN);
        end = range.end;
    }
    out.push_str(text.get(end..).unwrap_or_default());
    Cow::Owned(out)
}

/// Whether something in the text looks like a token.
pub(crate) fn has_token(text: &str) -> bool {
    !tokens(text).is_empty()
}

/// Where the text has something that looks like a token, in bytes. Linear.
pub(crate) fn tokens(text: &str) -> Vec<Range<usize>> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let mut found = Vec::new();
    let mut start = None;
    let ends = text.bytes().enumerate().map(|(at, byte)| (at, is_part(byte))).chain([(text.len(), false)]);
    for (at, part) in ends {
        match (start, part) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                found.extend(token_in(text, from..at));
                start = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    found
}

/// A run of token characters may have words before the token: `token-eyJ…`.
fn token_in(text: &str, run: Range<usize>) -> Option<Range<usize>> {
    let characters = text.get(run.clone())?;
    let is_long = |at: &usize| characters.len() - at >= SHORTEST_TOKEN;
    let jwt = characters.find(JWT).filter(is_long);
    let github = GITHUB.iter().filter_map(|prefix| {
        let (at, _) = characters.match_indices(prefix).find(|(at, _)| begins_a_word(characters, *at))?;
        // Random text has more than lower-case letters, unlike `ghs_fixtures_of_the_test`.
        let body = characters.get(at + prefix.len()..)?;
        let is_random =
            body.len() >= 36 || body.contains(|c: char| c.is_ascii_digit() || c.is_ascii_uppercase());
        (is_random && is_long(&at)).then_some(at)
    });
    let first = jwt.into_iter().chain(github).min()?;
    Some(run.start + first..run.end)
}

fn begins_a_word(text: &str, at: usize) -> bool {
    !text.get(..at).is_some_and(|before| before.ends_with(|c: char| c.is_ascii_alphanumeric()))
}

/// Whether a whole file or argument is a token, or a service's answer that contains one.
pub(crate) fn is_token(text: &str) -> bool {
    let text = text.trim();
    let bare =
        text.get(..7).filter(|start| start.eq_ignore_ascii_case("bearer ")).and_then(|_| text.get(7..));
    let is_alone = |text: &str| matches!(tokens(text).as_slice(), [one] if *one == (0..text.len()));
    bare.is_some() || is_alone(text) || answer(text).is_some()
}

/// The token in a service's answer.
pub(crate) fn answer(text: &str) -> Option<String> {
    let serde_json::Value::Object(object) = serde_json::from_str(text).ok()? else { return None };
    ["value", "token", "id_token", "access_token"]
        .into_iter()
        .find_map(|name| object.get(name)?.as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN_OF_AN_ISSUER: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJqb2IifQ.c2lnbmF0dXJl";
    const TOKEN_OF_GITHUB: &str = "ghs_0123456789abcdefghijABCDEFGHIJ012345";

    #[test]
    fn nothing_that_a_terminal_acts_on_is_left() {
        let hostile =
            "a\u{1b}[31m\u{7}\r\u{8}\u{7f}\u{85}\u{9b}31m\u{202e}\u{2066}\u{61c}\u{200b}\u{e0041}b\tc";
        for text in [plain(hostile), one_line(hostile), json(hostile)] {
            assert!(!text.contains(is_unprintable), "{text:?}");
            assert!(text.starts_with('a') && text.contains('b'), "{text}");
        }
        assert_eq!(plain("a\u{202e}b\u{9b}"), "a\\u{202e}b\\u{9b}");
        assert_eq!(json("\"a\u{202e}\u{e0041}\""), "\"a\\u202e\\udb40\\udc41\"");
        assert_eq!(one_line("a\nb"), "a\\u{2028}b");
        assert_eq!(plain("ü 用户 e\u{301} 🙂\n"), "ü 用户 e\u{301} 🙂\n");
    }

    #[test]
    fn no_line_becomes_a_workflow_command() {
        assert_eq!(
            plain("a\n::error::x\n  ::add-mask::y\na ::b"),
            "a\n\\::error::x\n\\  ::add-mask::y\na ::b"
        );
        for command in ["##[error]x", "a ##[add-mask]y", "###[x]"] {
            assert!(!plain(command).contains("##["), "{command}");
            let document = serde_json::to_string(command).unwrap();
            let written = json(&document);
            assert!(!written.contains("##["), "{written}");
            assert_eq!(serde_json::from_str::<String>(&written).unwrap(), command);
        }
    }

    #[test]
    fn what_looks_like_a_token_is_never_shown() {
        for token in [
            TOKEN_OF_AN_ISSUER,
            TOKEN_OF_GITHUB,
            "github_pat_0123456789abcdefgh",
            "ghs_1_eyJhbGciOiJub25lIn0.eyJ9.c2ln",
        ] {
            for text in [
                token.to_owned(),
                format!("Bearer {token}"),
                format!("cannot read `{token}`: no such file"),
                format!("{{\"token\":\"{token}\"}}"),
                format!("x-{token}\n{token}"),
            ] {
                for shown in [plain(&text), one_line(&text), json(&text)] {
                    assert!(!shown.contains("eyJ") && !shown.contains("0123456789"), "{shown}");
                    assert!(shown.contains(TOKEN), "{shown}");
                }
            }
        }
        for text in [
            "ghs_short",
            "keyJar",
            "eyJ",
            "ghost_in_the_shell_of_the_machine",
            "refs/heads/highs_and_lows_and_Others7",
            "ghs_fixtures_of_the_test",
            "repo:acme/app:ref:refs/heads/main",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn a_file_that_is_a_token_is_known() {
        for text in [
            TOKEN_OF_AN_ISSUER,
            &format!("{TOKEN_OF_GITHUB}\n"),
            &format!("Bearer {TOKEN_OF_AN_ISSUER}"),
            "bearer opaque",
            r#"{"count": 4, "value": "opaque"}"#,
            r#"{"token": "opaque", "expires_at": "x"}"#,
        ] {
            assert!(is_token(text), "{text}");
        }
        for text in
            ["", "issuer: https://a.example.com\n", r#"{"iss": "https://a.example.com", "sub": "s"}"#, "bear"]
        {
            assert!(!is_token(text), "{text}");
        }
    }
}
