//! Heads of messages and changes to headers as lines of text, which is how they cross the boundary of wasm: in one call,
//! however many headers there are.

use zeroize::Zeroizing;

/// The start of a message, and some of its headers.
#[derive(Debug, PartialEq, Eq)]
pub struct HeadLines<'a> {
    /// A request's method, or an answer's status.
    pub start: &'a str,
    /// The values that were asked for, in that order; empty if the header is missing.
    pub values: Vec<&'a str>,
    /// The names of all headers, each once.
    pub names: Vec<&'a str>,
}

impl<'a> HeadLines<'a> {
    /// Reads a line with the start and the number of names, then a line for each of `asked` values and for each name.
    ///
    /// `None` if there are fewer or more lines, so a line break in a value cannot turn its end into another header.
    #[must_use]
    pub fn parse(text: &'a str, asked: usize) -> Option<Self> {
        let mut lines = text.split('\n');
        let (start, count) = lines.next()?.rsplit_once(' ')?;
        let count: usize = count.parse().ok()?;
        let mut values = Vec::with_capacity(asked);
        values.extend(lines.by_ref().take(asked));
        let mut names = Vec::with_capacity(count.min(text.len()));
        names.extend(lines);
        if values.len() != asked || names.len() != count {
            return None;
        }
        // `Set-Cookie` appears once for each cookie.
        names.dedup();
        Some(Self { start, values, names })
    }
}

/// Changes to headers, a line each. They are wiped, because a credential is among them.
#[derive(Debug, Default)]
pub struct EditLines(Zeroizing<String>);

impl EditLines {
    /// The lines: `-name` removes, `=name:value` sets, `+name:value` appends.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Removes a header.
    ///
    /// # Errors
    /// [`BrokenLine`]
    pub(super) fn remove(&mut self, name: &str) -> Result<(), BrokenLine> {
        self.add("-", name, "", "")
    }

    /// Sets a header to a value.
    ///
    /// # Errors
    /// [`BrokenLine`]
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), BrokenLine> {
        self.add("=", name, ":", value)
    }

    /// Appends a value to a header.
    ///
    /// # Errors
    /// [`BrokenLine`]
    pub(super) fn append(&mut self, name: &str, value: &str) -> Result<(), BrokenLine> {
        self.add("+", name, ":", value)
    }

    fn add(&mut self, change: &str, name: &str, colon: &str, value: &str) -> Result<(), BrokenLine> {
        let ends_line = |byte: u8| byte == b'\n';
        if name.is_empty()
            || name.bytes().any(|byte| ends_line(byte) || byte == b':')
            || value.bytes().any(ends_line)
        {
            return Err(BrokenLine);
        }
        // Grown by hand: a string that grows by itself leaves copies that nobody wipes.
        let needed = self.0.len().saturating_add(name.len()).saturating_add(value.len()).saturating_add(3);
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(String::with_capacity(needed.saturating_mul(2).max(512)));
            larger.push_str(&self.0);
            self.0 = larger;
        }
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        for part in [change, name, colon, value] {
            self.0.push_str(part);
        }
        Ok(())
    }
}

/// A name or a value would end its line and begin another change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokenLine;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_head_is_its_start_the_values_asked_for_and_all_names() {
        let head = HeadLines::parse("POST 3\ntext/plain\n\na\nset-cookie\nset-cookie", 2).unwrap();
        assert_eq!(head.start, "POST");
        assert_eq!(head.values, ["text/plain", ""]);
        assert_eq!(head.names, ["a", "set-cookie"]);
        let none = HeadLines::parse("GET 0\n", 1).unwrap();
        assert_eq!((none.start, none.values, none.names.len()), ("GET", vec![""], 0));
    }

    #[test]
    fn lines_that_do_not_fit_are_no_head() {
        for text in
            ["", "POST", "POST x\n", "POST 1\na", "POST 1\nvalue\na\nb", "POST 2\nvalue\na", "POST -1\nv\na"]
        {
            assert_eq!(HeadLines::parse(text, 1), None, "{text:?}");
        }
        // A value with a line break, which the runtime never has.
        assert_eq!(HeadLines::parse("POST 1\nvalue\nx-api-key\nname", 1), None);
    }

    #[test]
    fn edits_are_lines() {
        let mut edits = EditLines::default();
        assert_eq!(edits.as_str(), "");
        edits.remove("host").unwrap();
        edits.set("authorization", "Bearer a:b").unwrap();
        edits.append("vary", "Origin").unwrap();
        assert_eq!(edits.as_str(), "-host\n=authorization:Bearer a:b\n+vary:Origin");
    }

    proptest! {
        /// Whatever a secret or an upstream contains, it stays in its line.
        #[test]
        fn one_change_is_one_line(name in "(?s).{0,12}", value in "(?s).{0,12}") {
            let mut edits = EditLines::default();
            let outcome = edits.set(&name, &value);
            prop_assert_eq!(outcome.is_ok(), !name.is_empty() && !name.contains(['\n', ':']) && !value.contains('\n'));
            if outcome.is_ok() {
                prop_assert_eq!(edits.as_str().strip_prefix('=').unwrap().split_once(':').unwrap(), (&*name, &*value));
                prop_assert!(!edits.as_str().contains('\n'));
            } else {
                prop_assert_eq!(edits.as_str(), "");
            }
        }
    }
}
