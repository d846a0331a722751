//! Credentials in the isolate's memory: how long one is used, who refreshes it, and when it is dropped. The runtime
//! forbids waiting for another request's exchange, so a request without a usable credential makes its own.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use lru::LruCache;

use crate::time::Timestamp;

/// With tokens of 16 KiB this would be 16 MiB; an isolate has 128.
const MOST: NonZeroUsize = match NonZeroUsize::new(1024) {
    Some(most) => most,
    None => NonZeroUsize::MIN,
};

/// A request that is canceled during a refresh never reports it.
const CLAIM: Duration = Duration::from_secs(30);

/// The shortest time between two tries, while an old credential is valid.
const BETWEEN_TRIES: Duration = Duration::from_secs(30);

/// Provoking refusals does not make an isolate request new credentials more often than this.
const BETWEEN_FORGETTING: Duration = Duration::from_secs(30);

/// The last part of a lifetime, in which a credential is used only after trying to get a new one.
const LAST: Duration = Duration::from_secs(30);

/// How long before it expires a credential is refreshed at the latest, if its lifetime is long enough.
const EARLY: Duration = Duration::from_secs(300);

/// Whose credential it is: the upstream, and the subject or the token that was exchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) upstream: Rc<str>,
    pub(super) whose: String,
}

/// The moments in a credential's lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    refresh: Timestamp,
    last: Timestamp,
    end: Timestamp,
}

impl Life {
    /// For a credential requested at this moment, with this lifetime.
    pub(super) fn traded(at: Timestamp, life: Duration) -> Self {
        // Without the half, credentials of five minutes or less would be refreshed all the time.
        let refresh = (life / 2).max((life - life / 4).min(life.saturating_sub(EARLY)));
        let last = life.saturating_sub(LAST.min(life / 10));
        Self { refresh: at.plus(refresh), last: at.plus(last), end: at.plus(life) }
    }

    /// For a credential made here, which takes no noticeable time: it is used until its margin, and then made again.
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
    /// Takes this one, and refreshes it for later requests.
    Refresh(Rc<T>, Claim),
    /// Makes the exchange itself; falls back to this one if that fails.
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

    /// What a request that needs a credential now should do.
    pub(super) fn turn(&self, name: &Name, now: Timestamp) -> Turn<T> {
        let mut entries = self.entries.borrow_mut();
        // A new name gets its entry with its first credential, so failures evict nothing.
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

    /// Stores the result of an exchange.
    pub(super) fn keep(&self, name: &Name, credential: Rc<T>, life: Life) {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.get_or_insert_mut(name.clone(), Entry::default);
        entry.credential = Some((credential, life));
        entry.claimed = None;
        entry.failed = None;
    }

    /// An exchange failed. This matters only if there is an old credential; a first failure is not recorded.
    pub(super) fn fail(&self, name: &Name, claim: &Claim, at: Timestamp) {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.peek_mut(name) else { return };
        entry.failed = Some(at);
        if entry.claimed == Some(claim.at) {
            entry.claimed = None;
        }
    }

    /// Drops a credential if it is the stored one.
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

/// Whether something was less than this long ago. Two requests' clocks may differ by a little in either direction.
fn is_within(then: Option<Timestamp>, time: Duration, now: Timestamp) -> bool {
    then.is_some_and(|then| now < then.plus(time))
}
