//! A panic, should there ever be one (docs/adr/0006), in the log. `worker`'s own hook writes the message, and a message may
//! hold what was worked on: a string cut at the wrong byte is quoted by the standard library. Ours says where it was, and
//! of the message only what was in the source.

use std::panic::{self, PanicHookInfo};

use js_sys::Reflect;
use serde_json::json;
use wasm_bindgen::JsValue;

use super::log::Console;
use crate::ports::{Level, Log};
use crate::redact::redact;

/// Replaces `worker`'s hook, and does what that does besides: the next request gets a new instance.
pub(super) fn install_hook() {
    panic::set_hook(Box::new(|info| {
        Console.write(Level::Error, &redact(&line(info)));
        let state = Reflect::get(&js_sys::global(), &JsValue::from_str("__worker_init_state"));
        if let Ok(state) = state {
            // Where there is no such state, the runtime's own error of the trap does it.
            Reflect::set(&state, &JsValue::from_str("criticalError"), &JsValue::TRUE).unwrap_or_default();
        }
    }));
}

fn line(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    // A text of the source is `&'static str`; one that was made is a `String`.
    let reason = info.payload().downcast_ref::<&'static str>().copied().unwrap_or_default();
    json!({ "level": "error", "message": "panic", "place": place, "reason": reason }).to_string()
}
