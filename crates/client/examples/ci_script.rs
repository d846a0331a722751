//! A script of a job: gets a GitHub token, uses it, ends it. `DOMAIN=sts.example.com cargo run --example ci_script`.

use octo_sts::actions;
use octo_sts::client::{Exchange, Sts};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let domain = std::env::var("DOMAIN")?;
    let sts = Sts::new(&domain)?;
    let oidc = actions::id_token_blocking(sts.audience())?;
    let token =
        sts.exchange_blocking(&Exchange::new("acme/app", "deploy").permission("contents", "read"), &oidc)?;
    #[expect(clippy::print_stdout, reason = "an example for the terminal")]
    {
        println!("may {:?} until {}", token.permissions, token.expires_at);
    }
    sts.revoke_blocking(&token.token)?;
    Ok(())
}
