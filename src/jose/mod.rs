//! JSON Object Signing and Encryption, as far as an OIDC relying party needs it: strict JSON, compact JWS (RFC 7515),
//! the closed set of algorithms (RFC 7518, RFC 8037), JWK sets (RFC 7517) and the choice of a key.

pub mod json;
