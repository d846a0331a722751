//! The command line of `sts app`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::arguments::Home;

#[derive(Debug, Subcommand)]
pub(crate) enum App {
    /// Create the App on GitHub, and store its secrets in the Worker
    Create(Create),
    /// List the permissions that policies need, and compare them with those of an App
    Plan(Plan),
}

/// Which GitHub.
#[derive(Debug, Args)]
pub(crate) struct Web {
    /// The GitHub that the App is for: `https://github.com`, `https://SUBDOMAIN.ghe.com`, `https://HOST`.
    #[arg(long = "github", value_name = "URL", default_value = "https://github.com")]
    pub(crate) github: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A page opens whose one button takes the App's settings to GitHub. The id, the private key and the \
                        webhook's secret go to `wrangler secret bulk` by standard input; nothing secret is printed or \
                        written, except with `--out`.\n\nExit codes: 0 done, 1 it did not work, 2 wrong usage."
)]
pub(crate) struct Create {
    /// The organization that the App will belong to.
    #[arg(long)]
    pub(crate) org: String,
    /// The domain of the service: `sts.example.com`.
    #[arg(long)]
    pub(crate) domain: String,
    /// The App's name, at most 34 characters; GitHub requires a unique one. It can be changed on the page.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A permission that policies may grant, and its level; may be given several times. `sts app plan` lists them.
    #[arg(long = "permission", value_name = "NAME=LEVEL")]
    pub(crate) permissions: Vec<String>,
    #[command(flatten)]
    pub(crate) web: Web,
    /// Also create the service's key as an issuer (`ISSUER_PRIVATE_KEY`), which the proxy needs.
    #[arg(long)]
    pub(crate) proxy: bool,
    /// Write the secrets into files in this folder, readable only by you, and do not touch the Worker.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// The environment of `wrangler.toml` whose Worker gets the secrets.
    #[arg(long, value_name = "NAME", conflicts_with = "out")]
    pub(crate) env: Option<String>,
    /// Only print the page's address.
    #[arg(long)]
    pub(crate) no_browser: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 the App fits (or none was named), 1 it has too much or too little, or a policy is \
                        broken, 2 wrong usage."
)]
pub(crate) struct Plan {
    /// Files, or repositories (their `.github/chainguard` is checked).
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) home: Home,
    #[command(flatten)]
    pub(crate) web: Web,
    /// The id or client id of an App to compare with.
    #[arg(long, value_name = "ID", requires = "key")]
    pub(crate) app_id: Option<String>,
    /// The App's private key: a PEM file, or `-` for standard input.
    #[arg(long, value_name = "FILE|-", requires = "app_id")]
    pub(crate) key: Option<PathBuf>,
}
