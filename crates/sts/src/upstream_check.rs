//! `sts upstream check`: checks one upstream of a running service, step by step. Without a token, as far as strangers
//! get; with one, up to the upstream's own answer.

use clap::{Args, Subcommand};
use octo_sts_native::NativeFetch;
use serde_json::Value;

use crate::app::github::{self, Answer};
use crate::ask;
use crate::doctor::arguments::DoctorFormat;
use crate::doctor::finding::Findings;
use crate::doctor::outside::{self, Service};
use crate::doctor::{service_of, told};
use crate::outcome::{Failure, Outcome, Style};

#[derive(Debug, Subcommand)]
pub(crate) enum UpstreamCommand {
    /// Send a request to an upstream through the service, and say which step fails and how to fix it
    Check(Check),
}

#[derive(Debug, Args)]
#[command(
    after_help = "With a token one request goes through to the upstream and counts in the token's budget.\n\nExit codes: 0 \
                  no problems found, 1 problems found, 2 wrong usage.\n\nExample:\n  sts upstream check anthropic --url \
                  https://sts.example.com --token env:OIDC_TOKEN --path /v1/models"
)]
pub(crate) struct Check {
    /// The upstream's name.
    name: String,
    /// The service: `https://sts.example.com`.
    #[arg(long, value_name = "URL")]
    url: String,
    /// An OIDC or session token for the upstream: a file, `-` for standard input, or `env:NAME`. In a GitHub Actions job with
    /// `id-token: write`, the default is the job's own token.
    #[arg(long, value_name = "FILE|-|env:NAME")]
    token: Option<String>,
    /// The path to request from the upstream, with GET.
    #[arg(long, default_value = "/")]
    path: String,
    /// The format of the findings.
    #[arg(long, value_enum, default_value_t)]
    format: DoctorFormat,
}

pub(crate) fn run(
    UpstreamCommand::Check(arguments): &UpstreamCommand,
    style: Style,
) -> Result<Outcome, Failure> {
    let Check { name, path, .. } = arguments;
    let (url, host) = service_of(&arguments.url)?;
    if !octo_sts_worker::config::is_upstream_name(name) {
        return Err(Failure::Usage(format!("`{name}` is not the name of an upstream")));
    }
    if !path.starts_with('/') {
        return Err(Failure::Usage(format!("`{path}` is not a path: it begins with `/`")));
    }
    let token = ask::token_if_any(arguments.token.as_deref(), &format!("https://{host}/proxy/{name}"))?;
    let fetch = NativeFetch::new();
    let mut findings = Findings::default();
    let is_there = outside::look(&Service { fetch: &fetch, url: &url, host: &host }, None, &mut findings)?;
    let address = format!("{url}/proxy/{name}{path}");
    let ask = |token| github::ask(&fetch, "GET", &address, token, "application/json", None);
    if is_there && is_open(ask(None), &mut findings) {
        match &token {
            Some(token) => findings.look("request", |findings| request(name, ask(Some(token)), findings)),
            None => findings.warning(
                "no_token",
                "without a token, this check only shows that the proxy is on",
                format!("give `--token`: one whose audience is `https://{host}/proxy/{name}`"),
            ),
        }
    }
    told(&url, &findings, arguments.format, style)
}

/// Which of the proxy's own answers it is; none for an upstream's.
fn error_of(answer: &Answer) -> Option<&str> {
    answer.headers.get("x-octo-sts-error")?.to_str().ok()
}

fn message_of(answer: &Answer) -> &str {
    answer.json.get("message").and_then(Value::as_str).unwrap_or("no reason")
}

/// What a stranger sees: whether there is a proxy at all.
fn is_open(answer: Result<Answer, String>, findings: &mut Findings) -> bool {
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) => {
            findings.error("proxy", format!("the proxy: {why}"), "`npx wrangler tail` shows what fails");
            return false;
        }
    };
    match error_of(&answer) {
        Some("invalid_token") => {
            findings.well.push("proxy");
            return true;
        }
        Some("not_found") => findings.error(
            "proxy_absent",
            "the service has no upstreams",
            "set `UPSTREAMS` in `wrangler.toml` and deploy",
        ),
        Some("misconfigured") => findings.error(
            "proxy_closed",
            message_of(&answer),
            "`sts validate wrangler.toml` and the Worker's log (`npx wrangler tail`) report every problem with its path",
        ),
        _ => findings.error(
            "proxy",
            format!("the proxy answers a request without a token with {}", answer.status),
            "see which Worker or origin answers for `/proxy/`",
        ),
    }
    false
}

/// One request with a token, and the step at which it ended.
fn request(name: &str, answer: Result<Answer, String>, findings: &mut Findings) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) => {
            let fix = "`npx wrangler tail` shows where it waits; the upstream may be slow";
            return findings.error("request", format!("the request through the proxy: {why}"), fix);
        }
    };
    let Some(error) = error_of(&answer) else { return arrived(name, &answer, findings) };
    let message = message_of(&answer);
    let (code, fix) = match error {
        "invalid_token" => ("token", format!("pass a fresh token from an issuer that the service accepts, whose audience is the proxy's path of `{name}`")),
        "not_found" => ("upstream_absent", format!("add `{name}` to `UPSTREAMS` and deploy")),
        "misconfigured" => ("setting", "`npx wrangler secret put` the setting that it names".to_owned()),
        "permission_denied" => ("rules", format!("`sts explain --upstream {name}` checks the token against every rule of `allow`; look at `methods` and `paths` too")),
        "budget_exhausted" | "rate_limited" => ("budget", "wait, or raise `max_requests` or `requests_per_second`".to_owned()),
        // The service's own words for its legs, whole: an upstream may have any of them for its name.
        "unavailable" if message == "the upstream's credential is not available" => ("credential", "`npx wrangler tail` shows `upstream credential not granted` with the provider's status and code; docs/federation.md says what each means".to_owned()),
        "unavailable" if message.starts_with("the upstream `") => ("upstream", "see that `url` is right and that the upstream is up".to_owned()),
        "unavailable" if message == "the record of budgets did not answer" => ("budget_object", "see that `PROXY_BUDGETS` is bound to the class `ProxyBudget`, and its migration deployed".to_owned()),
        _ => ("request", "`npx wrangler tail` shows what fails".to_owned()),
    };
    findings.error(code, message, fix);
}

/// The upstream's own answer.
fn arrived(name: &str, answer: &Answer, findings: &mut Findings) {
    findings.well.push("credential");
    if matches!(answer.status, 401 | 403) {
        findings.error(
            "upstream_refuses",
            format!("the upstream `{name}` answers with {}", answer.status),
            "the credential was sent, but the upstream does not accept it: check its permissions at the provider, and `--path`",
        );
    } else if answer.status >= 500 {
        let message = format!("the upstream `{name}` answers with {}", answer.status);
        findings.warning("upstream_fails", message, "check the upstream's status page");
    }
}
