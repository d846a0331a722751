//! The budget of a run or a subject token at one upstream, as a pure state machine: the asks, the verdicts, and what is
//! stored for how long. The caller provides the stored text, the clock and the atomicity: in the Worker a Durable
//! Object for each budget (`cloudflare/proxy_budget.rs`), in tests a map.
//!
//! Everything about one subject token is in one object: its requests, those of its sessions, its revocation.

mod text;

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::config::BudgetPer;
use crate::json::Unfit;
use crate::oidc::Claims;
use crate::time::Timestamp;

/// How much longer than its tokens a budget is stored. This covers the difference between two clocks. Beyond it the
/// object refuses, so no budget is ever deleted and then used again.
const LEEWAY: Duration = Duration::from_secs(60);

/// A job may request new tokens as often as it likes, so a run's budget outlives the tokens seen so far.
const RUN_IS_REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// A refusal changes only the time of the last ask, which is written at most once in this time.
const ASKED_GRANULARITY: Duration = Duration::from_secs(60);

/// Each is a subject token of one run that somebody revoked although it was still valid.
const MAX_REVOKED: usize = 1024;

/// The claims that identify a workflow run, in addition to `iss`.
const RUN_CLAIMS: [&str; 3] = ["repository_id", "run_id", "run_attempt"];

/// Which budget counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetName {
    object: String,
    is_run: bool,
}

impl BudgetName {
    /// The budget of a subject token (for a session: of its subject token) at an upstream. `fingerprint` names the
    /// subject token: [`crate::oidc::UnverifiedToken::fingerprint`].
    #[must_use]
    pub fn of(upstream: &str, per: BudgetPer, claims: &Claims, fingerprint: &str) -> Self {
        let run = match per {
            BudgetPer::Run => claims.texts(RUN_CLAIMS),
            BudgetPer::Token => [const { None }; 3],
        };
        match run {
            [Some(repository), Some(run), Some(attempt)] => Self {
                object: object(&[upstream, "run", claims.issuer(), &repository, &run, &attempt]),
                is_run: true,
            },
            [_, _, _] => Self { object: object(&[upstream, "token", fingerprint]), is_run: false },
        }
    }

    /// The object's name: a hash.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.object
    }
}

/// Named by the hash of a list in JSON, in which no part runs into the next one.
fn object(parts: &[&str]) -> String {
    // Texts always serialize.
    hex::encode(Sha256::digest(serde_json::to_string(parts).unwrap_or_default()))
}

/// What an ask is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// One request.
    Take {
        /// In all.
        max_requests: u32,
        /// In one second of the object's clock.
        requests_per_second: u32,
    },
    /// Refuse the subject token and every session of it from now on.
    Revoke,
    /// Start a session of the subject token, which ends at [`Ask::usable_until`].
    Session,
}

/// A wish about a subject token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    is_run: bool,
    /// The subject token's fingerprint: hexadecimal digits.
    pub token: String,
    /// The last moment at which the presented token can be used. If a session begins or is revoked, that of the subject
    /// token or the session, whichever is later.
    pub usable_until: Timestamp,
    /// What for.
    pub wish: Wish,
}

impl Ask {
    /// Sends a wish to a budget.
    #[must_use]
    pub fn new(budget: &BudgetName, token: &str, usable_until: Timestamp, wish: Wish) -> Self {
        Self { is_run: budget.is_run, token: token.to_owned(), usable_until, wish }
    }
}

/// The verdict about a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The request was counted.
    Taken {
        /// How many requests are left.
        remaining: u32,
    },
    /// All requests of the budget are used up.
    Exhausted,
    /// This second's requests are used up.
    TooFast,
    /// The subject token is revoked.
    Revoked,
    /// The token has expired by the object's clock.
    Over,
    /// Yes: the revocation or the session is recorded, or nothing is revoked.
    Noted,
    /// There is no room for another revocation.
    Full,
}

