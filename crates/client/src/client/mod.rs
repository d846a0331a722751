//! Gets the OIDC token of a job ([`actions`]), and exchanges it at the service ([`Sts`]).
//!
//! Each function has two forms: a future for any runtime (a separate thread does the work), and a blocking function
//! with `_blocking` in its name.
//!
//! ```no_run
//! # fn example() -> Result<(), octo_sts::client::ClientError> {
//! use octo_sts::actions;
//! use octo_sts::client::{Exchange, Sts};
//!
//! let sts = Sts::new("sts.example.com")?;
//! let oidc = actions::id_token_blocking("sts.example.com")?;
//! let token = sts.exchange_blocking(&Exchange::new("acme/app", "deploy").permission("contents", "read"), &oidc)?;
//! // … use `token.token.expose()` …
//! sts.revoke_blocking(&token.token)?;
//! # Ok(())
//! # }
//! ```

pub mod actions;
mod call;
mod error;
mod sts;

pub use error::ClientError;
pub use sts::{Exchange, GitHubToken, SessionToken, Sts};
