//! The position in the file of something inside a scalar.

use saphyr_parser::{Marker, ScalarStyle};

use super::diagnostic::Place;
use super::dialect::Written;
use super::document::Text;
use crate::cost::work;

/// The file's characters, to find a place inside a scalar.
#[derive(Debug)]
pub(crate) struct Source {
    written: Written,
    /// Where each scalar begins and ends, in the order of the file.
    scalars: Vec<(Place, Place)>,
}

impl Source {
    pub(super) fn new(written: Written, scalars: Vec<(Place, Place)>) -> Self {
        Self { written, scalars }
    }

    /// There is no file.
    pub(crate) fn none() -> Self {
        Self::new(Written::new(""), Vec::new())
    }

    /// The file's characters, with a line feed after the last line.
    pub(crate) fn characters(&self) -> impl Iterator<Item = char> {
        self.written.from(0).chain(['\n'])
    }

    /// Where each scalar begins and ends, in the order of the file.
    pub(crate) fn scalars(&self) -> &[(Place, Place)] {
        &self.scalars
    }

    /// The position of a character of a scalar; the scalar's own position if it is not written character by character
    /// (escapes, doubled quotes, several lines).
    pub(crate) fn place_within(&self, text: &Text, offset: usize) -> Place {
        self.first_character(text).map_or(text.place, |first| first.right(offset))
    }

    /// The position of the first character of a scalar that is written character by character. Linear in its length, so
    /// it is called once for all positions in one scalar.
    pub(crate) fn first_character(&self, text: &Text) -> Option<Place> {
        let quote = match text.style {
            ScalarStyle::Plain => None,
            ScalarStyle::SingleQuoted => Some('\''),
            ScalarStyle::DoubleQuoted => Some('"'),
            ScalarStyle::Literal | ScalarStyle::Folded => return None,
        };
        work(text.value.len());
        let mut written = self.written.from(text.index);
        if quote.is_some() && written.next() != quote {
            return None;
        }
        let as_written =
            text.value.chars().all(|character| character != '\n' && written.next() == Some(character));
        if !as_written || (quote.is_some() && written.next() != quote) {
            return None;
        }
        Some(text.place.right(usize::from(quote.is_some())))
    }
}

/// The position after the last character.
pub(super) fn end_of(text: &str) -> Place {
    let line = text.matches('\n').count() + 1;
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count();
    Place { line: u32::try_from(line).unwrap_or(u32::MAX), column: 1 }.right(column)
}

impl From<Marker> for Place {
    fn from(marker: Marker) -> Self {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        // The parser counts columns from zero, and says line 0 of an empty file.
        Self { line: number(marker.line()).max(1), column: number(marker.col()).saturating_add(1) }
    }
}
