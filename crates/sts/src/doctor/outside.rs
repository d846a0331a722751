//! The service from outside: reachable, ready, its clock, its metadata and keys.

use std::collections::BTreeSet;
use std::path::Path;

use octo_sts_native::{NativeFetch, sha256_base64url};
use octo_sts_verifier::time::Timestamp;
use serde_json::{Value, json};

use crate::app::github::{self, Answer};
use crate::outcome::Failure;
use crate::token;

use super::finding::Findings;

/// Tokens have times; with clocks a minute apart, honest tokens are refused.
const MAX_CLOCK_SECONDS: u64 = 30;

/// The service, and its expected host.
pub(crate) struct Service<'a> {
    pub(crate) fetch: &'a NativeFetch,
    /// `https://sts.example.com`
    pub(crate) url: &'a str,
    pub(crate) host: &'a str,
}

impl Service<'_> {
    fn get(&self, path: &str) -> Result<Answer, String> {
        github::ask(self.fetch, "GET", &format!("{}{path}", self.url), None, "application/json", None)
    }
}

/// Whether the service is reachable at all; otherwise the rest makes no sense.
pub(crate) fn look(
    service: &Service<'_>,
    seen: Option<&Path>,
    findings: &mut Findings,
) -> Result<bool, Failure> {
    let url = service.url;
    let answer = match service.get("/healthz") {
        Ok(answer) => answer,
        Err(why) => {
            let fix = format!(
                "see that the domain has a route or custom domain in `wrangler.toml`, and that it is deployed; `curl -v {url}/healthz` says more"
            );
            findings.error("unreachable", format!("{url} is not there: {why}"), fix);
            return Ok(false);
        }
    };
    if answer.status != 200 || answer.json.get("status").and_then(Value::as_str) != Some("ok") {
        let message = format!("{url}/healthz answers with {}, not as the service would", answer.status);
        findings.error("not_the_service", message, "see which Worker or origin the domain leads to; `npx wrangler deployments status` and the zone's routes");
        return Ok(false);
    }
    findings.well.push("reachable");
    let now = token::now()?;
    findings.look("clock", |findings| clock(&answer, now, findings));
    findings.look("ready", |findings| ready(service, findings));
    let mut failure = None;
    findings.look("metadata and keys", |findings| failure = metadata(service, seen, findings).err());
    failure.map_or(Ok(true), Err)
}

fn clock(answer: &Answer, now: Timestamp, findings: &mut Findings) {
    let date = answer.headers.get("date").and_then(|value| value.to_str().ok());
    let Some(theirs) = date.and_then(http_date) else { return };
    let apart = theirs.since(now).max(now.since(theirs)).as_secs();
    if apart > MAX_CLOCK_SECONDS {
        let message = format!("this machine's clock and the service's are {apart} s apart");
        findings.warning(
            "clock",
            message,
            "set this machine's clock: `timedatectl set-ntp true`; Cloudflare's is right",
        );
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_once(", ")?.1.split(' ');
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)?.checked_add(1)?;
    Timestamp::from_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z"))
}

