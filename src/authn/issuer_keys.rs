//! Step 6: an issuer's keys from memory, KV or the issuer, with cool-downs, so that invented tokens do not each cause a
//! request to an issuer.

use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::authn::Authn;
use crate::cache::{Entry, Fact, Found, Key, Lifetime};
use crate::config::AuthnConfig;
use crate::context::Context;
use crate::jose::JwkSet;
use crate::json::ToJson as _;
use crate::oidc::{COOL_DOWN, FetchOutcome, FetchedKeys, Issuer, KeysAge, KeysError, fetch_keys, fresh_for};
use crate::ports::Level;
use crate::problem::Problem;
use crate::time::Timestamp;

/// How long an issuer that once gave usable keys counts as known good, however old those keys are.
const KNOWN_GOOD_FOR: Duration = Duration::from_secs(30 * 86_400);

/// The longest fetch: two documents, two tries each, five seconds per try.
const LONGEST_FETCH: Duration = Duration::from_secs(20);

/// The `Retry-After` while another request fetches.
const SOON: Duration = Duration::from_secs(1);

/// What is known about an issuer's keys.
#[derive(Debug)]
pub(super) struct IssuerKeys {
    known: Option<Known>,
    attempt: Option<Attempt>,
}

#[derive(Debug, Clone)]
struct Known {
    keys: JwkSet,
    fresh_for: Duration,
}

octo_sts_verifier::json_object! {
    /// A fetch that failed, or one that an unknown `kid` caused.
    #[derive(Debug, Clone, Copy)]
    struct Attempt {
        at: i64 => take,
        outcome: Outcome => take,
    }
}

octo_sts_verifier::json_words! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Outcome {
        /// A request is at it. Known to its isolate alone.
        UnderWay = "UnderWay",
        Fetched = "Fetched",
        Unavailable = "Unavailable",
        Unusable = "Unusable",
    }
}

octo_sts_verifier::json_object! {
    pub(super) struct Record {
        /// The key set as JSON, and for how many seconds it holds.
        known: Option<(String, u64)> => take_nullable,
        attempt: Option<Attempt> => take_nullable,
    }
}

impl Fact for IssuerKeys {
    type Record = Record;
    type Surroundings = ();

    fn from_record(record: Record, (): &()) -> Option<Self> {
        let known = match record.known {
            None => None,
            Some((json, seconds)) => Some(Known {
                keys: JwkSet::parse(json.as_bytes()).ok()?,
                fresh_for: fresh_for(Some(Duration::from_secs(seconds))),
            }),
        };
        (known.is_some() || record.attempt.is_some()).then_some(Self { known, attempt: record.attempt })
    }

    fn is_answer(&self) -> bool {
        self.known.is_some()
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + self.known.as_ref().map_or(0, |known| known.keys.weight())
    }

    fn lifetime(&self) -> Lifetime {
        match &self.known {
            Some(known) => Lifetime { memory: known.fresh_for, fresh: known.fresh_for, kept: KNOWN_GOOD_FOR },
            None => Lifetime { memory: COOL_DOWN, fresh: COOL_DOWN, kept: COOL_DOWN },
        }
    }
}

impl IssuerKeys {
    fn record(&self) -> Record {
        let known = self.known.as_ref().map(|known| (known.keys.to_json(), known.fresh_for.as_secs()));
        Record { known, attempt: self.attempt }
    }

    /// The last attempt, while it blocks the next one, and for how much longer.
    fn cooling_down(&self, now: Timestamp) -> Option<(Outcome, Duration)> {
        let attempt = self.attempt?;
        let (lasts, told) = match attempt.outcome {
            Outcome::UnderWay => (LONGEST_FETCH, SOON),
            Outcome::Fetched | Outcome::Unavailable | Outcome::Unusable => (COOL_DOWN, COOL_DOWN),
        };
        let rest = lasts.checked_sub(now.since(Timestamp::from_unix_millis(attempt.at)?))?;
        (!rest.is_zero()).then_some((attempt.outcome, rest.min(told)))
    }
}

/// Keys to verify a token with.
pub(super) struct Keys {
    entry: Rc<Entry<IssuerKeys>>,
    source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Memory,
    /// KV, in this request: it has nothing newer.
    Kv,
    /// The issuer, in this request.
    Issuer,
}

impl Keys {
    /// The set. An entry without one never becomes `Keys`.
    pub(super) fn set(&self) -> Option<&JwkSet> {
        self.entry.fact.known.as_ref().map(|known| &known.keys)
    }
}

