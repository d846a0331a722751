//! Data points: one for each exchange, session, revocation, delivery and proxied request, if a dataset is bound. They
//! consist of what the request's context has noted, and of fixed words.
//!
//! Cardinality is bounded: owners that have an installation or that GitHub named, configured upstreams, and fixed
//! words. A point contains no subject and no part of a token.

use std::time::Duration;

use crate::context::{Context, Knowledge};
use crate::ports::{Level, Point};

/// Analytics Engine's bound on the index. An owner's name may be longer.
/// <https://developers.cloudflare.com/analytics/analytics-engine/limits/>
const MAX_INDEX_BYTES: usize = 96;

/// No name is longer, and all blobs of a point together are far below Analytics Engine's 16 KB.
const MAX_BLOB_BYTES: usize = 128;

/// If nothing is known about the quota: a column has no empty value, and 0 means that nothing is left.
const UNKNOWN: f64 = -1.0;

/// Writes the point of a request with this outcome. If the dataset fails, that is a line in the log.
pub(crate) fn write(kind: &'static str, route: &'static str, outcome: &'static str, context: &Context) {
    let Some(metrics) = &context.ports.metrics else { return };
    let notes = &context.notes;
    let (owner, upstream) = (notes.owner(), notes.upstream());
    let (owner, upstream) = (cut(&owner, MAX_BLOB_BYTES), cut(&upstream, MAX_BLOB_BYTES));
    let tier = |what| notes.tier(what).map_or("", |tier| tier.as_str());
    let index = [owner, upstream, kind].into_iter().find(|name| !name.is_empty()).unwrap_or_default();
    let point = Point {
        index: cut(index, MAX_INDEX_BYTES),
        blobs: [
            kind,
            route,
            outcome,
            owner,
            upstream,
            tier(Knowledge::IssuerKeys),
            tier(Knowledge::Installation),
            tier(Knowledge::TrustedIssuers),
            tier(Knowledge::Policy),
            env!("CARGO_PKG_VERSION"),
        ],
        doubles: [
            milliseconds(context.elapsed()),
            f64::from(context.subrequests()),
            notes.quota_left().map_or(UNKNOWN, f64::from),
        ],
    };
    if let Err(error) = metrics.write(&point) {
        context.log(Level::Warn, "data point not written", &[("error", &error.0)]);
    }
}

fn milliseconds(time: Duration) -> f64 {
    f64::from(u32::try_from(time.as_millis()).unwrap_or(u32::MAX))
}

/// At most this many bytes, without splitting a character.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        for (text, most, left) in [("", 3, ""), ("abc", 3, "abc"), ("abcd", 3, "abc"), ("ab\u{e9}", 3, "ab")]
        {
            assert_eq!(cut(text, most), left, "{text}");
        }
    }

    #[test]
    fn a_time_beyond_all_bounds_is_a_number() {
        assert_eq!(milliseconds(Duration::from_millis(12)).to_bits(), 12.0_f64.to_bits());
        assert!(milliseconds(Duration::MAX).is_finite());
    }
}
