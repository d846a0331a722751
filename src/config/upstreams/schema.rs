//! The JSON Schema (draft 2020-12) of the setting, for editors. Its bounds are the reader's own. Never part of the Worker.

use serde_json::{Value, json};

use super::{
    DEFAULT_FIRST_BYTE, DEFAULT_RATE, DEFAULT_REQUESTS, DEFAULT_SESSION, LONGEST_FIRST_BYTE, LONGEST_SESSION,
    MAX_CORS_HEADERS, MAX_METHODS, MAX_NAME, MAX_PATHS, MAX_RULES, MOST_RATE, MOST_REQUESTS, MOST_TOKEN_AGE,
    SHORTEST_SESSION,
};
use crate::federation::schema::credential;
use crate::policy::schema::who;

/// The name of the schema's file in `policies-schema`.
pub const FILE: &str = "upstreams.schema.json";

/// The schema of `UPSTREAMS`.
#[must_use]
pub fn document() -> Value {
    let repository = env!("CARGO_PKG_REPOSITORY").replace("https://github.com/", "");
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("https://raw.githubusercontent.com/{repository}/main/policies-schema/{FILE}"),
        "title": "Upstreams of the proxy",
        "description": "The variable `UPSTREAMS` of the Worker, and each of its further parts: where requests through the proxy go, with which credential, and who may send them.",
        "type": "object",
        "propertyNames": { "pattern": format!("^[a-z0-9][a-z0-9-]{{0,{}}}$", MAX_NAME - 1) },
        "additionalProperties": upstream(),
    })
}

fn upstream() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["url", "credential", "allow"],
        "properties": {
            "url": {
                "description": "Where requests go: https, a public host, a path prefix if you like; no query, fragment or user.",
                "type": "string", "pattern": "^https?://[^?#@\\s]+$", "examples": ["https://api.anthropic.com"],
            },
            "credential": credential(),
            "allow": {
                "description": "Who may call: one rule that holds suffices. A rule without an audience takes tokens for `https://{DOMAIN}/proxy/{name}` and no others.",
                "type": "array", "minItems": 1, "maxItems": MAX_RULES, "items": who(),
            },
            "methods": {
                "description": "The methods let through; all without it.",
                "type": "array", "minItems": 1, "maxItems": MAX_METHODS,
                "items": { "type": "string", "pattern": "^[A-Z][A-Z-]{0,31}$" }, "examples": [["POST"]],
            },
            "paths": {
                "description": "Regular expressions, one of which must match the whole path behind `/proxy/{name}`; all paths without it.",
                "type": "array", "minItems": 1, "maxItems": MAX_PATHS,
                "items": { "type": "string" }, "examples": [["/v1/messages"]],
            },
            "budget_per": {
                "description": "Who has a budget: the workflow run, or each token.",
                "enum": ["run", "token"], "default": "run",
            },
            "max_requests": number("Requests in all, per budget.", 1, MOST_REQUESTS, Some(DEFAULT_REQUESTS)),
            "requests_per_second": number("Requests in one second, per budget.", 1, MOST_RATE, Some(DEFAULT_RATE)),
            "max_token_age_seconds": number("How old a token may be, on top of its own expiry.", 1, MOST_TOKEN_AGE, None),
            "max_session_seconds": number("How long a session may be.", SHORTEST_SESSION, LONGEST_SESSION, Some(DEFAULT_SESSION)),
            "first_byte_timeout_seconds": number("From sending to the head of the answer.", 1, LONGEST_FIRST_BYTE, Some(DEFAULT_FIRST_BYTE)),
            "redirects": {
                "description": "Where the `Location` of a redirect may lead: under `url`, or anywhere.",
                "enum": ["upstream", "any"], "default": "upstream",
            },
            "cors": {
                "description": "Which pages in a browser may call.",
                "type": "object", "additionalProperties": false, "required": ["origin"],
                "properties": {
                    "origin": {
                        "description": "One origin, or `*`.",
                        "type": "string", "pattern": "^(\\*|https?://[a-z0-9.:\\[\\]-]+)$", "examples": ["https://app.example.com"],
                    },
                    "headers": {
                        "description": "More headers that a page may send, besides `authorization`, `x-api-key` and `content-type`.",
                        "type": "array", "maxItems": MAX_CORS_HEADERS, "items": { "type": "string" },
                        "examples": [["anthropic-version"]],
                    },
                },
            },
        },
    })
}

fn number(description: &str, least: u32, most: u32, default: Option<u32>) -> Value {
    let mut schema =
        json!({ "description": description, "type": "integer", "minimum": least, "maximum": most });
    if let (Some(default), Some(members)) = (default, schema.as_object_mut()) {
        members.insert("default".to_owned(), default.into());
    }
    schema
}
