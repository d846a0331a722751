//! The App's private key: PEM of PKCS#1 (what GitHub hands out) or PKCS#8, with real line ends or `\n` escapes, to the
//! PKCS#8 DER that platforms import.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::secret::SecretBytes;

/// Not an RSA private key in PEM. Says nothing about what it is instead: that could be a part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateKeyError;

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
    let (label, base64) = armoured(&pem).ok_or(PrivateKeyError)?;
    let der = Zeroizing::new(STANDARD.decode(base64.as_bytes()).map_err(|_| PrivateKeyError)?);
    match label {
        "RSA PRIVATE KEY" => check_pkcs1(&der).map(|()| SecretBytes::new(wrap_pkcs1(&der))),
        "PRIVATE KEY" => check_pkcs8(&der).map(|()| SecretBytes::new(der.to_vec())),
        _ => None,
    }
    .ok_or(PrivateKeyError)
}

/// Modulus and public exponent of a key that [`parse_private_key`] took, big-endian without leading zero bytes.
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

/// The label and the base64 text of the only PEM block.
fn armoured(pem: &str) -> Option<(&str, Zeroizing<String>)> {
    let (label, rest) = pem.trim().strip_prefix("-----BEGIN ")?.split_once("-----")?;
    let body = rest.strip_suffix(&format!("-----END {label}-----"))?;
    Some((label, Zeroizing::new(body.split_ascii_whitespace().collect())))
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
    // Attributes may follow; they mean nothing to us.
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
    fn anything_else_is_refused() {
        let pkcs8 = pkcs8();
        let pkcs1 = pkcs1_inside(&pkcs8);
        let good = pem("PRIVATE KEY", &pkcs8);
        let mut trailing = pkcs8.clone();
        trailing.push(0);
        for bad in [
            String::new(),
            "hunter2".to_owned(),
            good.replace("-----END PRIVATE KEY-----", ""),
            pem("PUBLIC KEY", &pkcs8),
            pem("ENCRYPTED PRIVATE KEY", &pkcs8),
            pem("EC PRIVATE KEY", &pkcs8),
            pem("PRIVATE KEY", &pkcs1),
            pem("RSA PRIVATE KEY", &pkcs8),
            pem("PRIVATE KEY", &pkcs8[..pkcs8.len() - 1]),
            pem("RSA PRIVATE KEY", &pkcs1[..pkcs1.len() - 9]),
            pem("PRIVATE KEY", &trailing),
            pem("PRIVATE KEY", b""),
            good.replace("MII", "!II"),
            format!("{good}{good}"),
        ] {
            assert!(parse_private_key(&bad).is_err());
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
