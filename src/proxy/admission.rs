//! The order of checks, in one place, numbered as in docs/proxy.md. The first step that fails determines the answer,
//! later steps do no work, and nothing about any upstream is revealed before step 7 has passed.
//!
//! Types carry what has been established: `VerifiedClaims` (7) or a session make a [`Caller`], only a caller can be
//! admitted (9), and only what was admitted and counted (13) becomes a [`Plan`] (15).

use std::rc::Rc;

use http::Uri;
use sha2::{Digest as _, Sha256};

use super::audit::Event;
use super::budgets;
use super::outgoing::{self, MAX_COLLECTED};
use super::plan::{Plan, Settlement};
use super::route::Target;
use super::session::{self, Sessions};
use crate::authn::{self, Authn, credential_of, plain_credential};
use crate::config::{AuthnConfig, Misconfigured, ProxyConfig, Upstream};
use crate::context::Context;
use crate::federation::{self, Federation, Prepared};
use crate::issuer::KeyRing;
use crate::issuer::session::{Claimed, is_issuer};
use crate::oidc::Claims;
use crate::policy::{Pattern, admit};
use crate::ports::Headers;
use crate::problem::Problem;
use crate::time::Timestamp;

/// A request as the platform shows it; its body stays there.
pub struct Inquiry<'a> {
    /// As it came.
    pub method: &'a str,
    /// The address with the target as it came, before any URL parser wrote it its own way.
    pub url: &'a str,
    /// As they came.
    pub headers: &'a dyn Headers,
}

/// What the order of checks needs of the isolate.
pub struct Surroundings<'a> {
    /// The proxy's settings, or why it is closed.
    pub part: &'a Result<ProxyConfig, Misconfigured>,
    /// Issuers and their keys.
    pub(crate) authn: &'a Authn,
    /// Credentials for upstreams.
    pub federation: &'a Federation,
    /// Our own keys, for session tokens.
    pub issuer: &'a Result<Option<Rc<KeyRing>>, Misconfigured>,
    /// The sessions that are known already.
    pub sessions: &'a Sessions,
    /// Where events go in addition to the log.
    pub ingress: Option<&'a Uri>,
}

/// Headers of an answer.
pub type AnswerHeaders = Rc<[(&'static str, String)]>;

/// The outcome of a request.
#[derive(Debug)]
pub enum Admission {
    /// A preflight: these headers and nothing else.
    Preflight(AnswerHeaders),
    /// It is refused, with these headers for a page in a browser.
    Refused(Box<Refusal>),
    /// It goes to the upstream.
    Admitted(Box<Plan>),
}

/// A refusal whose event is still open, because the caller's answer may change.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub problem: Problem,
    /// For a page in a browser.
    pub cors: AnswerHeaders,
    event: Option<Event>,
}

impl Refusal {
    /// Ends the request with its event, which has the caller's answer.
    #[must_use]
    pub fn close(self, ingress: Option<&Uri>, context: &Context) -> (Problem, AnswerHeaders) {
        if let Some(event) = self.event {
            event.close(self.problem.code(), ingress, context);
        }
        (self.problem, self.cors)
    }
}

/// Who calls: verified, or named by a verified session token. Only this module makes it.
struct Caller {
    /// The OIDC token's, or those that the session's subject token had.
    claims: Claims,
    /// Of the OIDC token, or of the session's subject token.
    fingerprint: String,
    /// When the presented token expires.
    expires_at: Timestamp,
    /// Whether a session token was presented.
    is_session: bool,
}

/// Takes all steps.
pub async fn decide(inquiry: &Inquiry<'_>, surroundings: &Surroundings<'_>, context: &Context) -> Admission {
    // 1. the route
    let Some(target) = Target::of(inquiry.url) else {
        return refused(Problem::NotFound, Rc::default(), None);
    };
    let value = |name| inquiry.headers.value(name);
    let mut event = Event::new(target.name, inquiry.method, target.path, value("user-agent"), context);
    let config = match surroundings.part {
        Ok(config) => config,
        Err(misconfigured) => {
            return refused(misconfigured.into(), Rc::default(), Some(event));
        }
    };
    let upstream = config.upstreams.find(target.name);
    upstream.inspect(|upstream| context.notes.set_upstream(&upstream.name));
    let origin = value("origin");
    let cors = upstream.and_then(|upstream| upstream.cors.as_ref());
    let answer_headers: AnswerHeaders =
        cors.map(|cors| cors.answer(origin.as_deref()).into()).unwrap_or_default();
    let spelling = target.check_spelling().and_then(|()| check_framing(inquiry));
    if let (Ok(()), Some(cors), Some(upstream)) = (&spelling, cors, upstream)
        && let ("OPTIONS", Some(origin), Some(asked)) =
            (inquiry.method, &origin, value("access-control-request-method"))
    {
        let headers = cors.preflight(Some(origin), &asked, upstream.methods.as_deref());
        return Admission::Preflight(headers.into());
    }
    let steps = Steps { inquiry, surroundings, config, target, upstream, context };
    let outcome = match spelling {
        Ok(()) => steps.take_all(&mut event).await,
        Err(problem) => Err(problem),
    };
    match outcome {
        Ok(Counted { upstream, remaining, prepared }) => {
            let (wanted, sent) = (prepared.headers, prepared.sent);
            let settlement = Settlement {
                event,
                ingress: surroundings.ingress.cloned(),
                upstream: upstream.name.clone(),
                url: upstream.url.clone(),
                path: target.path.to_owned(),
                redirects: upstream.redirects,
                cors: answer_headers,
                remaining,
                sent_at: context.ports.stopwatch.elapsed(),
                federation: surroundings.federation.clone(),
                sent,
            };
            context.count_subrequest();
            // 15. forward
            Admission::Admitted(Box::new(outgoing::plan(inquiry, &target, upstream, wanted, settlement)))
        }
        Err(problem) => refused(problem, answer_headers, Some(event)),
    }
}

fn refused(problem: Problem, cors: AnswerHeaders, event: Option<Event>) -> Admission {
    Admission::Refused(Box::new(Refusal { problem, cors, event }))
}

/// Step 1: a body that the runtime cannot send on.
fn check_framing(inquiry: &Inquiry<'_>) -> Result<(), Problem> {
    let is_chunked = || inquiry.headers.value("transfer-encoding").is_some();
    if matches!(inquiry.method, "GET" | "HEAD") && is_chunked() {
        return Err(Problem::InvalidRequest(format!("a chunked body with `{}`", inquiry.method)));
    }
    Ok(())
}

struct Steps<'a> {
    inquiry: &'a Inquiry<'a>,
    surroundings: &'a Surroundings<'a>,
    config: &'a ProxyConfig,
    target: Target<'a>,
    /// Known from the beginning, and revealed from step 8 on.
    upstream: Option<&'a Upstream>,
    context: &'a Context,
}

