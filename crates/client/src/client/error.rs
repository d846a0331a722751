//! Why there is no token.

use std::fmt;
use std::time::Duration;

/// Why there is no answer, or a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// This process does not run in a job that may request an OIDC token; the name is the missing variable.
    NotInAJob(&'static str),
    /// An invalid argument; the text says which.
    Input(String),
    /// No answer: not reachable, or not in time. Whether the request arrived is not known.
    NoAnswer,
    /// The answer is a refusal.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The service's `error`, such as `permission_denied`; empty if the answer has none.
        error: String,
        /// The service's `message`, on one line; empty if the answer has none.
        message: String,
        /// The id by which the operator finds the event; empty if the answer has none.
        request_id: String,
        /// When to try again, if the answer says so.
        retry_after: Option<Duration>,
    },
    /// A successful status with an unexpected body.
    Unreadable,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInAJob(variable) => write!(
                f,
                "`{variable}` is not set: this is not a github actions job, or its workflow lacks `permissions: id-token: write`"
            ),
            Self::Input(why) => f.write_str(why),
            Self::NoAnswer => f.write_str("the server did not answer"),
            Self::Refused { status, error, message, request_id, .. } => {
                if message.is_empty() {
                    write!(f, "the server answered with the status {status}")?;
                } else {
                    write!(f, "{message} (status {status}, `{error}`)")?;
                }
                if request_id.is_empty() { Ok(()) } else { write!(f, ", request {request_id}") }
            }
            Self::Unreadable => f.write_str("the server's answer does not have the expected form"),
        }
    }
}

impl std::error::Error for ClientError {}
