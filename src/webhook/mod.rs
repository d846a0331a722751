//! GitHub's webhook: a signed delivery clears caches, and every change of a policy gets a check run. [`deliver`] is the
//! order of the steps, which are in the other files.
//!
//! The verdict of a check run comes from `policy::check`, which is the exchange's `policy::load` with the warnings, and
//! from `policy::trusted_issuers::load`, which the exchange uses, so a green check cannot disagree with the exchange.

mod changes;
mod check;
mod commit;
mod effect;
mod event;
mod line;
mod listing;
mod load;
mod markdown;
mod notes;
mod paths;
mod payload;
mod quota;
mod record;
mod report;
mod runs;
mod signature;
mod suite;
mod tell;
mod together;
mod validate;
mod words;

use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderName, Request};

use crate::cache::{Bounds, Cache, Fact, Found, Lifetime};
use crate::context::Context;
use crate::github::Conclusion;
use crate::metrics;
use crate::names::Owner;
use crate::problem::Problem;
use crate::sts::Service;
use crate::webhook::event::{CommitEvent, Event};
use crate::webhook::line::Line;
use crate::webhook::quota::Quotas;
use crate::webhook::tell::forget_installation;
use crate::webhook::validate::validate;

/// GitHub sends no larger payload.
/// <https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap>
pub const MAX_BODY: usize = 25 * 1024 * 1024;

/// The header that marks a delivery, and names its event.
pub const X_GITHUB_EVENT: HeaderName = HeaderName::from_static("x-github-event");
const X_GITHUB_DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");

/// A delivery that was handled is not handled again.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// In one isolate; KV knows more.
const DELIVERIES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// The outcome of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The service ignores it, and why.
    Ignored(&'static str),
    /// It was processed, and nothing relevant changed.
    Unaffected,
    /// The facts about an installation are dropped.
    Forgotten,
    /// There is a check run.
    Validated {
        /// How the check ended.
        conclusion: Conclusion,
        /// How many files it is about.
        files: usize,
    },
    /// GitHub limits our rate. A started run says so; otherwise there is none. Refusing the delivery would only make
    /// GitHub send more.
    RateLimited,
}

impl Outcome {
    /// Stable, for logs and the answer.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Ignored(_) => "ignored",
            Self::Unaffected => "unaffected",
            Self::Forgotten => "forgotten",
            Self::Validated { .. } => "validated",
            Self::RateLimited => "rate_limited",
        }
    }
}

/// The handled deliveries, and what their repositories have spent.
pub struct Deliveries {
    handled: Cache<Handled>,
    quotas: Rc<Quotas>,
}

impl Default for Deliveries {
    fn default() -> Self {
        let handled = Cache::new(Bounds { entries: DELIVERIES, weight: usize::MAX });
        Self { handled, quotas: Rc::default() }
    }
}

/// A delivery that was handled.
#[derive(Debug)]
struct Handled;

impl Fact for Handled {
    type Record = ();
    type Surroundings = ();

    fn from_record((): (), (): &()) -> Option<Self> {
        Some(Self)
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime { memory: REMEMBERED, fresh: REMEMBERED, kept: REMEMBERED }
    }
}

/// Handles one delivery.
///
/// # Errors
/// [`Problem`]: the request is not a delivery, or GitHub or KV failed. Redelivering then makes sense, because a failed
/// delivery is not recorded.
pub async fn deliver(
    request: &Request<Bytes>,
    service: &Rc<Service>,
    deliveries: &Deliveries,
    context: &Context,
) -> Result<Outcome, Problem> {
    let mut line = Line::of(request);
    let outcome = handle(request, service, deliveries, context, &mut line).boxed_local().await;
    line.write(&outcome, context);
    metrics::write(
        "delivery",
        "/webhook",
        outcome.as_ref().map_or_else(Problem::code, Outcome::code),
        context,
    );
    outcome
}

async fn handle(
    request: &Request<Bytes>,
    service: &Rc<Service>,
    deliveries: &Deliveries,
    context: &Context,
    line: &mut Line,
) -> Result<Outcome, Problem> {
    // 1. the size
    let body = request.body();
    if body.len() > MAX_BODY {
        return Err(Problem::PayloadTooLarge(MAX_BODY));
    }

    // 2. the signature, over the raw bytes
    let webhook = service.config.webhook.as_ref()?;
    signature::verify(request.headers(), body, &webhook.secrets)
        .map_err(|_| Problem::InvalidToken("the delivery's signature is missing or wrong".to_owned()))?;
    let config = service.config.exchange.as_ref()?;

    // 3. what it says
    let Some(name) = request.headers().get(X_GITHUB_EVENT).and_then(|name| name.to_str().ok()) else {
        return Err(Problem::InvalidRequest("the header `x-github-event` is missing".to_owned()));
    };
    let json = payload::json(request.headers(), body)?;
    let event = Event::read(name, &json, webhook, config)?;
    drop(json);
    event.owner().inspect(|owner| context.notes.set_owner(owner));
    let work = match event {
        Event::Ignored(reason) => return Ok(Outcome::Ignored(reason)),
        Event::Commit(commit) if commit.means_nothing() => return Ok(Outcome::Unaffected),
        Event::Commit(commit) => {
            line.commit(&commit);
            Work::Commit(commit)
        }
        Event::Installation(owner) => Work::Installation(owner),
    };

    // 4. whether it was handled already
    let delivery = request.headers().get(X_GITHUB_DELIVERY).and_then(|id| id.to_str().ok());
    let key = delivery.map(|id| config.app.keys.delivery(id));
    if let Some(key) = &key
        && let Found::Fresh(_) = deliveries.handled.find(key, &(), context).await
    {
        return Ok(Outcome::Ignored("the delivery was handled already"));
    }

    // 5. the caches, and 6. the check run
    let outcome = match work {
        Work::Installation(owner) => {
            forget_installation(&owner, service, config, context).boxed_local().await?
        }
        Work::Commit(event) => {
            validate(*event, &deliveries.quotas, service, config, context).boxed_local().await?
        }
    };

    // 7. only success is recorded, so that a redelivery completes the rest
    let is_final = !matches!(outcome, Outcome::RateLimited);
    if let Some(key) = key.filter(|_| is_final) {
        deliveries.handled.keep(&key, (), context.now, &(), context);
    }
    Ok(outcome)
}

enum Work {
    Installation(Owner),
    Commit(Box<CommitEvent>),
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::json::{FromJson, ToJson as _};

    #[test]
    fn a_delivery_that_was_handled_is_kept_as_nothing() {
        let kept = |json| Some(<Handled as Fact>::Record::from_json(json).ok()?.to_json());
        assert_eq!(kept(Value::Null), Some(Value::Null));
        for json in [Value::from(true), Value::from(""), Value::Array(Vec::new())] {
            assert_eq!(kept(json), None);
        }
    }
}
