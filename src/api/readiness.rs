//! The routes for operators: what this is, whether it is alive, whether it is configured.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::api::answer::with_status;
use crate::config::Config;

/// Where the service is explained.
pub(super) const DOCUMENTATION: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "#readme");

/// `/`
#[inline(never)] // An exchange does not compile it.
pub(super) fn about() -> Value {
    json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "documentation": DOCUMENTATION,
    })
}

/// `/healthz`: the answer itself is the whole information.
pub(super) fn health() -> Value {
    json!({ "status": "ok" })
}

/// The limits that are on. This is a header, because the protocol fixes the body to the byte. Without any bound limit,
/// there is no header.
static X_OCTO_STS_LIMITS: HeaderName = HeaderName::from_static("x-octo-sts-limits");

/// `/readyz`: the names of settings and a fixed word for why, never a value. Unready only if the exchange lacks one.
#[inline(never)] // An exchange does not compile it.
pub(super) fn readiness(config: &Config) -> Response<Bytes> {
    let (status, text) = match &config.exchange {
        Ok(_) => (StatusCode::OK, "ready"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "unready"),
    };
    let mut body = json!({ "status": text, "missing": config.missing, "malformed": config.malformed });
    if !config.reasons.is_empty()
        && let Some(members) = body.as_object_mut()
    {
        members.insert("reasons".to_owned(), json!(config.reasons));
    }
    let mut response = with_status(status, &body);
    if !config.rate_limits.is_empty()
        && let Ok(names) = HeaderValue::try_from(config.rate_limits.join(", "))
    {
        response.headers_mut().insert(&X_OCTO_STS_LIMITS, names);
    }
    response
}