/// A verdict, and what has to be stored before it is returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The answer.
    pub verdict: Verdict,
    /// The new text; `None` where nothing changes.
    pub write: Option<String>,
    /// When the alarm must ring; only with the first text of an object.
    pub alarm: Option<Timestamp>,
}

/// What an alarm does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// Nothing that is stored matters any more.
    Forget,
    /// It is too early.
    RingAgain(Timestamp),
}

/// Decides by what is stored now. Nothing may come between reading `stored` and writing [`Decision::write`]. Linear in
/// the number of revoked tokens, which is bounded.
///
/// # Errors
/// [`Unfit`] if the stored text is not ours: then nobody knows what was counted, and nothing is admitted.
pub fn decide(stored: Option<&str>, ask: &Ask, now: Timestamp) -> Result<Decision, Unfit> {
    if ask.usable_until.plus(LEEWAY) <= now {
        // Its record may already be gone. A revocation changes nothing.
        let verdict = if ask.wish == Wish::Revoke { Verdict::Noted } else { Verdict::Over };
        return Ok(Decision { verdict, write: None, alarm: None });
    }
    let before = stored.map(State::parse).transpose()?;
    let mut after = before.clone().unwrap_or_else(|| State::new(ask, now));
    after.latest = after.latest.max(ask.usable_until);
    if now.since(after.asked) >= ASKED_GRANULARITY {
        after.asked = now;
    }
    let verdict = after.apply(ask, now);
    let write = (before.as_ref() != Some(&after)).then(|| after.to_text());
    let alarm = before.is_none().then(|| after.forgotten_at());
    Ok(Decision { verdict, write, alarm })
}

/// What the alarm of an object does. Unreadable text is kept for the longest possible lifetime of a token.
#[must_use]
pub fn ring(stored: Option<&str>, now: Timestamp) -> Alarm {
    let forgotten_at = match stored.map(State::parse) {
        None => return Alarm::Forget,
        Some(Ok(state)) => state.forgotten_at(),
        Some(Err(Unfit)) => now.plus(RUN_IS_REMEMBERED),
    };
    if forgotten_at <= now { Alarm::Forget } else { Alarm::RingAgain(forgotten_at) }
}

octo_sts_verifier::json_object! {
    /// What an object stores, as one text.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct State {
        is_run: bool => take as "run",
        used: u32 => take,
        /// A second of the object's clock, and how many requests it admitted.
        second: (i64, u32) => take,
        /// When the last ask was, to the minute.
        asked: Timestamp => take,
        /// The last moment at which a token seen so far could be used.
        latest: Timestamp => take,
        /// Revoked subject tokens, and until when each matters.
        revoked: Vec<(String, Timestamp)> => take,
    }
}

impl State {
    fn new(ask: &Ask, now: Timestamp) -> Self {
        Self {
            is_run: ask.is_run,
            used: 0,
            second: (now.unix_seconds(), 0),
            asked: now,
            latest: ask.usable_until,
            revoked: Vec::new(),
        }
    }

    /// Step 13, in its order; a refused request does not count.
    fn apply(&mut self, ask: &Ask, now: Timestamp) -> Verdict {
        let is_revoked = self.revoked.iter().any(|(token, _)| *token == ask.token);
        match ask.wish {
            Wish::Revoke if is_revoked => {
                let latest = self.latest;
                for (token, until) in &mut self.revoked {
                    if *token == ask.token {
                        *until = latest.max(*until);
                    }
                }
                Verdict::Noted
            }
            Wish::Revoke => self.revoke(&ask.token, now),
            Wish::Take { .. } | Wish::Session if is_revoked => Verdict::Revoked,
            Wish::Session => Verdict::Noted,
            Wish::Take { max_requests, requests_per_second } => {
                if self.used >= max_requests {
                    return Verdict::Exhausted;
                }
                // A clock that goes back does not start a new second.
                let (second, let_through) = &mut self.second;
                if now.unix_seconds() > *second {
                    (*second, *let_through) = (now.unix_seconds(), 0);
                }
                if *let_through >= requests_per_second {
                    return Verdict::TooFast;
                }
                self.used = self.used.saturating_add(1);
                *let_through = let_through.saturating_add(1);
                Verdict::Taken { remaining: max_requests.saturating_sub(self.used) }
            }
        }
    }

