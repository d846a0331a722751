//! What GitHub answers, one call at a time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use octo_sts_doubles::sent::inbound;
use octo_sts_worker::github::mint::{MintAnswer, MintRequest};
use octo_sts_worker::github::{
    BaseUrl, CheckRunsQuery, Failure, File, check_runs, compare, installation_of_repository,
    list_directory_at, pull_request_files, read_file, revoke,
};
use octo_sts_worker::ports::Inbound;
use octo_sts_worker::secret::Secret;
use serde_json::Value;

use super::parts;
use super::platform::{Outside, now, ready};

const STATUSES: [u16; 12] = [200, 201, 204, 301, 400, 401, 403, 404, 422, 429, 451, 500];

/// An answer: [which call and which status (two characters), `Retry-After`, the body].
pub fn answer(data: &[u8]) {
    let [which, retry_after, body] = parts(data);
    let number = |index: usize| which.get(index).map_or(0, |byte| usize::from(byte.saturating_sub(b'0')));
    let status = STATUSES[number(1) % STATUSES.len()];
    let mut headers = HeaderMap::new();
    for name in ["retry-after", "x-ratelimit-remaining", "x-ratelimit-reset"] {
        if let Ok(value) = HeaderValue::from_bytes(retry_after) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let is_success = (200..300).contains(&status);
    let answered = body.to_vec();
    let outside = Outside::new(move |_, _| {
        Ok(Inbound { headers: headers.clone(), ..inbound(status, answered.clone()) })
    });
    let (base, token) = (BaseUrl::default(), Secret::new("ghs_read".to_owned()));
    let (owner, name) = ("acme".parse().expect("an owner"), "app".parse().expect("a repository"));
    let commit = "a".repeat(40).parse().expect("a commit");
    let failure = match number(0) % 8 {
        0 => minted(&outside, &name, body),
        1 => match ready(
            read_file(&base, &owner, &name, ".github/chainguard/x.sts.yaml", &token).send(&*outside.network),
        ) {
            Ok(File::Regular { sha, content }) => {
                assert!(matches!(sha.len(), 40 | 64) && sha.bytes().all(|b| b.is_ascii_hexdigit()));
                let said: Value = serde_json::from_slice(body).expect("json");
                let base64: String =
                    said["content"].as_str().expect("text").split_ascii_whitespace().collect();
                assert_eq!((said["type"].as_str(), STANDARD.encode(&content)), (Some("file"), base64));
                None
            }
            Ok(File::Other) => None,
            Err(failure) => Some(failure),
        },
        2 => ready(
            list_directory_at(&base, &owner, &name, ".github/chainguard", &commit, &token)
                .send(&*outside.network),
        )
        .err(),
        3 => match ready(installation_of_repository(&base, &owner, &name, &token).send(&*outside.network)) {
            Ok(installation) => {
                let said: Value = serde_json::from_slice(body).expect("json");
                // serde refuses a repeated member.
                assert_eq!(said["id"].as_u64(), Some(installation.id));
                assert_eq!(said["account"]["login"].as_str(), Some(installation.account.login.as_str()));
                None
            }
            Err(failure) => Some(failure),
        },
        4 => ready(compare(&base, &owner, &name, &commit, &commit, &token).send(&*outside.network)).err(),
        5 => ready(pull_request_files(&base, &owner, &name, 42, 1, &token).send(&*outside.network)).err(),
        6 => {
            let runs =
                CheckRunsQuery { head: &commit, name: "Trust Policy Validation", app: "4711", page: 1 };
            ready(check_runs(&base, &owner, &name, runs, &token).send(&*outside.network)).err()
        }
        _ => ready(revoke(&base, &token).send(&*outside.network)).err(),
    };
    assert_eq!(outside.network.requests.borrow().len(), 1, "a call is one request");
    match failure {
        Some(failure) => {
            assert!((1..=3600).contains(&failure.retry_after(now()).as_secs()));
            if let Failure::RateLimited(_) = failure {
                assert!(matches!(status, 403 | 422 | 429));
            }
        }
        None => assert!(is_success, "a failure is no success"),
    }
}

fn minted(outside: &Outside, name: &octo_sts_worker::names::Repository, body: &[u8]) -> Option<Failure> {
    let request = MintRequest::for_policy_read(name);
    let jwt = Secret::new("eyJhbGciOiJSUzI1NiJ9.e30.c2ln".to_owned());
    match ready(request.call(&BaseUrl::default(), 1, &jwt).send(&*outside.network)) {
        Ok(MintAnswer::Token(token)) => {
            assert!(
                !token.token.expose().is_empty()
                    && token.token.expose().bytes().all(|b| b.is_ascii_graphic())
            );
            if request.covers(&token) {
                let is_asked = |(name, level): (&String, &String)| {
                    level == "read" && matches!(name.as_str(), "contents" | "metadata")
                };
                assert!(token.permissions.iter().all(is_asked), "{:?}", token.permissions);
                let names = token.repositories.as_ref().expect("all repositories are not covered by one");
                assert!(!names.is_empty() && names.iter().all(|given| name.is(given)));
                assert!(request.asked_of(&token).keys().all(|name| name == "contents"));
            }
            None
        }
        Ok(MintAnswer::Unreadable(token)) => {
            if let Some(token) = token {
                assert!(!token.expose().is_empty() && token.expose().bytes().all(|b| b.is_ascii_graphic()));
            }
            // A visible token is never lost, because it has to be revoked.
            else if let Ok(Value::Object(said)) = serde_json::from_slice::<Value>(body)
                && let Some(token) = said.get("token").and_then(Value::as_str)
                && String::from_utf8_lossy(body).matches("\"token\"").count() == 1
            {
                assert!(token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()), "{token} is lost");
            }
            None
        }
        Err(failure) => Some(failure),
    }
}
