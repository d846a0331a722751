//! The request to the upstream: which of the caller's headers are removed, which are set, and where it goes.

use std::rc::Rc;

use super::admission::Inquiry;
use super::headers::{hyphenated, removed_of_request};
use super::plan::{Collect, Plan, Settlement};
use super::route::Target;
use crate::config::Upstream;
use crate::federation::{self, Wanted, merged};
use crate::problem::Problem;
use crate::secret::Secret;

/// Bytes of a body that is signed and therefore buffered, outside wasm.
pub(super) const MAX_COLLECTED: usize = 25_000_000;

/// Why there is no credential, as an answer to the caller.
pub(super) fn not_prepared(failure: federation::Failure) -> Problem {
    let message = failure.message();
    match failure {
        federation::Failure::CallerToken(_) => Problem::InvalidToken(message),
        federation::Failure::Subject(_) => Problem::PermissionDenied(message),
        federation::Failure::Unavailable(after) => Problem::Unavailable(message, after),
        federation::Failure::Secret(name) => Problem::Misconfigured(vec![name]),
    }
}

/// The request that leaves.
pub(super) fn plan(
    inquiry: &Inquiry<'_>,
    target: &Target<'_>,
    upstream: &Upstream,
    wanted: Wanted,
    settlement: Settlement,
) -> Plan {
    let header = upstream.credential.header();
    let connection = inquiry.headers.value("connection");
    let names = inquiry.headers.names();
    let is_ours = |name: &str| {
        wanted.remove.contains(&name) || wanted.set.iter().any(|(ours, _)| ours.as_str() == name)
    };
    let respelt: Vec<String> =
        names.iter().filter(|name| name.contains('_') && is_ours(&hyphenated(name))).cloned().collect();
    let mut remove = removed_of_request(names, connection.as_deref(), header);
    remove.extend(respelt);
    remove.extend(wanted.remove.iter().map(|name| (*name).to_owned()));
    // Headers that are not forwarded do not count.
    let value = |name: &str| inquiry.headers.value(name).filter(|_| !remove.iter().any(|gone| gone == name));
    let mut set: Vec<(String, Rc<Secret>)> = Vec::new();
    for (name, own) in wanted.merge {
        set.push(((*name).to_owned(), Rc::new(Secret::new(merged(value(name).as_deref(), own)))));
    }
    for (name, own) in wanted.if_absent.iter().filter(|(name, _)| value(name).is_none()) {
        set.push(((*name).to_owned(), Rc::new(Secret::new((*own).to_owned()))));
    }
    set.extend(wanted.set.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)));
    Plan {
        url: format!("{}{}{}{}", upstream.url.origin(), upstream.url.path(), target.path, target.query),
        remove,
        set,
        first_byte_timeout: upstream.first_byte_timeout,
        collect: wanted.signer.map(|signer| Collect { most: MAX_COLLECTED, signer }),
        settlement,
    }
}
