//! A world to test in: one service, one GitHub, one issuer.

pub(crate) mod deliveries;
pub(crate) mod github;
pub(crate) mod issuer;
pub(crate) mod keys;
pub(crate) mod platform;
pub(crate) mod proxy;
pub(crate) mod repositories;

pub(crate) use octo_sts_doubles::{fault, metrics, used_tokens};

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use octo_sts_doubles::clock::Clock;
use octo_sts_doubles::platform::Platform;
use octo_sts_doubles::rate_limits::RateLimiters;
use octo_sts_worker::api::{self, App, Arrival};
use octo_sts_worker::config::Config;
use octo_sts_worker::context::Context;
use octo_sts_worker::ports::{Level, Ports, Stopwatch as _};
use octo_sts_worker::time::Timestamp;
use serde_json::{Value, json};

use github::GitHub;
use issuer::Issuer;
use platform::Outside;

/// When the story begins: 2026-11-20T17:00:00Z.
pub(crate) const START: i64 = 1_795_194_000;

pub(crate) const GITHUB_ACTIONS: &str = "https://token.actions.githubusercontent.com";

/// The webhook's.
pub(crate) const SECRET: &str = "a webhook secret";

/// As GitHub signs a body.
pub(crate) fn sign(secret: &str, body: &str) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let hmac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(body);
    format!("sha256={}", hex::encode(hmac.finalize().into_bytes()))
}

/// The policy that most stories start from.
pub(crate) const POLICY: &str = "\
issuer: https://token.actions.githubusercontent.com
subject: repo:acme/app:ref:refs/heads/main
permissions:
  contents: read
";

/// One service. It is its platform, too: what that keeps is looked at through it.
pub(crate) struct World {
    platform: Platform<Outside>,
    now: Cell<i64>,
    requests: Cell<u32>,
    /// The bodies of all answers that are not 2xx.
    refusals: RefCell<Vec<String>>,
    settings: Vec<(&'static str, String)>,
    /// The missing bindings.
    unbound: Vec<&'static str>,
    app: Rc<App>,
}

impl Deref for World {
    type Target = Platform<Outside>;

    fn deref(&self) -> &Self::Target {
        &self.platform
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.platform
    }
}

/// An answer, and what was sent before it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
    /// Outbound requests before the answer, as `METHOD host/path`.
    pub(crate) sent: Vec<String>,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16, error: &str) -> &Self {
        assert_eq!(
            (self.status.as_u16(), self.body["error"].as_str().unwrap_or_default()),
            (status, error),
            "{}",
            self.text
        );
        self
    }

    #[track_caller]
    pub(crate) fn granted(&self) -> &str {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.body["token"].as_str().unwrap()
    }

    /// Empty if it is not a refusal.
    pub(crate) fn message_or_empty(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap()
    }
}

impl World {
    /// A configured service; `acme/app` and `acme/.github` in installation 1, and the policy `deploy` in the former.
    pub(crate) fn new() -> Self {
        Self::with_settings(&[])
    }

