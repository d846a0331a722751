//! The claims of a token: which are required, their form, and their times.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Map, Value};

use super::quoted::Quoted;
use super::shape::{audience, subject};
use crate::json::{self, Picked};
use crate::time::Timestamp;

/// No issuer is known to name more than a few.
const MAX_AUDIENCES: usize = 32;

/// How far an issuer's clock may be ahead of ours.
const CLOCK_LEEWAY: Duration = Duration::from_secs(60);

/// Why claims are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimsError {
    /// A required claim is missing.
    Missing(&'static str),
    /// A claim that must be a string is not.
    NotString(&'static str),
    /// A claim that must be a time is not a number from 0 to the end of the year 9999.
    NotTime(&'static str),
    /// `sub` has a form that no policy could name safely.
    Subject(String),
    /// `aud` is neither a string nor an array of 1 to 32 strings.
    Audiences,
    /// One audience has a form that no policy could name safely.
    Audience(String),
    /// `exp` is not after now.
    Expired(Timestamp),
    /// `iat` is more than a minute ahead.
    IssuedInFuture(Timestamp),
    /// `nbf` is more than a minute ahead.
    NotYetValid(Timestamp),
    /// `exp` is not after `iat`.
    ExpiresBeforeIssued,
    /// The time from `iat` to `exp` is longer than the server accepts.
    Lifetime(Duration),
}

impl ClaimsError {
    /// A stable name without any value.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "claim_missing",
            Self::NotString(_) => "claim_not_string",
            Self::NotTime(_) => "claim_not_time",
            Self::Subject(_) => "subject_shape",
            Self::Audiences => "audience_count",
            Self::Audience(_) => "audience_shape",
            Self::Expired(_) => "expired",
            Self::IssuedInFuture(_) => "issued_in_future",
            Self::NotYetValid(_) => "not_yet_valid",
            Self::ExpiresBeforeIssued => "expires_before_issued",
            Self::Lifetime(_) => "lifetime",
        }
    }
}

impl fmt::Display for ClaimsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "the token has no claim `{name}`"),
            Self::NotString(name) => write!(f, "the token's claim `{name}` is not a string"),
            Self::NotTime(name) => {
                write!(f, "the token's claim `{name}` is not a time in seconds since 1970")
            }
            Self::Subject(subject) => {
                write!(
                    f,
                    "the token's subject {} has a character or length that is not allowed",
                    Quoted(subject)
                )
            }
            Self::Audiences => {
                write!(
                    f,
                    "the token's audience is neither a string nor a list of 1 to {MAX_AUDIENCES} strings"
                )
            }
            Self::Audience(audience) => {
                write!(
                    f,
                    "the token's audience {} has a character or length that is not allowed",
                    Quoted(audience)
                )
            }
            Self::Expired(at) => write!(f, "the token expired at `{}`", at.to_rfc3339()),
            Self::IssuedInFuture(at) => {
                write!(f, "the token was issued in the future, at `{}`", at.to_rfc3339())
            }
            Self::NotYetValid(at) => write!(f, "the token is not valid before `{}`", at.to_rfc3339()),
            Self::ExpiresBeforeIssued => f.write_str("the token expires before it was issued"),
            Self::Lifetime(lifetime) => {
                write!(
                    f,
                    "the token's lifetime of `{}` seconds is longer than this server accepts",
                    lifetime.as_secs()
                )
            }
        }
    }
}

impl std::error::Error for ClaimsError {}

