//! Reads one YAML document strictly, as a tree with positions: only what every YAML parser understands in the same way.
//!
//! Refused: a second document, directives, tags, anchors, aliases, merge keys, duplicate keys, keys that are not text,
//! plain scalars that YAML 1.1 does not read as their text ([`super::scalar`]), and text that YAML 1.1 and 1.2 split
//! differently ([`super::dialect`]).

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::diagnostic::{Place, Problems, quoted};
use super::dialect::{self, Written};
use super::scalar::{Ambiguity, ambiguity};
use super::source;
pub(crate) use super::source::Source;
use crate::cost::work;

/// A policy is a page of text, but the contents API serves far larger files.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

/// Nesting of mappings and sequences. A policy needs two levels.
const MAX_NESTING: usize = 20;

/// Entries of one mapping. A policy needs nine.
const MAX_ENTRIES: usize = 256;

/// Values, keys, lists and mappings of a file. The largest policy names 500 repositories; far larger files cost a
/// hundred times as much to read as to write.
const MAX_VALUES: usize = 2048;

/// Commas of a file. The parser scans a list in brackets to its end before it reports the first item, so a file of
/// nothing else costs a thousand instructions per byte. In prose and patterns, one byte in forty is a comma.
const MAX_COMMAS: usize = 2 * MAX_VALUES;

/// The longest value that a suggestion repeats.
const MAX_SUGGESTED: usize = 200;

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
    /// Not a value; the reason is already reported.
    Unusable,
}

/// A scalar: its own text, whatever it resembles.
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

/// A document and its source.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) root: Node,
    pub(crate) source: Source,
}

/// Reads the document. `None` if it cannot be read at all; problems are reported in any case. Linear in its bytes.
pub(crate) fn read(bytes: &[u8], problems: &mut Problems) -> Option<Document> {
    if bytes.len() > MAX_BYTES {
        let message = format!("the file is larger than {MAX_BYTES} bytes");
        problems.error("file-too-large", Place::START, message, None);
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let place = source::end_of(&String::from_utf8_lossy(before));
            problems.error("not-utf8", place, "the file is not valid UTF-8", None);
            return None;
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !dialect::check_lines(text, problems) {
        return None;
    }
    if text.bytes().filter(|byte| *byte == b',').count() > MAX_COMMAS {
        let message = format!("a file with more than {MAX_COMMAS} commas");
        problems.error("yaml-too-many-values", Place::START, message, None);
        return None;
    }
    let written = Written::new(text);
    let reader = Reader { problems, written: &written, open: Vec::new(), root: None, scalars: Vec::new() };
    let (root, scalars) = reader.read(text)?;
    Some(Document { root, source: Source::new(written, scalars) })
}

/// A collection that has not ended yet.
enum Open {
    Sequence { place: Place, flow: bool, items: Vec<Node> },
    Mapping { place: Place, flow: bool, entries: Vec<Entry>, order: Order, key: Option<Key> },
}

/// The entries of a mapping by their keys, so that a duplicate is found without scanning them all.
#[derive(Default)]
struct Order(Vec<usize>);

impl Order {
    /// Where the key is, or where it belongs.
    fn find(&self, entries: &[Entry], key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|index| {
            work(1);
            entries.get(*index).map_or("", |entry| entry.key.value.as_str()).cmp(key)
        })
    }
}

/// The key whose value comes next.
enum Key {
    Usable(Text),
    Unusable,
}

struct Reader<'p> {
    problems: &'p mut Problems,
    written: &'p Written,
    open: Vec<Open>,
    root: Option<Node>,
    scalars: Vec<(Place, Place)>,
}

