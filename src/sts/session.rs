//! Sessions of the proxy: issuing our own token to a job that outlives its OIDC token, and revoking it.

use std::time::Duration;

use crate::authn::{self, Counted};
use crate::config::{ISSUER_PRIVATE_KEY, ProxyConfig, Upstream};
use crate::context::Context;
use crate::issuer::session::{Claimed, Request, Session, SessionError, make};
use crate::issuer::{AssertionError, KeyRing};
use crate::oidc::TokenError;
use crate::policy::admit;
use crate::ports::Level;
use crate::problem::Problem;
use crate::proxy::budget::{Ask, BudgetName, Verdict, Wish};
use crate::proxy::{check_age, put};
use crate::secret::Secret;
use crate::sts::audit::Event;
use crate::sts::service::Service;
use crate::time::Timestamp;

/// A session token, and how long it is valid.
pub struct SessionToken {
    /// The token.
    pub token: Secret,
    /// From now.
    pub expires_in: Duration,
}

/// Exchanges a subject token for a session at an upstream: steps 3 to 7, then the proxy's rules of that upstream.
pub(super) async fn begin(
    subject_token: &str,
    name: &str,
    service: &Service,
    context: &Context,
    event: &mut Event,
) -> Result<SessionToken, Problem> {
    // What the service cannot issue at all is refused before any token is read.
    let keys = service.config.issuer.as_ref()?.as_ref();
    let keys = keys.ok_or(Problem::NotConfigured(ISSUER_PRIVATE_KEY))?;
    let proxy = proxy_of(service)?;
    let config = service.config.authn.as_ref()?;

    // 3. to 7. the token
    let presented = authn::present(subject_token, config, context.now)?;
    event.issuer = Some(presented.issuer.to_string());
    let verified = service.authn.verified(&presented, config, context).await?;
    let claims = verified.claims();
    event.subject = Some(claims.subject().to_owned());
    service.limits.count(Counted::Exchange(&verified), context).await?;

    // The upstream, its rules and its maximum age, as in the proxy.
    let upstream = proxy.and_then(|proxy| proxy.upstreams.find(name)).ok_or(Problem::NotFound)?;
    context.notes.set_upstream(&upstream.name);
    match admit(&upstream.allow, claims) {
        Ok(matched) => event.claims = matched,
        Err(denial) => {
            event.claims.clone_from(denial.matched_claims());
            return Err(Problem::PermissionDenied(denial.to_string()));
        }
    }
    check_age(claims, upstream, context.now)?;

    // A session counts as writing: it may send whatever the upstream accepts.
    let fingerprint = presented.token.fingerprint();
    let expires_at = context.now.plus(upstream.max_session);
    // The object must not be deleted while the subject token itself can still be used.
    let over = |error: TokenError| Problem::InvalidToken(error.to_string());
    let usable_until = expires_at.max(presented.token.expires_at().map_err(over)?);
    let token = authn::used_up(true, &presented.token, config.single_use, context, async || {
        let budget = BudgetName::of(name, upstream.budget_per, claims, &fingerprint);
        let ask = Ask::new(&budget, &fingerprint, usable_until, Wish::Session);
        match put(&budget, &ask, context).await? {
            Verdict::Noted => {}
            Verdict::Revoked => return Err(Problem::InvalidToken("the token is revoked".to_owned())),
            Verdict::Over => return Err(Problem::InvalidToken("the token expired".to_owned())),
            Verdict::Taken { .. } | Verdict::Exhausted | Verdict::TooFast | Verdict::Full => {
                return Err(unrecorded(context));
            }
        }
        let request = Request {
            domain: &config.domain,
            audience: &Upstream::audience(&config.domain, name),
            lifetime: upstream.max_session,
            id: &context.ports.ids.uuid(),
        };
        let named = presented.token.fingerprint_base64url();
        let signatures = &*context.ports.signatures;
        let made = make(&request, &verified, &named, keys, context.now, signatures).await;
        made.map_err(|error| refused(error, context))
    })
    .await?;
    event.session_token(&token, expires_at);
    Ok(SessionToken { token, expires_in: upstream.max_session })
}

fn refused(error: SessionError, context: &Context) -> Problem {
    let denied = |text: &str| Problem::PermissionDenied(text.to_owned());
    match error {
        SessionError::SourceTooLarge => denied("the token's claims are too large for a session token"),
        SessionError::Assertion(AssertionError::SubjectTooLong) => {
            denied("the token's subject is too long for a session token")
        }
        SessionError::Assertion(AssertionError::NotSigned) => {
            context.log(Level::Error, "the platform cannot sign with the issuer's private key", &[]);
            Problem::Misconfigured(vec![ISSUER_PRIVATE_KEY])
        }
    }
}

/// The proxy, if there is one. If it is off, so are sessions.
fn proxy_of(service: &Service) -> Result<Option<&ProxyConfig>, Problem> {
    Ok(match &service.config.proxy.part {
        None => None,
        Some(part) => Some(part.as_ref()?),
    })
}

/// Ends every session of the subject token at that upstream, and the token itself there. A session that has expired, or
/// whose upstream is gone, has already ended.
pub(super) async fn end(
    claimed: Claimed<'_>,
    keys: &KeyRing,
    service: &Service,
    context: &Context,
    event: &mut Event,
) -> Result<(), Problem> {
    let domain = service.config.domain.as_ref()?;
    let verified = claimed.verify(keys, &*context.ports.signatures).await;
    let session: Session = verified.map_err(|_| {
        Problem::InvalidToken("the bearer token is not a session token of this service".to_owned())
    })?;
    event.issuer = Some(session.source().issuer().to_owned());
    event.subject = Some(session.source().subject().to_owned());
    let proxy = proxy_of(service)?;
    let name = session.audience().strip_prefix(&Upstream::audience(domain, "")).unwrap_or_default();
    let Some(upstream) = proxy.and_then(|proxy| proxy.upstreams.find(name)) else { return Ok(()) };
    context.notes.set_upstream(&upstream.name);
    let until = session.expires_at().max(subject_token_ends(&session));
    if until <= context.now {
        return Ok(());
    }
    let budget = BudgetName::of(name, upstream.budget_per, session.source(), session.fingerprint());
    let ask = Ask::new(&budget, session.fingerprint(), until, Wish::Revoke);
    match put(&budget, &ask, context).await? {
        Verdict::Noted | Verdict::Revoked | Verdict::Over => Ok(()),
        Verdict::Taken { .. } | Verdict::Exhausted | Verdict::TooFast | Verdict::Full => {
            Err(unrecorded(context))
        }
    }
}

/// The subject token may outlive its session.
fn subject_token_ends(session: &Session) -> Timestamp {
    let seconds = session.source().claim("exp").and_then(serde_json::Value::as_f64).unwrap_or_default();
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let millis = i64::try_from(duration.as_millis()).unwrap_or_default();
    Timestamp::from_unix_millis(millis).unwrap_or(session.expires_at())
}

fn unrecorded(context: &Context) -> Problem {
    context.log(Level::Error, "the budget did not record the session", &[]);
    Problem::Unavailable("the record of budgets did not answer".to_owned(), Duration::from_secs(5))
}
