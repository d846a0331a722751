//! Steps 1 and 11: which upstream, and whether everything behind us reads the target in the same way.
//!
//! `request.url` is the unchanged target, except for plain dot segments, which the runtime has already resolved. If the
//! runtime would rewrite the target for the outgoing request, it is refused here; otherwise the upstream would see a
//! different path than the one that was checked. The list was tested against the runtime, character by character.

use crate::config::is_upstream_name;
use crate::problem::Problem;

/// Where the proxy begins.
const PROXY: &str = "/proxy/";

/// A path of the proxy, unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// The upstream's name, well-formed.
    pub(super) name: &'a str,
    /// What follows it, up to the query: empty, or with a leading slash.
    pub(super) path: &'a str,
    /// The query with its `?`, or nothing.
    pub(super) query: &'a str,
}

/// Whether an address is below the proxy.
#[must_use]
pub fn is_proxied(url: &str) -> bool {
    behind(url).is_some()
}

fn behind(url: &str) -> Option<&str> {
    let (_scheme, rest) = url.split_once("://")?;
    let path = rest.get(rest.find(['/', '?', '#'])?..)?;
    path.strip_prefix(PROXY)
}

impl<'a> Target<'a> {
    /// Splits an address below the proxy; `None` if no upstream can have this name.
    #[must_use]
    pub(super) fn of(url: &'a str) -> Option<Self> {
        let rest = behind(url)?;
        let (name, rest) = rest.split_at_checked(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()))?;
        let (path, query) = rest.split_at_checked(rest.find('?').unwrap_or(rest.len()))?;
        is_upstream_name(name).then_some(Self { name, path, query })
    }

    /// Step 1: the runtime would not rewrite it.
    ///
    /// # Errors
    /// [`Problem::InvalidRequest`]
    pub(super) fn check_spelling(&self) -> Result<(), Problem> {
        let refuse = |what: &str| Err(Problem::InvalidRequest(format!("the target has {what}")));
        let is_odd = |byte: u8| !(0x20..0x7f).contains(&byte) || matches!(byte, b'\\' | b'#');
        if self.path.bytes().chain(self.query.bytes()).any(is_odd) {
            return refuse("a `\\`, a `#`, or a character that must be percent-encoded");
        }
        if self.path.bytes().any(|byte| b" \"<>`{}^".contains(&byte)) {
            return refuse("a character in its path that must be percent-encoded");
        }
        if self.query.bytes().any(|byte| b" \"<>".contains(&byte)) {
            return refuse("a character in its query that must be percent-encoded");
        }
        if self.path.split('/').any(is_dot_segment) {
            return refuse("a dot segment");
        }
        Ok(())
    }

    /// Step 11: if paths matter, nothing that a server behind us might read as a different path.
    ///
    /// # Errors
    /// [`Problem::InvalidRequest`]
    pub(super) fn check_path(&self) -> Result<(), Problem> {
        let refuse = |what: &str| Err(Problem::InvalidRequest(format!("the path has {what}")));
        let is_ambiguous = |encoded: &str| {
            let digits = encoded.get(..2).unwrap_or_default();
            ["2f", "5c", "2e", "25"].iter().any(|ambiguous| digits.eq_ignore_ascii_case(ambiguous))
        };
        if self.path.split('%').skip(1).any(is_ambiguous) {
            return refuse("an encoded `/`, `\\`, `.` or `%`");
        }
        if self.path.contains("//") {
            return refuse("an empty segment");
        }
        if self.path.split('/').any(|segment| segment.starts_with("..;")) {
            return refuse("a segment that begins with `..;`");
        }
        Ok(())
    }
}

/// `.` and `..` in every spelling that the runtime resolves.
pub(super) fn is_dot_segment(segment: &str) -> bool {
    without_dot(segment).is_some_and(|rest| rest.is_empty() || without_dot(rest) == Some(""))
}

