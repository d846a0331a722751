//! The App from GitHub's side: its key, permissions, events, webhook and installations.

use octo_sts_policy::trusted_issuers;
use octo_sts_verifier::secret::Secret;
use serde_json::{Value, json};

use crate::app::github::{Answer, AsApp};
use crate::app::permissions::{EVENTS, Needs};
use crate::app::plan::Wanted;

use super::finding::Findings;

/// A hundred at a time; an App with more installations than this is only checked in part.
const MAX_PAGES: usize = 10;

/// What the App has to support.
pub(crate) struct Purpose<'a> {
    pub(crate) host: &'a str,
    pub(crate) app_id: &'a str,
    pub(crate) organization: Option<&'a str>,
    pub(crate) policy_repository: &'a str,
    /// `None` if no policies were named.
    pub(crate) wanted: Option<&'a Wanted>,
}

/// Everything that the App's key gives access to.
pub(crate) fn look(app: &AsApp<'_>, purpose: &Purpose<'_>, findings: &mut Findings) {
    let Some(about) = get(app, "/app", findings) else { return };
    match about.status {
        200 => findings.well.push("key"),
        401 => {
            let message = format!(
                "GitHub does not accept the key for the App `{}`: they do not belong together, or the key was deleted",
                purpose.app_id
            );
            findings.error("key", message, "generate a private key in the settings of this App; `GITHUB_APP_ID` and `GITHUB_APP_PRIVATE_KEY` must belong to the same App");
            return;
        }
        status => return unexpected("/app", status, findings),
    }
    findings.look("permissions", |findings| permissions(&about, purpose, findings));
    findings.look("events", |findings| events(&about, app, findings));
    findings.look("webhook", |findings| webhook(app, purpose, findings));
    findings.look("deliveries", |findings| deliveries(app, findings));
    let mut installation = None;
    findings.look("installations", |findings| installation = installations(app, purpose, &about, findings));
    if let (Some(id), Some(organization)) = (installation, purpose.organization) {
        findings.look("policy repository", |findings| {
            policy_repository(app, id, organization, purpose, findings)
        });
    }
}

fn get(app: &AsApp<'_>, path: &str, findings: &mut Findings) -> Option<Answer> {
    match app.ask("GET", path, None) {
        Ok(answer) => Some(answer),
        Err(why) => {
            findings.error(
                "github",
                format!("GitHub, {path}: {why}"),
                "try again later; https://www.githubstatus.com says what GitHub knows",
            );
            None
        }
    }
}

fn unexpected(path: &str, status: u16, findings: &mut Findings) {
    findings.error(
        "github",
        format!("GitHub answers {path} with {status}"),
        "try again later; https://www.githubstatus.com says what GitHub knows",
    );
}

/// Where an App's settings are.
fn settings(about: &Answer) -> String {
    let page = about.json.get("html_url").and_then(Value::as_str).unwrap_or("the App's page");
    format!("{page} → App settings → Permissions & events")
}

fn permissions(about: &Answer, purpose: &Purpose<'_>, findings: &mut Findings) {
    let had = Needs::of_json(about.json.get("permissions").unwrap_or(&Value::Null));
    let place = settings(about);
    let own = Needs::own();
    let needs = purpose.wanted.map_or(&own, |wanted| &wanted.needs);
    for (name, level, held) in needs.beyond(&had) {
        let who = purpose
            .wanted
            .map_or_else(|| vec!["the service itself".to_owned()], |wanted| wanted.who_needs(name, held));
        let message = format!("the App lacks `{name}: {level}`, which {} needs", who.join(", "));
        findings.error(
            "permission_missing",
            message,
            format!("set it under {place}; every owner has to accept it then"),
        );
    }
    let Some(wanted) = purpose.wanted else { return };
    for path in &wanted.broken {
        findings.error(
            "policy_broken",
            format!("`{path}` is broken, so it grants no tokens until it is fixed"),
            format!("`sts validate {path}`"),
        );
    }
    for (name, level, needed) in had.beyond(&wanted.needs).filter(|(name, ..)| *name != "metadata") {
        let enough =
            needed.map_or_else(|| "nothing needs it".to_owned(), |needed| format!("`{needed}` is enough"));
        findings.warning(
            "permission_unneeded",
            format!("the App has `{name}: {level}`, and {enough}"),
            format!("take it away under {place}"),
        );
    }
}

