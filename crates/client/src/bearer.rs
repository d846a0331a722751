//! The credential of a request: exactly one `Authorization` header with the scheme `Bearer` (RFC 6750, 2.1).

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::refusal::Failure;

/// The credential: text without white space or comma. The verifier decides what it is.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Failure> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Err(Failure::NoCredential) };
    if values.next().is_some() {
        return Err(Failure::BadCredential("there is more than one `authorization` header"));
    }
    let text =
        value.to_str().map_err(|_| Failure::BadCredential("the `authorization` header is not ascii text"))?;
    let (scheme, credential) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Failure::BadCredential("the `authorization` header does not use the scheme `bearer`"));
    }
    if credential.is_empty() {
        return Err(Failure::BadCredential("the bearer token is empty"));
    }
    // Proxies and runtimes join repeated headers with a comma.
    if credential.bytes().any(|b| b == b',' || b.is_ascii_whitespace()) {
        return Err(Failure::BadCredential("the bearer token contains white space or a comma"));
    }
    Ok(credential)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn one_header_with_one_credential() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(read(&["Bearer abc"]).as_deref(), Ok("abc"));
        assert_eq!(read(&["bearer a.b"]).as_deref(), Ok("a.b"));
        assert_eq!(read(&[]), Err(Failure::NoCredential));
        for bad in [
            &["Bearer"][..],
            &["Bearer "],
            &["Basic YTpi"],
            &["Bearer  a"],
            &["Bearer a,b"],
            &["Bearer a", "Bearer a"],
        ] {
            assert!(matches!(read(bad), Err(Failure::BadCredential(_))), "{bad:?}");
        }
    }
}
