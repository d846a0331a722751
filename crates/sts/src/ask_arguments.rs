//! The command line of the commands that ask for tokens.

use clap::Args;

/// Where a token may be shown.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Print the token even on a terminal.
    #[arg(long)]
    pub(crate) show: bool,
}

/// Whom to ask, and with what.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The domain of the service. Default: the variable STS_DOMAIN.
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// The OIDC token: a file, `-` for standard input, or `env:NAME`. In a GitHub Actions job with `id-token: write`, the default
    /// is the job's own token.
    #[arg(long, value_name = "FILE|-|env:NAME")]
    pub(crate) token: Option<String>,
    /// The audience of the job's token, if it is not the service.
    #[arg(long, conflicts_with = "token")]
    pub(crate) audience: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 there is a token, 1 there is none, 2 wrong usage.")]
pub(crate) struct TokenArguments {
    /// The audience of the token: the domain of the service that receives it.
    #[arg(long)]
    pub(crate) audience: String,
    #[command(flatten)]
    pub(crate) show: Show,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 there is a token, 1 there is none, 2 wrong usage; with `--exec` the command's own.\n\n\
                        In a job:\n  sts exchange acme/app deploy --domain sts.example.com --exec gh issue list -R acme/app\n  \
                        GH_TOKEN=$(sts exchange acme/app deploy --domain sts.example.com)"
)]
pub(crate) struct ExchangeArguments {
    /// `owner/repo`, or `owner` for a policy of the organization.
    pub(crate) scope: String,
    /// The policy's name.
    pub(crate) identity: String,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Only these permissions, out of those that the policy grants: `contents:read,issues:read`.
    #[arg(long, value_name = "NAME:LEVEL,…")]
    pub(crate) permissions: Option<String>,
    /// Only these repositories, out of those that the policy covers, by their bare names.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) repositories: Vec<String>,
    #[command(flatten)]
    pub(crate) show: Show,
    /// Run this command with the token in GH_TOKEN, and revoke the token afterwards. Takes the rest of the line.
    #[arg(long, value_name = "CMD", num_args = 1.., allow_hyphen_values = true, conflicts_with = "show")]
    pub(crate) exec: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 there is a token, 1 there is none, 2 wrong usage.")]
pub(crate) struct Session {
    /// The upstream of the proxy, by its name.
    pub(crate) upstream: String,
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) show: Show,
}

#[derive(Debug, Args)]
pub(crate) struct Claims {
    /// The token: a file, `-` for standard input, or `env:NAME`.
    #[arg(long, value_name = "FILE|-|env:NAME", conflicts_with = "audience")]
    pub(crate) token: Option<String>,
    /// In a job: ask for a token with this audience, and print its claims.
    #[arg(long)]
    pub(crate) audience: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The domain of the service. Default: the variable STS_DOMAIN.
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// The GitHub token or session token: a file, `-` for standard input, or `env:NAME`.
    #[arg(long, value_name = "FILE|-|env:NAME", default_value = "env:GH_TOKEN")]
    pub(crate) token: String,
}
