//! An issuer in memory, and a clock that the test moves.
#![expect(dead_code, reason = "each test file uses its part")]

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use octo_sts::{FetchError, Inbound, Outbound, Transport, Verifier, VerifierBuilder};
pub(crate) use octo_sts_doubles::key::Key;
use octo_sts_doubles::published::{Published, is_discovery};
use octo_sts_doubles::sent::inbound;
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://issuer.example.com";
pub(crate) const AUDIENCE: &str = "api.example.com";
pub(crate) const NOW: u64 = 1_795_197_600;

/// Claims as GitHub writes them, valid at `now`.
pub(crate) fn claims(issuer: &str, now: u64) -> Value {
    json!({
        "iss": issuer, "sub": "repo:acme/app:ref:refs/heads/main", "aud": AUDIENCE,
        "iat": now - 10, "nbf": now - 10, "exp": now + 300,
        "repository": "acme/app", "repository_id": "74", "ref": "refs/heads/main", "event_name": "push", "run_id": "30433642",
    })
}

/// How the issuer answers.
#[derive(Clone)]
pub(crate) enum Mood {
    Keys(Vec<Value>, Option<&'static str>),
    Status(u16),
    Down,
}

/// The issuer and the transport to it.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) mood: Arc<Mutex<Mood>>,
    pub(crate) discoveries: Arc<AtomicUsize>,
    /// Held by a test that slows down fetches.
    pub(crate) gate: Arc<Mutex<()>>,
    clock: Arc<AtomicU64>,
}

impl World {
    pub(crate) fn new(keys: &[&Key]) -> Self {
        Self {
            mood: Arc::new(Mutex::new(keys_of(keys))),
            discoveries: Arc::default(),
            gate: Arc::default(),
            clock: Arc::new(AtomicU64::new(NOW)),
        }
    }

    pub(crate) fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub(crate) fn asked(&self) -> usize {
        self.discoveries.load(Ordering::SeqCst)
    }

    pub(crate) fn builder(&self) -> VerifierBuilder {
        let clock = Arc::clone(&self.clock);
        Verifier::builder()
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .transport(self.clone())
            .clock(move || UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::SeqCst)))
    }

    pub(crate) fn verifier(&self) -> Verifier {
        self.builder().build().unwrap()
    }
}

pub(crate) fn keys_of(keys: &[&Key]) -> Mood {
    Mood::Keys(keys.iter().map(|key| key.jwk()).collect(), None)
}

impl Transport for World {
    fn send(&self, outbound: Outbound) -> Result<Inbound, FetchError> {
        let address = outbound.request.uri();
        if is_discovery(address) {
            self.discoveries.fetch_add(1, Ordering::SeqCst);
            drop(self.gate.lock());
        }
        let mood = self.mood.lock().unwrap().clone();
        match mood {
            Mood::Down => Err(FetchError::TimedOut),
            Mood::Status(status) => Ok(inbound(status, "")),
            Mood::Keys(keys, cache_control) => {
                let keys = json!({"keys": keys}).to_string();
                let mut document = Published { issuer: ISSUER.to_owned(), keys }.document(address);
                if let Some(value) = cache_control.filter(|_| !is_discovery(address)) {
                    document.headers.insert("cache-control", value.parse().unwrap());
                }
                Ok(document)
            }
        }
    }
}

pub(crate) fn real_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
