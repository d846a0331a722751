//! One issuer's keys in memory: fetched once for everybody who needs them, cached, and used when stale while the issuer
//! does not answer. The rules are those of the verifier (`oidc::key_rules`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use octo_sts_native::PreparedKeys;
use octo_sts_verifier::jose::JwkSet;
use octo_sts_verifier::oidc::{
    COOL_DOWN, FetchOutcome, Issuer, IssuerRules, KeysAge, KeysError, cool_down_left, fetch_keys, fresh_for,
};
use octo_sts_verifier::time::Timestamp;

use crate::flight::Flight;
use crate::refusal::{Failure, Refusal};
use crate::transport::{OnThisThread, Transport};

/// Keys as fetched, and imported.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) set: JwkSet,
    pub(crate) prepared: PreparedKeys,
    learnt_at: Timestamp,
    fresh_for: Duration,
}

/// A fetch that failed, or one that an unknown key caused.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    at: Timestamp,
    outcome: FetchOutcome,
    error: Option<KeysError>,
}

#[derive(Debug, Default)]
struct State {
    known: Option<Arc<Keys>>,
    attempt: Option<Attempt>,
    flight: Option<Arc<Flight>>,
    /// Counts the fetches, so that a caller can tell whether one has ended since it looked.
    fetches: u64,
}

/// What all fetches share.
pub(crate) struct Surroundings {
    pub(crate) rules: IssuerRules,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// The keys of one issuer.
pub(crate) struct IssuerKeys {
    issuer: Issuer,
    state: Mutex<State>,
}

/// Keys, and whether they were fetched for this caller.
pub(crate) struct Found {
    pub(crate) keys: Arc<Keys>,
    newest: bool,
}

/// Why a fetch is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Age,
    UnknownKey,
}

enum Next {
    Serve(Found),
    Refuse(Refusal),
    Wait(Arc<Flight>),
}

impl IssuerKeys {
    pub(crate) fn new(issuer: Issuer) -> Self {
        Self { issuer, state: Mutex::new(State::default()) }
    }

    pub(crate) const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Keys in memory that are fresh: nobody has to wait.
    pub(crate) fn at_hand(&self, now: Timestamp) -> Option<Found> {
        self.lock().at_hand(now)
    }

    /// Keys to use now: those in memory, or else the issuer's.
    pub(crate) async fn keys(
        self: &Arc<Self>,
        now: Timestamp,
        surroundings: &Arc<Surroundings>,
    ) -> Result<Found, Refusal> {
        match self.look(now, surroundings) {
            Next::Serve(found) => Ok(found),
            Next::Refuse(refusal) => Err(refusal),
            Next::Wait(flight) => {
                flight.wait().await;
                self.after_the_fetch((surroundings.clock)())
            }
        }
    }

    /// Newer keys than these, which lack the token's `kid`; `None` if there are none.
    pub(crate) async fn newer(
        self: &Arc<Self>,
        older: &Found,
        now: Timestamp,
        surroundings: &Arc<Surroundings>,
    ) -> Result<Option<Found>, Refusal> {
        if older.newest {
            return Ok(None);
        }
        let (flight, fetches) = {
            let mut state = self.lock();
            if let Some(known) = &state.known
                && !Arc::ptr_eq(known, &older.keys)
            {
                return Ok(Some(Found { keys: Arc::clone(known), newest: false }));
            }
            let flight = match (&state.flight, state.attempt.and_then(|last| Some((last, last.left(now)?)))) {
                (Some(flight), _) => Arc::clone(flight),
                (None, Some((last, rest))) => return last.without_newer(rest).map(|()| None),
                (None, None) => self.fetch(&mut state, Cause::UnknownKey, surroundings),
            };
            (flight, state.fetches)
        };
        flight.wait().await;
        let state = self.lock();
        match (&state.known, state.attempt) {
            (Some(known), _) if !Arc::ptr_eq(known, &older.keys) => {
                Ok(Some(Found { keys: Arc::clone(known), newest: true }))
            }
            (_, Some(last)) => last.without_newer(COOL_DOWN).map(|()| None),
            // The thread ended before it noted anything.
            (_, None) if state.fetches == fetches => Err(Refusal::unavailable(None, COOL_DOWN)),
            (_, None) => Ok(None),
        }
    }

