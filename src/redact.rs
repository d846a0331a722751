//! The last line of defense for the log: masks anything shaped like a credential, whoever wrote it. [`crate::secret`]
//! and the choice of what is logged keep secrets out of the log; this is for future mistakes, and for callers who put a
//! token where a name belongs.
//!
//! Known shapes only: compact JWS of three parts, GitHub's tokens, private keys as PEM. A webhook secret or half a key
//! looks like any other text. A line without such a shape stays the same, byte for byte: audit events are evidence.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// A base64url header with an allowed algorithm has at least 20 characters; this is a little less, to be sure.
const MIN_JWT_HEADER: usize = 12;

/// GitHub's classic tokens have 36 characters after the prefix, and fine-grained ones 22 before their `_`. If a token
/// is cut off earlier than this, the rest cannot be guessed.
const MIN_TOKEN: usize = 20;

/// Inside a word (`highs_…`), only a complete token counts.
const MIN_TOKEN_IN_A_WORD: usize = 36;

/// Classic personal, OAuth, user, installation and refresh tokens, and fine-grained personal ones.
/// <https://github.blog/engineering/behind-githubs-new-authentication-token-formats/>
const GITHUB_PREFIXES: [&str; 6] = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"];

const PEM_BEGIN: &str = "-----BEGIN ";
const PEM_END: &[u8] = b"-----END ";
const PEM_DASHES: &str = "-----";

/// `ENCRYPTED PRIVATE KEY` and `PGP PRIVATE KEY BLOCK` are the longest in use.
const MAX_PEM_LABEL: usize = 64;

/// The text without credentials. JSON stays JSON, with the same members.
///
/// ```
/// use octo_sts_worker::redact::redact;
/// let leaked = redact("refused ghs_0123456789abcdefghij0123456789abcdef for acme/app");
/// assert_eq!(leaked, "refused ghs_[redacted sha256:aa55e8cba544075c] for acme/app");
/// assert_eq!(redact("repo:acme/app:ref:refs/heads/main"), "repo:acme/app:ref:refs/heads/main");
/// ```
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    if !is_suspect(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    match without_private_keys(text) {
        Some(clean) => without_tokens(&clean).map_or(Cow::Owned(clean), Cow::Owned),
        None => without_tokens(text).map_or(Cow::Borrowed(text), Cow::Owned),
    }
}

/// A cheap check for the beginning of any secret, because every exchange writes a line.
fn is_suspect(text: &[u8]) -> bool {
    text.windows(4).any(|four| {
        matches!(
            four,
            [b'e', b'y', b'J', _]
                | [b'g', b'h', b'p' | b'o' | b'u' | b's' | b'r', b'_']
                | [b'_', b'p', b'a', b't']
                | [b'-', b'B', b'E', b'G']
        )
    })
}

/// The replacement for a secret. Like `token_sha256`, its hash identifies the secret; and if it was only a name that
/// looked like a token, that can still be found out: `printf %s "$TOKEN" | sha256sum`.
fn mark(secret: &str) -> String {
    let hash = Sha256::digest(secret.as_bytes());
    format!("[redacted sha256:{}]", hex::encode(hash.first_chunk::<8>().unwrap_or(&[0; 8])))
}

/// `None`: there is none.
fn without_private_keys(text: &str) -> Option<String> {
    let mut clean = String::new();
    let (mut rest, mut found) = (text, false);
    while let Some((before, behind)) = rest.split_once(PEM_BEGIN) {
        clean.push_str(before);
        clean.push_str(PEM_BEGIN);
        rest = match private_key_end(behind).and_then(|end| behind.split_at_checked(end)) {
            Some((key, behind)) => {
                found = true;
                clean.push_str(&mark(key));
                behind
            }
            None => behind,
        };
    }
    clean.push_str(rest);
    found.then_some(clean)
}

/// Where the block after `-----BEGIN ` ends: after its last dashes. In JSON, where line breaks are `\n`, it ends with
/// the string at the latest.
fn private_key_end(text: &str) -> Option<usize> {
    if !label(text)?.contains("PRIVATE KEY") {
        return None;
    }
    // Searched for together, so that each byte is visited once, however many blocks there are.
    let bytes = text.as_bytes();
    let end = bytes
        .windows(PEM_END.len())
        .position(|window| window.first() == Some(&b'"') || window == PEM_END)
        .or_else(|| bytes.iter().position(|byte| *byte == b'"'))
        .unwrap_or(bytes.len());
    let (before, from_end) = text.split_at_checked(end)?;
    match from_end.strip_prefix("-----END ") {
        Some(behind) => {
            let dashes = label(behind).map_or(0, |label| label.len() + PEM_DASHES.len());
            Some(end + PEM_END.len() + dashes)
        }
        // A quote inside a string is escaped; its backslash stays with it.
        None => Some(before.trim_end_matches('\\').len()),
    }
}

