//! Compact JWS (RFC 7515 section 7.1), parsed strictly and not trusted: what this module returns is well-formed, not
//! verified.

use std::fmt;

use serde_json::{Map, Value};

use super::{Algorithm, decode_base64url, decode_base64url_into};
use crate::json::{self, JsonError, Picked};

/// The longest token that is parsed. GitHub's are about 2 KiB; Workers accept at most 16 KiB in one header anyway.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Header members that change what is signed or how it is read: `crit` (RFC 7515 4.1.11), `b64` (RFC 7797), `zip` and
/// `enc` (RFC 7516). No issuer needs them, and ignoring them would change the signer's meaning.
const REFUSED_MEMBERS: [&str; 4] = ["crit", "b64", "zip", "enc"];

/// Why text is not a compact JWS that we accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwsError {
    /// Longer than 16 KiB.
    TooLong,
    /// Not exactly three parts.
    Parts,
    /// The header is not strict base64url.
    HeaderEncoding,
    /// The payload is not strict base64url.
    PayloadEncoding,
    /// The signature is empty or not strict base64url.
    SignatureEncoding,
    /// The header is not a strict JSON object.
    Header(JsonError),
    /// The payload is not a strict JSON object.
    Payload(JsonError),
    /// `alg` is missing, not a string, or not in the closed set.
    Algorithm,
    /// The header has a member that changes the meaning of the rest.
    HeaderMember(&'static str),
    /// `typ` is neither `JWT` nor `at+jwt`.
    Type,
    /// `kid` is not a string.
    KeyId,
}

impl JwsError {
    /// A stable name without any value.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "token_too_long",
            Self::Parts => "token_parts",
            Self::HeaderEncoding => "header_encoding",
            Self::PayloadEncoding => "claims_encoding",
            Self::SignatureEncoding => "signature_encoding",
            Self::Header(_) => "header_json",
            Self::Payload(_) => "claims_json",
            Self::Algorithm => "algorithm",
            Self::HeaderMember(_) => "header_member",
            Self::Type => "header_type",
            Self::KeyId => "header_kid",
        }
    }
}

impl fmt::Display for JwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the token is longer than 16384 bytes"),
            Self::Parts => f.write_str("the token does not have exactly three parts"),
            Self::HeaderEncoding => f.write_str("the token's header is not strict base64url"),
            Self::PayloadEncoding => f.write_str("the token's claims are not strict base64url"),
            Self::SignatureEncoding => f.write_str("the token's signature is empty or not strict base64url"),
            Self::Header(why) => write!(f, "the token's header is {why}"),
            Self::Payload(why) => write!(f, "the token's claims are {why}"),
            Self::Algorithm => {
                f.write_str("the token's `alg` is not one of ")?;
                for (index, algorithm) in Algorithm::ALL.into_iter().enumerate() {
                    write!(f, "{}`{}`", if index == 0 { "" } else { ", " }, algorithm.name())?;
                }
                Ok(())
            }
            Self::HeaderMember(name) => write!(f, "the token's header has the unsupported member `{name}`"),
            Self::Type => f.write_str("the token's `typ` is neither `JWT` nor `at+jwt`"),
            Self::KeyId => f.write_str("the token's `kid` is not a string"),
        }
    }
}

impl std::error::Error for JwsError {}

/// Whether the header's `typ` is one that is asked for.
type IsType<'a> = &'a dyn Fn(Option<&Picked<'_>>) -> bool;

/// The header members that we use. `jwk`, `jku`, `x5u` and `x5c` are ignored and never fetched: a token cannot supply
/// its own key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    algorithm: Algorithm,
    key_id: Option<String>,
}

impl Header {
    /// What the token claims to be signed with.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Which of the issuer's keys, if the token says so.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    fn decode(encoded: &str, is_type: IsType<'_>) -> Result<Self, JwsError> {
        // Those of nearly all issuers fit; the others get memory of their own.
        let mut place = [0; 192];
        match decode_base64url_into(encoded, &mut place) {
            Some(bytes) => Self::parse(bytes, is_type),
            None => Self::parse(&decode_base64url(encoded).ok_or(JwsError::HeaderEncoding)?, is_type),
        }
    }

    fn parse(bytes: &[u8], is_type: IsType<'_>) -> Result<Self, JwsError> {
        let [crit, b64, zip, enc] = REFUSED_MEMBERS;
        let names = [crit, b64, zip, enc, "alg", "typ", "kid"];
        let [crit, b64, zip, enc, algorithm, typ, key_id] =
            json::pick(bytes, names).map_err(JwsError::Header)?;
        if let Some((_, name)) =
            [crit, b64, zip, enc].iter().zip(REFUSED_MEMBERS).find(|(it, _)| it.is_some())
        {
            return Err(JwsError::HeaderMember(name));
        }
        let algorithm = algorithm
            .as_ref()
            .and_then(Picked::as_text)
            .and_then(|name| name.parse().ok())
            .ok_or(JwsError::Algorithm)?;
        if !is_type(typ.as_ref()) {
            return Err(JwsError::Type);
        }
        let key_id = match key_id {
            None => None,
            Some(Picked::Text(kid)) => Some(kid.into_owned()),
            Some(_) => return Err(JwsError::KeyId),
        };
        Ok(Self { algorithm, key_id })
    }
}

