//! AWS Signature Version 4:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>. Pure: the body's hash
//! and the instant are arguments. docs/adr says why it is written here.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{AUTHORIZATION, HeaderName};
use sha2::{Digest as _, Sha256};

use super::engine::percent_encoded;
use crate::secret::{Secret, SecretBytes};
use crate::time::Timestamp;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The headers that signing sets; a caller's own are replaced.
pub(super) const SIGNED_BY_US: [&str; 3] = ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];

/// The one service that requires the path unchanged.
const S3: &str = "s3";

/// The longest lifetime of Bedrock's short-term key.
const LONGEST_KEY: Duration = Duration::from_secs(43_200);
const KEY_PREFIX: &str = "bedrock-api-key-";
const KEY_HOST: &str = "bedrock.amazonaws.com";

/// No longer than a header may be.
const MAX_KEY: usize = 8192;

/// A session's keys.
#[derive(Debug)]
pub(super) struct Keys {
    access_key_id: Secret,
    secret_access_key: Secret,
    session_token: Secret,
}

impl Keys {
    /// Keys that are valid in headers.
    pub(super) fn new(
        access_key_id: Secret,
        secret_access_key: Secret,
        session_token: Secret,
    ) -> Option<Self> {
        let are_plain = [&access_key_id, &secret_access_key, &session_token].into_iter().all(|key| {
            (1..=MAX_KEY).contains(&key.expose().len())
                && key.expose().bytes().all(|byte| byte.is_ascii_graphic())
        });
        are_plain.then_some(Self { access_key_id, secret_access_key, session_token })
    }
}

/// Where a signature is valid.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) region: String,
    pub(super) service: String,
}

/// Signs one request, whose body must be complete.
#[derive(Debug, Clone)]
pub struct Signer {
    keys: Rc<Keys>,
    scope: Rc<Scope>,
}

impl Signer {
    pub(super) const fn new(keys: Rc<Keys>, scope: Rc<Scope>) -> Self {
        Self { keys, scope }
    }