/// Let through and counted.
struct Counted<'a> {
    upstream: &'a Upstream,
    remaining: u32,
    prepared: Prepared,
}

impl<'a> Steps<'a> {
    async fn take_all(&self, event: &mut Event) -> Result<Counted<'a>, Problem> {
        // 2. the credential of the caller
        let credential = self.credential()?;

        // 3. to 7. the token
        let caller = self.caller(&credential, event).await?;

        // 8. the upstream exists, and its secret or key does
        let upstream = self.upstream.ok_or(Problem::NotFound)?;
        let keys = self.keys(upstream)?;

        // 9. the rules
        match admit(&upstream.allow, &caller.claims) {
            Ok(matched) => event.claims = matched,
            Err(denial) => {
                event.claims.clone_from(denial.matched_claims());
                return Err(Problem::PermissionDenied(denial.to_string()));
            }
        }

        // 10. the age cap; a session has its own end
        if !caller.is_session {
            check_age(&caller.claims, upstream, self.context.now)?;
        }

        // 11. the method, then the path
        self.check_method(upstream)?;
        self.check_path(upstream)?;

        // 12. an upgrade; not earlier, because it needs authentication like everything else
        if self.inquiry.headers.value("upgrade").is_some() {
            return Err(Problem::NotImplemented("upgrades are not forwarded".to_owned()));
        }

        // A body that cannot be forwarded does not cost any budget.
        if upstream.credential.signs_bodies() {
            self.check_collected()?;
        }

        // 13. the budget
        let Caller { claims, fingerprint, expires_at, .. } = &caller;
        let remaining = budgets::take(upstream, claims, fingerprint, *expires_at, self.context).await?;
        event.remaining = Some(remaining);

