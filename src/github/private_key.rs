//! The App's private key: PEM of PKCS#1 (GitHub's format) or PKCS#8, with line breaks or `\n` escapes, to the PKCS#8
//! DER that platforms import.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::secret::SecretBytes;

/// Why text is not an RSA private key in PEM. The kind of mistake, without any of the text, which could be part of a
/// key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivateKeyError {
    /// A key that needs a pass phrase.
    Encrypted,
    /// OpenSSH's own format.
    OpenSsh,
    /// No PEM block, or more than one.
    NoPem,
    /// A private key of another algorithm.
    NotRsa,
    /// The public half, or a certificate.
    PublicKey,
    /// The whole PEM text, encoded as base64 once more.
    Base64OfPem,
    /// The beginning of a key: the rest is missing or damaged.
    Truncated,
}

impl PrivateKeyError {
    /// Stable, for `/readyz`, logs and the command line.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Encrypted => "encrypted",
            Self::OpenSsh => "openssh",
            Self::NoPem => "no-pem",
            Self::NotRsa => "not-rsa",
            Self::PublicKey => "public-key",
            Self::Base64OfPem => "base64-of-pem",
            Self::Truncated => "truncated",
        }
    }
}

/// `SEQUENCE { OBJECT IDENTIFIER rsaEncryption, NULL }` (RFC 8017, A.1).
const RSA_ALGORITHM: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// Version, modulus, two exponents, two primes, two CRT exponents, the coefficient (RFC 8017, A.1.2).
const RSA_PRIVATE_KEY_INTEGERS: usize = 9;

/// Reads the PEM text of the setting.
///
/// # Errors
/// [`PrivateKeyError`] for another kind of key, an encrypted one, a truncated one, or no key at all.
pub fn parse_private_key(pem: &str) -> Result<SecretBytes, PrivateKeyError> {
    let pem = Zeroizing::new(pem.replace("\\n", "\n").replace("\\r", ""));
    let (label, body) = armoured(&pem)?;
    match label {
        "RSA PRIVATE KEY" | "PRIVATE KEY" => {}
        "ENCRYPTED PRIVATE KEY" => return Err(PrivateKeyError::Encrypted),
        "OPENSSH PRIVATE KEY" => return Err(PrivateKeyError::OpenSsh),
        "PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE" => return Err(PrivateKeyError::PublicKey),
        _ => return Err(PrivateKeyError::NotRsa),
    }
    // RFC 1421's headers, as OpenSSL writes them before an encrypted PKCS#1 key.
    if body.contains("ENCRYPTED") {
        return Err(PrivateKeyError::Encrypted);
    }
    let body = body.strip_suffix(&format!("-----END {label}-----")).ok_or(PrivateKeyError::Truncated)?;
    let base64: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    if base64.contains('-') {
        return Err(PrivateKeyError::NoPem);
    }
    let der = STANDARD.decode(base64.as_bytes()).map_err(|_| PrivateKeyError::Truncated)?;
    let der = Zeroizing::new(der);
    match label {
        "RSA PRIVATE KEY" => check_pkcs1(&der).map(|()| SecretBytes::new(wrap_pkcs1(&der))),
        _ if is_of_another_algorithm(&der) => return Err(PrivateKeyError::NotRsa),
        _ => check_pkcs8(&der).map(|()| SecretBytes::new(der.to_vec())),
    }
    .ok_or(PrivateKeyError::Truncated)
}

/// Modulus and public exponent of a key that [`parse_private_key`] accepted, big-endian without leading zero bytes.
#[must_use]
pub fn rsa_public_parts(pkcs8: &SecretBytes) -> Option<(Vec<u8>, Vec<u8>)> {
    let (inner, _) = element(SEQUENCE, pkcs8.expose())?;
    let (_, inner) = element(INTEGER, inner)?;
    let (pkcs1, _) = element(OCTET_STRING, inner.strip_prefix(&RSA_ALGORITHM)?)?;
    let (inner, _) = element(SEQUENCE, pkcs1)?;
    let (_, inner) = element(INTEGER, inner)?;
    let (modulus, inner) = element(INTEGER, inner)?;
    let (exponent, _) = element(INTEGER, inner)?;
    let trimmed = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect();
    Some((trimmed(modulus), trimmed(exponent)))
}

