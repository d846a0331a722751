//! The XML of AWS STS, if it does not answer with JSON: elements and text, nothing else. This reader refuses everything
//! that it does not know, such as document types, custom entities, comments and sections. Linear in the document, whose
//! size the caller bounds.

use crate::secret::Secret;

/// Deeper than any answer.
const MAX_DEPTH: usize = 8;
/// More than any answer has.
const MAX_ELEMENTS: usize = 64;

/// The text elements of a document by path.
pub(super) struct Document {
    texts: Vec<(Vec<String>, Secret)>,
}

impl Document {
    /// Takes the text of the only element with this path.
    pub(super) fn take(&mut self, path: &[&str]) -> Option<Secret> {
        let is_wanted = |known: &[String]| known.iter().map(String::as_str).eq(path.iter().copied());
        let index = self.texts.iter().position(|(known, _)| is_wanted(known))?;
        let (_, text) = self.texts.swap_remove(index);
        // With two elements of one path, it would be unclear which one counts.
        (!self.texts.iter().any(|(known, _)| is_wanted(known))).then_some(text)
    }
}

/// Reads a document.
pub(super) fn parse(bytes: &[u8]) -> Option<Document> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut rest = text.trim_start();
    if let Some(declaration) = rest.strip_prefix("<?xml ") {
        rest = declaration.split_once("?>")?.1;
    }
    let mut open: Vec<(String, bool)> = Vec::new();
    let mut texts = Vec::new();
    rest = rest.trim_start();
    loop {
        let (before, tag) = rest.split_once('<')?;
        let (tag, after) = tag.split_once('>')?;
        if let Some(name) = tag.strip_prefix('/') {
            let (opened, is_leaf) = open.last()?;
            if opened != name.trim_end() {
                return None;
            }
            if *is_leaf {
                let path = open.iter().map(|(name, _)| name.clone()).collect();
                texts.push((path, Secret::new(unescaped(before)?)));
            } else if !before.trim().is_empty() {
                return None;
            }
            open.pop();
        } else {
            if !before.trim().is_empty() || open.len() == MAX_DEPTH || texts.len() == MAX_ELEMENTS {
                return None;
            }
            let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
            let name = element_name(tag)?;
            if let Some((_, is_leaf)) = open.last_mut() {
                *is_leaf = false;
            }
            if !is_empty {
                open.push((name.to_owned(), true));
            } else if open.is_empty() {
                return None;
            }
        }
        rest = after;
        if open.is_empty() {
            return rest.trim().is_empty().then_some(Document { texts });
        }
    }
}

/// The name of an element; the only attribute is its namespace, which adds nothing to the path.
fn element_name(tag: &str) -> Option<&str> {
    let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
    let attributes = attributes.trim();
    let is_plain = attributes.is_empty()
        || attributes
            .strip_prefix("xmlns=\"")
            .and_then(|value| value.strip_suffix('"'))
            .is_some_and(|value| !value.contains(['"', '&']));
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_plain && is_name).then_some(name)
}

/// Text with XML's five predefined entities, and no others.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('&');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (entity, rest) = part.split_once(';')?;
        plain.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => return None,
        });
        plain.push_str(rest);
    }
    Some(plain)
}