/// The text before the next dashes, if that can be a label. Anything else may contain the end of a string.
fn label(text: &str) -> Option<&str> {
    let (label, _) = text.split_once(PEM_DASHES)?;
    let is_label = label.len() <= MAX_PEM_LABEL
        && label.bytes().all(|b| b.is_ascii_uppercase() || b == b' ')
        && !label.ends_with(' ');
    is_label.then_some(label)
}

/// `None`: there is none.
fn without_tokens(text: &str) -> Option<String> {
    let mut clean = String::new();
    let (mut found, mut escaped) = (false, false);
    for piece in text.split_inclusive(|c| !is_token_character(c)) {
        let run = piece.trim_end_matches(|c| !is_token_character(c));
        let secret = [jwt_in(run), github_token_in(run, escaped)].into_iter().flatten().min();
        match secret.and_then(|secret| secret.split(run)) {
            Some((shown, secret)) => {
                found = true;
                clean.push_str(shown);
                clean.push_str(&mark(secret));
                clean.push_str(piece.trim_start_matches(is_token_character));
            }
            None => clean.push_str(piece),
        }
        escaped = piece.ends_with('\\');
    }
    found.then_some(clean)
}

/// Base64url, and the separators in tokens. GitHub's newer installation tokens contain a JWT.
const fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// A secret from here to the end of its run of token characters.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    at: usize,
    /// The prefix stays, to show what was there. In JSON, its first letter may be the last of an escape (`\u001eyJ…`).
    prefix: usize,
}

impl Found {
    /// The visible prefix, and the complete secret.
    fn split(self, run: &str) -> Option<(&str, &str)> {
        Some((run.get(..self.at + self.prefix)?, run.get(self.at..)?))
    }
}

/// `eyJ` is `{"`. Three parts, or two that both begin with it: a token that was cut off.
fn jwt_in(run: &str) -> Option<Found> {
    let (mut rest, mut offset) = (run, 0);
    loop {
        let (header, behind) = rest.split_once('.')?;
        let (payload, signature) = match behind.split_once('.') {
            Some((payload, signature)) => (payload, Some(signature)),
            None => (behind, None),
        };
        let is_payload = payload.starts_with("eyJ") || (!payload.is_empty() && signature.is_some());
        match header.find("eyJ") {
            Some(at) if is_payload && header.len() - at >= MIN_JWT_HEADER => {
                return Some(Found { at: offset + at, prefix: 3 });
            }
            _ => {}
        }
        offset += header.len() + 1;
        rest = behind;
    }
}

/// A prefix with enough characters after it. Names may begin like tokens (`ghp_import`), and words may end like their
/// prefixes.
fn github_token_in(run: &str, escaped: bool) -> Option<Found> {
    let mut may_have_another_shape = true;
    for (at, _) in run.match_indices('g') {
        let from = run.get(at..)?;
        let Some(prefix) = GITHUB_PREFIXES.iter().find(|prefix| from.starts_with(**prefix)) else { continue };
        let token = from.get(prefix.len()..)?;
        let found = Some(Found { at, prefix: prefix.len() });

        let before = run.as_bytes().get(at.wrapping_sub(1));
        // `\n` in JSON is not a letter.
        let is_word = before.is_some_and(u8::is_ascii_alphanumeric) && !(escaped && at == 1);
        let is_long_prefix = prefix.len() > 4;
        let least = if is_word && !is_long_prefix { MIN_TOKEN_IN_A_WORD } else { MIN_TOKEN };
        if token.bytes().take_while(u8::is_ascii_alphanumeric).count() >= least {
            return found;
        }
        // GitHub says to expect other lengths, and `.`, `_` and `-` in tokens. Names do not contain all of these.
        // Checked once, because less follows a later prefix.
        if !is_word && std::mem::take(&mut may_have_another_shape) && is_of_another_shape(token) {
            return found;
        }
    }
    None
}

