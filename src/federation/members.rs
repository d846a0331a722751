//! Reading an object of the setting `UPSTREAMS`: every problem is found at once, each with its path. Linear in the
//! object.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// Far longer than any identifier of a provider.
const MAX_TEXT: usize = 255;

/// The members of one object of the setting. Unknown members are problems.
pub(crate) struct Members<'a> {
    object: &'a Map<String, Value>,
    path: &'a str,
    asked: Vec<&'static str>,
    problems: &'a mut Vec<String>,
}

/// A rule about text: whether it holds, and the message if it does not.
pub(crate) type Rule = (fn(&str) -> bool, &'static str);

/// For text that is checked more closely than by a rule.
pub(crate) const ANY: Rule = (|_| true, "it is not a text");

/// Identifiers at providers: no spaces, no control characters, ASCII.
pub(crate) const IDENTIFIER: Rule = (is_identifier, "it is not text of 1 to 255 visible characters");

impl<'a> Members<'a> {
    /// The members of a value, which has to be an object.
    pub(crate) fn of(value: &'a Value, path: &'a str, problems: &'a mut Vec<String>) -> Option<Self> {
        let Value::Object(object) = value else {
            problems.push(format!("{path}: it is not an object"));
            return None;
        };
        Some(Self { object, path, asked: Vec::new(), problems })
    }

    /// Notes a problem of a member.
    pub(crate) fn problem(&mut self, name: &str, what: &str) {
        self.problems.push(format!("{}.{name}: {what}", self.path));
    }

    /// A member, if present.
    pub(crate) fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.asked.push(name);
        self.object.get(name)
    }

    /// A required member.
    pub(crate) fn required(&mut self, name: &'static str) -> Option<&'a Value> {
        let value = self.value(name);
        if value.is_none() {
            self.problem(name, "it is missing");
        }
        value
    }

    /// Required text.
    pub(crate) fn text(&mut self, name: &'static str, rule: Rule) -> Option<String> {
        match self.optional_text(name, rule)? {
            Some(text) => Some(text),
            None => {
                self.problem(name, "it is missing");
                None
            }
        }
    }

    /// Text, or its default.
    pub(crate) fn text_or(&mut self, name: &'static str, default: &str, rule: Rule) -> Option<String> {
        Some(self.optional_text(name, rule)?.unwrap_or_else(|| default.to_owned()))
    }

    /// Optional text. The outer `None`: it is invalid, which is noted.
    pub(crate) fn optional_text(
        &mut self,
        name: &'static str,
        (holds, what): Rule,
    ) -> Option<Option<String>> {
        match self.value(name) {
            None => Some(None),
            Some(Value::String(text)) if holds(text) => Some(Some(text.clone())),
            Some(_) => {
                self.problem(name, what);
                None
            }
        }
    }

    /// One of a few words, or the first of them if absent.
    pub(crate) fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        self.word_if_any(name, words)?.or_else(|| words.first().map(|(_, meaning)| *meaning))
    }

    /// One of a few words, required.
    pub(crate) fn required_word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let word = self.word_if_any(name, words)?;
        if word.is_none() {
            self.problem(name, "it is missing");
        }
        word
    }

    fn word_if_any<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<Option<T>> {
        let Some(value) = self.value(name) else { return Some(None) };
        let found = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if found.is_none() {
            let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            self.problem(name, &format!("it is not one of {}", known.join(", ")));
        }
        found.map(|(_, meaning)| Some(*meaning))
    }

    /// An optional whole number within bounds. The outer `None`: it is invalid, which is noted.
    pub(crate) fn number(&mut self, name: &'static str, bounds: &RangeInclusive<u32>) -> Option<Option<u32>> {
        let Some(value) = self.value(name) else { return Some(None) };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        if let Some(number) = number.filter(|number| bounds.contains(number)) {
            return Some(Some(number));
        }
        let what = format!("it is not a whole number from {} to {}", bounds.start(), bounds.end());
        self.problem(name, &what);
        None
    }

    /// A whole number within bounds, or its default.
    pub(crate) fn number_or(
        &mut self,
        name: &'static str,
        default: u32,
        bounds: &RangeInclusive<u32>,
    ) -> Option<u32> {
        Some(self.number(name, bounds)?.unwrap_or(default))
    }

    /// An optional list with a minimum and a maximum length. The outer `None`: it is invalid, which is noted.
    pub(crate) fn list(
        &mut self,
        name: &'static str,
        length: &RangeInclusive<usize>,
    ) -> Option<Option<&'a [Value]>> {
        match self.value(name) {
            None => Some(None),
            Some(Value::Array(list)) if length.contains(&list.len()) => Some(Some(list)),
            Some(_) => {
                let what = format!("it is not a list of {} to {} elements", length.start(), length.end());
                self.problem(name, &what);
                None
            }
        }
    }

    /// A list of text elements, each parsed. Every invalid element is noted.
    pub(crate) fn list_of<T>(
        &mut self,
        name: &'static str,
        length: &RangeInclusive<usize>,
        make: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Option<Vec<T>>> {
        let Some(list) = self.list(name, length)? else { return Some(None) };
        let mut made = Vec::with_capacity(list.len());
        let mut is_whole = true;
        for (index, element) in list.iter().enumerate() {
            match element.as_str().ok_or_else(|| "it is not a text".to_owned()).and_then(&make) {
                Ok(value) => made.push(value),
                Err(what) => {
                    is_whole = false;
                    self.problem(&format!("{name}[{index}]"), &what);
                }
            }
        }
        is_whole.then_some(Some(made))
    }

    /// An object of text members, in its order; empty if absent.
    pub(crate) fn texts(&mut self, name: &'static str, most: usize) -> Option<Vec<(&'a str, &'a str)>> {
        let Some(value) = self.value(name) else { return Some(Vec::new()) };
        let texts = value.as_object().filter(|object| object.len() <= most).and_then(|object| {
            object.iter().map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect()
        });
        if texts.is_none() {
            self.problem(name, &format!("it is not an object of at most {most} texts"));
        }
        texts
    }

    /// Adds the notes of another reader about this object.
    pub(crate) const fn problems(&mut self) -> &mut Vec<String> {
        self.problems
    }

    /// Notes unknown members.
    pub(crate) fn finish(self) {
        for name in self.object.keys().filter(|name| !self.asked.contains(&name.as_str())) {
            let known: Vec<String> = self.asked.iter().map(|name| format!("`{name}`")).collect();
            let name: String = name.chars().take(64).flat_map(char::escape_debug).collect();
            let what = format!("there is no such member; the members are {}", known.join(", "));
            self.problems.push(format!("{}.{name}: {what}", self.path));
        }
    }
}

fn is_identifier(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
