//! The addresses of servers that a command is given.

use http::Uri;
use http::uri::{Authority, Scheme};

/// The scheme and the authority of an address that has no path, query or user: of HTTPS, or of plain HTTP on this machine.
pub(crate) fn origin(text: &str) -> Option<(Scheme, Authority)> {
    let uri: Uri = text.trim_end_matches('/').parse().ok()?;
    let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    let parts = uri.into_parts();
    let (scheme, authority) = (parts.scheme?, parts.authority?);
    let is_here = matches!(authority.host(), "localhost" | "127.0.0.1");
    let is_taken = scheme == Scheme::HTTPS || (scheme == Scheme::HTTP && is_here);
    (is_taken && is_bare && !authority.as_str().contains('@')).then_some((scheme, authority))
}
