//! Strict JSON: refuses whatever two readers could read differently. `serde_json` already refuses invalid UTF-8, lone
//! surrogates, control characters in strings, and numbers that do not fit an `f64`. But it keeps the last of several
//! members with the same name, so that one token can mean different things to two services. This reader refuses that.
//!
//! A type and its JSON are described once:
//!
//! | macro | for |
//! | --- | --- |
//! | [`json_object`](crate::json_object) | an object that is written and read |
//! | [`json_members`](crate::json_members) | an object of somebody else's, of which some members are read |
//! | [`json_alternatives`](crate::json_alternatives) | one of several things, some of which hold others |
//! | [`json_words`](crate::json_words) | one of several words |
//!
//! Behind each member stands how it is taken and put:
//!
//! | how | absent | `null` | written |
//! | --- | --- | --- | --- |
//! | `take` | unfit | as its type says | always |
//! | `take_optional` (an `Option`) | `None` | `None` | unless it is `None` |
//! | `take_nullable` (an `Option`) | `None` | `None` | always, `None` as `null` |
//! | `take_or_default` | the default | as its type says | always |
//!
//! A member whose name in JSON is another one has that behind it: `r#type: String => take as "type"`.

mod described;
mod members;
mod picked;

pub use members::{FromJson, Object, ToJson, Unfit, alternative, named, read_members};
pub use picked::{Picked, pick};

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Map;
/// A JSON value.
pub use serde_json::Value;

/// How deep a token's JSON may nest; the top level is 1. No issuer is known to go beyond 4.
pub const MAX_DEPTH: usize = 16;

/// How many values a document may contain, including the top level, because a tree takes a hundred times the bytes of
/// `{}`. A token has a few dozen, and a set of a hundred keys about a thousand.
pub const MAX_NODES: usize = 2000;

/// Why text is not JSON that we accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonError {
    /// Not JSON (RFC 8259), not UTF-8, or something follows the value.
    Syntax,
    /// An object has two members with the same name.
    DuplicateMember,
    /// It nests deeper than allowed.
    TooDeep,
    /// It contains more values than [`MAX_NODES`].
    TooManyNodes,
    /// A JSON value, but not an object.
    NotAnObject,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "not valid json",
            Self::DuplicateMember => "json with a member given twice",
            Self::TooDeep => "json that nests too deep",
            Self::TooManyNodes => "json with more than 2000 values",
            Self::NotAnObject => "not a json object",
        })
    }
}

impl std::error::Error for JsonError {}

/// Reads one JSON value with at most [`MAX_NODES`] values, and nothing after it. Linear in its bytes. `max_depth` is at
/// most 127, where `serde_json` itself stops.
///
/// ```
/// use octo_sts_verifier::json::{JsonError, MAX_DEPTH, parse};
/// assert!(parse(br#"{"sub": "repo:acme/app"}"#, MAX_DEPTH).is_ok());
/// assert_eq!(parse(br#"{"sub": "a", "sub": "b"}"#, MAX_DEPTH), Err(JsonError::DuplicateMember));
/// ```
///
/// # Errors
/// See [`JsonError`]; never [`JsonError::NotAnObject`].
pub fn parse(bytes: &[u8], max_depth: usize) -> Result<Value, JsonError> {
    read(bytes, max_depth, MAX_NODES, Repeated::Refused, Shape::ALL)
}

/// Reads the members of a document that a shape names, as strictly as [`parse`]. For the others, only the syntax is
/// checked. Only the caller's limit on bytes and the shape bound what is read, so this is for answers of a trusted
/// service.
///
/// # Errors
/// See [`JsonError`].
pub fn parse_members(bytes: &[u8], shape: Shape) -> Result<Value, JsonError> {
    read(bytes, DEEPEST, usize::MAX, Repeated::Refused, shape)
}

/// Where `serde_json` itself stops.
const DEEPEST: usize = 127;

/// Which members of an object are read, and which ones of their values. A list's elements are all of the list's shape.
#[derive(Debug, Clone, Copy)]
pub struct Shape(pub &'static [(&'static str, Shape)]);

impl Shape {
    /// Everything.
    pub const ALL: Self = Self(&[]);

    fn of_member(self, name: &str) -> Option<Self> {
        if self.0.is_empty() {
            return Some(self);
        }
        self.0.iter().find(|(member, _)| *member == name).map(|(_, shape)| *shape)
    }
}

/// Reads one JSON object and nothing after it.
///
/// # Errors
/// See [`JsonError`].
pub fn parse_object(bytes: &[u8], max_depth: usize) -> Result<Map<String, Value>, JsonError> {
    into_object(parse(bytes, max_depth)?)
}

/// Reads one JSON object, in which an object with a repeated member counts as `null`: for documents in which one bad
/// element must not affect the others, such as a JWK set. The top level itself is as strict as [`parse_object`].
pub fn parse_object_of_elements(bytes: &[u8], max_depth: usize) -> Result<Map<String, Value>, JsonError> {
    into_object(read(bytes, max_depth, MAX_NODES, Repeated::Void, Shape::ALL)?)
}

