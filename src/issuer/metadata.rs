//! Documents for relying parties and clients. Made once per isolate, so an answer costs no request, KV read or
//! signature.
//!
//! OpenID Connect Discovery 1.0, section 3; RFC 8414, section 2; RFC 7517, section 5.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::issuer::KeyRing;

/// RFC 8693, section 2.1.
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The documents, as they are sent.
pub struct Metadata {
    /// `/.well-known/openid-configuration`; absent without a key.
    pub openid_configuration: Option<Bytes>,
    /// `/.well-known/jwks.json`; absent without a key.
    pub jwks: Option<Bytes>,
    /// `/.well-known/oauth-authorization-server`
    pub authorization_server: Bytes,
}

impl Metadata {
    /// For the issuer `https://{domain}`.
    #[must_use]
    pub fn new(domain: &str, documentation: &str, keys: Option<&KeyRing>) -> Self {
        let issuer = format!("https://{domain}");
        let jwks_uri = format!("{issuer}/.well-known/jwks.json");
        let token_endpoint = format!("{issuer}/sts/token");
        let mut server = json!({
            "issuer": issuer,
            "token_endpoint": token_endpoint,
            "grant_types_supported": [TOKEN_EXCHANGE],
            "token_endpoint_auth_methods_supported": ["none"],
            "response_types_supported": [],
            "service_documentation": documentation,
        });
        if let (Some(_), Some(members)) = (keys, server.as_object_mut()) {
            members.insert("jwks_uri".to_owned(), jwks_uri.as_str().into());
        }
        let openid = || {
            json!({
                "issuer": issuer,
                "jwks_uri": jwks_uri,
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid"],
                "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nbf", "jti"],
                "token_endpoint": token_endpoint,
                "grant_types_supported": [TOKEN_EXCHANGE],
                "token_endpoint_auth_methods_supported": ["none"],
            })
        };
        let text = |document: Value| Bytes::from(document.to_string());
        Self {
            openid_configuration: keys.map(|_| text(openid())),
            jwks: keys.map(|keys| text(json!({ "keys": keys.published() }))),
            authorization_server: text(server),
        }
    }
}
