//! The use cases. [`exchange`] is the order of checks, numbered as in docs/architecture.md; the other files are its steps.

mod audit;
mod exchange;
mod forget;
mod organization;
mod parameters;
mod policy_file;
mod revoke;
mod service;
mod session;
mod token_endpoint;
mod token_request;

pub use audit::{Event, EventKind};
pub use exchange::{Granted, exchange};
pub(crate) use organization::PATH as TRUSTED_ISSUERS_PATH;
pub use parameters::MAX_BODY;
pub(crate) use parameters::form_decoded;
pub use revoke::revoke;
pub(crate) use service::Remembered;
pub use service::Service;
pub use session::SessionToken;
pub use token_endpoint::{Issued, token};
pub(crate) use token_request::{ACCESS_TOKEN, JWT};
