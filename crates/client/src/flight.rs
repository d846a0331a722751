//! Work on a separate thread that any number of callers wait for, on any runtime.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

/// Whether the work is done, and who waits for it.
#[derive(Debug, Default)]
pub(crate) struct Flight(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    done: bool,
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Flight {
    /// Runs `work` on a new thread. Waiting callers are woken when it ends, even if it panics.
    pub(crate) fn start(self: &Arc<Self>, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let landing = Landing(Arc::clone(self));
        thread::Builder::new()
            .name("octo-sts".to_owned())
            .spawn(move || {
                let _landing = landing;
                work();
            })
            .map(|_| ())
    }

    /// Ready when the work is done.
    pub(crate) fn wait(self: &Arc<Self>) -> Wait {
        Wait { flight: Arc::clone(self), ticket: None }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Waiting) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Landing(Arc<Flight>);

impl Drop for Landing {
    fn drop(&mut self) {
        let wakers = self.0.with(|waiting| {
            waiting.done = true;
            std::mem::take(&mut waiting.wakers)
        });
        wakers.into_values().for_each(Waker::wake);
    }
}

/// One waiting caller. Dropping it removes its waker.
#[derive(Debug)]
pub(crate) struct Wait {
    flight: Arc<Flight>,
    ticket: Option<u64>,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let ticket = self.ticket;
        let outcome = self.flight.with(|waiting| {
            if waiting.done {
                return None;
            }
            let ticket = ticket.unwrap_or_else(|| {
                waiting.next = waiting.next.wrapping_add(1);
                waiting.next
            });
            waiting.wakers.insert(ticket, context.waker().clone());
            Some(ticket)
        });
        match outcome {
            None => Poll::Ready(()),
            Some(ticket) => {
                self.ticket = Some(ticket);
                Poll::Pending
            }
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.flight.with(|waiting| waiting.wakers.remove(&ticket));
        }
    }
}

#[cfg(feature = "client")]
/// Runs blocking work on a separate thread and waits for the result; `None` if no thread could be started.
pub(crate) async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let result = Arc::new(Mutex::new(None));
    let place = Arc::clone(&result);
    let flight = Arc::new(Flight::default());
    let started = flight.start(move || {
        let value = work();
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    });
    started.ok()?;
    flight.wait().await;
    result.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn everybody_who_waits_is_woken_once_the_work_is_done() {
        let flight = Arc::new(Flight::default());
        let (go, wait) = mpsc::channel::<()>();
        flight.start(move || wait.recv().unwrap()).unwrap();
        let waiters: Vec<_> = (0..8)
            .map(|_| {
                let wait = flight.wait();
                thread::spawn(move || pollster::block_on(wait))
            })
            .collect();
        go.send(()).unwrap();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        pollster::block_on(flight.wait());
    }

    #[test]
    fn work_that_panics_keeps_nobody_waiting() {
        let flight = Arc::new(Flight::default());
        flight.start(|| std::panic::resume_unwind(Box::new("a test"))).unwrap();
        pollster::block_on(flight.wait());
    }
}
