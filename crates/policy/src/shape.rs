//! The form of a pattern's expression, as far as lint needs it. Decided on the parsed expression, never on text.

use super::pattern::charset::CharSet;
use super::pattern::tree::{Kind, Node};
use crate::cost::work;

/// The text that every match begins with, up to the first wildcard; `None` if there is no wildcard, so that the pattern
/// is at most a list of texts. Of alternatives, the first represents all.
pub(super) fn fixed_start(root: &Node) -> Option<String> {
    let mut text = String::new();
    if collect(root, Some(&mut text)) { None } else { Some(text) }
}

/// Appends literal text up to a wildcard, if there is a text to append to. Returns whether there was no wildcard.
/// Visits each node at most once: two visits per level would be 2^depth.
fn collect(node: &Node, mut text: Option<&mut String>) -> bool {
    work(1);
    let mut append = |character: char| {
        if let Some(text) = text.as_deref_mut() {
            text.push(character);
        }
        true
    };
    match &node.kind {
        Kind::Empty | Kind::Assertion(_) => true,
        Kind::Literal(character) => append(*character),
        Kind::Set(set) => few(set).is_some_and(append),
        Kind::Dot { .. } => false,
        Kind::Group(inner) => collect(inner, text),
        Kind::Repetition { of, min, max } => {
            // An optional part does not belong to the beginning.
            let fixed = collect(of, text.filter(|_| *min > 0));
            // An option is two texts and not a wildcard; an unbounded repetition is one.
            fixed && *max == Some(1)
        }
        Kind::Concatenation(parts) => match parts.split_last() {
            // `(:.*)?` at the end: whatever follows begins with the text before the wildcard.
            Some((Node { kind: Kind::Repetition { of, min: 0, max: Some(1) }, .. }, before)) => {
                before.iter().all(|part| collect(part, text.as_deref_mut())) && {
                    let length = text.as_ref().map_or(0, |text| text.len());
                    let fixed = collect(of, text.as_deref_mut());
                    if let Some(text) = text.filter(|_| fixed) {
                        text.truncate(length);
                    }
                    fixed
                }
            }
            Some(_) | None => parts.iter().all(|part| collect(part, text.as_deref_mut())),
        },
        Kind::Alternation(branches) => {
            let Some((first, others)) = branches.split_first() else { return true };
            // The common case of a wildcard in one branch: the text before it is still fixed.
            collect(first, text) && others.iter().all(|branch| collect(branch, None))
        }
    }
}

/// A set of at most two characters (a letter in both cases) is not a wildcard.
fn few(set: &CharSet) -> Option<char> {
    // No further than needed: a set may have hundreds of ranges.
    let mut ranges = set.ranges();
    let (first, end) = ranges.next()?;
    let all_single = first == end && set.ranges().all(|(low, high)| low == high);
    (all_single && set.ranges().count() <= 3).then_some(first)
}

/// How much of the repository a subject's fixed beginning names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RepositoryPart {
    /// All of it, and what follows the name.
    Fixed,
    /// Not even its beginning.
    Open,
    /// Its beginning; the name may go on.
    Unbounded(String),
}

/// `repo:owner/name:` at the beginning of a subject. Other subjects that begin with a path count as fixed.
pub(super) fn repository_in_subject(start: &str) -> RepositoryPart {
    let Some((owner, name)) = start.split_once('/') else { return RepositoryPart::Open };
    if owner.is_empty() || owner.ends_with(':') || name.is_empty() {
        RepositoryPart::Open
    } else if name.contains([':', '/', '@']) {
        RepositoryPart::Fixed
    } else {
        RepositoryPart::Unbounded(start.to_owned())
    }
}

/// Where a single `.` is between two letters or digits.
pub(super) fn dots_between_literals(root: &Node) -> Vec<usize> {
    let mut found = Vec::new();
    visit(root, &mut |node| {
        for window in node.parts().windows(3) {
            work(1);
            if let [before, Node { offset, kind: Kind::Dot { .. } }, after] = window
                && is_word(before)
                && is_word(after)
            {
                found.push(*offset);
            }
        }
    });
    found
}

fn is_word(node: &Node) -> bool {
    match &node.kind {
        Kind::Literal(character) => character.is_alphanumeric(),
        Kind::Set(set) => few(set).is_some(),
        Kind::Empty
        | Kind::Dot { .. }
        | Kind::Assertion(_)
        | Kind::Group(_)
        | Kind::Repetition { .. }
        | Kind::Concatenation(_)
        | Kind::Alternation(_) => false,
    }
}

fn visit(node: &Node, look: &mut impl FnMut(&Node)) {
    work(1);
    look(node);
    match &node.kind {
        Kind::Empty | Kind::Literal(_) | Kind::Set(_) | Kind::Dot { .. } | Kind::Assertion(_) => {}
        Kind::Group(inner) | Kind::Repetition { of: inner, .. } => visit(inner, look),
        Kind::Concatenation(parts) | Kind::Alternation(parts) => {
            for part in parts {
                visit(part, look);
            }
        }
    }
}

/// Whether the pattern ends in `@.*` or `@.+`.
pub(super) fn ends_in_any_ref(root: &Node) -> bool {
    let mut parts: Vec<&Node> = root.parts().iter().collect();
    // `(.*)` and `$` at the end mean the same.
    while parts.last().is_some_and(|last| matches!(last.kind, Kind::Assertion(_))) {
        parts.pop();
    }
    match parts.as_slice() {
        [.., Node { kind: Kind::Literal('@'), .. }, last] => is_anything(last),
        _ => false,
    }
}

fn is_anything(node: &Node) -> bool {
    match &node.kind {
        Kind::Repetition { of, max: None, .. } => matches!(of.kind, Kind::Dot { .. }),
        Kind::Group(inner) => is_anything(inner),
        Kind::Repetition { .. }
        | Kind::Empty
        | Kind::Literal(_)
        | Kind::Set(_)
        | Kind::Dot { .. }
        | Kind::Assertion(_)
        | Kind::Concatenation(_)
        | Kind::Alternation(_) => false,
    }
}

/// Subjects of pull request runs that a pattern may match: `repo:owner/name:pull_request` with as much of the
/// repository as the pattern fixes.
pub(super) fn pull_request_subjects(root: &Node) -> Vec<String> {
    let mut start = String::new();
    collect(root, Some(&mut start));
    let (owner, name) = start.split_once('/').unwrap_or((&start, ""));
    let name = name.split(':').next().unwrap_or_default();
    let owners = [owner.to_owned(), "repo:acme".to_owned(), format!("{owner}acme")];
    let names = [name.to_owned(), format!("{name}app")];
    owners
        .iter()
        .flat_map(|owner| names.iter().map(move |name| format!("{owner}/{name}:pull_request")))
        .collect()
}
