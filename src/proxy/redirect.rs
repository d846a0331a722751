//! Where the `Location` of a 3xx may lead. SDKs follow a redirect with the caller's token in `x-api-key`, so a redirect
//! to anywhere but the upstream would leak it. Anything that two readers could interpret differently counts as
//! elsewhere.

use std::borrow::Cow;

use super::route::is_dot_segment;
use crate::config::Address;

/// Longer than any address that clients follow.
const MAX_LOCATION: usize = 8 * 1024;

/// Where a `Location` leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// Under the upstream's `url`: the proxy's path that leads there.
    Within(String),
    /// Anywhere else: the host for the log, if there is one.
    Elsewhere(String),
}

/// Reads a `Location`, relative to the requested path under `url`.
#[must_use]
pub(super) fn follow(location: &str, upstream: &str, url: &Address, asked: &str) -> Location {
    match path_within(location, url, asked) {
        Some(path) => Location::Within(format!("/proxy/{upstream}{path}")),
        None => Location::Elsewhere(host(location)),
    }
}

/// What follows the upstream's prefix, with query and fragment.
fn path_within(location: &str, url: &Address, asked: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    if location.len() > MAX_LOCATION || !location.bytes().all(is_plain) {
        return None;
    }
    let rest = &*on_the_origin(location, url.origin())?;
    let ends = rest.find(['?', '#']).unwrap_or(rest.len());
    let (path, behind) = rest.split_at_checked(ends)?;
    let asked = format!("{}{asked}", url.path());
    let path = match (path, behind) {
        ("", "") => return None,
        ("", behind) if behind.starts_with('?') || behind.starts_with('#') => asked,
        (path, _) if path.starts_with('/') => path.to_owned(),
        (path, _) => format!("{}/{path}", asked.rsplit_once('/').map_or("", |(folder, _)| folder)),
    };
    let path = without_dot_segments(&path);
    let within = path.strip_prefix(url.path())?;
    (within.is_empty() || within.starts_with('/')).then(|| format!("{within}{behind}"))
}

/// What follows the origin; the location itself if it names no origin.
fn on_the_origin<'a>(location: &'a str, origin: &str) -> Option<Cow<'a, str>> {
    let (scheme, _) = origin.split_once("://")?;
    let authority = if let Some(rest) = location.strip_prefix("//") {
        rest
    } else {
        let first = location.find([':', '/', '?', '#']);
        match first.and_then(|at| location.split_at_checked(at)) {
            Some((named, rest)) if rest.starts_with(':') => {
                let rest = rest.strip_prefix("://")?;
                named.eq_ignore_ascii_case(scheme).then_some(rest)?
            }
            Some(_) | None => return Some(location.into()),
        }
    };
    let (authority, rest) =
        authority.split_at_checked(authority.find(['/', '?', '#']).unwrap_or(authority.len()))?;
    let (_, own) = origin.split_once("://")?;
    let same = same_authority(authority, own, if scheme == "https" { ":443" } else { ":80" });
    // An authority without a path has the root.
    same.then(|| if rest.starts_with('/') { rest.into() } else { format!("/{rest}").into() })
}

fn same_authority(one: &str, other: &str, default_port: &str) -> bool {
    let bare = |authority: &str| {
        let lower = authority.to_ascii_lowercase();
        lower.strip_suffix(default_port).map(str::to_owned).unwrap_or(lower)
    };
    bare(one) == bare(other)
}

/// RFC 3986, 5.2.4, and whatever else URL parsers treat as dots.
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        if !is_dot_segment(segment) {
            kept.push(segment);
            continue;
        }
        if segment.len() > 3 || segment == ".." {
            // Two dots, each of which may be encoded; an encoded dot has three characters.
            kept.pop();
        }
        if segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

fn host(location: &str) -> String {
    let authority = location.split_once("//").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.chars().take(255).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> Address {
        Address::parse(text, "sts.example.com", false).unwrap()
    }

    #[test]
    fn under_the_url_it_is_a_path_of_the_proxy() {
        let (root, prefix) = (url("https://api.example.com"), url("https://api.example.com/v1"));
        for (address, location, path) in [
            (&root, "https://api.example.com/a/b?c#d", "/a/b?c#d"),
            (&root, "HTTPS://API.example.com:443/a", "/a"),
            (&root, "//api.example.com/a", "/a"),
            (&root, "https://api.example.com", "/"),
            (&root, "https://api.example.com?a", "/?a"),
            (&root, "/a", "/a"),
            (&root, "/a//b:c", "/a//b:c"),
            (&root, "b", "/asked/b"),
            (&root, "./b", "/asked/b"),
            (&root, "../b", "/b"),
            (&root, "%2E%2e/b/.", "/b/"),
            (&root, "../../../b", "/b"),
            (&root, "?b=../c", "/asked/for?b=../c"),
            (&prefix, "https://api.example.com/v1/a", "/a"),
            (&prefix, "/v1", ""),
            (&prefix, "/v1?a", "?a"),
            (&prefix, "b", "/asked/b"),
            (&prefix, "/v1/./a", "/a"),
        ] {
            let expected = Location::Within(format!("/proxy/example{path}"));
            assert_eq!(follow(location, "example", address, "/asked/for"), expected, "{location}");
        }
    }

    #[test]
    fn anywhere_else_it_is_left_out() {
        let (root, prefix) = (url("https://api.example.com"), url("https://api.example.com/v1"));
        for (address, location, host) in [
            (&root, "https://evil.example.com/a", "evil.example.com"),
            (&root, "https://api.example.com.evil.example/a", "api.example.com.evil.example"),
            (&root, "https://api.example.com@evil.example/a", "evil.example"),
            (&root, "https://user@api.example.com/a", "api.example.com"),
            (&root, "https://api.example.com:8443/a", "api.example.com:8443"),
            (&root, "http://api.example.com/a", "api.example.com"),
            (&root, "https:/a", ""),
            (&root, "https:a", ""),
            (&root, "javascript:alert(1)", ""),
            (&root, "/\\evil.example", ""),
            (&root, "\\\\evil.example/a", ""),
            (&root, "//evil.example/a", "evil.example"),
            (&root, "/ a", ""),
            (&root, "/ä", ""),
            (&root, "", ""),
            (&prefix, "/v2/a", ""),
            (&prefix, "/v1x", ""),
            (&prefix, "/", ""),
            (&prefix, "../../a", ""),
            (&prefix, "/v1/../v2", ""),
            (&prefix, "/v1/%2e%2E/v2", ""),
        ] {
            let expected = Location::Elsewhere(host.to_owned());
            assert_eq!(follow(location, "example", address, "/asked/for"), expected, "{location}");
        }
    }

    proptest! {
        #[test]
        fn what_is_within_stays_within(location in "[/.a%2eE?#:\\\\@-]{0,24}") {
            if let Location::Within(path) = follow(&location, "example", &url("https://api.example.com/v1"), "/a/b") {
                let path = path.split(['?', '#']).next().unwrap();
                prop_assert!(path == "/proxy/example" || path.starts_with("/proxy/example/"), "{path}");
                prop_assert!(!path.split('/').any(is_dot_segment), "{path}");
            }
        }
    }
}
