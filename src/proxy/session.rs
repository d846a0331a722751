//! Session tokens: what a job exchanged its OIDC token for, signed by this service itself.

use crate::context::Context;
use crate::oidc::{Claims, UnverifiedToken};
use crate::problem::Problem;
use crate::time::Timestamp;

use super::admission::Surroundings;

/// A session token that is verified.
pub(super) struct Session {
    /// The verified claims of the subject token.
    pub(super) source: Claims,
    /// The subject token's fingerprint: [`UnverifiedToken::fingerprint`].
    pub(super) subject_token: String,
    /// The session's own end.
    pub(super) expires_at: Timestamp,
}

/// Steps 3 to 7 for a token whose `iss` is this service.
///
/// # Errors
/// [`Problem::InvalidToken`]
#[expect(clippy::unused_async, reason = "a signature is verified by the platform")]
pub(super) async fn verify(
    _token: &UnverifiedToken,
    _upstream: &str,
    _surroundings: &Surroundings<'_>,
    _context: &Context,
) -> Result<Session, Problem> {
    Err(Problem::InvalidToken("this service has no key and issues no session tokens".to_owned()))
}
