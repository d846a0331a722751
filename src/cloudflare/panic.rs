//! Logs a panic, should there ever be one (docs/adr/0006). `worker`'s own hook writes the message, which may contain
//! data: the standard library quotes a string that is cut at the wrong byte. Ours writes the location, and only those
//! parts of the message that are in the source.

use std::panic::{self, PanicHookInfo};

use js_sys::Reflect;
use serde_json::json;
use wasm_bindgen::JsValue;

use super::log::Console;
use crate::ports::{Level, Log};
use crate::redact::redact;

/// Replaces `worker`'s hook, and also does its other task: the next request gets a new instance.
pub(super) fn install_hook() {
    panic::set_hook(Box::new(|info| {
        Console.write(Level::Error, &redact(&line(info)));
        let state = Reflect::get(&js_sys::global(), &JsValue::from_str("__worker_init_state"));
        if let Ok(state) = state {
            // Without such state, the runtime's own error for the trap does this.
            Reflect::set(&state, &JsValue::from_str("criticalError"), &JsValue::TRUE).unwrap_or_default();
        }
    }));
}

fn line(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    // Text from the source is a `&'static str`; composed text is a `String`.
    let reason = info.payload().downcast_ref::<&'static str>().copied().unwrap_or_default();
    json!({ "level": "error", "message": "panic", "place": place, "reason": reason }).to_string()
}
