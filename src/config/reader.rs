//! Reading settings: every problem is found at once and known by the setting's name; a value never leaves.

use std::collections::BTreeMap;

use crate::config::Misconfigured;

/// A setting's value, or its name: the error that a route reports.
pub(super) type Setting<T> = Result<T, &'static str>;

pub(super) struct Reader<'a> {
    pub(super) setting: &'a dyn Fn(&str) -> Option<String>,
    pub(super) is_bound: &'a dyn Fn(&str) -> bool,
    pub(super) missing: Vec<&'static str>,
    pub(super) malformed: Vec<&'static str>,
    /// Why, where it is known: one of a few fixed words.
    pub(super) reasons: BTreeMap<&'static str, &'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        setting: &'a dyn Fn(&str) -> Option<String>,
        is_bound: &'a dyn Fn(&str) -> bool,
    ) -> Self {
        Self { setting, is_bound, missing: Vec::new(), malformed: Vec::new(), reasons: BTreeMap::new() }
    }

    /// An empty required setting is missing: an unset CI secret arrives as an empty one.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Setting<T> {
        match self.text(name) {
            Some(text) => self.parsed(name, parse(&text)),
            None => self.lacks(name),
        }
    }

    /// [`Reader::required`], if the parser knows why a value is malformed.
    pub(super) fn required_because<T, R: Into<Option<&'static str>>>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, R>,
    ) -> Setting<T> {
        let mut why = None;
        let value = self.required(name, |text| parse(text).map_err(|reason| why = reason.into()).ok());
        self.explain(name, why);
        value
    }

    /// [`Reader::optional`], if the parser knows why a value is malformed.
    pub(super) fn optional_because<T, R: Into<Option<&'static str>>>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, R>,
    ) -> Setting<Option<T>> {
        let mut why = None;
        let value = self.optional(name, |text| parse(text).map_err(|reason| why = reason.into()).ok());
        self.explain(name, why);
        value
    }

    /// An empty optional setting counts as absent.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Setting<Option<T>> {
        match self.text(name) {
            Some(text) => self.parsed(name, parse(&text)).map(Some),
            None => Ok(None),
        }
    }

    /// An optional setting that restricts. An empty one is malformed; otherwise an accident would lift the restriction.
    pub(super) fn restricting<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Setting<Option<T>> {
        match (self.setting)(name) {
            Some(text) => self.parsed(name, parse(&text)).map(Some),
            None => Ok(None),
        }
    }

    /// A binding, present or not.
    pub(super) fn binding(&mut self, name: &'static str) -> Setting<()> {
        if (self.is_bound)(name) { Ok(()) } else { self.lacks(name) }
    }

    // What does not depend on the setting's type is apart: it would be there once for each setting, and every isolate
    // compiles all of it.

    /// A text that is there and not empty.
    #[inline(never)]
    pub(super) fn text(&self, name: &str) -> Option<String> {
        (self.setting)(name).filter(|text| !text.is_empty())
    }

    #[cold]
    #[inline(never)]
    fn lacks<T>(&mut self, name: &'static str) -> Setting<T> {
        self.missing.push(name);
        Err(name)
    }

    fn explain(&mut self, name: &'static str, why: Option<&'static str>) {
        if let Some(why) = why {
            self.reasons.insert(name, why);
        }
    }

    fn parsed<T>(&mut self, name: &'static str, value: Option<T>) -> Setting<T> {
        value.ok_or_else(|| self.tell_malformed(name))
    }

    #[cold]
    #[inline(never)]
    fn tell_malformed(&mut self, name: &'static str) -> &'static str {
        self.malformed.push(name);
        name
    }
}

/// How a setting that disables nothing falls back: its name is already listed.
pub(super) trait FallBack<T> {
    fn flatten(self) -> Option<T>;
    fn flatten_or(self, default: T) -> T;
    fn or_default(self) -> Setting<T>
    where
        T: Default;
}

impl<T> FallBack<T> for Setting<Option<T>> {
    fn flatten(self) -> Option<T> {
        self.unwrap_or_default()
    }

    fn flatten_or(self, default: T) -> T {
        self.flatten().unwrap_or(default)
    }

    fn or_default(self) -> Setting<T>
    where
        T: Default,
    {
        self.map(Option::unwrap_or_default)
    }
}

/// The names of those that a part lacks.
#[cold]
#[inline(never)]
pub(super) fn misconfigured(names: &[Option<&'static str>]) -> Misconfigured {
    Misconfigured(names.iter().copied().flatten().collect())
}

pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Comma-separated entries. Spaces around an entry are ignored; an empty entry is a mistake.
pub(super) fn entries(list: &str) -> Option<Vec<String>> {
    list.split(',').map(str::trim).map(|entry| (!entry.is_empty()).then(|| entry.to_owned())).collect()
}
