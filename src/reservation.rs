//! The rule of single use, as a pure function: a name has one holder until it expires. The caller provides the state,
//! the clock and the atomicity: in the Worker a Durable Object for each name (`cloudflare/used_tokens.rs`), in tests a
//! map.

use std::fmt;

use crate::time::Timestamp;

/// What a holder asks about one name. Its text, the last part of an address, is sent to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask<'a> {
    /// Become the holder.
    Reserve {
        /// Who asks; unique, and unknown to others.
        holder: &'a str,
        /// When the name expires.
        until: Timestamp,
    },
    /// Release the name.
    Release {
        /// Who asks.
        holder: &'a str,
    },
}

/// The outcome of a wish to hold a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Granted.
    Reserved,
    /// Somebody else holds it.
    Taken,
    /// It has expired, and the record of its holder may be gone, so no one gets it any more.
    Over,
}

/// Decides by the current holder. `now` must come from the clock by which the store deletes entries; with another
/// clock, a name could be deleted here and still be valid there.
#[must_use]
pub fn reserve(held_by: Option<&str>, holder: &str, until: Timestamp, now: Timestamp) -> Verdict {
    if until <= now {
        return Verdict::Over;
    }
    match held_by {
        None => Verdict::Reserved,
        // The same request sent twice is one request.
        Some(other) if other == holder => Verdict::Reserved,
        Some(_) => Verdict::Taken,
    }
}

/// Whether a release comes from the current holder. A late one must not free a name that somebody else now holds.
#[must_use]
pub fn releases(held_by: Option<&str>, holder: &str) -> bool {
    held_by == Some(holder)
}

impl fmt::Display for Ask<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserve { holder, until } => write!(f, "reserve/{holder}/{}", until.unix_millis()),
            Self::Release { holder } => write!(f, "release/{holder}"),
        }
    }
}

impl<'a> Ask<'a> {
    /// Reads what [`Ask`] writes; `None` for anything else.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (verb, rest) = text.split_once('/')?;
        let is_holder = |holder: &str| !holder.is_empty() && !holder.contains('/');
        let ask = match verb {
            "reserve" => {
                let (holder, until) = rest.split_once('/')?;
                Self::Reserve { holder, until: Timestamp::from_unix_millis(until.parse().ok()?)? }
            }
            "release" => Self::Release { holder: rest },
            _ => return None,
        };
        let (Self::Reserve { holder, .. } | Self::Release { holder }) = ask;
        is_holder(holder).then_some(ask)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(millis).unwrap()
    }

    #[test]
    fn a_name_has_one_holder_until_it_is_over() {
        for (held_by, now, verdict) in [
            (None, 999, Verdict::Reserved),
            (Some("me"), 999, Verdict::Reserved),
            (Some("you"), 999, Verdict::Taken),
            (None, 1000, Verdict::Over),
            (Some("me"), 1000, Verdict::Over),
            (Some("you"), 1001, Verdict::Over),
        ] {
            assert_eq!(reserve(held_by, "me", at(1000), at(now)), verdict, "{held_by:?} at {now}");
        }
    }

    #[test]
    fn only_the_holder_releases() {
        assert!(releases(Some("me"), "me"));
        assert!(!releases(Some("you"), "me"));
        assert!(!releases(None, "me"));
    }

    #[test]
    fn what_is_no_wish_is_none() {
        for text in ["", "reserve", "reserve/", "reserve/me", "reserve/me/", "reserve/me/soon", "reserve//5"]
        {
            assert_eq!(Ask::parse(text), None, "{text}");
        }
        for text in
            ["release", "release/", "release/me/5", "reserve/me/5/6", "reserve/me/9223372036854775807"]
        {
            assert_eq!(Ask::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_wish_is_read_as_it_was_written(holder in "[0-9a-f-]{1,40}", millis in 0..4_000_000_000_000_i64) {
            for ask in [Ask::Reserve { holder: &holder, until: at(millis) }, Ask::Release { holder: &holder }] {
                let text = ask.to_string();
                prop_assert_eq!(Ask::parse(&text), Some(ask));
            }
        }

        #[test]
        fn any_wish_gets_an_answer(text in ".{0,60}") {
            let _ask = Ask::parse(&text);
        }

        /// The law itself: whatever the requests and their order, no two holders hold a name at the same time, and once
        /// it is done nobody gets it.
        #[test]
        fn no_two_hold_a_name(asks in prop::collection::vec((0..3_usize, any::<bool>(), 0..40_u64), 0..40)) {
            let (start, until) = (at(0), at(500));
            let (mut now, mut stored) = (start, None::<String>);
            let mut holding = [false; 3];
            for (who, wants, later) in asks {
                now = now.plus(Duration::from_millis(later));
                if until <= now {
                    // The store forgets the name; by now it may.
                    stored = None;
                    holding = [false; 3];
                }
                let holder = ["a", "b", "c"][who];
                if wants {
                    let verdict = reserve(stored.as_deref(), holder, until, now);
                    if verdict == Verdict::Reserved {
                        stored = Some(holder.to_owned());
                        holding[who] = true;
                    }
                    prop_assert_eq!(verdict == Verdict::Over, until <= now);
                } else if releases(stored.as_deref(), holder) {
                    stored = None;
                    holding[who] = false;
                }
                prop_assert!(holding.iter().filter(|holds| **holds).count() <= 1);
            }
        }
    }
}
