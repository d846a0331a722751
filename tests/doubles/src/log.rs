//! The log, which keeps everything.

use std::cell::{Cell, RefCell};

use octo_sts_worker::ports::{self, Level};
use serde_json::Value;

/// The log, whole.
#[derive(Debug, Default)]
pub struct Log {
    written: RefCell<Vec<(Level, String)>>,
    /// A caller of this story puts credentials where they do not belong.
    pub is_redacted: Cell<bool>,
}

impl Log {
    /// The lines as they were written.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.written.borrow().iter().map(|(_, line)| line.clone()).collect()
    }

    /// Every line is one JSON object.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        self.texts().iter().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// The audit events.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line.get("event").is_some()).collect()
    }

    /// Whether a line has this message.
    #[must_use]
    pub fn says(&self, message: &str) -> bool {
        self.lines().iter().any(|line| line["message"] == message)
    }
}

impl ports::Log for Log {
    fn write(&self, level: Level, line: &str) {
        assert!(!line.contains('\n'), "one line: {line}");
        self.written.borrow_mut().push((level, line.to_owned()));
    }
}
