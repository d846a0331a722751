//! The caller's credential, and what a request without a usable one is told. A token in the URL or the body is never read.

use http::HeaderMap;

use crate::oidc::bearer::{self, BearerError};
use crate::problem::Problem;

/// Longer credentials are refused before anything reads them.
const MAX_CREDENTIAL: usize = 16 * 1024;

/// The credential: any text without white space or comma. Only its consumer knows its grammar.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    bearer::credential(headers, MAX_CREDENTIAL).map_err(refused)
}

/// The credential of one `Authorization` header.
pub(crate) fn credential_of(authorization: &str) -> Result<&str, Problem> {
    bearer::credential_of(authorization, MAX_CREDENTIAL).map_err(refused)
}

/// A credential in a header of its own.
pub(crate) fn plain(credential: &str) -> Result<&str, Problem> {
    bearer::plain(credential, MAX_CREDENTIAL).map_err(refused)
}

fn refused(error: BearerError) -> Problem {
    Problem::InvalidToken(error.to_string())
}
