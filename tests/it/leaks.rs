//! Where secrets may be: the App's key nowhere; the App's JWT and read tokens on the way to GitHub; an OIDC token
//! nowhere; a minted token in the answer and in its own revocation; an upstream's body nowhere. Checked on every path
//! with a failing call, by searching everything that leaves: answers, log, KV, outbound requests, events.

use std::collections::BTreeSet;

use http::Method;
use http::header::AUTHORIZATION;
use octo_sts_worker::redact::redact;
use serde_json::{Value, json};

use crate::support::deliveries::{DEPLOY, check_suite, installation, pull_request, push, push_of};
use crate::support::fault::Fault;
use crate::support::platform::Sent;
use crate::support::repositories::sha;
use crate::support::{Answer, POLICY, SECRET, World, keys};

/// One without a recognizable form, and one in the form of a token.
const UPSTREAM: &str = "canary-of-an-upstream-body";

/// What an upstream should not say, as every kind of member that is read.
fn hostile() -> String {
    json!({
        "message": UPSTREAM, "error": UPSTREAM, "issuer": UPSTREAM, "jwks_uri": UPSTREAM, "keys": [UPSTREAM],
        "token": UPSTREAM, "expires_at": UPSTREAM, "id": UPSTREAM, "account": { "login": UPSTREAM },
        "permissions": { "contents": UPSTREAM }, "repositories": [{ "name": UPSTREAM, "full_name": UPSTREAM }],
        "type": "file", "encoding": "base64", "sha": UPSTREAM, "content": UPSTREAM, "path": UPSTREAM,
        "files": [{ "filename": UPSTREAM, "status": UPSTREAM }], "check_runs": [{ "id": UPSTREAM }],
    })
    .to_string()
}

fn faults() -> Vec<Fault> {
    let mut faults: Vec<Fault> = [200, 201, 204, 301, 400, 401, 403, 404, 409, 422, 429, 451, 500, 503]
        .into_iter()
        .map(|status| Fault::Body(status, hostile()))
        .collect();
    faults.extend([
        Fault::Refused,
        Fault::TimedOut,
        Fault::BrokenOff,
        Fault::TooLarge,
        Fault::Garbage,
        Fault::Body(200, format!("[{}]", hostile())),
        Fault::Body(200, format!("{UPSTREAM}\u{0}\u{fffd}")),
        Fault::StatusWith(302, "location", format!("https://evil.example.com/{UPSTREAM}")),
        Fault::StatusWith(403, "retry-after", UPSTREAM.to_owned()),
        Fault::StatusWith(429, "x-ratelimit-reset", UPSTREAM.to_owned()),
        Fault::StatusWith(401, "www-authenticate", UPSTREAM.to_owned()),
    ]);
    faults
}

/// A call that fails from the beginning, and how.
type Wrong<'a> = Option<(&'a str, &'a Fault)>;

/// What happened in a world, and the OIDC tokens that were shown to it.
struct Story {
    world: World,
    tokens: Vec<String>,
    answers: Vec<Answer>,
}

impl Story {
    fn new(wrong: Wrong<'_>) -> Self {
        let world = World::with_settings(&[
            ("LOG_LEVEL", "debug"),
            ("EVENT_INGRESS_URI", "https://events.example.com/ingest"),
        ]);
        let github = world.github();
        github.commit("acme/.github", ".github/chainguard/all.sts.yaml", POLICY);
        github.commit(
            "acme/.github",
            ".github/chainguard/trusted-token-issuers.yaml",
            "issuers: [https://token.actions.githubusercontent.com]",
        );
        github.repositories.tree("acme/app", "a", &[(DEPLOY, POLICY)]);
        github.repositories.tree("acme/app", "b", &[]);
        let file = json!({ "filename": DEPLOY, "status": "added" });
        github.repositories.pull_request("acme/app", 42, vec![file]);
        if let Some((call, fault)) = wrong {
            world.network.fail(call, fault.clone());
        }
        Self { world, tokens: Vec::new(), answers: Vec::new() }
    }

    fn exchange(&mut self, scope: &str, identity: &str, changes: &Value) -> Option<String> {
        let token = self.world.token_with(changes);
        let answer = self.world.exchange_with(scope, identity, &token);
        self.tokens.push(token);
        let minted = answer.body["token"].as_str().map(str::to_owned);
        self.answers.push(answer);
        minted
    }

