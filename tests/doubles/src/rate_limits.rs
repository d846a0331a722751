//! Rate limiting bindings.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use octo_sts_worker::ports::{RateLimitError, RateLimits};

/// Rate limiting bindings: each counts up to its limit and forgets nothing.
#[derive(Default)]
pub struct RateLimiters {
    bound: RefCell<BTreeMap<&'static str, u32>>,
    /// By binding and key.
    pub counted: RefCell<BTreeMap<(String, String), u32>>,
    /// No call works.
    pub broken: Cell<bool>,
}

impl RateLimiters {
    /// Zero is something that is no rate limiter.
    pub fn bind(&self, name: &'static str, limit: u32) {
        self.bound.borrow_mut().insert(name, limit);
    }

    /// Whether what is bound under a name is a rate limiter; `None` where nothing is.
    #[must_use]
    pub fn is_limiter(&self, name: &str) -> Option<bool> {
        self.bound.borrow().get(name).map(|limit| *limit > 0)
    }

    /// The counts of a binding, one for each key.
    #[must_use]
    pub fn counts(&self, name: &str) -> Vec<u32> {
        self.counted.borrow().iter().filter(|((limit, _), _)| limit == name).map(|(_, n)| *n).collect()
    }
}

impl RateLimits for RateLimiters {
    fn count<'a>(&'a self, limit: &'a str, key: &'a str) -> LocalBoxFuture<'a, Result<bool, RateLimitError>> {
        assert!(key.len() <= 80, "{key}");
        let most = self.bound.borrow()[limit];
        let mut counted = self.counted.borrow_mut();
        let count = counted.entry((limit.to_owned(), key.to_owned())).or_default();
        *count += 1;
        let is_within = *count <= most;
        async move {
            if self.broken.get() { Err(RateLimitError("limiter is down".to_owned())) } else { Ok(is_within) }
        }
        .boxed_local()
    }
}
