//! Cloudflare's rate limiting bindings.
//! <https://developers.cloudflare.com/workers/runtime-apis/bindings/rate-limit/>

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};
use js_sys::{Object, Promise, Reflect};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::Env;

use super::settings::Settings;
use super::time_limit::within;
use crate::ports::{RateLimitError, RateLimits};

/// A counter is on the same machine. A slower one counts as failed, and refuses no request.
const TIMEOUT: Duration = Duration::from_secs(1);

// As with KV: `worker::RateLimiter` has the one call behind serde, and does not check what it is bound to.
#[wasm_bindgen]
extern "C" {
    type RateLimiter;

    #[wasm_bindgen(method, catch)]
    fn limit(this: &RateLimiter, options: &Object) -> Result<Promise, JsValue>;
}

/// Whether what is bound under a name is a rate limiter; `None` where nothing is.
pub(super) fn is_limiter(settings: &Settings<'_>, name: &str) -> Option<bool> {
    let binding = settings.binding(name)?;
    Some(Reflect::get(&binding, &JsValue::from_str("limit")).is_ok_and(|method| method.is_function()))
}

/// The rate limiting bindings of this request.
pub(super) struct RateLimiters(pub(super) Rc<Env>);

impl RateLimits for RateLimiters {
    fn count<'a>(&'a self, limit: &'a str, key: &'a str) -> LocalBoxFuture<'a, Result<bool, RateLimitError>> {
        let counted = async move {
            let binding = Settings(&self.0).binding(limit);
            let limiter: RateLimiter =
                binding.ok_or_else(|| RateLimitError("nothing is bound".to_owned()))?.unchecked_into();
            let options = Object::new();
            Reflect::set(&options, &JsValue::from_str("key"), &JsValue::from_str(key)).map_err(failure)?;
            let counted = JsFuture::from(limiter.limit(&options).map_err(failure)?).await.map_err(failure)?;
            let success = Reflect::get(&counted, &JsValue::from_str("success")).map_err(failure)?;
            success.as_bool().ok_or_else(|| RateLimitError("the limiter gave no verdict".to_owned()))
        };
        within(TIMEOUT, counted, RateLimitError).boxed_local()
    }
}

/// The runtime's error text for the log. The key in it is a hash.
fn failure(error: JsValue) -> RateLimitError {
    let message = error.dyn_into::<js_sys::Error>().map(|error| String::from(error.message()));
    RateLimitError(message.unwrap_or_else(|_| "the call failed".to_owned()))
}
