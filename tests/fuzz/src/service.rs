//! A whole exchange, with arbitrary answers of the issuer, GitHub and KV.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response};
use octo_sts_worker::policy::known_permission;
use serde_json::{Value, json};

use super::platform::{Answer, NOW, Outside, SECRET, Sent, app, status};
use super::seeds::KEYS;
use super::{parts, plants, text};

pub const ISSUER: &str = "https://a.example.com";

pub const POLICY: &str = "issuer: https://a.example.com\nsubject: repo:acme/app\npermissions:\n  contents: read\n  issues: write\n";

pub fn claims() -> Value {
    json!({ "iss": ISSUER, "sub": "repo:acme/app", "aud": "sts.example.com", "iat": NOW, "exp": NOW + 300 })
}

/// What is searched for in all output. `\u` could encode any of it.
const CANARIES: &[&str] = &[
    "CANARY",
    SECRET,
    "PRIVATE KEY",
    "[redacted ",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_4",
    "ghr_",
    "github_pat_",
    "eyJ",
    "\\u",
];

const STATUSES: [u16; 10] = [0, 201, 301, 401, 403, 404, 422, 429, 500, 503];

/// Wrong answers of others. Empty text means the correct answer.
#[derive(Default, Clone)]
struct Said {
    discovery: Vec<u8>,
    keys: Vec<u8>,
    installation: Vec<u8>,
    list: Vec<u8>,
    policy: Vec<u8>,
    mint: Vec<u8>,
    /// A digit for each request: its status, or none of its own.
    statuses: Vec<u8>,
}

/// An exchange: [claims, discovery document, key set, installation, list of issuers, policy, the last mint's answer,
/// statuses].
pub fn exchange(data: &[u8]) {
    if plants(data, CANARIES) {
        return;
    }
    let [claims, discovery, keys, installation, list, policy, mint, statuses] =
        parts(data).map(<[u8]>::to_vec);
    let said = Said { discovery, keys, installation, list, policy, mint, statuses };
    let claims = if claims.is_empty() { self::claims().to_string().into_bytes() } else { claims };
    let outside = Outside::new(move |index, sent| said.answer(index, sent));
    let token = token(&claims);
    let response = asked(&outside, &token);
    check(&outside, &token, &response);
}

/// A value in KV: [which fact (a digit), the value].
pub fn cache(data: &[u8]) {
    if plants(data, CANARIES) {
        return;
    }
    let [which, stored] = parts(data);
    let Some(stored) = text(stored).map(str::to_owned) else { return };
    let kinds = ["issuer-keys", "installation", "policy", "trusted-issuers"];
    let kind = kinds[which.first().map_or(0, |byte| usize::from(*byte)) % kinds.len()];
    let token = token(claims().to_string().as_bytes());
    let said = Said { list: b"issuers: [https://a.example.com]".to_vec(), ..Said::default() };

    let answers = said.clone();
    let without = Outside::new(move |index, sent| answers.answer(index, sent));
    let expected = asked(&without, &token);
    assert_eq!(expected.status(), 200, "{}", String::from_utf8_lossy(expected.body()));

    let mut outside = Outside::new(move |index, sent| said.answer(index, sent));
    let value = stored.clone();
    let planted = move |key: &str| key.contains(&format!("/{kind}/")).then(|| value.clone());
    Rc::get_mut(&mut outside.kv).expect("nobody else has it").planted = Some(Box::new(planted));
    let response = asked(&outside, &token);
    check(&outside, &token, &response);
    if !is_an_entry(&stored) {
        assert_eq!(
            (response.status(), response.body()),
            (expected.status(), expected.body()),
            "garbage is a miss"
        );
        assert_eq!(response.headers(), expected.headers());
        assert!(
            outside.log.lines().iter().any(|line| line["message"] == "kv value does not decode"),
            "{stored}"
        );
    }
}

