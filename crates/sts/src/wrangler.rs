//! `wrangler.toml`: the proxy's upstreams in it, read with the service's own reader, with the position of each problem.

use std::collections::BTreeMap;

use octo_sts_policy::{Diagnostic, Severity};
use octo_sts_worker::config::{UPSTREAMS, UpstreamContext, UpstreamsReading, read_upstreams};
use serde_json::{Map, Value as Json};
use toml_span::Value;

/// The name of such a file.
pub(crate) const FILE: &str = "wrangler.toml";

/// Names in a file that do not belong to the service are ignored.
const SYNTAX: &str = "toml-syntax";
const MALFORMED: &str = "upstreams-malformed";
const WORTH_A_LOOK: &str = "upstreams-warning";

/// One set of variables: those of the file, or of an environment in it.
struct Variables<'v, 'de> {
    table: &'v Value<'de>,
}

/// Every problem of the upstreams in a file. A file without any has none.
pub(crate) fn check(source: &[u8]) -> Vec<Diagnostic> {
    let text = String::from_utf8_lossy(source);
    let document = match toml_span::parse(&text) {
        Ok(document) => document,
        Err(error) => {
            let place = place(&text, error.span.start);
            return vec![diagnostic(SYNTAX, Severity::Error, error.to_string(), place)];
        }
    };
    let mut diagnostics = Vec::new();
    for variables in variables(&document) {
        let UpstreamsReading { problems, warnings, .. } = variables.reading();
        let told = problems.iter().map(|line| (MALFORMED, Severity::Error, line));
        let told = told.chain(warnings.iter().map(|line| (WORTH_A_LOOK, Severity::Warning, line)));
        for (code, severity, line) in told {
            let at = variables.place_of(line.split(": ").next().unwrap_or_default());
            diagnostics.push(diagnostic(code, severity, line.clone(), place(&text, at)));
        }
    }
    diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    diagnostics
}

/// The upstreams of the file's own variables, and its `DOMAIN`.
///
/// # Errors
/// Why there are none.
pub(crate) fn upstreams(source: &[u8]) -> Result<(UpstreamsReading, String), String> {
    let text = String::from_utf8_lossy(source);
    let document = toml_span::parse(&text).map_err(|error| error.to_string())?;
    let mut all = variables(&document);
    if all.is_empty() {
        return Err("it has no variables".to_owned());
    }
    let first = all.remove(0);
    let domain = first.settings().remove("DOMAIN").unwrap_or_default();
    Ok((first.reading(), domain))
}

/// `[vars]`, and `[env.NAME.vars]`: variables of environments are not inherited.
fn variables<'v, 'de>(document: &'v Value<'de>) -> Vec<Variables<'v, 'de>> {
    let top = document.pointer("/vars");
    let environments = document.pointer("/env").and_then(Value::as_table);
    let named =
        environments.into_iter().flat_map(|table| table.values()).filter_map(|env| env.pointer("/vars"));
    top.into_iter().chain(named).map(|table| Variables { table }).collect()
}

impl Variables<'_, '_> {
    /// As the Worker sees them: text, and the JSON of everything else.
    fn settings(&self) -> BTreeMap<String, String> {
        let members = self.table.as_table().into_iter().flatten();
        let text = |value: &Value<'_>| value.as_str().map_or_else(|| json(value).to_string(), str::to_owned);
        members.map(|(name, value)| (name.name.to_string(), text(value))).collect()
    }

    fn reading(&self) -> UpstreamsReading {
        let settings = self.settings();
        let setting = |name: &str| match settings.get(name) {
            Some(text) => Some(text.clone()),
            // A secret is not in the file; `/readyz` says whether it is set.
            None if UPSTREAMS.contains(&name) => None,
            None => Some("a secret".to_owned()),
        };
        read_upstreams(&UpstreamContext {
            name: "",
            domain: settings.get("DOMAIN").map_or("", String::as_str),
            allow_loopback_http: settings.get("ALLOW_LOOPBACK_HTTP").is_some_and(|text| text == "true"),
            has_issuer_key: true,
            setting: &setting,
        })
    }

