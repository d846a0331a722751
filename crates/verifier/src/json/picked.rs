//! A few members of an object, read without making a tree of it. A token's claims are read before anybody has signed them,
//! and of thirty claims two are looked at then: a tree of them costs more than half of what the signature does.

use std::borrow::Cow;

use serde_json::{Number, Value};

use super::{JsonError, MAX_DEPTH, MAX_NODES, parse_object};

/// A member's value, as far as whoever looks for a few members can need it. Texts without escapes are the document's own.
#[derive(Debug, Clone, PartialEq)]
pub enum Picked<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A number.
    Number(Number),
    /// A list.
    List(Vec<Self>),
    /// An object, as JSON.
    Object(Cow<'a, [u8]>),
    /// `null`, `true` or `false`.
    Word,
}

impl<'a> Picked<'a> {
    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::List(_) | Self::Object(_) | Self::Word => None,
        }
    }

    /// As [`Picked::as_text`].
    #[must_use]
    pub fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::List(_) | Self::Object(_) | Self::Word => None,
        }
    }

    /// The same, on its own.
    #[must_use]
    pub fn into_owned(self) -> Picked<'static> {
        match self {
            Self::Text(text) => Picked::Text(Cow::Owned(text.into_owned())),
            Self::Number(number) => Picked::Number(number),
            Self::List(list) => Picked::List(list.into_iter().map(Self::into_owned).collect()),
            Self::Object(text) => Picked::Object(Cow::Owned(text.into_owned())),
            Self::Word => Picked::Word,
        }
    }
}

impl<'a> From<&'a Value> for Picked<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            Value::Number(number) => Self::Number(number.clone()),
            Value::Array(list) => Self::List(list.iter().map(Self::from).collect()),
            Value::Object(_) => Self::Object(Cow::Owned(value.to_string().into_bytes())),
            Value::Null | Value::Bool(_) => Self::Word,
        }
    }
}

/// Reads one JSON object as strictly as [`super::parse_object`] does with [`MAX_DEPTH`], and keeps the members of these
/// names. Linear in its bytes.
///
/// JSON as programs write it is looked through in place. For anything else (escapes, fractions, many names, whatever is
/// not right) the reader of trees is asked: it alone refuses, and says why.
///
/// ```
/// use octo_sts_verifier::json::{Picked, pick};
/// let [sub, act] = pick(br#"{"aud":["a"],"sub":"repo:acme/app","act":{"sub":"b"}}"#, ["sub", "act"]).unwrap();
/// assert_eq!(sub.as_ref().and_then(Picked::as_text), Some("repo:acme/app"));
/// assert_eq!(act, Some(Picked::Object(br#"{"sub":"b"}"#.into())));
/// ```
///
/// # Errors
/// See [`JsonError`].
pub fn pick<'a, const N: usize>(
    bytes: &'a [u8],
    names: [&str; N],
) -> Result<[Option<Picked<'a>>; N], JsonError> {
    if let Some(picked) = in_place(bytes, names) {
        return Ok(picked);
    }
    let mut tree = parse_object(bytes, MAX_DEPTH)?;
    Ok(names.map(|name| tree.remove(name).as_ref().map(|value| Picked::from(value).into_owned())))
}

/// `None` for what is to be asked of the reader of trees.
fn in_place<'a, const N: usize>(bytes: &'a [u8], names: [&str; N]) -> Option<[Option<Picked<'a>>; N]> {
    if !bytes.is_ascii() {
        str::from_utf8(bytes).ok()?;
    }
    let mut picked = [const { None }; N];
    let marks = names.map(|name| mark(name.as_bytes()));
    let mut reader = Reader { rest: bytes, values: 0, open: 0, marks: [0; MAX_OPEN], seen: [0; 4] };
    reader.space();
    reader.object(MAX_DEPTH, |reader, name, mark, depth| {
        let place = marks.iter().position(|wanted| *wanted == mark);
        let is_wanted =
            place.is_some_and(|place| names.get(place).is_some_and(|wanted| wanted.as_bytes() == name));
        match place.filter(|_| is_wanted).and_then(|place| picked.get_mut(place)) {
            Some(place) => *place = Some(reader.kept(depth)?),
            None => reader.passed(depth)?,
        }
        Some(())
    })?;
    reader.space();
    reader.rest.is_empty().then_some(picked)
}

