//! A request through the proxy in a warm isolate, and what the object of its budget does for it.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use octo_sts_doubles::clock::Clock;
use octo_sts_doubles::message::Message;
use octo_sts_doubles::network::Peers;
use octo_sts_doubles::platform::Platform;
use octo_sts_doubles::published::Published;
use octo_sts_doubles::sent::Sent;
use octo_sts_doubles::signatures::Trusting;
use octo_sts_worker::api::{self, App, Arrival, Outcome};
use octo_sts_worker::config::{BudgetPer, Config};
use octo_sts_worker::issuer::session;
use octo_sts_worker::oidc::Claims;
use octo_sts_worker::ports::{FetchError, Inbound, Ports};
use octo_sts_worker::proxy::budget::{Ask, BudgetName, Verdict, Wish, decide};
use octo_sts_worker::proxy::{Edits, Head, Inquiry};
use octo_sts_worker::time::Timestamp;
use serde_json::json;

use crate::{DOMAIN, ISSUER, NOW, World, key_set, token_for};

const AUDIENCE: &str = "https://sts.example.com/proxy/models";
const REQUEST_ID: &str = "0f0e0d0c-0b0a-4900-8807-060504030201";

/// As in `benches/proxy.mjs`.
const ARRIVING: [(&str, &str); 24] = [
    ("host", DOMAIN),
    ("accept-encoding", "gzip, br"),
    ("accept-language", "*"),
    ("cdn-loop", "cloudflare; loops=1"),
    ("cf-connecting-ip", "192.0.2.17"),
    ("cf-ipcountry", "US"),
    ("cf-ray", "9a1b2c3d4e5f6071-IAD"),
    ("cf-visitor", r#"{"scheme":"https"}"#),
    ("x-forwarded-for", "192.0.2.17"),
    ("x-forwarded-proto", "https"),
    ("x-real-ip", "192.0.2.17"),
    ("accept", "application/json"),
    ("content-type", "application/json"),
    ("content-length", "1120"),
    ("anthropic-version", "2023-06-01"),
    ("user-agent", "Anthropic/JS 1.14.0"),
    ("x-stainless-arch", "x64"),
    ("x-stainless-lang", "js"),
    ("x-stainless-os", "Linux"),
    ("x-stainless-package-version", "1.14.0"),
    ("x-stainless-retry-count", "0"),
    ("x-stainless-runtime", "node"),
    ("x-stainless-runtime-version", "v20.20.2"),
    ("x-stainless-timeout", "600"),
];

const ANSWERED: [(&str, &str); 7] = [
    ("content-type", "application/json"),
    ("content-encoding", "gzip"),
    ("content-length", "742"),
    ("date", "Fri, 20 Nov 2026 18:00:00 GMT"),
    ("request-id", "req_011CSHoEeqs5C35K2UUqR7Fy"),
    ("server", "cloudflare"),
    ("set-cookie", "a=b"),
];

/// What the caller shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// A job's token.
    Job,
    /// A session token.
    Session,
}

struct TheIssuer(Published);

impl Peers for TheIssuer {
    fn answer(&self, _: usize, sent: &Sent) -> Result<Inbound, FetchError> {
        Ok(self.0.document(&sent.uri))
    }
}

/// A service with one upstream, which has seen both credentials. The budget's object answers without counting.
pub struct Proxy {
    app: Rc<App>,
    ports: Ports,
    job: Message,
    session: Message,
    answer: Message,
}

impl Proxy {
    #[expect(clippy::new_without_default, reason = "it is a world, not a value")]
    pub fn new() -> Self {
        let issuer = Published { issuer: ISSUER.to_owned(), keys: key_set(4) };
        let platform = Platform::new(TheIssuer(issuer), Clock::still(), NOW * 1000);
        *platform.budgets.fault.borrow_mut() = Some(Ok(Verdict::Taken { remaining: 199 }.to_text()));
        let ports = Ports { signatures: Rc::new(Trusting), metrics: None, ..platform.ports() };

        let config = config();
        let job = token_for(AUDIENCE, "k3", 0);
        let session = session_token(&config, &job);
        let message = |credential: &str| {
            let authorization = format!("Bearer {credential}");
            let mut headers = ARRIVING.to_vec();
            headers.push(("authorization", &authorization));
            Message::new(&headers)
        };
        let (job, session) = (message(&job), message(&session));
        let app = Rc::new(App::new(config));
        let proxy = Self { app, ports, job, session, answer: Message::new(&ANSWERED) };
        for credential in [Credential::Job, Credential::Session] {
            drop(proxy.pass(credential));
        }
        platform.background.run();
        proxy
    }

