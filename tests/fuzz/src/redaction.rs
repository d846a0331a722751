//! Lines of the log.

use octo_sts_worker::redact::redact;
use serde_json::{Value, json};

use super::text;

/// Planted wherever the input has a `@`.
const SECRET: &str = "ghs_16C7e42F292c6912E7710c838347Ae178B4a";

/// A text: [the text].
pub fn line(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let clean = redact(text);
    assert_eq!(redact(&clean), clean, "what is clean stays so");
    if !["eyJ", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "-----BEGIN "]
        .iter()
        .any(|start| text.contains(start))
    {
        assert_eq!(clean, text, "what has no secret is not touched");
    }
    // A log line stays one line, with the same members and every other value unchanged.
    let line = json!({ "a": text, "b": [text, "c"], "d": 1 }).to_string();
    let read: Value = serde_json::from_str(&redact(&line)).expect("json stays json");
    assert_eq!(
        (read.as_object().map(|members| members.len()), &read["b"][1], &read["d"]),
        (Some(3), &json!("c"), &json!(1))
    );
    // Input that is already JSON.
    if let Ok(read) = serde_json::from_str::<Value>(text)
        && read.is_object()
    {
        let _: Value = serde_json::from_str(&clean).expect("json stays json");
    }
    let planted = text.replace('@', SECRET);
    if planted.contains(SECRET) {
        assert!(!redact(&planted).contains(SECRET), "{}", redact(&planted));
        let line = json!({ "a": planted }).to_string();
        assert!(!redact(&line).contains(SECRET), "{}", redact(&line));
    }
}
