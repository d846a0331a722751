//! HTTP as this crate uses it: one blocking request on a separate thread. The default is the machine's network; a
//! server with its own outbound path, or a test, can provide another.

use std::sync::OnceLock;

use futures_util::FutureExt as _;
use futures_util::future::{self, LocalBoxFuture};
use octo_sts_native::NativeFetch;
use octo_sts_verifier::ports::{Fetch, FetchError, Inbound, Outbound};

/// Sends one request and waits for the answer. Never called on a thread of an async runtime.
///
/// ```
/// use octo_sts::{FetchError, Inbound, NativeTransport, Outbound, Transport, Verifier};
///
/// /// The machine's network, and a line for each request.
/// struct Noted(NativeTransport);
///
/// impl Transport for Noted {
///     fn send(&self, outbound: Outbound) -> Result<Inbound, FetchError> {
///         println!("asking {}", outbound.request.uri());
///         self.0.send(outbound)
///     }
/// }
///
/// let verifier = Verifier::builder()
///     .issuer("https://token.actions.githubusercontent.com")
///     .audience("api.example.com")
///     .transport(Noted(NativeTransport::default()))
///     .build()?;
/// # Ok::<(), octo_sts::BuildError>(())
/// ```
pub trait Transport: Send + Sync {
    /// Sends; never retries, never follows a redirect, and respects the limits of the [`Outbound`].
    ///
    /// # Errors
    /// If there is no answer.
    fn send(&self, outbound: Outbound) -> Result<Inbound, FetchError>;
}

/// The machine's network, with the certificates that the machine trusts and the proxies of `HTTPS_PROXY` and
/// `NO_PROXY`.
#[derive(Debug, Default)]
pub struct NativeTransport {
    /// Created with the first request, because reading the machine's certificates takes a few milliseconds.
    fetch: OnceLock<NativeFetch>,
}

impl Transport for NativeTransport {
    fn send(&self, outbound: Outbound) -> Result<Inbound, FetchError> {
        let fetch = self.fetch.get_or_init(NativeFetch::new);
        // It blocks and is then ready.
        fetch.send(outbound).now_or_never().unwrap_or(Err(FetchError::Network))
    }
}

/// A [`Transport`] as the verifier's port, whose futures stay on their thread.
pub(crate) struct OnThisThread<'a>(pub(crate) &'a dyn Transport);

impl Fetch for OnThisThread<'_> {
    fn send(&self, outbound: Outbound) -> LocalBoxFuture<'_, Result<Inbound, FetchError>> {
        future::ready(self.0.send(outbound)).boxed_local()
    }
}