/// The claims of a token, well-formed: `iss`, `sub` and `aud` are there and have their shapes. No authority: anybody
/// can make them.
///
/// ```
/// use octo_sts_verifier::oidc::Claims;
/// let object = serde_json::json!({"iss": "https://example.com", "sub": "repo:acme/app", "aud": "sts.example.com"});
/// let claims = Claims::from_object(object.as_object().unwrap().clone())?;
/// assert_eq!(claims.subject(), "repo:acme/app");
/// assert_eq!(claims.audiences(), ["sts.example.com"]);
/// # Ok::<(), octo_sts_verifier::oidc::ClaimsError>(())
/// ```
#[derive(Clone)]
pub struct Claims {
    issuer: String,
    subject: String,
    audiences: Vec<String>,
    /// All of them as text, where that is what they come from.
    text: Vec<u8>,
    /// All of them, once somebody has asked for more than the three above.
    all: OnceLock<Map<String, Value>>,
}

impl Claims {
    /// Reads the claims. Times are not checked here; [`super::verify`] decides whether a token is valid now.
    ///
    /// # Errors
    /// If `iss`, `sub` or `aud` is missing or malformed.
    pub fn from_object(all: Map<String, Value>) -> Result<Self, ClaimsError> {
        let claims = Self::of(Registered::of_object(&all))?;
        Ok(Self { all: OnceLock::from(all), ..claims })
    }

    /// Reads the claims of a JSON object's text; text that is no object has none.
    ///
    /// # Errors
    /// As [`Claims::from_object`].
    pub fn from_text(text: Vec<u8>) -> Result<Self, ClaimsError> {
        let ReadClaims { text, registered } = ReadClaims::of_text(text);
        let claims = Self::of(registered)?;
        Ok(Self { text, ..claims })
    }

    fn of(registered: Registered<'_>) -> Result<Self, ClaimsError> {
        let issuer = required_text(registered.iss, "iss")?.into_owned();
        let subject = subject(required_text(registered.sub, "sub")?)?;
        let audiences = match registered.aud {
            None => return Err(ClaimsError::Missing("aud")),
            Some(Picked::Text(text)) => vec![audience(text)?],
            Some(Picked::List(list)) if (1..=MAX_AUDIENCES).contains(&list.len()) => list
                .into_iter()
                .map(|element| element.into_text().ok_or(ClaimsError::Audiences).and_then(audience))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(ClaimsError::Audiences),
        };
        Ok(Self { issuer, subject, audiences, text: Vec::new(), all: OnceLock::new() })
    }

    /// `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// `aud`, as a list even if the token has a single string.
    #[must_use]
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Any claim by its exact name.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.all().get(name)
    }

    /// `iat`.
    ///
    /// # Errors
    /// When it is missing or not a time.
    pub fn issued_at(&self) -> Result<Timestamp, ClaimsError> {
        let [issued_at] = self.picked(["iat"]);
        numeric_date(issued_at.as_ref(), "iat")
    }

    /// The claims of these names, where they are text. While nobody has asked for all claims, they are looked for in the
    /// token's text, which costs a fraction of reading it.
    #[must_use]
    pub fn texts<const N: usize>(&self, names: [&str; N]) -> [Option<Cow<'_, str>>; N] {
        self.picked(names).map(|claim| claim.and_then(Picked::into_text))
    }

    fn picked<const N: usize>(&self, names: [&str; N]) -> [Option<Picked<'_>>; N] {
        match self.all.get() {
            Some(all) => names.map(|name| all.get(name).map(Picked::from)),
            None => json::pick(&self.text, names).unwrap_or([const { None }; N]),
        }
    }

    /// All claims. They are read from the token's text the first time that somebody asks: a server that looks at the
    /// subject alone pays for nothing else.
    #[must_use]
    pub fn all(&self) -> &Map<String, Value> {
        // The text was read before, as strictly; what is no object has no claim.
        self.all.get_or_init(|| json::parse_object(&self.text, json::MAX_DEPTH).unwrap_or_default())
    }
}

impl PartialEq for Claims {
    fn eq(&self, other: &Self) -> bool {
        // The others are made of these.
        self.all() == other.all()
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claims").field(self.all()).finish()
    }
}

