//! One request's credential: kept, or had now, and what is to be done with the request's headers for it.

use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::header::AUTHORIZATION;
use http::{HeaderName, StatusCode};
use sha2::{Digest as _, Sha256};

use super::assertion::{AssertionFailure, Assertions};
use super::aws::{self, AwsCredential};
use super::credential::{Credential, Federated, Identity, Kind, Manners, NO_MANNERS, Provider};
use super::failure::{Failure, NotGranted, Reason};
use super::kept::{Claim, Kept, Life, Name, Turn};
use super::sigv4::{SIGNED_BY_US, Signer};
use super::stored::StoredSecret;
use crate::context::Context;
use crate::ports::Level;
use crate::secret::Secret;
use crate::time::Timestamp;

/// An assertion that goes to an upstream as it is is not given out in its last minute.
const ASSERTION_MARGIN: Duration = Duration::from_secs(60);

/// The header in which AWS says what an answer's error is: [`Federation::upstream_answered`] wants its value.
pub const ERROR_TYPE: &str = "x-amzn-errortype";

/// No subject is longer, in characters; relying parties take no more.
const MAX_SUBJECT: usize = 255;

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// The issuer of its OIDC token; for a session token that of its source.
    pub issuer: &'a str,
    /// Likewise.
    pub subject: &'a str,
    /// The OIDC token itself; none where the caller showed a session token.
    pub token: Option<CallerToken<'a>>,
}

/// The verified token of a caller.
#[derive(Debug, Clone, Copy)]
pub struct CallerToken<'a> {
    /// As it came.
    pub text: &'a Secret,
    /// Its `aud`.
    pub audiences: &'a [String],
}

/// What to do with a request for its credential, after everything else was done with it.
#[derive(Debug)]
pub struct Prepared {
    /// Headers that the upstream must not see.
    pub remove: &'static [&'static str],
    /// Headers that are set, whatever there was.
    pub set: Vec<(HeaderName, Rc<Secret>)>,
    /// Values that a header's list has to have, once: [`merged`].
    pub merge: &'static [(&'static str, &'static str)],
    /// Headers that are set where there are none.
    pub if_absent: &'static [(&'static str, &'static str)],
    /// Signs the request when its body is whole; its headers are set last.
    pub signer: Option<Signer>,
    /// What was sent, for [`Federation::upstream_answered`].
    pub sent: Sent,
}

/// Which credential a request got.
#[derive(Debug)]
pub struct Sent(Option<(Name, Rc<Held>)>);

/// A list with a value in it, once.
///
/// ```
/// use octo_sts_worker::federation::merged;
/// assert_eq!(merged(Some("a, b"), "c"), "a, b,c");
/// assert_eq!(merged(Some("a, b"), "b"), "a, b");
/// assert_eq!(merged(None, "a"), "a");
/// ```
#[must_use]
pub fn merged(list: Option<&str>, value: &str) -> String {
    match list.map(str::trim).filter(|list| !list.is_empty()) {
        None => value.to_owned(),
        Some(list) if list.split(',').any(|known| known.trim() == value) => list.to_owned(),
        Some(list) => format!("{list},{value}"),
    }
}

/// What is kept.
#[derive(Debug)]
struct Held {
    given: Given,
    is_aws: bool,
}

#[derive(Debug)]
enum Given {
    /// The value of `Authorization`.
    Bearer(Rc<Secret>),
    /// Keys to sign with.
    Signer(Signer),
}

/// One isolate's credentials for upstreams.
pub struct Federation {
    kept: Rc<Kept<Held>>,
}

impl Default for Federation {
    fn default() -> Self {
        Self { kept: Rc::new(Kept::new()) }
    }
}

