//! The member `credential` of an upstream, of the kind `secret`: a secret of the Worker, put into a header.

use http::HeaderName;
use http::header::AUTHORIZATION;
use serde_json::Value;

use super::members::Members;
use crate::secret::Secret;

/// Settings of the service's own, and what their names begin with. None of them goes to an upstream.
const OWN_SETTINGS: [&str; 10] = [
    "ALLOWED_ISSUERS",
    "ALLOW_LOOPBACK_HTTP",
    "DOMAIN",
    "EVENT_INGRESS_URI",
    "LOG_LEVEL",
    "MAX_TOKEN_LIFETIME_SECONDS",
    "METRICS",
    "ORG_POLICY_REPO",
    "UPSTREAMS",
    "WEBHOOK_REPORT_ALWAYS",
];
const OWN_FAMILIES: [&str; 8] = [
    "GITHUB_",
    "ISSUER_",
    "OCTO_STS_",
    "PROXY_BUDGETS",
    "RATE_LIMIT_",
    "SINGLE_USE_",
    "UPSTREAMS_",
    "USED_TOKENS",
];

/// What belongs to the connection, to the shape of the request, or to the proxy itself.
const NOT_TO_BE_SET: [&str; 13] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const NOT_TO_BE_SET_FAMILIES: [&str; 5] = ["proxy-", "cf-", "x-octo-sts-", "x-forwarded-", "sec-"];

/// No name of a secret, header or prefix is longer.
const MAX_TEXT: usize = 64;

/// What reading a credential depends on besides its own members.
#[derive(Clone, Copy)]
pub struct UpstreamContext<'a> {
    /// The upstream's name.
    pub name: &'a str,
    /// `DOMAIN`.
    pub domain: &'a str,
    /// `ALLOW_LOOPBACK_HTTP`.
    pub allow_loopback_http: bool,
    /// A setting of the Worker.
    pub setting: &'a dyn Fn(&str) -> Option<String>,
}

/// What is put into a request in place of the caller's token.
#[derive(Debug)]
pub struct Credential {
    header: HeaderName,
    prefix: String,
    /// The secret's value, or its name where it is missing or empty.
    secret: Result<Secret, &'static str>,
}

impl Credential {
    /// Reads the member. Every problem is noted with its path; with `None` there is at least one.
    pub fn parse(
        value: &Value,
        path: &str,
        upstream: &UpstreamContext<'_>,
        problems: &mut Vec<String>,
    ) -> Option<Self> {
        let kinds = value.as_object().filter(|kinds| kinds.len() == 1);
        let Some((kind, value)) = kinds.and_then(|kinds| kinds.iter().next()) else {
            problems.push(format!("{path}: it is not an object with exactly one kind"));
            return None;
        };
        if kind != "secret" {
            problems.push(format!("{path}.{kind}: there is no such kind"));
            return None;
        }
        let path = format!("{path}.{kind}");
        let mut members = Members::of(value, &path, problems)?;
        let name = members.text("name", is_secret_name, "it is not the name of a secret of the Worker");
        let header = members.optional_text("header", is_header, "it is not a header that can be set");
        let prefix = members.optional_text("prefix", is_prefix, "it is not a prefix of visible characters");
        members.finish();
        let (name, header, prefix) = (name?, header?, prefix?);
        let header = match header {
            Some(header) => HeaderName::try_from(header).ok()?,
            None => AUTHORIZATION,
        };
        let default = if header == AUTHORIZATION { "Bearer " } else { "" };
        let secret = (upstream.setting)(&name).filter(|text| is_header_value(text)).map(Secret::new);
        // Read once in an isolate's life, and as short as a name.
        let secret = secret.ok_or_else(|| &*name.leak());
        Some(Self { header, prefix: prefix.unwrap_or_else(|| default.to_owned()), secret })
    }

    /// The header that the credential goes into, where a caller may put its own.
    #[must_use]
    pub const fn header(&self) -> &HeaderName {
        &self.header
    }

