//! Other people's text in Markdown. Text from a file, a branch or a path is shown as code. It can neither end the code
//! nor become a mention, a link, an issue reference, HTML or a table border.
//!
//! Each character except letters, digits and four more is written as a numeric character reference, which never has a
//! special meaning in Markdown (CommonMark 0.31, 2.5). The whole is in `<code>`, which GitHub's filters for mentions,
//! references and emoji ignore. Backticks would not work: inside a table, a `|` ends them.
//!
//! References do not help against one thing: GitHub searches the final text for e-mail addresses, after references are
//! resolved, and does not treat `<code>` as code. It does not search across a comment, so there is one before each `@`.

use std::fmt::Write as _;

/// It is invisible, and no address continues after it.
const BREAK: &str = "<!-- -->";

/// How much of one value is shown.
const MAX_CHARACTERS: usize = 200;

/// Other people's text, as code.
pub(super) fn code(text: &str) -> String {
    code_up_to(text, MAX_CHARACTERS)
}

/// [`code`] with another length limit.
pub(super) fn code_up_to(text: &str, max_characters: usize) -> String {
    let mut out = String::from("<code>");
    for (index, character) in visible(text, max_characters).chars().enumerate() {
        if character == '@' && index > 0 {
            out.push_str(BREAK);
        }
        push(&mut out, character);
    }
    out.push_str("</code>");
    out
}

/// Our message with other people's text in backticks, which that text cannot contain (`policy::Diagnostic` makes sure
/// of that). Even if it did, the text would be inert.
pub(super) fn message(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            out.push_str(&code(part));
            continue;
        }
        for character in visible(part, usize::MAX).chars() {
            if matches!(character, '@' | '#') {
                out.push_str(&code(character.encode_utf8(&mut [0; 4])));
            } else {
                push(&mut out, character);
            }
        }
    }
    out
}

fn push(out: &mut String, character: char) {
    let inert = character.is_ascii_alphanumeric() || matches!(character, ' ' | ',' | '-' | '/');
    if inert || !character.is_ascii() {
        out.push(character);
    } else {
        // Writing to a `String` cannot fail.
        write!(out, "&#{};", u32::from(character)).unwrap_or_default();
    }
}

/// Other people's text as one plain line of at most this many characters. Invisible characters, and those that change
/// the reading order, are escaped.
pub(super) fn visible(text: &str, max_characters: usize) -> String {
    let mut out = String::new();
    for (index, character) in text.chars().enumerate() {
        if index >= max_characters {
            out.push('…');
            break;
        }
        if is_invisible(character) {
            write!(out, "\\u{{{:x}}}", u32::from(character)).unwrap_or_default();
        } else {
            out.push(character);
        }
    }
    out
}

