//! Policies that can admit nobody, because the author meant something else. Otherwise, someone debugs this in a
//! hurry, and writes something wider. Linear in the values.

use octo_sts_verifier::oidc::{AudienceShape, IssuerShape, SubjectShape};

use super::compiled::Matcher;
use super::diagnostic::{Problems, quoted};
use super::document::{Source, Text};
use super::load::{Draft, Located};
use super::pattern::{MAX_PATTERN_CHARACTERS, Pattern};

/// A longer value is not repeated in a suggestion, because nobody could copy it.
const MAX_SUGGESTED: usize = 120;

/// Reports the warnings.
pub(super) fn check(draft: &Draft<'_>, source: &Source, problems: &mut Problems) {
    let shapes: [(&str, &Option<Located<'_, Matcher>>, Shape); 3] = [
        ("issuer", &draft.issuer, issuer),
        ("subject", &draft.subject, subject),
        ("audience", &draft.audience, audience),
    ];
    for (key, located, shape) in shapes {
        match located {
            Some(Located { rule: Matcher::Exact(value), text }) => exact(key, value, text, shape, problems),
            Some(Located { rule: Matcher::Pattern(_), text }) => pattern(text, source, problems),
            None => {}
        }
    }
    for (_, located) in &draft.claim_patterns {
        pattern(located.text, source, problems);
    }
}

/// Code, message and suggestion, if no token can have the value.
type Shape = fn(&str) -> Option<(&'static str, String, Option<String>)>;

fn issuer(value: &str) -> Option<(&'static str, String, Option<String>)> {
    let error = value.parse::<IssuerShape>().err()?;
    let message = format!("no token can have the issuer {}: {}", quoted(value), error.rule());
    let bare = value.trim().trim_start_matches("https://").trim_start_matches("http://");
    let better = format!("https://{bare}");
    let suggestion = better.parse::<IssuerShape>().is_ok().then(|| format!("did you mean `{better}`?"));
    Some(("issuer-shape", message, suggestion))
}

fn subject(value: &str) -> Option<(&'static str, String, Option<String>)> {
    value.parse::<SubjectShape>().err()?;
    let message = format!(
        "no token can have the subject {}: it is longer than 255 characters, or has white space, quotes, brackets, or one \
         of `$&;<>\\`",
        quoted(value)
    );
    let better = value.trim();
    let suggestion = better.parse::<SubjectShape>().is_ok().then(|| format!("did you mean `{better}`?"));
    Some(("subject-shape", message, suggestion))
}

fn audience(value: &str) -> Option<(&'static str, String, Option<String>)> {
    value.parse::<AudienceShape>().err()?;
    let message = format!(
        "no token can have the audience {}: it is longer than 255 characters, or has white space, quotes, brackets, or one \
         of `$&;<>\\|@`",
        quoted(value)
    );
    let better = value.trim();
    let suggestion = better.parse::<AudienceShape>().is_ok().then(|| format!("did you mean `{better}`?"));
    Some(("audience-shape", message, suggestion))
}

/// A value that is compared byte for byte. At most one problem: the likeliest.
fn exact(key: &'static str, value: &str, text: &Text, shape: Shape, problems: &mut Problems) {
    let told = match meant(value) {
        Some(pattern) => {
            let message = format!(
                "`{key}` is compared byte for byte, and {} looks like {}",
                quoted(value),
                if pattern.is_glob { "a glob" } else { "a pattern" }
            );
            let is_short = pattern.written.chars().count() <= MAX_SUGGESTED;
            let suggestion = if is_short {
                format!("did you mean `{key}_pattern: {}`?", pattern.written)
            } else {
                format!("did you mean `{key}_pattern`?")
            };
            Some(("exact-looks-like-pattern", message, Some(suggestion)))
        }
        None => shape(value),
    };
    if let Some((code, message, suggestion)) = told {
        problems.warning(code, text.place, message, suggestion);
    }
}

/// What the author probably meant by an exact value.
struct Meant {
    is_glob: bool,
    written: String,
}

/// `None` for a value that looks exact.
fn meant(value: &str) -> Option<Meant> {
    if value.chars().count() > MAX_PATTERN_CHARACTERS || value.contains(char::is_whitespace) {
        return None;
    }
    let has_escape = value
        .split('\\')
        .skip(1)
        .any(|rest| rest.starts_with(|next: char| next.is_ascii_punctuation() || "dDwWsSbB".contains(next)));
    let has_brackets = |open, close| value.find(open).is_some_and(|at| value.rfind(close) > Some(at));
    let is_pattern = [".*", ".+", "]+", ")+", "]*", ")?"].iter().any(|sign| value.contains(sign))
        || has_escape
        || has_brackets('(', ')')
        || has_brackets('[', ']')
        || value.starts_with('^')
        || value.ends_with('$');
    if is_pattern {
        let is_one = value.parse::<Pattern>().is_ok();
        return is_one.then(|| Meant { is_glob: false, written: value.to_owned() });
    }
    let mut written = String::new();
    for character in value.chars() {
        match character {
            '*' => written.push_str(".*"),
            '.' | '+' | '?' | '|' | '{' | '}' | '^' | '$' => written.extend(['\\', character]),
            other => written.push(other),
        }
    }
    value.contains('*').then_some(Meant { is_glob: true, written })
}

fn pattern(text: &Text, source: &Source, problems: &mut Problems) {
    if text.value.contains('\n') {
        let message = "the pattern has a line feed, so it matches only values that have one there";
        let suggestion =
            "write it in one line, or fold it with `>-`, which ends without a line feed".to_owned();
        problems.warning("pattern-line-feed", text.place, message, Some(suggestion));
    }
    if let Some((offset, before)) = glob(&text.value) {
        let place = source.place_within(text, offset);
        let message = format!("`*` repeats the `{before}` before it; it does not match arbitrary text");
        let suggestion = "write `.*` for any text, `[^/]*` for any text without a `/`".to_owned();
        problems.warning("pattern-glob", place, message, Some(suggestion));
    }
}

/// Where a `*` repeats a `/` or `:`, outside classes.
fn glob(pattern: &str) -> Option<(usize, char)> {
    let mut before = None;
    let mut in_class = false;
    let mut characters = pattern.chars().enumerate();
    while let Some((offset, character)) = characters.next() {
        match character {
            '\\' => {
                before = None;
                characters.next();
                continue;
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '*' if !in_class => {
                if let Some(repeated @ ('/' | ':')) = before {
                    return Some((offset, repeated));
                }
            }
            _ => {}
        }
        before = Some(character);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_taken_for_what_it_looks_like() {
        for (value, written) in [
            ("repo:acme/.*", Some("repo:acme/.*")),
            ("(1122|3344)", Some("(1122|3344)")),
            (r"https://a\.example\.com", Some(r"https://a\.example\.com")),
            ("^repo:acme/app$", Some("^repo:acme/app$")),
            ("repo:acme/app:ref:refs/heads/*", Some("repo:acme/app:ref:refs/heads/.*")),
            ("https://*.example.com", Some(r"https://.*\.example\.com")),
            ("repo:acme/app:ref:refs/heads/main", None),
            ("auth0|12345", None),
            ("a.b+c@example.com", None),
            ("system:serviceaccount:build:renovate", None),
            ("(", None),
        ] {
            assert_eq!(meant(value).map(|meant| meant.written).as_deref(), written, "{value}");
        }
    }

    #[test]
    fn a_glob_is_a_star_behind_a_slash_or_colon() {
        for (pattern, found) in [
            ("refs/heads/*", Some((11, '/'))),
            ("repo:acme/app:*", Some((14, ':'))),
            ("a/*/b/*", Some((2, '/'))),
            ("refs/heads/.*", None),
            ("[a/]*", None),
            ("[/*]", None),
            (r"a\/*", None),
            (r"a/\*", None),
            ("a/+", None),
        ] {
            assert_eq!(glob(pattern), found, "{pattern}");
        }
    }
}