fn is_of_another_shape(token: &str) -> bool {
    token.len() >= MIN_TOKEN_IN_A_WORD
        && token.bytes().any(|b| b.is_ascii_lowercase())
        && token.bytes().any(|b| b.is_ascii_uppercase())
        && token.bytes().any(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::{Value, json};

    use super::*;

    const JWT: &str =
        "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2EuZXhhbXBsZS5jb20ifQ.c2lnbmF0dXJl-_0";
    const CLASSIC: &str = "ghs_16C7e42F292c6912E7710c838347Ae178B4a";
    const FINE_GRAINED: &str =
        "github_pat_11ABCDEFG0abcdefghijkl_0123456789abcdefghijABCDEFGHIJklmnopqrstUVWXYZ0123456789abc";
    const KEY: &str =
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\nq2w+/=\n-----END RSA PRIVATE KEY-----";

    /// The part of a secret that must be gone.
    fn hidden(secret: &str) -> &str {
        match secret.split_once("KEY-----\n") {
            Some((_, body)) => body.split('\n').next().unwrap(),
            None => secret.get(secret.len() - 20..).unwrap(),
        }
    }

    fn marked(secret: &str, prefix: &str) -> String {
        format!("{prefix}{}", mark(secret))
    }

    #[test]
    fn every_known_shape_is_masked() {
        let newer = format!("ghs_4711_{JWT}");
        let other_shape = "ghs_AbC-dE.f_1AbC-dE.f_1AbC-dE.f_1AbC-dE.f_1AbC-dE.f_1";
        let cut = CLASSIC.get(..24).unwrap();
        let unsigned = "eyJhbGciOiJub25lIn0.e30.";
        let classics = ["ghp_", "gho_", "ghu_", "ghr_"].map(|prefix| CLASSIC.replace("ghs_", prefix));
        let mut rows: Vec<(&str, &str)> = vec![
            (JWT, "eyJ"),
            (unsigned, "eyJ"),
            (JWT.get(..60).unwrap(), "eyJ"),
            (CLASSIC, "ghs_"),
            (&newer, "ghs_"),
            (other_shape, "ghs_"),
            (cut, "ghs_"),
            (FINE_GRAINED, "github_pat_"),
        ];
        rows.extend(classics.iter().map(|token| (token.as_str(), token.get(..4).unwrap())));
        for (secret, prefix) in rows {
            assert_eq!(redact(secret), marked(secret, prefix));
            for (before, behind) in [("", " "), ("x: ", "\n"), ("Bearer ", ","), ("/", "/"), ("=", "&a=b")] {
                let text = format!("{before}{secret}{behind}");
                assert_eq!(redact(&text), format!("{before}{}{behind}", marked(secret, prefix)));
            }
            let line = json!({ "a": format!("\n{secret}\n"), "b": [secret, 1] }).to_string();
            let clean =
                json!({ "a": format!("\n{}\n", marked(secret, prefix)), "b": [marked(secret, prefix), 1] });
            assert_eq!(serde_json::from_str::<Value>(&redact(&line)).unwrap(), clean);
        }
    }

    #[test]
    fn private_keys_are_masked_whole_raw_and_in_json() {
        let key = |text: &str| mark(text.strip_prefix(PEM_BEGIN).unwrap());
        assert_eq!(redact(&format!("a {KEY}\nb")), format!("a -----BEGIN {}\nb", key(KEY)));
        let line = json!({ "a": format!("{KEY}\n{KEY}"), "b": "c" }).to_string();
        let escaped = KEY.replace('\n', "\\n");
        let marked = format!("-----BEGIN {}", key(&escaped));
        let clean = json!({ "a": format!("{marked}\n{marked}"), "b": "c" });
        assert_eq!(redact(&line), clean.to_string());
        // A key that is cut off ends with the string, also if the text is itself JSON in a string.
        let cut = KEY.split("\n-----END").next().unwrap();
        let inner = json!({ "key": cut, "b": "c" }).to_string();
        for line in [inner.clone(), json!({ "body": inner, "d": "e" }).to_string(), json!([cut]).to_string()]
        {
            let clean = redact(&line);
            assert!(!clean.contains("MIIE"), "{clean}");
            let read: Value = serde_json::from_str(&clean).unwrap();
            if let Some(body) = read.get("body").and_then(Value::as_str) {
                assert_eq!(serde_json::from_str::<Value>(body).unwrap()["b"], "c");
            }
        }
        assert_eq!(redact(cut), marked_until_the_end(cut));
        for label in [
            "PRIVATE KEY",
            "EC PRIVATE KEY",
            "OPENSSH PRIVATE KEY",
            "ENCRYPTED PRIVATE KEY",
            "PGP PRIVATE KEY BLOCK",
        ] {
            let key = KEY.replace("RSA PRIVATE KEY", label);
            assert!(!redact(&key).contains("MIIE"), "{label}");
        }
    }

    /// Found by fuzzing: `-----END ` need not be followed by a label, and the string may end there.
    #[test]
    fn an_end_without_a_label_does_not_swallow_the_end_of_the_string() {
        let key = KEY.strip_suffix("RSA PRIVATE KEY-----").unwrap();
        let line = json!({ "a": key, "b": "-----", "c": 1 }).to_string();
        let read: Value = serde_json::from_str(&redact(&line)).unwrap();
        assert_eq!((&read["b"], &read["c"]), (&json!("-----"), &json!(1)));
        assert!(!redact(&line).contains("MIIE"));
    }

    fn marked_until_the_end(cut: &str) -> String {
        format!("-----BEGIN {}", mark(cut.strip_prefix(PEM_BEGIN).unwrap()))
    }

    /// Texts in log lines that look a little like secrets.
    const HARMLESS: &[&str] = &[
        "repo:acme/app:ref:refs/heads/main",
        "https://token.actions.githubusercontent.com",
        "system:serviceaccount:default:eyJ-controller",
        "https://eyJ.example.com/path",
        "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9",
        "ghp_import",
        "acme/ghs_tools-for-everybody-and-nobody-else",
        "refs/heads/highs_and_lows_of_something_rather_long",
        "refs/heads/laughs_withoutanyseparatorwhatever",
        "github_pat_rotation_and_removal_job",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkq\n-----END PUBLIC KEY-----",
        "BEGIN RSA PRIVATE KEY",
        "-----BEGIN RSA PRIVATE KEY",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
        "v1/policy/https%3A%2F%2Fapi.github.com/4711/acme/app/deploy",
        "{\"subject_pattern\":\"a|b\"}",
        "ghs_",
        "eyJ",
        "eyJ..",
        "é\u{1f600}",
        "\\",
        "\u{1e}",
    ];

    #[test]
    fn what_only_looks_like_one_is_left_alone() {
        for text in HARMLESS {
            assert!(matches!(redact(text), Cow::Borrowed(same) if same == *text), "{text}");
        }
    }

    fn secret() -> impl Strategy<Value = String> {
        prop_oneof![
            "eyJ[A-Za-z0-9_-]{17,60}\\.[A-Za-z0-9_-]{2,80}\\.[A-Za-z0-9_-]{86}",
            "gh[pousr]_[A-Za-z0-9]{36}",
            "ghs_[0-9]{1,8}_eyJ[A-Za-z0-9_-]{20,60}\\.[A-Za-z0-9_-]{2,80}\\.[A-Za-z0-9_-]{86}",
            "github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
            "[A-Za-z0-9+/]{64}".prop_map(|body| {
                format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
            }),
        ]
    }

    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![any::<String>(), select(HARMLESS).prop_map(str::to_owned), "[a-zA-Z0-9_.\\\\\"-]{0,12}"]
    }

    proptest! {
        #[test]
        fn any_secret_in_any_text_is_gone(before in piece(), secret in secret(), behind in piece()) {
            let text = format!("{before}{secret}{behind}");
            let hidden = hidden(&secret);
            prop_assert!(!redact(&text).contains(hidden), "{}", redact(&text));
            let line = json!({ "message": text, "b": behind }).to_string();
            let clean = redact(&line).into_owned();
            prop_assert!(!clean.contains(hidden), "{}", clean);
            let read: Value = serde_json::from_str(&clean).unwrap();
            prop_assert_eq!(read.as_object().map(|members| members.len()), Some(2));
        }

        #[test]
        fn a_text_without_a_secret_is_not_touched(pieces in prop::collection::vec(select(HARMLESS), 0..12)) {
            let text = pieces.join(" ");
            prop_assert!(matches!(redact(&text), Cow::Borrowed(same) if same == text), "{}", redact(&text));
            let line = json!({ "message": text }).to_string();
            prop_assert!(matches!(redact(&line), Cow::Borrowed(same) if same == line), "{}", redact(&line));
        }

        #[test]
        fn json_stays_json_and_what_is_clean_stays_so(text in prop::collection::vec(prop_oneof![piece(), secret()], 0..6)) {
            let line = json!({ "a": text.concat(), "b": text }).to_string();
            let clean = redact(&line).into_owned();
            let read: Value = serde_json::from_str(&clean).unwrap();
            prop_assert_eq!(read["b"].as_array().map(Vec::len), Some(text.len()));
            prop_assert_eq!(redact(&clean), clean.as_str());
        }
    }
}
