//! The App's installation: for a repository, an organization or a user.
//! <https://docs.github.com/en/rest/apps/apps#get-a-repository-installation-for-the-authenticated-app>

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::github::{BaseUrl, Call, Failure};
use crate::json::{FromJson as _, read_members};
use crate::names::{Owner, Repository};
use crate::secret::Secret;

/// With 200 permissions and as many events an answer stays below 16 KiB.
const MAX_BODY: usize = 64 * 1024;

octo_sts_verifier::json_members! {
    /// The App's installation on an account.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Installation {
        /// The id to mint tokens with.
        pub id: u64 => take,
        /// Whose installation this is.
        pub account: Account => take,
        /// When it was suspended, if it is.
        pub suspended_at: Option<String> => take_optional,
        /// What the account granted the App.
        pub permissions: BTreeMap<String, String> => take_or_default,
    }
}

octo_sts_verifier::json_members! {
    /// An account as the installation names it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Account {
        /// The owner's name.
        pub login: String => take,
    }
}

/// `GET /repos/{owner}/{repo}/installation`
#[must_use]
pub fn installation_of_repository(
    base: &BaseUrl,
    owner: &Owner,
    repository: &Repository,
    app_jwt: &Secret,
) -> Call<Installation> {
    call(base, &format!("/repos/{owner}/{repository}/installation"), app_jwt)
}

/// `GET /orgs/{org}/installation`
#[must_use]
pub fn installation_of_organization(base: &BaseUrl, owner: &Owner, app_jwt: &Secret) -> Call<Installation> {
    call(base, &format!("/orgs/{owner}/installation"), app_jwt)
}

/// `GET /users/{username}/installation`
#[must_use]
pub fn installation_of_user(base: &BaseUrl, owner: &Owner, app_jwt: &Secret) -> Call<Installation> {
    call(base, &format!("/users/{owner}/installation"), app_jwt)
}

fn call(base: &BaseUrl, path: &str, app_jwt: &Secret) -> Call<Installation> {
    Call::new(base, Method::GET, path, app_jwt, None, MAX_BODY, read)
}

fn read(_: StatusCode, body: &Bytes) -> Result<Installation, Failure> {
    read_members(body, Installation::SHAPE).map_err(|_| Failure::Unreadable)
}
