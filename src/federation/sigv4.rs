//! AWS Signature Version 4: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
//! Pure: the body's hash and the instant are arguments. docs/adr says why it is written here.

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

/// What signing writes; a caller's own are replaced.
pub(super) const SIGNED_BY_US: [&str; 3] = ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];

/// The one service that wants a path as it is.
const S3: &str = "s3";

/// Bedrock's short-term key lives no longer.
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
    /// Keys that can stand in headers.
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

/// Where a signature holds.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) region: String,
    pub(super) service: String,
}

/// Signs one request, whose body must be whole.
#[derive(Debug)]
pub struct Signer {
    keys: Rc<Keys>,
    scope: Rc<Scope>,
}

impl Signer {
    pub(super) const fn new(keys: Rc<Keys>, scope: Rc<Scope>) -> Self {
        Self { keys, scope }
    }

    /// The headers to set on a request: its `Authorization` and what it rests on. `url` is what is sent, byte for byte;
    /// `headers` are those that are sent, of which `content-type` and `x-amz-*` are signed, and `host` with them.
    ///
    /// `None`: the URL is none.
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
    // `Host` has no port where it is the scheme's own.
    let default = if scheme == "https" { ":443" } else { ":80" };
    let host = host.strip_suffix(default).unwrap_or(host);
    Some((host, if path.is_empty() { "/" } else { path }, query))
}

/// A path, normalised and encoded once more than it is, as every service but S3 wants it.
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

/// A part of a query as AWS reads it (`+` is a space) and writes it.
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

/// The canonical request, and the names of the headers that it signs. Several values of one name stay in their order.
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

/// The signature, by a key that is derived for the day, the region and the service.
fn signature(secret: &str, date: &str, scope: &Scope, to_sign: &str) -> Option<String> {
    let mut key = SecretBytes::new([b"AWS4", secret.as_bytes()].concat());
    for part in [day(date), &scope.region, &scope.service, "aws4_request"] {
        key = hmac(&key, part)?;
    }
    Some(hex::encode(hmac(&key, to_sign)?.expose()))
}

/// `None` for no key: HMAC takes keys of every length.
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
