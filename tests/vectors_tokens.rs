//! Tokens as an attacker would make them, for the whole way from the bearer text to `VerifiedClaims`. Each changes one
//! thing in an accepted token, is signed again if the attacker could have it signed, and must be refused for exactly
//! that reason.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use octo_sts_doubles::published::Published;
use octo_sts_doubles::signatures::CountingSignatures;
use octo_sts_native::NativeSignatures;
use octo_sts_worker::jose::{Algorithm, JwkSet};
use octo_sts_worker::oidc::{
    Issuer, IssuerRules, UnverifiedToken, VerifiedClaims, VerifyError, VerifyRules, verify,
};
use octo_sts_worker::ports::{CryptoError, Signatures};
use octo_sts_worker::secret::SecretBytes;
use octo_sts_worker::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const NOW: i64 = 1_795_197_600;
const ISSUER: &str = "https://issuer.example.com";

/// The issuer's keys, generated for each run.
struct Keys {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p256_for_der: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
    /// A key that the issuer does not know.
    stranger: RsaKeyPair,
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let p256 =
            EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let p256 = p256.unwrap();
        let p256_of = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, p256.as_ref()).unwrap();
        Keys {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            p256: p256_of(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            p256_for_der: p256_of(&signature::ECDSA_P256_SHA256_ASN1_SIGNING),
            p384: EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
            ed25519: Ed25519KeyPair::generate().unwrap(),
            stranger: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        }
    })
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa_jwk(kid: &str, key: &RsaKeyPair) -> Value {
    // RSAPublicKey of RFC 8017: for 2048 bits, there are 9 bytes before the modulus and 5 after it, of which 3 are
    // 65537.
    let der = key.public_key().as_ref();
    assert_eq!(der.len(), 9 + 256 + 5);
    json!({ "kty": "RSA", "kid": kid, "n": encode(&der[9..265]), "e": encode(&der[267..]) })
}

fn elliptic_jwk(kid: &str, curve: &str, key: &EcdsaKeyPair) -> Value {
    let point = key.public_key().as_ref();
    let (x, y) = point[1..].split_at(point.len() / 2);
    json!({ "kty": "EC", "crv": curve, "kid": kid, "x": encode(x), "y": encode(y) })
}

fn jwks() -> Vec<Value> {
    let keys = keys();
    vec![
        rsa_jwk("rsa", &keys.rsa),
        elliptic_jwk("p256", "P-256", &keys.p256),
        elliptic_jwk("p384", "P-384", &keys.p384),
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": encode(keys.ed25519.public_key()) }),
    ]
}

fn set(keys: &[Value]) -> JwkSet {
    JwkSet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn rsa_signature(key: &RsaKeyPair, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
    let encoding: &dyn signature::RsaEncoding = match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => panic!("not of RSA"),
    };
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

/// What the issuer's own signer would do.
fn sign(algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    match algorithm {
        Algorithm::Es256 => keys().p256.sign(&random, message).unwrap().as_ref().to_vec(),
        Algorithm::Es384 => keys().p384.sign(&random, message).unwrap().as_ref().to_vec(),
        Algorithm::EdDsa => keys().ed25519.sign(message).as_ref().to_vec(),
        Algorithm::Rs256
        | Algorithm::Rs384
        | Algorithm::Rs512
        | Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512 => rsa_signature(&keys().rsa, algorithm, message),
    }
}

fn kid_of(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Es256 => "p256",
        Algorithm::Es384 => "p384",
        Algorithm::EdDsa => "ed",
        Algorithm::Rs256
        | Algorithm::Rs384
        | Algorithm::Rs512
        | Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512 => "rsa",
    }
}

fn header(algorithm: Algorithm) -> Value {
    json!({ "alg": algorithm.name(), "kid": kid_of(algorithm), "typ": "JWT" })
}

fn header_with(name: &str, value: Value) -> String {
    let mut header = header(Algorithm::EdDsa);
    header[name] = value;
    header.to_string()
}

fn claims() -> Map<String, Value> {
    let claims = json!({
        "iss": ISSUER, "sub": "repo:acme/app:ref:refs/heads/main", "aud": "sts.example.com",
        "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 300,
    });
    claims.as_object().unwrap().clone()
}

fn with(name: &str, value: Value) -> String {
    let mut claims = claims();
    claims.insert(name.to_owned(), value);
    Value::from(claims).to_string()
}

fn without(name: &str) -> String {
    let mut claims = claims();
    claims.remove(name);
    Value::from(claims).to_string()
}

/// A claim whose text `serde_json` would not write.
fn with_raw(name: &str, raw: &str) -> String {
    without(name).replacen('{', &format!("{{\"{name}\":{raw},"), 1)
}

fn good_claims() -> String {
    Value::from(claims()).to_string()
}

fn signing_input(header: &str, claims: &str) -> String {
    format!("{}.{}", encode(header), encode(claims))
}

/// Signed with the Ed25519 key whatever the header says, as a careless issuer could be made to sign.
fn token(header: &str, claims: &str) -> String {
    signed(header, claims, |message| sign(Algorithm::EdDsa, message))
}

fn signed(header: &str, claims: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let input = signing_input(header, claims);
    let signature = sign(input.as_bytes());
    format!("{input}.{}", encode(signature))
}