impl Federation {
    /// The credential of a request, and what to do with its headers.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn prepare(
        &self,
        credential: &Credential,
        caller: &Caller<'_>,
        assertions: &Rc<dyn Assertions>,
        context: &Context,
    ) -> Result<Prepared, Failure> {
        let federated = match &credential.kind {
            Kind::Stored(stored) => return from_store(stored),
            Kind::Federated(federated) => federated,
        };
        let trader = Trader::new(federated, caller, assertions, &self.kept)?;
        let held = match self.kept.turn(&trader.name, context.now) {
            Turn::Serve(held) => held,
            Turn::Refresh(held, claim) => {
                let (work, after) = (trader.clone(), context.clone());
                // At once and not after the answer, which may begin minutes later. Failures are in the log.
                context
                    .ports
                    .background
                    .wait_until(async move { work.exchange(&claim, &after).await }.map(drop).boxed_local());
                held
            }
            Turn::Exchange(old, claim) => match (trader.exchange(&claim, context).await, old) {
                (Ok(held), _) | (Err(_), Some(held)) => held,
                (Err(failure), None) => return Err(failure),
            },
        };
        Ok(prepared(federated.trade.manners, held, trader.name))
    }

    /// Says what an upstream answered. One that refuses the credential makes the isolate forget it, once in 30 s.
    pub fn upstream_answered(&self, sent: &Sent, status: u16, error_type: Option<&str>, now: Timestamp) {
        let Some((name, held)) = &sent.0 else { return };
        let is_over = held.is_aws
            && status == StatusCode::FORBIDDEN.as_u16()
            && error_type.is_some_and(aws::says_expired);
        if is_over || status == StatusCode::UNAUTHORIZED.as_u16() {
            self.kept.forget(name, held, now);
        }
    }
}

fn from_store(stored: &StoredSecret) -> Result<Prepared, Failure> {
    let value = stored.value.as_ref().ok_or(Failure::Secret(stored.name))?;
    Ok(Prepared {
        remove: NO_MANNERS.remove,
        set: vec![(stored.header.clone(), Rc::clone(value))],
        merge: NO_MANNERS.merge,
        if_absent: NO_MANNERS.if_absent,
        signer: None,
        sent: Sent(None),
    })
}

fn prepared(manners: &'static Manners, held: Rc<Held>, name: Name) -> Prepared {
    let (remove, set, signer) = match &held.given {
        Given::Bearer(bearer) => (manners.remove, vec![(AUTHORIZATION, Rc::clone(bearer))], None),
        Given::Signer(signer) => (SIGNED_BY_US.as_slice(), Vec::new(), Some(signer.clone())),
    };
    Prepared {
        remove,
        set,
        merge: manners.merge,
        if_absent: manners.if_absent,
        signer,
        sent: Sent(Some((name, held))),
    }
}

/// Who makes the exchange of one credential. Its own, so that it can go on after the request.
#[derive(Clone)]
struct Trader {
    federated: Rc<Federated>,
    name: Name,
    /// The assertion's; with a caller's token the calling principal.
    subject: Rc<str>,
    token: Option<Rc<Secret>>,
    assertions: Rc<dyn Assertions>,
    kept: Rc<Kept<Held>>,
}

impl Trader {
    fn new(
        federated: &Rc<Federated>,
        caller: &Caller<'_>,
        assertions: &Rc<dyn Assertions>,
        kept: &Rc<Kept<Held>>,
    ) -> Result<Self, Failure> {
        let trade = &federated.trade;
        let (subject, whose, token) = match trade.identity {
            Identity::Service => (format!("upstream:{}", federated.upstream), String::new(), None),
            Identity::CallerSubject => {
                let subject = principal(caller);
                if subject.chars().count() > MAX_SUBJECT {
                    return Err(Failure::subject());
                }
                (subject.clone(), subject, None)
            }
            Identity::CallerToken => {
                let token = caller.token.ok_or_else(Failure::session)?;
                if !token.audiences.iter().any(|audience| trade.takes(audience)) {
                    return Err(Failure::audience(&trade.audience));
                }
                let text = token.text.expose();
                let owned = Rc::new(Secret::new(text.to_owned()));
                (principal(caller), hex::encode(Sha256::digest(text)), Some(owned))
            }
        };
        Ok(Self {
            federated: Rc::clone(federated),
            name: Name { upstream: Rc::clone(&federated.upstream), whose },
            subject: subject.into(),
            token,
            assertions: Rc::clone(assertions),
            kept: Rc::clone(kept),
        })
    }