    /// The headers to set on a request: its `Authorization` and the headers that it depends on. `url` is exactly what
    /// is sent. `headers` are the headers that are sent; `content-type`, `x-amz-*` and `host` are signed.
    ///
    /// `None`: the URL is invalid.
    #[must_use]
    pub fn sign(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body_sha256: &str,
        now: Timestamp,
    ) -> Option<Vec<(HeaderName, Secret)>> {
        let (host, path, query) = parts(url)?;
        let date = date(now);
        let token = self.keys.session_token.expose();
        let mut signed: Vec<(String, &str)> = headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), *value))
            .filter(|(name, _)| name == "content-type" || name.starts_with("x-amz-"))
            .filter(|(name, _)| !SIGNED_BY_US.contains(&name.as_str()))
            .collect();
        let own: [(&'static str, &str); 3] =
            [("x-amz-date", &date), ("x-amz-security-token", token), ("x-amz-content-sha256", body_sha256)];
        signed.push(("host".to_owned(), host));
        signed.extend(own.iter().map(|(name, value)| ((*name).to_owned(), *value)));

        let path = if self.scope.service == S3 { path.to_owned() } else { canonical_path(path) };
        let (request, names) = canonical_request(method, &path, &canonical_query(query), signed, body_sha256);
        let scope = self.scope.on(&date);
        let to_sign = string_to_sign(&request, &date, &scope);
        let signature = signature(self.keys.secret_access_key.expose(), &date, &self.scope, &to_sign)?;
        let id = self.keys.access_key_id.expose();
        let authorization =
            format!("{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
        let mut set = vec![(AUTHORIZATION, Secret::new(authorization))];
        set.extend(
            own.iter().map(|(name, value)| (HeaderName::from_static(name), Secret::new((*value).to_owned()))),
        );
        Some(set)
    }
}

impl Scope {
    /// The credential scope of a day.
    fn on(&self, date: &str) -> String {
        format!("{}/{}/{}/aws4_request", day(date), self.region, self.service)
    }
}

/// Bedrock's short-term key: a presigned request that says who may call, as AWS's own generators make it.
/// <https://github.com/aws/aws-bedrock-token-generator-python>
pub(super) fn bedrock_key(keys: &Keys, region: &str, life: Duration, now: Timestamp) -> Option<Secret> {
    let scope = Scope { region: region.to_owned(), service: "bedrock".to_owned() };
    let date = date(now);
    let credential = format!("{}/{}", keys.access_key_id.expose(), scope.on(&date));
    let expires = life.min(LONGEST_KEY).as_secs().to_string();
    let query = [
        ("Action", "CallWithBearerToken"),
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", &credential),
        ("X-Amz-Date", &date),
        ("X-Amz-Expires", &expires),
        ("X-Amz-SignedHeaders", "host"),
        ("X-Amz-Security-Token", keys.session_token.expose()),
    ];
    let query = query.map(|(name, value)| format!("{name}={}", percent_encoded(value))).join("&");
    let host = vec![("host".to_owned(), KEY_HOST)];
    let no_body = hex::encode(Sha256::digest(b""));
    let (request, _) = canonical_request("POST", "/", &canonical_query(&query), host, &no_body);
    let to_sign = string_to_sign(&request, &date, &scope.on(&date));
    let signature = signature(keys.secret_access_key.expose(), &date, &scope, &to_sign)?;
    let url = Secret::new(format!("{KEY_HOST}/?{query}&X-Amz-Signature={signature}&Version=1"));
    Some(Secret::new(format!("{KEY_PREFIX}{}", STANDARD.encode(url.expose()))))
}

/// Host, path and query of an absolute URL without a fragment.
fn parts(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (target, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = target.split_at_checked(target.find('/').unwrap_or(target.len()))?;
    // `Host` has no port if it is the scheme's default.
    let default = if scheme == "https" { ":443" } else { ":80" };
    let host = host.strip_suffix(default).unwrap_or(host);
    Some((host, if path.is_empty() { "/" } else { path }, query))
}

/// A path, normalized and encoded once more, as every service except S3 requires.
fn canonical_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let ends_in_slash = ["/", "/.", "/.."].into_iter().any(|end| path.ends_with(end));
    let end = if ends_in_slash && !segments.is_empty() { "/" } else { "" };
    let segments: Vec<String> = segments.into_iter().map(percent_encoded).collect();
    format!("/{}{end}", segments.join("/"))
}

/// The parameters, decoded, encoded in one way, and sorted.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (reencoded(name), reencoded(value)))
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// A part of a query as AWS reads it (`+` is a space) and writes it again.
fn reencoded(part: &str) -> String {
    let mut encoded = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(first) = rest.chars().next() {
        let escape = rest
            .strip_prefix('%')
            .and_then(|rest| rest.split_at_checked(2))
            .filter(|(digits, _)| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        if let Some((digits, after)) = escape {
            let byte = u8::from_str_radix(digits, 16).unwrap_or_default();
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                encoded.push(char::from(byte));
            } else {
                encoded.push('%');
                encoded.push_str(&digits.to_ascii_uppercase());
            }
            rest = after;
            continue;
        }
        let mut buffer = [0; 4];
        encoded.push_str(&match first {
            '+' => "%20".to_owned(),
            _ => percent_encoded(first.encode_utf8(&mut buffer)),
        });
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
    }
    encoded
}

/// The canonical request, and the names of the headers that it signs. Several values of one name keep their order.
fn canonical_request(
    method: &str,
    path: &str,
    query: &str,
    mut headers: Vec<(String, &str)>,
    body_sha256: &str,
) -> (String, String) {
    headers.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut lines: Vec<(String, String)> = Vec::new();
    for (name, value) in headers {
        let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        match lines.last_mut() {
            Some((known, values)) if *known == name => {
                values.push(',');
                values.push_str(&value);
            }
            _ => lines.push((name, value)),
        }
    }
    let names = lines.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: String = lines.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    (format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{body_sha256}"), names)
}

fn string_to_sign(request: &str, date: &str, scope: &str) -> String {
    format!("{ALGORITHM}\n{date}\n{scope}\n{}", hex::encode(Sha256::digest(request)))
}

/// The signature, with a key derived for the day, the region and the service.
fn signature(secret: &str, date: &str, scope: &Scope, to_sign: &str) -> Option<String> {
    let mut key = SecretBytes::new([b"AWS4", secret.as_bytes()].concat());
    for part in [day(date), &scope.region, &scope.service, "aws4_request"] {
        key = hmac(&key, part)?;
    }
    Some(hex::encode(hmac(&key, to_sign)?.expose()))
}

/// Never `None` for a key: HMAC accepts keys of every length.
fn hmac(key: &SecretBytes, message: &str) -> Option<SecretBytes> {
    let mac = Hmac::<Sha256>::new_from_slice(key.expose()).ok()?.chain_update(message);
    Some(SecretBytes::new(mac.finalize().into_bytes().to_vec()))
}

/// ISO 8601 without separators, in whole seconds.
fn date(now: Timestamp) -> String {
    let digits: String = now.to_rfc3339().chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{digits}Z")
}

fn day(date: &str) -> &str {
    date.get(..8).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// AWS's published test suite (Apache-2.0), as `scripts/sigv4-vectors.py` writes it.
    const SUITE: &str = include_str!("../../tests/data/sigv4/suite.json");
    /// Signatures by botocore, and keys by AWS's generator.
    const BOTOCORE: &str = include_str!("../../tests/data/sigv4/botocore.json");

    const SUITE_DATE: &str = "20150830T123600Z";
    const SUITE_SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn text<'a>(case: &'a Value, name: &str) -> &'a str {
        case[name].as_str().unwrap_or_else(|| panic!("{name} of {case}"))
    }

    fn headers(case: &Value) -> Vec<(&str, &str)> {
        let headers = case["headers"].as_array().unwrap();
        headers.iter().map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap())).collect()
    }

    #[test]
    fn the_published_suite_holds() {
        let scope = Scope { region: "us-east-1".to_owned(), service: "service".to_owned() };
        let cases: Vec<Value> = serde_json::from_str(SUITE).unwrap();
        assert!(cases.len() >= 30, "{}", cases.len());
        for case in &cases {
            let name = text(case, "name");
            let signed = |own: &[(&'static str, &'static str)]| -> Vec<(String, &str)> {
                let theirs =
                    headers(case).into_iter().filter(|(name, _)| !name.eq_ignore_ascii_case("x-amz-date"));
                theirs
                    .chain(own.iter().copied())
                    .map(|(name, value)| (name.to_ascii_lowercase(), value))
                    .collect()
            };
            let path = canonical_path(text(case, "path"));
            let query = canonical_query(text(case, "query"));
            let hash = text(case, "body_sha256");

            let mut with_date = signed(&[("x-amz-date", SUITE_DATE)]);
            with_date.extend(case["token"].as_str().map(|token| ("x-amz-security-token".to_owned(), token)));
            if case["body_header"] == true {
                with_date.push(("x-amz-content-sha256".to_owned(), hash));
            }
            let (request, _) = canonical_request(text(case, "method"), &path, &query, with_date, hash);
            assert_eq!(request, text(case, "canonical"), "{name}");
            let to_sign = string_to_sign(&request, SUITE_DATE, &scope.on(SUITE_DATE));
            assert_eq!(to_sign, text(case, "to_sign"), "{name}");
            let made = signature(SUITE_SECRET, SUITE_DATE, &scope, &to_sign).unwrap();
            assert_eq!(made, text(case, "signature"), "{name}");

            let query = canonical_query(text(case, "presigned_query"));
            let (request, _) = canonical_request(text(case, "method"), &path, &query, signed(&[]), hash);
            assert_eq!(request, text(case, "presigned"), "{name}");
            let to_sign = string_to_sign(&request, SUITE_DATE, &scope.on(SUITE_DATE));
            let made = signature(SUITE_SECRET, SUITE_DATE, &scope, &to_sign).unwrap();
            assert_eq!(made, text(case, "presigned_signature"), "{name}");
        }
    }

    fn botocore() -> (Value, Signer, Timestamp) {
        let document: Value = serde_json::from_str(BOTOCORE).unwrap();
        let secret = |name| Secret::new(text(&document, name).to_owned());
        let keys = Keys::new(secret("access_key_id"), secret("secret_access_key"), secret("session_token"));
        let scope = Scope {
            region: text(&document, "region").to_owned(),
            service: text(&document, "service").to_owned(),
        };
        let now = Timestamp::from_unix_seconds(document["now"].as_i64().unwrap()).unwrap();
        let signer = Signer::new(Rc::new(keys.unwrap()), Rc::new(scope));
        (document, signer, now)
    }

    #[test]
    fn a_second_implementation_signs_the_same() {
        let (document, signer, now) = botocore();
        for case in document["requests"].as_array().unwrap() {
            let mut sent = headers(case);
            // The caller's values of these headers are replaced; other headers do not matter.
            sent.extend([("X-Amz-Date", "20200101T000000Z"), ("x-amz-security-token", "other")]);
            sent.extend([
                ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
                ("user-agent", "sdk"),
                ("accept", "*/*"),
            ]);
            let (method, url) = (text(case, "method"), text(case, "url"));
            let set = signer.sign(method, url, &sent, text(case, "body_sha256"), now).unwrap();
            let of = |name: &str| set.iter().find(|(known, _)| known == name).unwrap().1.expose();
            assert_eq!(of("authorization"), text(case, "authorization"), "{url}");
            assert_eq!(of("x-amz-date"), "20261120T170000Z");
            assert_eq!(of("x-amz-security-token"), text(&document, "session_token"));
            assert_eq!(of("x-amz-content-sha256"), text(case, "body_sha256"));
            assert_eq!(set.len(), 4);
        }
    }

    #[test]
    fn bedrocks_short_term_key_is_the_one_that_aws_makes() {
        let (document, signer, now) = botocore();
        for case in document["keys"].as_array().unwrap() {
            let life = Duration::from_secs(case["seconds"].as_u64().unwrap());
            let key = bedrock_key(&signer.keys, "eu-central-1", life, now).unwrap();
            let decoded = |key: &str| {
                String::from_utf8(STANDARD.decode(key.strip_prefix(KEY_PREFIX).unwrap()).unwrap()).unwrap()
            };
            assert_eq!(decoded(key.expose()), decoded(text(case, "key")));
            assert_eq!(key.expose(), text(case, "key"));
        }
    }

    #[test]
    fn a_query_is_read_as_aws_reads_it() {
        for (query, canonical) in [
            ("", ""),
            ("&&", ""),
            ("b=2&a=1&a=0", "a=0&a=1&b=2"),
            ("a", "a="),
            ("a=b=c", "a=b%3Dc"),
            ("a=b+c", "a=b%20c"),
            ("a=%2b%2f%7e%zz%", "a=%2B%2F~%25zz%25"),
            ("ä=%c3%a4", "%C3%A4=%C3%A4"),
        ] {
            assert_eq!(canonical_query(query), canonical, "{query}");
        }
    }

    #[test]
    fn s3_has_its_path_as_it_is() {
        let (_, signer, now) = botocore();
        let with = |service: &str, url: &str| {
            let scope = Scope { region: "eu-central-1".to_owned(), service: service.to_owned() };
            let signer = Signer::new(Rc::clone(&signer.keys), Rc::new(scope));
            let set = signer.sign("GET", url, &[], "hash", now).unwrap();
            set[0].1.expose().to_owned()
        };
        let (one, other) = ("https://b.s3.amazonaws.com/a//b%20c", "https://b.s3.amazonaws.com/a/b%20c");
        assert_ne!(with("s3", one), with("s3", other));
        assert_eq!(with("bedrock", one), with("bedrock", other));
    }

    #[test]
    fn a_text_that_is_no_url_is_not_signed() {
        let (_, signer, now) = botocore();
        assert!(signer.sign("GET", "/a", &[], "hash", now).is_none());
    }
}