fn good(algorithm: Algorithm) -> String {
    signed(&header(algorithm).to_string(), &good_claims(), |message| sign(algorithm, message))
}

fn of_claims(claims: &str) -> String {
    token(&header(Algorithm::EdDsa).to_string(), claims)
}

fn of_header(header: &str) -> String {
    token(header, &good_claims())
}

fn issuer_rules() -> IssuerRules {
    IssuerRules { allowed: None, own_domain: "sts.example.com".to_owned(), allow_loopback_http: false }
}

const VERIFY_RULES: VerifyRules = VerifyRules { max_lifetime: Duration::from_secs(86_400) };

fn now() -> Timestamp {
    Timestamp::from_unix_seconds(NOW).unwrap()
}

/// The same token through the library for other servers, which fetches the keys by itself.
fn judge_in_the_library(token: &str, keys: &JwkSet) -> Result<VerifiedClaims, (&'static str, String)> {
    let verifier = octo_sts::Verifier::builder()
        .issuer(ISSUER)
        .audience("sts.example.com")
        .transport(Published { issuer: ISSUER.to_owned(), keys: keys.to_json() })
        .clock(|| UNIX_EPOCH + Duration::from_secs(NOW.unsigned_abs()))
        .build()
        .unwrap();
    verifier.verify_blocking(token).map_err(|error| (error.code(), error.to_string()))
}

/// The service and the library agree, except for their different settings: the library has a list of issuers and an
/// audience, and a key set without keys is unusable.
fn judge(token: &str, keys: &JwkSet) -> Result<VerifiedClaims, (&'static str, String)> {
    let verdict = judge_in_the_service(token, keys);
    match (&verdict, judge_in_the_library(token, keys)) {
        (_, Err(("issuer_document_no_keys", _))) if keys.keys().is_empty() => {}
        (Ok(verified), Err(("audience", _))) => {
            assert!(!verified.claims().audiences().iter().any(|audience| audience == "sts.example.com"));
        }
        (Err((code, _)), Err(("issuer_not_allowed", _))) if code.starts_with("issuer_") => {}
        (verdict, library) => assert_eq!(&library, verdict, "the library disagrees"),
    }
    verdict
}

/// Steps 3, 4, 5 and 7 of the exchange, as the service runs them. A refusal is its code and its message.
fn judge_in_the_service(token: &str, keys: &JwkSet) -> Result<VerifiedClaims, (&'static str, String)> {
    let token = UnverifiedToken::parse(token).map_err(|error| (error.code(), error.to_string()))?;
    let issuer = token.issuer().map_err(|error| (error.code(), error.to_string()))?;
    let issuer = Issuer::parse(issuer, &issuer_rules()).map_err(|error| (error.code(), error.to_string()))?;
    token.check_not_expired(now()).map_err(|error| (error.code(), error.to_string()))?;
    pollster::block_on(verify(&token, &issuer, keys, &VERIFY_RULES, now(), &NativeSignatures))
        .map_err(|error| (error.code(), error.to_string()))
}

fn code(token: &str, keys: &JwkSet) -> &'static str {
    match judge(token, keys) {
        Ok(_) => "accepted",
        Err((code, message)) => {
            let is_one_line = !message.contains('\n') && !message.ends_with('.') && message.len() < 1500;
            assert!(is_one_line && message.starts_with("the "), "{message}");
            for part in token.split('.').filter(|part| part.len() > 8) {
                assert!(!message.contains(part), "a message must not hold a part of the token: {message}");
            }
            code
        }
    }
}

fn replace_part(token: &str, index: usize, change: impl FnOnce(&str) -> String) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts[index] = change(&parts[index]);
    parts.join(".")
}

/// The next letter of the alphabet for the last one: other trailing bits, the same bytes to a lax reader.
fn with_trailing_bits(part: &str) -> String {
    assert_ne!(part.len() % 4, 0, "this part has no trailing bits");
    let (rest, last) = part.split_at(part.len() - 1);
    let next = char::from(last.as_bytes()[0] + 1);
    let changed = format!("{rest}{next}");
    assert!(URL_SAFE_NO_PAD.decode(&changed).is_err());
    changed
}

