//! Reads known fields from a document, and reports everything that is wrong.

use super::diagnostic::{Place, Problems, nearest, quoted};
use super::document::{Entry, Node, NodeKind, Source, Text};
use super::pattern::Pattern;

/// The keys that a kind of file knows, and the word for it in messages.
pub(super) struct Vocabulary {
    pub(super) file: &'static str,
    pub(super) keys: &'static [&'static str],
}

/// The usable entries of a mapping.
pub(super) struct Fields<'n> {
    entries: &'n [Entry],
}

impl<'n> Fields<'n> {
    /// Reports unknown keys; `None` if the file is not a mapping at all.
    pub(super) fn of(root: &'n Node, vocabulary: &Vocabulary, problems: &mut Problems) -> Option<Self> {
        let entries = match &root.kind {
            NodeKind::Mapping(entries) => entries,
            NodeKind::Unusable => return None,
            NodeKind::Text(_) | NodeKind::Sequence(_) => {
                let message =
                    format!("{} is a mapping of keys to values, not {}", vocabulary.file, root.describe());
                problems.error("not-a-mapping", root.place, message, None);
                return None;
            }
        };
        for entry in entries {
            let key = entry.key.value.as_str();
            if !vocabulary.keys.contains(&key) {
                let room = problems.may_suggest("unknown-key");
                let hint = if room { nearest(key, vocabulary.keys.iter().copied()) } else { None };
                let message = format!("{} is not a key of {}", quoted(key), vocabulary.file);
                let suggestion = hint.map_or_else(
                    || format!("the keys are {}", list(vocabulary.keys)),
                    |known| format!("did you mean `{known}`?"),
                );
                problems.error("unknown-key", entry.key.place, message, Some(suggestion));
            }
        }
        Some(Self { entries })
    }

    pub(super) fn find(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key.value == key)
    }

    /// Text that is not empty.
    pub(super) fn text(&self, key: &str, problems: &mut Problems) -> Option<&'n Text> {
        let entry = self.find(key)?;
        let text = text_or(&entry.value, &quoted(key), |items| one_text(key, items), problems)?;
        if text.value.is_empty() {
            let message = format!("{} is empty", quoted(key));
            let suggestion = "write the value, or remove the line".to_owned();
            problems.error("empty-value", text.place, message, Some(suggestion));
            return None;
        }
        Some(text)
    }

    /// A list; the caller checks its items.
    pub(super) fn sequence(&self, key: &str, problems: &mut Problems) -> Option<(Place, &'n [Node])> {
        let entry = self.find(key)?;
        match &entry.value.kind {
            NodeKind::Sequence(items) => Some((entry.value.place, items)),
            NodeKind::Unusable => None,
            NodeKind::Text(_) | NodeKind::Mapping(_) => {
                let message = format!("{} must be a list, not {}", quoted(key), entry.value.describe());
                problems.error("wrong-type", entry.value.place, message, None);
                None
            }
        }
    }

    /// A mapping; the caller checks its entries.
    pub(super) fn mapping(&self, key: &str, problems: &mut Problems) -> Option<(Place, &'n [Entry])> {
        let entry = self.find(key)?;
        match &entry.value.kind {
            NodeKind::Mapping(entries) => Some((entry.value.place, entries)),
            NodeKind::Unusable => None,
            NodeKind::Text(_) | NodeKind::Sequence(_) => {
                let message = format!("{} must be a mapping, not {}", quoted(key), entry.value.describe());
                problems.error("wrong-type", entry.value.place, message, None);
                None
            }
        }
    }
}

/// A value that must be text; `what` names it in the message.
pub(super) fn text<'n>(node: &'n Node, what: &str, problems: &mut Problems) -> Option<&'n Text> {
    text_or(node, what, |_| None, problems)
}

/// Like [`text`]; `hint` says what to write instead of a list.
pub(super) fn text_or<'n>(
    node: &'n Node,
    what: &str,
    hint: impl FnOnce(&[Node]) -> Option<String>,
    problems: &mut Problems,
) -> Option<&'n Text> {
    let suggestion = match &node.kind {
        NodeKind::Text(text) => return Some(text),
        NodeKind::Unusable => return None,
        NodeKind::Sequence(items) => hint(items),
        NodeKind::Mapping(_) => None,
    };
    let message = format!("{what} must be text, not {}", node.describe());
    problems.error("wrong-type", node.place, message, suggestion);
    None
}

/// What to write instead of a list of values that are compared, or of patterns.
fn one_text(key: &str, items: &[Node]) -> Option<String> {
    if key.ends_with("_pattern") {
        return one_pattern(items);
    }
    let pattern = alternatives(items, true)?;
    Some(format!("to allow any of them, write `{key}_pattern: {pattern}`"))
}

/// What to write instead of a list of patterns.
pub(super) fn one_pattern(items: &[Node]) -> Option<String> {
    alternatives(items, false).map(|pattern| format!("to allow any of them, write `{pattern}`"))
}

/// A longer suggestion helps no one.
const MAX_SUGGESTED: usize = 200;

/// `(a|b)`, of texts or of patterns.
fn alternatives(items: &[Node], literally: bool) -> Option<String> {
    let mut pattern = String::from("(");
    for item in items {
        let NodeKind::Text(text) = &item.kind else { return None };
        if pattern.len() > 1 {
            pattern.push('|');
        }
        for character in text.value.chars() {
            if literally && ".+*?()|[]{}^$\\".contains(character) {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        if text.value.is_empty() || pattern.len() > MAX_SUGGESTED {
            return None;
        }
    }
    pattern.push(')');
    let is_one_line = !pattern.contains(char::is_control);
    (items.len() > 1 && is_one_line && pattern.parse::<Pattern>().is_ok()).then_some(pattern)
}

/// Compiles a pattern; a problem is reported at its character.
pub(super) fn pattern(text: &Text, what: &str, source: &Source, problems: &mut Problems) -> Option<Pattern> {
    match text.value.parse::<Pattern>() {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let place = source.place_within(text, error.offset);
            let suggestion = error.suggestion().map(str::to_owned);
            problems.error(error.code(), place, format!("{what}: {error}"), suggestion);
            None
        }
    }
}

/// Names for a message: `a`, `b`, `c`.
pub(super) fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
