//! The texts of a budget: what an ask, a verdict and a state are written as, and read from. Each has one spelling.

use std::fmt;

use serde_json::Value;

use super::{Ask, State, Verdict, Wish};
use crate::json::{Shape, Unfit, read_members};
use crate::time::Timestamp;

impl State {
    pub(super) fn parse(text: &str) -> Result<Self, Unfit> {
        Self::parse_as_written(text).map_or_else(|| read_members(text.as_bytes(), Shape::ALL), Ok)
    }

    /// Reads what [`State::to_text`] writes while nothing is revoked, at a tenth of what the reader of JSON costs: it is
    /// read and written with each request. `None` for anything else.
    pub(super) fn parse_as_written(text: &str) -> Option<Self> {
        let mut rest = Rest(text);
        rest.over(r#"{"asked":"#)?;
        let asked = rest.moment()?;
        rest.over(r#","latest":"#)?;
        let latest = rest.moment()?;
        rest.over(r#","revoked":[],"run":"#)?;
        let is_run = rest.one_of([("true", true), ("false", false)])?;
        rest.over(r#","second":["#)?;
        let second = rest.number()?;
        rest.over(",")?;
        let let_through = rest.count()?;
        rest.over(r#"],"used":"#)?;
        let used = rest.count()?;
        rest.over("}")?;
        let state = Self { is_run, used, second: (second, let_through), asked, latest, revoked: Vec::new() };
        rest.0.is_empty().then_some(state)
    }

    /// What is stored: JSON, with its members in order.
    pub(super) fn to_text(&self) -> String {
        let Self { is_run, used, second: (second, let_through), asked, latest, .. } = self;
        let (asked, latest, revoked) = (asked.unix_millis(), latest.unix_millis(), Revoked(&self.revoked));
        format!(
            concat!(
                r#"{{"asked":{asked},"latest":{latest},"revoked":[{revoked}],"run":{is_run},"#,
                r#""second":[{second},{let_through}],"used":{used}}}"#
            ),
            asked = asked,
            latest = latest,
            revoked = revoked,
            is_run = is_run,
            second = second,
            let_through = let_through,
            used = used,
        )
    }
}

struct Revoked<'a>(&'a [(String, Timestamp)]);

impl fmt::Display for Revoked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (token, until)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}[{},{}]", Value::from(token.as_str()), until.unix_millis())?;
        }
        Ok(())
    }
}

/// Words for [`Ask::is_run`].
const WHOSE: [(&str, bool); 2] = [("run", true), ("token", false)];

impl Ask {
    /// The text sent to the object, which stays the same in an address and in a header: words with dots between them.
    ///
    /// | wish | text |
    /// | --- | --- |
    /// | a request | `take.run.1795194300000.200.2.6113…` |
    /// | a revocation, a session | `revoke.run.1795194300000.6113…`, `session.…` |
    ///
    /// The second word says whose the budget is (`run`, `token`); then come the last moment in milliseconds, the limits
    /// of a request, and the fingerprint.
    #[must_use]
    pub fn to_text(&self) -> String {
        let (whose, until, token) =
            (if self.is_run { "run" } else { "token" }, self.usable_until.unix_millis(), &self.token);
        match self.wish {
            Wish::Take { max_requests, requests_per_second } => {
                format!("take.{whose}.{until}.{max_requests}.{requests_per_second}.{token}")
            }
            Wish::Revoke => format!("revoke.{whose}.{until}.{token}"),
            Wish::Session => format!("session.{whose}.{until}.{token}"),
        }
    }

    /// Reads what [`Ask::to_text`] writes.
    ///
    /// # Errors
    /// [`Unfit`] for anything else.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        Self::parse_words(Rest(text)).ok_or(Unfit)
    }

    fn parse_words(mut rest: Rest<'_>) -> Option<Self> {
        let words = [("take.", None), ("revoke.", Some(Wish::Revoke)), ("session.", Some(Wish::Session))];
        let wish = rest.one_of(words)?;
        let is_run = rest.one_of(WHOSE)?;
        rest.over(".")?;
        let usable_until = rest.moment()?;
        rest.over(".")?;
        let wish = if let Some(wish) = wish {
            wish
        } else {
            let max_requests = rest.count()?;
            rest.over(".")?;
            let requests_per_second = rest.count()?;
            rest.over(".")?;
            Wish::Take { max_requests, requests_per_second }
        };
        let token = rest.0;
        let is_fingerprint =
            !token.is_empty() && token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_fingerprint.then(|| Self { is_run, token: token.to_owned(), usable_until, wish })
    }
}

/// Verdicts without a number.
pub(super) const VERDICTS: [(&str, Verdict); 6] = [
    ("exhausted", Verdict::Exhausted),
    ("too_fast", Verdict::TooFast),
    ("revoked", Verdict::Revoked),
    ("over", Verdict::Over),
    ("noted", Verdict::Noted),
    ("full", Verdict::Full),
];

impl Verdict {
    /// What the object answers: a word, or `taken 199`.
    #[must_use]
    pub fn to_text(self) -> String {
        let word = match self {
            Self::Taken { remaining } => return format!("taken {remaining}"),
            Self::Exhausted => "exhausted",
            Self::TooFast => "too_fast",
            Self::Revoked => "revoked",
            Self::Over => "over",
            Self::Noted => "noted",
            Self::Full => "full",
        };
        word.to_owned()
    }

    /// Reads what [`Verdict::to_text`] writes.
    ///
    /// # Errors
    /// [`Unfit`] for anything else.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let mut rest = Rest(text);
        if rest.over("taken ").is_none() {
            let known = VERDICTS.into_iter().find(|(word, _)| *word == text);
            return known.map(|(_, verdict)| verdict).ok_or(Unfit);
        }
        let remaining = rest.count().filter(|_| rest.0.is_empty()).ok_or(Unfit)?;
        Ok(Self::Taken { remaining })
    }
}

/// What is left to read of a text that has one spelling.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    /// Steps over this text.
    fn over(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    /// Steps over one of these texts, and says which.
    fn one_of<T, const N: usize>(&mut self, texts: [(&str, T); N]) -> Option<T> {
        texts.into_iter().find_map(|(text, meaning)| self.over(text).map(|()| meaning))
    }

    /// A whole number, without a sign that changes nothing and without leading zeros.
    fn number(&mut self) -> Option<i64> {
        let unsigned = self.0.strip_prefix('-').unwrap_or(self.0);
        let length = unsigned.bytes().take_while(u8::is_ascii_digit).count();
        let is_negative = unsigned.len() < self.0.len();
        if unsigned.starts_with('0') && (length > 1 || is_negative) {
            return None;
        }
        let (number, rest) = self.0.split_at_checked(usize::from(is_negative) + length)?;
        self.0 = rest;
        number.parse().ok()
    }

    fn count(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    /// Milliseconds since the Unix epoch.
    fn moment(&mut self) -> Option<Timestamp> {
        Timestamp::from_unix_millis(self.number()?)
    }
}
