//! `/.well-known/…`: documents made when the isolate started, or the reason why one is missing.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Response, StatusCode};

use crate::api::App;
use crate::api::answer::with_bytes;
use crate::api::readiness::DOCUMENTATION;
use crate::issuer::Metadata;
use crate::problem::Problem;

/// What is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Document {
    /// OpenID Connect Discovery 1.0.
    OpenIdConfiguration,
    /// RFC 7517.
    KeySet,
    /// RFC 8414.
    AuthorizationServer,
}

/// A document. If it is missing because the service is not an issuer, it is like any unknown path, whatever the method.
#[inline(never)] // An exchange does not compile it.
pub(super) fn answer(
    document: Document,
    taken: Result<(), Problem>,
    app: &App,
) -> Result<Response<Bytes>, Problem> {
    // Without a domain there is nothing to publish, and an operator should see why.
    let domain = app.service.config.domain.as_ref()?;
    let metadata = app.metadata.get_or_init(|| {
        let keys = app.service.config.issuer.as_ref().ok().and_then(Option::as_deref);
        Metadata::new(domain, DOCUMENTATION, keys)
    });
    let document = match document {
        Document::OpenIdConfiguration => keyed(metadata.openid_configuration.as_ref(), app)?,
        Document::KeySet => keyed(metadata.jwks.as_ref(), app)?,
        Document::AuthorizationServer => &metadata.authorization_server,
    };
    taken?;
    let mut response = with_bytes(StatusCode::OK, document.clone());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    Ok(response)
}

/// A document that needs the signing key.
fn keyed<'a>(document: Option<&'a Bytes>, app: &App) -> Result<&'a Bytes, Problem> {
    app.service.config.issuer.as_ref()?;
    document.ok_or(Problem::NotFound)
}
