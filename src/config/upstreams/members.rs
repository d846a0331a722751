//! Reading an object of the setting: every problem is noted with its path. Linear in the object.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// The members of one object. Those that nobody asked for are problems.
pub(super) struct Members<'a> {
    object: &'a Map<String, Value>,
    path: &'a str,
    asked: Vec<&'static str>,
    problems: &'a mut Vec<String>,
}

impl<'a> Members<'a> {
    /// The members of a value, which has to be an object.
    pub(super) fn of(value: &'a Value, path: &'a str, problems: &'a mut Vec<String>) -> Option<Self> {
        let Value::Object(object) = value else {
            problems.push(format!("{path}: it is not an object"));
            return None;
        };
        Some(Self { object, path, asked: Vec::new(), problems })
    }

    /// Notes a problem of a member, or of the object itself for an empty name.
    pub(super) fn problem(&mut self, name: &str, what: &str) {
        let dot = if name.is_empty() { "" } else { "." };
        self.problems.push(format!("{}{dot}{name}: {what}", self.path));
    }

    /// A member, if it is there.
    pub(super) fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.asked.push(name);
        self.object.get(name)
    }

    /// A member that has to be there.
    pub(super) fn required(&mut self, name: &'static str) -> Option<&'a Value> {
        let value = self.value(name);
        if value.is_none() {
            self.problem(name, "it is missing");
        }
        value
    }

    /// A text that has to be there.
    pub(super) fn text(&mut self, name: &'static str, holds: fn(&str) -> bool, what: &str) -> Option<String> {
        let text = self.optional_text(name, holds, what)?;
        if text.is_none() {
            self.problem(name, "it is missing");
        }
        text
    }

    /// A text that may be absent. The outer `None`: it is no such text, which is noted.
    pub(super) fn optional_text(
        &mut self,
        name: &'static str,
        holds: fn(&str) -> bool,
        what: &str,
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

    /// One of two words; the first where there is none.
    pub(super) fn word<T: Copy>(&mut self, name: &'static str, words: [(&str, T); 2]) -> Option<T> {
        let [(_, default), _] = words;
        let Some(value) = self.value(name) else { return Some(default) };
        let found = words.iter().find(|(word, _)| value.as_str() == Some(word));
        if found.is_none() {
            let [(first, _), (second, _)] = words;
            self.problem(name, &format!("it is neither `{first}` nor `{second}`"));
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// A whole number within bounds that may be absent. The outer `None`: it is none, which is noted.
    pub(super) fn number(&mut self, name: &'static str, bounds: RangeInclusive<u32>) -> Option<Option<u32>> {
        let Some(value) = self.value(name) else { return Some(None) };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        if let Some(number) = number.filter(|number| bounds.contains(number)) {
            return Some(Some(number));
        }
        let what = format!("it is not a whole number from {} to {}", bounds.start(), bounds.end());
        self.problem(name, &what);
        None
    }

    /// A list with a least and a greatest length that may be absent. The outer `None`: it is none, which is noted.
    pub(super) fn list(
        &mut self,
        name: &'static str,
        length: RangeInclusive<usize>,
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

    /// A list whose elements are texts, each made into something. Every element that cannot be is noted.
    pub(super) fn texts<T>(
        &mut self,
        name: &'static str,
        length: RangeInclusive<usize>,
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

    /// Notes of another reader about what belongs to this object.
    pub(super) const fn problems(&mut self) -> &mut Vec<String> {
        self.problems
    }

    /// Notes the members that nobody asked for.
    pub(super) fn finish(self) {
        for name in self.object.keys().filter(|name| !self.asked.contains(&name.as_str())) {
            let known: Vec<String> = self.asked.iter().map(|name| format!("`{name}`")).collect();
            let name: String = name.chars().take(64).flat_map(char::escape_debug).collect();
            let what = format!("there is no such member, there are {}", known.join(", "));
            self.problems.push(format!("{}.{name}: {what}", self.path));
        }
    }
}
