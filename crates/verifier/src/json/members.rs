//! From JSON values to ours. Anything missing or invalid is [`Unfit`]. Programs write the answers, events and records
//! that are read here, so no more detail is needed.
//!
//! Written by hand instead of derived: one reader makes the values, and one line here converts each to a member. serde
//! derives a parser for each type, which was an eighth of the Worker (`docs/adr/0008-small-wasm.md`).

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::{Shape, parse_members};
use crate::time::Timestamp;

/// Not the value that it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit;

/// A type that can be read from a JSON value.
pub trait FromJson: Sized {
    /// What of the value it is made of.
    const SHAPE: Shape = Shape::ALL;

    /// Makes it.
    ///
    /// # Errors
    /// [`Unfit`].
    fn from_json(json: Value) -> Result<Self, Unfit>;
}

/// A type that can be written as JSON.
pub trait ToJson {
    /// Says it.
    fn to_json(&self) -> Value;
}

/// Reads the members of a document that a shape names.
///
/// # Errors
/// [`Unfit`]
pub fn read_members<T: FromJson>(json: &[u8], shape: Shape) -> Result<T, Unfit> {
    T::from_json(parse_members(json, shape).map_err(|_| Unfit)?)
}

/// An object, from which members are taken. The rest is ignored.
#[derive(Debug, Default)]
pub struct Object(Map<String, Value>);

impl Object {
    /// A required member.
    ///
    /// # Errors
    /// [`Unfit`]
    pub fn take<T: FromJson>(&mut self, name: &str) -> Result<T, Unfit> {
        T::from_json(self.0.remove(name).ok_or(Unfit)?)
    }

    /// A member that may be absent or `null`.
    ///
    /// # Errors
    /// [`Unfit`]
    pub fn take_optional<T: FromJson>(&mut self, name: &str) -> Result<Option<T>, Unfit> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(json) => T::from_json(json).map(Some),
        }
    }

    /// A member that is written as `null` where there is none; it may be absent too.
    ///
    /// # Errors
    /// [`Unfit`]
    pub fn take_nullable<T: FromJson>(&mut self, name: &str) -> Result<Option<T>, Unfit> {
        self.take_optional(name)
    }

    /// A member that may be absent, but not `null`.
    ///
    /// # Errors
    /// [`Unfit`]
    pub fn take_or_default<T: FromJson + Default>(&mut self, name: &str) -> Result<T, Unfit> {
        self.0.remove(name).map_or_else(|| Ok(T::default()), T::from_json)
    }

    /// Puts a member in.
    pub fn put<T: ToJson>(&mut self, name: &str, value: &T) {
        self.0.insert(name.to_owned(), value.to_json());
    }

    /// Puts a member in, unless it is `null`: that reads as what is absent.
    pub fn put_unless_null<T: ToJson>(&mut self, name: &str, value: &T) {
        let value = value.to_json();
        if !value.is_null() {
            self.0.insert(name.to_owned(), value);
        }
    }
}

impl From<Object> for Value {
    fn from(Object(members): Object) -> Self {
        Self::Object(members)
    }
}

impl FromJson for Object {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        if let Value::Object(map) = json { Ok(Self(map)) } else { Err(Unfit) }
    }
}

impl FromJson for Value {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        Ok(json)
    }
}

impl FromJson for String {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        if let Value::String(text) = json { Ok(text) } else { Err(Unfit) }
    }
}

impl FromJson for bool {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        json.as_bool().ok_or(Unfit)
    }
}

impl FromJson for u64 {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        json.as_u64().ok_or(Unfit)
    }
}

impl FromJson for usize {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        json.as_u64().and_then(|number| number.try_into().ok()).ok_or(Unfit)
    }
}

impl FromJson for i64 {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        json.as_i64().ok_or(Unfit)
    }
}

impl FromJson for u32 {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        json.as_u64().and_then(|number| number.try_into().ok()).ok_or(Unfit)
    }
}

/// Milliseconds since the Unix epoch.
impl FromJson for Timestamp {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        json.as_i64().and_then(Self::from_unix_millis).ok_or(Unfit)
    }
}

impl FromJson for Rc<str> {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        String::from_json(json).map(Self::from)
    }
}

/// Nothing, which is `null`.
impl FromJson for () {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        if json.is_null() { Ok(()) } else { Err(Unfit) }
    }
}

impl<T: FromJson> FromJson for Option<T> {
    const SHAPE: Shape = T::SHAPE;