        // 14. the upstream's credential
        let token = (!caller.is_session).then_some(credential.as_str());
        let federated = federation::Caller { claims: &caller.claims, token };
        let prepared =
            self.surroundings.federation.prepare(&upstream.credential, &federated, keys, self.context);
        let prepared = prepared.await.map_err(outgoing::not_prepared)?;
        Ok(Counted { upstream, remaining, prepared })
    }

    /// Step 8: the settings that the upstream's credential needs. The keys of this service, if it is an issuer.
    fn keys(&self, upstream: &Upstream) -> Result<Option<&'a Rc<KeyRing>>, Problem> {
        if let Some(secret) = upstream.credential.missing_secret() {
            return Err(Problem::Misconfigured(vec![secret]));
        }
        match self.surroundings.issuer {
            Ok(keys) => Ok(keys.as_ref()),
            Err(misconfigured) if upstream.credential.needs_issuer_key() => Err(misconfigured.into()),
            Err(_) => Ok(None),
        }
    }

    /// A buffered body has a maximum size, and the runtime cannot create a GET or HEAD with a body.
    fn check_collected(&self) -> Result<(), Problem> {
        let (method, length) = (self.inquiry.method, self.declared_length());
        if length > Some(MAX_COLLECTED) {
            return Err(Problem::PayloadTooLarge(MAX_COLLECTED));
        }
        if matches!(method, "GET" | "HEAD") && length > Some(0) {
            return Err(Problem::InvalidRequest(format!("a body with `{method}` cannot be signed")));
        }
        Ok(())
    }

    /// `Content-Length`, as declared.
    fn declared_length(&self) -> Option<usize> {
        self.inquiry.headers.value("content-length")?.trim().parse().ok()
    }

    /// Step 2: one value, in any of the headers that clients use for it.
    fn credential(&self) -> Result<String, Problem> {
        let value = |name: &str| self.inquiry.headers.value(name);
        let mut found: Option<String> = None;
        let mut add = |credential: String| match &found {
            Some(other) if *other != credential => {
                Err(Problem::InvalidToken("there are several different credentials".to_owned()))
            }
            Some(_) => Ok(()),
            None => {
                found = Some(credential);
                Ok(())
            }
        };
        if let Some(mut authorization) = value("authorization") {
            // Behind the scheme.
            let starts = authorization.len() - credential_of(&authorization)?.len();
            authorization.drain(..starts);
            add(authorization)?;
        }
        if let Some(key) = value("x-api-key") {
            plain_credential(&key)?;
            add(key)?;
        }
        let own = self.upstream.map(|upstream| upstream.credential.header());
        if let Some(own) = own.filter(|name| !matches!(*name, "authorization" | "x-api-key"))
            && let Some(key) = value(own)
        {
            plain_credential(&key)?;
            add(key)?;
        }
        found.ok_or_else(|| {
            Problem::InvalidToken("there is no token in `authorization` or `x-api-key`".to_owned())
        })
    }

    /// Steps 3 to 7. A session token is recognized by its unverified issuer, which is this service.
    async fn caller(&self, credential: &str, event: &mut Event) -> Result<Caller, Problem> {
        let config: &AuthnConfig = &self.config.authn;
        // Claims are read once: a session token is of a type of its own and fails before that.
        let token = authn::parse(credential);
        let may_be_own = match &token {
            Ok(token) => token.issuer().is_ok_and(|issuer| is_issuer(issuer, &config.domain)),
            Err(_) => true,
        };
        if may_be_own && let Some(claimed) = Claimed::of(credential, &config.domain) {
            // One hash names it to the log and to this isolate.
            let hash: [u8; 32] = Sha256::digest(credential).into();
            event.session_token(&hash);
            let (name, upstream) = (self.target.name, self.upstream);
            let session =
                session::verify(claimed, hash, name, upstream, config, self.surroundings, self.context)
                    .await?;
            event.issuer = Some(session.source().issuer().to_owned());
            event.subject = Some(session.source().subject().to_owned());
            let expires_at = session.expires_at();
            let (claims, fingerprint) = session.into_subject();
            return Ok(Caller { claims, fingerprint, expires_at, is_session: true });
        }
        let presented = authn::present_token(token?, config, self.context.now)?;
        event.issuer = Some(presented.issuer.as_str().to_owned());
        let verified = self.surroundings.authn.verified(&presented, config, self.context).await?;
        event.subject = Some(verified.claims().subject().to_owned());
        let expires_at = presented.token.expires_at();
        Ok(Caller {
            claims: verified.into_claims(),
            fingerprint: presented.token.fingerprint(),
            expires_at: expires_at.map_err(|error| Problem::InvalidToken(error.to_string()))?,
            is_session: false,
        })
    }

    fn check_method(&self, upstream: &Upstream) -> Result<(), Problem> {
        let method = self.inquiry.method;
        let is_listed =
            upstream.methods.as_ref().is_none_or(|methods| methods.iter().any(|listed| listed == method));
        if is_listed && !matches!(method, "CONNECT" | "TRACE" | "TRACK") {
            return Ok(());
        }
        Err(Problem::PermissionDenied(format!("the method `{method}` is not allowed")))
    }

    fn check_path(&self, upstream: &Upstream) -> Result<(), Problem> {
        if upstream.paths.is_some() || !upstream.url.path().is_empty() {
            self.target.check_path()?;
        }
        let path = self.target.path;
        if upstream.paths.as_ref().is_none_or(|paths| Pattern::any_matches(paths, path)) {
            return Ok(());
        }
        Err(Problem::PermissionDenied("the path is not allowed".to_owned()))
    }
}

/// Step 10: in addition to the token's own expiry, never instead of it.
pub fn check_age(claims: &Claims, upstream: &Upstream, now: Timestamp) -> Result<(), Problem> {
    let Some(most) = upstream.max_token_age else { return Ok(()) };
    let issued_at = claims.issued_at().map_err(|error| Problem::InvalidToken(error.to_string()))?;
    let age = now.unix_seconds().saturating_sub(issued_at.unix_seconds());
    if u64::try_from(age).unwrap_or(0) <= most.as_secs() {
        return Ok(());
    }
    let text = format!("the token is `{age}` seconds old, and may be `{}`", most.as_secs());
    Err(Problem::InvalidToken(text))
}