/// The label of the PEM block that the text is, and what follows it.
fn armoured(pem: &str) -> Result<(&str, &str), PrivateKeyError> {
    const BEGIN: &str = "-----BEGIN ";
    let Some(rest) = pem.trim().strip_prefix(BEGIN) else {
        // If the whole decodes, so does the beginning; four characters are three bytes.
        let start: Zeroizing<String> =
            Zeroizing::new(pem.split_ascii_whitespace().flat_map(str::chars).take(16).collect());
        let decoded = Zeroizing::new(STANDARD.decode(start.as_bytes()).unwrap_or_default());
        let is_encoded_twice = decoded.starts_with(BEGIN.as_bytes());
        return Err(if is_encoded_twice { PrivateKeyError::Base64OfPem } else { PrivateKeyError::NoPem });
    };
    rest.split_once("-----").ok_or(PrivateKeyError::Truncated)
}

/// A complete PKCS#8 key that names another algorithm.
fn is_of_another_algorithm(der: &[u8]) -> bool {
    let algorithm = || {
        let (inner, _) = element(SEQUENCE, der)?;
        let (_, inner) = element(INTEGER, inner)?;
        let (_, _) = element(SEQUENCE, inner)?;
        Some(!inner.starts_with(&RSA_ALGORITHM))
    };
    algorithm() == Some(true)
}

fn check_pkcs1(der: &[u8]) -> Option<()> {
    let (mut inner, rest) = element(SEQUENCE, der)?;
    for index in 0..RSA_PRIVATE_KEY_INTEGERS {
        let (number, after) = element(INTEGER, inner)?;
        if number.is_empty() || (index == 0 && number != [0]) {
            return None;
        }
        inner = after;
    }
    (inner.is_empty() && rest.is_empty()).then_some(())
}

fn check_pkcs8(der: &[u8]) -> Option<()> {
    let (inner, rest) = element(SEQUENCE, der)?;
    let (version, inner) = element(INTEGER, inner)?;
    let inner = inner.strip_prefix(&RSA_ALGORITHM)?;
    // Attributes may follow; they are ignored.
    let (pkcs1, _attributes) = element(OCTET_STRING, inner)?;
    if version != [0] || !rest.is_empty() {
        return None;
    }
    check_pkcs1(pkcs1)
}

/// PKCS#8 around PKCS#1: version 0, the algorithm, and the key as an octet string (RFC 5208, 5).
fn wrap_pkcs1(pkcs1: &[u8]) -> Vec<u8> {
    let mut inner = vec![INTEGER, 1, 0];
    inner.extend(RSA_ALGORITHM);
    inner.push(OCTET_STRING);
    inner.extend(der_length(pkcs1.len()));
    inner.extend(pkcs1);
    let mut outer = vec![SEQUENCE];
    outer.extend(der_length(inner.len()));
    outer.append(&mut inner);
    outer
}

fn der_length(length: usize) -> Vec<u8> {
    let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
    match (length, u8::try_from(bytes.len())) {
        (0, _) => vec![0],
        (1..=0x7f, _) => bytes,
        (_, Ok(count)) => [vec![0x80 | count], bytes].concat(),
        (_, Err(_)) => bytes, // a usize has at most 8 bytes
    }
}