    /// The position in the file for a problem's path, as far as it exists.
    fn place_of(&self, path: &str) -> usize {
        let parts: Vec<&Value<'_>> = UPSTREAMS.iter().filter_map(|name| self.member(name)).collect();
        if let Some(part) = UPSTREAMS.contains(&path).then(|| self.member(path)).flatten() {
            return part.span.start;
        }
        // The part with the upstream; a part that is text has no inner positions.
        let name = path.split(['.', '[']).next().unwrap_or_default();
        let part = parts.iter().find(|part| part.as_table().is_some_and(|table| table.contains_key(name)));
        let Some(mut found) = part.or(parts.first()).copied() else { return self.table.span.start };
        for step in path.replace('[', ".[").split('.') {
            let next = match step.strip_prefix('[').and_then(|step| step.strip_suffix(']')) {
                Some(index) => index.parse().ok().and_then(|index: usize| found.as_array()?.get(index)),
                None => found.as_table().and_then(|table| table.get(step)),
            };
            match next {
                Some(next) => found = next,
                None => break,
            }
        }
        found.span.start
    }

    fn member(&self, name: &str) -> Option<&Value<'_>> {
        self.table.as_table()?.get(name)
    }
}

fn json(value: &Value<'_>) -> Json {
    if let Some(text) = value.as_str() {
        text.into()
    } else if let Some(number) = value.as_integer() {
        number.into()
    } else if let Some(flag) = value.as_bool() {
        flag.into()
    } else if let Some(number) = value.as_float() {
        number.into()
    } else if let Some(list) = value.as_array() {
        list.iter().map(json).collect::<Vec<_>>().into()
    } else {
        let members = value.as_table().into_iter().flatten();
        members.map(|(name, value)| (name.name.to_string(), json(value))).collect::<Map<_, _>>().into()
    }
}

/// The line and column of a byte, both 1-based, columns in characters.
fn place(text: &str, at: usize) -> (u32, u32) {
    let before = text.get(..at.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

fn diagnostic(
    code: &'static str,
    severity: Severity,
    message: String,
    (line, column): (u32, u32),
) -> Diagnostic {
    Diagnostic { code, severity, message, line, column, suggestion: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        check(text.as_bytes()).iter().map(ToString::to_string).collect()
    }

    const GOOD: &str = r#"
[vars]
DOMAIN = "sts.example.com"

[vars.UPSTREAMS.example]
url = "https://api.example.com"
credential = { secret = { name = "EXAMPLE_API_KEY" } }
allow = [{ issuer = "https://token.actions.githubusercontent.com", subject = "repo:acme/app:ref:refs/heads/main" }]
"#;

    #[test]
    fn a_file_without_upstreams_or_with_good_ones_has_no_problem() {
        assert_eq!(told(""), Vec::<String>::new());
        assert_eq!(told("name = 'octo-sts'\n[vars]\nDOMAIN = 'sts.example.com'\n"), Vec::<String>::new());
        assert_eq!(told(GOOD), Vec::<String>::new());
    }

    #[test]
    fn every_problem_has_its_place() {
        let broken = GOOD
            .replace("repo:acme/app:ref:refs/heads/main\"", "a\", subject_pattern = \"b\"")
            .replace("api.example.com\"", "127.0.0.1\"\nmax_requests = 0");
        assert_eq!(
            told(&broken),
            [
                "6:8: error[upstreams-malformed]: example.url: its host is an ip address",
                "7:16: error[upstreams-malformed]: example.max_requests: it is not a whole number from 1 to 10000",
                "9:102: error[upstreams-malformed]: example.allow[0].subject_pattern: only one of `subject` and `subject_pattern` is allowed (remove one of them)",
            ]
        );
        assert_eq!(told("[vars"), ["1:6: error[toml-syntax]: expected a right bracket, found eof"]);
    }

    #[test]
    fn texts_and_environments_are_looked_at_too() {
        let text = "[env.production.vars]\nDOMAIN = 'sts.example.com'\nUPSTREAMS_2 = '{\"a\": 5}'\n";
        assert_eq!(told(text), ["3:16: error[upstreams-malformed]: a: it is not an object"]);
    }
}
