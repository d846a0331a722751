//! The parameters of an exchange: `scope`, its newer spelling `scopes`, `identity`, and what narrows the token, from
//! the query string and, on POST, from a JSON body. Anything that two readers could understand differently is refused.

use std::mem::take;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use serde_json::Value;

use crate::json;
use crate::names::{IdentityName, Scope};
use crate::policy::{Narrowing, NarrowingError};
use crate::ports::Truncated;
use crate::problem::Problem;

/// The maximum size of a body.
pub const MAX_BODY: usize = 64 * 1024;

/// What the caller asks for.
pub(super) struct Parameters {
    pub(super) scope: Scope,
    pub(super) identity: IdentityName,
    /// What is requested, if that is less than the policy grants.
    pub(super) narrowing: Narrowing,
}

const MULTIPLE_SCOPES: &str = "multiple scopes not supported";

#[derive(Default)]
struct Raw {
    scope: Option<String>,
    scopes: Option<String>,
    identity: Option<String>,
    narrowing: Narrowing,
}

/// Reads and checks all parameters.
pub(super) fn parameters(request: &Request<Bytes>) -> Result<Parameters, Problem> {
    if request.extensions().get::<Truncated>().is_some() {
        return Err(invalid("the request cannot be read to its end"));
    }
    let mut query = from_query(request.uri().query().unwrap_or_default())?;
    let mut body = if request.method() == Method::POST { from_body(request)? } else { Raw::default() };

    let narrowing = one_narrowing(take(&mut query.narrowing), take(&mut body.narrowing))?;
    let scope = same("scope", query.scope, body.scope)?;
    let scopes = same("scopes", query.scopes, body.scopes)?;
    let identity = same("identity", query.identity, body.identity)?;
    let scope = match (scope, scopes) {
        (Some(scope), Some(scopes)) if scope != scopes => {
            return Err(invalid("parameters `scope` and `scopes` differ"));
        }
        (Some(scope), _) | (None, Some(scope)) => scope,
        (None, None) => return Err(invalid("parameter `scope` is missing")),
    };
    let identity = identity.ok_or_else(|| invalid("parameter `identity` is missing"))?;
    Ok(Parameters {
        scope: scope.parse().map_err(|error| invalid(&format!("parameter `scope` is malformed: {error}")))?,
        identity: identity
            .parse()
            .map_err(|error| invalid(&format!("parameter `identity` is malformed: {error}")))?,
        narrowing,
    })
}

/// The narrowing, from query and body: in one of them, or the same in both.
fn one_narrowing(query: Narrowing, body: Narrowing) -> Result<Narrowing, Problem> {
    match (query.is_none(), body.is_none()) {
        (true, _) => Ok(body),
        (_, true) => Ok(query),
        _ if query.is(&body) => Ok(query),
        _ => Err(invalid("parameters `permissions` and `repositories` differ between query and body")),
    }
}

fn narrowed(outcome: Result<Narrowing, NarrowingError>, name: &str) -> Result<Narrowing, Problem> {
    outcome.map_err(|error| invalid(&format!("parameter `{name}` is malformed: {error}")))
}

#[cold]
fn invalid(text: &str) -> Problem {
    Problem::InvalidRequest(text.to_owned())
}

/// One parameter from query and body.
fn same(name: &str, query: Option<String>, body: Option<String>) -> Result<Option<String>, Problem> {
    match (query, body) {
        (Some(query), Some(body)) if query != body => {
            Err(invalid(&format!("parameter `{name}` differs between query and body")))
        }
        (query, body) => Ok(query.or(body)),
    }
}

fn from_query(query: &str) -> Result<Raw, Problem> {
    let mut raw = Raw::default();
    let (mut permissions, mut repositories) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (form_decoded(name), form_decoded(value)) else {
            return Err(invalid("the query string is not percent-encoded utf-8"));
        };
        let slot = match name.as_str() {
            "scope" => &mut raw.scope,
            "scopes" => &mut raw.scopes,
            "identity" => &mut raw.identity,
            "permissions" => &mut permissions,
            "repositories" => &mut repositories,
            // Unknown parameters are ignored (RFC 6749, 3.1).
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(match name.as_str() {
                "scopes" => invalid(MULTIPLE_SCOPES),
                _ => invalid(&format!("parameter `{name}` is given more than once")),
            });
        }
    }
    if permissions.is_some() || repositories.is_some() {
        raw.narrowing = from_lists(permissions, repositories)?;
    }
    Ok(raw)
}