    /// Until every token seen here has expired, because nobody knows which session belongs to which of them.
    fn revoke(&mut self, token: &str, now: Timestamp) -> Verdict {
        self.revoked.retain(|(_, until)| until.plus(LEEWAY) > now);
        if self.revoked.len() >= MAX_REVOKED {
            return Verdict::Full;
        }
        self.revoked.push((token.to_owned(), self.latest));
        Verdict::Noted
    }

    fn forgotten_at(&self) -> Timestamp {
        let tokens_are_over = self.latest.plus(LEEWAY);
        if self.is_run {
            // The recorded time of the last ask may be up to a minute too early.
            tokens_are_over.max(self.asked.plus(ASKED_GRANULARITY).plus(RUN_IS_REMEMBERED))
        } else {
            tokens_are_over
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::text::VERDICTS;
    use super::*;
    use crate::json::{Shape, ToJson as _, read_members};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).unwrap()
    }

    fn name(per: BudgetPer, claims: &Value) -> BudgetName {
        let mut all =
            json!({"iss": "https://a.example.com", "sub": "s", "aud": "a"}).as_object().unwrap().clone();
        all.extend(claims.as_object().unwrap().clone());
        BudgetName::of("anthropic", per, &Claims::from_object(all).unwrap(), "print")
    }

    fn run() -> Value {
        json!({"repository_id": "1", "run_id": "2", "run_attempt": "1"})
    }

    fn ask(token: &str, until: i64, wish: Wish) -> Ask {
        Ask::new(&name(BudgetPer::Run, &run()), token, at(until), wish)
    }

    const fn take(max_requests: u32, requests_per_second: u32) -> Wish {
        Wish::Take { max_requests, requests_per_second }
    }

    /// An object.
    #[derive(Default)]
    struct Stored(Option<String>, Option<Timestamp>);

    impl Stored {
        fn tell(&mut self, ask: &Ask, now: i64) -> Verdict {
            let travelled = Ask::parse(&ask.to_text()).unwrap();
            assert_eq!(travelled, *ask);
            let decision = decide(self.0.as_deref(), &travelled, at(now)).unwrap();
            assert_eq!(decision.alarm.is_some(), self.0.is_none() && decision.write.is_some());
            self.0 = decision.write.or(self.0.take());
            self.1 = decision.alarm.or(self.1);
            assert_eq!(Verdict::parse(&decision.verdict.to_text()), Ok(decision.verdict));
            decision.verdict
        }
    }

    #[test]
    fn a_run_is_named_by_four_claims_and_else_the_token_counts() {
        let whole = name(BudgetPer::Run, &run());
        assert_eq!(whole.object().len(), 64);
        assert!(whole.is_run);
        for (claim, other) in
            [("repository_id", "9"), ("run_id", "9"), ("run_attempt", "9"), ("iss", "https://b.example.com")]
        {
            let mut changed = run();
            changed[claim] = other.into();
            assert_ne!(name(BudgetPer::Run, &changed), whole, "{claim}");
        }
        for claim in RUN_CLAIMS {
            for odd in [Value::Null, json!(1)] {
                let mut changed = run();
                changed[claim] = odd;
                assert_eq!(name(BudgetPer::Run, &changed), name(BudgetPer::Token, &run()), "{claim}");
            }
        }
        assert!(!name(BudgetPer::Token, &run()).is_run);
        let claims = json!({"iss": "https://a.example.com", "sub": "s", "aud": "a", "repository_id": "1", "run_id": "2", "run_attempt": "1"});
        let claims = Claims::from_object(claims.as_object().unwrap().clone()).unwrap();
        for per in [BudgetPer::Run, BudgetPer::Token] {
            let of = |upstream| BudgetName::of(upstream, per, &claims, "print").object().to_owned();
            assert_ne!(of("anthropic"), of("openai"), "{per:?}");
        }
    }

