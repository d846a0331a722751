//! The setting `UPSTREAMS` and its further parts: read once, all problems at once, each with its path. If anything is
//! malformed, the whole proxy is off: half of it might allow more than its writer meant.

mod address;
mod cors;
#[cfg(not(target_arch = "wasm32"))]
pub mod schema;
mod upstream;

pub use address::Address;
pub use cors::Cors;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value};

use self::upstream::UpstreamReader;
use crate::config::reader::{Reader, misconfigured, parse_bool};
use crate::config::{
    ALLOW_LOOPBACK_HTTP, AuthnConfig, ISSUER_PRIVATE_KEY, Misconfigured, PROXY_BUDGETS, together,
};
use crate::federation::{Credential, UpstreamContext};
use crate::json::{JsonError, MAX_DEPTH, parse_object};
use crate::policy::{AdmissionRule, Matcher, Pattern};

/// The setting and its further parts: Cloudflare allows a variable 5 KB.
pub const UPSTREAMS: [&str; 9] = [
    "UPSTREAMS",
    "UPSTREAMS_2",
    "UPSTREAMS_3",
    "UPSTREAMS_4",
    "UPSTREAMS_5",
    "UPSTREAMS_6",
    "UPSTREAMS_7",
    "UPSTREAMS_8",
    "UPSTREAMS_9",
];

const MAX_NAME: usize = 40;
const MAX_RULES: usize = 32;
const MAX_METHODS: usize = 32;
const MAX_PATHS: usize = 64;
const MAX_CORS_HEADERS: usize = 64;
/// More would not help a reader.
const MAX_PROBLEMS: usize = 200;

const DEFAULT_REQUESTS: u32 = 200;
const MOST_REQUESTS: u32 = 10_000;
const DEFAULT_RATE: u32 = 2;
const MOST_RATE: u32 = 100;
const MOST_TOKEN_AGE: u32 = 86_400;
const DEFAULT_SESSION: u32 = 3600;
const SHORTEST_SESSION: u32 = 60;
const LONGEST_SESSION: u32 = 43_200;
const DEFAULT_FIRST_BYTE: u32 = 300;
const LONGEST_FIRST_BYTE: u32 = 900;

/// Who has a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetPer {
    /// The workflow run; a token that names none counts by itself.
    Run,
    /// The subject token.
    Token,
}

/// Where the `Location` of a 3xx may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// Under the upstream's `url`, as a path of the proxy's own.
    Upstream,
    /// Anywhere; it is not touched.
    Any,
}

/// One upstream.
#[derive(Debug)]
pub struct Upstream {
    /// Its name, which is a segment of paths.
    pub name: String,
    /// Where requests go.
    pub url: Address,
    /// What is put in.
    pub credential: Credential,
    /// Who may call; one that holds suffices. Never empty.
    pub allow: Vec<AdmissionRule>,
    /// The allowed methods; `None`: all.
    pub methods: Option<Vec<String>>,
    /// Patterns of the allowed paths; `None`: all.
    pub paths: Option<Vec<Pattern>>,
    /// Who has a budget.
    pub budget_per: BudgetPer,
    /// Per budget.
    pub max_requests: u32,
    /// Per budget.
    pub requests_per_second: u32,
    /// `now − iat` at most.
    pub max_token_age: Option<Duration>,
    /// How long a session may be.
    pub max_session: Duration,
    /// From sending to the answer's head.
    pub first_byte_timeout: Duration,
    /// Where a `Location` may lead.
    pub redirects: Redirects,
    /// Which pages may call.
    pub cors: Option<Cors>,
}

impl Upstream {
    /// The audience of a token that is valid only here.
    #[must_use]
    pub fn audience(domain: &str, name: &str) -> String {
        format!("https://{domain}/proxy/{name}")
    }
}

/// All upstreams, by their names.
#[derive(Debug)]
pub struct Upstreams(BTreeMap<String, Upstream>);