/// What follows a dot, in either spelling.
fn without_dot(text: &str) -> Option<&str> {
    match text.split_at_checked(3) {
        Some((encoded, rest)) if encoded.eq_ignore_ascii_case("%2e") => Some(rest),
        _ => text.strip_prefix('.'),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(rest: &str) -> Option<(String, String, String)> {
        let url = format!("https://sts.example.com{rest}");
        Target::of(&url).map(|Target { name, path, query }| (name.into(), path.into(), query.into()))
    }

    fn spelling(rest: &str) -> bool {
        Target::of(&format!("https://sts.example.com/proxy/a{rest}")).unwrap().check_spelling().is_ok()
    }

    fn path(rest: &str) -> bool {
        Target::of(&format!("https://sts.example.com/proxy/a{rest}")).unwrap().check_path().is_ok()
    }

    #[test]
    fn a_target_is_taken_apart_as_it_came() {
        for (rest, parts) in [
            ("/proxy/a", Some(("a", "", ""))),
            ("/proxy/a?b=/c", Some(("a", "", "?b=/c"))),
            ("/proxy/a/", Some(("a", "/", ""))),
            ("/proxy/a/v1//b/?c?d", Some(("a", "/v1//b/", "?c?d"))),
            ("/proxy/a/?", Some(("a", "/", "?"))),
            ("/proxy/a#b", Some(("a", "#b", ""))),
            ("/proxy/a\\b", Some(("a", "\\b", ""))),
            ("/proxy/", None),
            ("/proxy//a", None),
            ("/proxy/A/b", None),
            ("/proxy/%61/b", None),
            ("/proxy", None),
            ("/x/proxy/a", None),
            ("?/proxy/a", None),
        ] {
            let parts = parts.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
            assert_eq!(target(rest), parts, "{rest}");
        }
        assert!(is_proxied("https://sts.example.com/proxy/"));
        for url in
            ["https://sts.example.com/proxy", "https://sts.example.com?/proxy/a", "https://sts.example.com"]
        {
            assert!(!is_proxied(url), "{url}");
        }
    }

    #[test]
    fn what_the_runtime_would_write_differently_is_refused() {
        for rest in [
            "/%2e",
            "/%2E%2e/b",
            "/.%2e",
            "/b/%2e.",
            "/..",
            "/b/./c",
            "/b\\c",
            "/b#c",
            "?b#",
            "/\u{1}",
            "/\u{7f}",
            "/ü",
            "?ü",
            "/\"",
            "/<",
            "/>",
            "/`",
            "/{",
            "/}",
            "/^",
            "?\"",
            "?<",
            "?>",
            "?b\\",
            "/a b",
            "?a b",
            "?\u{1}",
            "?\u{7f}",
        ] {
            assert!(!spelling(rest), "{rest}");
        }
        for rest in [
            "",
            "/",
            "//",
            "/%2F",
            "/%5c",
            "/%zz",
            "/%00",
            "/|",
            "/[]",
            "/'",
            "?",
            "??",
            "?a&&b",
            "?`{}^|'",
            "/...",
            "/%2e%2e%2e",
            "/a.b",
            "?/../",
            "/..;/b",
        ] {
            assert!(spelling(rest), "{rest}");
        }
    }

    #[test]
    fn where_paths_matter_nothing_ambiguous_goes_through() {
        for rest in ["/b%2Fc", "/b%5cc", "/%2e%2e%2e", "/%252e", "//b", "/b//c", "/b//", "/..;/b", "/b/..;x"]
        {
            assert!(!path(rest), "{rest}");
        }
        for rest in ["", "/", "/b/", "/b;c/d", "/%20", "/b..;", "/v1/messages?b=%2f//"] {
            assert!(path(rest), "{rest}");
        }
    }

    proptest! {
        #[test]
        fn a_dot_segment_is_one_after_decoding(segment in "[.%2eEa]{0,8}") {
            let decoded = segment.to_ascii_lowercase().replace("%2e", ".");
            prop_assert_eq!(is_dot_segment(&segment), decoded == "." || decoded == "..");
        }

        #[test]
        fn what_is_encoded_twice_over_is_ambiguous(rest in "[%25cCfFeE/é]{0,8}") {
            let lower = rest.to_ascii_lowercase();
            let is_ambiguous = ["%2f", "%5c", "%2e", "%25"].iter().any(|encoded| lower.contains(encoded));
            prop_assert_eq!(path(&format!("/{rest}")), !is_ambiguous && !format!("/{rest}").contains("//"));
        }

        #[test]
        fn any_target_gets_an_answer(rest in ".{0,60}") {
            let url = format!("https://sts.example.com/proxy/a{rest}");
            if let Some(target) = Target::of(&url) {
                let _verdicts = (target.check_spelling(), target.check_path());
                prop_assert_eq!(format!("{}{}{}", target.name, target.path, target.query), format!("a{rest}"));
            }
        }
    }
}