fn is_an_entry(stored: &str) -> bool {
    let read: Value = serde_json::from_str(stored).unwrap_or_default();
    // A struct may come as an array of its members too.
    read.as_array().is_some_and(|members| members.len() == 4)
        || ["learnt_at", "written_at", "written_by", "record"].iter().all(|name| read.get(name).is_some())
}

/// The content of KV after an exchange: `kind` and value.
pub fn stored() -> Vec<(usize, String)> {
    let said = Said { list: b"issuers: [https://a.example.com]".to_vec(), ..Said::default() };
    let outside = Outside::new(move |index, sent| said.answer(index, sent));
    assert_eq!(asked(&outside, &token(claims().to_string().as_bytes())).status(), 200);
    let kinds = ["/issuer-keys/", "/installation/", "/policy/", "/trusted-issuers/"];
    let written = outside.kv.written.borrow();
    let kind = |key: &str| kinds.iter().position(|kind| key.contains(kind));
    written.iter().filter_map(|(key, value)| Some((kind(key)?, value.clone()))).collect()
}

fn token(claims: &[u8]) -> String {
    let signature = URL_SAFE_NO_PAD.encode([7; 64]);
    format!(
        "{}.{}.{signature}",
        URL_SAFE_NO_PAD.encode(br#"{"alg":"ES256"}"#),
        URL_SAFE_NO_PAD.encode(claims)
    )
}

fn asked(outside: &Outside, token: &str) -> Response<Bytes> {
    let request = Request::get("https://sts.example.com/sts/exchange?scope=acme/app&identity=deploy")
        .header("authorization", format!("Bearer {token}"))
        .body(Bytes::new())
        .expect("a request");
    outside.call(&app(), request)
}

impl Said {
    fn answer(&self, index: usize, sent: &Sent) -> Answer {
        let own = self.statuses.get(index).map_or(0, |byte| usize::from(byte.saturating_sub(b'0')));
        let or =
            |said: &[u8], default: String| if said.is_empty() { default.into_bytes() } else { said.to_vec() };
        let path = sent.uri.path();
        let (code, body) = match (sent.method.as_str(), path) {
            (_, path) if path.ends_with("/.well-known/openid-configuration") => {
                let document = json!({ "issuer": ISSUER, "jwks_uri": "https://a.example.com/keys" });
                (200, or(&self.discovery, document.to_string()))
            }
            ("DELETE", _) => (204, Vec::new()),
            (_, path) if path.ends_with("/installation") => {
                let permissions = json!({ "contents": "write", "issues": "write" });
                let found = json!({ "id": 1, "account": { "login": "acme" }, "permissions": permissions });
                (200, or(&self.installation, found.to_string()))
            }
            (_, path) if path.ends_with("/access_tokens") => {
                let is_last = index >= 6;
                (201, if is_last && !self.mint.is_empty() { self.mint.clone() } else { minted(index, sent) })
            }
            (_, path) if path.ends_with("/trusted-token-issuers.yaml") => {
                if self.list.is_empty() {
                    (404, b"{}".to_vec())
                } else {
                    (200, contents(&self.list))
                }
            }
            (_, path) if path.contains("/contents/") => (200, contents(&or(&self.policy, POLICY.to_owned()))),
            // Wherever the discovery document sends us.
            _ => (200, or(&self.keys, KEYS.to_owned())),
        };
        match STATUSES[own % STATUSES.len()] {
            0 => status(code, body),
            own => status(own, body),
        }
    }
}

/// In no other text, and in the form that GitHub has announced.
fn canary(index: usize) -> String {
    format!("ghs_4711_CANARY{index:036}")
}

fn minted(index: usize, sent: &Sent) -> Vec<u8> {
    let names: Vec<Value> = sent.body["repositories"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|name| json!({ "name": name }))
        .collect();
    let token = json!({
        "token": canary(index), "expires_at": "2026-11-20T18:00:00Z", "permissions": sent.body["permissions"],
        "repositories": names,
    });
    token.to_string().into_bytes()
}

fn contents(text: &[u8]) -> Vec<u8> {
    let file = json!({ "type": "file", "encoding": "base64", "sha": "a".repeat(40), "content": STANDARD.encode(text) });
    file.to_string().into_bytes()
}

fn check(outside: &Outside, token: &str, response: &Response<Bytes>) {
    let code = response.status().as_u16();
    let body = text(response.body()).expect("text");
    assert!(matches!(code, 200 | 401 | 403 | 404 | 429 | 502 | 503), "{code} {body}");
    let answer: Value = serde_json::from_str(body).expect("every answer is json");
    let delivered = answer["token"].as_str();
    assert_eq!(delivered.is_some(), code == 200);
    assert_eq!(response.headers().contains_key("x-octo-sts-policy"), code == 200);

    let events = outside.log.events();
    assert_eq!(events.len(), 1, "exactly one event");
    assert_eq!(events[0]["outcome"] == "granted", code == 200);
    let sent = outside.network.requests.borrow();
    let counted = events[0]["subrequests"].as_u64().and_then(|count| usize::try_from(count).ok());
    assert!(counted.is_some_and(|counted| counted <= sent.len()));
    assert!(sent.len() <= 30, "{}", sent.len());

    let mut asked_for = None;
    for (index, sent) in sent.iter().enumerate() {
        let line = sent.to_string();
        assert_eq!(sent.uri.scheme_str(), Some("https"));
        assert!(!line.contains(token) && !sent.body.to_string().contains(token), "the token left: {line}");
        let Some(credential) = sent.credential() else {
            assert_ne!(sent.uri.host(), Some("api.github.com"), "GitHub is never asked anonymously");
            continue;
        };
        assert_eq!(sent.uri.host(), Some("api.github.com"), "a credential left: {line}");
        assert_ne!(credential, token);
        if line.ends_with("/access_tokens") {
            let permissions = sent.body["permissions"].as_object().expect("permissions");
            let names = sent.body["repositories"].as_array().expect("repositories");
            assert!(!permissions.is_empty() && names.len() == 1);
            for (name, level) in permissions {
                let known = known_permission(name).expect("a permission");
                assert!(known.levels.iter().any(|known| level == known.as_str()));
            }
            assert!(
                names[0] == "app"
                    || (names[0] == ".github" && sent.body["permissions"] == json!({"contents": "read"}))
            );
            asked_for = Some((index, sent));
        }
    }
    if let (Some(delivered), Some((_, mint))) = (delivered, asked_for) {
        assert_eq!(mint.body["repositories"], json!(["app"]));
        for (name, level) in answer["permissions"].as_object().expect("permissions") {
            let asked = mint.body["permissions"][name].as_str().expect("nothing that was not asked for");
            let rank = |level: &str| ["read", "write", "admin"].iter().position(|known| *known == level);
            assert!(rank(level.as_str().expect("a level")) <= rank(asked));
        }
        assert!(!sent.iter().any(|sent| sent.method == "DELETE" && sent.credential() == Some(delivered)));
    }

    // A token that was minted but not delivered is revoked, and no secret is anywhere.
    let log = outside.log.texts().join("\n");
    let everywhere = format!("{log}\n{}", outside.written().join("\n"));
    assert!(!everywhere.contains("[redacted "), "the last line of defence was needed: {log}");
    for index in 0..sent.len() {
        let canary = canary(index);
        assert!(!everywhere.contains(&canary) && (delivered == Some(&canary) || !body.contains(&canary)));
    }
    for secret in [token, SECRET, "PRIVATE KEY"] {
        assert!(!everywhere.contains(secret) && !body.contains(secret));
    }
    for (index, mint) in
        sent.iter().enumerate().filter(|(_, sent)| sent.to_string().ends_with("/access_tokens"))
    {
        let is_used = sent.iter().any(|later| later.credential() == Some(&canary(index)));
        let is_revoked =
            sent.iter().any(|later| later.method == "DELETE" && later.credential() == Some(&canary(index)));
        assert!(!is_used || is_revoked || delivered == Some(&canary(index)), "{} is not revoked", mint);
    }
}