    /// The same with other settings. An empty name list changes nothing; a later setting wins.
    pub(crate) fn with_settings(changes: &[(&'static str, &str)]) -> Self {
        let mut settings = vec![
            ("DOMAIN", "sts.example.com".to_owned()),
            ("GITHUB_APP_ID", "4711".to_owned()),
            ("GITHUB_APP_PRIVATE_KEY", keys::app_private_key_pem()),
            ("GITHUB_WEBHOOK_SECRET", SECRET.to_owned()),
        ];
        settings.extend(changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let github = GitHub::new();
        github.install(1, "acme", &["app", ".github", "docs"]);
        github.commit("acme/app", ".github/chainguard/deploy.sts.yaml", POLICY);
        let outside = Outside::new(github, Issuer::new(GITHUB_ACTIONS));
        let app = Rc::new(App::new(parse(&settings, &[], &RateLimiters::default())));
        Self {
            platform: Platform::new(outside, Clock::default(), START * 1000),
            now: Cell::new(START * 1000),
            requests: Cell::new(0),
            refusals: RefCell::default(),
            settings,
            unbound: Vec::new(),
            app,
        }
    }

    /// Removes a setting or a binding.
    pub(crate) fn without(mut self, name: &'static str) -> Self {
        self.settings.retain(|(known, _)| *known != name);
        self.unbound.push(name);
        self.new_isolate();
        self
    }

    /// Binds a rate limiter.
    pub(crate) fn limited(mut self, name: &'static str, limit: u32) -> Self {
        self.limits.bind(name, limit);
        self.new_isolate();
        self
    }

    pub(crate) fn github(&self) -> &GitHub {
        &self.network.github
    }

    pub(crate) fn issuer(&self) -> &Issuer {
        &self.network.issuers[0]
    }

    /// A new isolate of the same deployment: memory is lost, KV stays.
    pub(crate) fn new_isolate(&mut self) {
        self.app = Rc::new(App::new(parse(&self.settings, &self.unbound, &self.limits)));
    }

    /// Another isolate of the same deployment: the same network and KV, but its own memory.
    pub(crate) fn twin(&self) -> Self {
        Self {
            platform: self.platform.twin(),
            now: self.now.clone(),
            requests: Cell::new(1000),
            refusals: RefCell::default(),
            settings: self.settings.clone(),
            unbound: self.unbound.clone(),
            app: Rc::new(App::new(parse(&self.settings, &self.unbound, &self.limits))),
        }
    }

    /// The context of a request that arrives some seconds from now.
    pub(crate) fn context_in(&self, seconds: i64) -> Context {
        let now = Timestamp::from_unix_millis(self.now.get() + seconds * 1000).unwrap();
        Context::new(now, "request", Level::Debug, self.ports())
    }

    /// Runs a context's deferred work.
    pub(crate) fn run_deferred(&self, context: &Context) {
        context.release();
        self.background.run();
    }

    /// An isolate that ends before its deferred work.
    pub(crate) fn drop_deferred(&self) {
        self.background.forget();
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.advance_by(Duration::from_secs(seconds));
    }

    pub(crate) fn advance_by(&self, time: Duration) {
        self.now.set(self.now.get() + i64::try_from(time.as_millis()).unwrap());
        self.network.github.now.set(self.now.get() / 1000);
        self.used_tokens.now.set(self.now.get());
        self.budgets.now.set(self.now.get());
    }

    /// Since the last request arrived, until all work after the answer was done.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Seconds since the epoch.
    pub(crate) fn now(&self) -> i64 {
        self.now.get() / 1000
    }

    /// The claims of a valid token of `acme/app`'s main branch.
    pub(crate) fn claims(&self) -> Value {
        json!({
            "iss": GITHUB_ACTIONS,
            "sub": "repo:acme/app:ref:refs/heads/main",
            "aud": "sts.example.com",
            "iat": self.now(),
            "exp": self.now() + 300,
            "repository": "acme/app",
            "repository_owner": "acme",
            "ref": "refs/heads/main",
            "event_name": "push",
        })
    }

    /// A valid token.
    pub(crate) fn token(&self) -> String {
        self.token_with(&json!({}))
    }

    /// A valid token with some claims changed; `null` removes one.
    pub(crate) fn token_with(&self, changes: &Value) -> String {
        let mut claims = self.claims();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        let token = self.issuer().sign(&claims);
        self.network.secrets.borrow_mut().push(token.clone());
        token
    }

    /// A valid exchange for `acme/app` and `deploy`.
    pub(crate) fn exchange(&self) -> Answer {
        self.exchange_for("acme/app", "deploy")
    }

    pub(crate) fn exchange_for(&self, scope: &str, identity: &str) -> Answer {
        self.exchange_with(scope, identity, &self.token())
    }

    pub(crate) fn exchange_with(&self, scope: &str, identity: &str, token: &str) -> Answer {
        let target = format!("/sts/exchange?scope={scope}&scopes={scope}&identity={identity}");
        self.call(Method::GET, &target, &[("authorization", &format!("Bearer {token}"))], "")
    }

    /// One request to the service; the deferred work runs after the answer.
    pub(crate) fn call(&self, method: Method, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send(self.request(method, target, headers, body))
    }

    pub(crate) fn request(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Request<Bytes> {
        let mut request = Request::builder().method(method).uri(format!("https://sts.example.com{target}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Bytes::copy_from_slice(body.as_bytes())).expect("a request")
    }

    /// Sends a request that a test has made.
    pub(crate) fn send(&self, request: Request<Bytes>) -> Answer {
        self.clock.restart();
        let answer = pollster::block_on(self.answer(request));
        self.background.run();
        answer
    }

    /// Sends a request without running its deferred work.
    pub(crate) fn send_only(&self, request: Request<Bytes>) -> Answer {
        pollster::block_on(self.answer(request))
    }

    /// Several exchanges at once in one isolate: whenever one waits for the network, the others continue.
    pub(crate) fn exchange_at_once(&self, tokens: &[String]) -> Vec<Answer> {
        let exchanges = tokens.iter().map(|token| {
            let headers = [("authorization", format!("Bearer {token}"))];
            let headers = [(headers[0].0, headers[0].1.as_str())];
            let target = "/sts/exchange?scope=acme/app&identity=deploy";
            self.answer(self.request(Method::GET, target, &headers, ""))
        });
        let answers = pollster::block_on(futures_util::future::join_all(exchanges));
        self.background.run();
        answers
    }

    /// Several deliveries at once in one isolate, as [`World::exchange_at_once`].
    pub(crate) fn deliver_at_once(&self, deliveries: &[(&str, Value)]) -> Vec<Answer> {
        let requests = deliveries.iter().enumerate().map(|(index, (event, payload))| {
            let id = format!("at-once-{index}-{}", self.requests.get());
            self.answer(self.delivery(&id, event, payload))
        });
        let answers = pollster::block_on(futures_util::future::join_all(requests));
        self.background.run();
        answers
    }

    /// An exchange during which something happens, after it has sent this many requests.
    pub(crate) fn exchange_during(&self, sent: usize, happens: impl FnOnce()) -> Answer {
        let authorization = format!("Bearer {}", self.token());
        let headers = [("authorization", authorization.as_str())];
        let target = "/sts/exchange?scope=acme/app&identity=deploy";
        let before = self.network.requests.borrow().len();
        let mut answer = Box::pin(self.answer(self.request(Method::GET, target, &headers, "")));
        let mut waker = std::task::Context::from_waker(std::task::Waker::noop());
        while self.network.requests.borrow().len() < before + sent {
            assert!(answer.as_mut().poll(&mut waker).is_pending(), "it was answered before");
        }
        happens();
        let answer = pollster::block_on(answer);
        self.background.run();
        answer
    }

    /// A caller that hangs up after its exchange has sent this many requests.
    pub(crate) fn hang_up_after(&self, sent: usize, request: Request<Bytes>) {
        let before = self.network.requests.borrow().len();
        let mut answer = Box::pin(self.answer(request));
        let mut waker = std::task::Context::from_waker(std::task::Waker::noop());
        while self.network.requests.borrow().len() < before + sent {
            assert!(answer.as_mut().poll(&mut waker).is_pending(), "it was answered before");
        }
        drop(answer);
        self.background.run();
    }

    async fn answer(&self, mut request: Request<Bytes>) -> Answer {
        *request.headers_mut() = platform::only(api::headers(request.method()), request.headers());
        self.requests.set(self.requests.get() + 1);
        let arrival = Arrival {
            now: Timestamp::from_unix_millis(self.now.get()).unwrap(),
            request_id: format!("request-{}", self.requests.get()),
        };
        let before = self.network.requests.borrow().len();
        let response = api::handle(&self.app, request, arrival, self.ports()).await;
        let sent = self.network.requests.borrow()[before..].iter().map(ToString::to_string).collect();
        let took = self.clock.elapsed();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.to_vec()).unwrap();
        if !parts.status.is_success() {
            self.refusals.borrow_mut().push(text.clone());
        }
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
            sent,
            took,
        }
    }

    /// One delivery of GitHub's, signed.
    pub(crate) fn deliver(&self, event: &str, payload: &Value) -> Answer {
        let id = format!("delivery-{}", self.requests.get());
        self.deliver_as(&id, event, payload)
    }

    pub(crate) fn deliver_as(&self, id: &str, event: &str, payload: &Value) -> Answer {
        self.send(self.delivery(id, event, payload))
    }

    /// A delivery of GitHub's, signed.
    pub(crate) fn delivery(&self, id: &str, event: &str, payload: &Value) -> Request<Bytes> {
        let body = payload.to_string();
        let signature = sign(SECRET, &body);
        let headers = [
            ("x-github-event", event),
            ("content-type", "application/json"),
            ("x-github-delivery", id),
            ("x-hub-signature-256", &signature),
        ];
        self.request(Method::POST, "/webhook", &headers, &body)
    }

    /// With any headers in addition to the event and the type.
    pub(crate) fn deliver_with(&self, event: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let mut all = vec![("x-github-event", event), ("content-type", "application/json")];
        all.extend(headers);
        self.call(Method::POST, "/webhook", &all, body)
    }

    /// The check runs that GitHub has.
    pub(crate) fn check_runs(&self) -> Vec<Value> {
        self.github().repositories.check_runs.borrow().clone()
    }

    /// The only check run.
    #[track_caller]
    pub(crate) fn check_run(&self) -> Value {
        let runs = self.check_runs();
        assert_eq!(runs.len(), 1, "{runs:#?}");
        runs[0].clone()
    }

    /// The audit events so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.log.events()
    }

    /// The last audit event.
    pub(crate) fn event(&self) -> Value {
        self.events().pop().expect("an event")
    }

    fn ports(&self) -> Ports {
        let ports = self.platform.ports();
        Ports { metrics: ports.metrics.filter(|_| !self.unbound.contains(&"METRICS")), ..ports }
    }
}

/// No story leaves secrets behind: everything that the service treats as a secret is searched for in all its output.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut written = self.log.texts();
        // The last line of defense would hide leaks of the first ones from this test.
        let needed = written.iter().find(|line| line.contains("[redacted "));
        assert!(self.log.is_redacted.get() || needed.is_none(), "a credential was logged: {needed:?}");
        written.extend(self.kv.values());
        written.extend(self.used_tokens.written.take());
        written.extend(self.budgets.written());
        written.extend(self.dataset.texts());
        written.extend(self.refusals.take());
        written.extend(self.network.ingress.borrow().iter().map(ToString::to_string));
        let mut secrets = self.network.secrets.borrow().clone();
        secrets.extend(self.github().ledger.borrow().iter().map(|minted| minted.token.clone()));
        secrets.push("BEGIN RSA".to_owned());
        secrets.push("BEGIN PRIVATE".to_owned());
        secrets.push(SECRET.to_owned());
        for text in &written {
            for secret in secrets.iter().filter(|secret| secret.len() > 8) {
                assert!(!text.contains(secret.as_str()), "a secret was written: {text}");
            }
        }
    }
}

fn parse(settings: &[(&'static str, String)], unbound: &[&str], limits: &RateLimiters) -> Config {
    let setting =
        |name: &str| settings.iter().rev().find(|(known, _)| *known == name).map(|(_, v)| v.clone());
    let bound = |name: &str| !unbound.contains(&name);
    Config::parse(&setting, &bound).limited_by(&|name| limits.is_limiter(name))
}
