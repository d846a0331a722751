//! Strangers' requests to the service's routes.

use bytes::Bytes;
use http::{Method, Request};
use octo_sts_worker::names::{IdentityName, Scope};
use octo_sts_worker::ports::Truncated;

use super::platform::{Outside, SECRET, app, status};
use super::{parts, plants, text};

/// A request: [method, path and query, header lines, body]. A method that begins with `!` marks a truncated request.
pub fn request(data: &[u8]) {
    if plants(data, &[SECRET, "RSA PRIVATE"]) {
        return;
    }
    let [method, target, headers, body] = parts(data);
    let truncated = method.first() == Some(&b'!');
    let method = method.strip_prefix(b"!").unwrap_or(method);
    let Ok(method) = Method::from_bytes(method) else { return };
    let Some(target) = text(target).filter(|target| target.starts_with('/')) else { return };
    let mut builder =
        Request::builder().method(method.clone()).uri(format!("https://sts.example.com{target}"));
    for line in headers.split(|byte| *byte == b'\n') {
        if let Some(at) = line.iter().position(|byte| *byte == b':') {
            builder = builder.header(&line[..at], line[at + 1..].trim_ascii());
        }
    }
    let Ok(mut request) = builder.body(Bytes::copy_from_slice(body)) else { return };
    if truncated {
        request.extensions_mut().insert(Truncated);
    }
    let path = request.uri().path().to_owned();
    let outside = Outside::new(|_, _| status(404, "{}"));
    let response = outside.call(&app(), request);

    let (parts, body) = response.into_parts();
    let code = parts.status.as_u16();
    assert_eq!(parts.headers["x-request-id"], "request-1");
    assert_eq!(parts.headers["x-content-type-options"], "nosniff");
    assert_eq!(
        path.starts_with("/sts/"),
        parts.headers.get("cache-control").is_some_and(|value| value == "no-store")
    );
    assert!(!parts.headers.keys().any(|name| name.as_str().starts_with("access-control")), "no CORS");
    assert_eq!(parts.headers.contains_key("retry-after"), matches!(code, 429 | 503));
    assert_eq!(parts.headers.contains_key("allow"), code == 405);
    assert_ne!(code, 500, "nothing is our fault: {}", String::from_utf8_lossy(&body));
    let body = text(&body).expect("text");
    assert!(!body.contains(SECRET) && !body.contains("RSA PRIVATE"));
    if method == Method::HEAD {
        assert!(body.is_empty());
    } else if code != 204 {
        let body: serde_json::Value = serde_json::from_str(body).expect("every answer is json");
        if code >= 400 {
            let message = body["message"].as_str().expect("a message");
            assert!(!message.contains('\n') && message.len() < 4096, "{message}");
        }
    }

    let is_sts = |route: &str| path == route || path.strip_suffix('/') == Some(route);
    let events = outside.log.events();
    let is_audited = is_sts("/sts/exchange") || is_sts("/sts/revoke");
    assert_eq!(events.len(), usize::from(is_audited), "one event for each exchange and revocation");
    for event in &events {
        // An accepted name is valid in every URL, header and file system.
        for name in ["scope", "identity"] {
            let Some(accepted) = event[name].as_str() else { continue };
            let is_safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
            let masked = accepted.contains("[redacted ");
            assert!(masked || accepted.bytes().all(is_safe), "{accepted}");
            assert!(accepted.split('/').all(|part| !matches!(part, "" | "." | "..")), "{accepted}");
            assert!(name == "scope" || !accepted.contains(".."), "{accepted}");
            if !masked && name == "scope" {
                assert_eq!(accepted.parse::<Scope>().expect("a scope").to_string(), accepted);
            } else if !masked {
                assert_eq!(accepted.parse::<IdentityName>().expect("an identity").as_str(), accepted);
            }
        }
        if is_sts("/sts/exchange") {
            assert!(!truncated || event.get("scope").is_none(), "what broke off has no parameters");
            assert!(code >= 400, "nothing is granted where GitHub knows nothing");
        }
    }
    if truncated && is_sts("/sts/exchange") {
        assert!(code >= 400 && outside.network.requests.borrow().is_empty());
    }
    for sent in outside.network.requests.borrow().iter() {
        assert_eq!(sent.uri.scheme_str(), Some("https"));
        assert!(sent.credential().is_none() || sent.uri.host() == Some("api.github.com"));
    }
}
