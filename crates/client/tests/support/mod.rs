//! An issuer in memory, a clock that the test moves, and servers on the loopback.
#![expect(dead_code, reason = "each test file uses its part")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use octo_sts::{FetchError, Inbound, Outbound, Transport, Verifier, VerifierBuilder};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://issuer.example.com";
pub(crate) const AUDIENCE: &str = "api.example.com";
pub(crate) const NOW: u64 = 1_795_197_600;

pub(crate) struct Key {
    pub(crate) kid: &'static str,
    pair: Ed25519KeyPair,
}

impl Key {
    pub(crate) fn generate(kid: &'static str) -> Self {
        Self { kid, pair: Ed25519KeyPair::generate().unwrap() }
    }

    pub(crate) fn jwk(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": URL_SAFE_NO_PAD.encode(self.pair.public_key())})
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "kid": self.kid});
        let input =
            [header.to_string(), claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let signature = self.pair.sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

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
        let is_discovery = outbound.request.uri().path().ends_with("/openid-configuration");
        if is_discovery {
            self.discoveries.fetch_add(1, Ordering::SeqCst);
            drop(self.gate.lock());
        }
        let mood = self.mood.lock().unwrap().clone();
        match mood {
            Mood::Down => Err(FetchError::TimedOut),
            Mood::Status(status) => Ok(inbound(status, &[], "")),
            Mood::Keys(..) if is_discovery => {
                let document = json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/jwks")});
                Ok(inbound(200, &[], &document.to_string()))
            }
            Mood::Keys(keys, cache_control) => {
                let headers: Vec<_> =
                    cache_control.map(|value| ("cache-control", value)).into_iter().collect();
                Ok(inbound(200, &headers, &json!({"keys": keys}).to_string()))
            }
        }
    }
}

pub(crate) fn inbound(status: u16, headers: &[(&'static str, &str)], body: &str) -> Inbound {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    Inbound {
        status: StatusCode::from_u16(status).unwrap(),
        headers: map,
        body: Ok(Bytes::copy_from_slice(body.as_bytes())),
    }
}

/// A request as received by a server on loopback.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) line: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A server on loopback that answers each request with `answer`: the rest of the status line, and the body.
pub(crate) fn server(
    answer: impl Fn(&Got) -> (String, String) + Send + 'static,
) -> (String, Arc<Mutex<Vec<Got>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen: Arc<Mutex<Vec<Got>>> = Arc::default();
    let log = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).unwrap() == 0 {
                    break;
                }
            }
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
                })
                .unwrap_or(0);
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let got = Got {
                line: head.lines().next().unwrap_or_default().to_owned(),
                head,
                body: String::from_utf8(body).unwrap(),
            };
            log.lock().unwrap().push(got.clone());
            let (status, body) = answer(&got);
            let answer = format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).ok();
        }
    });
    (address, seen)
}

/// An issuer on the loopback.
pub(crate) fn issuer_server(key: &Key) -> String {
    let jwks = json!({"keys": [key.jwk()]}).to_string();
    let own: Arc<Mutex<String>> = Arc::default();
    let address = Arc::clone(&own);
    let (url, _) = server(move |got| {
        let issuer = address.lock().unwrap().clone();
        let body = if got.line.contains("/.well-known/openid-configuration") {
            json!({"issuer": issuer, "jwks_uri": format!("{issuer}/jwks")}).to_string()
        } else {
            jwks.clone()
        };
        ("200 OK".to_owned(), body)
    });
    own.lock().unwrap().clone_from(&url);
    url
}

pub(crate) fn real_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
