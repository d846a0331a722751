//! A world with providers, and an issuer of assertions.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use octo_sts_doubles::network::{Network, Peers};
use octo_sts_doubles::sent::{Sent, bodiless, inbound, inbound_with};
use octo_sts_worker::federation::{Caller, Credential, Failure, Federation, Prepared, UpstreamContext};
use octo_sts_worker::issuer::{KeyRing, RsaKey};
use octo_sts_worker::oidc::Claims;
use octo_sts_worker::ports::{BodyError, FetchError, Inbound};
use octo_sts_worker::secret::SecretBytes;
use octo_sts_worker::time::Timestamp;
use serde_json::{Value, json};

use crate::support::{GITHUB_ACTIONS, World};

pub(crate) const SUBJECT: &str = "repo:acme/app:ref:refs/heads/main";

/// The caller's principal as a subject.
pub(crate) const PRINCIPAL: &str = "token.actions.githubusercontent.com|repo:acme/app:ref:refs/heads/main";

/// The key of this service.
fn key() -> &'static (KeyPair, Vec<u8>) {
    static KEY: std::sync::OnceLock<(KeyPair, Vec<u8>)> = std::sync::OnceLock::new();
    KEY.get_or_init(|| {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let der = der.as_ref().to_vec();
        (pair, der)
    })
}

/// What this service signs with.
fn key_ring() -> Rc<KeyRing> {
    let (pair, der) = key();
    // PKCS#1 of 2048 bits: a sequence of an integer of 257 bytes, the first of which is zero, and of 65537.
    let public = pair.public_key().as_ref();
    assert_eq!((public.len(), &public[265..]), (270, [2, 3, 1, 0, 1].as_slice()));
    let key = RsaKey::new(SecretBytes::new(der.clone()), &public[9..265], &public[267..]).unwrap();
    Rc::new(KeyRing::new(key, None, None))
}

/// A request of an exchange.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    /// Of a form or of JSON.
    pub(crate) members: BTreeMap<String, String>,
    pub(crate) body: String,
    pub(crate) timeout: Duration,
    pub(crate) max_body: usize,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The claims of the assertion in it, which must be ours, valid now, and new.
    pub(crate) fn assertion(&self) -> Value {
        let names = ["assertion", "subject_token", "client_assertion", "WebIdentityToken"];
        let token = names.iter().find_map(|name| self.members.get(*name)).expect("an assertion");
        claims_of(token)
    }
}