/// A parsed token. Its `Debug` shows neither the claims nor the signature.
///
/// ```
/// use octo_sts_verifier::jose::{Algorithm, CompactJws};
/// // {"alg":"RS256"}.{"iss":"https://example.com","exp":1}
/// let jws = CompactJws::parse("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2V4YW1wbGUuY29tIiwiZXhwIjoxfQ.AAAA")?;
/// assert_eq!(jws.header().algorithm(), Algorithm::Rs256);
/// assert_eq!(jws.payload()["iss"], "https://example.com");
/// # Ok::<(), octo_sts_verifier::jose::JwsError>(())
/// ```
///
/// The claims are looked through while it is taken apart, and read when they are asked for: as a tree they take a hundred
/// times their bytes, and whoever waits for an issuer's keys holds this value, with a token that anybody may have made up.
pub struct CompactJws {
    header: Header,
    /// The first two parts, unchanged.
    signing_input: String,
    signature: Vec<u8>,
}

impl CompactJws {
    /// Parses a token.
    ///
    /// # Errors
    /// See [`JwsError`]; the first rule that fails, in the order of the parts.
    pub fn parse(token: &str) -> Result<Self, JwsError> {
        TakenApart::parse(token, []).map(Self::from)
    }

    /// Parses a token with one explicit type, which is compared byte for byte.
    ///
    /// # Errors
    /// As [`CompactJws::parse`].
    pub fn parse_typed(token: &str, expected: &str) -> Result<Self, JwsError> {
        let is_type: IsType<'_> = &|typ| typ.and_then(Picked::as_text) == Some(expected);
        TakenApart::parse_if(token, [], is_type).map(Self::from)
    }

    /// The payload of anything with three parts, unverified and with any header: only to find out who has to verify it.
    #[must_use]
    pub fn payload_of(token: &str) -> Option<Vec<u8>> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let mut parts = token.split('.');
        let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
        decode_base64url(payload)
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The claims, unverified, read from the text.
    #[must_use]
    pub fn payload(&self) -> Map<String, Value> {
        // It has been parsed before; anything but an object has no claims.
        json::parse_object(&self.payload_text(), json::MAX_DEPTH).unwrap_or_default()
    }

    /// What there is to verify.
    pub(crate) fn signed(&self) -> Signed<'_> {
        Signed { header: &self.header, input: self.signing_input.as_bytes(), signature: &self.signature }
    }

    /// The claims' text, decoded.
    #[must_use]
    pub fn payload_text(&self) -> Vec<u8> {
        let encoded = self.signing_input.split_once('.').map(|(_, payload)| payload);
        encoded.and_then(decode_base64url).unwrap_or_default()
    }

    /// What the signature covers: the first two parts, unchanged.
    #[must_use]
    pub fn signing_input(&self) -> &[u8] {
        self.signing_input.as_bytes()
    }

    /// The signature, decoded.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// What there is to verify of a token.
#[derive(Clone, Copy)]
pub(crate) struct Signed<'a> {
    pub(crate) header: &'a Header,
    /// What the signature is over.
    pub(crate) input: &'a [u8],
    pub(crate) signature: &'a [u8],
}

/// A token taken apart, beside its text: with the claims as they were read on the way.
pub(crate) struct TakenApart<'a, const N: usize> {
    pub(crate) header: Header,
    /// The first two parts, as they came.
    pub(crate) signing_input: &'a str,
    pub(crate) signature: Vec<u8>,
    /// The claims' text, decoded.
    pub(crate) payload: Vec<u8>,
    /// Those of the names that were asked for.
    pub(crate) claims: [Option<Picked<'static>>; N],
}

impl<'a, const N: usize> TakenApart<'a, N> {
    /// As [`CompactJws::parse`].
    pub(crate) fn parse(token: &'a str, names: [&str; N]) -> Result<Self, JwsError> {
        // Explicit typing (RFC 8725 section 3.11): a logout token or a DPoP proof is not an identity.
        Self::parse_if(token, names, &|typ| {
            typ.is_none_or(|typ| {
                typ.as_text()
                    .is_some_and(|typ| typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("at+jwt"))
            })
        })
    }

