//! Sets of characters as Go's RE2 builds them: ranges of code points, simple case folding, negation after folding.

use crate::cost::work;

/// Disjoint, sorted, not adjacent ranges of code points, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct CharSet {
    ranges: Vec<(u32, u32)>,
}

const MAX: u32 = 0x10_FFFF;

/// Go folds these two beyond ASCII: KELVIN SIGN is a `k`, LATIN SMALL LETTER LONG S an `s`.
const KELVIN: u32 = 0x212A;
const LONG_S: u32 = 0x017F;

impl CharSet {
    pub(crate) fn of(character: char) -> Self {
        Self { ranges: vec![(u32::from(character), u32::from(character))] }
    }

    pub(crate) fn from_ranges(ranges: &[(char, char)]) -> Self {
        let mut set = Self::default();
        for (low, high) in ranges {
            set.add(*low, *high);
        }
        set
    }

    pub(crate) fn add(&mut self, low: char, high: char) {
        self.add_range(u32::from(low), u32::from(high));
    }

    pub(crate) fn add_set(&mut self, other: &Self) {
        for &(low, high) in &other.ranges {
            self.add_range(low, high);
        }
    }

    /// Replaces every range that it overlaps or touches. Moves those after it: quadratic in the ranges of one class,
    /// but a pattern has room for only a few hundred.
    fn add_range(&mut self, low: u32, high: u32) {
        work(1);
        let from = self.ranges.partition_point(|&(_, end)| end.saturating_add(1) < low);
        let to = self.ranges.partition_point(|&(start, _)| start <= high.saturating_add(1));
        let swallowed = self.ranges.get(from..to).unwrap_or_default();
        let low = swallowed.first().map_or(low, |&(start, _)| start.min(low));
        let high = swallowed.last().map_or(high, |&(_, end)| end.max(high));
        self.ranges.splice(from..to.max(from), [(low, high)]);
    }

    pub(crate) fn negated(&self) -> Self {
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        let mut next = 0;
        for &(low, high) in &self.ranges {
            if low > next {
                ranges.push((next, low - 1));
            }
            next = high + 1;
        }
        if next <= MAX {
            ranges.push((next, MAX));
        }
        Self { ranges }
    }

    /// With the other case of every ASCII letter, as Go folds. The caller refuses letters beyond ASCII, because this
    /// crate has no Unicode tables.
    #[must_use]
    pub(crate) fn folded(&self) -> Self {
        let mut folded = self.clone();
        for letter in b'a'..=b'z' {
            work(1);
            let (lower, upper) = (u32::from(letter), u32::from(letter.to_ascii_uppercase()));
            if self.has(lower) || self.has(upper) {
                folded.add_range(lower, lower);
                folded.add_range(upper, upper);
                match letter {
                    b'k' => folded.add_range(KELVIN, KELVIN),
                    b's' => folded.add_range(LONG_S, LONG_S),
                    _ => {}
                }
            }
        }
        folded
    }

    fn has(&self, code_point: u32) -> bool {
        let at = self.ranges.partition_point(|&(_, high)| high < code_point);
        self.ranges.get(at).is_some_and(|&(low, _)| low <= code_point)
    }

    pub(crate) fn contains(&self, character: char) -> bool {
        self.has(u32::from(character))
    }

    pub(crate) fn is_ascii(&self) -> bool {
        self.ranges.last().is_none_or(|&(_, high)| high < 0x80)
    }

    /// The only character of the set.
    pub(crate) fn single(&self) -> Option<char> {
        match self.ranges.as_slice() {
            [(low, high)] if low == high => char::from_u32(*low),
            _ => None,
        }
    }

    /// The ranges without surrogates, which no text contains.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (char, char)> {
        self.ranges.iter().filter_map(|&(low, high)| {
            let low = if (0xD800..=0xDFFF).contains(&low) { 0xE000 } else { low };
            let high = if (0xD800..=0xDFFF).contains(&high) { 0xD7FF } else { high };
            if low > high { None } else { Some((char::from_u32(low)?, char::from_u32(high)?)) }
        })
    }
}

/// `\d`, `\s`, `\w`: ASCII; `\s` has no vertical tab.
pub(crate) fn perl_class(letter: char) -> Option<CharSet> {
    let ranges: &[(char, char)] = match letter {
        'd' => &[('0', '9')],
        's' => &[('\t', '\n'), ('\u{c}', '\r'), (' ', ' ')],
        'w' => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        _ => return None,
    };
    Some(CharSet::from_ranges(ranges))
}

/// `[:name:]` inside a class.
pub(crate) fn posix_class(name: &str) -> Option<CharSet> {
    let ranges: &[(char, char)] = match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\u{7f}')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\u{1f}'), ('\u{7f}', '\u{7f}')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    };
    Some(CharSet::from_ranges(ranges))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(set: &CharSet) -> Vec<(char, char)> {
        set.ranges().collect()
    }

    #[test]
    fn folding_reaches_the_kelvin_sign_and_the_long_s() {
        let folded = CharSet::from_ranges(&[('i', 'k')]).folded();
        assert_eq!(ranges(&folded), [('I', 'K'), ('i', 'k'), ('\u{212a}', '\u{212a}')]);
        assert!(CharSet::of('S').folded().contains('\u{17f}'));
        assert!(!CharSet::of('a').folded().contains('\u{17f}'));
    }

    #[test]
    fn negation_skips_surrogates() {
        let all_but_e000 = CharSet::from_ranges(&[('\u{e000}', '\u{10ffff}')]).negated();
        assert_eq!(ranges(&all_but_e000), [('\0', '\u{d7ff}')]);
        let everything = CharSet::from_ranges(&[('\0', '\u{10ffff}')]);
        assert_eq!(ranges(&everything.negated()), []);
        assert_eq!(ranges(&CharSet::default().negated()), [('\0', '\u{10ffff}')]);
    }

    #[test]
    fn adjacent_and_overlapping_ranges_become_one() {
        let set = CharSet::from_ranges(&[('d', 'f'), ('a', 'c'), ('e', 'g'), ('z', 'z')]);
        assert_eq!(ranges(&set), [('a', 'g'), ('z', 'z')]);
    }
}