    fn look(self: &Arc<Self>, now: Timestamp, surroundings: &Arc<Surroundings>) -> Next {
        let mut state = self.lock();
        if let Some(found) = state.at_hand(now) {
            return Next::Serve(found);
        }
        if let Some(flight) = &state.flight {
            return Next::Wait(Arc::clone(flight));
        }
        if let Some(last) = state.attempt
            && last.outcome != FetchOutcome::Fetched
            && let Some(rest) = last.left(now)
        {
            return match state.serving(now, last.outcome) {
                Some(keys) => Next::Serve(Found { keys, newest: false }),
                None => Next::Refuse(last.refusal(rest)),
            };
        }
        Next::Wait(self.fetch(&mut state, Cause::Age, surroundings))
    }

    fn after_the_fetch(&self, now: Timestamp) -> Result<Found, Refusal> {
        let state = self.lock();
        let outcome = state.attempt.map_or(FetchOutcome::Unavailable, |last| last.outcome);
        match (state.serving(now, outcome), state.attempt) {
            (Some(keys), None) => Ok(Found { keys, newest: true }),
            // The call that gave stale keys has just asked for newer ones.
            (Some(keys), Some(last)) => Ok(Found { keys, newest: last.outcome == FetchOutcome::Fetched }),
            (None, Some(last)) => Err(last.refusal(COOL_DOWN)),
            (None, None) => Err(Refusal::unavailable(None, COOL_DOWN)),
        }
    }

    /// Starts a fetch; the caller holds the lock and has checked that none is in progress.
    fn fetch(
        self: &Arc<Self>,
        state: &mut State,
        cause: Cause,
        surroundings: &Arc<Surroundings>,
    ) -> Arc<Flight> {
        let flight = Arc::new(Flight::default());
        state.flight = Some(Arc::clone(&flight));
        let (this, shared) = (Arc::clone(self), Arc::clone(surroundings));
        let started = flight.start(move || {
            // Removed even if something below panics, because nobody may wait for a fetch that has ended.
            let _over = Over(&this);
            let port = OnThisThread(&*shared.transport);
            let fetched = pollster::block_on(fetch_keys(&this.issuer, &shared.rules, &port));
            let now = (shared.clock)();
            let fetched = fetched.map(|fetched| Keys {
                prepared: PreparedKeys::of(&fetched.keys),
                set: fetched.keys,
                learnt_at: now,
                fresh_for: fresh_for(fetched.max_age),
            });
            let mut state = this.lock();
            state.fetches = state.fetches.wrapping_add(1);
            match fetched {
                Ok(keys) => {
                    state.known = Some(Arc::new(keys));
                    let attempt = Attempt { at: now, outcome: FetchOutcome::Fetched, error: None };
                    state.attempt = (cause == Cause::UnknownKey).then_some(attempt);
                }
                Err(error) => {
                    log::warn!("issuer keys not fetched: issuer={} reason={}", this.issuer, error.code());
                    state.attempt = Some(Attempt { at: now, outcome: error.into(), error: Some(error) });
                }
            }
        });
        if started.is_err() {
            // No thread could be started. The guard has ended the flight, and the next caller tries again.
            state.flight = None;
        }
        flight
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, so the state is never half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Over<'a>(&'a IssuerKeys);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.lock().flight = None;
    }
}

impl Keys {
    fn age(&self, now: Timestamp) -> KeysAge {
        KeysAge::of(now.since(self.learnt_at), self.fresh_for)
    }
}

impl State {
    fn at_hand(&self, now: Timestamp) -> Option<Found> {
        let fresh = self.known.as_ref().filter(|known| known.age(now) == KeysAge::Fresh);
        fresh.map(|keys| Found { keys: Arc::clone(keys), newest: false })
    }

    fn serving(&self, now: Timestamp, outcome: FetchOutcome) -> Option<Arc<Keys>> {
        self.known.as_ref().filter(|known| known.age(now).serves(outcome)).cloned()
    }
}

impl Attempt {
    /// How long it still blocks the next one.
    fn left(&self, now: Timestamp) -> Option<Duration> {
        cool_down_left(now.since(self.at))
    }

    fn refusal(&self, rest: Duration) -> Refusal {
        match self.outcome {
            FetchOutcome::Unavailable => Refusal::unavailable(self.error, rest),
            FetchOutcome::Fetched | FetchOutcome::Unusable => Failure::NoKeys(self.error).into(),
        }
    }

    /// The result for an unknown key that may not cause a fetch now.
    fn without_newer(&self, rest: Duration) -> Result<(), Refusal> {
        match self.outcome {
            FetchOutcome::Unavailable => Err(self.refusal(rest)),
            FetchOutcome::Fetched | FetchOutcome::Unusable => Ok(()),
        }
    }
}
