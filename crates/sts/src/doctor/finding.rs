//! What the doctor finds: a stable code, the severity, what it is, and what to do.

use serde_json::{Value, json};

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// Something does not work.
    Error,
    /// Something works less well, or will stop working.
    Warning,
}

impl Severity {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) code: &'static str,
    pub(crate) severity: Severity,
    pub(crate) message: String,
    /// Exactly what to do.
    pub(crate) fix: String,
}

impl Finding {
    pub(crate) fn json(&self) -> Value {
        json!({ "code": self.code, "severity": self.severity.word(), "message": self.message, "fix": self.fix })
    }
}

/// The findings of one run, and what was checked.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) found: Vec<Finding>,
    /// What is in order, to show what was checked.
    pub(crate) well: Vec<&'static str>,
}

impl Findings {
    pub(crate) fn error(&mut self, code: &'static str, message: impl Into<String>, fix: impl Into<String>) {
        self.add(code, Severity::Error, message.into(), fix.into());
    }

    pub(crate) fn warning(&mut self, code: &'static str, message: impl Into<String>, fix: impl Into<String>) {
        self.add(code, Severity::Warning, message.into(), fix.into());
    }

    fn add(&mut self, code: &'static str, severity: Severity, message: String, fix: String) {
        // Text from others is shown on a terminal.
        let plain = |text: String| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.found.push(Finding { code, severity, message: plain(message), fix: plain(fix) });
    }

    /// Checks one thing, which is in order if nothing is found.
    pub(crate) fn look(&mut self, what: &'static str, at: impl FnOnce(&mut Self)) {
        let before = self.found.len();
        at(self);
        if self.found.len() == before {
            self.well.push(what);
        }
    }
}
