//! The credential of a request: exactly one `Authorization` header with scheme `Bearer` (RFC 6750, 2.1). A token in the
//! URL or the body is never read.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::problem::Problem;

/// Longer credentials are refused before anything reads them.
const MAX_CREDENTIAL: usize = 16 * 1024;

/// The credential: any text without white space or comma. Only its consumer knows its grammar.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let refuse = |text: &str| Err(Problem::InvalidToken(text.to_owned()));
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return refuse("the `authorization` header is missing");
    };
    if values.next().is_some() {
        return refuse("there is more than one `authorization` header");
    }
    let Ok(text) = value.to_str() else {
        return refuse("the `authorization` header is not ascii text");
    };
    credential_of(text)
}

/// The credential of one `Authorization` header.
pub(crate) fn credential_of(authorization: &str) -> Result<&str, Problem> {
    let refuse = |text: &str| Err(Problem::InvalidToken(text.to_owned()));
    if !authorization.is_ascii() {
        return refuse("the `authorization` header is not ascii text");
    }
    let (scheme, credential) = authorization.split_once(' ').unwrap_or((authorization, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return refuse("the `authorization` header does not use the scheme `bearer`");
    }
    plain(credential)
}

/// A credential in a header of its own.
pub(crate) fn plain(credential: &str) -> Result<&str, Problem> {
    let refuse = |text: &str| Err(Problem::InvalidToken(text.to_owned()));
    if credential.is_empty() {
        return refuse("the bearer token is empty");
    }
    if credential.len() > MAX_CREDENTIAL {
        return refuse("the bearer token is longer than 16384 bytes");
    }
    // Proxies and runtimes join repeated headers with a comma.
    if credential.bytes().any(|b| b == b',' || b.is_ascii_whitespace()) {
        return refuse("the bearer token contains white space or a comma");
    }
    Ok(credential)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Result<String, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        bearer(&headers).map(str::to_owned)
    }

    #[test]
    fn one_header_with_one_credential() {
        let longest = "x".repeat(MAX_CREDENTIAL);
        for (value, credential) in [
            ("Bearer abc", "abc"),
            ("bearer abc", "abc"),
            ("BEARER a.b.c", "a.b.c"),
            (&*format!("Bearer {longest}"), &*longest),
        ] {
            assert_eq!(read(&[value]).as_deref(), Ok(credential));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let too_long = format!("Bearer {}", "x".repeat(MAX_CREDENTIAL + 1));
        let cases: [&[&str]; 16] = [
            &[],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["bearer\tabc"],
            &["Basic YTpi"],
            &["token abc"],
            &["abc"],
            &["Bearer  abc"],
            &["Bearer a b"],
            &["Bearer a,b"],
            &["Bearer a, Bearer b"],
            &["Bearer a", "Bearer a"],
            &["Bearer ü"],
            &["Bearerabc"],
            &[&too_long],
        ];
        for values in cases {
            assert!(matches!(read(values), Err(Problem::InvalidToken(_))), "{values:?}");
        }
    }
}
