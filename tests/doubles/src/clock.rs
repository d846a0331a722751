//! How long a request goes on: as long as the faults make it.

use std::cell::Cell;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use octo_sts_worker::ports::{Stopwatch, Timer};

/// Time passes only where somebody waits.
#[derive(Debug, Default)]
pub struct Clock {
    elapsed: Cell<Duration>,
    still: bool,
}

impl Clock {
    /// Nothing takes any time, and nothing waits: every future is ready at once.
    #[must_use]
    pub fn still() -> Self {
        Self { still: true, ..Self::default() }
    }

    /// Another request arrives.
    pub fn restart(&self) {
        self.elapsed.set(Duration::ZERO);
    }

    /// So much has passed since it arrived.
    pub fn set(&self, elapsed: Duration) {
        self.elapsed.set(elapsed);
    }

    /// What takes some time and starts now ends then. Others get their turn meanwhile, and take theirs at once with it.
    #[must_use]
    pub fn end_of(&self, time: Duration) -> Duration {
        self.elapsed.get() + time
    }

    /// Waits until then.
    pub async fn wait_until(&self, end: Duration) {
        self.others_turn().await;
        if !self.still {
            self.elapsed.set(self.elapsed.get().max(end));
        }
    }

    /// Others get their turn while this one waits.
    pub async fn others_turn(&self) {
        let mut waited = self.still;
        futures_util::future::poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }
}

impl Stopwatch for Clock {
    fn elapsed(&self) -> Duration {
        self.elapsed.get()
    }
}

impl Timer for Clock {
    fn sleep(&self, time: Duration) -> LocalBoxFuture<'_, ()> {
        let end = self.end_of(time);
        self.wait_until(end).boxed_local()
    }
}
