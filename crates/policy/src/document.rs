//! Reads one YAML document strictly, as a tree with positions: only what every YAML parser understands in the same way.
//!
//! Refused: a second document, directives, tags, anchors, aliases, merge keys, duplicate keys, keys that are not text,
//! plain scalars that YAML 1.1 does not read as their text ([`super::scalar`]), and text that YAML 1.1 and 1.2 split
//! differently ([`super::dialect`]).

mod faults;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::diagnostic::{Place, Problems};
use super::dialect::{self, Written};
pub(crate) use super::node::{Entry, Node, NodeKind, Text};
use super::scalar::{Ambiguity, ambiguity};
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

/// A document and where it came from.
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
            faults::tell_not_utf8(bytes, error.valid_up_to(), problems);
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
                        let message =
                            format_args!("a second document in the file; there must be exactly one");
                        return self.stop("yaml-multiple-documents", place, message);
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
                let message = format_args!("a mapping with more than {MAX_ENTRIES} keys");
                return self.stop("yaml-too-many-keys", place, message);
            }
            values += 1;
            if values > MAX_VALUES {
                let message = format_args!("a file with more than {MAX_VALUES} values");
                return self.stop("yaml-too-many-values", place, message);
            }
            if self.open.len() > MAX_NESTING {
                let message = format_args!("more than {MAX_NESTING} levels of nesting");
                return self.stop("yaml-nesting", place, message);
            }
        }
        if self.root.is_none() {
            self.problems.error("document-empty", Place::START, "the file is empty", None);
        }
        Some((self.root?, self.scalars))
    }

    /// Reports a tag or an anchor. Returns whether there was neither.
    fn check_properties(&mut self, anchor: usize, tag: Option<&Tag>, place: Place) -> bool {
        let has_none = anchor == 0 && tag.is_none();
        if !has_none {
            self.tell_properties(anchor, tag, place);
        }
        has_none
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
            self.tell_complex_key(&text.value, place);
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
            Some(first) => (Key::Unusable, Some(faults::duplicate(&text, first))),
            None => (Key::Usable(text), None),
        },
        NodeKind::Sequence(_) | NodeKind::Mapping(_) => {
            let message = "a key must be text, not a list or mapping".to_owned();
            (Key::Unusable, Some(("yaml-complex-key", node.place, message)))
        }
        NodeKind::Unusable => (Key::Unusable, None),
    }
}
