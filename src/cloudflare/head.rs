//! The heads of requests and answers that pass through the proxy, read in one call.

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::ports::Headers;
use crate::proxy::HeadLines;

#[wasm_bindgen(module = "/src/cloudflare/forward.js")]
extern "C" {
    fn wanted(names: &str) -> JsValue;
    fn head(message: &JsValue, wanted: &JsValue) -> String;
}

/// The headers of which the proxy reads the values. Those of any other stay outside, until somebody asks for one.
const READ: [&str; 12] = [
    "access-control-request-method",
    "authorization",
    "cf-connecting-ip",
    "connection",
    "content-length",
    "location",
    "origin",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-amzn-errortype",
    "x-api-key",
];

thread_local! {
    /// [`READ`] for JavaScript. It belongs to no request.
    static WANTED: JsValue = wanted(&READ.join("\n"));
}

/// The start of a message, and its headers.
pub(super) struct MessageHead {
    /// What was read in one call; `None` if it cannot be trusted.
    lines: Option<Lines>,
    headers: web_sys::Headers,
}

struct Lines {
    start: String,
    values: Vec<String>,
    names: Vec<String>,
}

impl MessageHead {
    /// Of a request or an answer, and its headers.
    pub(super) fn of(message: &JsValue, headers: web_sys::Headers) -> Self {
        let text = WANTED.with(|wanted| head(message, wanted));
        let owned = |lines: Vec<&str>| lines.into_iter().map(str::to_owned).collect();
        let lines = HeadLines::parse(&text, READ.len()).map(|lines| Lines {
            start: lines.start.to_owned(),
            values: owned(lines.values),
            names: owned(lines.names),
        });
        Self { lines, headers }
    }

    /// A request's method, or an answer's status.
    pub(super) fn start(&self) -> Option<&str> {
        self.lines.as_ref().map(|lines| lines.start.as_str())
    }
}

impl Headers for MessageHead {
    fn names(&self) -> Vec<String> {
        if let Some(lines) = &self.lines {
            return lines.names.clone();
        }
        let mut names: Vec<String> =
            self.headers.keys().into_iter().flatten().filter_map(|name| name.as_string()).collect();
        names.dedup();
        names
    }

    fn value(&self, name: &str) -> Option<String> {
        if let Some(lines) = &self.lines
            && let Some((_, value)) = READ.iter().zip(&lines.values).find(|(read, _)| **read == name)
        {
            let is_there = !value.is_empty() || lines.names.iter().any(|there| there == name);
            return is_there.then(|| value.clone());
        }
        self.headers.get(name).ok().flatten()
    }
}
