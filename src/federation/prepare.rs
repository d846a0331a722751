//! One request's credential, from memory or new, and the changes to the request's headers for it.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::header::AUTHORIZATION;
use http::{HeaderName, StatusCode};
use sha2::{Digest as _, Sha256};

use super::aws::{self, AwsCredential};
use super::credential::{Credential, Federated, Identity, Kind, Manners, NO_MANNERS, Provider};
use super::failure::{Failure, NotGranted, Reason};
use super::kept::{Claim, Kept, Life, Name, Turn};
use super::sigv4::{SIGNED_BY_US, Signer};
use super::stored::StoredSecret;
use crate::context::Context;
use crate::issuer::{Assertion, AssertionError, KeyRing, Subject, assertion};
use crate::oidc::Claims;
use crate::ports::Level;
use crate::secret::Secret;
use crate::time::Timestamp;

/// An assertion that is itself the credential is not used in its last minute.
const ASSERTION_MARGIN: Duration = Duration::from_secs(60);

/// The header in which AWS names the error of an answer; [`Federation::upstream_answered`] needs its value.
pub const ERROR_TYPE: &str = "x-amzn-errortype";

/// Who calls.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The verified claims; for a session token, those of its source.
    pub claims: &'a Claims,
    /// The OIDC token with these claims; none if the caller sent a session token.
    pub token: Option<&'a str>,
}

/// A request's credential.
#[derive(Debug)]
pub struct Prepared {
    /// What to do with the request.
    pub headers: Wanted,
    /// What was sent, for [`Federation::upstream_answered`].
    pub sent: Sent,
}

/// The changes to a request's headers for its credential, after all other changes.
#[derive(Debug)]
pub struct Wanted {
    /// Headers that the upstream must not see.
    pub remove: &'static [&'static str],
    /// Headers to set, replacing existing ones.
    pub set: Vec<(HeaderName, Rc<Secret>)>,
    /// Values that a header's list must contain, once: [`merged`].
    pub merge: &'static [(&'static str, &'static str)],
    /// Headers to set if absent.
    pub if_absent: &'static [(&'static str, &'static str)],
    /// Signs the request when its body is complete; its headers are set last.
    pub signer: Option<Signer>,
}

/// Which credential a request got.
#[derive(Debug)]
pub struct Sent(Option<(Name, Rc<Held>)>);

/// The list with the value in it, once.
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

/// One isolate's credentials for upstreams. Clones share them.
#[derive(Clone)]
pub struct Federation {
    kept: Rc<Kept<Held>>,
}

impl fmt::Debug for Federation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Federation(…)")
    }
}

impl Default for Federation {
    fn default() -> Self {
        Self { kept: Rc::new(Kept::new()) }
    }
}

