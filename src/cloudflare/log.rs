//! The console, which is the Worker's log. Nothing else in the crate writes to it.

use wasm_bindgen::JsValue;
use web_sys::console;

use crate::ports::{Level, Log};

/// The runtime's console.
pub(super) struct Console;

impl Log for Console {
    fn write(&self, level: Level, line: &str) {
        let line = JsValue::from_str(line);
        match level {
            Level::Error => console::error_1(&line),
            Level::Warn => console::warn_1(&line),
            Level::Info => console::log_1(&line),
            Level::Debug => console::debug_1(&line),
        }
    }
}