    fn from_json(json: Value) -> Result<Self, Unfit> {
        if json.is_null() { Ok(None) } else { T::from_json(json).map(Some) }
    }
}

impl<T: FromJson> FromJson for Vec<T> {
    /// A list's elements are all of the list's shape.
    const SHAPE: Shape = T::SHAPE;

    fn from_json(json: Value) -> Result<Self, Unfit> {
        let Value::Array(elements) = json else { return Err(Unfit) };
        elements.into_iter().map(T::from_json).collect()
    }
}

impl<A: FromJson, B: FromJson> FromJson for (A, B) {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let Value::Array(elements) = json else { return Err(Unfit) };
        let [first, second] = <[Value; 2]>::try_from(elements).map_err(|_| Unfit)?;
        Ok((A::from_json(first)?, B::from_json(second)?))
    }
}

impl FromJson for BTreeMap<String, String> {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let Object(members) = Object::from_json(json)?;
        let mut texts = Self::new();
        for (name, value) in members {
            texts.insert(name, String::from_json(value)?);
        }
        Ok(texts)
    }
}

impl ToJson for String {
    fn to_json(&self) -> Value {
        self.as_str().into()
    }
}

impl ToJson for Value {
    fn to_json(&self) -> Value {
        self.clone()
    }
}

impl ToJson for bool {
    fn to_json(&self) -> Value {
        (*self).into()
    }
}

impl ToJson for u64 {
    fn to_json(&self) -> Value {
        (*self).into()
    }
}

impl ToJson for u32 {
    fn to_json(&self) -> Value {
        (*self).into()
    }
}

impl ToJson for i64 {
    fn to_json(&self) -> Value {
        (*self).into()
    }
}

impl ToJson for Timestamp {
    fn to_json(&self) -> Value {
        self.unix_millis().into()
    }
}

impl ToJson for Rc<str> {
    fn to_json(&self) -> Value {
        (&**self).into()
    }
}

impl ToJson for () {
    fn to_json(&self) -> Value {
        Value::Null
    }
}

impl ToJson for BTreeMap<String, String> {
    fn to_json(&self) -> Value {
        let mut members = Map::new();
        members.extend(self.iter().map(|(name, text)| (name.clone(), text.as_str().into())));
        members.into()
    }
}

impl<T: ToJson> ToJson for Option<T> {
    fn to_json(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_json)
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn to_json(&self) -> Value {
        self.iter().map(T::to_json).collect()
    }
}

impl<A: ToJson, B: ToJson> ToJson for (A, B) {
    fn to_json(&self) -> Value {
        Value::Array(vec![self.0.to_json(), self.1.to_json()])
    }
}

/// What an alternative holds, under its name.
#[must_use]
pub fn named(name: &str, inside: Value) -> Value {
    let mut members = Map::new();
    members.insert(name.to_owned(), inside);
    members.into()
}

/// One of several alternatives: only its name, or an object with its name and its content.
///
/// # Errors
/// [`Unfit`]
pub fn alternative(json: Value) -> Result<(String, Value), Unfit> {
    match json {
        Value::String(name) => Ok((name, Value::Null)),
        Value::Object(map) if map.len() == 1 => map.into_iter().next().ok_or(Unfit),
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err(Unfit),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn absence_and_null_are_what_each_way_of_taking_says() {
        let mut object = Object::from_json(json!({"null": null, "text": "a"})).unwrap();
        assert_eq!(object.take::<String>("absent"), Err(Unfit));
        assert_eq!(object.take_optional::<String>("absent"), Ok(None));
        assert_eq!(object.take_or_default::<String>("absent"), Ok(String::new()));
        assert_eq!(object.take_optional::<u64>("text"), Err(Unfit));
        assert_eq!(object.take_or_default::<String>("null"), Err(Unfit));
    }

    #[test]
    fn a_value_is_what_it_has_to_be() {
        for json in [json!(1.0), json!(-1), json!("1"), json!(null)] {
            assert_eq!(u64::from_json(json.clone()), Err(Unfit), "{json}");
        }
        assert_eq!(Vec::<u64>::from_json(json!([1, "2"])), Err(Unfit));
        assert_eq!(BTreeMap::from_json(json!({"a": "b"})), Ok(BTreeMap::from([("a".into(), "b".into())])));
        assert_eq!(BTreeMap::from_json(json!({"a": 1})), Err(Unfit));
        assert!(Object::from_json(json!(["login"])).is_err());
    }
}
