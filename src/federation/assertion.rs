//! Assertions: what this service says of itself or of a caller to an upstream. Who signs them is not known here.

use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use crate::secret::Secret;

/// Makes assertions, each of its own.
pub trait Assertions {
    /// A signed JWT of this service's about a subject, for one audience, that lives so long from now.
    fn assertion<'a>(
        &'a self,
        subject: &'a str,
        audience: &'a str,
        lifetime: Duration,
    ) -> LocalBoxFuture<'a, Result<Secret, AssertionFailure>>;
}

/// There is no assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssertionFailure {
    /// The subject has more than 255 characters.
    SubjectTooLong,
    /// The platform refuses to sign with the key, or there is none.
    NotSigned,
}
