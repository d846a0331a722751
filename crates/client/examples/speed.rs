//! How long a warm verification takes beside the signature check alone: RS256, a token as GitHub writes it. For a quiet
//! machine: `cargo run --release --config profile.release.opt-level=3 --package octo-sts --example speed`.

use std::time::{Instant, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use octo_sts::{Verifier, github};
use octo_sts_doubles::published::Published;
use serde_json::{Value, json};

const ROUNDS: usize = 15;
const CALLS: u32 = 1000;

fn claims(now: u64) -> Value {
    let mut claims = json!({
        "iss": github::ISSUER, "sub": "repo:acme/app:ref:refs/heads/main", "aud": "api.example.com",
        "iat": now, "nbf": now, "exp": now + 3600, "repository": "acme/app", "repository_id": "74",
    });
    if let Some(members) = claims.as_object_mut() {
        for number in 0..22 {
            members.insert(
                format!("job_workflow_{number}"),
                "acme/app/.github/workflows/deploy.yaml@main".into(),
            );
        }
    }
    claims
}

/// Nanoseconds for one call: the median of the rounds.
fn measured(mut call: impl FnMut() -> bool) -> Result<u128, Box<dyn std::error::Error>> {
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..CALLS {
            if !call() {
                return Err("the token is not accepted".into());
            }
        }
        rounds.push(started.elapsed().as_nanos() / u128::from(CALLS));
    }
    rounds.sort_unstable();
    rounds.get(ROUNDS / 2).copied().ok_or_else(|| "no rounds".into())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pair = KeyPair::generate(KeySize::Rsa2048)?;
    // RSAPublicKey of RFC 8017: for 2048 bits, 9 bytes stand before the modulus and 5 behind, of which 3 are 65537.
    let der = pair.public_key().as_ref();
    let (n, e) = der.get(9..265).zip(der.get(267..)).ok_or("not a key of 2048 bits")?;
    let components = RsaPublicKeyComponents { n, e };
    let [n, e] = [n, e].map(|part| URL_SAFE_NO_PAD.encode(part));
    let keys = json!({"keys": [{"kty": "RSA", "kid": "k", "n": n, "e": e}]}).to_string();
    let now = UNIX_EPOCH.elapsed()?.as_secs();
    let header = json!({"alg": "RS256", "kid": "k", "typ": "JWT"});
    let input = [header, claims(now)].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature)?;
    let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(&signature));

    let verifier = Verifier::builder()
        .issuer(github::ISSUER)
        .audience("api.example.com")
        .transport(Published { issuer: github::ISSUER.to_owned(), keys })
        .build()?;
    let key: ParsedPublicKey = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)?;
    let alone = measured(|| key.verify_sig(input.as_bytes(), &signature).is_ok())?;
    let whole = measured(|| verifier.verify_blocking(&token).is_ok())?;
    #[expect(clippy::print_stdout, reason = "an example for the terminal")]
    {
        println!("signature alone {alone} ns, verification {whole} ns, {} per cent", whole * 100 / alone);
    }
    Ok(())
}