fn into_object(value: Value) -> Result<Map<String, Value>, JsonError> {
    match value {
        Value::Object(map) => Ok(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(JsonError::NotAnObject)
        }
    }
}

fn read(
    bytes: &[u8],
    max_depth: usize,
    max_nodes: usize,
    repeated: Repeated,
    shape: Shape,
) -> Result<Value, JsonError> {
    let (reason, nodes) = (Cell::new(JsonError::Syntax), Cell::new(max_nodes));
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: max_depth, repeated, shape, reason: &reason, nodes: &nodes }
        .deserialize(&mut deserializer)
        .map_err(|_| reason.get())?;
    deserializer.end().map_err(|_| JsonError::Syntax)?;
    Ok(value)
}

/// Like [`parse_members`], but takes the last of several members with the same name: for data that decides nothing.
///
/// # Errors
/// See [`JsonError`].
pub fn parse_members_leniently(bytes: &[u8], shape: Shape) -> Result<Value, JsonError> {
    read(bytes, DEEPEST, usize::MAX, Repeated::Replaced, shape)
}

/// How to treat an object with a repeated member.
#[derive(Clone, Copy)]
enum Repeated {
    Refused,
    Void,
    Replaced,
}

/// Reads one value; `depth` is how many levels may still be opened. `reason` distinguishes our refusals from
/// serde_json's, whose error has only text.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    repeated: Repeated,
    shape: Shape,
    reason: &'a Cell<JsonError>,
    /// How many more values are allowed.
    nodes: &'a Cell<usize>,
}

impl<'a> Strict<'a> {
    fn refuse<E: serde::de::Error>(self, reason: JsonError) -> E {
        self.reason.set(reason);
        E::custom(reason)
    }

    fn inside<E: serde::de::Error>(self) -> Result<Strict<'a>, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Strict { depth, ..self }),
            None => Err(self.refuse(JsonError::TooDeep)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.nodes.get().checked_sub(1) {
            Some(left) => self.nodes.set(left),
            None => return Err(self.refuse(JsonError::TooManyNodes)),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        // `Value::from` would turn a non-finite number into `null`.
        serde_json::Number::from_f64(value).map(Value::Number).ok_or_else(|| self.refuse(JsonError::Syntax))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(inside)? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut map = Map::new();
        let mut is_void = false;
        while let Some(name) = members.next_key_seed(MemberName)? {
            let Some(shape) = self.shape.of_member(&name) else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = members.next_value_seed(Strict { shape, ..inside })?;
            if map.insert(name.into_owned(), value).is_some() {
                match self.repeated {
                    Repeated::Refused => return Err(self.refuse(JsonError::DuplicateMember)),
                    Repeated::Void => is_void = true,
                    Repeated::Replaced => {}
                }
            }
        }
        Ok(if is_void { Value::Null } else { Value::Object(map) })
    }
}

/// A member's name, as text: the escapes are resolved, so `"a"` and `"\u0061"` are one name.
struct MemberName;

impl<'de> DeserializeSeed<'de> for MemberName {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for MemberName {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(text: &str) -> Result<(), JsonError> {
        parse(text.as_bytes(), MAX_DEPTH).map(|_| ())
    }

    #[test]
    fn reads_what_serde_json_reads() {
        for text in [
            "null",
            "true",
            "-0",
            "1.5e3",
            "18446744073709551615",
            "-9223372036854775808",
            r#""\u00e9\ud83d\ude00""#,
            "[]",
            "{}",
            r#"{"a":[1,{"b":null}],"c":"d"}"#,
            " [1 , 2]\n",
        ] {
            let plain: Value = serde_json::from_str(text).unwrap();
            assert_eq!(parse(text.as_bytes(), MAX_DEPTH), Ok(plain), "{text}");
        }
    }

    #[test]
    fn a_repeated_member_is_refused_at_every_level() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"":1,"":2}"#,
            r#"{"x":{"a":1,"b":2,"a":3}}"#,
            r#"[[{"a":{"b":1,"b":1}}]]"#,
        ] {
            assert_eq!(verdict(text), Err(JsonError::DuplicateMember), "{text}");
        }
        assert_eq!(verdict(r#"{"a":{"a":1},"A":1}"#), Ok(()));
    }

    #[test]
    fn nesting_ends_at_the_cap() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(verdict(&nested(16)), Ok(()));
        assert_eq!(verdict(&nested(17)), Err(JsonError::TooDeep));
        assert_eq!(verdict(&nested(100_000)), Err(JsonError::TooDeep));
        let objects = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        assert_eq!(verdict(&objects(16)), Ok(()));
        assert_eq!(verdict(&objects(17)), Err(JsonError::TooDeep));
        assert_eq!(parse(b"1", 0), Ok(Value::from(1)));
        assert_eq!(parse(b"[]", 0), Err(JsonError::TooDeep));
    }