    /// The Worker secret that is missing, empty or no header value. The upstream is closed then.
    #[must_use]
    pub fn missing_secret(&self) -> Option<&'static str> {
        self.secret.as_ref().err().copied()
    }

    /// The header's value.
    pub(crate) fn value(&self) -> Option<Secret> {
        let secret = self.secret.as_ref().ok()?;
        Some(Secret::new(format!("{}{}", self.prefix, secret.expose())))
    }

    /// Whether requests are signed with their bodies, which then have to be collected before they are sent.
    #[must_use]
    pub const fn signs_bodies(&self) -> bool {
        false
    }
}

fn is_secret_name(text: &str) -> bool {
    text.len() <= MAX_TEXT
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        && !OWN_SETTINGS.contains(&text)
        && !OWN_FAMILIES.iter().any(|family| text.starts_with(family))
}

fn is_header(text: &str) -> bool {
    text.len() <= MAX_TEXT
        && HeaderName::try_from(text).is_ok_and(|name| {
            !NOT_TO_BE_SET.contains(&name.as_str())
                && !NOT_TO_BE_SET_FAMILIES.iter().any(|family| name.as_str().starts_with(family))
        })
}

fn is_prefix(text: &str) -> bool {
    text.len() <= MAX_TEXT && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

/// A secret that came with a line feed would fail every request; it is as good as missing.
fn is_header_value(text: &str) -> bool {
    !text.is_empty()
        && text.trim() == text
        && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: &Value) -> Result<Credential, Vec<String>> {
        let setting = |name: &str| match name {
            "EXAMPLE_API_KEY" => Some("canary".to_owned()),
            "WITH_LINE_FEED" => Some("canary\n".to_owned()),
            _ => None,
        };
        let context = UpstreamContext {
            name: "example",
            domain: "sts.example.com",
            allow_loopback_http: false,
            setting: &setting,
        };
        let mut problems = Vec::new();
        Credential::parse(value, "example.credential", &context, &mut problems).ok_or(problems)
    }

    #[test]
    fn a_secret_goes_into_its_header() {
        for (members, header, value) in [
            (json!({"name": "EXAMPLE_API_KEY"}), "authorization", "Bearer canary"),
            (json!({"name": "EXAMPLE_API_KEY", "header": "X-Api-Key"}), "x-api-key", "canary"),
            (json!({"name": "EXAMPLE_API_KEY", "header": "x-key", "prefix": "Key "}), "x-key", "Key canary"),
            (json!({"name": "EXAMPLE_API_KEY", "prefix": "token "}), "authorization", "token canary"),
        ] {
            let credential = parse(&json!({ "secret": members })).unwrap();
            assert_eq!(credential.header(), header);
            assert_eq!(credential.value().unwrap().expose(), value);
            assert!(!format!("{credential:?}").contains("canary"));
        }
        for name in ["MISSING_API_KEY", "WITH_LINE_FEED"] {
            let credential = parse(&json!({"secret": {"name": name}})).unwrap();
            assert_eq!(credential.missing_secret(), Some(name));
            assert!(credential.value().is_none());
        }
    }

    #[test]
    fn every_problem_is_told_with_its_path() {
        let told = |value: Value| parse(&value).unwrap_err().join("\n");
        assert_eq!(told(json!("x")), "example.credential: it is not an object with exactly one kind");
        assert_eq!(told(json!({"other": {}})), "example.credential.other: there is no such kind");
        assert_eq!(
            told(
                json!({"secret": {"name": "GITHUB_APP_PRIVATE_KEY", "header": "host", "prefix": "\n", "value": "x"}})
            ),
            "example.credential.secret.name: it is not the name of a secret of the Worker\n\
             example.credential.secret.header: it is not a header that can be set\n\
             example.credential.secret.prefix: it is not a prefix of visible characters\n\
             example.credential.secret.value: there is no such member, there are `name`, `header`, `prefix`"
        );
        assert_eq!(told(json!({"secret": {}})), "example.credential.secret.name: it is missing");
    }
}
