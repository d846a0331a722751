//! Signed webhook deliveries, with arbitrary answers of GitHub.

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Request;
use serde_json::{Value, json};

use super::platform::{Answer, Outside, SECRET, Sent, app, status};
use super::{parts, text};

/// A delivery: [event, body, GitHub's answers in order but for tokens]. An event that begins with `+` comes as a form.
pub fn delivery(data: &[u8]) {
    let [event, body, answers] = parts(data);
    let (is_form, event) = event.strip_prefix(b"+").map_or((false, event), |event| (true, event));
    let Some(event) = text(event) else { return };
    let content_type = if is_form { "application/x-www-form-urlencoded" } else { "application/json" };
    let hmac =
        Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length").chain_update(body);
    let signature = format!("sha256={}", hex::encode(hmac.finalize().into_bytes()));
    let signed = |signature: &str| {
        Request::post("https://sts.example.com/webhook")
            .header("content-type", content_type)
            .header("x-github-event", event)
            .header("x-github-delivery", "delivery-1")
            .header("x-hub-signature-256", signature)
            .body(Bytes::copy_from_slice(body))
    };
    let Ok(request) = signed(&signature) else { return };

    let answers: Vec<Vec<u8>> = answers.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let outside = Outside::new(move |index, sent| answered(&answers, index, sent));
    let response = outside.call(&app(), request);
    let code = response.status().as_u16();
    assert!(matches!(code, 200 | 202 | 400 | 502 | 503), "{code}");
    let said: Value = serde_json::from_slice(response.body()).expect("every answer is json");
    let mut live = 0_i32;
    for sent in outside.network.requests.borrow().iter() {
        let line = sent.to_string();
        assert_eq!((sent.uri.scheme_str(), sent.uri.host()), (Some("https"), Some("api.github.com")));
        assert!(!line.contains("/../") && !line.contains("/./") && !line.contains("//"), "{line}");
        let credential = sent.credential().expect("nothing is asked anonymously");
        let is_mint = line.ends_with("/access_tokens");
        let is_of_the_app = is_mint || sent.uri.path().ends_with("/installation");
        assert_eq!(credential.starts_with("eyJ"), is_of_the_app, "{line}");
        if is_mint {
            assert_eq!(sent.body["repositories"].as_array().map(Vec::len), Some(1));
            let permissions = sent.body["permissions"].as_object().expect("permissions");
            assert!(
                permissions
                    .keys()
                    .all(|name| matches!(name.as_str(), "contents" | "checks" | "pull_requests"))
            );
            live += 1;
        }
        live -= i32::from(sent.method == "DELETE");
        if sent.method == "PATCH" || sent.method == "POST" && line.ends_with("/check-runs") {
            match sent.body["conclusion"].as_str() {
                None => assert_eq!(sent.body["status"], "in_progress"),
                Some(conclusion) => assert!(matches!(conclusion, "success" | "failure" | "skipped")),
            }
            for member in ["summary", "text"] {
                assert!(sent.body["output"][member].as_str().expect("a text").len() <= 65_535);
            }
        }
    }
    assert_eq!(live, 0, "every token that was minted is revoked");
    if code != 200 {
        assert!(
            !outside.network.requests.borrow().iter().any(|sent| sent.method == "PATCH")
                || said["error"].is_string()
        );
    }
    assert_eq!(outside.log.lines().iter().filter(|line| line["message"] == "webhook delivery").count(), 1);

    // Without a signature it is ignored, and no request is sent.
    let stranger = Outside::new(|_, _| panic!("asked before the signature"));
    let forged = signed(&signature.replace(['0', '5', 'a'], "7")).expect("the same headers");
    if signature.contains(['0', '5', 'a']) {
        assert_eq!(stranger.call(&app(), forged).status(), 401);
    }
}

fn answered(answers: &[Vec<u8>], index: usize, sent: &Sent) -> Answer {
    if sent.uri.path().ends_with("/access_tokens") {
        let names: Vec<Value> = sent.body["repositories"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|name| json!({ "name": name }))
            .collect();
        let token = json!({
            "token": format!("ghs_{index}"), "expires_at": "2026-11-20T18:00:00Z",
            "permissions": sent.body["permissions"], "repositories": names,
        });
        return status(201, token.to_string());
    }
    if sent.method == "DELETE" {
        return status(204, "");
    }
    match answers.get(index.saturating_sub(1)).map(|answer| answer.split_first()) {
        Some(Some((b'!', _))) => status(500, "{}"),
        Some(Some((b'?', body))) => status(404, body),
        Some(Some((_, _))) => status(200, answers[index - 1].clone()),
        _ => status(404, "{}"),
    }
}