    #[test]
    fn a_request_is_one_write_and_a_refusal_one_a_minute() {
        let wish = ask("t", 1000, take(1, 1));
        let stored = decide(None, &wish, at(10)).unwrap().write.unwrap();
        let written = |seconds| decide(Some(&stored), &wish, at(seconds)).unwrap().write.is_some();
        assert!(!written(10) && !written(69));
        assert!(written(70), "when it was asked last");
    }

    #[test]
    fn of_several_refusals_the_first_is_told() {
        let mut object = Stored::default();
        object.tell(&ask("a", 1000, take(1, 1)), 10);
        assert_eq!(object.tell(&ask("a", 1000, take(2, 1)), 10), Verdict::TooFast);
        assert_eq!(object.tell(&ask("a", 1000, take(1, 1)), 10), Verdict::Exhausted, "and too fast");
        object.tell(&ask("a", 1000, Wish::Revoke), 10);
        assert_eq!(object.tell(&ask("a", 1000, take(1, 1)), 10), Verdict::Revoked, "and exhausted");
    }

    #[test]
    fn exactly_so_many_requests_are_let_through() {
        let mut object = Stored::default();
        let wish = ask("e", 1000, take(3, 100));
        let verdicts: Vec<Verdict> = (0..5).map(|_| object.tell(&wish, 10)).collect();
        let taken = |remaining| Verdict::Taken { remaining };
        assert_eq!(verdicts, [taken(2), taken(1), taken(0), Verdict::Exhausted, Verdict::Exhausted]);
        // A larger setting lets more through; a smaller one lets nothing through.
        assert_eq!(object.tell(&ask("e", 1000, take(4, 100)), 10), taken(0));
        assert_eq!(object.tell(&ask("e", 1000, take(2, 100)), 11), Verdict::Exhausted);
    }

    #[test]
    fn a_second_has_its_own_limit_and_what_is_refused_is_not_counted() {
        let mut object = Stored::default();
        let wish = ask("e", 1000, take(10, 2));
        assert_eq!(object.tell(&wish, 10), Verdict::Taken { remaining: 9 });
        assert_eq!(object.tell(&wish, 10), Verdict::Taken { remaining: 8 });
        assert_eq!(object.tell(&wish, 10), Verdict::TooFast);
        assert_eq!(object.tell(&wish, 9), Verdict::TooFast, "a clock that goes back");
        assert_eq!(object.tell(&wish, 11), Verdict::Taken { remaining: 7 });
    }

    #[test]
    fn a_revoked_token_is_refused_before_the_budget_is_looked_at() {
        let mut object = Stored::default();
        assert_eq!(object.tell(&ask("a", 1000, take(1, 1)), 10), Verdict::Taken { remaining: 0 });
        assert_eq!(object.tell(&ask("a", 5000, Wish::Session), 10), Verdict::Noted);
        assert_eq!(object.tell(&ask("a", 2000, Wish::Revoke), 10), Verdict::Noted);
        assert_eq!(object.tell(&ask("a", 2000, Wish::Revoke), 11), Verdict::Noted, "idempotent");
        for wish in [take(1, 1), take(9, 9), Wish::Session] {
            // Until its longest session ends, not only the session that revoked it.
            assert_eq!(object.tell(&ask("a", 5000, wish), 4999), Verdict::Revoked);
        }
        assert_eq!(object.tell(&ask("b", 5000, take(2, 1)), 12), Verdict::Taken { remaining: 0 });
    }

    #[test]
    fn revocations_have_a_bound_and_make_room_when_they_are_over() {
        let mut object = Stored::default();
        for index in 0..MAX_REVOKED {
            assert_eq!(object.tell(&ask(&index.to_string(), 1000, Wish::Revoke), 10), Verdict::Noted);
        }
        assert_eq!(object.tell(&ask("beef", 1000, Wish::Revoke), 10), Verdict::Full);
        assert_eq!(object.tell(&ask("beef", 3000, Wish::Revoke), 1060), Verdict::Noted);
    }