/// How many names may be open at a time: those of a job's thirty claims, and of an object or two inside of them.
const MAX_OPEN: usize = 64;

/// Spreads marks over all bits (Knuth, volume 3, section 6.4).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A number that nearly always tells two names apart.
fn mark(name: &[u8]) -> u64 {
    match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(29),
        // Shorter than eight bytes.
        _ => name.iter().fold(1, |mixed, byte| (mixed << 8) | u64::from(*byte)),
    }
}

/// Goes through a text in UTF-8 once. Whatever is `None` ends it.
struct Reader<'a> {
    rest: &'a [u8],
    /// How many values have begun.
    values: usize,
    /// How many names are open.
    open: usize,
    /// Their marks, those of the innermost object last.
    marks: [u64; MAX_OPEN],
    /// A bit for each mark that came by; several share one. Where it is not set, none of [`Self::marks`] is the same.
    seen: [u64; 4],
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        // What programs write has none.
        if self.rest.first().is_some_and(|byte| *byte > b' ') {
            return;
        }
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Steps over this byte.
    fn over(&mut self, byte: u8) -> Option<()> {
        match self.rest {
            [first, rest @ ..] if *first == byte => self.rest = rest,
            _ => return None,
        }
        Some(())
    }

    fn is_next(&mut self, byte: u8) -> bool {
        self.over(byte).is_some()
    }

    /// The next so many bytes.
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn count(&mut self) -> Option<()> {
        self.values += 1;
        (self.values <= MAX_NODES).then_some(())
    }

    /// A text without escapes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.over(b'"')?;
        let text = self.take(length_of_text(self.rest)?)?;
        self.over(b'"')?;
        Some(text)
    }

    /// A whole number that every reader takes for the same.
    fn number(&mut self) -> Option<Number> {
        let is_negative = self.is_next(b'-');
        let length = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = self.take(length)?;
        let is_plain = length <= 18 && !matches!(self.rest, [b'.' | b'e' | b'E', ..]);
        let number = match digits {
            [b'0'] => 0,
            [b'1'..=b'9', ..] if is_plain => {
                digits.iter().fold(0_i64, |number, digit| number * 10 + i64::from(digit - b'0'))
            }
            _ => return None,
        };
        match (is_negative, number) {
            (false, number) => is_plain.then(|| number.into()),
            // A float for other readers.
            (true, 0) => None,
            (true, number) => Some((-number).into()),
        }
    }

    fn word(&mut self) -> Option<()> {
        let words: [&[u8]; 3] = [b"true", b"false", b"null"];
        self.rest = words.into_iter().find_map(|word| self.rest.strip_prefix(word))?;
        Some(())
    }

    /// An object, of which `member` reads each value, given its name, the name's mark, and how many levels may be opened.
    fn object(
        &mut self,
        depth: usize,
        mut member: impl FnMut(&mut Self, &'a [u8], u64, usize) -> Option<()>,
    ) -> Option<()> {
        self.count()?;
        let depth = depth.checked_sub(1)?;
        let start = self.open;
        self.over(b'{')?;
        self.space();
        if self.is_next(b'}') {
            return Some(());
        }
        loop {
            let name = self.string()?;
            let mark = mark(name);
            self.name(start, mark)?;
            self.space();
            self.over(b':')?;
            self.space();
            member(self, name, mark, depth)?;
            self.space();
            if !self.is_next(b',') {
                break;
            }
            self.space();
        }
        self.open = start;
        self.over(b'}')
    }

    /// Opens a name of the object whose names begin at `start`.
    fn name(&mut self, start: usize, mark: u64) -> Option<()> {
        let [_, .., byte] = mark.wrapping_mul(SPREAD).to_le_bytes();
        let (seen, bit) = (self.seen.get_mut(usize::from(byte >> 6))?, 1_u64 << (byte & 63));
        if *seen & bit != 0 && self.marks.get(start..self.open)?.contains(&mark) {
            return None;
        }
        *seen |= bit;
        *self.marks.get_mut(self.open)? = mark;
        self.open += 1;
        Some(())
    }

    /// A list, of which `element` reads each value.
    fn list(&mut self, depth: usize, mut element: impl FnMut(&mut Self, usize) -> Option<()>) -> Option<()> {
        self.count()?;
        let depth = depth.checked_sub(1)?;
        self.over(b'[')?;
        self.space();
        if self.is_next(b']') {
            return Some(());
        }
        loop {
            element(self, depth)?;
            self.space();
            if !self.is_next(b',') {
                break;
            }
            self.space();
        }
        self.over(b']')
    }

    /// A value that is judged like any other, and not kept.
    fn passed(&mut self, depth: usize) -> Option<()> {
        match self.rest.first()? {
            b'{' => return self.object(depth, |reader, _, _, depth| reader.passed(depth)),
            b'[' => return self.list(depth, Self::passed),
            _ => self.count()?,
        }
        match self.rest.first()? {
            b'"' => self.string().map(|_| ()),
            b'-' | b'0'..=b'9' => self.number().map(|_| ()),
            _ => self.word(),
        }
    }

    /// A value that is kept.
    fn kept(&mut self, depth: usize) -> Option<Picked<'a>> {
        match self.rest.first()? {
            b'"' => {
                self.count()?;
                str::from_utf8(self.string()?).ok().map(|text| Picked::Text(Cow::Borrowed(text)))
            }
            b'-' | b'0'..=b'9' => {
                self.count()?;
                self.number().map(Picked::Number)
            }
            b'[' => {
                let mut list = Vec::new();
                self.list(depth, |reader, depth| {
                    list.push(reader.kept(depth)?);
                    Some(())
                })?;
                Some(Picked::List(list))
            }
            b'{' => {
                let from = self.rest;
                self.passed(depth)?;
                let (object, _) = from.split_at_checked(from.len() - self.rest.len())?;
                Some(Picked::Object(Cow::Borrowed(object)))
            }
            _ => self.passed(depth).map(|()| Picked::Word),
        }
    }
}

