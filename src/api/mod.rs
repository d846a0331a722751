//! `http::Request` to `http::Response`: the whole route table. Start reading here, go on in [`crate::sts::exchange`].
//!
//! | method | path | |
//! | --- | --- | --- |
//! | GET | `/` | name, version, documentation |
//! | GET | `/healthz` | alive; reads no configuration |
//! | GET | `/readyz` | which settings are missing or malformed |
//! | GET, POST | `/sts/exchange` | OIDC token in, installation token out |
//! | POST | `/sts/token` | the same with RFC 8693, for any OAuth client |
//! | POST | `/sts/revoke` | revokes an installation token |
//! | GET | `/.well-known/…` | documents for relying parties and OAuth clients |
//! | any | `/proxy/{upstream}/…` | [`forward`]: sends a request on with another credential |
//! | POST | `/webhook`, and `/` with `X-GitHub-Event` | GitHub's deliveries |
//!
//! HEAD is answered as GET without a body, except under `/sts/`. One trailing slash is ignored. Every answer is JSON
//! with `X-Request-Id` and `X-Content-Type-Options: nosniff`; under `/sts/` nothing may be stored. No CORS header
//! anywhere.

mod answer;
mod error;
mod proxy;
mod readiness;
mod well_known;

pub use proxy::{Forward, Outcome, forward};

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, Method, Request, Response};

use crate::config::{Config, GITHUB_APP_PRIVATE_KEY_PREVIOUS};
use crate::context::Context;
use crate::federation::Federation;
use crate::issuer::Metadata;
use crate::ports::{Level, Ports};
use crate::problem::Problem;
use crate::sts::{self, Event, EventKind, Service};
use crate::time::Timestamp;
use crate::webhook::{self, Deliveries, X_GITHUB_EVENT};

use well_known::Document;

use answer::{STS, answer, delivered, granted, issued_token, json, revoked};

/// One isolate's state.
pub struct App {
    service: Rc<Service>,
    deliveries: Deliveries,
    federation: Federation,
    /// Made once, when somebody asks: what is published costs nothing per request, and an exchange nothing at all.
    metadata: OnceCell<Metadata>,
    /// Whether the log has been told what is wrong with the settings.
    is_told: Cell<bool>,
}

impl App {
    /// An isolate that has just started.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            service: Rc::new(Service::new(config)),
            deliveries: Deliveries::default(),
            federation: Federation::default(),
            metadata: OnceCell::new(),
            is_told: Cell::new(false),
        }
    }

    /// Logs problems of settings that disable nothing else, or not everything, once in an isolate's life.
    fn tell_settings(&self, context: &Context) {
        if self.is_told.replace(true) {
            return;
        }
        let config = &self.service.config;
        let has_nothing_to_tell = config.malformed.is_empty()
            && config.proxy.problems.is_empty()
            && config.proxy.warnings.is_empty();
        if !has_nothing_to_tell {
            self.tell_problems(context);
        }
    }

    #[inline(never)] // Where all is well, nobody compiles it.
    fn tell_problems(&self, context: &Context) {
        let config = &self.service.config;
        let why = |name: &str| config.reasons.get(name).copied().unwrap_or("not-usable");
        for name in config.unpublished_keys() {
            let fields = [("setting", name), ("reason", why(name))];
            context.log(Level::Error, "an issuer key is malformed and not published", &fields);
        }
        if config.malformed.contains(&GITHUB_APP_PRIVATE_KEY_PREVIOUS) {
            let name = GITHUB_APP_PRIVATE_KEY_PREVIOUS;
            let fields = [("setting", name), ("reason", why(name))];
            context.log(Level::Error, "the app's other private key is malformed and not used", &fields);
        }
        let proxy = &config.proxy;
        for problem in &proxy.problems {
            context.log(Level::Error, "upstreams are malformed", &[("problem", problem)]);
        }
        for warning in &proxy.warnings {
            context.log(Level::Warn, "upstreams have warnings", &[("warning", warning)]);
        }
    }

    /// Logs which settings a request lacked: its caller may not be the operator.
    #[inline(never)] // A grant does not compile it.
    fn tell_misconfigured(&self, problem: &Problem, context: &Context) {
        let Problem::Misconfigured(names) = problem else { return };
        let reasons = &self.service.config.reasons;
        let why = |name: &&'static str| reasons.get(name).map(|reason| format!("{name}: {reason}"));
        let reasons: Vec<String> = names.iter().filter_map(why).collect();
        let fields = [("settings", names.join(", ")), ("reasons", reasons.join(", "))];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        context.log(Level::Error, "settings are missing or malformed", &fields);
    }
}

