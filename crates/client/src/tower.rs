//! A layer for any `tower` service: requests with an accepted token pass, with [`crate::VerifiedClaims`] in their
//! extensions; others are answered here.
//!
//! ```
//! use octo_sts::{Verifier, tower::RequireToken};
//! use tower::ServiceBuilder;
//!
//! # fn main() -> Result<(), octo_sts::BuildError> {
//! let verifier = Verifier::builder()
//!     .issuer("https://token.actions.githubusercontent.com")
//!     .audience("api.example.com")
//!     .build()?;
//! let service = ServiceBuilder::new().layer(RequireToken::new(verifier)).service_fn(
//!     |request: http::Request<String>| async move {
//!         let who = request.extensions().get::<octo_sts::VerifiedClaims>().map(|token| token.claims().subject().to_owned());
//!         Ok::<_, std::convert::Infallible>(http::Response::new(who.unwrap_or_default()))
//!     },
//! );
//! # fn is_service<S: tower::Service<http::Request<String>>>(_: S) {}
//! # is_service(service);
//! # Ok(())
//! # }
//! ```

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::answer::answer;
use crate::verifier::{VerifiedBy, Verifier};

/// Passes on requests with an accepted token.
#[derive(Debug, Clone)]
pub struct RequireToken {
    verifier: Verifier,
}

impl RequireToken {
    /// A layer with this verifier.
    #[must_use]
    pub const fn new(verifier: Verifier) -> Self {
        Self { verifier }
    }
}

impl<S> Layer<S> for RequireToken {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, verifier: self.verifier.clone() }
    }
}

/// A service behind [`RequireToken`].
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    inner: S,
    verifier: Verifier,
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The instance that reported ready is the one to call; its clone waits for the next request.
        let waiting = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, waiting);
        let verifier = self.verifier.clone();
        Box::pin(async move {
            match verifier.verify_headers(request.headers()).await {
                Ok(verified) => {
                    request.extensions_mut().insert(verified);
                    request.extensions_mut().insert(VerifiedBy(verifier));
                    ready.call(request).await
                }
                Err(refusal) => Ok(answer(&refusal)),
            }
        })
    }
}
