//! The forms of an answer, and the headers that each one has.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, Response, StatusCode};
use serde_json::{Value, json as value};

use crate::api::error;
use crate::context::Context;
use crate::problem::Problem;
use crate::sts::{ACCESS_TOKEN, Granted, Issued, JWT, SessionToken};
use crate::webhook::Outcome;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_OCTO_STS_POLICY: HeaderName = HeaderName::from_static("x-octo-sts-policy");

/// Nothing below this path may be stored by anyone.
pub(super) const STS: &str = "/sts/";

/// A 200 with a JSON body.
pub(super) fn json(body: &Value) -> Response<Bytes> {
    with_status(StatusCode::OK, body)
}

/// A JSON body with a status.
pub(super) fn with_status(status: StatusCode, body: &Value) -> Response<Bytes> {
    with_bytes(status, Bytes::from(body.to_string()))
}

/// A JSON body that is already serialized.
pub(super) fn with_bytes(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The minted token (RFC 6749, 5.1, and what the Go service's clients read).
pub(super) fn granted(granted: &Granted, context: &Context) -> Response<Bytes> {
    let members = value!({
        "token": granted.token.expose(),
        "access_token": granted.token.expose(),
        "token_type": "bearer",
    });
    installation_token(members, granted, context)
}

/// What the token endpoint issues (RFC 8693, 2.2.1).
#[inline(never)] // An exchange does not compile it.
pub(super) fn issued_token(issued: &Issued, context: &Context) -> Response<Bytes> {
    match issued {
        Issued::Installation { granted, identity } => {
            let permissions = granted.permissions.iter().map(|(name, level)| format!(" {name}:{level}"));
            let members = value!({
                "access_token": granted.token.expose(),
                "issued_token_type": ACCESS_TOKEN,
                "token_type": "Bearer",
                "scope": format!("{identity}{}", permissions.collect::<String>()),
            });
            installation_token(members, granted, context)
        }
        Issued::Session(SessionToken { token, expires_in }) => json(&value!({
            "access_token": token.expose(),
            "issued_token_type": JWT,
            "token_type": "Bearer",
            "expires_in": expires_in.as_secs(),
        })),
    }
}

/// What both endpoints report about an installation token, in addition to their own members.
fn installation_token(mut body: Value, granted: &Granted, context: &Context) -> Response<Bytes> {
    if let Some(members) = body.as_object_mut() {
        members.insert("expires_in".to_owned(), granted.expires_in.as_secs().into());
        members.insert("expires_at".to_owned(), granted.expires_at.as_str().into());
        members.insert("permissions".to_owned(), value!(granted.permissions));
        members.insert("request_id".to_owned(), (&*context.request_id).into());
        if let Some(repositories) = &granted.repositories {
            members.insert("repositories".to_owned(), value!(repositories));
        }
    }
    let mut response = json(&body);
    let revision = format!("{}; age={}", granted.policy_sha, granted.policy_age.as_secs());
    if let Ok(revision) = HeaderValue::try_from(revision) {
        response.headers_mut().insert(X_OCTO_STS_POLICY, revision);
    }
    response
}

/// 204: there is no body.
pub(super) fn revoked() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The outcome of a delivery: 202 if the service ignores it, otherwise 200.
#[inline(never)] // An exchange does not compile it.
pub(super) fn delivered(outcome: &Outcome) -> Response<Bytes> {
    let code = outcome.code();
    match outcome {
        Outcome::Ignored(reason) => {
            with_status(StatusCode::ACCEPTED, &value!({ "status": code, "reason": reason }))
        }
        Outcome::Validated { conclusion, files } => {
            json(&value!({ "status": code, "conclusion": conclusion, "files": files }))
        }
        Outcome::Unaffected | Outcome::Forgotten | Outcome::RateLimited => json(&value!({ "status": code })),
    }
}

/// Completes an answer, good or bad.
pub(super) fn answer(
    outcome: Result<Response<Bytes>, Problem>,
    method: &Method,
    path: &str,
    request_id: &str,
) -> Response<Bytes> {
    let mut response = outcome.unwrap_or_else(|problem| error::response(&problem, request_id));
    if method == Method::HEAD {
        *response.body_mut() = Bytes::new();
    }
    complete(&mut response, request_id);
    if path.starts_with(STS) {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// The headers of every answer of our own.
pub(super) fn complete(response: &mut Response<Bytes>, request_id: &str) {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(request_id) = HeaderValue::try_from(request_id) {
        headers.insert(X_REQUEST_ID, request_id);
    }
}
