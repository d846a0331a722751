//! GitHub's REST API as values: each call is built, sent and read in one place, and every way it can fail is a variant
//! of [`Failure`]. A request for a token can be built only from a [`crate::policy::Grant`] or as one of the fixed kinds
//! in [`mint`].

mod answer;
mod app_jwt;
mod base_url;
mod contents;
mod installation;
pub mod mint;
mod private_key;
mod request;
mod revoke;

pub use answer::Failure;
pub use app_jwt::{AppIdentity, AppJwtError};
pub use base_url::{BaseUrl, BaseUrlError, is_loopback};
pub use contents::{File, read_file};
pub use installation::{
    Installation, installation_of_organization, installation_of_repository, installation_of_user,
};
pub use private_key::{PrivateKeyError, parse_private_key};
pub use request::Call;
pub use revoke::revoke;
