//! The command line of `sts doctor`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::app::arguments::Web;

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 no problems found, 1 problems found, 2 wrong usage.\n\nExample:\n  \
                        sts doctor https://sts.example.com --app-id 1234 --key app.private-key.pem --org acme .")]
pub(crate) struct Doctor {
    /// The service: `https://sts.example.com`.
    #[arg(value_name = "URL")]
    pub(crate) service: String,
    /// Files, or repositories, whose policies the App has to serve (with `--app-id`).
    #[arg(value_name = "PATH", requires = "app_id")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) web: Web,
    /// The App's id or client id, to check GitHub's side too.
    #[arg(long, value_name = "ID", requires = "key")]
    pub(crate) app_id: Option<String>,
    /// The App's private key: a PEM file, or `-` for standard input.
    #[arg(long, value_name = "FILE|-", requires = "app_id")]
    pub(crate) key: Option<PathBuf>,
    /// An organization that the App has to serve: its installation, policy repository and list of issuers.
    #[arg(long, value_name = "NAME", requires = "app_id")]
    pub(crate) org: Option<String>,
    /// The name of the organization's policy repository.
    #[arg(long, value_name = "NAME", default_value = ".github")]
    pub(crate) policy_repository: String,
    /// A file that remembers the service's keys from one run to the next.
    #[arg(long, value_name = "FILE")]
    pub(crate) seen: Option<PathBuf>,
    /// The format of the findings.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: DoctorFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DoctorFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object.
    Json,
}
