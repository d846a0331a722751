//! Input from strangers and issuers: tokens, key sets, discovery documents.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, HeaderMap, HeaderValue};
use octo_sts_doubles::sent::inbound;
use octo_sts_worker::jose::{CompactJws, JwkSet, KeyMaterial, MAX_TOKEN_BYTES};
use octo_sts_worker::json;
use octo_sts_worker::oidc::{
    Claims, Issuer, IssuerRules, IssuerShape, SubjectShape, UnverifiedToken, VerifyRules, fetch_keys, verify,
};
use octo_sts_worker::ports::Inbound;
use octo_sts_worker::redact::redact;
use serde_json::Value;

use super::platform::{Outside, Trusting, now, ready, status};
use super::seeds::KEYS;
use super::{parts, text};

pub fn rules() -> IssuerRules {
    IssuerRules { allowed: None, own_domain: "sts.example.com".to_owned(), allow_loopback_http: false }
}

/// A credential: [the token].
pub fn token(data: &[u8]) {
    let Some(credential) = text(data) else { return };
    let Ok(jws) = CompactJws::parse(credential) else {
        assert!(UnverifiedToken::parse(credential).is_err());
        return;
    };
    let token = UnverifiedToken::parse(credential).expect("the same parser");
    assert!(credential.len() <= MAX_TOKEN_BYTES);

    // One reading: three parts that are exactly what their decoded bytes encode to, and JSON that others read likewise.
    let decoded: Vec<Vec<u8>> =
        credential.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("strict base64url")).collect();
    assert_eq!(decoded.len(), 3);
    let encoded: Vec<String> = decoded.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
    assert_eq!(encoded.join("."), credential);
    assert_eq!(jws.signature(), decoded[2]);
    assert_eq!(jws.signing_input(), credential.rsplit_once('.').expect("parts").0.as_bytes());
    let payload: Value = serde_json::from_slice(&decoded[1]).expect("json");
    assert_eq!(payload.as_object(), Some(&jws.payload()));
    // Except for the last digit of a fraction, which serde_json does not promise.
    if !has_fraction(&payload) {
        let printed = payload.to_string();
        assert_eq!(json::parse_object(printed.as_bytes(), json::MAX_DEPTH), Ok(jws.payload()));
    }

    // A token is not logged.
    if credential.starts_with("eyJ") && decoded[0].len() > 9 && credential.split('.').nth(1) != Some("") {
        let line = format!("{{\"user_agent\":\"{credential}\"}}");
        assert!(!redact(&line).contains(credential), "{line}");
    }

    if let Ok(said) = token.issuer() {
        issuer(said);
        let _verified = verified(&token, said);
    }
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(members) => members.values().any(has_fraction),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// An accepted issuer is at a public host, and its text is its only spelling.
fn issuer(said: &str) {
    let Ok(issuer) = Issuer::parse(said, &rules()) else { return };
    assert_eq!(issuer.as_str(), said);
    assert!(said.parse::<IssuerShape>().is_ok());
    let rest = said.strip_prefix("https://").expect("https");
    assert!(said.chars().count() <= 255);
    assert!(
        said.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'@' | b'?' | b'#' | b'\\' | b'%')),
        "{said}"
    );
    let host = rest.split('/').next().expect("a host");
    let host = host.strip_suffix(":443").unwrap_or(host);
    assert!(host.contains('.') && !host.ends_with('.') && !host.contains(':'), "{said}");
    assert!(host.parse::<std::net::IpAddr>().is_err());
    let last = host.rsplit('.').next().expect("a label");
    assert!(
        !last.bytes().all(|b| b.is_ascii_digit()) && !last.starts_with("0x"),
        "a host that is read as a number"
    );
    for reserved in ["localhost", "local", "internal"] {
        assert!(!last.eq_ignore_ascii_case(reserved), "{said}");
    }
    assert!(!host.eq_ignore_ascii_case("sts.example.com"));
    // The request goes to the checked address.
    let base = said.strip_suffix('/').unwrap_or(said);
    let uri: http::Uri = format!("{base}/.well-known/openid-configuration").parse().expect("an address");
    assert_eq!(uri.host(), Some(host));
    assert!(!uri.path().contains("/../") && !uri.path().contains("/./") && uri.query().is_none());
}

/// Claims of a signed token, whatever it says.
fn verified(token: &UnverifiedToken, said: &str) -> Option<Claims> {
    let issuer = Issuer::parse(said, &rules()).ok()?;
    let keys = JwkSet::parse(KEYS.as_bytes()).expect("keys");
    let rules = VerifyRules { max_lifetime: Duration::from_secs(86_400) };
    let verified = ready(verify(token, &issuer, &keys, &rules, now(), &Trusting)).ok()?;
    let claims = verified.claims().clone();
    assert_eq!(claims.issuer(), said);
    assert!(claims.subject().parse::<SubjectShape>().is_ok());
    assert!((1..=32).contains(&claims.audiences().len()));
    assert!(token.check_not_expired(now()).is_ok(), "a token that is over is not verified");
    let expires = token.expires_at().expect("an expiry");
    assert!(expires > now());
    Some(claims)
}

/// A key set: [the document].
pub fn key_set(data: &[u8]) {
    let Ok(set) = JwkSet::parse(data) else { return };
    assert!(set.keys().len() <= 100);
    for key in set.keys() {
        match key.material() {
            KeyMaterial::Rsa { modulus, exponent } => {
                assert!((256..=1024).contains(&modulus.len()) && modulus[0] != 0);
                assert!(exponent.len() <= 5 && exponent[0] != 0);
                let odd = exponent.last().expect("a byte") & 1 == 1;
                assert!(odd && exponent.as_slice() != [1]);
            }
            KeyMaterial::P256 { .. } | KeyMaterial::P384 { .. } | KeyMaterial::Ed25519 { .. } => {}
        }
        assert!((64..=1024).contains(&key.material().signature_len()));
    }
    // The stored key set is the fetched one.
    assert_eq!(JwkSet::parse(set.to_json().as_bytes()).as_ref(), Ok(&set));
}

/// An issuer's answers: [discovery document, key set, `Cache-Control`].
pub fn discovery(data: &[u8]) {
    let [document, keys, cache_control] = parts(data).map(<[u8]>::to_vec);
    let issuer = Issuer::parse("https://a.example.com/tenant", &rules()).expect("an issuer");
    let outside = Outside::new(move |index, _| match index {
        0 => status(200, document.clone()),
        _ => {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&cache_control) {
                headers.insert(CACHE_CONTROL, value);
            }
            Ok(Inbound { headers, ..inbound(200, keys.clone()) })
        }
    });
    let fetched = ready(fetch_keys(&issuer, &rules(), &*outside.network));
    let sent = outside.network.requests.borrow();
    assert!(sent.len() <= 2, "nothing here is worth a second try");
    for sent in sent.iter() {
        assert_eq!(sent.method, "GET");
        assert!(sent.credential().is_none());
        assert_eq!(sent.uri.scheme_str(), Some("https"));
        let host = sent.uri.host().expect("a host");
        assert!(
            host.contains('.') && host.parse::<std::net::IpAddr>().is_err() && !host.starts_with('['),
            "{host}"
        );
        assert!(!host.eq_ignore_ascii_case("sts.example.com"));
        assert!(!sent.uri.authority().expect("a host").as_str().contains('@'));
    }
    if let Ok(fetched) = fetched {
        assert_eq!(sent.len(), 2);
        assert!((1..=100).contains(&fetched.keys.keys().len()));
    }
}
