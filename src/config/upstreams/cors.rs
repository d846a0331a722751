//! What a page in a browser may do (Fetch standard, CORS protocol). The answer is the setting's, never the request's,
//! and credentials mode is never allowed.

use http::HeaderName;

/// What a page may always send.
const ALWAYS: [&str; 3] = ["authorization", "x-api-key", "content-type"];

/// Our headers, which a page may read.
const EXPOSED: &str =
    "X-Octo-Sts-Request-Id, X-Octo-Sts-Remaining, X-Octo-Sts-Error, X-Request-Id, Retry-After";

/// How long a browser may keep a preflight's answer, in seconds.
const MAX_AGE: &str = "600";

/// The member `cors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// One origin, or `*`.
    origin: String,
    headers: Vec<HeaderName>,
}

impl Cors {
    /// Whether a text is one origin or `*`.
    #[must_use]
    pub fn is_origin(text: &str) -> bool {
        if text == "*" {
            return true;
        }
        let Some(authority) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
            return false;
        };
        (1..=255).contains(&authority.len())
            && authority.bytes().all(|byte| {
                byte.is_ascii_lowercase()
                    || byte.is_ascii_digit()
                    || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
            })
    }

    /// `origin` was checked by [`Cors::is_origin`].
    #[must_use]
    pub const fn new(origin: String, headers: Vec<HeaderName>) -> Self {
        Self { origin, headers }
    }

    /// The headers of every answer to a request from `origin`. For another origin, or none, only `Vary`.
    #[must_use]
    pub fn answer(&self, origin: Option<&str>) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if self.is_allowed(origin) {
            headers.push(("access-control-allow-origin", self.origin.clone()));
            headers.push(("access-control-expose-headers", EXPOSED.to_owned()));
        }
        headers.push(("vary", "Origin".to_owned()));
        headers
    }

    /// The headers of the answer to a preflight. `methods` are the upstream's; if all are allowed, it is the requested
    /// one.
    #[must_use]
    pub fn preflight(
        &self,
        origin: Option<&str>,
        asked: &str,
        methods: Option<&[String]>,
    ) -> Vec<(&'static str, String)> {
        let mut headers = self.answer(origin);
        if self.is_allowed(origin) {
            let methods = match methods {
                Some(methods) => methods.join(", "),
                None if is_method(asked) => asked.to_owned(),
                None => "GET, HEAD, POST, PUT, PATCH, DELETE".to_owned(),
            };
            let named = ALWAYS.into_iter().chain(self.headers.iter().map(HeaderName::as_str));
            headers.push(("access-control-allow-methods", methods));
            headers.push(("access-control-allow-headers", named.collect::<Vec<_>>().join(", ")));
            headers.push(("access-control-max-age", MAX_AGE.to_owned()));
        }
        headers
    }

    fn is_allowed(&self, origin: Option<&str>) -> bool {
        origin.is_some_and(|origin| self.origin == "*" || self.origin == origin)
    }
}

/// If every method is allowed, a page may use the one that it asks for.
fn is_method(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(headers: &[(&'static str, String)]) -> Vec<&'static str> {
        headers.iter().map(|(name, _)| *name).collect()
    }

    #[test]
    fn an_origin_is_one_or_any() {
        for text in ["*", "https://example.com", "http://localhost:3000", "https://[::1]"] {
            assert!(Cors::is_origin(text), "{text}");
        }
        for text in [
            "",
            "null",
            "https://",
            "https://example.com/",
            "https://a.com, https://b.com",
            "HTTPS://a.com",
            "https://A.com",
        ] {
            assert!(!Cors::is_origin(text), "{text}");
        }
    }

    #[test]
    fn the_setting_is_told_and_never_the_request() {
        let cors = Cors::new("https://example.com".to_owned(), vec![HeaderName::from_static("x-more")]);
        let allowed = cors.answer(Some("https://example.com"));
        assert_eq!(names(&allowed), ["access-control-allow-origin", "access-control-expose-headers", "vary"]);
        assert_eq!(allowed[0].1, "https://example.com");
        let own = "X-Octo-Sts-Request-Id, X-Octo-Sts-Remaining, X-Octo-Sts-Error, X-Request-Id, Retry-After";
        assert_eq!(allowed[1].1, own);
        for other in [None, Some("https://evil.example.com"), Some("null"), Some("*")] {
            assert_eq!(names(&cors.answer(other)), ["vary"], "{other:?}");
            assert_eq!(names(&cors.preflight(other, "POST", None)), ["vary"], "{other:?}");
        }
        let any = Cors::new("*".to_owned(), Vec::new());
        assert_eq!(any.answer(Some("https://anyone.example.com"))[0].1, "*");
        assert_eq!(names(&any.answer(None)), ["vary"]);
    }

    #[test]
    fn a_preflight_says_what_may_be_sent() {
        let cors = Cors::new("https://example.com".to_owned(), vec![HeaderName::from_static("x-more")]);
        let of = |asked, methods: Option<&[String]>| {
            let headers = cors.preflight(Some("https://example.com"), asked, methods);
            headers.into_iter().skip(3).map(|(_, value)| value).collect::<Vec<_>>()
        };
        let sent = "authorization, x-api-key, content-type, x-more";
        assert_eq!(of("PATCH", None), ["PATCH", sent, "600"]);
        assert_eq!(of("x\r\ny", None), ["GET, HEAD, POST, PUT, PATCH, DELETE", sent, "600"]);
        assert_eq!(of("PATCH", Some(&["GET".to_owned(), "POST".to_owned()])), ["GET, POST", sent, "600"]);
    }
}