/// What the platform reads once, when a request arrives.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The `now` of every decision in the request; only time limits use the stopwatch.
    pub now: Timestamp,
    /// Unique; the caller cannot influence it.
    pub request_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Root,
    Health,
    Readiness,
    Exchange,
    Token,
    Revoke,
    Webhook,
    WellKnown(Document),
}

impl Route {
    fn of(method: &Method, path: &str, headers: &HeaderMap) -> Option<Self> {
        let path = path.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(path);
        match path {
            // Where the Go service takes them.
            "/" if method == Method::POST && headers.contains_key(X_GITHUB_EVENT) => Some(Self::Webhook),
            "/" => Some(Self::Root),
            "/healthz" => Some(Self::Health),
            "/readyz" => Some(Self::Readiness),
            "/sts/exchange" => Some(Self::Exchange),
            "/sts/token" => Some(Self::Token),
            "/sts/revoke" => Some(Self::Revoke),
            "/webhook" => Some(Self::Webhook),
            "/.well-known/openid-configuration" => Some(Self::WellKnown(Document::OpenIdConfiguration)),
            "/.well-known/jwks.json" => Some(Self::WellKnown(Document::KeySet)),
            "/.well-known/oauth-authorization-server" => Some(Self::WellKnown(Document::AuthorizationServer)),
            _ => None,
        }
    }

    /// The methods that a route supports, as `Allow` lists them.
    const fn allowed(self) -> &'static str {
        match self {
            Self::Root | Self::Health | Self::Readiness | Self::WellKnown(_) => "GET, HEAD",
            Self::Exchange => "GET, POST",
            Self::Token | Self::Revoke | Self::Webhook => "POST",
        }
    }

    fn takes(self, method: &Method) -> bool {
        self.allowed().split(", ").any(|allowed| method == allowed)
    }
}

/// How much of the body the platform reads. If there is more, it passes on one byte more than this.
#[must_use]
pub fn body_limit(method: &Method, path: &str, headers: &HeaderMap) -> usize {
    match Route::of(method, path, headers) {
        Some(Route::Exchange | Route::Token) if method == Method::POST => sts::MAX_BODY,
        Some(Route::Webhook) if method == Method::POST => webhook::MAX_BODY,
        _ => 0,
    }
}

/// Names already: to make one at run time, an isolate compiles the table of all names that `http` knows, 12 KB.
static HEADERS: [HeaderName; 7] = [
    // Of any request.
    AUTHORIZATION,
    HeaderName::from_static("cf-connecting-ip"),
    USER_AGENT,
    // Of one with a body: forms, JSON and deliveries.
    CONTENT_TYPE,
    HeaderName::from_static("x-github-delivery"),
    HeaderName::from_static("x-github-event"),
    HeaderName::from_static("x-hub-signature-256"),
];

/// The headers of a request of this method that anything here reads. The platform hands over no other one.
#[must_use]
pub fn headers(method: &Method) -> &'static [HeaderName] {
    let [all @ .., _, _, _, _] = &HEADERS;
    if method == Method::POST { &HEADERS } else { all }
}

/// Answers one request. Never fails: every failure is an answer.
///
/// A request is completed even if the caller hangs up, as GitHub does after ten seconds: read tokens are revoked,
/// a check run is written, and the event is there.
/// <https://docs.github.com/en/webhooks/using-webhooks/best-practices-for-using-webhooks#respond-within-10-seconds>
pub async fn handle(
    app: &Rc<App>,
    request: Request<Bytes>,
    arrival: Arrival,
    ports: Ports,
) -> Response<Bytes> {
    let context = Context::new(arrival.now, &arrival.request_id, app.service.config.log_level, ports);
    app.tell_settings(&context);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let (app, own) = (Rc::clone(app), context.clone());
    let outcome =
        context.see_through(async move { dispatch(&app, &request, &own).await }.boxed_local()).await;
    answer(outcome.unwrap_or(Err(Problem::Internal)), &method, uri.path(), &arrival.request_id)
}

