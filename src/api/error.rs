//! The one body for all errors, and the only place that knows status codes. Readable by the Go service's clients (`code`,
//! `message`, `details`) and by OAuth clients (`error`, `error_description`; RFC 6749, 5.2).

use bytes::Bytes;
use http::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde_json::json;

use crate::api::answer::with_status;
use crate::problem::Problem;

/// A problem's answer.
#[inline(never)] // A grant does not compile it.
pub(super) fn response(problem: &Problem, request_id: &str) -> Response<Bytes> {
    let (status, code) = status_and_code(problem);
    let message = problem.message();
    let mut response = with_status(
        status,
        &json!({
            "error": problem.code(),
            "error_description": message,
            "code": code,
            "message": message,
            "details": [],
            "request_id": request_id,
        }),
    );
    if let Some((name, value)) = header(problem) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// The HTTP status, and gRPC's code as the Go service's gateway sends it.
/// <https://grpc.io/docs/guides/status-codes/>
const fn status_and_code(problem: &Problem) -> (StatusCode, u8) {
    match problem {
        Problem::InvalidRequest(_)
        | Problem::UnsupportedGrantType
        | Problem::InvalidTarget(_)
        | Problem::InvalidScope(_) => (StatusCode::BAD_REQUEST, 3),
        Problem::InvalidGrant(_) => (StatusCode::BAD_REQUEST, 16),
        Problem::NotConfigured(_) => (StatusCode::NOT_IMPLEMENTED, 12),
        Problem::PayloadTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, 3),
        Problem::UnsupportedMediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, 3),
        Problem::InvalidToken(_) => (StatusCode::UNAUTHORIZED, 16),
        Problem::PermissionDenied(_) => (StatusCode::FORBIDDEN, 7),
        Problem::PolicyNotFound(_) | Problem::InstallationNotFound(_) | Problem::NotFound => {
            (StatusCode::NOT_FOUND, 5)
        }
        Problem::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, 12),
        Problem::BudgetExhausted(_) => (StatusCode::FORBIDDEN, 7),
        Problem::NotImplemented(_) => (StatusCode::NOT_IMPLEMENTED, 12),
        Problem::RateLimited(..) => (StatusCode::TOO_MANY_REQUESTS, 8),
        Problem::Upstream(_) => (StatusCode::BAD_GATEWAY, 13),
        Problem::Unavailable(..) => (StatusCode::SERVICE_UNAVAILABLE, 14),
        Problem::Misconfigured(_) | Problem::Internal => (StatusCode::INTERNAL_SERVER_ERROR, 13),
    }
}

fn header(problem: &Problem) -> Option<(HeaderName, HeaderValue)> {
    match problem {
        Problem::InvalidToken(_) => {
            Some((WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer error="invalid_token""#)))
        }
        Problem::MethodNotAllowed(allowed) => Some((ALLOW, HeaderValue::from_static(allowed))),
        // Rounded up: a caller that comes back a moment early is refused again.
        Problem::RateLimited(_, after) | Problem::Unavailable(_, after) => Some((
            RETRY_AFTER,
            HeaderValue::from(after.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(3600_u64)),
        )),
        Problem::InvalidRequest(_)
        | Problem::UnsupportedGrantType
        | Problem::InvalidTarget(_)
        | Problem::InvalidScope(_)
        | Problem::InvalidGrant(_)
        | Problem::NotConfigured(_)
        | Problem::PayloadTooLarge(_)
        | Problem::UnsupportedMediaType(_)
        | Problem::PermissionDenied(_)
        | Problem::PolicyNotFound(_)
        | Problem::InstallationNotFound(_)
        | Problem::NotFound
        | Problem::BudgetExhausted(_)
        | Problem::NotImplemented(_)
        | Problem::Upstream(_)
        | Problem::Misconfigured(_)
        | Problem::Internal => None,
    }
}
