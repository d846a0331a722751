//! Credentials in the isolate's memory: how long one serves, who refreshes it, and when it is forgotten. Nobody waits for
//! another request's exchange, which the runtime forbids: whoever cannot serve itself from here makes its own.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use lru::LruCache;

use crate::time::Timestamp;

/// A token of 16 KiB each would be 16 MiB; an isolate has 128.
const MOST: NonZeroUsize = match NonZeroUsize::new(1024) {
    Some(most) => most,
    None => NonZeroUsize::MIN,
};

/// A request that was cancelled in the middle of a refresh never says so.
const CLAIM: Duration = Duration::from_secs(30);

/// Between two tries at least, where an old credential lives.
const BETWEEN_TRIES: Duration = Duration::from_secs(30);

/// Nobody makes an isolate ask for a new credential more often by provoking refusals.
const BETWEEN_FORGETTING: Duration = Duration::from_secs(30);

/// The rest of a life in which it is not given out without a try for a new one.
const LAST: Duration = Duration::from_secs(30);

/// How long before its end a credential is refreshed at least, where its life is long enough.
const EARLY: Duration = Duration::from_secs(300);

/// Whose credential it is: the upstream, and the subject or the token that was traded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) upstream: Rc<str>,
    pub(super) whose: String,
}

/// The moments of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    refresh: Timestamp,
    last: Timestamp,
    end: Timestamp,
}

impl Life {
    /// Of a credential that was asked for at a moment and lives so long from then.
    pub(super) fn traded(at: Timestamp, life: Duration) -> Self {
        // Without the half, what lives five minutes or less would be refreshed for ever.
        let refresh = (life / 2).max((life - life / 4).min(life.saturating_sub(EARLY)));
        let last = life.saturating_sub(LAST.min(life / 10));
        Self { refresh: at.plus(refresh), last: at.plus(last), end: at.plus(life) }
    }

    /// Of what is made here, at no cost that anybody would wait for: it serves until its margin, and then is made again.
    pub(super) fn made(at: Timestamp, life: Duration, margin: Duration) -> Self {
        let end = at.plus(life.saturating_sub(margin));
        Self { refresh: end, last: end, end }
    }
}

/// What a request does.
#[derive(Debug)]
pub(super) enum Turn<T> {
    /// Takes this one.
    Serve(Rc<T>),
    /// Takes this one and refreshes it for those who come later.
    Refresh(Rc<T>, Claim),
    /// Makes the exchange itself; this one is what it has if that fails.
    Exchange(Option<Rc<T>>, Claim),
}

/// The right to refresh, until it is used or void.
#[derive(Debug)]
pub(super) struct Claim {
    at: Timestamp,
}

struct Entry<T> {
    credential: Option<(Rc<T>, Life)>,
    claimed: Option<Timestamp>,
    failed: Option<Timestamp>,
    forgotten: Option<Timestamp>,
}

impl<T> Default for Entry<T> {
    fn default() -> Self {
        Self { credential: None, claimed: None, failed: None, forgotten: None }
    }
}

/// One isolate's credentials.
pub(super) struct Kept<T> {
    entries: RefCell<LruCache<Name, Entry<T>>>,
}

impl<T> Kept<T> {
    pub(super) fn new() -> Self {
        Self { entries: RefCell::new(LruCache::new(MOST)) }
    }

    /// What a request does that needs a credential now.
    pub(super) fn turn(&self, name: &Name, now: Timestamp) -> Turn<T> {
        let mut entries = self.entries.borrow_mut();
        // A name that is not known yet gets its entry with its first credential, so that failures push nobody out.
        let Some(entry) = entries.get_mut(name) else { return Turn::Exchange(None, Claim { at: now }) };
        let Some((credential, life)) = entry.credential.clone().filter(|(_, life)| now < life.end) else {
            return Turn::Exchange(None, Claim { at: now });
        };
        if now < life.refresh
            || is_within(entry.claimed, CLAIM, now)
            || is_within(entry.failed, BETWEEN_TRIES, now)
        {
            return Turn::Serve(credential);
        }
        entry.claimed = Some(now);
        if now < life.last {
            Turn::Refresh(credential, Claim { at: now })
        } else {
            Turn::Exchange(Some(credential), Claim { at: now })
        }
    }

    /// Keeps what an exchange gave.
    pub(super) fn keep(&self, name: &Name, credential: Rc<T>, life: Life) {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.get_or_insert_mut(name.clone(), Entry::default);
        entry.credential = Some((credential, life));
        entry.claimed = None;
        entry.failed = None;
    }

    /// An exchange failed. It matters only where an old credential serves on: a first failure is not remembered.
    pub(super) fn fail(&self, name: &Name, claim: &Claim, at: Timestamp) {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.peek_mut(name) else { return };
        entry.failed = Some(at);
        if entry.claimed == Some(claim.at) {
            entry.claimed = None;
        }
    }

    /// Forgets a credential if it is the one that is kept.
    pub(super) fn forget(&self, name: &Name, credential: &Rc<T>, now: Timestamp) {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.peek_mut(name) else { return };
        let is_kept = entry.credential.as_ref().is_some_and(|(kept, _)| Rc::ptr_eq(kept, credential));
        if is_kept && !is_within(entry.forgotten, BETWEEN_FORGETTING, now) {
            entry.credential = None;
            entry.forgotten = Some(now);
        }
    }
}

/// Whether something was less than so long ago. Two requests' clocks may differ by a little in either direction.
fn is_within(then: Option<Timestamp>, time: Duration, now: Timestamp) -> bool {
    then.is_some_and(|then| now < then.plus(time))
}