    fn parse_if(token: &'a str, names: [&str; N], is_type: IsType<'_>) -> Result<Self, JwsError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(JwsError::TooLong);
        }
        let (signing_input, encoded_signature) = token.rsplit_once('.').ok_or(JwsError::Parts)?;
        let (encoded_header, encoded_payload) = signing_input.split_once('.').ok_or(JwsError::Parts)?;
        let taken_apart = || {
            let header = Header::decode(encoded_header, is_type)?;
            let payload = decode_base64url(encoded_payload).ok_or(JwsError::PayloadEncoding)?;
            let claims = json::pick(&payload, names).map_err(JwsError::Payload)?;
            let claims = claims.map(|claim| claim.map(Picked::into_owned));
            let signature = decode_base64url(encoded_signature)
                .filter(|signature| !signature.is_empty())
                .ok_or(JwsError::SignatureEncoding)?;
            Ok(Self { header, signing_input, signature, payload, claims })
        };
        // A fourth part is no base64url: it is looked for where something is wrong.
        taken_apart().map_err(|error| if encoded_payload.contains('.') { JwsError::Parts } else { error })
    }
}

impl<const N: usize> From<TakenApart<'_, N>> for CompactJws {
    fn from(TakenApart { header, signing_input, signature, .. }: TakenApart<'_, N>) -> Self {
        Self { header, signing_input: signing_input.to_owned(), signature }
    }
}

impl fmt::Debug for CompactJws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompactJws").field("header", &self.header).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::encode_base64url;
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.AAAA", encode_base64url(header.as_bytes()), encode_base64url(payload.as_bytes()))
    }

    #[test]
    fn takes_a_token_apart() {
        let text = token(r#"{"alg":"ES256","kid":"k1","typ":"jwt","jwk":{},"x5u":1}"#, r#"{"iss":"a"}"#);
        let jws = CompactJws::parse(&text).unwrap();
        assert_eq!(jws.header().algorithm(), Algorithm::Es256);
        assert_eq!(jws.header().key_id(), Some("k1"));
        assert_eq!(jws.payload()["iss"], "a");
        assert_eq!(jws.signing_input(), text.strip_suffix(".AAAA").unwrap().as_bytes());
        assert_eq!(jws.signature(), [0, 0, 0]);
    }

    #[test]
    fn debug_shows_neither_claims_nor_signature() {
        let jws = CompactJws::parse(&token(r#"{"alg":"RS256"}"#, r#"{"sub":"hidden"}"#)).unwrap();
        assert_eq!(
            format!("{jws:?}"),
            "CompactJws { header: Header { algorithm: Rs256, key_id: None }, .. }"
        );
    }

    #[test]
    fn type_is_absent_or_one_of_two_in_any_case() {
        for typ in ["JWT", "jwt", "Jwt", "at+jwt", "AT+JWT"] {
            assert!(
                CompactJws::parse(&token(&format!(r#"{{"alg":"RS256","typ":"{typ}"}}"#), "{}")).is_ok(),
                "{typ}"
            );
        }
        for typ in [
            r#""""#,
            r#""JOSE""#,
            r#""dpop+jwt""#,
            r#""JWT ""#,
            r#""application/jwt""#,
            "null",
            "1",
            r#"["JWT"]"#,
        ] {
            let error =
                CompactJws::parse(&token(&format!(r#"{{"alg":"RS256","typ":{typ}}}"#), "{}")).unwrap_err();
            assert_eq!(error, JwsError::Type, "{typ}");
        }
    }

    #[test]
    fn a_token_of_16_kib_is_read_and_one_byte_more_is_not() {
        let base = token(r#"{"alg":"RS256"}"#, "{}");
        // Adding base64url characters four at a time keeps the encoding canonical.
        let longest = format!("{base}{}", "A".repeat((MAX_TOKEN_BYTES - base.len()) / 4 * 4));
        assert!(longest.len() > MAX_TOKEN_BYTES - 4);
        assert!(CompactJws::parse(&longest).is_ok());
        let longer = format!("{longest}AAAA");
        assert_eq!(CompactJws::parse(&longer).unwrap_err(), JwsError::TooLong);
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(text in ".{0,200}") {
            let _token = CompactJws::parse(&text);
        }

        #[test]
        fn any_parts_get_an_answer(header in ".{0,80}", payload in ".{0,80}", signature in "[A-Za-z0-9_=-]{0,20}") {
            let text =
                format!("{}.{}.{signature}", encode_base64url(header.as_bytes()), encode_base64url(payload.as_bytes()));
            let _token = CompactJws::parse(&text);
        }
    }
}
