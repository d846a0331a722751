//! Why a request fails. Texts are for the caller: one lower-case line without a period, with the failed rule and the
//! caller's own value, never a policy's value or an upstream body. Only `api` knows status codes.

use std::time::Duration;

use crate::config::Misconfigured;

/// Every way in which a request can fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Parameters, names or the body are wrong.
    InvalidRequest(String),
    /// The body is larger than this many bytes.
    PayloadTooLarge(usize),
    /// The body has a type that the route does not support.
    UnsupportedMediaType(&'static str),
    /// The token endpoint does not know the grant type (RFC 6749, 5.2).
    UnsupportedGrantType,
    /// The target of a token is malformed, or not one of ours (RFC 8693, 2.2.2).
    InvalidTarget(String),
    /// The requested identity or permissions are malformed (RFC 6749, 5.2).
    InvalidScope(String),
    /// The token endpoint's form of [`Problem::InvalidToken`].
    InvalidGrant(String),
    /// A feature that is off: the setting that turns it on.
    NotConfigured(&'static str),
    /// The bearer token is absent, malformed, expired, forged, or its issuer has no usable keys.
    InvalidToken(String),
    /// The policy, the organization or GitHub refuses.
    PermissionDenied(String),
    /// No readable, valid policy. There is one text for all of these.
    PolicyNotFound(String),
    /// The App is not installed there.
    InstallationNotFound(String),
    /// No such route.
    NotFound,
    /// No such method on this route; the methods that it supports.
    MethodNotAllowed(&'static str),
    /// All requests of the budget are used up. Not a rate limit, because clients would repeat the request.
    BudgetExhausted(String),
    /// The service does not support what the request asks for.
    NotImplemented(String),
    /// GitHub's rate limit, or one of ours.
    RateLimited(String, Duration),
    /// GitHub's answer cannot be read, or its token is wider than requested.
    Upstream(String),
    /// GitHub or an issuer did not answer. (KV failing is a miss, never this.)
    Unavailable(String, Duration),
    /// Settings are missing or malformed: their names.
    Misconfigured(Vec<&'static str>),
    /// Our fault.
    Internal,
}

impl Problem {
    /// The stable code: `error` in the answer, `outcome` in the audit event.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::PayloadTooLarge(_) => "payload_too_large",
            Self::UnsupportedMediaType(_) => "unsupported_media_type",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidTarget(_) => "invalid_target",
            Self::InvalidScope(_) => "invalid_scope",
            Self::InvalidGrant(_) => "invalid_grant",
            Self::NotConfigured(_) => "not_configured",
            Self::InvalidToken(_) => "invalid_token",
            Self::PermissionDenied(_) => "permission_denied",
            Self::PolicyNotFound(_) => "policy_not_found",
            Self::InstallationNotFound(_) => "installation_not_found",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::BudgetExhausted(_) => "budget_exhausted",
            Self::NotImplemented(_) => "not_implemented",
            Self::RateLimited(..) => "rate_limited",
            Self::Upstream(_) => "upstream_error",
            Self::Unavailable(..) => "unavailable",
            Self::Misconfigured(_) => "misconfigured",
            Self::Internal => "internal_error",
        }
    }

    /// Whether the request is at fault, and not the service, GitHub, an issuer or a limit.
    pub(crate) const fn is_the_callers(&self) -> bool {
        match self {
            Self::InvalidRequest(_)
            | Self::PayloadTooLarge(_)
            | Self::UnsupportedMediaType(_)
            | Self::UnsupportedGrantType
            | Self::InvalidTarget(_)
            | Self::InvalidScope(_)
            | Self::InvalidGrant(_)
            | Self::InvalidToken(_)
            | Self::PermissionDenied(_)
            | Self::PolicyNotFound(_)
            | Self::InstallationNotFound(_)
            | Self::NotFound
            | Self::MethodNotAllowed(_)
            | Self::NotImplemented(_) => true,
            // Whoever has a budget was already admitted, so this reveals nothing.
            Self::BudgetExhausted(_)
            | Self::RateLimited(..)
            | Self::Upstream(_)
            | Self::Unavailable(..)
            | Self::Misconfigured(_)
            | Self::NotConfigured(_)
            | Self::Internal => false,
        }
    }

    /// The text for the caller.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::InvalidRequest(text)
            | Self::InvalidTarget(text)
            | Self::InvalidScope(text)
            | Self::InvalidGrant(text)
            | Self::InvalidToken(text)
            | Self::PermissionDenied(text)
            | Self::PolicyNotFound(text)
            | Self::InstallationNotFound(text)
            | Self::BudgetExhausted(text)
            | Self::NotImplemented(text)
            | Self::RateLimited(text, _)
            | Self::Upstream(text)
            | Self::Unavailable(text, _) => text.clone(),
            Self::UnsupportedGrantType => {
                "parameter `grant_type` is not `urn:ietf:params:oauth:grant-type:token-exchange`".to_owned()
            }
            Self::NotConfigured(name) => format!("not available here: `{name}` is not set"),
            Self::PayloadTooLarge(cap) => format!("the body is larger than {cap} bytes"),
            Self::UnsupportedMediaType(expected) => format!("the body is not {expected}"),
            Self::NotFound => "no such path".to_owned(),
            Self::MethodNotAllowed(allowed) => format!("method not allowed, use `{allowed}`"),
            Self::Misconfigured(names) => {
                format!("the service is not configured: {}", quoted(names))
            }
            Self::Internal => "internal error".to_owned(),
        }
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl From<&Misconfigured> for Problem {
    fn from(Misconfigured(names): &Misconfigured) -> Self {
        Self::Misconfigured(names.clone())
    }
}