impl Upstreams {
    /// The upstream of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Upstream> {
        self.0.get(name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Upstream> {
        self.0.values()
    }

    /// The issuers that rules name exactly.
    pub(super) fn issuers(&self) -> impl Iterator<Item = &str> {
        self.iter().flat_map(|upstream| &upstream.allow).filter_map(|rule| match rule.issuer() {
            Matcher::Exact(issuer) => Some(issuer.as_str()),
            Matcher::Pattern(_) => None,
        })
    }
}

/// What requests through the proxy need.
pub struct Proxy {
    /// `None`: there are no upstreams, and no path of the proxy's exists.
    pub part: Option<Result<ProxyConfig, Misconfigured>>,
    /// What is wrong with the setting, each with its path; the log gets it.
    pub problems: Vec<String>,
    /// What somebody should look at, each with its path.
    pub warnings: Vec<String>,
}

/// The proxy is open.
pub struct ProxyConfig {
    /// Which issuers we accept.
    pub authn: Rc<AuthnConfig>,
    /// Where requests may go.
    pub upstreams: Upstreams,
}

impl Proxy {
    /// Another setting disables it.
    pub(super) fn close(&mut self, name: &'static str) {
        self.part = self.part.take().map(|part| Err(closed_by(part, name)));
    }
}

fn closed_by(part: Result<ProxyConfig, Misconfigured>, name: &'static str) -> Misconfigured {
    let mut names = part.err().map_or_else(Vec::new, |Misconfigured(names)| names);
    if !names.contains(&name) {
        names.push(name);
    }
    Misconfigured(names)
}

/// Reads the setting itself, whatever else is malformed. Without a domain it is empty, and nothing is reported.
pub(super) fn reading(reader: &Reader<'_>, domain: &str) -> Reading {
    read(&UpstreamContext {
        name: "",
        domain,
        allow_loopback_http: (reader.setting)(ALLOW_LOOPBACK_HTTP).as_deref().and_then(parse_bool)
            == Some(true),
        has_issuer_key: (reader.setting)(ISSUER_PRIVATE_KEY).is_some_and(|key| !key.is_empty()),
        setting: reader.setting,
    })
}

/// Makes the configuration part. The proxy is off if anything in the setting is malformed, if the budgets' binding is
/// missing, or if no issuer can be accepted.
pub(super) fn parse(
    reading: Reading,
    reader: &mut Reader<'_>,
    authn: &Result<Rc<AuthnConfig>, Misconfigured>,
) -> Proxy {
    if reading.upstreams.is_none() {
        return Proxy { part: None, problems: reading.problems, warnings: reading.warnings };
    }
    part(reading, reader, authn)
}

#[inline(never)] // As [`read_parts`].
fn part(reading: Reading, reader: &mut Reader<'_>, authn: &Result<Rc<AuthnConfig>, Misconfigured>) -> Proxy {
    let Reading { upstreams, problems, warnings } = reading;
    let [upstreams_setting, ..] = UPSTREAMS;
    let part = upstreams.map(|upstreams| {
        if upstreams.is_none() {
            reader.malformed.push(upstreams_setting);
        }
        let bound = reader.binding(PROXY_BUDGETS);
        match (&authn, upstreams, bound) {
            (Ok(authn), Some(upstreams), Ok(())) => Ok(ProxyConfig { authn: Rc::clone(authn), upstreams }),
            (authn, upstreams, bound) => {
                let own = [upstreams.is_none().then_some(upstreams_setting), bound.err()];
                Err(together([authn.as_ref().err().cloned(), Some(misconfigured(&own))]))
            }
        }
    });
    Proxy { part, problems, warnings }
}

/// The result of reading the setting.
#[derive(Debug)]
pub struct Reading {
    /// `None`: not set, or empty. `Some(None)`: there are problems.
    pub upstreams: Option<Option<Upstreams>>,
    /// What is wrong, each with its path.
    pub problems: Vec<String>,
    /// What somebody should look at, each with its path.
    pub warnings: Vec<String>,
}

/// Reads the setting. Linear in its text, except for patterns, whose cost is bounded.
#[must_use]
pub fn read(surroundings: &UpstreamContext<'_>) -> Reading {
    // An empty optional setting is an absent one.
    let text = |part| (surroundings.setting)(part).filter(|text| !text.is_empty()).map(|text| (part, text));
    let parts: Vec<(&'static str, String)> = UPSTREAMS.into_iter().filter_map(text).collect();
    if parts.is_empty() {
        return Reading { upstreams: None, problems: Vec::new(), warnings: Vec::new() };
    }
    read_parts(parts, surroundings)
}

/// Apart, because an isolate compiles what it calls, and most have no upstreams.
#[inline(never)]
fn read_parts(parts: Vec<(&'static str, String)>, surroundings: &UpstreamContext<'_>) -> Reading {
    let mut problems = Vec::new();
    let mut entries: Vec<(&'static str, String, Value)> = Vec::new();
    for (part, text) in parts {
        match parse_object(text.as_bytes(), MAX_DEPTH) {
            Ok(object) => add_part(part, object, &mut entries, &mut problems),
            Err(JsonError::DuplicateMember) => problems.push(format!("{part}: a member appears in it twice")),
            Err(
                JsonError::Syntax | JsonError::TooDeep | JsonError::TooManyNodes | JsonError::NotAnObject,
            ) => {
                problems.push(format!("{part}: it is not a JSON object of upstreams"));
            }
        }
    }
    read_entries(&entries, surroundings, problems)
}

fn add_part(
    part: &'static str,
    object: Map<String, Value>,
    entries: &mut Vec<(&'static str, String, Value)>,
    problems: &mut Vec<String>,
) {
    for (name, value) in object {
        if let Some((first, _, _)) = entries.iter().find(|(_, known, _)| *known == name) {
            problems.push(format!("{}: it is in both `{first}` and `{part}`", shown(&name)));
        } else {
            entries.push((part, name, value));
        }
    }
}

fn read_entries(
    entries: &[(&'static str, String, Value)],
    surroundings: &UpstreamContext<'_>,
    mut problems: Vec<String>,
) -> Reading {
    let mut warnings = Vec::new();
    if entries.is_empty() && problems.is_empty() {
        return Reading { upstreams: None, problems, warnings };
    }
    let mut upstreams = BTreeMap::new();
    for (_, name, value) in entries {
        if !is_upstream_name(name) {
            problems.push(format!(
                "{}: it is not a name: 1 to {MAX_NAME} characters `a` to `z`, `0` to `9` and `-`, not beginning with `-`",
                shown(name)
            ));
        }
        let mut reader = UpstreamReader { name, surroundings, warnings: &mut warnings };
        if let Some(upstream) = reader.read(value, &mut problems) {
            upstreams.insert(name.clone(), upstream);
        }
    }
    let upstreams = problems.is_empty().then_some(Upstreams(upstreams));
    problems.truncate(MAX_PROBLEMS);
    warnings.truncate(MAX_PROBLEMS);
    Reading { upstreams: Some(upstreams), problems, warnings }
}

/// Whether a text has the shape of an upstream's name.
#[must_use]
pub fn is_upstream_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// A name for a message, whatever it is.
fn shown(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reading(settings: &[(&str, &str)]) -> Reading {
        let setting = |name: &str| {
            settings.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
        };
        read(&UpstreamContext {
            name: "",
            domain: "sts.example.com",
            allow_loopback_http: false,
            has_issuer_key: true,
            setting: &setting,
        })
    }

    fn one(changes: &Value) -> Reading {
        let mut upstream = json!({
            "url": "https://api.example.com",
            "credential": {"secret": {"name": "EXAMPLE_API_KEY"}},
            "allow": [{"issuer": "https://token.actions.githubusercontent.com", "subject": "repo:acme/app:ref:refs/heads/main"}],
        });
        for (name, value) in changes.as_object().unwrap() {
            upstream[name] = value.clone();
            if value.is_null() {
                upstream.as_object_mut().unwrap().remove(name);
            }
        }
        reading(&[("UPSTREAMS", &json!({ "example": upstream }).to_string())])
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        let Reading { upstreams, problems, warnings } = one(&json!({}));
        assert_eq!((problems, warnings), (Vec::<String>::new(), Vec::<String>::new()));
        let upstreams = upstreams.unwrap().unwrap();
        let upstream = upstreams.find("example").unwrap();
        assert_eq!((upstream.max_requests, upstream.requests_per_second), (200, 2));
        assert_eq!(upstream.budget_per, BudgetPer::Run);
        assert_eq!(upstream.max_token_age, None);
        assert_eq!(upstream.max_session, Duration::from_secs(3600));
        assert_eq!(upstream.first_byte_timeout, Duration::from_secs(300));
        assert_eq!(upstream.redirects, Redirects::Upstream);
        assert!(upstream.cors.is_none() && upstream.methods.is_none() && upstream.paths.is_none());
        assert!(upstream.allow[0].audience().matches("https://sts.example.com/proxy/example"));
        assert!(!upstream.allow[0].audience().matches("sts.example.com"));
        assert!(upstreams.find("other").is_none());
    }

    /// The bounds of docs/proxy.md, as numbers of their own.
    #[test]
    fn numbers_and_lists_have_bounds() {
        let open = |changes: &Value| matches!(one(changes).upstreams, Some(Some(_)));
        for (name, least, most) in [
            ("max_requests", 1, 10_000),
            ("requests_per_second", 1, 100),
            ("max_token_age_seconds", 1, 86_400),
            ("max_session_seconds", 60, 43_200),
            ("first_byte_timeout_seconds", 1, 900),
        ] {
            for number in [least, most] {
                assert!(open(&json!({ name: number })), "{name}: {number}");
            }
            let told = [format!("example.{name}: it is not a whole number from {least} to {most}")];
            let others =
                [json!(least - 1), json!(most + 1), json!(-1), json!(60.5), json!("60"), json!(true)];
            for other in others.into_iter().chain([json!(4_294_967_296_u64 + 60)]) {
                assert_eq!(one(&json!({ name: other })).problems, told, "{other}");
            }
        }
        let rule = json!({"issuer": "https://a.example.com", "subject": "s"});
        let of = |name: &str, list: Vec<Value>| match name {
            "cors.headers" => json!({"cors": {"origin": "*", "headers": list}}),
            _ => json!({ name: list }),
        };
        for (name, element, least, most) in [
            ("allow", rule, 1, 32),
            ("methods", json!("GET"), 1, 32),
            ("paths", json!("/a"), 1, 64),
            ("cors.headers", json!("x-a"), 0, 64),
        ] {
            for length in [least, most] {
                assert!(open(&of(name, vec![element.clone(); length])), "{name}: {length}");
            }
            let told = [format!("example.{name}: it is not a list of {least} to {most} elements")];
            for length in
                [most + 1, least - usize::from(least > 0)].into_iter().filter(|length| *length != least)
            {
                assert_eq!(one(&of(name, vec![element.clone(); length])).problems, told, "{length}");
            }
        }
        for text in ["a", "0-9", &"a".repeat(40)] {
            assert!(is_upstream_name(text), "{text}");
        }
    }

    #[test]
    fn words_are_read_as_they_are() {
        let upstream = |changes: &Value| {
            let Upstreams(mut all) = one(changes).upstreams.unwrap().unwrap();
            all.pop_first().unwrap().1
        };
        for (text, per) in [("run", BudgetPer::Run), ("token", BudgetPer::Token)] {
            assert_eq!(upstream(&json!({ "budget_per": text })).budget_per, per);
        }
        for (text, redirects) in [("upstream", Redirects::Upstream), ("any", Redirects::Any)] {
            assert_eq!(upstream(&json!({ "redirects": text })).redirects, redirects);
        }
        let named = upstream(&json!({
            "max_requests": 3, "requests_per_second": 4, "max_token_age_seconds": 5, "max_session_seconds": 66,
            "first_byte_timeout_seconds": 7, "methods": ["M-SEARCH"],
        }));
        assert_eq!((named.max_requests, named.requests_per_second), (3, 4));
        let seconds = |seconds| Duration::from_secs(seconds);
        assert_eq!((named.max_token_age, named.max_session), (Some(seconds(5)), seconds(66)));
        assert_eq!(named.first_byte_timeout, seconds(7));
        assert_eq!(named.methods, Some(vec!["M-SEARCH".to_owned()]));
    }

    #[test]
    fn nothing_set_is_no_proxy() {
        for settings in [
            &[][..],
            &[("UPSTREAMS", "")],
            &[("UPSTREAMS", "{}")],
            &[("UPSTREAMS", "{}"), ("UPSTREAMS_9", "{}")],
        ] {
            assert!(reading(settings).upstreams.is_none(), "{settings:?}");
        }
    }

    #[test]
    fn parts_are_one_object_and_a_name_stands_once() {
        let upstream = |name: &str| {
            format!(
                r#"{{"{name}":{{"url":"https://api.example.com","credential":{{"secret":{{"name":"A_KEY"}}}},"allow":[{{"issuer":"https://a.example.com","subject":"s"}}]}}}}"#
            )
        };
        let (first, second) = (upstream("a"), upstream("b"));
        let both = reading(&[("UPSTREAMS_2", &first), ("UPSTREAMS_9", &second)]).upstreams.unwrap().unwrap();
        assert_eq!(both.iter().map(|upstream| upstream.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        for part in UPSTREAMS {
            let one = reading(&[(part, &first)]).upstreams.unwrap().unwrap();
            assert!(one.find("a").is_some(), "{part}");
        }
        assert!(reading(&[("UPSTREAMS_1", &first), ("UPSTREAMS_10", &first)]).upstreams.is_none());
        let twice = reading(&[("UPSTREAMS", &first), ("UPSTREAMS_3", &first)]);
        assert_eq!(twice.problems, ["a: it is in both `UPSTREAMS` and `UPSTREAMS_3`"]);
        assert!(matches!(twice.upstreams, Some(None)));
    }

    #[test]
    fn every_problem_is_told_with_its_path() {
        let broken = one(&json!({
            "url": "http://api.example.com", "credential": {"secret": {"name": "DOMAIN"}},
            "allow": [{"issuer": "https://a.example.com", "subject": "s"}, {"issuer": 1, "subject_pattern": "("}, 5],
            "methods": ["get", 1], "paths": ["("], "budget_per": "job", "max_requests": 0,
            "requests_per_second": 101, "max_token_age_seconds": "60", "max_session_seconds": 59,
            "first_byte_timeout_seconds": 901, "redirects": "none", "cors": {"origin": "example.com", "x": 1},
            "budget": 5,
        }));
        let paths: Vec<&str> = broken.problems.iter().map(|line| line.split(": ").next().unwrap()).collect();
        for path in [
            "example.url",
            "example.credential.secret.name",
            "example.allow[1].issuer",
            "example.allow[1].subject_pattern",
            "example.allow[2]",
            "example.methods[0]",
            "example.methods[1]",
            "example.paths[0]",
            "example.budget_per",
            "example.max_requests",
            "example.requests_per_second",
            "example.max_token_age_seconds",
            "example.max_session_seconds",
            "example.first_byte_timeout_seconds",
            "example.redirects",
            "example.cors.origin",
            "example.cors.x",
            "example.budget",
        ] {
            assert!(paths.contains(&path), "{path}: {:#?}", broken.problems);
        }
        assert_eq!(paths.len(), 18, "{:#?}", broken.problems);
        for name in ["url", "credential", "allow"] {
            assert_eq!(one(&json!({ name: null })).problems, [format!("example.{name}: it is missing")]);
        }
        for text in ["x", "[]", "5", r#"{"a":1,"a":2}"#] {
            assert!(reading(&[("UPSTREAMS", text)]).problems[0].starts_with("UPSTREAMS: "), "{text}");
        }
        for name in ["", "A", "-a", "a/b", "a_b", "a.b", "\u{e4}", &"a".repeat(41)] {
            assert!(!is_upstream_name(name), "{name}");
            let setting = json!({ name: 5 }).to_string();
            let problems = reading(&[("UPSTREAMS", &setting)]).problems;
            assert!(problems.iter().any(|line| line.contains(": it is not a name")), "{problems:?}");
        }
    }

    #[test]
    fn a_rule_that_takes_tokens_for_the_whole_service_is_a_warning() {
        for (member, value) in [("audience", "sts.example.com"), ("audience_pattern", r"sts\.example\.com.*")]
        {
            let rule = json!({"issuer": "https://a.example.com", "subject": "s", member: value});
            let reading = one(&json!({ "allow": [rule] }));
            assert!(reading.upstreams.unwrap().is_some());
            assert_eq!(
                reading.warnings,
                [format!(
                    "example.allow[0].{member}: it takes tokens for `sts.example.com` too, which are valid for more than this upstream"
                )]
            );
        }
    }
}
