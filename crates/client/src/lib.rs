#![doc = include_str!("../README.md")]

#[cfg(any(feature = "axum", feature = "tower"))]
mod answer;
mod flight;
mod issuer_keys;
mod refusal;
mod transport;
mod verifier;

pub mod github;

#[cfg(feature = "allow")]
pub mod allow;
#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "tower")]
pub mod tower;

#[cfg(feature = "client")]
pub use client::actions;
pub use octo_sts_verifier::oidc::{Claims, VerifiedClaims};
pub use octo_sts_verifier::ports::{BodyError, FetchError, Inbound, Outbound};
pub use octo_sts_verifier::secret::Secret;
pub use refusal::{Failure, Refusal};
pub use transport::{NativeTransport, Transport};
pub use verifier::{BuildError, Verifier, VerifierBuilder};

/// The server that the documentation has a newcomer copy: compiled with the other examples.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../../../docs/libraries.md")]
struct Documentation;