    #[test]
    fn values_end_at_the_cap_however_they_nest() {
        let list = |values: usize| format!("[{}]", vec!["1"; values].join(","));
        assert_eq!(verdict(&list(MAX_NODES - 1)), Ok(()));
        assert_eq!(verdict(&list(MAX_NODES)), Err(JsonError::TooManyNodes));
        let wide = |objects: usize| format!("[{}]", vec![r#"{"a":{}}"#; objects].join(","));
        assert_eq!(verdict(&wide((MAX_NODES - 1) / 2)), Ok(()));
        assert_eq!(verdict(&wide(MAX_NODES / 2)), Err(JsonError::TooManyNodes));
        let keys = format!(r#"{{"keys":{}}}"#, list(MAX_NODES));
        let elements = parse_object_of_elements(keys.as_bytes(), MAX_DEPTH);
        assert_eq!(elements, Err(JsonError::TooManyNodes));
    }

    /// The law: whatever the text, its tree has no more values than the cap, and no text is read twice.
    fn values(value: &Value) -> usize {
        1 + match value {
            Value::Array(list) => list.iter().map(values).sum(),
            Value::Object(map) => map.values().map(values).sum::<usize>(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "{}{}",
            "{} x",
            "[1,]",
            "{\"a\":1,}",
            "'a'",
            "{a:1}",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e400",
            "-1e400",
            "01",
            "+1",
            ".5",
            "1.",
            "0x10",
            "\"\u{1}\"",
            "\"a\nb\"",
            r#""\x""#,
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800\u0041""#,
            r#"{"\ud800":1}"#,
            "\u{feff}{}",
            "// c\n{}",
            "nul",
            "\"",
        ] {
            assert_eq!(verdict(text), Err(JsonError::Syntax), "{text}");
        }
        assert_eq!(parse(b"\"\xff\"", MAX_DEPTH), Err(JsonError::Syntax));
        assert_eq!(parse(b"{\"\xc3\":1}", MAX_DEPTH), Err(JsonError::Syntax));
        assert_eq!(parse(b"\"\xed\xa0\x80\"", MAX_DEPTH), Err(JsonError::Syntax), "a surrogate in UTF-8");
    }

    #[test]
    fn an_object_is_asked_for() {
        for text in ["null", "[]", "1", "\"{}\"", "true"] {
            assert_eq!(parse_object(text.as_bytes(), MAX_DEPTH), Err(JsonError::NotAnObject), "{text}");
        }
    }

    #[test]
    fn an_element_with_a_repeated_member_is_void_and_the_others_stay() {
        let document = parse_object_of_elements(br#"{"keys":[{"a":1,"a":2},{"b":1}]}"#, MAX_DEPTH).unwrap();
        assert_eq!(document["keys"], serde_json::json!([null, {"b": 1}]));
        let top = parse_object_of_elements(br#"{"keys":[],"keys":[]}"#, MAX_DEPTH);
        assert_eq!(top, Err(JsonError::NotAnObject));
    }

    #[test]
    fn only_members_of_the_shape_are_read() {
        const SHAPE: Shape = Shape(&[("a", Shape(&[("b", Shape::ALL)])), ("c", Shape::ALL)]);
        let read = |text: &str| parse_members(text.as_bytes(), SHAPE);
        assert_eq!(
            read(r#"{"x":{"b":1},"a":[{"b":{"x":1},"y":2},3],"c":[{"z":4}]}"#),
            Ok(serde_json::json!({"a": [{"b": {"x": 1}}, 3], "c": [{"z": 4}]}))
        );
        assert_eq!(read(r#"{"a":{"b":1,"\u0062":2}}"#), Err(JsonError::DuplicateMember));
        assert_eq!(read(r#"{"x":1,"x":{"y":1,"y":2}}"#), Ok(serde_json::json!({})));
        for text in [r#"{"x":01}"#, r#"{"x":"\x"}"#, r#"{"x":{}"#, r#"{"x":1} y"#] {
            assert_eq!(read(text), Err(JsonError::Syntax), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_tree_has_at_most_the_cap_of_values(
            unit in prop::sample::select(vec!["1", "{}", "[]", r#"{"a":[{}]}"#, "[[],[[]]]", r#"{"a":1,"b":{}}"#]),
            repeated in 0_usize..3000,
        ) {
            let text = format!("[{}]", vec![unit; repeated].join(","));
            let plain: Value = serde_json::from_str(&text).unwrap();
            match parse(text.as_bytes(), MAX_DEPTH) {
                Ok(read) => prop_assert!(values(&read) <= MAX_NODES && read == plain),
                Err(error) => {
                    prop_assert_eq!(error, JsonError::TooManyNodes);
                    prop_assert!(values(&plain) > MAX_NODES);
                }
            }
        }

        #[test]
        fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let strict = parse(&bytes, MAX_DEPTH);
            let plain = serde_json::from_slice::<Value>(&bytes);
            // Stricter than serde_json, but never a different value.
            if let Ok(value) = strict {
                prop_assert_eq!(value, plain.unwrap());
            }
        }

        #[test]
        fn json_like_text_gets_an_answer(text in r#"[\[\]{}:,"a-c0-9eE+. \\u-]{0,60}"#) {
            if let Ok(value) = parse(text.as_bytes(), MAX_DEPTH) {
                prop_assert_eq!(value, serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}
