//! What an author is told of a document with a fault. Apart from the reading and never inlined: an isolate of the Worker
//! compiles what it calls, and most of it would be this.

use std::fmt;

use saphyr_parser::Tag;

use super::{Entry, KeyProblem, Reader, Text};
use crate::diagnostic::{Place, Problems, quoted};
use crate::scalar::Ambiguity;
use crate::source;

/// The longest value that a suggestion repeats.
const MAX_SUGGESTED: usize = 200;

impl Reader<'_> {
    /// Tells why nothing further is looked at.
    #[cold]
    #[inline(never)]
    pub(super) fn stop<T>(
        &mut self,
        code: &'static str,
        place: Place,
        message: fmt::Arguments<'_>,
    ) -> Option<T> {
        self.problems.error(code, place, message.to_string(), None);
        None
    }

    #[cold]
    #[inline(never)]
    pub(super) fn tell_properties(&mut self, anchor: usize, tag: Option<&Tag>, place: Place) {
        if anchor != 0 {
            self.problems.error("yaml-anchor", place, "anchors are not allowed", None);
        }
        if tag.is_some() {
            let hint = Some("remove the tag, and quote the value if it must be text".to_owned());
            self.problems.error("yaml-tag", place, "explicit tags are not allowed", hint);
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn tell_complex_key(&mut self, key: &str, place: Place) {
        let message = "a key must be on one line, followed by `:`";
        // `{contents: read, write}`
        let is_level = matches!(key, "read" | "write" | "admin");
        let hint = "a level includes the lower ones: write one, for example `contents: write`";
        let hint = is_level.then(|| hint.to_owned());
        self.problems.error("yaml-complex-key", place, message, hint);
    }

    #[cold]
    #[inline(never)]
    pub(super) fn tell_ambiguity(&mut self, ambiguity: Ambiguity, text: &Text, key: Option<String>) {
        let value = &text.value;
        if ambiguity != Ambiguity::Merge && !self.problems.has_room("yaml-ambiguous-scalar") {
            return self.problems.error("yaml-ambiguous-scalar", text.place, "", None);
        }
        // A number may be as long as the file.
        let is_short = value.len() <= MAX_SUGGESTED;
        let quote = is_short.then(|| format!("write `'{value}'` if you mean this text"));
        let (code, message, suggestion) = match ambiguity {
            Ambiguity::Merge => ("yaml-merge-key", "merge keys are not allowed".to_owned(), None),
            Ambiguity::Null if value.is_empty() => {
                let what = key.map_or_else(
                    || "an empty value".to_owned(),
                    |key| format!("{} has no value", quoted(&key)),
                );
                let hint = "write the value, or remove the line".to_owned();
                ("yaml-ambiguous-scalar", what, Some(hint))
            }
            Ambiguity::Null => (
                "yaml-ambiguous-scalar",
                format!("{} without quotes is YAML's null, not text", quoted(value)),
                quote,
            ),
            Ambiguity::Boolean => (
                "yaml-ambiguous-scalar",
                format!(
                    "{} without quotes is a boolean to YAML 1.1 parsers, which change its text",
                    quoted(value)
                ),
                quote,
            ),
            Ambiguity::Number => (
                "yaml-ambiguous-scalar",
                format!(
                    "{} without quotes is a number to YAML 1.1 parsers, which change its text",
                    quoted(value)
                ),
                quote,
            ),
        };
        self.problems.error(code, text.place, message, suggestion);
    }
}

#[cold]
#[inline(never)]
pub(super) fn tell_not_utf8(bytes: &[u8], valid_up_to: usize, problems: &mut Problems) {
    let before = bytes.get(..valid_up_to).unwrap_or_default();
    let place = source::end_of(&String::from_utf8_lossy(before));
    problems.error("not-utf8", place, "the file is not valid UTF-8", None);
}

#[cold]
#[inline(never)]
pub(super) fn duplicate(text: &Text, first: &Entry) -> KeyProblem {
    let message = format!("duplicate key {}, first in line {}", quoted(&text.value), first.key.place.line);
    ("yaml-duplicate-key", text.place, message)
}