impl Reader<'_> {
    fn read(mut self, text: &str) -> Option<(Node, Vec<(Place, Place)>)> {
        let (mut documents, mut values) = (0usize, 0usize);
        for event in Parser::new_from_str(text) {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    let stopped = Place::from(*error.marker());
                    dialect::tell_syntax(text, stopped, error.info(), self.problems);
                    return None;
                }
            };
            let place = Place::from(span.start);
            work(1);
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let message = "a second document in the file; there must be exactly one";
                        self.problems.error("yaml-multiple-documents", place, message, None);
                        return None;
                    }
                }
                Event::Alias(_) => {
                    let message = "aliases are not allowed";
                    self.problems.error("yaml-alias", place, message, Some("repeat the value".into()));
                    self.unusable(place);
                }
                Event::Scalar(value, style, anchor, tag) => {
                    self.scalars.push((place, Place::from(span.end)));
                    let plain = self.check_properties(anchor, tag.as_deref(), place);
                    let index = span.start.index();
                    self.scalar(Text { value: value.into_owned(), place, style, index }, span, plain);
                }
                Event::SequenceStart(anchor, tag) => {
                    self.check_properties(anchor, tag.as_deref(), place);
                    let flow = self.written.is_flow(span);
                    self.open.push(Open::Sequence { place, flow, items: Vec::new() });
                }
                Event::MappingStart(anchor, tag) => {
                    self.check_properties(anchor, tag.as_deref(), place);
                    let flow = self.written.is_flow(span);
                    self.open.push(Open::Mapping {
                        place,
                        flow,
                        entries: Vec::new(),
                        order: Order::default(),
                        key: None,
                    });
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(),
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
            if self.entries_of_last() > MAX_ENTRIES {
                let message = format!("a mapping with more than {MAX_ENTRIES} keys");
                self.problems.error("yaml-too-many-keys", place, message, None);
                return None;
            }
            values += 1;
            if values > MAX_VALUES {
                let message = format!("a file with more than {MAX_VALUES} values");
                self.problems.error("yaml-too-many-values", place, message, None);
                return None;
            }
            if self.open.len() > MAX_NESTING {
                let message = format!("more than {MAX_NESTING} levels of nesting");
                self.problems.error("yaml-nesting", place, message, None);
                return None;
            }
        }
        if self.root.is_none() {
            self.problems.error("document-empty", Place::START, "the file is empty", None);
        }
        Some((self.root?, self.scalars))
    }

    /// Reports a tag or an anchor. Returns whether there was neither.
    fn check_properties(&mut self, anchor: usize, tag: Option<&Tag>, place: Place) -> bool {
        if anchor != 0 {
            self.problems.error("yaml-anchor", place, "anchors are not allowed", None);
        }
        if tag.is_some() {
            let hint = Some("remove the tag, and quote the value if it must be text".to_owned());
            self.problems.error("yaml-tag", place, "explicit tags are not allowed", hint);
        }
        anchor == 0 && tag.is_none()
    }

    fn scalar(&mut self, text: Text, span: Span, without_properties: bool) {
        let place = text.place;
        if !without_properties {
            return self.unusable(place);
        }
        if let Some(problem) = self.written.scalar_problem(&text.value, text.style, span, self.in_flow()) {
            self.problems.error("yaml-syntax", place, problem, None);
            return self.unusable(place);
        }
        if self.awaits_key() && !self.written.is_simple_key(span) {
            let message = "a key must be on one line, followed by `:`";
            // `{contents: read, write}`
            let is_level = matches!(text.value.as_str(), "read" | "write" | "admin");
            let hint = "a level includes the lower ones: write one, for example `contents: write`";
            let hint = is_level.then(|| hint.to_owned());
            self.problems.error("yaml-complex-key", place, message, hint);
            return self.unusable(place);
        }
        let ambiguity = if text.style == ScalarStyle::Plain { ambiguity(&text.value) } else { None };
        match ambiguity {
            None => self.place_node(Node { place, kind: NodeKind::Text(text) }),
            // A file without content is one empty scalar.
            Some(Ambiguity::Null) if text.value.is_empty() && self.open.is_empty() => {}
            Some(ambiguity) => {
                let key = self.key_awaiting_value();
                self.tell_ambiguity(ambiguity, &text, key);
                self.unusable(place);
            }
        }
    }

    fn tell_ambiguity(&mut self, ambiguity: Ambiguity, text: &Text, key: Option<String>) {
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

    fn entries_of_last(&self) -> usize {
        match self.open.last() {
            Some(Open::Mapping { entries, .. }) => entries.len(),
            Some(Open::Sequence { .. }) | None => 0,
        }
    }

    fn in_flow(&self) -> bool {
        matches!(self.open.last(), Some(Open::Sequence { flow: true, .. } | Open::Mapping { flow: true, .. }))
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Mapping { key: None, .. }))
    }

    fn key_awaiting_value(&self) -> Option<String> {
        match self.open.last() {
            Some(Open::Mapping { key: Some(Key::Usable(key)), .. }) => Some(key.value.clone()),
            Some(Open::Mapping { .. } | Open::Sequence { .. }) | None => None,
        }
    }

    fn close(&mut self) {
        match self.open.pop() {
            Some(Open::Sequence { place, items, .. }) => {
                self.place_node(Node { place, kind: NodeKind::Sequence(items) })
            }
            Some(Open::Mapping { place, entries, .. }) => {
                self.place_node(Node { place, kind: NodeKind::Mapping(entries) });
            }
            None => {}
        }
    }

    fn unusable(&mut self, place: Place) {
        self.place_node(Node { place, kind: NodeKind::Unusable });
    }

    /// Adds a complete node where it belongs: a key, a value, an item or the document itself.
    fn place_node(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::Sequence { items, .. }) => items.push(node),
            Some(Open::Mapping { entries, order, key, .. }) => match key.take() {
                Some(Key::Unusable) => {}
                Some(Key::Usable(text)) => {
                    if let Err(at) = order.find(entries, &text.value) {
                        order.0.insert(at, entries.len());
                    }
                    entries.push(Entry { key: text, value: node });
                }
                None => {
                    let (next, problem) = as_key(node, entries, order);
                    *key = Some(next);
                    if let Some((code, place, message)) = problem {
                        self.problems.error(code, place, message, None);
                    }
                }
            },
        }
    }
}

type KeyProblem = (&'static str, Place, String);

fn as_key(node: Node, entries: &[Entry], order: &Order) -> (Key, Option<KeyProblem>) {
    let first = |text: &Text| {
        let at = order.find(entries, &text.value).ok()?;
        entries.get(*order.0.get(at)?)
    };
    match node.kind {
        NodeKind::Text(text) => match first(&text) {
            // The first one is used from here on; which one the author meant is not known.
            Some(first) => {
                let message =
                    format!("duplicate key {}, first in line {}", quoted(&text.value), first.key.place.line);
                (Key::Unusable, Some(("yaml-duplicate-key", text.place, message)))
            }
            None => (Key::Usable(text), None),
        },
        NodeKind::Sequence(_) | NodeKind::Mapping(_) => {
            let message = "a key must be text, not a list or mapping".to_owned();
            (Key::Unusable, Some(("yaml-complex-key", node.place, message)))
        }
        NodeKind::Unusable => (Key::Unusable, None),
    }
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