/// The claims of RFC 7519 that every token is judged by.
#[derive(Debug, Default)]
struct Registered<'a> {
    iss: Option<Picked<'a>>,
    sub: Option<Picked<'a>>,
    aud: Option<Picked<'a>>,
    exp: Option<Picked<'a>>,
    iat: Option<Picked<'a>>,
    nbf: Option<Picked<'a>>,
}

const REGISTERED: [&str; 6] = ["iss", "sub", "aud", "exp", "iat", "nbf"];

impl<'a> Registered<'a> {
    fn new([iss, sub, aud, exp, iat, nbf]: [Option<Picked<'a>>; 6]) -> Self {
        Self { iss, sub, aud, exp, iat, nbf }
    }

    fn of_object(all: &'a Map<String, Value>) -> Self {
        Self::new(REGISTERED.map(|name| all.get(name).map(Picked::from)))
    }
}

/// Claims that are read, and that nobody has signed: their text, and those that every token is judged by.
pub(super) struct ReadClaims {
    text: Vec<u8>,
    registered: Registered<'static>,
}

impl ReadClaims {
    /// What is read of them.
    pub(super) const NAMES: [&'static str; 6] = REGISTERED;

    /// The text, and what was read of it.
    pub(super) fn new(text: Vec<u8>, claims: [Option<Picked<'static>>; 6]) -> Self {
        Self { text, registered: Registered::new(claims) }
    }

    /// Reads them. What is not JSON has no claims.
    pub(super) fn of_text(text: Vec<u8>) -> Self {
        let claims = json::pick(&text, REGISTERED).unwrap_or_default();
        let claims = claims.map(|claim| claim.map(Picked::into_owned));
        Self::new(text, claims)
    }

    pub(super) fn issuer(&self) -> Result<&str, ClaimsError> {
        let issuer = self.registered.iss.as_ref().ok_or(ClaimsError::Missing("iss"))?;
        issuer.as_text().ok_or(ClaimsError::NotString("iss"))
    }

    pub(super) fn expires_at(&self) -> Result<Timestamp, ClaimsError> {
        numeric_date(self.registered.exp.as_ref(), "exp")
    }

    /// The claims, if they have their shapes and are valid now.
    pub(super) fn valid(self, max_lifetime: Duration, now: Timestamp) -> Result<Claims, ClaimsError> {
        let times = check_times(&self.registered, max_lifetime, now);
        let claims = Claims::of(self.registered)?;
        times.map(|()| Claims { text: self.text, ..claims })
    }
}

fn required_text<'a>(claim: Option<Picked<'a>>, name: &'static str) -> Result<Cow<'a, str>, ClaimsError> {
    claim.ok_or(ClaimsError::Missing(name))?.into_text().ok_or(ClaimsError::NotString(name))
}

/// A required time (RFC 7519, `NumericDate`: seconds, possibly with a fraction).
fn numeric_date(claim: Option<&Picked<'_>>, name: &'static str) -> Result<Timestamp, ClaimsError> {
    let number = match claim {
        None => return Err(ClaimsError::Missing(name)),
        Some(Picked::Number(number)) => number,
        Some(_) => return Err(ClaimsError::NotTime(name)),
    };
    let moment = match number.as_i64() {
        Some(seconds) if seconds >= 0 => Timestamp::from_unix_seconds(seconds),
        Some(_) => None,
        // A fraction, or a number beyond `i64`. This conversion refuses what is negative, not finite or too large.
        None => number
            .as_f64()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|since_epoch| i64::try_from(since_epoch.as_millis()).ok())
            .and_then(Timestamp::from_unix_millis),
    };
    moment.ok_or(ClaimsError::NotTime(name))
}

/// Whether a token with these claims is valid now.
fn check_times(claims: &Registered<'_>, max_lifetime: Duration, now: Timestamp) -> Result<(), ClaimsError> {
    let expires_at = numeric_date(claims.exp.as_ref(), "exp")?;
    let issued_at = numeric_date(claims.iat.as_ref(), "iat")?;
    // No leeway here: the issuer has long since replaced an expired token.
    if expires_at <= now {
        return Err(ClaimsError::Expired(expires_at));
    }
    if issued_at > now.plus(CLOCK_LEEWAY) {
        return Err(ClaimsError::IssuedInFuture(issued_at));
    }
    if claims.nbf.is_some() {
        let not_before = numeric_date(claims.nbf.as_ref(), "nbf")?;
        if not_before > now.plus(CLOCK_LEEWAY) {
            return Err(ClaimsError::NotYetValid(not_before));
        }
    }
    if expires_at <= issued_at {
        return Err(ClaimsError::ExpiresBeforeIssued);
    }
    let lifetime = expires_at.since(issued_at);
    if lifetime > max_lifetime {
        return Err(ClaimsError::Lifetime(lifetime));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::shape::{AudienceShape, SubjectShape};
    use super::*;

    fn cases(text: &str) -> Vec<(String, String, bool)> {
        let table: Value = serde_json::from_str(text).unwrap();
        let case = |case: &Value| {
            let text = |name: &str| case[name].as_str().unwrap().to_owned();
            (text("name"), text("input"), case["expected"].as_bool().unwrap())
        };
        table["cases"].as_array().unwrap().iter().map(case).collect()
    }

    fn claims(object: Value) -> Result<Claims, ClaimsError> {
        let Value::Object(map) = object else { panic!("an object") };
        Claims::from_object(map)
    }

    #[test]
    fn the_go_services_subject_cases_hold() {
        let cases = cases(include_str!("../../../../tests/data/cases/oidcvalidate-subject.json"));
        assert_eq!(cases.len(), 29);
        for (name, input, expected) in cases {
            assert_eq!(input.parse::<SubjectShape>().is_ok(), expected, "{name}");
        }
    }

    #[test]
    fn the_go_services_audience_cases_hold() {
        let cases = cases(include_str!("../../../../tests/data/cases/oidcvalidate-audience.json"));
        assert_eq!(cases.len(), 12);
        for (name, input, expected) in cases {
            assert_eq!(input.parse::<AudienceShape>().is_ok(), expected, "{name}");
        }
    }

    #[test]
    fn shapes_are_of_255_characters_that_print() {
        for good in [
            "a",
            "|",
            "repo:acme/app:ref:refs/heads/main",
            "a~!#%^*?,=+",
            "ü",
            "e\u{301}",
            "한글",
            "\u{fffd}",
        ] {
            assert_eq!(good.parse::<SubjectShape>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            " ",
            "a b",
            "a\u{7f}",
            "a\u{80}",
            "a\u{a0}",
            "a\u{ad}",
            "a\u{200b}",
            "a\u{202e}",
            "a\u{2028}",
            "a\u{3000}",
            "a\u{feff}",
            "a\u{e000}",
            "a\u{e0041}",
            "a\u{ffff}",
            "a&b",
            "a$b",
            "a(b",
            "a)b",
            "a`b",
            "a\\b",
        ] {
            assert!(bad.parse::<SubjectShape>().is_err(), "{bad:?}");
            assert!(bad.parse::<AudienceShape>().is_err(), "{bad:?}");
        }
        for shape in ["a@b", "a|b"] {
            assert!(shape.parse::<SubjectShape>().is_ok(), "{shape}");
            assert!(shape.parse::<AudienceShape>().is_err(), "{shape}");
        }
        assert!("ü".repeat(255).parse::<SubjectShape>().is_ok());
        assert!("ü".repeat(256).parse::<SubjectShape>().is_err());
        assert!("a".repeat(255).parse::<AudienceShape>().is_ok());
        assert!("a".repeat(256).parse::<AudienceShape>().is_err());
    }

    #[test]
    fn claims_can_be_read_by_name() {
        let claims =
            claims(json!({"iss": "i", "sub": "s", "aud": ["a", "b"], "ref": "main", "n": 1})).unwrap();
        assert_eq!((claims.issuer(), claims.subject()), ("i", "s"));
        assert_eq!(claims.audiences(), ["a", "b"]);
        assert_eq!(claims.claim("ref"), Some(&json!("main")));
        assert_eq!(claims.claim("Ref"), None);
        assert_eq!(claims.all().len(), 5);
    }

    #[test]
    fn audiences_are_1_to_32_texts() {
        let with = |aud: Value| claims(json!({"iss": "i", "sub": "s", "aud": aud}));
        assert_eq!(with(json!("a")).unwrap().audiences(), ["a"]);
        assert_eq!(with(json!(vec!["a"; 32])).unwrap().audiences().len(), 32);
        for aud in [
            json!([]),
            json!(vec!["a"; 33]),
            json!(["a", 1]),
            json!([["a"]]),
            json!(1),
            json!(null),
            json!({}),
        ] {
            assert_eq!(with(aud.clone()), Err(ClaimsError::Audiences), "{aud}");
        }
        for aud in [json!(""), json!(["a", ""]), json!(["a b", "a"])] {
            assert!(
                matches!(with(aud.clone()), Err(ClaimsError::Audience(_))),
                "one bad audience spoils it: {aud}"
            );
        }
    }

    #[test]
    fn times_are_numbers_of_our_calendar() {
        let read = |number: &str| {
            let text = format!("{{\"exp\":{number}}}");
            let [exp] = json::pick(text.as_bytes(), ["exp"]).unwrap();
            numeric_date(exp.as_ref(), "exp").map(Timestamp::unix_millis)
        };
        assert_eq!(read("0"), Ok(0));
        assert_eq!(read("1795197600"), Ok(1_795_197_600_000));
        assert_eq!(read("1795197600.5"), Ok(1_795_197_600_500));
        assert_eq!(read("1.7951976e9"), Ok(1_795_197_600_000));
        assert_eq!(read("253402300799"), Ok(253_402_300_799_000));
        for bad in [
            "-1",
            "-0.5",
            "253402300800",
            "9223372036854775807",
            "18446744073709551615",
            "1e19",
            "1e300",
            "-1e300",
            "\"1795197600\"",
            "null",
            "true",
            "[1]",
            "{}",
        ] {
            assert_eq!(read(bad), Err(ClaimsError::NotTime("exp")), "{bad}");
        }
        assert_eq!(numeric_date(None, "exp"), Err(ClaimsError::Missing("exp")));
    }

    #[test]
    fn validity_has_inclusive_bounds_and_no_leeway_for_the_end() {
        const NOW: i64 = 1_795_197_600;
        let now = Timestamp::from_unix_seconds(NOW).unwrap();
        let moment = |seconds: i64| Timestamp::from_unix_seconds(NOW + seconds).unwrap();
        let check = |iat: i64, nbf: Option<i64>, exp: i64| {
            let mut map = Map::new();
            map.insert("iat".to_owned(), (NOW + iat).into());
            map.insert("exp".to_owned(), (NOW + exp).into());
            if let Some(nbf) = nbf {
                map.insert("nbf".to_owned(), (NOW + nbf).into());
            }
            check_times(&Registered::of_object(&map), Duration::from_secs(3600), now)
        };
        assert_eq!(check(-10, None, 1), Ok(()));
        assert_eq!(check(-10, None, 0), Err(ClaimsError::Expired(now)));
        assert_eq!(check(-10, None, -1), Err(ClaimsError::Expired(moment(-1))));
        assert_eq!(check(60, None, 300), Ok(()));
        assert_eq!(check(61, None, 300), Err(ClaimsError::IssuedInFuture(moment(61))));
        assert_eq!(check(0, Some(60), 300), Ok(()));
        assert_eq!(check(0, Some(61), 300), Err(ClaimsError::NotYetValid(moment(61))));
        assert_eq!(check(0, Some(-100_000), 300), Ok(()));
        assert_eq!(check(60, None, 60), Err(ClaimsError::ExpiresBeforeIssued));
        assert_eq!(check(60, None, 59), Err(ClaimsError::ExpiresBeforeIssued));
        assert_eq!(check(0, None, 3600), Ok(()));
        assert_eq!(check(0, None, 3601), Err(ClaimsError::Lifetime(Duration::from_secs(3601))));
        assert_eq!(check(-3000, None, 601), Err(ClaimsError::Lifetime(Duration::from_secs(3601))));
    }

    #[test]
    fn messages_are_one_lower_case_line_without_a_period() {
        let moment = Timestamp::from_unix_seconds(0).unwrap();
        let messages = [
            ClaimsError::Missing("sub"),
            ClaimsError::NotString("iss"),
            ClaimsError::NotTime("exp"),
            ClaimsError::Subject("a\nb".to_owned()),
            ClaimsError::Audiences,
            ClaimsError::Audience("a b".to_owned()),
            ClaimsError::Expired(moment),
            ClaimsError::IssuedInFuture(moment),
            ClaimsError::NotYetValid(moment),
            ClaimsError::ExpiresBeforeIssued,
            ClaimsError::Lifetime(Duration::from_secs(90_000)),
        ]
        .map(|error| error.to_string());
        insta::assert_snapshot!(messages.join("\n"), @r"
        the token has no claim `sub`
        the token's claim `iss` is not a string
        the token's claim `exp` is not a time in seconds since 1970
        the token's subject `a\nb` has a character or length that is not allowed
        the token's audience is neither a string nor a list of 1 to 32 strings
        the token's audience `a b` has a character or length that is not allowed
        the token expired at `1970-01-01T00:00:00.000Z`
        the token was issued in the future, at `1970-01-01T00:00:00.000Z`
        the token is not valid before `1970-01-01T00:00:00.000Z`
        the token expires before it was issued
        the token's lifetime of `90000` seconds is longer than this server accepts
        ");
    }

    proptest! {
        #[test]
        fn any_number_is_a_time_or_is_not(number in any::<f64>()) {
            if let Ok(moment) = numeric_date(Some(&Picked::from(&Value::from(number))), "exp") {
                prop_assert!(number >= 0.0 || number == 0.0);
                prop_assert!(moment.unix_seconds() <= 253_402_300_799);
            }
        }

        #[test]
        fn a_shape_that_passes_prints_on_one_line(text in any::<String>()) {
            if let Ok(shape) = text.parse::<SubjectShape>() {
                prop_assert_eq!(Quoted(shape.as_str()).to_string(), format!("`{text}`"));
                prop_assert!(!text.contains(char::is_whitespace) && !text.contains(char::is_control));
            }
        }
    }

    proptest! {
        /// Found in the text or in the tree, a claim is the same.
        #[test]
        fn texts_are_what_the_tree_has(
            value in prop_oneof![
                "(?s).{0,8}".prop_map(Value::from),
                any::<i64>().prop_map(Value::from),
                Just(Value::Null),
                Just(json!(["a"])),
                Just(json!({ "run_id": "inner" })),
            ],
            extra in "x[a-z_]{0,5}",
        ) {
            let object = json!({
                "iss": "https://a.example.com", "sub": "s", "aud": "a", extra: { "run_id": "nested" }, "run_id": value,
            });
            let tree = claims(object.clone()).unwrap();
            prop_assert!(!tree.all().is_empty());
            let text = Claims::from_text(object.to_string().into_bytes()).unwrap();
            let names = ["run_id", "iss", "missing"];
            let expected = names.map(|name| object.get(name).and_then(Value::as_str).map(str::to_owned));
            prop_assert_eq!(text.texts(names).map(|text| text.map(Cow::into_owned)), expected.clone());
            prop_assert_eq!(tree.texts(names).map(|text| text.map(Cow::into_owned)), expected);
        }
    }
}
