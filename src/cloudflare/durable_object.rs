//! Durable Objects as the runtime shows them: to a caller as a namespace of stubs, to an object as its storage. Written
//! by hand, because `worker`'s own types bring requests, responses and storage (including serde) into the wasm.

use js_sys::{Promise, Reflect};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::Env;

use super::settings::Settings;
use crate::time::Timestamp;

#[wasm_bindgen]
extern "C" {
    /// A Durable Object binding.
    pub(super) type Namespace;
    #[wasm_bindgen(method, catch, js_name = idFromName)]
    fn id_from_name(this: &Namespace, name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn get(this: &Namespace, id: &JsValue) -> Result<Stub, JsValue>;

    type Stub;
    #[wasm_bindgen(method, catch)]
    fn fetch(this: &Stub, address: &str) -> Result<Promise, JsValue>;

    /// An object's `ctx`.
    pub type DurableObjectState;
    #[wasm_bindgen(method, getter)]
    pub(super) fn storage(this: &DurableObjectState) -> Storage;

    #[derive(Clone)]
    pub(super) type Storage;
    #[wasm_bindgen(method, getter)]
    pub(super) fn kv(this: &Storage) -> SyncStorage;
    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    fn set_alarm(this: &Storage, unix_millis: f64) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = deleteAlarm)]
    pub(super) fn delete_alarm(this: &Storage) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = deleteAll)]
    pub(super) fn delete_all(this: &Storage) -> Result<Promise, JsValue>;

    /// Only objects with SQLite have it. It makes a decision atomic without relying on gates: there is no await between
    /// reading and writing, so nothing else runs.
    pub(super) type SyncStorage;
    #[wasm_bindgen(method, catch, js_name = get)]
    pub(super) fn read(this: &SyncStorage, key: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(super) fn put(this: &SyncStorage, key: &str, value: &str) -> Result<(), JsValue>;
}

impl Namespace {
    /// What is bound under a name, if it has a Durable Object namespace's methods; `None` for a binding of another kind.
    pub(super) fn bound(env: &Env, name: &str) -> Option<Self> {
        let binding = Settings(env).binding(name)?;
        let is_namespace = ["idFromName", "get"].iter().all(|name| {
            Reflect::get(&binding, &JsValue::from_str(name)).is_ok_and(|method| method.is_function())
        });
        is_namespace.then(|| binding.unchecked_into())
    }

    /// Calls the object with this name at an address.
    pub(super) fn call(&self, object: &str, address: &str) -> Result<Promise, JsValue> {
        self.get(&self.id_from_name(object)?)?.fetch(address)
    }
}

impl Storage {
    /// Sets an alarm that wakes the object then.
    pub(super) async fn wake_at(&self, moment: Timestamp) -> Result<(), JsValue> {
        JsFuture::from(self.set_alarm_at(moment)?).await.map(drop)
    }

    /// The same; the promise need not be waited for, since the runtime sends no answer before the alarm is durable.
    pub(super) fn set_alarm_at(&self, moment: Timestamp) -> Result<Promise, JsValue> {
        self.set_alarm(js_sys::Date::parse(&moment.to_rfc3339()))
    }
}

/// The runtime's words for the log.
pub(super) fn failure(error: JsValue) -> String {
    let message = error.dyn_into::<js_sys::Error>().map(|error| String::from(error.message()));
    message.unwrap_or_else(|_| "the call failed".to_owned())
}