fn events(about: &Answer, _app: &AsApp<'_>, findings: &mut Findings) {
    let list = about.json.get("events").and_then(Value::as_array);
    let had: Vec<&str> = list.into_iter().flatten().filter_map(Value::as_str).collect();
    for event in EVENTS.iter().filter(|event| !had.contains(*event)) {
        findings.warning(
            "event_missing",
            format!("GitHub does not notify the service of `{event}`"),
            format!("subscribe to it under {}", settings(about)),
        );
    }
}

fn webhook(app: &AsApp<'_>, purpose: &Purpose<'_>, findings: &mut Findings) {
    let Some(answer) = get(app, "/app/hook/config", findings) else { return };
    let fix = |body: Value| format!("`PATCH /app/hook/config` with {body}, or the App's settings → Webhook");
    let wanted = format!("https://{}/webhook", purpose.host);
    if answer.status == 404 {
        findings.warning(
            "webhook_off",
            "the App has no webhook",
            fix(json!({ "url": wanted, "content_type": "json" })),
        );
        return;
    }
    if answer.status != 200 {
        return unexpected("/app/hook/config", answer.status, findings);
    }
    let text = |name: &str| answer.json.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("url").trim_end_matches('/') != wanted {
        findings.error(
            "webhook_url",
            format!("GitHub delivers to `{}`", text("url")),
            fix(json!({ "url": wanted })),
        );
    }
    if text("content_type") != "json" {
        findings.warning(
            "webhook_content_type",
            format!("deliveries are of the content type `{}`", text("content_type")),
            fix(json!({ "content_type": "json" })),
        );
    }
    if text("secret").is_empty() {
        findings.error("webhook_secret", "the webhook has no secret, so the service refuses every delivery", "set one in the App's settings → Webhook, and the same with `npx wrangler secret put GITHUB_WEBHOOK_SECRET`");
    }
    // GitHub writes it as text or as a number.
    if !matches!(answer.json.get("insecure_ssl"), None | Some(Value::Null))
        && !["0", ""].contains(&text("insecure_ssl"))
    {
        findings.error(
            "webhook_tls",
            "GitHub delivers without verifying the certificate",
            fix(json!({ "insecure_ssl": "0" })),
        );
    }
}

fn deliveries(app: &AsApp<'_>, findings: &mut Findings) {
    let Some(answer) = get(app, "/app/hook/deliveries?per_page=30", findings) else { return };
    match answer.status {
        200 => {}
        // An App without a webhook, which is a finding already.
        404 => return,
        status => return unexpected("/app/hook/deliveries", status, findings),
    }
    let list = answer.json.as_array().map(Vec::as_slice).unwrap_or_default();
    let status = |delivery: &Value| delivery.get("status_code").and_then(Value::as_u64).unwrap_or(0);
    let failed: Vec<&Value> =
        list.iter().filter(|delivery| !(200..400).contains(&status(delivery))).collect();
    let Some(last) = failed.first() else { return };
    let event = last.get("event").and_then(Value::as_str).unwrap_or_default();
    let message = format!(
        "{} of the last {} deliveries failed, the newest (`{event}`) with {}",
        failed.len(),
        list.len(),
        status(last)
    );
    let fix = match status(last) {
        401 => {
            "the secrets differ: set the same one in the App's settings and with `npx wrangler secret put GITHUB_WEBHOOK_SECRET`, then redeliver"
        }
        500 => "`/readyz` names the setting; then redeliver in the App's settings → Advanced",
        _ => "redeliver in the App's settings → Advanced, and see the log: `npx wrangler tail`",
    };
    // Later successful deliveries show that the problem is over.
    if list.first().is_some_and(|newest| (200..400).contains(&status(newest))) {
        findings.warning("deliveries", message, fix);
    } else {
        findings.error("deliveries", message, fix);
    }
}