    /// Exchanges that are granted and refused, and revocations; and once more an hour later, when memory is old.
    fn exchanges(wrong: Wrong<'_>) -> Self {
        let mut story = Self::new(wrong);
        story.world.kv.broken.set(wrong.is_some_and(|(call, _)| call == KV));
        for _ in 0..2 {
            let minted = story.exchange("acme/app", "deploy", &json!({}));
            story.exchange("acme", "all", &json!({}));
            story.exchange("acme/app", "deploy", &json!({ "sub": "repo:acme/app:ref:refs/heads/dev" }));
            story.exchange("acme/app", "missing", &json!({}));
            story.exchange("acme/app", "deploy", &json!({ "exp": story.world.now() - 1 }));
            let credential = minted.unwrap_or_else(|| NOT_MINTED.to_owned());
            let authorization = format!("Bearer {credential}");
            let headers = [("authorization", authorization.as_str())];
            story.answers.push(story.world.call(Method::POST, "/sts/revoke", &headers, ""));
            story.world.advance(3700);
        }
        story
    }

    fn deliveries(wrong: Wrong<'_>) -> Self {
        let mut story = Self::new(wrong);
        story.world.kv.broken.set(wrong.is_some_and(|(call, _)| call == KV));
        for (event, payload) in [
            ("push", push_of(DEPLOY)),
            ("push", push(&json!(vec![json!({ "added": ["x"] }); 20]))),
            ("pull_request", pull_request(1)),
            ("check_suite", check_suite("main", &sha(""), &json!([]))),
            ("installation", installation("suspend")),
        ] {
            story.answers.push(story.world.deliver(event, &payload));
        }
        story
    }

    /// Every outbound request.
    fn calls(&self) -> BTreeSet<String> {
        self.world.network.requests.borrow().iter().map(ToString::to_string).collect()
    }

    /// What must appear only where a credential belongs.
    fn secrets(&self) -> Vec<String> {
        let mut secrets = vec![SECRET.to_owned(), UPSTREAM.to_owned()];
        for token in &self.tokens {
            secrets.push(token.clone());
            secrets.extend(token.rsplit('.').next().map(str::to_owned));
        }
        let pem = keys::app_private_key_pem();
        let key = pem.lines().nth(1).unwrap().as_bytes();
        secrets.extend(key.chunks(48).map(|chunk| String::from_utf8(chunk.to_vec()).unwrap()));
        let sent = self.world.network.requests.borrow();
        secrets.extend(sent.iter().filter_map(credential));
        secrets.extend(self.world.github().ledger.borrow().iter().map(|minted| minted.token.clone()));
        secrets
    }

    fn check(&self, why: &str) {
        let secrets = self.secrets();
        let clean = |place: &str, text: &str| {
            let leaked = secrets.iter().find(|secret| text.contains(secret.as_str()));
            assert_eq!(leaked, None, "{why}: in {place}: {text}");
        };
        let mut delivered = Vec::new();
        for answer in &self.answers {
            let token = answer.body["token"].as_str().filter(|_| answer.status.is_success());
            clean("an answer", &token.map_or(answer.text.clone(), |token| answer.text.replace(token, "")));
            clean("an answer's headers", &format!("{:?}", answer.headers));
            delivered.extend(token.map(str::to_owned));
        }
        self.world.log.texts().iter().for_each(|line| clean("the log", line));
        self.world.kv.values().iter().for_each(|entry| clean("kv", entry));
        self.world.network.ingress.borrow().iter().for_each(|event| clean("an event", &event.to_string()));
        for sent in self.world.network.requests.borrow().iter() {
            let mut headers = sent.headers.clone();
            headers.remove(AUTHORIZATION);
            clean("a request", &format!("{sent} {headers:?} {}", sent.body));
            if let Some(credential) = credential(sent) {
                assert!(self.is_entitled(sent, &credential, &delivered), "{why}: {credential} in {sent}");
            }
        }
    }