async fn dispatch(
    app: &App,
    request: &Request<Bytes>,
    context: &Context,
) -> Result<Response<Bytes>, Problem> {
    let outcome = routed(app, request, context).await;
    if let Err(problem) = &outcome {
        app.tell_misconfigured(problem, context);
    }
    outcome
}

async fn routed(app: &App, request: &Request<Bytes>, context: &Context) -> Result<Response<Bytes>, Problem> {
    let App { service, deliveries, .. } = app;
    let Some(route) = Route::of(request.method(), request.uri().path(), request.headers()) else {
        return Err(Problem::NotFound);
    };
    let taken =
        if route.takes(request.method()) { Ok(()) } else { Err(Problem::MethodNotAllowed(route.allowed())) };
    match (route, taken) {
        (Route::Exchange, taken) => exchange(request, taken.err(), service, context).boxed_local().await,
        (Route::Revoke, taken) => revoke(request, taken.err(), service, context).boxed_local().await,
        (Route::Token, taken) => token(request, taken.err(), service, context).boxed_local().await,
        (Route::WellKnown(document), taken) => well_known::answer(document, taken, app),
        (_, Err(problem)) => Err(problem),
        (Route::Webhook, Ok(())) => {
            let outcome = webhook::deliver(request, service, deliveries, context).boxed_local().await;
            outcome.map(|outcome| delivered(&outcome))
        }
        (Route::Root, Ok(())) => Ok(json(&readiness::about())),
        (Route::Health, Ok(())) => Ok(json(&readiness::health())),
        (Route::Readiness, Ok(())) => Ok(readiness::readiness(&service.config)),
    }
}

/// Answers a request that the platform could not parse, without a method or a path. Nobody knows what the caller
/// wanted, so the answer has the strictest route's headers, and there is no exchange to audit.
#[must_use]
pub fn unreadable_request(arrival: &Arrival) -> Response<Bytes> {
    let problem = Problem::InvalidRequest("the request cannot be read".to_owned());
    answer(Err(problem), &Method::GET, STS, &arrival.request_id)
}

async fn exchange(
    request: &Request<Bytes>,
    not_allowed: Option<Problem>,
    service: &Service,
    context: &Context,
) -> Result<Response<Bytes>, Problem> {
    let mut event = Event::new(EventKind::Exchange, request.headers(), context);
    let outcome = match (not_allowed, &service.config.exchange) {
        (Some(problem), _) => Err(problem),
        (None, Err(misconfigured)) => Err(misconfigured.into()),
        (None, Ok(config)) => {
            sts::exchange(request, service, config, context, &mut event).boxed_local().await
        }
    };
    let outcome = service.limits.limit_refusals(outcome, request.headers(), context).await;
    event.close(outcome.as_ref().map(|_| "granted"), service.config.event_ingress.as_ref(), context);
    outcome.map(|token| granted(&token, context))
}

async fn token(
    request: &Request<Bytes>,
    not_allowed: Option<Problem>,
    service: &Service,
    context: &Context,
) -> Result<Response<Bytes>, Problem> {
    let mut event = Event::new(EventKind::Exchange, request.headers(), context).by_token_endpoint();
    let outcome = match not_allowed {
        Some(problem) => Err(problem),
        None => sts::token(request, service, context, &mut event).await,
    };
    let outcome = service.limits.limit_refusals(outcome, request.headers(), context).await;
    event.close(outcome.as_ref().map(|_| "granted"), service.config.event_ingress.as_ref(), context);
    outcome.map(|issued| issued_token(&issued, context))
}

async fn revoke(
    request: &Request<Bytes>,
    not_allowed: Option<Problem>,
    service: &Service,
    context: &Context,
) -> Result<Response<Bytes>, Problem> {
    let mut event = Event::new(EventKind::Revoke, request.headers(), context);
    let outcome = match not_allowed {
        Some(problem) => Err(problem),
        None => sts::revoke(request.headers(), service, context, &mut event).await,
    };
    let outcome = service.limits.limit_refusals(outcome, request.headers(), context).await;
    event.close(outcome.as_ref().map(|()| "revoked"), service.config.event_ingress.as_ref(), context);
    outcome.map(|()| revoked())
}