/// Splits one DER element of the given tag off: its content, and what follows.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        // Four bytes of length would be a key of more than 16 MiB.
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};

    use super::*;

    fn pkcs8() -> Vec<u8> {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap().as_ref().to_vec()
    }

    fn pem(label: &str, der: &[u8]) -> String {
        let base64 = STANDARD.encode(der);
        let lines: Vec<&str> =
            base64.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    }

    fn pkcs1_inside(pkcs8: &[u8]) -> Vec<u8> {
        let (inner, _) = element(SEQUENCE, pkcs8).unwrap();
        let (_, inner) = element(INTEGER, inner).unwrap();
        element(OCTET_STRING, inner.strip_prefix(&RSA_ALGORITHM).unwrap()).unwrap().0.to_vec()
    }

    #[test]
    fn both_forms_and_both_line_ends_give_the_same_key() {
        let pkcs8 = pkcs8();
        let pkcs1 = pkcs1_inside(&pkcs8);
        let texts = [pem("PRIVATE KEY", &pkcs8), pem("RSA PRIVATE KEY", &pkcs1)];
        for text in texts {
            for form in
                [text.clone(), text.replace('\n', "\\n"), text.replace('\n', "\r\n"), format!("\n {text} ")]
            {
                assert_eq!(parse_private_key(&form).unwrap().expose(), pkcs8);
            }
        }
    }

    #[test]
    fn anything_else_is_refused_for_its_reason() {
        use PrivateKeyError::{Base64OfPem, Encrypted, NoPem, NotRsa, OpenSsh, PublicKey, Truncated};
        let pkcs8 = pkcs8();
        let pkcs1 = pkcs1_inside(&pkcs8);
        let good = pem("PRIVATE KEY", &pkcs8);
        let mut trailing = pkcs8.clone();
        trailing.push(0);
        let ec = aws_lc_rs::signature::EcdsaKeyPair::generate_pkcs8(
            &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            &aws_lc_rs::rand::SystemRandom::new(),
        );
        let ec = ec.unwrap().as_ref().to_vec();
        let of_openssl = pem("RSA PRIVATE KEY", &pkcs1)
            .replace("KEY-----\nM", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nM");
        for (bad, why) in [
            (String::new(), NoPem),
            ("hunter2".to_owned(), NoPem),
            (STANDARD.encode(&pkcs8), NoPem),
            (STANDARD.encode(&good), Base64OfPem),
            (STANDARD.encode(pem("RSA PRIVATE KEY", &pkcs1)), Base64OfPem),
            (good.replace("-----END PRIVATE KEY-----", ""), Truncated),
            (good.chars().take(300).collect(), Truncated),
            (good.chars().take(20).collect(), Truncated),
            (pem("PUBLIC KEY", &pkcs8), PublicKey),
            (pem("RSA PUBLIC KEY", &pkcs8), PublicKey),
            (pem("CERTIFICATE", &pkcs8), PublicKey),
            (pem("ENCRYPTED PRIVATE KEY", &pkcs8), Encrypted),
            (of_openssl, Encrypted),
            (pem("OPENSSH PRIVATE KEY", &pkcs8), OpenSsh),
            (pem("EC PRIVATE KEY", &pkcs8), NotRsa),
            (pem("PRIVATE KEY", &ec), NotRsa),
            (pem("PRIVATE KEY", &pkcs1), Truncated),
            (pem("RSA PRIVATE KEY", &pkcs8), Truncated),
            (pem("PRIVATE KEY", &pkcs8[..pkcs8.len() - 1]), Truncated),
            (pem("RSA PRIVATE KEY", &pkcs1[..pkcs1.len() - 9]), Truncated),
            (pem("PRIVATE KEY", &trailing), Truncated),
            (pem("PRIVATE KEY", b""), Truncated),
            (good.replace("MII", "!II"), Truncated),
            (format!("{good}{good}"), NoPem),
        ] {
            assert_eq!(parse_private_key(&bad).err(), Some(why));
        }
    }

    #[test]
    fn der_lengths() {
        assert_eq!(der_length(0), [0]);
        assert_eq!(der_length(127), [127]);
        assert_eq!(der_length(128), [0x81, 128]);
        assert_eq!(der_length(1217), [0x82, 4, 193]);
    }
}