/// Controls, line and paragraph separators, and the format characters of Unicode 16, 23.2 to 23.8.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

    use super::*;

    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else a parser finds is a failure")]
    /// What a reader sees of a one-row table, cell by cell, provided it contains only text and `<code>`.
    fn rendered(markdown: &str) -> Option<Vec<String>> {
        let mut cells = Vec::new();
        let mut in_head = false;
        // GitHub does not enable typographic dashes and quotes.
        for event in Parser::new_ext(markdown, Options::all().difference(Options::ENABLE_SMART_PUNCTUATION)) {
            match event {
                Event::Start(Tag::TableHead) => in_head = true,
                Event::End(TagEnd::TableHead) => in_head = false,
                Event::Start(Tag::TableCell) if !in_head => cells.push(String::new()),
                Event::Start(Tag::Table(_) | Tag::TableRow | Tag::TableCell) => {}
                Event::End(TagEnd::Table | TagEnd::TableRow | TagEnd::TableCell) => {}
                Event::InlineHtml(html) if matches!(&*html, "<code>" | "</code>" | BREAK) => {}
                Event::Text(text) if in_head => drop(text),
                Event::Text(text) => cells.last_mut()?.push_str(&text),
                other => panic!("{other:?} in {markdown}"),
            }
        }
        Some(cells)
    }

    fn in_a_table(text: &str) -> Option<Vec<String>> {
        rendered(&format!(
            "| a | b |\n| --- | --- |\n| {} | {} |\n",
            code(text),
            message(&format!("x `{text}` y"))
        ))
    }

    const HOSTILE: &[&str] = &[
        "@acme/security",
        "#1",
        "acme/app#1",
        "GH-1",
        "https://evil.example.com",
        "www.evil.example.com",
        "a@evil.example.com",
        "[x](https://evil.example.com)",
        "![x](https://evil.example.com/x.png)",
        "<img src=x onerror=alert(1)>",
        "</code>",
        "<!-- x",
        "a | b",
        "a \\| b",
        "a\\",
        "`",
        "``",
        "` | `",
        "**x**",
        "_x_",
        "~~x~~",
        "&lt;",
        "&#64;",
        ":smile:",
        "$x$",
        "\n\n# x",
        "\r\n- x",
        "| --- |",
        "\u{202e}x",
        "\t",
        "",
        " ",
        "^x^",
        "[^1]",
        "==x==",
        "- [ ] x",
        "\u{2028}",
        "x`@acme`y",
    ];

    #[test]
    fn hostile_text_is_shown_as_it_is() {
        for text in HOSTILE {
            let shown = visible(text, MAX_CHARACTERS);
            // What cannot be quoted in backticks changes sides, and stays inert.
            let spoken = format!("x {} y", shown.replace('`', ""));
            let seen: Vec<String> =
                in_a_table(text).unwrap().iter().map(|cell| cell.trim().to_owned()).collect();
            assert_eq!(seen.first().map(String::as_str), Some(shown.trim()), "{text:?}");
            assert_eq!(seen.get(1), Some(&spoken), "{text:?}");
        }
    }

    /// GitHub's parser joins neighboring texts, whether written as references or not, and then looks back from each
    /// `@`.
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else a parser finds parts two texts")]
    #[test]
    fn no_address_is_in_one_text() {
        for text in ["a@b.com", "x a@b.com@c.com y", "@acme", "mailto:a@b.com", "é@b.com"] {
            for shown in [code(text), message(&format!("the claim `{text}`")), message(text)] {
                let mut texts = vec![String::new()];
                for event in Parser::new(&shown) {
                    match event {
                        Event::Text(text) => texts.last_mut().unwrap().push_str(&text),
                        _ => texts.push(String::new()),
                    }
                }
                for text in texts {
                    assert!(!text.trim_start_matches('@').contains('@'), "{text} in {shown}");
                }
            }
        }
        assert_eq!(code("a@b"), "<code>a<!-- -->&#64;b</code>");
    }

    #[test]
    fn what_cannot_be_seen_is_spelt_out() {
        assert_eq!(visible("a\u{202e}b\nc", 100), "a\\u{202e}b\\u{a}c");
        assert_eq!(visible("abcdef", 3), "abc…");
        assert_eq!(code("a|b"), "<code>a&#124;b</code>");
        assert_eq!(
            message("use `a` now: it's @x"),
            "use <code>a</code> now&#58; it&#39;s <code>&#64;</code>x"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_one_cell_of_text(text in any::<String>()) {
            let seen = in_a_table(&text).unwrap();
            prop_assert_eq!(seen.len(), 2);
            let shown = visible(&text, MAX_CHARACTERS);
            prop_assert_eq!(seen[0].trim(), shown.trim());
        }

        #[test]
        fn nothing_but_letters_and_references_is_written(text in any::<String>()) {
            let code = code(&text);
            let inside = code.strip_prefix("<code>").unwrap().strip_suffix("</code>").unwrap();
            let inside = inside.replace("<!-- -->&#64;", "&#64;");
            let mut rest = inside.as_str();
            while let Some(character) = rest.chars().next() {
                let reference = rest.strip_prefix("&#").and_then(|digits| digits.split_once(';'));
                rest = match reference {
                    Some((digits, after)) => {
                        prop_assert!(digits.bytes().all(|b| b.is_ascii_digit()));
                        after
                    }
                    None => {
                        let plain = character.is_ascii_alphanumeric() || " ,-/".contains(character) || !character.is_ascii();
                        prop_assert!(plain && !is_invisible(character), "{:?}", character);
                        rest.get(character.len_utf8()..).unwrap()
                    }
                };
            }
        }
    }
}
