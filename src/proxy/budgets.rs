//! The budgets' objects as the proxy asks them; [`super::budget`] has their arithmetic.

use std::time::Duration;

use super::budget::{Ask, BudgetName, Verdict, Wish};
use crate::config::Upstream;
use crate::context::Context;
use crate::oidc::Claims;
use crate::ports::Level;
use crate::problem::Problem;
use crate::time::Timestamp;

/// Step 13: a request that passed is counted, whatever follows. What is left of the budget. The fingerprint and the end are
/// of what the caller showed.
pub(super) async fn take(
    upstream: &Upstream,
    claims: &Claims,
    fingerprint: &str,
    expires_at: Timestamp,
    context: &Context,
) -> Result<u32, Problem> {
    let Upstream { name, budget_per, max_requests, requests_per_second, .. } = upstream;
    let budget = BudgetName::of(name, *budget_per, claims, fingerprint);
    let wish = Wish::Take { max_requests: *max_requests, requests_per_second: *requests_per_second };
    let ask = Ask::new(&budget, fingerprint, expires_at, wish);
    match put(&budget, &ask, context).await? {
        Verdict::Taken { remaining } => Ok(remaining),
        Verdict::Revoked => Err(Problem::InvalidToken("the token is revoked".to_owned())),
        Verdict::Over => Err(Problem::InvalidToken("the token expired".to_owned())),
        Verdict::Exhausted => {
            Err(Problem::BudgetExhausted(format!("all `{max_requests}` requests to `{name}` were made")))
        }
        Verdict::TooFast => Err(Problem::RateLimited(
            format!("more than `{requests_per_second}` requests to `{name}` in one second"),
            Duration::from_secs(1),
        )),
        Verdict::Noted | Verdict::Full => Err(no_verdict("another verdict", context)),
    }
}

/// Puts an ask to a budget.
///
/// # Errors
/// [`Problem::Unavailable`] when its object does not answer, or with what cannot be read.
pub async fn put(budget: &BudgetName, ask: &Ask, context: &Context) -> Result<Verdict, Problem> {
    match context.ports.budgets.call(budget.object(), &ask.to_text()).await {
        Ok(text) => Verdict::parse(&text).map_err(|_| no_verdict("no verdict", context)),
        Err(error) => Err(no_verdict(&error.0, context)),
    }
}

fn no_verdict(error: &str, context: &Context) -> Problem {
    context.log(Level::Error, "the budget did not answer", &[("error", error)]);
    Problem::Unavailable("the record of budgets did not answer".to_owned(), Duration::from_secs(5))
}