    /// Makes the exchange and keeps what it gives.
    async fn exchange(&self, claim: &Claim, context: &Context) -> Result<Rc<Held>, Failure> {
        let outcome = self.have(context).await;
        match outcome {
            Ok((held, life)) => {
                let held = Rc::new(held);
                self.kept.keep(&self.name, Rc::clone(&held), life);
                Ok(held)
            }
            Err(failure) => {
                let at = context.now.plus(context.ports.stopwatch.elapsed());
                self.kept.fail(&self.name, claim, at);
                Err(failure)
            }
        }
    }

    /// Each exchange has an assertion of its own; a temporary refusal is tried once more.
    async fn have(&self, context: &Context) -> Result<(Held, Life), Failure> {
        let mut last_try = false;
        loop {
            let assertion = self.assertion(context).await?;
            match self.trade(&assertion, context).await {
                Ok(had) => return Ok(had),
                Err(not_granted) if not_granted.reason == Reason::Temporary && !last_try => last_try = true,
                Err(not_granted) => {
                    self.log(context, Level::Warn, "upstream credential not granted", &not_granted.fields());
                    return Err(Failure::unavailable(not_granted.retry_after));
                }
            }
        }
    }

    async fn assertion(&self, context: &Context) -> Result<Rc<Secret>, Failure> {
        if let Some(token) = &self.token {
            return Ok(Rc::clone(token));
        }
        let trade = &self.federated.trade;
        match self.assertions.assertion(&self.subject, &trade.audience, trade.lifetime).await {
            Ok(assertion) => Ok(Rc::new(assertion)),
            Err(AssertionFailure::SubjectTooLong) => Err(Failure::subject()),
            Err(AssertionFailure::NotSigned) => {
                self.log(context, Level::Error, "upstream assertion not signed", &[]);
                Err(Failure::unavailable(None))
            }
        }
    }

    async fn trade(&self, assertion: &Rc<Secret>, context: &Context) -> Result<(Held, Life), NotGranted> {
        let fetch = &*context.ports.fetch;
        let (trade, now) = (&self.federated.trade, context.now);
        let (given, life) = match &trade.provider {
            Provider::None => {
                let life = Life::made(now, trade.lifetime, ASSERTION_MARGIN);
                return Ok((Held { given: bearer(assertion), is_aws: false }, life));
            }
            Provider::Exchange(exchange) => {
                let granted = exchange.trade(assertion, fetch).await?;
                (bearer(&granted.credential), granted.life)
            }
            Provider::Google(google) => {
                let granted = google.trade(assertion, now, fetch).await?;
                (bearer(&granted.credential), granted.life)
            }
            Provider::Aws(aws) => {
                let granted = aws.trade(assertion, &self.subject, now, fetch).await?;
                let given = match granted.credential {
                    AwsCredential::Key(key) => bearer(&key),
                    AwsCredential::Signer(signer) => Given::Signer(signer),
                };
                (given, granted.life)
            }
        };
        let is_aws = matches!(trade.provider, Provider::Aws(_));
        Ok((Held { given, is_aws }, Life::traded(now, life)))
    }

    /// A line that says which leg failed, and what we signed: providers say little more than no.
    fn log(&self, context: &Context, level: Level, message: &str, more: &[(&str, &str)]) {
        let trade = &self.federated.trade;
        let mut fields = vec![("upstream", &*self.federated.upstream), ("kind", trade.kind)];
        fields.extend(more);
        if self.token.is_none() {
            let claims: [(&str, &str); 3] =
                [("iss", &self.federated.issuer), ("sub", &self.subject), ("aud", &trade.audience)];
            fields.extend(claims);
        }
        context.log(level, message, &fields);
    }
}

fn bearer(token: &Secret) -> Given {
    Given::Bearer(Rc::new(Secret::new(format!("Bearer {}", token.expose()))))
}

/// The calling principal as a subject. No issuer has `|` in it, so two principals never share one.
fn principal(caller: &Caller<'_>) -> String {
    let issuer = caller.issuer.strip_prefix("https://").unwrap_or(caller.issuer);
    format!("{issuer}|{}", caller.subject)
}
