//! The Worker's variables, secrets and bindings, by name.

use js_sys::{JSON, Reflect};
use wasm_bindgen::JsValue;
use worker::Env;

/// The environment of this Worker; the same for every request of an isolate.
pub(super) struct Settings<'a>(pub(super) &'a Env);

impl Settings<'_> {
    /// A variable's or secret's text. A variable that is not text in `wrangler.toml` (`X = 5`, `X = ["a"]`) is read as
    /// JSON. If it counted as absent, a list given as an array would restrict nothing.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let value = self.binding(name)?;
        Some(
            value
                .as_string()
                .unwrap_or_else(|| JSON::stringify(&value).map(String::from).unwrap_or_default()),
        )
    }

    /// The binding with this name, of whatever kind.
    pub(super) fn binding(&self, name: &str) -> Option<JsValue> {
        Reflect::get(self.0, &JsValue::from_str(name)).ok().filter(|value| !value.is_undefined())
    }
}
