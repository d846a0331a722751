//! `sts doctor`: checks a running service from outside and, with the App's key, from GitHub's side.
//!
//! | module | owns |
//! | --- | --- |
//! | `outside` | what everybody can ask the service |
//! | `inside` | what GitHub tells the App |
//! | `finding` | a code, the severity, what, and what to do |

pub(crate) mod arguments;
pub(crate) mod finding;
mod inside;
pub(crate) mod outside;

use std::fmt::Write as _;

use octo_sts_native::NativeFetch;
use serde_json::json;

use crate::app::github::{AsApp, GitHub};
use crate::app::plan::Wanted;
use crate::arguments::Home;
use crate::origin::origin;
use crate::outcome::{Failure, Outcome, Style};

use arguments::{Doctor, DoctorFormat};
use finding::{Finding, Findings, Severity};
use inside::Purpose;
use outside::Service;

pub(crate) fn run(arguments: &Doctor, style: &Style) -> Result<Outcome, Failure> {
    let (url, host) = service_of(&arguments.service)?;
    let github = GitHub::of(&arguments.web.github)?;
    let fetch = NativeFetch::new();
    let wanted = match arguments.paths.as_slice() {
        [] => None,
        paths => {
            let home = Home { org: false, policy_repository: arguments.policy_repository.clone() };
            Some(Wanted::of(paths, &home)?)
        }
    };
    let app = match (&arguments.app_id, &arguments.key) {
        (Some(app_id), Some(key)) => Some((app_id, AsApp::new(&fetch, &github, app_id, key)?)),
        _ => None,
    };
    let mut findings = Findings::default();
    outside::look(
        &Service { fetch: &fetch, url: &url, host: &host },
        arguments.seen.as_deref(),
        &mut findings,
    )?;
    if let Some((app_id, app)) = &app {
        let purpose = Purpose {
            host: &host,
            app_id,
            organization: arguments.org.as_deref(),
            policy_repository: &arguments.policy_repository,
            wanted: wanted.as_ref(),
        };
        inside::look(app, &purpose, &mut findings);
    }
    told(&url, &findings, arguments.format, *style)
}

/// The findings, in the requested format.
pub(crate) fn told(
    url: &str,
    findings: &Findings,
    format: DoctorFormat,
    style: Style,
) -> Result<Outcome, Failure> {
    let text = match format {
        DoctorFormat::Human => {
            human(url, findings, style).map_err(|error| Failure::Failed(error.to_string()))?
        }
        DoctorFormat::Json => {
            let found: Vec<_> = findings.found.iter().map(Finding::json).collect();
            format!(
                "{:#}\n",
                json!({ "version": 1, "service": url, "findings": found, "well": findings.well })
            )
        }
    };
    Ok(Outcome::verdict(text, findings.found.is_empty()))
}

/// The address without a path, and its host as in `DOMAIN`.
pub(crate) fn service_of(text: &str) -> Result<(String, String), Failure> {
    let (scheme, authority) = origin(text).ok_or_else(|| {
        Failure::Usage(format!("`{text}` is not the address of a service: write `https://sts.example.com`"))
    })?;
    Ok((format!("{scheme}://{authority}"), authority.as_str().to_owned()))
}

fn human(url: &str, findings: &Findings, style: Style) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for Finding { code, severity, message, fix } in &findings.found {
        let word = match severity {
            Severity::Error => style.error("error"),
            Severity::Warning => style.warning("warning"),
        };
        writeln!(text, "{word}[{code}]: {message}\n  {} {fix}", style.frame("fix:"))?;
    }
    if !findings.well.is_empty() {
        writeln!(text, "{}: {}", style.good("ok"), findings.well.join(", "))?;
    }
    match findings.found.len() {
        0 => writeln!(text, "{url}: no problems found")?,
        1 => writeln!(text, "{url}: 1 finding")?,
        count => writeln!(text, "{url}: {count} findings")?,
    }
    Ok(text)
}
