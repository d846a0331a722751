//! What can go wrong with a request, in groups that mean the same to most calls.

use serde_json::{Map, Value};

use crate::support::fault::Fault;

pub(super) const GROUPS: usize = 12;

/// Faults that mean the same.
pub(super) struct Group {
    /// The column's heading.
    pub(super) heading: &'static str,
    /// The text on the page.
    pub(super) told: &'static str,
    pub(super) faults: Vec<(&'static str, Fault)>,
}

fn with(status: u16, header: &'static str, value: &str) -> Fault {
    Fault::StatusWith(status, header, value.to_owned())
}

fn body(text: &str) -> Fault {
    Fault::Body(200, text.to_owned())
}

/// All groups, in the order of a table's columns.
pub(super) fn all() -> [Group; GROUPS] {
    let statuses =
        |statuses: &[u16]| statuses.iter().map(|status| ("the status", Fault::Status(*status))).collect();
    let to = |status| ("the status", with(status, "location", "https://api.github.com/repositories/1"));
    let group = |heading, told, faults| Group { heading, told, faults };
    [
        group(
            "no answer",
            "refused, reset, or silent until the call times out",
            vec![("refused", Fault::Refused), ("hangs", Fault::TimedOut)],
        ),
        group(
            "broken off",
            "a 2xx whose body trickles in until the call times out, ends too early, or is not in the declared encoding",
            vec![("drips", Fault::Drip), ("cut", Fault::BrokenOff)],
        ),
        group(
            "5xx",
            "500, 502, 503, also with `Retry-After`",
            vec![
                ("the status", Fault::Status(500)),
                ("the status", Fault::Status(502)),
                ("the status", Fault::Status(503)),
                ("the status", with(503, "retry-after", "42")),
            ],
        ),
        group(
            "limited",
            "429, with `Retry-After` or without; 403 with `X-RateLimit-Remaining: 0`, or with `Retry-After`",
            vec![
                ("429", Fault::Status(429)),
                ("429", with(429, "retry-after", "42")),
                ("403 with no quota left", with(403, "x-ratelimit-remaining", "0")),
                ("limited by 403", with(403, "retry-after", "42")),
            ],
        ),
        group("401", "", statuses(&[401])),
        group(
            "403",
            "without the headers of a limit",
            vec![
                ("the status", Fault::Status(403)),
                ("the status", with(403, "x-ratelimit-remaining", "10")),
            ],
        ),
        group("404", "", statuses(&[404])),
        group("3xx", "301, 302, 307, 308; never followed", vec![to(301), to(302), to(307), to(308)]),
        group("422", "", statuses(&[422])),
        group("other", "400, 409, 410, 451", statuses(&[400, 409, 410, 451])),
        group(
            "too large",
            "one byte more than the call's maximum, or endless",
            vec![("one byte more", Fault::AboveTheCap), ("endless", Fault::TooLarge)],
        ),
        group(
            "not readable",
            "a 2xx with HTML, nothing, half a document, `null`, an array, or members that are missing, of other types, or \
             duplicate",
            vec![
                ("html", Fault::Garbage),
                ("nothing", body("")),
                ("half a document", body(r#"{"id": 1, "ty"#)),
                ("null", body("null")),
                ("an array", body("[]")),
                ("members are missing", Fault::Altered(without_members)),
                ("members of other types", Fault::Altered(of_other_types)),
                ("members twice", Fault::Altered(twice)),
            ],
        ),
    ]
}

/// `Retry-After` of the fault.
pub(super) fn told_to_wait(fault: &Fault) -> Option<&str> {
    if let Fault::StatusWith(_, "retry-after", value) = fault { Some(value) } else { None }
}

/// Changes each object of an answer, which is one object or an array of objects. A `token` stays, because nobody could
/// revoke an unknown token.
fn altered(body: &str, change: fn(&Map<String, Value>) -> String) -> String {
    match serde_json::from_str(body).unwrap_or_default() {
        Value::Object(members) => change(&members),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| change(item.as_object().unwrap())).collect();
            format!("[{}]", items.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => "{}".to_owned(),
    }
}

fn without_members(body: &str) -> String {
    altered(body, |members| {
        let kept: Map<String, Value> = members
            .iter()
            .filter(|(name, _)| *name == "token")
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        Value::Object(kept).to_string()
    })
}

fn of_other_types(body: &str) -> String {
    altered(body, |members| {
        let other = |value: &Value| match value {
            Value::String(_) | Value::Null => Value::from(1),
            Value::Array(_) => Value::Object(Map::new()),
            Value::Object(_) => Value::Array(vec![Value::from(1)]),
            Value::Number(_) | Value::Bool(_) => Value::from("x"),
        };
        let changed: Map<String, Value> = members
            .iter()
            .map(|(name, value)| (name.clone(), if name == "token" { value.clone() } else { other(value) }))
            .collect();
        Value::Object(changed).to_string()
    })
}

fn twice(body: &str) -> String {
    altered(body, |members| {
        let member = |(name, value): (&String, &Value)| format!("{}:{value}", Value::from(name.as_str()));
        let members: Vec<String> = members.iter().map(member).collect();
        format!("{{{},{}}}", members.join(","), members.join(","))
    })
}