/// Padded with spaces until its base64url has trailing bits.
fn with_room(json: &str) -> String {
    format!("{json}{}", " ".repeat((4 - json.len() % 3) % 3))
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn every_algorithm_is_accepted_with_its_key() {
    for algorithm in Algorithm::ALL {
        let verified = judge(&good(algorithm), &set(&jwks())).unwrap();
        assert_eq!(verified.claims().issuer(), ISSUER);
        assert_eq!(verified.claims().subject(), "repo:acme/app:ref:refs/heads/main");
        assert_eq!(verified.claims().audiences(), ["sts.example.com"]);
    }
}

#[test]
fn no_algorithm_is_accepted_with_the_signature_of_another() {
    let keys = set(&jwks());
    for claimed in Algorithm::ALL {
        for used in Algorithm::ALL.into_iter().filter(|used| *used != claimed) {
            let forged = signed(&header(claimed).to_string(), &good_claims(), |message| sign(used, message));
            assert_eq!(code(&forged, &keys), "signature", "{claimed:?} with {used:?}");
            let mut header = header(claimed);
            header["kid"] = kid_of(used).into();
            let forged = signed(&header.to_string(), &good_claims(), |message| sign(used, message));
            let expected = if kid_of(used) == kid_of(claimed) { "signature" } else { "unknown_key" };
            assert_eq!(code(&forged, &keys), expected, "{claimed:?} with the key of {used:?}");
        }
    }
}

#[test]
fn what_an_honest_issuer_may_vary_is_accepted() {
    let keys = set(&jwks());
    let long_ago = with("nbf", json!(0));
    for claims in [
        with("aud", json!(["https://github.com/acme", "sts.example.com"])),
        with("aud", json!(vec!["sts.example.com"; 32])),
        with("exp", json!(1_795_197_600.5)),
        with("iat", json!(1_795_197_599.5)),
        with_raw("exp", "1.7951977e9"),
        with("iat", json!(NOW + 60)),
        with("nbf", json!(NOW + 60)),
        with("iat", json!(NOW + 300 - 86_400)),
        without("nbf"),
        long_ago,
        with("nested", serde_json::from_str(&nested(15)).unwrap()),
        with("sub", json!("用户😀")),
        with("jti", json!("\u{1F600}")),
        with_raw("note", r#""\ud83d\ude00\u0000""#),
    ] {
        assert_eq!(code(&of_claims(&claims), &keys), "accepted", "{claims}");
    }
    for header in [
        json!({ "alg": "EdDSA", "kid": "ed" }).to_string(),
        json!({ "alg": "EdDSA" }).to_string(),
        header_with("typ", json!("at+JWT")),
        header_with("x5t", json!("AAAA")),
        header_with("cty", json!("JWT")),
        // A key or an address in the token is ignored: the issuer's own key verifies.
        header_with("jwk", json!({ "kty": "oct", "k": "AAAA" })),
        header_with("jku", json!("https://evil.example/keys")),
        header_with("x5u", json!(7)),
        header_with("x5c", json!([])),
    ] {
        assert_eq!(code(&of_header(&header), &keys), "accepted", "{header}");
    }
}

#[test]
fn manipulated_tokens_are_refused_each_for_its_reason() {
    let good_token = good(Algorithm::EdDsa);
    let rsa_token = good(Algorithm::Rs256);
    let es_token = good(Algorithm::Es256);
    let ed_header = header(Algorithm::EdDsa).to_string();
    let unsigned = |alg: Value| format!("{}.", signing_input(&header_with("alg", alg), &good_claims()));
    let public_rsa = rsa_jwk("rsa", &keys().rsa);
    let hmac_of = |header: &str, secret: &[u8]| {
        signed(header, &good_claims(), |message| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
        })
    };
    let modulus = URL_SAFE_NO_PAD.decode(public_rsa["n"].as_str().unwrap()).unwrap();
    let hs_header = json!({ "alg": "HS256", "kid": "rsa" }).to_string();
    let stranger = |header: &str| {
        signed(header, &good_claims(), |message| rsa_signature(&keys().stranger, Algorithm::Rs256, message))
    };
    let es_signature = |change: &dyn Fn(&mut Vec<u8>)| {
        replace_part(&es_token, 2, |part| {
            let mut signature = URL_SAFE_NO_PAD.decode(part).unwrap();
            change(&mut signature);
            encode(signature)
        })
    };
    let rsa_signature_of = |change: &dyn Fn(&mut Vec<u8>)| {
        replace_part(&rsa_token, 2, |part| {
            let mut signature = URL_SAFE_NO_PAD.decode(part).unwrap();
            change(&mut signature);
            encode(signature)
        })
    };
    let part = |token: &str, index: usize| token.split('.').nth(index).unwrap().to_owned();
    let duplicate = |text: &str, member: &str| text.replacen('{', &format!("{{{member},"), 1);

    #[rustfmt::skip]
    let table: Vec<(&str, String, &str)> = vec![
        // No signature at all.
        ("alg none, no signature", unsigned(json!("none")), "algorithm"),
        ("alg None", unsigned(json!("None")), "algorithm"),
        ("alg NONE", unsigned(json!("NONE")), "algorithm"),
        ("alg nOnE with the good signature", of_header(&header_with("alg", json!("nOnE"))), "algorithm"),
        ("alg none with a space", unsigned(json!("none ")), "algorithm"),
        ("alg empty", unsigned(json!("")), "algorithm"),
        ("alg null", unsigned(json!(null)), "algorithm"),
        ("alg a list", of_header(&header_with("alg", json!(["EdDSA"]))), "algorithm"),
        ("alg a number", of_header(&header_with("alg", json!(1))), "algorithm"),
        ("alg absent", of_header(r#"{"kid":"ed"}"#), "algorithm"),
        ("alg in another case", of_header(&header_with("alg", json!("eddsa"))), "algorithm"),
        ("alg Ed25519", of_header(&header_with("alg", json!("Ed25519"))), "algorithm"),
        ("alg ES512", of_header(&header_with("alg", json!("ES512"))), "algorithm"),
        ("alg ES256K", of_header(&header_with("alg", json!("ES256K"))), "algorithm"),
        ("alg of encryption", of_header(&header_with("alg", json!("RSA-OAEP"))), "algorithm"),
        ("alg twice, none last", of_header(&duplicate(&header_with("alg", json!("none")), r#""alg":"EdDSA""#)), "header_json"),
        ("an empty signature", format!("{}.", signing_input(&ed_header, &good_claims())), "signature_encoding"),

        // HMAC with a public key as the secret.
        ("HS256 with the JWK", hmac_of(&hs_header, public_rsa.to_string().as_bytes()), "algorithm"),
        ("HS256 with the modulus", hmac_of(&hs_header, &modulus), "algorithm"),
        ("HS512 by name", of_header(&header_with("alg", json!("HS512"))), "algorithm"),
        ("an HMAC under the name RS256", hmac_of(&header(Algorithm::Rs256).to_string(), &modulus), "signature"),

        // Keys the token would like to have.
        ("an unknown kid", of_header(&header_with("kid", json!("other"))), "unknown_key"),
        ("a kid in another case", of_header(&header_with("kid", json!("ED"))), "unknown_key"),
        ("an empty kid", of_header(&header_with("kid", json!(""))), "unknown_key"),
        ("a kid with a path", of_header(&header_with("kid", json!("../../ed"))), "unknown_key"),
        ("a kid with SQL", of_header(&header_with("kid", json!("ed' OR '1'='1"))), "unknown_key"),
        ("a kid with a line break", of_header(&header_with("kid", json!("ed\nx"))), "unknown_key"),
        ("a very long kid", of_header(&header_with("kid", json!("k".repeat(4000)))), "unknown_key"),
        ("a kid that is a number", of_header(&header_with("kid", json!(0))), "header_kid"),
        ("a kid that is null", of_header(&header_with("kid", json!(null))), "header_kid"),
        ("a kid that is a list", of_header(&header_with("kid", json!(["ed"]))), "header_kid"),
        ("the kid of a key of another type", of_header(&header_with("kid", json!("rsa"))), "unknown_key"),
        ("the kid of a key of another curve", of_header(r#"{"alg":"ES256","kid":"p384"}"#), "unknown_key"),
        ("a stranger's key", stranger(&header(Algorithm::Rs256).to_string()), "signature"),
        ("a stranger's key brought along as jwk",
            stranger(&json!({"alg":"RS256","kid":"rsa","jwk":rsa_jwk("rsa", &keys().stranger)}).to_string()), "signature"),
        ("a stranger's key brought along as jwk, without kid",
            stranger(&json!({"alg":"RS256","jwk":rsa_jwk("rsa", &keys().stranger)}).to_string()), "signature"),
        ("a stranger's key behind jku",
            stranger(r#"{"alg":"RS256","kid":"rsa","jku":"https://evil.example/keys"}"#), "signature"),

        // Header members that change what is signed.
        ("crit empty", of_header(&header_with("crit", json!([]))), "header_member"),
        ("crit with exp", of_header(&header_with("crit", json!(["exp"]))), "header_member"),
        ("crit null", of_header(&header_with("crit", json!(null))), "header_member"),
        ("b64 false", of_header(&header_with("b64", json!(false))), "header_member"),
        ("b64 true", of_header(&header_with("b64", json!(true))), "header_member"),
        ("zip", of_header(&header_with("zip", json!("DEF"))), "header_member"),
        ("enc", of_header(&header_with("enc", json!("A256GCM"))), "header_member"),
        ("typ of a logout token", of_header(&header_with("typ", json!("logout+jwt"))), "header_type"),
        ("typ of a proof", of_header(&header_with("typ", json!("dpop+jwt"))), "header_type"),
        ("typ null", of_header(&header_with("typ", json!(null))), "header_type"),
        ("typ a list", of_header(&header_with("typ", json!(["JWT"]))), "header_type"),
        ("typ with a space", of_header(&header_with("typ", json!("JWT "))), "header_type"),

        // Two readings of one token.
        ("a header member twice", of_header(&duplicate(&ed_header, r#""kid":"ed""#)), "header_json"),
        ("a header member twice by escape", of_header(&duplicate(&ed_header, r#""\u006bid":"x""#)), "header_json"),
        ("a nested header member twice", of_header(&duplicate(&ed_header, r#""x":{"a":1,"a":1}"#)), "header_json"),
        ("sub twice", of_claims(&duplicate(&good_claims(), r#""sub":"repo:evil/app""#)), "claims_json"),
        ("iss twice, equal", of_claims(&duplicate(&good_claims(), &format!("\"iss\":\"{ISSUER}\""))), "claims_json"),
        ("a nested claim twice", of_claims(&duplicate(&good_claims(), r#""x":[{"a":{"b":1,"b":2}}]"#)), "claims_json"),
        ("an escaped claim twice", of_claims(&duplicate(&good_claims(), r#""s\u0075b":"x""#)), "claims_json"),
        ("a lone surrogate", of_claims(&with_raw("x", r#""\ud800""#)), "claims_json"),
        ("a lone surrogate in a name", of_claims(&duplicate(&good_claims(), r#""\udc00":1"#)), "claims_json"),
        ("claims of depth 17", of_claims(&with_raw("x", &nested(16))), "claims_json"),
        ("claims of depth 5000", of_claims(&with_raw("x", &nested(5000))), "claims_json"),
        ("a header of depth 17", of_header(&duplicate(&ed_header, &format!("\"x\":{}", nested(16)))), "header_json"),
        ("claims with something behind", of_claims(&format!("{}{{}}", good_claims())), "claims_json"),
        ("claims with a byte order mark", of_claims(&format!("\u{feff}{}", good_claims())), "claims_json"),
        ("claims that are a list", of_claims("[]"), "claims_json"),
        ("claims that are null", of_claims("null"), "claims_json"),
        ("claims that are empty", of_claims(""), "claims_json"),
        ("claims that are a token", of_claims(&good_token), "claims_json"),
        ("a header that is a list", of_header("[]"), "header_json"),
        ("a header that is a text", of_header("\"alg\""), "header_json"),
        ("a header that is empty", of_header(""), "header_json"),
        ("claims that are not UTF-8",
            replace_part(&good_token, 1, |_| encode(b"{\"iss\":\"\xff\"}")), "claims_json"),

        // Encodings.
        ("a padded header", replace_part(&good_token, 0, |part| format!("{part}=")), "header_encoding"),
        ("padded claims", replace_part(&good_token, 1, |part| format!("{part}==")), "claims_encoding"),
        ("a padded signature", format!("{good_token}=="), "signature_encoding"),
        ("a space before", format!(" {good_token}"), "header_encoding"),
        ("a space behind", format!("{good_token} "), "signature_encoding"),
        ("a line break behind", format!("{good_token}\n"), "signature_encoding"),
        ("a line break in the claims", replace_part(&good_token, 1, |part| format!("{part}\n")), "claims_encoding"),
        ("a NUL behind", format!("{good_token}\0"), "signature_encoding"),
        ("trailing bits in the header", of_header(&with_room(&ed_header)).split_once('.')
            .map(|(header, rest)| format!("{}.{rest}", with_trailing_bits(header))).unwrap(), "header_encoding"),
        ("trailing bits in the claims",
            replace_part(&of_claims(&with_room(&good_claims())), 1, with_trailing_bits), "claims_encoding"),
        ("trailing bits in the signature", replace_part(&good_token, 2, with_trailing_bits), "signature_encoding"),
        ("trailing bits in an RSA signature", replace_part(&rsa_token, 2, with_trailing_bits), "signature_encoding"),
        ("the other base64 alphabet",
            replace_part(&good_token, 2, |_| STANDARD_NO_PAD.encode([0xfb; 64])), "signature_encoding"),
        ("percent encoding", good_token.replace('.', "%2E"), "token_parts"),
        ("one letter more", format!("{good_token}A"), "signature"),
        ("not ASCII", replace_part(&good_token, 1, |part| format!("{part}ä")), "claims_encoding"),

        // Parts.
        ("nothing", String::new(), "token_parts"),
        ("two parts", signing_input(&ed_header, &good_claims()), "token_parts"),
        ("four parts", format!("{good_token}.AAAA"), "token_parts"),
        ("four parts, the last empty", format!("{good_token}."), "token_parts"),
        ("five parts, as encrypted tokens have", format!("{good_token}.AAAA.AAAA"), "token_parts"),
        ("an empty header", replace_part(&good_token, 0, |_| String::new()), "header_json"),
        ("empty claims", replace_part(&good_token, 1, |_| String::new()), "claims_json"),
        ("header and claims swapped",
            format!("{}.{}.{}", part(&good_token, 1), part(&good_token, 0), part(&good_token, 2)), "algorithm"),
        ("claims and signature swapped",
            format!("{}.{}.{}", part(&good_token, 0), part(&good_token, 2), part(&good_token, 1)), "claims_json"),
        ("JSON serialization", json!({"payload": part(&good_token, 1)}).to_string(), "token_parts"),
        ("longer than 16 KiB", of_claims(&with("x", json!("x".repeat(13_000)))), "token_too_long"),

        // Signatures.
        ("claims of another token", replace_part(&good_token, 1, |_| encode(with("sub", json!("repo:evil/app")))), "signature"),
        ("the signature of another token",
            replace_part(&good_token, 2, |_| part(&of_claims(&with("jti", json!("1"))), 2)), "signature"),
        ("one bit of the signature", es_signature(&|signature| signature[0] ^= 1), "signature"),
        ("a truncated signature", es_signature(&|signature| signature.truncate(63)), "signature"),
        ("half a signature", es_signature(&|signature| signature.truncate(32)), "signature"),
        ("a longer signature", es_signature(&|signature| signature.push(0)), "signature"),
        ("a signature with a zero before", es_signature(&|signature| signature.insert(0, 0)), "signature"),
        ("r and s of zero", es_signature(&|signature| signature.fill(0)), "signature"),
        ("r of zero", es_signature(&|signature| signature[..32].fill(0)), "signature"),
        ("s of zero", es_signature(&|signature| signature[32..].fill(0)), "signature"),
        ("r and s above the order", es_signature(&|signature| signature.fill(0xff)), "signature"),
        ("r and s swapped", es_signature(&|signature| signature.rotate_left(32)), "signature"),
        ("an ECDSA signature in DER", signed(&header(Algorithm::Es256).to_string(), &good_claims(), |message| {
            keys().p256_for_der.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
        }), "signature"),
        ("an RSA signature of zero", rsa_signature_of(&|signature| signature.fill(0)), "signature"),
        ("an RSA signature of one", rsa_signature_of(&|signature| { signature.fill(0); signature[255] = 1; }), "signature"),
        ("an RSA signature above the modulus", rsa_signature_of(&|signature| signature.fill(0xff)), "signature"),
        ("an RSA signature without its first byte", rsa_signature_of(&|signature| { signature.remove(0); }), "signature"),
        ("an RSA signature with a zero before", rsa_signature_of(&|signature| signature.insert(0, 0)), "signature"),
        ("RS256 relabelled as PS256", replace_part(&rsa_token, 0, |_| encode(header(Algorithm::Ps256).to_string())), "signature"),
        ("RS256 relabelled as RS512", replace_part(&rsa_token, 0, |_| encode(header(Algorithm::Rs512).to_string())), "signature"),
        ("a bad signature and bad claims: the signature is told", 
            replace_part(&of_claims(&with("aud", json!([]))), 2, |_| encode([1; 64])), "signature"),

        // Issuers.
        ("no iss", of_claims(&without("iss")), "claim_missing"),
        ("iss a number", of_claims(&with("iss", json!(1))), "claim_not_string"),
        ("iss a list", of_claims(&with("iss", json!([ISSUER]))), "claim_not_string"),
        ("iss null", of_claims(&with("iss", json!(null))), "claim_not_string"),
        ("iss empty", of_claims(&with("iss", json!(""))), "issuer_length"),
        ("iss over plain HTTP", of_claims(&with("iss", json!("http://issuer.example.com"))), "issuer_scheme"),
        ("iss at the metadata service", of_claims(&with("iss", json!("https://169.254.169.254"))), "issuer_ip_literal"),
        ("iss at this machine", of_claims(&with("iss", json!("https://localhost"))), "issuer_reserved_host"),
        ("iss with a fragment", of_claims(&with("iss", json!("https://evil.example/x#"))), "issuer_query"),
        ("iss with user info", of_claims(&with("iss", json!("https://issuer.example.com@evil.example"))), "issuer_user_info"),
        ("iss this service", of_claims(&with("iss", json!("https://sts.example.com"))), "issuer_own_domain"),

        // Times.
        ("no exp", of_claims(&without("exp")), "claim_missing"),
        ("no iat", of_claims(&without("iat")), "claim_missing"),
        ("exp a text", of_claims(&with("exp", json!((NOW + 300).to_string()))), "claim_not_time"),
        ("exp null", of_claims(&with("exp", json!(null))), "claim_not_time"),
        ("exp true", of_claims(&with("exp", json!(true))), "claim_not_time"),
        ("exp a list", of_claims(&with("exp", json!([NOW + 300]))), "claim_not_time"),
        ("exp NaN", of_claims(&with_raw("exp", "NaN")), "claims_json"),
        ("exp Infinity", of_claims(&with_raw("exp", "Infinity")), "claims_json"),
        ("exp 1e400", of_claims(&with_raw("exp", "1e400")), "claims_json"),
        ("exp 1e300", of_claims(&with_raw("exp", "1e300")), "claim_not_time"),
        ("exp beyond 64 bits", of_claims(&with_raw("exp", "18446744073709551616")), "claim_not_time"),
        ("exp the largest of 64 bits", of_claims(&with_raw("exp", "9223372036854775807")), "claim_not_time"),
        ("exp in milliseconds", of_claims(&with("exp", json!((NOW + 300) * 1000))), "claim_not_time"),
        ("exp negative", of_claims(&with("exp", json!(-1))), "claim_not_time"),
        ("exp zero", of_claims(&with("exp", json!(0))), "expired"),
        ("exp now", of_claims(&with("exp", json!(NOW))), "expired"),
        ("exp a second ago", of_claims(&with("exp", json!(NOW - 1))), "expired"),
        ("exp half a second ago", of_claims(&with("exp", json!(1_795_197_599.5))), "expired"),
        ("iat a text", of_claims(&with("iat", json!("now"))), "claim_not_time"),
        ("iat negative", of_claims(&with("iat", json!(-1))), "claim_not_time"),
        ("iat ahead", of_claims(&with("iat", json!(NOW + 61))), "issued_in_future"),
        ("nbf ahead", of_claims(&with("nbf", json!(NOW + 61))), "not_yet_valid"),
        ("nbf half a second too far ahead", of_claims(&with("nbf", json!(1_795_197_660.5))), "not_yet_valid"),
        ("nbf a text", of_claims(&with("nbf", json!("0"))), "claim_not_time"),
        ("nbf null", of_claims(&with("nbf", json!(null))), "claim_not_time"),
        ("a lifetime above the limit", of_claims(&with("exp", json!(NOW - 10 + 86_401))), "lifetime"),
        ("a lifetime of years", of_claims(&with("iat", json!(0))), "lifetime"),
        ("issued after its expiry", of_claims(&with("exp", json!(NOW + 30)).replace(&format!("\"iat\":{}", NOW - 10), &format!("\"iat\":{}", NOW + 31))), "expires_before_issued"),

        // Subjects and audiences.
        ("no sub", of_claims(&without("sub")), "claim_missing"),
        ("sub null", of_claims(&with("sub", json!(null))), "claim_not_string"),
        ("sub a number", of_claims(&with("sub", json!(1))), "claim_not_string"),
        ("sub a list", of_claims(&with("sub", json!(["a"]))), "claim_not_string"),
        ("sub empty", of_claims(&with("sub", json!(""))), "subject_shape"),
        ("sub with a space", of_claims(&with("sub", json!("repo:acme/app "))), "subject_shape"),
        ("sub with a line break", of_claims(&with("sub", json!("repo:acme/app\n"))), "subject_shape"),
        ("sub with a NUL", of_claims(&with("sub", json!("repo:acme/app\0evil"))), "subject_shape"),
        ("sub with an invisible character", of_claims(&with("sub", json!("repo:acme/\u{200b}app"))), "subject_shape"),
        ("sub with markup", of_claims(&with("sub", json!("<script>"))), "subject_shape"),
        ("sub of 256 characters", of_claims(&with("sub", json!("a".repeat(256)))), "subject_shape"),
        ("no aud", of_claims(&without("aud")), "claim_missing"),
        ("aud null", of_claims(&with("aud", json!(null))), "audience_count"),
        ("aud empty", of_claims(&with("aud", json!(""))), "audience_shape"),
        ("aud an empty list", of_claims(&with("aud", json!([]))), "audience_count"),
        ("aud of 33", of_claims(&with("aud", json!(vec!["sts.example.com"; 33]))), "audience_count"),
        ("aud with a number", of_claims(&with("aud", json!(["sts.example.com", 1]))), "audience_count"),
        ("aud with null", of_claims(&with("aud", json!(["sts.example.com", null]))), "audience_count"),
        ("aud an object", of_claims(&with("aud", json!({"sts.example.com": true}))), "audience_count"),
        ("one bad audience among good ones", of_claims(&with("aud", json!(["sts.example.com", "a b"]))), "audience_shape"),
        ("aud with an at sign", of_claims(&with("aud", json!("sts.example.com@evil"))), "audience_shape"),
    ];
    let keys = set(&jwks());
    assert_eq!(code(&good_token, &keys), "accepted");
    assert_eq!(code(&rsa_token, &keys), "accepted");
    assert_eq!(code(&es_token, &keys), "accepted");
    for (name, token, expected) in &table {
        assert_eq!(code(token, &keys), *expected, "{name}");
    }
    assert!(table.len() > 150, "{}", table.len());
    write_for_other_languages(&table, &[("EdDSA", good_token), ("RS256", rsa_token), ("ES256", es_token)]);
}

/// The table as a file, for the wheel's tests: the keys are generated for each run, so it cannot be checked in.
fn write_for_other_languages(table: &[(&str, String, &str)], good: &[(&str, String)]) {
    let good = good.iter().map(|(name, token)| json!([name, token, "accepted"]));
    let bad = table.iter().map(|(name, token, code)| json!([name, token, code]));
    let document = json!({
        "issuer": ISSUER, "audience": "sts.example.com", "now": NOW, "jwks": { "keys": jwks() },
        "cases": good.chain(bad).collect::<Vec<_>>(),
    });
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("tokens.json");
    std::fs::write(file, document.to_string()).unwrap();
}

#[test]
fn keys_that_must_not_verify_do_not() {
    let changed = |name: &str, value: Value| {
        let mut key = rsa_jwk("rsa", &keys().rsa);
        key[name] = value;
        key
    };
    let short = encode([&[0x80][..], &[1; 127]].concat());
    for (name, key) in [
        ("use enc", changed("use", json!("enc"))),
        ("key_ops sign", changed("key_ops", json!(["sign"]))),
        ("key_ops encrypt", changed("key_ops", json!(["encrypt", "wrapKey"]))),
        ("alg of another algorithm", changed("alg", json!("RS512"))),
        ("alg of encryption", changed("alg", json!("RSA-OAEP"))),
        ("alg in another case", changed("alg", json!("rs256"))),
        ("kty of another type", changed("kty", json!("EC"))),
        ("kty oct", changed("kty", json!("oct"))),
        ("a secret", json!({ "kty": "oct", "kid": "rsa", "k": encode([7; 32]) })),
        ("1024 bits", changed("n", json!(short))),
        ("an exponent of 1", changed("e", json!("AQ"))),
        ("an even exponent", changed("e", json!("Ag"))),
        ("another kid", changed("kid", json!("rsa2"))),
        ("no kid", {
            let mut key = changed("use", json!("sig"));
            key.as_object_mut().unwrap().remove("kid");
            key
        }),
    ] {
        assert_eq!(code(&good(Algorithm::Rs256), &set(&[key])), "unknown_key", "{name}");
    }
    assert_eq!(code(&good(Algorithm::Rs256), &set(&[])), "unknown_key");
}

#[test]
fn without_a_kid_exactly_one_key_must_fit() {
    let nameless = signed(r#"{"alg":"RS256"}"#, &good_claims(), |message| sign(Algorithm::Rs256, message));
    let (good_key, other) = (rsa_jwk("a", &keys().rsa), rsa_jwk("b", &keys().stranger));
    assert_eq!(code(&nameless, &set(&jwks())), "accepted");
    assert_eq!(code(&nameless, &set(&[good_key.clone(), other.clone()])), "ambiguous_key");
    assert_eq!(code(&nameless, &set(&[])), "no_key");
    assert_eq!(code(&nameless, &set(&jwks()[1..])), "no_key");
    let with_use = |mut key: Value, usage: &str| {
        key["use"] = usage.into();
        key
    };
    assert_eq!(code(&nameless, &set(&[good_key, with_use(other, "enc")])), "accepted");
}

#[test]
fn several_keys_of_one_kid_are_each_tried_and_four_at_most() {
    let token = good(Algorithm::Rs256);
    let (good_key, other) = (rsa_jwk("rsa", &keys().rsa), rsa_jwk("rsa", &keys().stranger));
    let behind = |others: usize| {
        let mut list = vec![other.clone(); others];
        list.push(good_key.clone());
        set(&list)
    };
    assert_eq!(code(&token, &behind(1)), "accepted");
    assert_eq!(code(&token, &behind(3)), "accepted");
    assert_eq!(code(&token, &behind(4)), "signature");
}

fn verify_with(
    token: &str,
    issuer: &str,
    keys: &JwkSet,
    port: &CountingSignatures,
) -> Result<VerifiedClaims, VerifyError> {
    let token = UnverifiedToken::parse(token).unwrap();
    let issuer = Issuer::parse(issuer, &issuer_rules()).unwrap();
    pollster::block_on(verify(&token, &issuer, keys, &VERIFY_RULES, now(), port))
}

#[test]
fn a_key_that_the_platform_cannot_use_does_not_spoil_another() {
    let token = good(Algorithm::Rs256);
    let keys = set(&vec![rsa_jwk("rsa", &keys().rsa); 2]);
    let port = CountingSignatures::picky;
    assert!(verify_with(&token, ISSUER, &keys, &port(0)).is_ok());
    assert!(verify_with(&token, ISSUER, &keys, &port(1)).is_ok());
    assert_eq!(verify_with(&token, ISSUER, &keys, &port(2)), Err(VerifyError::Signature));
}

#[test]
fn a_signature_of_another_length_never_reaches_the_platform() {
    let port = CountingSignatures::default();
    for token in
        [good(Algorithm::Rs256), good(Algorithm::Es256), good(Algorithm::Es384), good(Algorithm::EdDsa)]
    {
        let longer =
            replace_part(&token, 2, |part| encode([URL_SAFE_NO_PAD.decode(part).unwrap(), vec![0]].concat()));
        assert_eq!(verify_with(&longer, ISSUER, &set(&jwks()), &port), Err(VerifyError::Signature));
    }
    assert_eq!(port.verified.get(), 0);
}

#[test]
fn a_token_of_another_issuer_is_refused_with_keys_that_fit() {
    let port = CountingSignatures::default();
    let token = good(Algorithm::EdDsa);
    for issuer in ["https://other.example.com", "https://issuer.example.com/", "https://ISSUER.example.com"] {
        assert_eq!(
            verify_with(&token, issuer, &set(&jwks()), &port),
            Err(VerifyError::OtherIssuer),
            "{issuer}"
        );
    }
    assert_eq!(port.verified.get(), 3, "the signature comes first");
}

#[test]
fn a_token_that_is_over_is_refused_before_any_key_is_asked_for() {
    let at = |exp: i64| UnverifiedToken::parse(&of_claims(&with("exp", json!(exp)))).unwrap();
    assert_eq!(at(NOW + 1).check_not_expired(now()), Ok(()));
    assert_eq!(at(NOW + 1).expires_at().unwrap().unix_seconds(), NOW + 1);
    for exp in [NOW, NOW - 1, 0] {
        assert_eq!(at(exp).check_not_expired(now()).unwrap_err().code(), "expired");
    }
}

#[test]
fn an_unknown_key_is_told_by_its_name() {
    let error = judge(&of_header(&header_with("kid", json!("k`1\n"))), &set(&jwks())).unwrap_err();
    assert_eq!(
        error,
        ("unknown_key", r"the token's issuer has no key `k\u{60}1\n` for its algorithm".to_owned())
    );
}

#[test]
fn a_signature_of_the_native_port_is_rs256() {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    let pkcs8: Pkcs8V1Der<'_> = keys().rsa.as_der().unwrap();
    let pkcs8 = SecretBytes::new(pkcs8.as_ref().to_vec());
    let token = signed(&header(Algorithm::Rs256).to_string(), &good_claims(), |message| {
        pollster::block_on(NativeSignatures.sign_rs256(&pkcs8, message)).unwrap()
    });
    assert_eq!(code(&token, &set(&jwks())), "accepted");
    let nonsense = SecretBytes::new(vec![1, 2, 3]);
    assert_eq!(pollster::block_on(NativeSignatures.sign_rs256(&nonsense, b"")), Err(CryptoError));
}

fn any_claim() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (NOW - 100..NOW + 100).prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(Value::from(ISSUER)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-c]", inner, 0..3)
                .prop_map(|members| Value::from(Map::from_iter(members))),
        ]
    })
}

proptest! {
    #[test]
    fn any_signed_claims_get_an_answer(changes in proptest::collection::btree_map(
        proptest::sample::select(&["iss", "sub", "aud", "exp", "iat", "nbf", "other"]), any_claim(), 1..3,
    )) {
        let mut claims = claims();
        claims.extend(changes.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let keys = set(&jwks());
        let text = Value::from(claims).to_string();
        if let Ok(verified) = judge(&of_claims(&text), &keys) {
            // As they were read: a fraction may differ from what was written in its last bit.
            let claims: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&Value::from(verified.claims().all().clone()), &claims);
            prop_assert!(claims["exp"].as_f64().unwrap() > 1_795_197_600.0);
            prop_assert!(claims["iat"].as_f64().unwrap() < 1_795_197_660.001);
        }
    }
}
