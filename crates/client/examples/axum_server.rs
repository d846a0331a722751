//! A server that lets in the pushes to `main` of one organization. `cargo run --example axum_server --features allow,axum`,
//! and ask it: `curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/deploy -d ''`.

use octo_sts::Verifier;
use octo_sts::axum::{Verified, VerifiedGitHub};

async fn deploy(Verified(token): Verified, VerifiedGitHub(github): VerifiedGitHub) -> String {
    let run = github.run_id.unwrap_or_default();
    format!("deploying for {}, run {run}\n", token.claims().subject())
}

fn app(verifier: Verifier) -> axum::Router {
    axum::Router::new().route("/deploy", axum::routing::post(deploy)).with_state(verifier)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let environment = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let issuer = environment("ISSUER", octo_sts::github::ISSUER);
    let verifier = Verifier::builder()
        .audience(environment("AUDIENCE", "api.example.com"))
        .allow(format!("issuer: {issuer}\nsubject_pattern: repo:acme/[^:]+:ref:refs/heads/main\nclaim_pattern: {{event_name: push}}\n"))
        .allow_loopback_http(issuer.starts_with("http://127.0.0.1:"))
        .issuer(issuer)
        .build()?;
    let listener = tokio::net::TcpListener::bind(environment("LISTEN", "127.0.0.1:8080")).await?;
    #[expect(clippy::print_stdout, reason = "an example for the terminal")]
    {
        println!("http://{}", listener.local_addr()?);
    }
    axum::serve(listener, app(verifier)).await?;
    Ok(())
}
