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
use octo_sts::Verifier;
use octo_sts::github::{self, GitHubClaims};
use octo_sts_doubles::published::Published;
use serde_json::{Value, json};

/// Many short rounds, one way after the other in each: what else the machine does meets both.
const ROUNDS: usize = 400;
const CALLS: u32 = 50;

/// The thirty claims of a job, as GitHub writes them.
fn claims(now: u64) -> Value {
    json!({
        "iss": github::ISSUER, "sub": "repo:acme/app:ref:refs/heads/main", "aud": "api.example.com",
        "iat": now, "nbf": now, "exp": now + 3600, "jti": "0d7d7c3e-2f43-4c8c-a7a9-19a7f61d9df2",
        "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true",
        "sha": "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "repository": "acme/app", "repository_id": "74",
        "repository_owner": "acme", "repository_owner_id": "65", "repository_visibility": "private",
        "run_id": "30433642", "run_number": "7", "run_attempt": "1", "actor": "octocat", "actor_id": "583231",
        "workflow": "deploy", "workflow_ref": "acme/app/.github/workflows/deploy.yaml@refs/heads/main",
        "workflow_sha": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
        "job_workflow_ref": "acme/app/.github/workflows/deploy.yaml@refs/heads/main",
        "job_workflow_sha": "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "head_ref": "", "base_ref": "",
        "event_name": "push", "runner_environment": "github-hosted",
    })
}

/// Nanoseconds for one call.
fn timed(call: &mut dyn FnMut() -> bool) -> Result<u128, Box<dyn std::error::Error>> {
    let started = Instant::now();
    for _ in 0..CALLS {
        if !call() {
            return Err("the token is not accepted".into());
        }
    }
    Ok(started.elapsed().as_nanos() / u128::from(CALLS))
}

/// For each of the ways the median of its rounds, and that of how each round compares with the first way's.
fn measured<const N: usize>(
    mut ways: [&mut dyn FnMut() -> bool; N],
) -> Result<[(u128, u128); N], Box<dyn std::error::Error>> {
    let mut rounds: [(Vec<u128>, Vec<u128>); N] = std::array::from_fn(|_| (Vec::new(), Vec::new()));
    for _ in 0..ROUNDS {
        let mut first = None;
        for (way, (times, shares)) in ways.iter_mut().zip(&mut rounds) {
            let time = timed(*way)?;
            times.push(time);
            shares.push(time * 1000 / (*first.get_or_insert(time)).max(1));
        }
    }
    let median = |mut values: Vec<u128>| {
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Ok(rounds.map(|(times, shares)| (median(times), median(shares))))
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
    let [alone, whole, typed] = measured([
        &mut || key.verify_sig(input.as_bytes(), &signature).is_ok(),
        &mut || verifier.verify_blocking(&token).is_ok(),
        &mut || {
            verifier.verify_blocking(&token).is_ok_and(|token| GitHubClaims::from(&token).run_id.is_some())
        },
    ])?;
    #[expect(clippy::print_stdout, reason = "an example for the terminal")]
    for (what, (nanoseconds, share)) in
        [("the signature alone", alone), ("verified", whole), ("verified, and every claim typed", typed)]
    {
        println!("{what}: {nanoseconds} ns, {}.{:03}", share / 1000, share % 1000);
    }
    Ok(())
}