    #[test]
    fn a_token_that_may_be_forgotten_is_over() {
        let mut object = Stored::default();
        assert_eq!(object.tell(&ask("a", 1000, take(1, 1)), 1059), Verdict::Taken { remaining: 0 });
        let mut forgotten = Stored::default();
        assert_eq!(forgotten.tell(&ask("a", 1000, take(1, 1)), 1060), Verdict::Over);
        assert_eq!(forgotten.tell(&ask("a", 1000, Wish::Session), 1060), Verdict::Over);
        assert_eq!(forgotten.tell(&ask("a", 1000, Wish::Revoke), 1060), Verdict::Noted);
        assert_eq!(forgotten.0, None);
    }

    #[test]
    fn an_object_is_forgotten_when_nothing_in_it_matters() {
        let day = 24 * 3600;
        let mut run_object = Stored::default();
        run_object.tell(&ask("a", 1000, take(9, 9)), 10);
        assert_eq!(run_object.1, Some(at(10 + 60 + day)));
        run_object.tell(&ask("a", 1000, take(9, 9)), 500);
        let alarm = ring(run_object.0.as_deref(), at(10 + 60 + day));
        assert_eq!(alarm, Alarm::RingAgain(at(500 + 60 + day)));
        assert_eq!(ring(run_object.0.as_deref(), at(500 + 60 + day)), Alarm::Forget);

        let mut long = Stored::default();
        long.tell(&ask("a", 10 * day, Wish::Revoke), 10);
        assert_eq!(long.1, Some(at(10 * day + 60)));

        let per_token = name(BudgetPer::Token, &run());
        let mut token_object = Stored::default();
        token_object.tell(&Ask::new(&per_token, "a", at(1000), take(9, 9)), 10);
        assert_eq!(token_object.1, Some(at(1060)));
        token_object.tell(&Ask::new(&per_token, "a", at(4000), Wish::Session), 20);
        assert_eq!(ring(token_object.0.as_deref(), at(1060)), Alarm::RingAgain(at(4060)));
        assert_eq!(ring(token_object.0.as_deref(), at(4060)), Alarm::Forget);
        assert_eq!(ring(None, at(1)), Alarm::Forget);
        assert_eq!(ring(Some("?"), at(1)), Alarm::RingAgain(at(1 + day)));
    }