#[inline(never)] // Compiled where somebody narrows.
fn from_lists(permissions: Option<String>, repositories: Option<String>) -> Result<Narrowing, Problem> {
    let mut narrowing = Narrowing::default();
    if let Some(list) = permissions {
        narrowing = narrowed(narrowing.permission_items(items(&list)), "permissions")?;
    }
    if let Some(list) = repositories {
        narrowing = narrowed(narrowing.repositories(items(&list)), "repositories")?;
    }
    Ok(narrowing)
}

/// The items of a comma-separated list. Empty text has none.
fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter(move |_| !list.is_empty())
}

/// `application/x-www-form-urlencoded`: `+` is a space, `%xx` a byte, and the result is UTF-8.
pub(crate) fn form_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (rest.next()?, rest.next()?);
                u8::try_from(char::from(high).to_digit(16)? * 16 + char::from(low).to_digit(16)?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[inline(never)] // A GET does not compile it.
fn from_body(request: &Request<Bytes>) -> Result<Raw, Problem> {
    let body = request.body();
    if body.len() > MAX_BODY {
        return Err(Problem::PayloadTooLarge(MAX_BODY));
    }
    if body.is_empty() {
        return Ok(Raw::default());
    }
    if !is_json(request) {
        return Err(Problem::UnsupportedMediaType("application/json"));
    }
    let mut members = json::parse_object(body, json::MAX_DEPTH)
        .map_err(|error| invalid(&format!("the body is not a json object: {error}")))?;
    let narrowing = from_members(members.remove("permissions"), members.remove("repositories"))?;
    Ok(Raw {
        narrowing,
        scope: string(members.remove("scope"), "scope")?,
        scopes: only_scope(members.remove("scopes"))?,
        identity: string(members.remove("identity"), "identity")?,
    })
}

/// An object of permissions with their levels, and an array of repositories.
fn from_members(permissions: Option<Value>, repositories: Option<Value>) -> Result<Narrowing, Problem> {
    let mut narrowing = Narrowing::default();
    if let Some(permissions) = permissions {
        let levels = permissions.as_object().and_then(|members| {
            members
                .iter()
                .map(|(name, level)| Some((name.as_str(), level.as_str()?)))
                .collect::<Option<Vec<_>>>()
        });
        let levels =
            levels.ok_or_else(|| invalid("member `permissions` of the body is not an object of strings"))?;
        narrowing = narrowed(narrowing.permissions(levels), "permissions")?;
    }
    if let Some(repositories) = repositories {
        let names = repositories.as_array();
        let names = names.and_then(|names| names.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        let names =
            names.ok_or_else(|| invalid("member `repositories` of the body is not an array of strings"))?;
        narrowing = narrowed(narrowing.repositories(names), "repositories")?;
    }
    Ok(narrowing)
}

fn is_json(request: &Request<Bytes>) -> bool {
    let content_type =
        request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

fn string(member: Option<Value>, name: &str) -> Result<Option<String>, Problem> {
    match member {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(invalid(&format!("member `{name}` of the body is not a string")))
        }
    }
}

fn only_scope(member: Option<Value>) -> Result<Option<String>, Problem> {
    let refuse = || invalid("member `scopes` of the body is not an array of strings");
    match member {
        None => Ok(None),
        Some(Value::Array(values)) if values.len() > 1 => Err(invalid(MULTIPLE_SCOPES)),
        Some(Value::Array(values)) => match values.into_iter().next() {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(refuse()),
        },
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            Err(refuse())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        method: Method,
        query: &str,
        content_type: &str,
        body: &str,
    ) -> Result<(String, String), Problem> {
        let request = Request::builder()
            .method(method)
            .uri(format!("https://sts.example.com/sts/exchange?{query}"))
            .header(CONTENT_TYPE, content_type)
            .body(Bytes::copy_from_slice(body.as_bytes()))
            .unwrap();
        parameters(&request).map(|p| (p.scope.to_string(), p.identity.to_string()))
    }

    fn message(result: Result<(String, String), Problem>) -> String {
        result.unwrap_err().message()
    }

    #[test]
    fn the_forms_that_are_understood() {
        let asked = Ok(("acme/app".to_owned(), "deploy".to_owned()));
        for query in [
            "scope=acme/app&scopes=acme/app&identity=deploy",
            "scope=acme/app&identity=deploy",
            "scopes=acme/app&identity=deploy",
            "scope=acme%2Fapp&identity=deploy",
            "scope=acme%2fapp&&identity=d%65ploy&",
            "utm=1&sc%6Fpe=acme/app&identity=deploy",
        ] {
            assert_eq!(read(Method::GET, query, "", ""), asked, "{query}");
            assert_eq!(read(Method::POST, query, "", ""), asked, "{query}");
        }
        for body in [
            r#"{"scope":"acme/app","identity":"deploy"}"#,
            r#"{"scopes":["acme/app"],"identity":"deploy"}"#,
            r#"{"scope":"acme/app","scopes":["acme/app"],"identity":"deploy","more":{}}"#,
            r#"{"scope":"acme/app","scopes":[],"identity":"deploy"}"#,
        ] {
            assert_eq!(read(Method::POST, "", "application/json", body), asked, "{body}");
            assert_eq!(
                read(Method::POST, "scope=acme/app", "Application/JSON; charset=utf-8", body),
                asked,
                "{body}"
            );
        }
        assert_eq!(read(Method::GET, "scope=acme/app&identity=deploy", "text/plain", "ignored"), asked);
    }

    #[test]
    fn each_mistake_has_its_message() {
        for (query, expected) in [
            ("identity=deploy", "parameter `scope` is missing"),
            ("scope=acme/app", "parameter `identity` is missing"),
            ("scope=acme/app&scope=acme/app&identity=x", "parameter `scope` is given more than once"),
            ("scope=acme/app&identity=x&identity=x", "parameter `identity` is given more than once"),
            ("scopes=acme/app&scopes=acme/app&identity=x", MULTIPLE_SCOPES),
            ("scopes=acme/app&scopes=acme/docs&identity=x", MULTIPLE_SCOPES),
            ("scope=acme/app&scopes=acme/docs&identity=x", "parameters `scope` and `scopes` differ"),
            ("scope=acme/app&scopes=&identity=x", "parameters `scope` and `scopes` differ"),
            ("scope=%zz&identity=x", "the query string is not percent-encoded utf-8"),
            ("scope=%e2%28%a1&identity=x", "the query string is not percent-encoded utf-8"),
            ("scope=%2&identity=x", "the query string is not percent-encoded utf-8"),
        ] {
            assert_eq!(message(read(Method::GET, query, "", "")), expected, "{query}");
        }
        for (body, expected) in [
            (r#"{"scope":"a/b","scope":"a/b","identity":"x"}"#, "the body is not a json object"),
            (r#"["a"]"#, "the body is not a json object"),
            ("{", "the body is not a json object"),
            ("\u{0}", "the body is not a json object"),
            (r#"{"scope":1,"identity":"x"}"#, "member `scope` of the body is not a string"),
            (r#"{"scopes":"a/b","identity":"x"}"#, "member `scopes` of the body is not an array of strings"),
            (r#"{"scopes":[1],"identity":"x"}"#, "member `scopes` of the body is not an array of strings"),
            (r#"{"scopes":["a/b","a/b"],"identity":"x"}"#, MULTIPLE_SCOPES),
            (r#"{"scope":"a/b","identity":null}"#, "member `identity` of the body is not a string"),
        ] {
            let text = message(read(Method::POST, "", "application/json", body));
            assert!(text.starts_with(expected), "{body}: {text}");
        }
        let body = r#"{"scope":"a/b","identity":"x"}"#;
        assert_eq!(
            message(read(Method::POST, "scope=a/c", "application/json", body)),
            "parameter `scope` differs between query and body"
        );
    }

    #[test]
    fn malformed_names_are_refused() {
        for scope in [
            "", "/", "a/b/c", "a/../b", "%2e%2e/x", "a/%2e%2e", "a/b%00", "a%5Cb", "a/b?c", "a/b%23c",
            "a%20b", "a/", "/b", "a/b.git",
        ] {
            let problem = read(Method::GET, &format!("scope={scope}&identity=x"), "", "").unwrap_err();
            assert!(matches!(problem, Problem::InvalidRequest(_)), "{scope}");
        }
        for identity in ["", ".x", "a..b", "a/b", "%2e%2e", "a%0a", "a b", "é"] {
            let identity = identity.replace(' ', "+").replace('é', "%C3%A9");
            let problem = read(Method::GET, &format!("scope=a/b&identity={identity}"), "", "").unwrap_err();
            assert!(matches!(problem, Problem::InvalidRequest(_)), "{identity}");
        }
    }

    #[test]
    fn bodies_have_a_type_and_a_cap() {
        let body = r#"{"scope":"a/b","identity":"x"}"#;
        for content_type in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
            let problem = read(Method::POST, "", content_type, body).unwrap_err();
            assert_eq!(problem, Problem::UnsupportedMediaType("application/json"), "{content_type}");
        }
        let large = format!(r#"{{"scope":"a/b","identity":"x","pad":"{}"}}"#, " ".repeat(MAX_BODY));
        let problem = read(Method::POST, "", "application/json", &large).unwrap_err();
        assert_eq!(problem, Problem::PayloadTooLarge(MAX_BODY));
    }
}