/// Up to a quote, a backslash or a control character.
fn length_of_text(bytes: &[u8]) -> Option<usize> {
    let (mut rest, mut length) = (bytes, 0);
    while let Some((eight, behind)) = rest.split_first_chunk() {
        let ends = ends_of_text(u64::from_le_bytes(*eight));
        if ends != 0 {
            return usize::try_from(ends.trailing_zeros() / 8).ok().map(|more| length + more);
        }
        (rest, length) = (behind, length + 8);
    }
    rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).map(|more| length + more)
}

/// Of eight bytes of a text those that end it (quotes, backslashes, control characters), as their highest bits; above the
/// first one others may be set as well.
const fn ends_of_text(eight: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHEST: u64 = ONES << 7;
    const QUOTES: u64 = 0x22 * ONES;
    const BACKSLASHES: u64 = 0x5c * ONES;
    let controls = eight.wrapping_sub(0x20 * ONES) & !eight;
    let quotes = eight ^ QUOTES;
    let backslashes = eight ^ BACKSLASHES;
    let quotes = quotes.wrapping_sub(ONES) & !quotes;
    let backslashes = backslashes.wrapping_sub(ONES) & !backslashes;
    (controls | quotes | backslashes) & HIGHEST
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Objects are compared by what they say.
    fn read(picked: Picked<'_>) -> Picked<'_> {
        match picked {
            Picked::Object(text) => {
                Picked::from(&Value::from(parse_object(&text, MAX_DEPTH).unwrap())).into_owned()
            }
            Picked::List(list) => Picked::List(list.into_iter().map(read).collect()),
            other @ (Picked::Text(_) | Picked::Number(_) | Picked::Word) => other,
        }
    }

    /// The law: it reads what the reader of trees reads, to the same end.
    fn is_as_strict_as_a_tree(text: &[u8]) {
        match (pick(text, ["a", "b"]), parse_object(text, MAX_DEPTH)) {
            (Ok([a, b]), Ok(tree)) => {
                assert_eq!(a.map(read), tree.get("a").map(Picked::from), "{}", text.escape_ascii());
                assert_eq!(b.map(read), tree.get("b").map(Picked::from), "{}", text.escape_ascii());
            }
            (Err(picked), Err(tree)) => assert_eq!(picked, tree, "{}", text.escape_ascii()),
            (picked, tree) => panic!("{}: {picked:?} {tree:?}", text.escape_ascii()),
        }
    }

    #[test]
    fn it_is_as_strict_as_the_reader_of_trees() {
        let nested = |depth: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        for text in [
            r#"{"a":"b","b":["c",1,{"d":[]},[null,"e"]],"x":{"a":"f"}}"#,
            r#"{"\u0061":"\u00e9\ud83d\ude00","x":"\n"}"#,
            r#"{"a":1.5e3,"b":-7,"x":18446744073709551615}"#,
            r#"{"a":true,"b":null}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"a":1,"x":{"a":1,"b":2,"a":3}}"#,
            r#"{"x":[[{"a":{"b":1,"b":1}}]]}"#,
            r#"{"x":{"long_name_of_one":1,"long_name_of_two":1,"long_name_of_one":1}}"#,
            r#"{"a":{"a":1},"A":1,"":1}"#,
            r#"{"":1,"":1}"#,
            r#"{"x":"\ud800"}"#,
            r#"{"\udc00":1}"#,
            r#"{"x":1e400}"#,
            r#"{"x":01}"#,
            "{\"x\":\"\u{1}\"}",
            r#"{"a":1}x"#,
            r#"{"a":1,}"#,
            "[]",
            "null",
            "1",
            "\"a\"",
            "",
            &nested(15),
            &nested(16),
            &format!(r#"{{"x":[{}]}}"#, vec!["1"; MAX_NODES - 2].join(",")),
            &format!(r#"{{"x":[{}]}}"#, vec!["1"; MAX_NODES - 1].join(",")),
        ] {
            is_as_strict_as_a_tree(text.as_bytes());
        }
        is_as_strict_as_a_tree(b"{\"x\":\"\xff\"}");
        is_as_strict_as_a_tree(b"{\"x\":\"\xed\xa0\x80\"}");
    }

    #[test]
    fn the_claims_of_a_job_need_no_tree() {
        let members: Vec<String> =
            (0..MAX_OPEN - 2).map(|n| format!(r#""claim_number_{n}":["{n}"]"#)).collect();
        let object = r#"{"a":1,"b":[{},{"c":2}]}"#;
        let job = format!(r#"{{"aud":{object},{}}}"#, members.join(","));
        let aud = Picked::Object(object.as_bytes().into());
        assert_eq!(in_place(job.as_bytes(), ["aud"]), Some([Some(aud)]));
        let more = job.replacen('{', r#"{"one_more_than_that":1,"and_another":1,"#, 1);
        assert_eq!(in_place(more.as_bytes(), ["aud"]), None);
        is_as_strict_as_a_tree(more.as_bytes());
    }

    #[test]
    fn names_that_differ_in_the_middle_alone_are_two() {
        let name = |middle: &str| format!("01234567{middle}01234567");
        let members: Vec<String> =
            (0..300).map(|n| format!(r#""{}":{n}"#, name(&format!("{n:04}")))).collect();
        let object = |more: &str| format!("{{{}{more}}}", members.join(","));
        assert!(pick(object("").as_bytes(), []).is_ok());
        let again = format!(r#","{}":0"#, name("0299"));
        assert_eq!(pick(object(&again).as_bytes(), []), Err(JsonError::DuplicateMember));
    }

    proptest! {
        #[test]
        fn any_bytes_get_the_same_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            is_as_strict_as_a_tree(&bytes);
        }

        #[test]
        fn numbers_get_the_same_answer(number in "-?[0-9]{0,3}(0{0,20})[.eE+-]?[0-9]{0,2}") {
            is_as_strict_as_a_tree(format!(r#"{{"a":{number}}}"#).as_bytes());
            is_as_strict_as_a_tree(format!(r#"{{"x":[ {number} ]}}"#).as_bytes());
        }

        #[test]
        fn texts_get_the_same_answer(text in r#"[a-z\"\\\x00-\x20\x7fé한😀]{0,40}"#, raw in any::<bool>()) {
            let text = if raw { format!("\"{text}\"") } else { Value::from(text).to_string() };
            is_as_strict_as_a_tree(format!(r#"{{"a":{text}, {text} :0}}"#).as_bytes());
        }

        #[test]
        fn json_like_text_gets_the_same_answer(text in r#"\{"a":[\[\]{}:,"ab0-9eE+. \\u-]{0,60}\}"#) {
            is_as_strict_as_a_tree(text.as_bytes());
        }

        #[test]
        fn objects_get_the_same_answer(
            members in proptest::collection::vec(("[ab]{1,2}|repository_[a-c]", r#"1|"a"|\{"a":1,"[ab]":2\}|\["b",\[\]\]"#), 0..6),
        ) {
            let members: Vec<String> = members.iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
            is_as_strict_as_a_tree(format!("{{{}}}", members.join(",")).as_bytes());
        }
    }
}