fn ready(service: &Service<'_>, findings: &mut Findings) {
    let answer = match service.get("/readyz") {
        Ok(answer) => answer,
        Err(why) => {
            findings.error(
                "not_ready",
                format!("/readyz: {why}"),
                "look again; if it stays, `npx wrangler tail` shows what fails",
            );
            return;
        }
    };
    let names = |member: &str| -> Vec<String> {
        let list = answer.json.get(member).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let is_ready = answer.json.get("status").and_then(Value::as_str) == Some("ready");
    for name in names("missing") {
        let fix = format!("`npx wrangler secret put {name}`, or set it in `wrangler.toml`");
        match (is_ready, name.as_str()) {
            // The exchange works without it.
            (true, "GITHUB_WEBHOOK_SECRET") => findings.warning("webhook_off", "the webhook has no secret, so policies are not checked before they are merged, and a change takes up to five minutes", fix),
            (true, _) => findings.warning("setting_missing", format!("`{name}` is missing"), fix),
            (false, _) => findings.error("setting_missing", format!("`{name}` is missing, so exchanges are refused"), fix),
        }
    }
    for name in names("malformed") {
        let reason =
            answer.json.get("reasons").and_then(|reasons| reasons.get(&name)).and_then(Value::as_str);
        let why = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        findings.error(
            "setting_malformed",
            format!("`{name}` is malformed{why}"),
            malformed_fix(&name, reason),
        );
    }
    if !is_ready && names("missing").is_empty() && names("malformed").is_empty() {
        findings.error(
            "not_ready",
            format!("/readyz answers with {} and names no setting", answer.status),
            "`npx wrangler tail` shows what fails",
        );
    }
}

fn malformed_fix(name: &str, reason: Option<&str>) -> String {
    let put = format!("`npx wrangler secret put {name} < app.private-key.pem`");
    match reason {
        Some("encrypted") => {
            format!("remove the passphrase (`openssl rsa -in key.pem -out app.private-key.pem`), then {put}")
        }
        Some("openssh" | "not-rsa" | "public-key") => {
            format!(
                "this is a different kind of key: generate a private key in the App's settings, then {put}"
            )
        }
        Some("no-pem" | "base64-of-pem" | "truncated") => {
            format!("set the file as it is, with all its lines: {put}")
        }
        _ => format!("correct `{name}`; docs/operating.md says what it may be"),
    }
}

/// The service as an issuer, if it is one.
fn metadata(service: &Service<'_>, seen: Option<&Path>, findings: &mut Findings) -> Result<(), Failure> {
    let issuer = format!("https://{}", service.host);
    let fix = "set `DOMAIN` in `wrangler.toml` to the host that callers use, and deploy";
    let Ok(answer) = service.get("/.well-known/openid-configuration") else { return Ok(()) };
    if answer.status == 404 {
        return Ok(());
    }
    let text = |name: &str| answer.json.get(name).and_then(Value::as_str).unwrap_or_default();
    if answer.status != 200 {
        findings.error(
            "metadata",
            format!("the metadata answers with {}", answer.status),
            "`sts doctor` names the setting under `ready`; `ISSUER_PRIVATE_KEY` is the usual one",
        );
        return Ok(());
    }
    if text("issuer") != issuer {
        findings.error(
            "issuer",
            format!("the metadata names the issuer `{}`, and the service is {issuer}", text("issuer")),
            fix,
        );
    }
    if text("jwks_uri") != format!("{issuer}/.well-known/jwks.json") {
        findings.error("issuer", format!("the metadata has the keys at `{}`", text("jwks_uri")), fix);
    }
    let keys = match service.get("/.well-known/jwks.json") {
        Ok(answer) if answer.status == 200 => answer.json,
        Ok(answer) => {
            findings.error(
                "keys",
                format!("the key set answers with {}", answer.status),
                "set `ISSUER_PRIVATE_KEY` again",
            );
            return Ok(());
        }
        Err(why) => {
            findings.error("keys", format!("the key set: {why}"), "look again");
            return Ok(());
        }
    };
    let ids = key_ids(&keys, findings);
    if let Some(path) = seen { compare_with_seen(path, &issuer, &ids, findings) } else { Ok(()) }
}

fn key_ids(keys: &Value, findings: &mut Findings) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for key in keys.get("keys").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default();
        // RFC 7638, 3.1: the members in this order, without white space.
        let thumbprint =
            sha256_base64url(&json!({ "e": text("e"), "kty": text("kty"), "n": text("n") }).to_string());
        let is_named_by_it = text("kid") == thumbprint;
        if !ids.insert(thumbprint) || !is_named_by_it {
            findings.error(
                "keys",
                format!("the key `{}` appears twice, or is not named by its thumbprint", text("kid")),
                "something else answers for the key set: check which caches or Workers are in front of the service",
            );
        }
    }
    if ids.is_empty() {
        findings.error("keys", "the key set is empty", "set `ISSUER_PRIVATE_KEY` again");
    }
    ids
}

/// A key set with only new keys: what the old ones signed no longer verifies.
fn compare_with_seen(
    path: &Path,
    issuer: &str,
    ids: &BTreeSet<String>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::Usage(format!("`{}` cannot be used: {error}", path.display()))
    };
    if path.exists() {
        let text = std::fs::read(path).map_err(|error| unusable(&error))?;
        let before: Value = serde_json::from_slice(&text).map_err(|error| unusable(&error))?;
        let known = before.get("keys").and_then(Value::as_array);
        let mut known = known.into_iter().flatten().filter_map(Value::as_str);
        let is_same_issuer = before.get("issuer").and_then(Value::as_str) == Some(issuer);
        if is_same_issuer && !ids.is_empty() && !known.any(|id| ids.contains(id)) {
            findings.warning(
                "keys_replaced",
                "all keys of the service have changed since the last check, so what it signed before no longer verifies",
                "rotate in steps: set the old key as `ISSUER_PRIVATE_KEY_PREVIOUS` until its last token has expired",
            );
        }
    }
    let document = json!({ "issuer": issuer, "keys": ids });
    std::fs::write(path, format!("{document:#}\n")).map_err(|error| unusable(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_headers() {
        let date = http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(date.unix_seconds(), 784_111_777);
        for wrong in
            ["", "Sun, 06 Nov 1994", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT"]
        {
            assert_eq!(http_date(wrong), None, "{wrong}");
        }
    }
}