/// The id of the organization's installation, if it can be used.
fn installations(
    app: &AsApp<'_>,
    purpose: &Purpose<'_>,
    about: &Answer,
    findings: &mut Findings,
) -> Option<u64> {
    let page = about
        .json
        .get("html_url")
        .and_then(Value::as_str)
        .unwrap_or("the App's page")
        .trim_end_matches('/')
        .to_owned();
    let mut all = Vec::new();
    for number in 1..=MAX_PAGES {
        let answer = get(app, &format!("/app/installations?per_page=100&page={number}"), findings)?;
        let Value::Array(some) = answer.json else {
            unexpected("/app/installations", answer.status, findings);
            return None;
        };
        let is_last = some.len() < 100;
        all.extend(some);
        if is_last {
            break;
        }
    }
    let login = |installation: &Value| {
        installation
            .get("account")
            .and_then(|account| account.get("login"))
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let is_suspended =
        |installation: &Value| !matches!(installation.get("suspended_at"), None | Some(Value::Null));
    for installation in all.iter().filter(|installation| is_suspended(installation)) {
        findings.warning(
            "suspended",
            format!("the installation of `{}` is suspended, so it grants no tokens", login(installation)),
            "an owner unsuspends it in Settings → GitHub Apps",
        );
    }
    if all.is_empty() {
        findings.error("not_installed", "the App is installed nowhere", format!("{page}/installations/new"));
        return None;
    }
    let organization = purpose.organization?;
    let Some(found) = all.iter().find(|installation| login(installation).eq_ignore_ascii_case(organization))
    else {
        findings.error(
            "not_installed",
            format!("the App is not installed for `{organization}`"),
            format!("{page}/installations/new"),
        );
        return None;
    };
    let accepted = Needs::of_json(found.get("permissions").unwrap_or(&Value::Null));
    let had = Needs::of_json(about.json.get("permissions").unwrap_or(&Value::Null));
    for (name, level, _) in had.beyond(&accepted) {
        findings.warning(
            "permission_not_accepted",
            format!("`{organization}` has not accepted `{name}: {level}`"),
            "an owner accepts it in Settings → GitHub Apps → Review request",
        );
    }
    if is_suspended(found) { None } else { found.get("id").and_then(Value::as_u64) }
}

/// Reads the list of issuers like the service, with a token for that one repository, which is revoked afterwards.
fn policy_repository(
    app: &AsApp<'_>,
    id: u64,
    organization: &str,
    purpose: &Purpose<'_>,
    findings: &mut Findings,
) {
    let repository = purpose.policy_repository;
    let body = json!({ "repositories": [repository], "permissions": { "contents": "read" } });
    let answer = match app.ask("POST", &format!("/app/installations/{id}/access_tokens"), Some(&body)) {
        Ok(answer) => answer,
        Err(why) => {
            return findings.error("github", format!("GitHub grants no token: {why}"), "try again later");
        }
    };
    let token = answer.json.get("token").and_then(Value::as_str).map(|token| Secret::new(token.to_owned()));
    let (201, Some(token)) = (answer.status, token) else {
        let message = format!(
            "the App cannot read `{organization}/{repository}` (GitHub answers with {})",
            answer.status
        );
        let fix = format!(
            "create the repository if there is none, and add it to the installation's repositories; without it `{organization}` has no policies of its own and no list of issuers"
        );
        return findings.warning("policy_repository", message, fix);
    };
    let path =
        format!("/repos/{organization}/{repository}/contents/.github/chainguard/trusted-token-issuers.yaml");
    match app.ask_with(&token, "GET", &path, None) {
        // It is optional.
        Ok(answer) if answer.status == 404 => {}
        Ok(answer) if answer.status == 200 => issuers(&answer, organization, findings),
        Ok(answer) => unexpected(&path, answer.status, findings),
        Err(why) => findings.error("github", format!("GitHub, {path}: {why}"), "try again later"),
    }
    let ended = app.ask_with(&token, "DELETE", "/installation/token", None);
    if !ended.is_ok_and(|answer| answer.status == 204) {
        findings.warning(
            "token_left",
            "the token of this check could not be revoked",
            "it expires within the hour, and can read one repository",
        );
    }
}

fn issuers(answer: &Answer, organization: &str, findings: &mut Findings) {
    use base64::Engine as _;
    let encoded = answer.json.get("content").and_then(Value::as_str).unwrap_or_default();
    let compact: String = encoded.split_ascii_whitespace().collect();
    let Ok(source) = base64::engine::general_purpose::STANDARD.decode(compact) else {
        return findings.error("github", "GitHub's answer contains no file", "try again later");
    };
    let report = trusted_issuers::load(&source);
    if report.value.is_none() {
        let why = report.errors().next().map(|error| error.message.clone()).unwrap_or_default();
        findings.error("issuers_invalid", format!("the list of trusted issuers of `{organization}` is broken, so every exchange is refused: {why}"), "`sts validate` in the policy repository shows each problem");
    }
}
