//! The proxy's platform: a caller's request with its headers, and a streamer that carries out the plan and records what
//! it sent. As in the Worker, bodies bypass the service.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
pub(crate) use octo_sts_doubles::message::Message;
use octo_sts_worker::api::{self, Arrival, Outcome};
use octo_sts_worker::config::BudgetPer;
use octo_sts_worker::oidc::{Claims, UnverifiedToken};
use octo_sts_worker::ports::Budgets as _;
use octo_sts_worker::proxy::budget::{Ask, BudgetName, Verdict, Wish};
use octo_sts_worker::proxy::{Edits, Head, Inquiry, NoHead};
use octo_sts_worker::time::Timestamp;
use serde_json::{Value, json};

use super::{GITHUB_ACTIONS, World};

/// The secret that no log, event or error may show.
pub(crate) const CANARY: &str = "canary-of-the-upstream-0123456789";

pub(crate) const AUDIENCE: &str = "https://sts.example.com/proxy/example";

/// The upstream of most stories, with changes; `null` removes a member.
pub(crate) fn upstreams(changes: &Value) -> String {
    let mut upstream = json!({
        "url": "https://api.example.com",
        "credential": {"secret": {"name": "EXAMPLE_API_KEY"}},
        "allow": [{"issuer": GITHUB_ACTIONS, "subject": "repo:acme/app:ref:refs/heads/main"}],
        "requests_per_second": 100,
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            upstream.as_object_mut().unwrap().remove(name);
        } else {
            upstream[name] = value.clone();
        }
    }
    json!({ "example": upstream }).to_string()
}

/// What arrived at the upstream.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) first_byte_timeout: u64,
    /// The body must first be complete and signed, up to this many bytes.
    pub(crate) collect: Option<usize>,
}

/// What the caller got.
#[derive(Debug)]
pub(crate) struct Proxied {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Of our own answers.
    pub(crate) body: Value,
    /// The request that was sent on, if one was.
    pub(crate) arrived: Option<Arrived>,
}

impl Proxied {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Our own refusal.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, error: &str) -> &Self {
        let told = self.body["error"].as_str().unwrap_or_default();
        assert_eq!((self.status, told), (status, error), "{}", self.body);
        assert_eq!(self.header("x-octo-sts-error"), Some(error));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("x-request-id"), self.body["request_id"].as_str());
        assert!(self.arrived.is_none() || matches!(status, 400 | 413 | 503));
        self
    }

    /// The upstream's answer.
    #[track_caller]
    pub(crate) fn passed(&self) -> &Arrived {
        assert_eq!(self.header("x-octo-sts-error"), None, "{}", self.body);
        self.arrived.as_ref().expect("it was sent on")
    }

    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap()
    }
}

/// What the upstream does.
pub(crate) enum Answer<'a> {
    Head(u16, &'a [(&'a str, &'a str)]),
    /// The status, after this time.
    After(Duration, u16),
    None(NoHead),
}

impl World {
    /// A world with this upstream, and its secret.
    pub(crate) fn with_upstream(changes: &Value) -> Self {
        Self::with_upstream_and(changes, &[])
    }