    #[test]
    fn a_text_that_is_not_ours_lets_nothing_through() {
        for text in
            ["", "{}", "[]", r#"{"run":true,"used":-1,"second":[1,2],"asked":1,"latest":1,"revoked":[]}"#]
        {
            assert_eq!(decide(Some(text), &ask("a", 1000, take(1, 1)), at(10)), Err(Unfit), "{text}");
        }
        for text in [
            "",
            "{}",
            "give.run.1.a",
            "take",
            "take.run.1.2.3.",
            "take.run.1.2.3.A",
            "take.run.1.2.3.g",
            "take.run.1.2.3.a.",
            "take.run.1.2.3.a b",
            "take.run.1.2.a",
            "take.run.1.2.4294967296.a",
            "take.run.1.2.-3.a",
            "take.run.1.2.+3.a",
            "take.run.1.02.3.a",
            "take.run.-0.2.3.a",
            "take.run.9223372036854775807.2.3.a",
            "take.run.99999999999999999999.2.3.a",
            "take.run..2.3.a",
            "take.job.1.2.3.a",
            "take.run.1.2.3%2Ea",
            " take.run.1.2.3.a",
            "Take.run.1.2.3.a",
            "revoke.run.1.2.3.a",
            "revoke.run.1",
            "session.token.1.a\n",
        ] {
            assert_eq!(Ask::parse(text), Err(Unfit), "{text}");
        }
        for text in [
            "",
            "fine",
            "taken",
            "taken ",
            "taken -1",
            "taken 01",
            "taken 1 ",
            "taken 1b",
            "taken 4294967296",
            "over ",
            "Over",
            "\"over\"",
            r#"{"taken":1}"#,
        ] {
            assert_eq!(Verdict::parse(text), Err(Unfit), "{text}");
        }
    }

    #[test]
    fn what_travels_is_plain() {
        let token = name(BudgetPer::Token, &run());
        for (ask, text) in [
            (ask("0a", 1, take(200, 2)), "take.run.1000.200.2.0a"),
            (ask("0a", -1, Wish::Revoke), "revoke.run.-1000.0a"),
            (Ask::new(&token, "0a", at(0), Wish::Session), "session.token.0.0a"),
        ] {
            assert_eq!(ask.to_text(), text);
            assert_eq!(Ask::parse(text), Ok(ask));
        }
        assert_eq!(Verdict::Taken { remaining: 199 }.to_text(), "taken 199");
        for (text, verdict) in VERDICTS {
            assert_eq!((verdict.to_text().as_str(), Verdict::parse(text)), (text, Ok(verdict)));
        }
    }

    /// Objects are found by what an earlier version called them.
    #[test]
    fn an_object_keeps_its_name() {
        let hash = |parts: Value| hex::encode(Sha256::digest(parts.to_string()));
        let issuer = "https://a.example.com";
        let mut claims = run();
        claims["run_id"] = json!("\"2\\\u{e9}\n");
        let parts = json!(["anthropic", "run", issuer, "1", "\"2\\\u{e9}\n", "1"]);
        assert_eq!(name(BudgetPer::Run, &claims).object(), hash(parts));
        assert_eq!(name(BudgetPer::Token, &claims).object(), hash(json!(["anthropic", "token", "print"])));
    }

    /// Objects have states that an earlier version wrote.
    #[test]
    fn a_state_is_written_as_it_always_was() {
        let read = |text: &str| State::parse(text).map(|state| state.to_text());
        for text in [
            r#"{"asked":1795194000000,"latest":1795194300000,"revoked":[],"run":true,"second":[1795194000,3],"used":17}"#,
            r#"{"asked":0,"latest":-1,"revoked":[["a",1],["b",-2]],"run":false,"second":[-5,0],"used":4294967295}"#,
        ] {
            assert_eq!(read(text).as_deref(), Ok(text));
        }
        let good = r#"{"asked":0,"latest":1,"revoked":[["a",1]],"run":true,"second":[1,2],"used":3}"#;
        assert_eq!(read(good).as_deref(), Ok(good));
        for (part, other) in [
            (r#""asked":0,"#, ""),
            (r#""asked":0"#, r#""asked":9223372036854775807"#),
            (r#""latest":1"#, r#""latest":null"#),
            (r#"["a",1]"#, r#"["a"]"#),
            (r#"["a",1]"#, r#"["a",9223372036854775807]"#),
            ("true", "1"),
            ("[1,2]", "[1,-2]"),
            ("[1,2]", "[1,4294967296]"),
            ("[1,2]", "[1,2,3]"),
            (r#""used":3"#, r#""used":4294967296"#),
        ] {
            let text = good.replace(part, other);
            assert_eq!(read(&text), Err(Unfit), "{text}");
        }
    }

    proptest! {
        /// Whatever the requests and their order, an object lets through no more than its budget.
        #[test]
        fn no_more_than_the_budget_is_let_through(
            max in 1..8_u32,
            rate in 1..4_u32,
            steps in prop::collection::vec((0..3_usize, 0..2_i64, 0..5_u32), 0..60),
        ) {
            let mut object = Stored::default();
            let (mut now, mut taken, mut in_second) = (10, 0, 0);
            for (who, later, what) in steps {
                now += later;
                in_second = if later > 0 { 0 } else { in_second };
                let wish = if what == 0 { Wish::Session } else { take(max, rate) };
                match object.tell(&ask(["a", "b", "c"][who], 1000, wish), now) {
                    Verdict::Taken { remaining } => {
                        taken += 1;
                        in_second += 1;
                        prop_assert_eq!(remaining, max - taken);
                    }
                    Verdict::Exhausted => prop_assert_eq!(taken, max),
                    Verdict::TooFast => prop_assert_eq!(in_second, rate),
                    other @ (Verdict::Noted | Verdict::Revoked | Verdict::Over | Verdict::Full) => {
                        prop_assert_eq!(other, Verdict::Noted);
                    }
                }
                prop_assert!(taken <= max && in_second <= rate);
            }
        }

        /// A state has one text, whoever writes and reads it.
        #[test]
        fn a_state_is_the_json_that_it_is_described_as(
            (is_run, used, second, let_through) in (any::<bool>(), any::<u32>(), any::<i64>(), any::<u32>()),
            (asked, latest) in (-9_999_999_999_i64..9_999_999_999, 0..9_999_999_999_i64),
            revoked in prop::collection::vec((".{0,4}", 0..9_999_999_999_i64), 0..3),
        ) {
            let revoked = revoked.into_iter().map(|(token, until)| (token, at(until))).collect();
            let state =
                State { is_run, used, second: (second, let_through), asked: at(asked), latest: at(latest), revoked };
            let text = state.to_text();
            prop_assert_eq!(&text, &state.to_json().to_string());
            prop_assert_eq!(State::parse_as_written(&text).is_some(), state.revoked.is_empty());
            prop_assert_eq!(State::parse(&text), Ok(state));
        }

        /// What is read without the reader of JSON, that reads in the same way.
        #[test]
        fn an_altered_state_is_read_by_the_rules_of_json(
            at in 0..110_usize, cut in 0..3_usize, more in r#"[-+0-9.,{}\[\]" ea]{0,2}"#,
        ) {
            let text = r#"{"asked":1795194000000,"latest":1795194300000,"revoked":[],"run":true,"second":[1795194000,3],"used":17}"#;
            let mut altered = text.to_owned();
            let at = at.min(text.len());
            altered.replace_range(at..(at + cut).min(text.len()), &more);
            if let Some(state) = State::parse_as_written(&altered) {
                prop_assert_eq!(read_members(altered.as_bytes(), Shape::ALL), Ok(state));
            }
        }

        #[test]
        fn an_ask_arrives_as_it_left(
            is_run: bool, token in "[0-9a-f]{1,64}", until in -62_135_596_800_000_i64..253_402_300_799_999,
            (max_requests, requests_per_second) in any::<(u32, u32)>(), what in 0..3_u32, remaining: u32,
        ) {
            let wish = match what {
                0 => take(max_requests, requests_per_second),
                1 => Wish::Revoke,
                _ => Wish::Session,
            };
            let usable_until = Timestamp::from_unix_millis(until).unwrap();
            let ask = Ask { is_run, token, usable_until, wish };
            let text = ask.to_text();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')));
            prop_assert_eq!(Ask::parse(&text), Ok(ask));
            let verdict = Verdict::Taken { remaining };
            prop_assert_eq!(Verdict::parse(&verdict.to_text()), Ok(verdict));
        }

        #[test]
        fn an_altered_ask_is_another_one_or_none(
            at in 0..50_usize, cut in 0..3_usize, more in r"[-+0-9a-g.%A]{0,2}",
        ) {
            let mut text = ask("6113728f27ae", 1_795_194, take(200, 2)).to_text();
            let at = at.min(text.len());
            text.replace_range(at..(at + cut).min(text.len()), &more);
            if let Ok(ask) = Ask::parse(&text) {
                prop_assert_eq!(ask.to_text(), text);
            }
        }

        #[test]
        fn any_text_gets_an_answer(text in ".{0,80}") {
            let _ask = Ask::parse(&text);
            let _verdict = Verdict::parse(&text);
            let _alarm = ring(Some(&text), at(1));
        }
    }
}