/// The claims of a token that we signed.
pub(crate) fn claims_of(token: &str) -> Value {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let public = key().0.public_key();
    let der: PublicKeyX509Der<'_> = public.as_der().unwrap();
    let verifier = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der.as_ref());
    verifier.verify(input.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let claims = input.split_once('.').unwrap().1;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

/// The claims of a token that somebody else's key signed.
pub(crate) fn claims_of_unverified(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

/// What a provider answers instead of a grant.
#[derive(Debug, Clone)]
pub(crate) enum Instead {
    Answer(u16, String),
    Headed(u16, &'static str, &'static str),
    Nobody(FetchError),
    Broken(BodyError),
}

/// The providers.
pub(crate) struct Providers {
    pub(crate) asked: RefCell<Vec<Asked>>,
    /// Answers instead of grants, the first for the next request. The last one may stay.
    pub(crate) instead: RefCell<Vec<Instead>>,
    pub(crate) stays: Cell<bool>,
    /// `expires_in`, or until `Expiration`.
    pub(crate) life: Cell<i64>,
    /// STS answers in XML though asked for JSON.
    pub(crate) xml: Cell<bool>,
    now: Cell<i64>,
    seen: RefCell<BTreeSet<String>>,
    secrets: RefCell<Vec<String>>,
}

impl Providers {
    fn grant(&self, what: &str) -> String {
        let token = format!("{what}-token-{}-{}", self.asked.borrow().len(), "x".repeat(20));
        self.secrets.borrow_mut().push(token.clone());
        token
    }

    /// A strict stand-in: it refuses everything that it was not written for.
    fn respond(&self, asked: &Asked) -> Result<Inbound, FetchError> {
        let planned = {
            let mut instead = self.instead.borrow_mut();
            match (instead.is_empty(), self.stays.get() && instead.len() == 1) {
                (true, _) => None,
                (false, true) => Some(instead[0].clone()),
                (false, false) => Some(instead.remove(0)),
            }
        };
        match planned {
            Some(Instead::Answer(status, body)) => return Ok(inbound(status, body)),
            Some(Instead::Headed(status, name, value)) => {
                return Ok(inbound_with(status, &[(name, value)], ""));
            }
            Some(Instead::Nobody(error)) => return Err(error),
            Some(Instead::Broken(error)) => return Ok(bodiless(200, error)),
            None => {}
        }
        if asked.url.starts_with("https://iamcredentials.googleapis.com/") {
            assert!(asked.header("authorization").starts_with("Bearer google-token-"), "{asked:?}");
            let end = Timestamp::from_unix_seconds(self.now.get() + self.life.get()).unwrap();
            let body = json!({"accessToken": self.grant("account"), "expireTime": end.to_rfc3339()});
            return Ok(inbound(200, body.to_string()));
        }
        assert_eq!(asked.header("authorization"), "", "no exchange needs one: {asked:?}");
        let what = [
            ("https://api.anthropic.com/v1/oauth/token", "anthropic"),
            ("https://sts.googleapis.com/v1/token", "google"),
            ("https://login.microsoftonline.com/acme.example.com/oauth2/v2.0/token", "azure"),
            ("https://auth.openai.com/oauth/token", "openai"),
            ("https://auth.example.com/token", "oauth"),
            ("https://sts.eu-central-1.amazonaws.com/", "aws"),
        ];
        let (_, what) = what.iter().find(|(url, _)| *url == asked.url).expect("a provider");
        let body = if *what == "aws" {
            self.session()
        } else {
            json!({"access_token": self.grant(what), "token_type": "Bearer", "expires_in": self.life.get()})
                .to_string()
        };
        Ok(inbound(200, body))
    }

    fn session(&self) -> String {
        let end = self.now.get() + self.life.get();
        let [id, secret, token] = ["aws-id", "aws-secret", "aws-session"].map(|what| self.grant(what));
        if self.xml.get() {
            let end = Timestamp::from_unix_seconds(end).unwrap().to_rfc3339();
            return format!(
                "<?xml version=\"1.0\"?>\n<AssumeRoleWithWebIdentityResponse \
                 xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <AssumeRoleWithWebIdentityResult>\n    \
                 <SubjectFromWebIdentityToken>a &amp; b</SubjectFromWebIdentityToken>\n    <Credentials>\n      \
                 <SessionToken>{token}</SessionToken>\n      <SecretAccessKey>{secret}</SecretAccessKey>\n      \
                 <Expiration>{end}</Expiration>\n      <AccessKeyId>{id}</AccessKeyId>\n    </Credentials>\n    \
                 <PackedPolicySize/>\n  </AssumeRoleWithWebIdentityResult>\n  <ResponseMetadata>\n    \
                 <RequestId>1</RequestId>\n  </ResponseMetadata>\n</AssumeRoleWithWebIdentityResponse>\n"
            );
        }
        let credentials = json!({
            "AccessKeyId": id, "SecretAccessKey": secret, "SessionToken": token,
            "Expiration": f64::from(i32::try_from(end).unwrap()),
        });
        json!({"AssumeRoleWithWebIdentityResponse": {
            "AssumeRoleWithWebIdentityResult": {"Credentials": credentials},
            "ResponseMetadata": {"RequestId": "1"},
        }})
        .to_string()
    }
}

impl Peers for Providers {
    fn answer(&self, _: usize, sent: &Sent) -> Result<Inbound, FetchError> {
        assert_eq!(sent.method, "POST");
        assert_eq!(sent.header("accept"), "application/json");
        let members = match sent.header("content-type") {
            "application/json" => {
                let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let members = sent.body.as_object().unwrap().iter();
                members.map(|(name, value)| (name.clone(), text(value))).collect()
            }
            "application/x-www-form-urlencoded" => sent.text().split('&').map(decoded_pair).collect(),
            other => panic!("{other}"),
        };
        let asked = Asked {
            url: sent.uri.to_string(),
            headers: sent.headers.clone(),
            members,
            body: sent.text().to_owned(),
            timeout: sent.timeout,
            max_body: sent.max_body,
        };
        if !asked.url.contains("iamcredentials")
            && !asked.members.values().any(|value| value.starts_with("caller."))
        {
            let names = ["assertion", "subject_token", "client_assertion", "WebIdentityToken"];
            let signed = names.iter().filter_map(|name| asked.members.get(*name)).cloned();
            self.secrets.borrow_mut().extend(signed);
            let claims = asked.assertion();
            let is_new = self.seen.borrow_mut().insert(claims["jti"].as_str().unwrap().to_owned());
            assert!(is_new, "every exchange has an assertion of its own");
        }
        self.asked.borrow_mut().push(asked.clone());
        self.respond(&asked)
    }
}

fn decoded_pair(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap();
    (decoded(name), decoded(value))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            bytes.extend(hex::decode(&after[..2]).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Everything.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) providers: Rc<Network<Providers>>,
    /// Without them nothing is signed.
    pub(crate) keys: RefCell<Option<Rc<KeyRing>>>,
    pub(crate) federation: Federation,
}

/// What a token of the caller's is for.
pub(crate) struct Shown {
    pub(crate) subject: String,
    pub(crate) token: Option<(String, Vec<String>)>,
}

impl Shown {
    pub(crate) fn session() -> Self {
        Self { subject: SUBJECT.to_owned(), token: None }
    }

    pub(crate) fn token(text: &str, audiences: &[&str]) -> Self {
        let audiences = audiences.iter().map(|audience| (*audience).to_owned()).collect();
        Self { token: Some((text.to_owned(), audiences)), ..Self::session() }
    }

    pub(crate) fn subject(subject: &str) -> Self {
        Self { subject: subject.to_owned(), token: None }
    }
}

impl Stage {
    pub(crate) fn new() -> Self {
        let world = World::new();
        let providers = Providers {
            asked: RefCell::default(),
            instead: RefCell::default(),
            stays: Cell::new(false),
            life: Cell::new(3600),
            xml: Cell::new(false),
            now: Cell::new(world.now()),
            seen: RefCell::default(),
            secrets: RefCell::default(),
        };
        Self {
            providers: Rc::new(Network::new(providers, &world.clock)),
            world,
            keys: RefCell::new(Some(key_ring())),
            federation: Federation::default(),
        }
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.world.advance(seconds);
        self.providers.now.set(self.world.now());
    }

    /// The next answers of the providers.
    pub(crate) fn instead(&self, instead: &[Instead]) {
        *self.providers.instead.borrow_mut() = instead.to_vec();
        self.providers.stays.set(false);
    }

    /// All answers from now on.
    pub(crate) fn always(&self, instead: Instead) {
        *self.providers.instead.borrow_mut() = vec![instead];
        self.providers.stays.set(true);
    }

    pub(crate) fn refuse(&self, status: u16, body: &Value) {
        self.always(Instead::Answer(status, body.to_string()));
    }

    pub(crate) fn heal(&self) {
        self.providers.instead.borrow_mut().clear();
    }

    /// How many exchanges there were.
    pub(crate) fn exchanges(&self) -> usize {
        self.providers.asked.borrow().len()
    }

    pub(crate) fn last(&self) -> Asked {
        self.providers.asked.borrow().last().expect("an exchange").clone()
    }

    pub(crate) async fn prepare_now(
        &self,
        credential: &Credential,
        shown: &Shown,
    ) -> Result<Prepared, Failure> {
        let mut context = self.world.context_in(0);
        context.ports.fetch = self.providers.clone();
        let audiences = shown.token.as_ref().map_or_else(|| vec!["a".to_owned()], |(_, list)| list.clone());
        let now = self.world.now();
        let claims = json!({
            "iss": GITHUB_ACTIONS, "sub": shown.subject, "aud": audiences, "iat": now, "exp": now + 300,
        });
        let claims = Claims::from_object(claims.as_object().unwrap().clone()).unwrap();
        let token = shown.token.as_ref().map(|(text, _)| text.as_str());
        let caller = Caller { claims: &claims, token };
        let keys = self.keys.borrow().clone();
        self.federation.prepare(credential, &caller, keys.as_ref(), &context).await
    }

    /// One request; what it leaves for later is done.
    pub(crate) fn prepare_as(&self, credential: &Credential, shown: &Shown) -> Result<Prepared, Failure> {
        let prepared = pollster::block_on(self.prepare_now(credential, shown));
        self.settle();
        prepared
    }

    pub(crate) fn prepare(&self, credential: &Credential) -> Result<Prepared, Failure> {
        self.prepare_as(credential, &Shown::session())
    }

    /// One request; what it leaves for later is left.
    pub(crate) fn prepare_only(&self, credential: &Credential) -> Result<Prepared, Failure> {
        pollster::block_on(self.prepare_now(credential, &Shown::session()))
    }

    /// The work after the answers.
    pub(crate) fn settle(&self) {
        self.world.run_deferred(&self.world.context_in(0));
    }

    /// `Authorization` of a request.
    #[track_caller]
    pub(crate) fn bearer(&self, credential: &Credential) -> String {
        bearer(&self.prepare(credential).unwrap())
    }

    /// The lines of the log about upstreams.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let is_ours =
            |line: &Value| line["message"].as_str().is_some_and(|text| text.starts_with("upstream "));
        self.world.log.lines().into_iter().filter(is_ours).collect()
    }
}

/// Every seen secret is searched for in all output.
impl Drop for Stage {
    fn drop(&mut self) {
        let mut secrets = self.world.network.secrets.borrow_mut();
        secrets.extend(self.providers.secrets.take());
        secrets.push("a stored canary".to_owned());
    }
}

/// `Authorization` of a prepared request.
#[track_caller]
pub(crate) fn bearer(prepared: &Prepared) -> String {
    let (name, value) = &prepared.headers.set[0];
    assert_eq!(name, "authorization");
    assert_eq!(prepared.headers.set.len(), 1);
    value.expose().to_owned()
}

pub(crate) const UPSTREAM: &str = "acme-api";

pub(crate) fn credential(value: &Value) -> Credential {
    let upstream = UpstreamContext {
        name: UPSTREAM,
        domain: "sts.example.com",
        allow_loopback_http: false,
        has_issuer_key: true,
        setting: &|_| Some("a stored canary".to_owned()),
    };
    let mut problems = Vec::new();
    Credential::parse(value, "acme-api.credential", &upstream, &mut problems)
        .unwrap_or_else(|| panic!("{problems:?}"))
}

/// A kind with what it needs, and changes.
pub(crate) fn kind(name: &str, changes: &Value) -> Credential {
    let mut members = super::setting::kinds()[name].clone();
    for (member, value) in changes.as_object().unwrap() {
        members[member] = value.clone();
    }
    credential(&json!({ name: members }))
}