    /// Whether the request is one that this credential is for.
    fn is_entitled(&self, sent: &Sent, credential: &str, delivered: &[String]) -> bool {
        let is_minted = self.world.github().ledger.borrow().iter().any(|minted| minted.token == credential);
        let is_of_the_app =
            sent.path.starts_with("/app/") || (sent.method == "GET" && sent.path.ends_with("/installation"));
        let right = match (is_of_the_app, sent.method.as_str()) {
            (true, _) => {
                credential.starts_with("eyJ") && !self.tokens.iter().any(|token| token == credential)
            }
            // The token of an unreadable mint is revoked, as is a token that a caller sends.
            (false, "DELETE") => is_minted || [UPSTREAM, NOT_MINTED].contains(&credential),
            (false, _) => is_minted && !delivered.iter().any(|token| token == credential),
        };
        right && sent.host == "api.github.com"
    }
}

/// What a caller revokes where there was nothing to get.
const NOT_MINTED: &str = "ghs_0000000000000000";

/// Not a call, but KV.
const KV: &str = "kv";

fn credential(sent: &Sent) -> Option<String> {
    let value = sent.headers.get(AUTHORIZATION)?.to_str().unwrap();
    Some(value.strip_prefix("Bearer ").unwrap().to_owned())
}

#[test]
fn no_secret_leaves_whatever_call_of_an_exchange_fails() {
    every_fault_at_every_call(Story::exchanges, 11);
}

#[test]
fn no_secret_leaves_whatever_call_of_a_delivery_fails() {
    every_fault_at_every_call(Story::deliveries, 9);
}

fn every_fault_at_every_call(tell: fn(Wrong<'_>) -> Story, at_least: usize) {
    let healthy = tell(None);
    healthy.check("nothing fails");
    tell(Some((KV, &Fault::Refused))).check("kv fails");
    let calls = healthy.calls();
    assert!(calls.len() >= at_least, "{calls:#?}");
    for call in &calls {
        for fault in faults() {
            tell(Some((call, &fault))).check(&format!("{call} {fault:?}"));
        }
    }
}

/// A credential in the place of a name is the caller's own text, but it is still masked, and nothing else is.
#[test]
fn a_token_in_a_callers_names_is_masked_in_the_log_and_in_the_event() {
    let world = World::with_settings(&[("EVENT_INGRESS_URI", "https://events.example.com/ingest")]);
    world.log.is_redacted.set(true);
    let token = "ghs_16C7e42F292c6912E7710c838347Ae178B4a";
    world.network.secrets.borrow_mut().push(token.to_owned());
    let oidc = world.token_with(&json!({ "sub": token }));
    let authorization = format!("Bearer {oidc}");
    let headers = [("authorization", authorization.as_str()), ("user-agent", &oidc)];
    let target = "/sts/exchange?scope=acme/app&identity=deploy";
    let answer = world.call(Method::GET, target, &headers, "");
    answer.is(403, "permission_denied");
    // The answer is the caller's, who sees what was refused.
    assert!(answer.message().contains(token));
    world
        .call(Method::GET, &format!("/sts/exchange?scope={token}/app&identity=x"), &[], "")
        .is(401, "invalid_token");

    let events = world.events();
    assert_eq!(events[0]["subject"], json!(redact(token)));
    assert_eq!(events[0]["user_agent"], json!(redact(oidc.get(..256).unwrap())));
    assert_eq!(events[1]["scope"], json!(format!("{}/app", redact(token))));
    assert_eq!(events[0]["scope"], "acme/app");
    assert_eq!(events[0]["issuer"], crate::support::GITHUB_ACTIONS);
    let ingress = world.network.ingress.borrow().clone();
    assert_eq!(ingress.iter().map(|event| event["data"].clone()).collect::<Vec<_>>(), events);
    assert_eq!(ingress[1]["subject"], events[1]["scope"]);
    // The refusal was the caller's own text; the world looks for secrets in refusals too.
    world.network.secrets.borrow_mut().clear();
}

#[test]
fn the_audit_event_of_a_grant_is_not_touched() {
    let world = World::new();
    let token = world.exchange().granted().to_owned();
    let event = world.event();
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&token);
    assert_eq!(event["token_sha256"], hex::encode(digest));
    assert_eq!(event["subject"], "repo:acme/app:ref:refs/heads/main");
    assert!(world.log.texts().iter().all(|line| redact(line) == line.as_str()));
}