/// The issuer's keys: from memory, KV or the issuer.
pub(super) async fn keys(
    issuer: &Issuer,
    authn: &Authn,
    config: &AuthnConfig,
    context: &Context,
) -> Result<Keys, Problem> {
    let key = Key::issuer_keys(issuer.as_str());
    let source = if authn.issuer_keys.is_in_memory(&key) { Source::Memory } else { Source::Kv };
    let previous = match authn.issuer_keys.find(&key, &(), context).await {
        Found::Fresh(entry) => return usable(entry, source, context.now),
        Found::Stale(entry) | Found::Held(entry) => Some(entry).filter(|entry| entry.fact.known.is_some()),
        Found::Missing => None,
    };
    if let Some(entry) = &previous
        && let Some((outcome, rest)) = entry.fact.cooling_down(context.now)
    {
        return stale_or(entry, outcome, rest, context.now);
    }
    let fetched = if previous.is_some() || config.names(issuer.as_str()) {
        fetch_keys(issuer, &config.issuers, &*context.ports.fetch).boxed_local().await
    } else {
        authn.strangers.fetch_keys(issuer, config, context).boxed_local().await?
    };
    match fetched {
        Ok(fetched) => Ok(keep_fetched(issuer, fetched, None, previous.as_deref(), authn, context)),
        Err(error) => {
            let outcome = note_failure(issuer, error, previous.as_deref(), authn, context);
            // While this request failed, another may have succeeded, and memory may have what KV does not.
            let learnt = authn.issuer_keys.remembered(&key).filter(|entry| entry.fact.known.is_some());
            match previous.or(learnt) {
                Some(entry) => stale_or(&entry, outcome, COOL_DOWN, context.now),
                None => Err(refusal(outcome, COOL_DOWN)),
            }
        }
    }
}

/// Newer keys than the given ones, which lack the token's `kid`, if there may be any: from another isolate through KV,
/// or from the issuer, at most once per [`COOL_DOWN`].
pub(super) async fn newer_keys(
    older: Keys,
    issuer: &Issuer,
    authn: &Authn,
    config: &AuthnConfig,
    context: &Context,
) -> Result<Option<Keys>, Problem> {
    let refused = |outcome: Outcome, rest: Duration| match outcome {
        Outcome::Unavailable | Outcome::UnderWay => Err(refusal(outcome, rest)),
        Outcome::Fetched | Outcome::Unusable => Ok(None),
    };
    if older.source == Source::Issuer {
        return Ok(None);
    }
    if let Some((outcome, rest)) = older.entry.fact.cooling_down(context.now) {
        return refused(outcome, rest);
    }
    let key = Key::issuer_keys(issuer.as_str());
    if older.source == Source::Memory
        && let Found::Fresh(entry) = authn.issuer_keys.find_beyond_memory(&key, &(), context).await
    {
        if entry.learnt_at > older.entry.learnt_at && entry.fact.known.is_some() {
            return Ok(Some(Keys { entry, source: Source::Kv }));
        }
        if let Some((outcome, rest)) = entry.fact.cooling_down(context.now) {
            return refused(outcome, rest);
        }
    }
    // Noted before the first request is sent, so that a flood of invented key ids is blocked.
    let under_way = Attempt { at: context.now.unix_millis(), outcome: Outcome::UnderWay };
    let noted = IssuerKeys { known: older.entry.fact.known.clone(), attempt: Some(under_way) };
    authn.issuer_keys.note(&key, noted, older.entry.learnt_at, context);
    // An issuer with keys is known good.
    match fetch_keys(issuer, &config.issuers, &*context.ports.fetch).boxed_local().await {
        Ok(fetched) => {
            let attempt = Attempt { at: context.now.unix_millis(), outcome: Outcome::Fetched };
            let previous = Some(&*older.entry);
            Ok(Some(keep_fetched(issuer, fetched, Some(attempt), previous, authn, context)))
        }
        Err(error) => {
            let outcome = note_failure(issuer, error, Some(&older.entry), authn, context);
            refused(outcome, COOL_DOWN)
        }
    }
}

fn usable(entry: Rc<Entry<IssuerKeys>>, source: Source, now: Timestamp) -> Result<Keys, Problem> {
    if entry.fact.known.is_some() {
        return Ok(Keys { entry, source });
    }
    let (outcome, rest) = entry.fact.cooling_down(now).unwrap_or((Outcome::Unavailable, COOL_DOWN));
    Err(refusal(outcome, rest))
}

/// Stale keys are used only while the issuer gives 5xx or no answer. Keys that another request has fetched meanwhile
/// are fresh.
fn stale_or(
    entry: &Rc<Entry<IssuerKeys>>,
    outcome: Outcome,
    rest: Duration,
    now: Timestamp,
) -> Result<Keys, Problem> {
    let came_out = match outcome {
        Outcome::Unavailable => FetchOutcome::Unavailable,
        Outcome::Fetched | Outcome::Unusable | Outcome::UnderWay => FetchOutcome::Unusable,
    };
    let known = entry.fact.known.as_ref();
    if known.is_some_and(|known| KeysAge::of(entry.age(now), known.fresh_for).serves(came_out)) {
        return Ok(Keys { entry: Rc::clone(entry), source: Source::Memory });
    }
    Err(refusal(outcome, rest))
}

