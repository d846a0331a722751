//! The credential of a request: exactly one `Authorization` header with the scheme `Bearer` (RFC 6750, 2.1). What the
//! credential is, only its reader knows.

use std::fmt;

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Why there is no credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BearerError {
    /// No header.
    Missing,
    /// More headers than one.
    Several,
    /// Not ASCII.
    NotAscii,
    /// Another scheme.
    Scheme,
    /// Nothing behind the scheme.
    Empty,
    /// Longer than so many bytes.
    TooLong(usize),
    /// White space or a comma in it.
    Separator,
}

impl fmt::Display for BearerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the `authorization` header is missing",
            Self::Several => "there is more than one `authorization` header",
            Self::NotAscii => "the `authorization` header is not ascii text",
            Self::Scheme => "the `authorization` header does not use the scheme `bearer`",
            Self::Empty => "the bearer token is empty",
            Self::TooLong(most) => return write!(f, "the bearer token is longer than {most} bytes"),
            Self::Separator => "the bearer token contains white space or a comma",
        })
    }
}

impl std::error::Error for BearerError {}

/// The credential of a request, of at most `longest` bytes: text without white space or comma.
///
/// ```
/// use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
/// use octo_sts_verifier::oidc::bearer::{BearerError, credential};
/// let mut headers = HeaderMap::new();
/// assert_eq!(credential(&headers, 16_384), Err(BearerError::Missing));
/// headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer eyJ.eyJ.c2ln"));
/// assert_eq!(credential(&headers, 16_384), Ok("eyJ.eyJ.c2ln"));
/// ```
///
/// # Errors
/// [`BearerError`]
pub fn credential(headers: &HeaderMap, longest: usize) -> Result<&str, BearerError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(BearerError::Missing)?;
    if values.next().is_some() {
        return Err(BearerError::Several);
    }
    credential_of(value.to_str().map_err(|_| BearerError::NotAscii)?, longest)
}

/// The credential of one `Authorization` header.
///
/// # Errors
/// [`BearerError`]
pub fn credential_of(authorization: &str, longest: usize) -> Result<&str, BearerError> {
    if !authorization.is_ascii() {
        return Err(BearerError::NotAscii);
    }
    let (scheme, credential) = authorization.split_once(' ').unwrap_or((authorization, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(BearerError::Scheme);
    }
    plain(credential, longest)
}

/// A credential that stands in a header by itself.
///
/// # Errors
/// [`BearerError`]
pub fn plain(credential: &str, longest: usize) -> Result<&str, BearerError> {
    if credential.is_empty() {
        return Err(BearerError::Empty);
    }
    if credential.len() > longest {
        return Err(BearerError::TooLong(longest));
    }
    // Proxies and runtimes join repeated headers with a comma.
    if has_separator(credential.as_bytes()) {
        return Err(BearerError::Separator);
    }
    Ok(credential)
}

fn has_separator(text: &[u8]) -> bool {
    let is_separator = |byte: &u8| *byte == b',' || byte.is_ascii_whitespace();
    let (eights, rest) = text.as_chunks();
    let mut suspects = eights.iter().filter(|eight| may_separate(u64::from_le_bytes(**eight)));
    suspects.any(|eight| eight.iter().any(is_separator)) || rest.iter().any(is_separator)
}

/// Whether one of eight bytes is a comma, or at most a space. A token has two thousand bytes and none of these.
const fn may_separate(eight: u64) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    let commas = eight ^ (0x2c * ONES);
    let below = eight.wrapping_sub(0x21 * ONES) & !eight;
    (below | (commas.wrapping_sub(ONES) & !commas)) & (ONES << 7) != 0
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const LONGEST: usize = 64;

    fn read(values: &[&str]) -> Result<String, BearerError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        credential(&headers, LONGEST).map(str::to_owned)
    }

    #[test]
    fn one_header_with_one_credential() {
        let longest = "x".repeat(LONGEST);
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
        use BearerError::{Empty, Missing, NotAscii, Scheme, Separator, Several, TooLong};
        let too_long = format!("Bearer {},", "x".repeat(LONGEST));
        let cases: [(&[&str], BearerError); 16] = [
            (&[], Missing),
            (&[""], Scheme),
            (&["Bearer"], Empty),
            (&["Bearer "], Empty),
            (&["bearer\tabc"], Scheme),
            (&["Basic YTpi"], Scheme),
            (&["token abc"], Scheme),
            (&["abc"], Scheme),
            (&["Bearer  abc"], Separator),
            (&["Bearer a b"], Separator),
            (&["Bearer a,b"], Separator),
            (&["Bearer a, Bearer b"], Separator),
            (&["Bearer a", "Bearer a"], Several),
            (&["Bearer ü"], NotAscii),
            (&["Bearerabc"], Scheme),
            (&[&too_long], TooLong(LONGEST)),
        ];
        for (values, error) in cases {
            assert_eq!(read(values), Err(error), "{values:?}");
        }
    }

    #[test]
    fn a_separator_is_found_wherever_it_is() {
        for length in 0..34 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'-'; length];
                    text[at] = byte;
                    let expected = byte == b',' || byte.is_ascii_whitespace();
                    assert_eq!(has_separator(&text), expected, "{text:?}");
                }
            }
        }
    }

    #[test]
    fn every_error_is_one_line() {
        use BearerError::{Empty, Missing, NotAscii, Scheme, Separator, Several, TooLong};
        let errors = [Missing, Several, NotAscii, Scheme, Empty, TooLong(16_384), Separator];
        assert_eq!(
            errors.map(|error| error.to_string()),
            [
                "the `authorization` header is missing",
                "there is more than one `authorization` header",
                "the `authorization` header is not ascii text",
                "the `authorization` header does not use the scheme `bearer`",
                "the bearer token is empty",
                "the bearer token is longer than 16384 bytes",
                "the bearer token contains white space or a comma",
            ]
        );
    }
}