    pub(crate) fn with_upstream_and(changes: &Value, more: &[(&'static str, &str)]) -> Self {
        let text = upstreams(changes);
        let mut settings = vec![("UPSTREAMS", text.as_str()), ("EXAMPLE_API_KEY", CANARY)];
        settings.extend(more);
        let world = Self::with_settings(&settings);
        world.network.secrets.borrow_mut().push(CANARY.to_owned());
        world
    }

    /// A valid token for the upstream, with some claims changed.
    pub(crate) fn proxy_token(&self, changes: &Value) -> String {
        let mut all = json!({
            "aud": AUDIENCE, "repository_id": "1", "run_id": "2", "run_attempt": "1",
        });
        for (name, value) in changes.as_object().unwrap() {
            all[name] = value.clone();
        }
        self.token_with(&all)
    }

    /// From now on, AWS gives its credentials for our assertions.
    pub(crate) fn grant_aws(&self) {
        let credentials = json!({
            "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "canary-secret-access-key", "SessionToken": "canary-session",
            "Expiration": "2026-11-20T18:00:00Z",
        });
        let answer = json!({"AssumeRoleWithWebIdentityResponse": {
            "AssumeRoleWithWebIdentityResult": { "Credentials": credentials },
        }});
        self.network.hosts.borrow_mut().insert("sts.eu-central-1.amazonaws.com", (200, answer.to_string()));
        self.network.secrets.borrow_mut().push("canary-secret-access-key".to_owned());
    }

    /// Tells the budget of its run that a token is revoked.
    pub(crate) fn revoke_at_budget(&self, token: &str) {
        let print = UnverifiedToken::parse(token).unwrap().fingerprint();
        let claims = json!({
            "iss": GITHUB_ACTIONS, "sub": "x", "aud": "x", "repository_id": "1", "run_id": "2", "run_attempt": "1",
        });
        let claims = Claims::from_object(claims.as_object().unwrap().clone()).unwrap();
        let budget = BudgetName::of("example", BudgetPer::Run, &claims, &print);
        let until = Timestamp::from_unix_seconds(self.now() + 600).unwrap();
        let revoke = Ask::new(&budget, &print, until, Wish::Revoke).to_text();
        let verdict = pollster::block_on(self.budgets.call(budget.object(), &revoke)).unwrap();
        assert_eq!(Verdict::parse(&verdict), Ok(Verdict::Noted));
    }

    /// A valid request.
    pub(crate) fn proxied(&self) -> Proxied {
        self.proxied_with("GET", "/proxy/example/v1/models", &[])
    }

    /// A request with a valid token.
    pub(crate) fn proxied_with(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Proxied {
        let authorization = format!("Bearer {}", self.proxy_token(&json!({})));
        let mut all = vec![("authorization", authorization.as_str())];
        all.extend(headers);
        self.proxied_raw(method, target, &all, &Answer::Head(200, &[]))
    }

    /// Any request, and the upstream's answer.
    pub(crate) fn proxied_raw(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        answer: &Answer<'_>,
    ) -> Proxied {
        self.clock.restart();
        let proxied = pollster::block_on(self.proxy_one(method, target, headers, answer));
        self.background.run();
        proxied
    }

    /// Several at once in one isolate.
    pub(crate) fn proxied_at_once(&self, requests: usize) -> Vec<Proxied> {
        let tokens: Vec<String> =
            (0..requests).map(|_| format!("Bearer {}", self.proxy_token(&json!({})))).collect();
        let headers: Vec<[(&str, &str); 1]> =
            tokens.iter().map(|token| [("authorization", token.as_str())]).collect();
        let all = headers
            .iter()
            .map(|headers| self.proxy_one("GET", "/proxy/example/a", headers, &Answer::Head(200, &[])));
        let answers = pollster::block_on(futures_util::future::join_all(all));
        self.background.run();
        answers
    }

    async fn proxy_one(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        answer: &Answer<'_>,
    ) -> Proxied {
        self.requests.set(self.requests.get() + 1);
        let message = Message::new(headers);
        let url = format!("https://sts.example.com{target}");
        let inquiry = Inquiry { method, url: &url, headers: &message };
        let arrival = Arrival {
            now: Timestamp::from_unix_millis(self.now.get()).unwrap(),
            request_id: format!("request-{}", self.requests.get()),
        };
        let forward = match api::forward(&self.app, &inquiry, arrival, self.ports()).await {
            Outcome::Answer(answer) => return self.own(answer, None),
            Outcome::Forward(forward) => forward,
        };
        let mut sent = message.0;
        for name in &forward.plan.remove {
            sent.remove(name.as_str());
        }
        for (name, value) in &forward.plan.set {
            sent.insert(HeaderName::try_from(name).unwrap(), value.expose().parse().unwrap());
        }
        let arrived = Some(Arrived {
            url: forward.plan.url.clone(),
            headers: sent,
            first_byte_timeout: forward.plan.first_byte_timeout.as_secs(),
            collect: forward.plan.collect.as_ref().map(|collect| collect.most),
        });
        let (status, from) = match answer {
            Answer::After(time, status) => {
                self.clock.wait_until(self.clock.end_of(*time)).await;
                (*status, Ok(Message::new(&[])))
            }
            Answer::Head(status, headers) => (*status, Ok(Message::new(headers))),
            Answer::None(why) => (0, Err(*why)),
        };
        let head = from.as_ref().map(|headers| Head { status, headers }).map_err(|why| *why);
        match forward.settle(head) {
            Ok(edits) => {
                let headers = edited(from.expect("a head").0, edits);
                Proxied { status, headers, body: Value::Null, arrived }
            }
            Err(instead) => self.own(*instead, arrived),
        }
    }

    fn own(&self, answer: http::Response<bytes::Bytes>, arrived: Option<Arrived>) -> Proxied {
        let (parts, body) = answer.into_parts();
        self.refusals.borrow_mut().push(String::from_utf8(body.to_vec()).unwrap());
        Proxied {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
            arrived,
        }
    }
}

fn edited(mut headers: HeaderMap, edits: Edits) -> HeaderMap {
    for name in edits.remove {
        headers.remove(name.as_str());
    }
    for (name, value) in edits.set {
        headers.insert(name, value.parse().unwrap());
    }
    for (name, value) in edits.append {
        headers.append(name, value.parse().unwrap());
    }
    headers
}
