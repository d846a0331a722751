//! The values of a document, each with its place.

use saphyr_parser::ScalarStyle;

use super::diagnostic::Place;

/// A value in the document.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) kind: NodeKind,
}

#[derive(Debug, Clone)]
pub(crate) enum NodeKind {
    Text(Text),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
    /// Not a value; the reason has been told already.
    Unusable,
}

/// A scalar: its own text, whatever it looks like.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) place: Place,
    pub(super) style: ScalarStyle,
    /// Where it begins, in characters of the file.
    pub(super) index: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Text,
    pub(crate) value: Node,
}

impl Text {
    /// Text that does not come from a YAML document.
    pub(crate) fn bare(value: &str, place: Place) -> Self {
        Self { value: value.to_owned(), place, style: ScalarStyle::Literal, index: 0 }
    }
}

impl Node {
    /// What kind of value this is, for a message.
    pub(crate) fn describe(&self) -> &'static str {
        match self.kind {
            NodeKind::Text(_) => "text",
            NodeKind::Sequence(_) => "a list",
            NodeKind::Mapping(_) => "a mapping",
            NodeKind::Unusable => "not a value",
        }
    }
}
