//! The service's own limits, if the operator has bound them (Cloudflare's rate limiting bindings): 429 with
//! `Retry-After`. A binding counts and decides in one call, so even a refused request counts.
//!
//! | binding | counts | per | when |
//! | --- | --- | --- | --- |
//! | `RATE_LIMIT_IDENTITY` | exchanges | issuer and subject | after step 7 |
//! | `RATE_LIMIT_OWNER` | tokens that read files | owner | in steps 9 and 10, before GitHub is asked |
//! | | exchanges that a policy grants | owner | before step 12 |
//! | `RATE_LIMIT_FAILURES` | refusals under `/sts/` | client address | after all steps |
//!
//! Limits protect the service's availability and decide nothing about permission, so a limiter that fails refuses
//! nobody.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use http::HeaderMap;

use crate::cache::{Key, KeySpace};
use crate::config::{RATE_LIMIT_FAILURES, RATE_LIMIT_IDENTITY, RATE_LIMIT_OWNER};
use crate::context::Context;
use crate::names::Owner;
use crate::oidc::VerifiedClaims;
use crate::ports::Level;
use crate::problem::Problem;

/// A binding's period is 10 s or 60 s, and the Worker cannot see which.
const LONGEST_PERIOD: Duration = Duration::from_secs(60);

/// Set by Cloudflare, which replaces whatever a client sends under this name.
/// <https://developers.cloudflare.com/fundamentals/reference/http-headers/#cf-connecting-ip>
const CF_CONNECTING_IP: &str = "cf-connecting-ip";

/// What counts before an exchange continues. Nothing counts before step 7, so nobody can use up another's limit by
/// naming them.
#[derive(Clone, Copy)]
pub(crate) enum Counted<'a> {
    /// An exchange, for its issuer and subject. Not for the issuer alone, because all of GitHub Actions is one issuer,
    /// and one job could lock out the others.
    Exchange(&'a VerifiedClaims),
    /// An uncached file, for its owner. Counted separately from grants, so a stranger who makes up policy names does
    /// not block the owner's own jobs.
    Read(&'a Owner, &'a KeySpace),
    /// An exchange that a policy of the owner grants, for the owner. Naming the owner is not enough: otherwise anybody
    /// with a verified token could lock the owner out, with requests that cost nothing.
    Grant(&'a Owner, &'a KeySpace),
}

/// The limits that the operator bound.
#[derive(Debug, Default)]
pub(crate) struct Limits(Vec<&'static str>);

impl Limits {
    /// Those of [`crate::config::RATE_LIMITS`] that are on.
    pub(crate) fn new(bound: &[&'static str]) -> Self {
        Self(bound.to_vec())
    }

    /// Counts, and says whether the exchange may continue.
    ///
    /// # Errors
    /// [`Problem::RateLimited`] above the limit.
    pub(crate) async fn count(&self, counted: Counted<'_>, context: &Context) -> Result<(), Problem> {
        let (limit, message) = match counted {
            Counted::Exchange(_) => (RATE_LIMIT_IDENTITY, "too many exchanges by the token's subject"),
            Counted::Read(..) => (RATE_LIMIT_OWNER, "too many policy lookups for the owner"),
            Counted::Grant(..) => (RATE_LIMIT_OWNER, "too many exchanges for the owner"),
        };
        let key = || match counted {
            Counted::Exchange(by) => Key::counter("exchange", &[by.claims().issuer(), by.claims().subject()]),
            Counted::Read(of, keys) => keys.counter("read", &[&of.key()]),
            Counted::Grant(of, keys) => keys.counter("grant", &[&of.key()]),
        };
        if self.is_within(limit, key, context).await {
            Ok(())
        } else {
            Err(limited(message, limit, "undecided", context))
        }
    }

    /// Above the limit of an address, every refusal looks the same, so that nobody can find names or tokens by guessing
    /// fast. Answers other than refusals are not counted, because runners of many tenants share addresses. Neither are
    /// failures that are not the caller's fault.
    pub(crate) async fn limit_refusals<T>(
        &self,
        outcome: Result<T, Problem>,
        headers: &HeaderMap,
        context: &Context,
    ) -> Result<T, Problem> {
        let problem = match outcome {
            Err(problem) if problem.is_the_callers() => problem,
            other => return other,
        };
        let Some(address) = address(headers) else { return Err(problem) };
        let key = || Key::counter("refusal", &[&address.to_string()]);
        if self.is_within(RATE_LIMIT_FAILURES, key, context).await {
            return Err(problem);
        }
        let message = "too many refused requests from this address";
        Err(limited(message, RATE_LIMIT_FAILURES, problem.code(), context))
    }

    async fn is_within(&self, limit: &'static str, key: impl FnOnce() -> Key, context: &Context) -> bool {
        if !self.0.contains(&limit) {
            return true;
        }
        let counted = context.ports.rate_limits.count(limit, key().as_str()).await;
        counted.unwrap_or_else(|error| {
            context.log(Level::Warn, "rate limit not counted", &[("limit", limit), ("error", &error.0)]);
            true
        })
    }
}

/// `instead_of` is the answer hidden from the caller: the event no longer has it.
fn limited(message: &str, limit: &str, instead_of: &str, context: &Context) -> Problem {
    context.log(Level::Info, "rate limited", &[("limit", limit), ("instead_of", instead_of)]);
    Problem::RateLimited(message.to_owned(), LONGEST_PERIOD)
}

/// The unit whose refusals are counted together. A holder of an IPv6 address has 2⁶⁴ of them.
fn address(headers: &HeaderMap) -> Option<IpAddr> {
    let address: IpAddr = headers.get(CF_CONNECTING_IP)?.to_str().ok()?.trim().parse().ok()?;
    Some(match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CF_CONNECTING_IP, text.parse().unwrap());
            address(&headers).map(|address| address.to_string())
        };
        assert_eq!(of("192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(of("::ffff:192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(of("2001:db8:1:2:3:4:5:6").as_deref(), Some("2001:db8:1:2::"));
        assert_eq!(of("2001:db8:1:2::9"), of("2001:db8:1:2:3:4:5:6"));
        assert_ne!(of("2001:db8:1:3::9"), of("2001:db8:1:2::9"));
        for none in ["", "localhost", "192.0.2.1, 192.0.2.2"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(address(&HeaderMap::new()), None);
    }
}
