//! Work after the answer. The runtime gives it 30 s beyond the end of the request.

use std::panic::AssertUnwindSafe;

use futures_util::future::LocalBoxFuture;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::future_to_promise;
use worker::Context;

use crate::ports::Background;

/// `ctx.waitUntil` of one request.
pub(super) struct WaitUntil(pub(super) Context);

impl Background for WaitUntil {
    fn wait_until(&self, work: LocalBoxFuture<'static, ()>) {
        let promise = future_to_promise(AssertUnwindSafe(async move {
            work.await;
            Ok(JsValue::UNDEFINED)
        }));
        // `worker::Context::wait_until` panics where the runtime refuses. The work has begun in any case; refused, it only
        // may be cut off when the request ends.
        self.0.as_ref().wait_until(&promise).unwrap_or_default();
    }
}
