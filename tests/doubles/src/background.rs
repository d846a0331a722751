//! Work for after the answer.

use std::cell::RefCell;

use futures_util::future::LocalBoxFuture;
use octo_sts_worker::ports;

/// Work for after the answer.
#[derive(Default)]
pub struct Background {
    work: RefCell<Vec<LocalBoxFuture<'static, ()>>>,
}

impl Background {
    /// Does it, and what comes of it.
    pub fn run(&self) {
        loop {
            let works = self.work.take();
            if works.is_empty() {
                return;
            }
            works.into_iter().for_each(pollster::block_on);
        }
    }

    /// Nothing of it is ever done.
    pub fn forget(&self) {
        self.work.take();
    }
}

impl ports::Background for Background {
    fn wait_until(&self, work: LocalBoxFuture<'static, ()>) {
        self.work.borrow_mut().push(work);
    }
}
