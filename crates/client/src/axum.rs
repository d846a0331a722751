//! An extractor for axum: a handler with [`Verified`] runs only for requests with an accepted token.
//!
//! ```
//! use octo_sts::Verifier;
//! use octo_sts::axum::Verified;
//!
//! async fn deploy(Verified(token): Verified) -> String {
//!     format!("hello, {}", token.claims().subject())
//! }
//!
//! # fn main() -> Result<(), octo_sts::BuildError> {
//! let verifier = Verifier::builder()
//!     .issuer("https://token.actions.githubusercontent.com")
//!     .audience("api.example.com")
//!     .build()?;
//! let app: axum::Router = axum::Router::new().route("/deploy", axum::routing::post(deploy)).with_state(verifier);
//! # Ok(())
//! # }
//! ```
//!
//! The [`Verifier`] is the router's state, or a part of it (`FromRef`).

use axum_core::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::VerifiedClaims;
use crate::answer::answer;
use crate::github::GitHubClaims;
use crate::refusal::Refusal;
use crate::verifier::{VerifiedBy, Verifier};

/// The claims of an accepted token. Without one, the answer is 401 with `WWW-Authenticate`. It is 403 if no rule of
/// `allow` admits the token, and 503 if the issuer cannot be reached. `Option<Verified>` admits requests without any
/// `Authorization` header as `None`; a bad token is still refused.
#[derive(Debug, Clone)]
pub struct Verified(pub VerifiedClaims);

/// Like [`Verified`], with GitHub's claims as typed fields.
#[derive(Debug, Clone)]
pub struct VerifiedGitHub(pub GitHubClaims);

impl<S> FromRequestParts<S> for Verified
where
    S: Send + Sync,
    Verifier: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let verifier = Verifier::from_ref(state);
        // A layer in front may have verified it already. What another verifier accepted says nothing here: it may be for
        // another audience, or have no rules.
        let is_verified = parts.extensions.get::<VerifiedBy>().is_some_and(|by| by.0.is(&verifier));
        match parts.extensions.get::<VerifiedClaims>().filter(|_| is_verified) {
            Some(verified) => Ok(Self(verified.clone())),
            None => verifier.verify_headers(&parts.headers).await.map(Self),
        }
    }
}

impl<S> OptionalFromRequestParts<S> for Verified
where
    S: Send + Sync,
    Verifier: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Refusal> {
        if !parts.headers.contains_key(AUTHORIZATION) {
            return Ok(None);
        }
        <Self as FromRequestParts<S>>::from_request_parts(parts, state).await.map(Some)
    }
}

impl<S> FromRequestParts<S> for VerifiedGitHub
where
    S: Send + Sync,
    Verifier: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Verified(verified) = <Verified as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        Ok(Self(GitHubClaims::from(&verified)))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        answer(&self)
    }
}
