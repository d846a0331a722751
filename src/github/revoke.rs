//! Revoking an installation token, with itself.
//! <https://docs.github.com/en/rest/apps/installations#revoke-an-installation-access-token>

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::github::{BaseUrl, Call, Failure};
use crate::secret::Secret;

/// The answer has no body.
const MAX_BODY: usize = 16 * 1024;

/// `DELETE /installation/token`
#[must_use]
pub fn revoke(base: &BaseUrl, token: &Secret) -> Call<()> {
    Call::new(base, Method::DELETE, "/installation/token", token, None, MAX_BODY, read)
}

fn read(status: StatusCode, _: &Bytes) -> Result<(), Failure> {
    if status == StatusCode::NO_CONTENT { Ok(()) } else { Err(Failure::Unreadable) }
}
