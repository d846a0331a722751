//! Which headers are forwarded, in both directions, as lists of names. The platform edits its own headers with them, so
//! that values never pass through here. Names are in lower case.

use std::borrow::Cow;
use std::collections::BTreeSet;

/// Hop-by-hop headers (RFC 9110, 7.6.1), except for `Connection`, which names more of them.
const HOP_BY_HOP: [&str; 6] = ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// What the upstream must not see of a request: credentials of the caller's; `Host`, which would be ours; `Expect`,
/// because an interim answer would be mistaken for the answer; where the request came from; and headers that would
/// change the method or path after our checks.
const REQUEST: [&str; 12] = [
    "authorization",
    "x-api-key",
    "host",
    "expect",
    "cookie",
    "forwarded",
    "x-real-ip",
    "true-client-ip",
    "cdn-loop",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];
const REQUEST_FAMILIES: [&str; 5] = ["proxy-", "x-forwarded-", "cf-", "x-octo-sts-", "x-http-method"];

/// What a caller must not see of an answer: our own names, and headers that would apply to this service's whole domain.
const ANSWER: [&str; 3] = ["set-cookie", "alt-svc", "strict-transport-security"];
const ANSWER_FAMILIES: [&str; 3] = ["proxy-", "x-octo-sts-", "access-control-"];

/// The headers of a request that are not forwarded. `connection` is the value of that header, `credential` the header
/// that the upstream's credential goes into.
#[must_use]
pub(super) fn removed_of_request(
    names: Vec<String>,
    connection: Option<&str>,
    credential: &str,
) -> Vec<String> {
    let credential = hyphenated(credential);
    removed(names, connection, |name| name == credential || is_of(name, &REQUEST, &REQUEST_FAMILIES))
}

/// Servers that hand headers on as variables (CGI, WSGI) read `x_forwarded_for` as `x-forwarded-for`.
pub(super) fn hyphenated(name: &str) -> Cow<'_, str> {
    if name.contains('_') { Cow::Owned(name.replace('_', "-")) } else { Cow::Borrowed(name) }
}

/// The headers of an answer that are not forwarded.
#[must_use]
pub(super) fn removed_of_answer(names: Vec<String>, connection: Option<&str>) -> Vec<String> {
    removed(names, connection, |name| is_of(name, &ANSWER, &ANSWER_FAMILIES))
}

fn is_of(name: &str, names: &[&str], families: &[&str]) -> bool {
    names.contains(&name) || families.iter().any(|family| name.starts_with(family))
}

/// Linear in the headers and in what `Connection` names, but for a logarithm: a caller may send thousands of both.
fn removed(
    mut names: Vec<String>,
    connection: Option<&str>,
    is_unwanted: impl Fn(&str) -> bool,
) -> Vec<String> {
    let connection = connection.map(str::to_ascii_lowercase);
    let named: BTreeSet<&str> = connection.iter().flat_map(|list| list.split(',')).map(str::trim).collect();
    names.retain(|name| {
        let plain = hyphenated(name);
        HOP_BY_HOP.contains(&&*plain)
            || named.contains(name.as_str())
            || named.contains(&*plain)
            || is_unwanted(&plain)
    });
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_request_loses_what_is_not_for_the_upstream() {
        let goes = [
            "connection",
            "keep-alive",
            "proxy-authorization",
            "proxy-anything",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "expect",
            "host",
            "authorization",
            "x-api-key",
            "x-key",
            "cookie",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-anything",
            "x-real-ip",
            "true-client-ip",
            "cf-connecting-ip",
            "cf-anything",
            "cdn-loop",
            "x-octo-sts-anything",
            "x-http-method",
            "x-http-method-override",
            "x_http_method_override",
            "transfer_encoding",
            "x_secret",
            "x_forwarded_for",
            "x-api_key",
            "x_key",
            "x-method-override",
            "x-original-url",
            "x-rewrite-url",
            "x-secret",
            "x-other",
        ];
        let stays = [
            "accept",
            "accept-encoding",
            "content-type",
            "content-length",
            "user-agent",
            "origin",
            "anthropic-version",
            "x-stainless-lang",
            "x-http",
            "x_stainless_lang",
            "idempotency-key",
            "cache-control",
        ];
        let all = names(&[&goes[..], &stays[..]].concat());
        let removed = removed_of_request(all, Some("X-Secret , close,x-other"), "x-key");
        assert_eq!(removed, names(&goes));
    }

    #[test]
    fn an_answer_loses_what_is_not_for_the_caller() {
        let goes = [
            "connection",
            "keep-alive",
            "proxy-authenticate",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "x-octo-sts-error",
            "x-octo-sts-remaining",
            "set-cookie",
            "alt-svc",
            "strict-transport-security",
            "access-control-allow-origin",
            "access-control-anything",
            "x-named",
        ];
        let stays = [
            "content-type",
            "content-encoding",
            "content-length",
            "vary",
            "location",
            "retry-after",
            "x-request-id",
        ];
        let all = names(&[&goes[..], &stays[..]].concat());
        assert_eq!(removed_of_answer(all, Some("X-Named")), names(&goes));
    }

    /// Held against each other one by one these would take minutes.
    #[test]
    fn a_hundred_thousand_names_are_looked_for_among_as_many() {
        let sent: Vec<String> = (0..100_000).map(|n| format!("x-{n}")).collect();
        let connection: Vec<String> = (99_999..200_000).map(|n| format!("X-{n}")).collect();
        let removed = removed_of_request(sent, Some(&connection.join(",")), "authorization");
        assert_eq!(removed, ["x-99999"]);
    }
}
