//! Workers KV.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};
use js_sys::{Array, Map, Object, Promise, Reflect};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::Env;

use super::settings::Settings;
use super::time_limit::within;
use crate::config::OCTO_STS_KV;
use crate::ports::{KEY_VALUE_TIMEOUT, KeyValueError, KeyValueRead, KeyValueWrite, Stored};

/// KV refuses a shorter lifetime.
const SHORTEST_EXPIRATION: Duration = Duration::from_secs(60);

// `worker::kv` has the same calls behind option builders that serialize through serde; these are all we need.
#[wasm_bindgen]
extern "C" {
    /// A KV namespace binding.
    pub(super) type KvNamespace;

    #[wasm_bindgen(method, catch)]
    fn get(this: &KvNamespace, key: &str) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn put(this: &KvNamespace, key: &str, text: &str, options: &Object) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn delete(this: &KvNamespace, key: &str) -> Result<Promise, JsValue>;
    /// A bulk read: a `Map` of the values, one operation for all keys.
    /// <https://developers.cloudflare.com/kv/api/read-key-value-pairs/#multiple-keys>
    #[wasm_bindgen(method, catch, js_name = get)]
    fn get_all(this: &KvNamespace, keys: &Array) -> Result<Promise, JsValue>;
}

impl KvNamespace {
    /// A binding that has a KV namespace's methods; `None` for one of another kind.
    fn new(binding: JsValue) -> Option<Self> {
        let is_namespace = ["get", "put", "delete"].iter().all(|name| {
            Reflect::get(&binding, &JsValue::from_str(name)).is_ok_and(|method| method.is_function())
        });
        is_namespace.then(|| binding.unchecked_into())
    }
}

/// The namespace that is bound. If there is none, every use of it fails.
pub(super) struct Store(pub(super) Rc<Env>);

impl Store {
    /// Resolved only when KV is used, which a warm exchange does not do.
    pub(super) fn namespace(&self) -> Result<KvNamespace, KeyValueError> {
        let namespace = Settings(&self.0).binding(OCTO_STS_KV).and_then(KvNamespace::new);
        namespace.ok_or_else(|| KeyValueError("no namespace is bound".to_owned()))
    }
}

impl KeyValueRead for Store {
    fn read<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<Option<String>, KeyValueError>> {
        async move { Ok(settled(self.namespace()?.get(key)).await?.as_string()) }.boxed_local()
    }

    fn read_all<'a>(&'a self, keys: &'a [&'a str]) -> LocalBoxFuture<'a, Result<Stored, KeyValueError>> {
        async move {
            let names: Vec<JsValue> = keys.iter().map(|key| JsValue::from_str(key)).collect();
            let values = settled(self.namespace()?.get_all(&names.iter().collect())).await?;
            let values: Map = values.dyn_into().map_err(failure)?;
            Ok(names.iter().map(|name| values.get(name).as_string()).collect())
        }
        .boxed_local()
    }
}

impl KeyValueWrite for Store {
    fn write<'a>(
        &'a self,
        key: &'a str,
        text: &'a str,
        expires_after: Duration,
    ) -> LocalBoxFuture<'a, Result<(), KeyValueError>> {
        async move {
            let seconds = expires_after.max(SHORTEST_EXPIRATION).as_secs();
            let options = Object::new();
            set(&options, "expirationTtl", &JsValue::from(u32::try_from(seconds).unwrap_or(u32::MAX)))?;
            settled(self.namespace()?.put(key, text, &options)).await.map(drop)
        }
        .boxed_local()
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), KeyValueError>> {
        async move { settled(self.namespace()?.delete(key)).await.map(drop) }.boxed_local()
    }
}

/// A namespace that does not answer counts as failed: a miss is better than a waiting caller. Boxed, so that an isolate compiles
/// it once and not for each kind of call.
fn settled(call: Result<Promise, JsValue>) -> LocalBoxFuture<'static, Result<JsValue, KeyValueError>> {
    let settled = async { JsFuture::from(call.map_err(failure)?).await.map_err(failure) };
    within(KEY_VALUE_TIMEOUT, settled, KeyValueError).boxed_local()
}

fn set(options: &Object, name: &str, value: &JsValue) -> Result<(), KeyValueError> {
    Reflect::set(options, &JsValue::from_str(name), value).map(drop).map_err(failure)
}

/// The runtime's error text for the log: `KV PUT failed: 429 Too Many Requests`. It contains at most the key, never a
/// value.
fn failure(error: JsValue) -> KeyValueError {
    let message = error.dyn_into::<js_sys::Error>().map(|error| String::from(error.message()));
    KeyValueError(message.unwrap_or_else(|_| "the call failed".to_owned()))
}
