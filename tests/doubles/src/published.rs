//! An issuer as others see it: two documents.

use http::Uri;
use octo_sts_verifier::ports::Inbound;
use serde_json::json;

use crate::sent::inbound;

/// The end of a discovery document's path.
pub const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Whether an address is one of a discovery document.
#[must_use]
pub fn is_discovery(address: &Uri) -> bool {
    address.path().ends_with(DISCOVERY)
}

/// A discovery document, with the key set under `/jwks`.
#[must_use]
pub fn discovery(issuer: &str) -> String {
    json!({ "issuer": issuer, "jwks_uri": format!("{}/jwks", issuer.trim_end_matches('/')) }).to_string()
}

/// What an issuer publishes.
#[derive(Debug, Clone)]
pub struct Published {
    /// As tokens name it.
    pub issuer: String,
    /// Its key set.
    pub keys: String,
}

impl Published {
    /// The document at an address.
    #[must_use]
    pub fn document(&self, address: &Uri) -> Inbound {
        inbound(200, if is_discovery(address) { discovery(&self.issuer) } else { self.keys.clone() })
    }
}

#[cfg(feature = "client")]
impl octo_sts::Transport for Published {
    fn send(&self, outbound: octo_sts::Outbound) -> Result<Inbound, octo_sts::FetchError> {
        Ok(self.document(outbound.request.uri()))
    }
}