fn refusal(outcome: Outcome, rest: Duration) -> Problem {
    match outcome {
        Outcome::Unavailable => Problem::Unavailable("the token's issuer did not answer".to_owned(), rest),
        Outcome::UnderWay => {
            Problem::Unavailable("the keys of the token's issuer are being fetched".to_owned(), rest)
        }
        Outcome::Unusable | Outcome::Fetched => {
            Problem::InvalidToken("the token's issuer publishes no usable keys".to_owned())
        }
    }
}

fn keep_fetched(
    issuer: &Issuer,
    fetched: FetchedKeys,
    attempt: Option<Attempt>,
    previous: Option<&Entry<IssuerKeys>>,
    authn: &Authn,
    context: &Context,
) -> Keys {
    let fresh_for = fresh_for(fetched.max_age);
    let known = Some(Known { keys: fetched.keys, fresh_for });
    let key = Key::issuer_keys(issuer.as_str());
    let fact = IssuerKeys { known, attempt };
    let entry = keep(&key, fact, context.now, previous.is_none(), authn, context);
    Keys { entry, source: Source::Issuer }
}

/// Records that the issuer failed, without losing the keys that it gave earlier.
fn note_failure(
    issuer: &Issuer,
    error: KeysError,
    previous: Option<&Entry<IssuerKeys>>,
    authn: &Authn,
    context: &Context,
) -> Outcome {
    let outcome = match error {
        KeysError::Unavailable(..) => Outcome::Unavailable,
        KeysError::Unusable(..) => Outcome::Unusable,
    };
    context.log(
        Level::Warn,
        "issuer keys not fetched",
        &[("issuer", issuer.as_str()), ("reason", error.code())],
    );
    let attempt = Some(Attempt { at: context.now.unix_millis(), outcome });
    let key = Key::issuer_keys(issuer.as_str());
    // While this request asked in vain, another may have been answered.
    let latest = authn.issuer_keys.remembered(&key).filter(|entry| entry.fact.known.is_some());
    let (known, learnt_at) = match latest.as_deref().or(previous) {
        Some(entry) => (entry.fact.known.clone(), entry.learnt_at),
        None => (None, context.now),
    };
    let fact = IssuerKeys { known, attempt };
    let is_newcomer = previous.is_none() && latest.is_none();
    keep(&key, fact, learnt_at, is_newcomer, authn, context);
    authn.issuer_keys.hold(&key, context.now.plus(COOL_DOWN));
    outcome
}

/// Stores in both tiers; once newcomers have used up their share of KV, facts about them are stored only in memory.
/// Success counts like failure, because a stranger can have any number of issuers that answer.
fn keep(
    key: &Key,
    fact: IssuerKeys,
    learnt_at: Timestamp,
    is_newcomer: bool,
    authn: &Authn,
    context: &Context,
) -> Rc<Entry<IssuerKeys>> {
    if is_newcomer && !authn.newcomers.may_be_written(context.now) {
        return authn.issuer_keys.note(key, fact, learnt_at, context);
    }
    authn.issuer_keys.keep_made(key, fact.record().to_json(), fact, learnt_at, context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Shape, Unfit, read_members};

    fn read(text: &str) -> Result<String, Unfit> {
        read_members::<Record>(text.as_bytes(), Shape::ALL).map(|record| record.to_json().to_string())
    }

    /// KV has records that an earlier version wrote.
    #[test]
    fn a_record_is_written_as_it_always_was() {
        for text in [
            r#"{"attempt":null,"known":["{}",900]}"#,
            r#"{"attempt":{"at":1795194000,"outcome":"Unavailable"},"known":null}"#,
            r#"{"attempt":{"at":1795194000,"outcome":"Unusable"},"known":["{}",60]}"#,
            r#"{"attempt":{"at":-1,"outcome":"Fetched"},"known":["{}",60]}"#,
            r#"{"attempt":{"at":0,"outcome":"UnderWay"},"known":["{}",60]}"#,
        ] {
            assert_eq!(read(text).as_deref(), Ok(text));
        }
        assert_eq!(read(r#"{"later":1}"#).as_deref(), Ok(r#"{"attempt":null,"known":null}"#));
    }

    #[test]
    fn what_no_version_wrote_is_no_record() {
        for text in [
            "null",
            "[]",
            r#"{"known":["{}"]}"#,
            r#"{"known":["{}",-1]}"#,
            r#"{"known":{"keys":"{}"}}"#,
            r#"{"attempt":{}}"#,
            r#"{"attempt":{"at":1}}"#,
            r#"{"attempt":{"at":"1","outcome":"Fetched"}}"#,
            r#"{"attempt":{"at":1,"outcome":"Lost"}}"#,
            r#"{"attempt":{"at":1,"outcome":{"Fetched":null}}}"#,
            r#"{"attempt":{"at":1,"outcome":null}}"#,
        ] {
            assert_eq!(read(text), Err(Unfit), "{text}");
        }
    }
}