    /// From the head of the request to the head of the answer.
    pub fn pass(&self, credential: Credential) -> Edits {
        let headers = match credential {
            Credential::Job => &self.job,
            Credential::Session => &self.session,
        };
        let url = "https://sts.example.com/proxy/models/v1/messages?beta=true";
        let inquiry = Inquiry { method: "POST", url, headers };
        let arrival = Arrival { now: now(), request_id: REQUEST_ID.to_owned() };
        let outcome = api::forward(&self.app, &inquiry, arrival, self.ports.clone());
        let forward = match outcome.now_or_never().expect("nobody to wait for") {
            Outcome::Forward(forward) => forward,
            Outcome::Answer(answer) => panic!("refused: {answer:?}"),
        };
        forward.settle(Ok(Head { status: 200, headers: &self.answer })).expect("an answer that is passed on")
    }
}

fn now() -> Timestamp {
    Timestamp::from_unix_seconds(NOW).expect("an instant")
}

fn config() -> Config {
    let upstreams = json!({ "models": {
        "url": "https://api.models.example",
        "credential": { "secret": { "name": "MODELS_KEY" } },
        "allow": [{ "issuer": ISSUER, "subject": "repo:acme/app:ref:refs/heads/main" }],
        "methods": ["GET", "POST"],
        "paths": ["/v1/.*"],
        "requests_per_second": 100,
        "max_requests": 10_000,
    }});
    let (upstreams, key) = (upstreams.to_string(), private_key());
    let setting = |name: &str| match name {
        "DOMAIN" => Some(DOMAIN.to_owned()),
        "GITHUB_APP_ID" => Some("4711".to_owned()),
        "GITHUB_APP_PRIVATE_KEY" | "ISSUER_PRIVATE_KEY" => Some(key.clone()),
        "GITHUB_WEBHOOK_SECRET" => Some("the secret of the bench".to_owned()),
        "UPSTREAMS" => Some(upstreams.clone()),
        "MODELS_KEY" => Some("the key of the bench".to_owned()),
        _ => None,
    };
    Config::parse(&setting, &|_| true)
}

/// An RSA key of 2048 bits as far as anybody looks at it who does not sign.
fn private_key() -> String {
    let element = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).expect("a short key").to_be_bytes();
        [&[tag, 0x82], length.as_slice(), content].concat()
    };
    let integer = |number: &[u8]| element(0x02, number);
    let modulus = [&[0], [0xa5; 256].as_slice()].concat();
    let small = integer(&[1]).repeat(6);
    let key = [integer(&[0]), integer(&modulus), integer(&[1, 0, 1]), small].concat();
    let label = "RSA PRIVATE KEY";
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(element(0x30, &key)))
}

/// What the token endpoint gives for a job's token.
fn session_token(config: &Config, job: &str) -> String {
    let world = World::new(4, 0);
    let (token, issuer) = world.read_other(job);
    let verified = world.verify(&token, &issuer);
    let keys = config.issuer.as_ref().expect("a key").as_ref().expect("a key");
    let lifetime = std::time::Duration::from_secs(3600);
    let request = session::Request { domain: DOMAIN, audience: AUDIENCE, lifetime, id: REQUEST_ID };
    let fingerprint = token.fingerprint_base64url();
    let made = session::make(&request, &verified, &fingerprint, keys, now(), &Trusting);
    made.now_or_never().expect("nobody to wait for").expect("a session").expose().to_owned()
}

/// The object of a run's budget, which has counted some requests.
pub struct BudgetObject {
    name: BudgetName,
    fingerprint: String,
    stored: String,
}

impl BudgetObject {
    #[expect(clippy::new_without_default, reason = "it is a world, not a value")]
    pub fn new() -> Self {
        let claims = json!({
            "iss": ISSUER, "sub": "repo:acme/app:ref:refs/heads/main", "aud": AUDIENCE,
            "repository_id": "4242", "run_id": "11111111111", "run_attempt": "1",
        });
        let claims = Claims::from_object(claims.as_object().expect("an object").clone()).expect("claims");
        let fingerprint = "5f".repeat(32);
        let name = BudgetName::of("models", BudgetPer::Run, &claims, &fingerprint);
        let mut object = Self { name, fingerprint, stored: String::new() };
        let first = decide(None, &object.ask(), now()).expect("a decision");
        object.stored = first.write.expect("a first text");
        object
    }

    fn ask(&self) -> Ask {
        let wish = Wish::Take { max_requests: 10_000, requests_per_second: 100 };
        let usable_until = now().plus(std::time::Duration::from_secs(300));
        Ask::new(&self.name, &self.fingerprint, usable_until, wish)
    }

    /// One ask: what its caller does for it, and what the object does.
    pub fn take(&self) -> Verdict {
        let text = self.ask().to_text();
        let ask = Ask::parse(&text).expect("an ask");
        let decision = decide(Some(&self.stored), &ask, now()).expect("a decision");
        assert!(decision.write.is_some(), "a request is counted");
        Verdict::parse(&decision.verdict.to_text()).expect("a verdict")
    }
}