impl Federation {
    /// The credential of a request, and the changes to its headers. `keys` sign our assertions.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn prepare(
        &self,
        credential: &Credential,
        caller: &Caller<'_>,
        keys: Option<&Rc<KeyRing>>,
        context: &Context,
    ) -> Result<Prepared, Failure> {
        let federated = match &credential.kind {
            Kind::Stored(stored) => return from_store(stored),
            Kind::Federated(federated) => federated,
        };
        let trader = Trader::new(federated, caller, keys, &self.kept)?;
        let held = match self.kept.turn(&trader.name, context.now) {
            Turn::Serve(held) => held,
            Turn::Refresh(held, claim) => {
                let (work, after) = (trader.clone(), context.clone());
                // At once, and not after the answer, which may begin minutes later. Failures are in the log.
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

    /// Reports an upstream's answer. If it refuses the credential, the isolate drops it, at most once in 30 s.
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
    let set = vec![(stored.header.clone(), Rc::clone(value))];
    let Manners { remove, merge, if_absent } = NO_MANNERS;
    Ok(Prepared { headers: Wanted { remove, set, merge, if_absent, signer: None }, sent: Sent(None) })
}

fn prepared(manners: &'static Manners, held: Rc<Held>, name: Name) -> Prepared {
    let (remove, set, signer) = match &held.given {
        Given::Bearer(bearer) => (manners.remove, vec![(AUTHORIZATION, Rc::clone(bearer))], None),
        Given::Signer(signer) => (SIGNED_BY_US.as_slice(), Vec::new(), Some(signer.clone())),
    };
    let Manners { merge, if_absent, .. } = *manners;
    Prepared { headers: Wanted { remove, set, merge, if_absent, signer }, sent: Sent(Some((name, held))) }
}

/// Makes the exchange for one credential. It owns its data, so that it can continue after the request.
#[derive(Clone)]
struct Trader {
    federated: Rc<Federated>,
    name: Name,
    /// The assertion's subject; with a caller's token, the calling principal.
    subject: Rc<Subject>,
    token: Option<Rc<Secret>>,
    keys: Option<Rc<KeyRing>>,
    kept: Rc<Kept<Held>>,
}

impl Trader {
    fn new(
        federated: &Rc<Federated>,
        caller: &Caller<'_>,
        keys: Option<&Rc<KeyRing>>,
        kept: &Rc<Kept<Held>>,
    ) -> Result<Self, Failure> {
        let trade = &federated.trade;
        let (subject, whose, token) = match trade.identity {
            Identity::Service => (Subject::of_upstream(&federated.upstream), String::new(), None),
            Identity::CallerSubject => {
                let subject = Subject::of_caller(caller.claims);
                let whose = subject.as_str().to_owned();
                (subject, whose, None)
            }
            Identity::CallerToken => {
                let token = caller.token.ok_or_else(Failure::session)?;
                if !caller.claims.audiences().iter().any(|audience| trade.takes(audience)) {
                    return Err(Failure::audience(&trade.audience));
                }
                let owned = Rc::new(Secret::new(token.to_owned()));
                (Subject::of_caller(caller.claims), hex::encode(Sha256::digest(token)), Some(owned))
            }
        };
        Ok(Self {
            federated: Rc::clone(federated),
            name: Name { upstream: Rc::clone(&federated.upstream), whose },
            subject: Rc::new(subject),
            token,
            keys: keys.cloned(),
            kept: Rc::clone(kept),
        })
    }

    /// Makes the exchange and stores its result.
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

    /// Each exchange has its own assertion; after a temporary refusal there is one more try.
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
        let asserted = Assertion {
            domain: &self.federated.domain,
            subject: &self.subject,
            audience: &trade.audience,
            lifetime: trade.lifetime,
            id: &context.ports.ids.uuid(),
        };
        let signed = match &self.keys {
            Some(keys) => assertion(&asserted, keys, context.now, &*context.ports.signatures).await,
            None => Err(AssertionError::NotSigned),
        };
        match signed {
            Ok(assertion) => Ok(Rc::new(assertion)),
            Err(AssertionError::SubjectTooLong) => Err(Failure::subject()),
            Err(AssertionError::NotSigned) => {
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
                let granted = aws.trade(assertion, self.subject.as_str(), now, fetch).await?;
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

    /// A log line that says which leg failed, and what we signed, because providers hardly explain a refusal.
    fn log(&self, context: &Context, level: Level, message: &str, more: &[(&str, &str)]) {
        let trade = &self.federated.trade;
        let issuer = format!("https://{}", self.federated.domain);
        let mut fields = vec![("upstream", &*self.federated.upstream), ("kind", trade.kind)];
        fields.extend(more);
        if self.token.is_none() {
            let claims: [(&str, &str); 3] =
                [("iss", &issuer), ("sub", self.subject.as_str()), ("aud", &trade.audience)];
            fields.extend(claims);
        }
        context.log(level, message, &fields);
    }
}

fn bearer(token: &Secret) -> Given {
    Given::Bearer(Rc::new(Secret::new(format!("Bearer {}", token.expose()))))
}
