//! The command line. These texts are the help, the completions and the man page.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::ask_arguments::{Claims, ExchangeArguments, Revoke, Session, TokenArguments};

/// Validate, explain and write trust policies.
#[derive(Debug, Parser)]
#[command(
    name = "sts",
    version,
    about = "Validate, explain and write trust policies",
    long_about = "Validates, explains and writes trust policies: the files in `.github/chainguard` that say who may \
                  get a GitHub token, and for what.\n\nExit codes: 0 no problem, 1 problems or a refusal, 2 wrong usage.",
    after_help = "The commands about policies send nothing anywhere, except for `explain --verify`, which asks a token's \
                  issuer for its keys. A token is printed only by the commands that ask for one, and on a terminal only \
                  with `--show`.",
    disable_help_subcommand = true
)]
pub(crate) struct Arguments {
    /// When to color the output; a non-empty NO_COLOR means never.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check policy files and report every problem
    Validate(Validate),
    /// Check a token or its claims against a policy, and explain every rule
    Explain(Explain),
    /// Write a minimal policy
    Init(Init),
    /// Create the GitHub App of a service, and plan its permissions
    #[command(subcommand)]
    App(crate::app::arguments::App),
    /// Check a running service, and say what is wrong and how to fix it
    Doctor(crate::doctor::arguments::Doctor),
    /// Check an upstream of a running service's proxy
    #[command(subcommand)]
    Upstream(crate::upstream_check::UpstreamCommand),
    /// Print the OIDC token of the job that it runs in
    Token(TokenArguments),
    /// Exchange an OIDC token for a GitHub token, and print it or run a command with it
    Exchange(ExchangeArguments),
    /// Exchange an OIDC token for a session token of the proxy
    Session(Session),
    /// Print what a token contains, without the token itself
    Claims(Claims),
    /// Revoke a GitHub token or session token
    Revoke(Revoke),
    /// Print the JSON Schema of a kind of file
    Schema {
        /// Which file.
        #[arg(value_enum, default_value_t)]
        name: SchemaName,
    },
    /// Print completions for a shell
    Completions {
        /// Which shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man {
        /// The page of one command: `sts man validate`.
        command: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum SchemaName {
    /// A policy in the repository that it is for.
    #[default]
    TrustPolicy,
    /// A policy in the organization's policy repository.
    OrganizationTrustPolicy,
    /// The organization's list of trusted issuers.
    TrustedTokenIssuers,
    /// The proxy's upstreams, in `wrangler.toml`.
    Upstreams,
}

/// Where a file is, which decides which rules apply to it.
#[derive(Debug, Args)]
pub(crate) struct Home {
    /// The files belong to the organization's policy repository: policies may list `repositories` and grant
    /// permissions on the organization. Otherwise the name of the repository's folder decides.
    #[arg(long)]
    pub(crate) org: bool,
    /// The name of the organization's policy repository.
    #[arg(long, value_name = "NAME", default_value = ".github")]
    pub(crate) policy_repository: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 no problem, 1 problems, 2 wrong usage or a file that cannot be read.")]
pub(crate) struct Validate {
    /// Files, or repositories (their `.github/chainguard` is checked); `-` is standard input.
    #[arg(value_name = "PATH", default_value = ".")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) home: Home,
    /// Count warnings as errors.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Repair what can have only one meaning, and show what changed: `-` in names of permissions, quotes around values
    /// that YAML parsers read as something else, names of files that lack `.sts`. No repair makes a policy grant more.
    #[arg(long)]
    pub(crate) fix: bool,
    /// The format of the report.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: the line, a caret, and what to write instead.
    #[default]
    Human,
    /// One JSON object.
    Json,
    /// SARIF 2.1.0, for GitHub code scanning and editors.
    Sarif,
    /// Workflow commands, which become annotations in a run of GitHub Actions.
    Github,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 the policy admits the token, 1 it does not (or the file or token is broken), \
                        2 wrong usage.\n\nIn a job of GitHub Actions with `id-token: write`:\n  \
                        curl -sS -H \"Authorization: Bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN\" \\\n    \
                        \"$ACTIONS_ID_TOKEN_REQUEST_URL&audience=sts.example.com\" | jq -r .value |\n    \
                        sts explain .github/chainguard/deploy.sts.yaml --token - --domain sts.example.com"
)]
pub(crate) struct Explain {
    /// The policy's file; with `--upstream`, `wrangler.toml`.
    pub(crate) policy: PathBuf,
    /// Check the token against the rules of this upstream of the proxy.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["org", "policy_repository"])]
    pub(crate) upstream: Option<String>,
    #[command(flatten)]
    pub(crate) home: Home,
    #[command(flatten)]
    pub(crate) evidence: Evidence,
    /// Ask the token's issuer for its keys, and verify signature and times.
    #[arg(long, conflicts_with = "claims")]
    pub(crate) verify: bool,
    /// The domain of the service: the audience that a token must have when the policy names none.
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// Accept issuers at `http://localhost`, for testing an issuer. An exchange refuses them.
    #[arg(long)]
    pub(crate) allow_loopback_http: bool,
    /// The format of the explanation.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ExplainFormat,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Evidence {
    /// A JSON object with the token's claims: a file, or `-` for standard input.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) claims: Option<PathBuf>,
    /// The token: a file, `-` for standard input, or `env:NAME`. Never the token itself: others can read command lines.
    #[arg(long, value_name = "FILE|-|env:NAME")]
    pub(crate) token: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExplainFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object.
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = "On a terminal, the command asks for what is missing. Example:\n  \
                        sts init deploy --repo acme/app --branch main --permission deployments=write \\\n    \
                        --repository-id 123456789 --event push")]
pub(crate) struct Init {
    /// The policy's name, which an exchange uses to ask for it; the file is `.github/chainguard/{IDENTITY}.sts.yaml`.
    pub(crate) identity: Option<String>,
    /// The repository whose workflow gets the token: `acme/app`.
    #[arg(long, value_name = "OWNER/NAME")]
    pub(crate) repo: Option<String>,
    /// The branch that the workflow runs on.
    #[arg(long)]
    pub(crate) branch: Option<String>,
    /// The environment of the job; GitHub then names it in the token's subject instead of the branch.
    #[arg(long)]
    pub(crate) environment: Option<String>,
    /// The workflow file: `deploy.yaml`, in `.github/workflows` of the repository.
    #[arg(long, value_name = "FILE")]
    pub(crate) workflow: Option<String>,
    /// An event that may start the run; may be given several times.
    #[arg(long = "event", value_name = "NAME")]
    pub(crate) events: Vec<String>,
    /// A permission and its level; may be given several times.
    #[arg(long = "permission", value_name = "NAME=LEVEL")]
    pub(crate) permissions: Vec<String>,
    /// The repository's number, which never changes hands: `gh api repos/acme/app --jq .id`.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) repository_id: Option<u64>,
    /// The owner's number: `gh api repos/acme/app --jq .owner.id`. With both numbers, the subject has the form with
    /// numbers, as in tokens of repositories created, renamed or transferred since July 2026.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) owner_id: Option<u64>,
    /// The audience of the tokens, if it is not the domain of the service.
    #[arg(long)]
    pub(crate) audience: Option<String>,
    /// Write a policy for the organization's policy repository.
    #[arg(long)]
    pub(crate) org: bool,
    /// A repository that the token covers, by its bare name; may be given several times (with `--org`).
    #[arg(long = "covers", value_name = "NAME", requires = "org")]
    pub(crate) covers: Vec<String>,
    /// The file to write instead, or `-` for standard output.
    #[arg(long, short, value_name = "FILE|-")]
    pub(crate) output: Option<PathBuf>,
    /// Overwrite the file if there is one.
    #[arg(long)]
    pub(crate) force: bool,
}
