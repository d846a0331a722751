//! Reading one upstream of the setting: every member, and every problem with its path.

use std::time::Duration;

use http::HeaderName;
use serde_json::{Map, Value};

use super::{
    Address, BudgetPer, Cors, DEFAULT_FIRST_BYTE, DEFAULT_RATE, DEFAULT_REQUESTS, DEFAULT_SESSION,
    LONGEST_FIRST_BYTE, LONGEST_SESSION, MAX_CORS_HEADERS, MAX_METHODS, MAX_PATHS, MAX_RULES, MOST_RATE,
    MOST_REQUESTS, MOST_TOKEN_AGE, Redirects, SHORTEST_SESSION, Upstream, shown,
};
use crate::federation::members::{ANY, Members};
use crate::federation::{Credential, UpstreamContext};
use crate::policy::{AdmissionRule, Matcher, Pattern, Severity, load_rule};

/// Reads one upstream.
pub(super) struct UpstreamReader<'a> {
    pub(super) name: &'a str,
    pub(super) surroundings: &'a UpstreamContext<'a>,
    pub(super) warnings: &'a mut Vec<String>,
}

impl UpstreamReader<'_> {
    /// `None`: there are problems.
    pub(super) fn read(&mut self, value: &Value, problems: &mut Vec<String>) -> Option<Upstream> {
        let path = shown(self.name);
        let before = problems.len();
        let mut members = Members::of(value, &path, problems)?;
        let url = self.url(&mut members);
        let credential = self.credential(&mut members, &path);
        let allow = self.allow(&mut members, &path);
        let methods = members.list_of("methods", &(1..=MAX_METHODS), method);
        let paths = members.list_of("paths", &(1..=MAX_PATHS), |text| {
            text.parse::<Pattern>().map_err(|error| error.to_string())
        });
        let budget_per = members.word("budget_per", &[("run", BudgetPer::Run), ("token", BudgetPer::Token)]);
        let max_requests = members.number("max_requests", &(1..=MOST_REQUESTS));
        let requests_per_second = members.number("requests_per_second", &(1..=MOST_RATE));
        let max_token_age = members.number("max_token_age_seconds", &(1..=MOST_TOKEN_AGE));
        let max_session = members.number("max_session_seconds", &(SHORTEST_SESSION..=LONGEST_SESSION));
        let first_byte = members.number("first_byte_timeout_seconds", &(1..=LONGEST_FIRST_BYTE));
        let redirects =
            members.word("redirects", &[("upstream", Redirects::Upstream), ("any", Redirects::Any)]);
        let cors = cors(&mut members, &path);
        members.finish();
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let upstream = Upstream {
            name: self.name.to_owned(),
            url: url?,
            credential: credential?,
            allow: allow?,
            methods: methods?,
            paths: paths?,
            budget_per: budget_per?,
            max_requests: max_requests?.unwrap_or(DEFAULT_REQUESTS),
            requests_per_second: requests_per_second?.unwrap_or(DEFAULT_RATE),
            max_token_age: max_token_age?.map(seconds),
            max_session: seconds(max_session?.unwrap_or(DEFAULT_SESSION)),
            first_byte_timeout: seconds(first_byte?.unwrap_or(DEFAULT_FIRST_BYTE)),
            redirects: redirects?,
            cors: cors?,
        };
        (problems.len() == before).then_some(upstream)
    }

    fn url(&self, members: &mut Members<'_>) -> Option<Address> {
        let text = members.text("url", ANY)?;
        let UpstreamContext { domain, allow_loopback_http, .. } = *self.surroundings;
        let address = Address::parse(&text, domain, allow_loopback_http);
        address.map_err(|what| members.problem("url", &what)).ok()
    }

    fn credential(&self, members: &mut Members<'_>, path: &str) -> Option<Credential> {
        let value = members.required("credential")?;
        let context = UpstreamContext { name: self.name, ..*self.surroundings };
        Credential::parse(value, &format!("{path}.credential"), &context, members.problems())
    }

    fn allow(&mut self, members: &mut Members<'_>, path: &str) -> Option<Vec<AdmissionRule>> {
        let Some(list) = members.list("allow", &(1..=MAX_RULES))? else {
            members.problem("allow", "it is missing");
            return None;
        };
        let mut rules = Vec::with_capacity(list.len());
        for (index, rule) in list.iter().enumerate() {
            let path = format!("{path}.allow[{index}]");
            let Value::Object(rule) = rule else {
                members.problem(&format!("allow[{index}]"), "it is not an object");
                continue;
            };
            rules.extend(self.rule(rule, &path, members.problems()));
        }
        (rules.len() == list.len()).then_some(rules)
    }

    fn rule(
        &mut self,
        rule: &Map<String, Value>,
        path: &str,
        problems: &mut Vec<String>,
    ) -> Option<AdmissionRule> {
        let domain = self.surroundings.domain;
        let (rule, told) = load_rule(rule, &Upstream::audience(domain, self.name));
        for problem in told {
            let suggestion = problem.suggestion.map(|text| format!(" ({text})")).unwrap_or_default();
            let line = format!("{path}{}: {}{suggestion}", problem.path, problem.message);
            match problem.severity {
                Severity::Error => problems.push(line),
                Severity::Warning => self.warnings.push(line),
            }
        }
        let rule = rule?;
        if rule.audience().matches(domain) {
            let member = match rule.audience() {
                Matcher::Exact(_) => "audience",
                Matcher::Pattern(_) => "audience_pattern",
            };
            self.warnings.push(format!(
                "{path}.{member}: it takes tokens for `{domain}` too, which are valid for more than this upstream"
            ));
        }
        Some(rule)
    }
}

/// As requests have them; the runtime passes on no others.
fn method(text: &str) -> Result<String, String> {
    let is_method = (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
        && text.starts_with(|first: char| first.is_ascii_uppercase());
    if is_method { Ok(text.to_owned()) } else { Err("it is not a method, such as `POST`".to_owned()) }
}

/// The outer `None`: it is invalid, which is noted.
fn cors(members: &mut Members<'_>, path: &str) -> Option<Option<Cors>> {
    let Some(value) = members.value("cors") else { return Some(None) };
    let path = format!("{path}.cors");
    let mut members = Members::of(value, &path, members.problems())?;
    let origin = members
        .text("origin", (Cors::is_origin, "it is not one origin, such as `https://example.com`, or `*`"));
    let headers = members.list_of("headers", &(0..=MAX_CORS_HEADERS), |text| {
        HeaderName::try_from(text).map_err(|_| "it is not the name of a header".to_owned())
    });
    members.finish();
    Some(Some(Cors::new(origin?, headers?.unwrap_or_default())))
}
