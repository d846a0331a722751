//! Which tokens are used: a Durable Object for each, named by the token's fingerprint. [`UsedToken`] is the object and
//! [`UsedTokens`] its caller; what they tell each other is an [`Ask`] in an address and a status.
//!
//! Written by hand: `worker`'s macro brings its own requests, responses and storage (serde included) into the wasm.
//! A panic in an object would leave its caller hanging, so there is nothing here that could.

use futures_util::future::{FutureExt, LocalBoxFuture};
use js_sys::{Promise, Reflect};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::time_limit::within;
use crate::ports::{RESERVATION_TIMEOUT, ReservationError, Reservations};
use crate::reservation::{self, Ask, Verdict};
use crate::time::Timestamp;

/// Objects have no address. The name is reserved, should this ever leave the runtime (RFC 6761).
const ORIGIN: &str = "https://used-token.invalid/";

/// The only entry of an object's storage: who holds the token.
const HOLDER: &str = "holder";

const RESERVED: u16 = 201;
const RELEASED: u16 = 204;
const NOT_UNDERSTOOD: u16 = 400;
const TAKEN: u16 = 409;
const OVER: u16 = 410;

#[wasm_bindgen]
extern "C" {
    /// A Durable Object binding.
    pub(super) type UsedTokensNamespace;
    #[wasm_bindgen(method, catch, js_name = idFromName)]
    fn id_from_name(this: &UsedTokensNamespace, name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn get(this: &UsedTokensNamespace, id: &JsValue) -> Result<Stub, JsValue>;

    type Stub;
    #[wasm_bindgen(method, catch)]
    fn fetch(this: &Stub, address: &str) -> Result<Promise, JsValue>;

    /// An object's `ctx`.
    pub type DurableObjectState;
    #[wasm_bindgen(method, getter)]
    fn storage(this: &DurableObjectState) -> Storage;

    #[derive(Clone)]
    type Storage;
    #[wasm_bindgen(method, getter)]
    fn kv(this: &Storage) -> SyncStorage;
    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    fn set_alarm(this: &Storage, unix_millis: f64) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = deleteAlarm)]
    fn delete_alarm(this: &Storage) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = deleteAll)]
    fn delete_all(this: &Storage) -> Result<Promise, JsValue>;

    /// Only objects with SQLite have it. It is what makes a reservation atomic without a word about gates: between
    /// reading and writing nothing is awaited, so nothing else runs.
    type SyncStorage;
    #[wasm_bindgen(method, catch, js_name = get)]
    fn read(this: &SyncStorage, key: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn put(this: &SyncStorage, key: &str, value: &str) -> Result<(), JsValue>;
}

impl UsedTokensNamespace {
    /// A binding that has a Durable Object namespace's methods; `None` for one of another kind.
    pub(super) fn new(binding: JsValue) -> Option<Self> {
        let is_namespace = ["idFromName", "get"].iter().all(|name| {
            Reflect::get(&binding, &JsValue::from_str(name)).is_ok_and(|method| method.is_function())
        });
        is_namespace.then(|| binding.unchecked_into())
    }
}

/// The namespace of this request, or the fact that none is bound: every use of it then fails.
pub(super) struct UsedTokens(pub(super) Option<UsedTokensNamespace>);

impl UsedTokens {
    async fn ask(&self, name: &str, ask: Ask<'_>) -> Result<u16, ReservationError> {
        let namespace = self.0.as_ref().ok_or_else(|| ReservationError("no object is bound".to_owned()))?;
        let call = || namespace.get(&namespace.id_from_name(name)?)?.fetch(&format!("{ORIGIN}{ask}"));
        let answer = JsFuture::from(call().map_err(failure)?).map(|answer| answer.map_err(failure));
        let answer = within(RESERVATION_TIMEOUT, answer, ReservationError).await?;
        Ok(answer.unchecked_into::<web_sys::Response>().status())
    }
}

impl Reservations for UsedTokens {
    fn reserve<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        until: Timestamp,
    ) -> LocalBoxFuture<'a, Result<Verdict, ReservationError>> {
        async move {
            match self.ask(name, Ask::Reserve { holder, until }).await? {
                RESERVED => Ok(Verdict::Reserved),
                TAKEN => Ok(Verdict::Taken),
                OVER => Ok(Verdict::Over),
                status => Err(unexpected(status)),
            }
        }
        .boxed_local()
    }

    fn release<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
    ) -> LocalBoxFuture<'a, Result<(), ReservationError>> {
        async move {
            match self.ask(name, Ask::Release { holder }).await? {
                RELEASED => Ok(()),
                status => Err(unexpected(status)),
            }
        }
        .boxed_local()
    }
}

fn unexpected(status: u16) -> ReservationError {
    ReservationError(format!("the object answered {status}"))
}

/// The runtime's words for the log.
fn failure(error: JsValue) -> ReservationError {
    let message = error.dyn_into::<js_sys::Error>().map(|error| String::from(error.message()));
    ReservationError(message.unwrap_or_else(|_| "the call failed".to_owned()))
}

/// The Durable Object of one token. It knows the token by nothing but its own name, and stores who holds it (the id of a
/// request) until an alarm removes that.
#[wasm_bindgen]
pub struct UsedToken {
    storage: Storage,
}

#[wasm_bindgen]
impl UsedToken {
    /// For the runtime.
    #[wasm_bindgen(constructor)]
    pub fn new(state: &DurableObjectState) -> Self {
        super::panic::install_hook();
        Self { storage: state.storage() }
    }

    /// Answers one [`Ask`].
    pub async fn fetch(&self, request: web_sys::Request) -> Result<web_sys::Response, JsValue> {
        let address = request.url();
        let status = match address.strip_prefix(ORIGIN).and_then(Ask::parse) {
            Some(Ask::Reserve { holder, until }) => self.reserve(holder, until).await?,
            Some(Ask::Release { holder }) => self.release(holder).await?,
            None => NOT_UNDERSTOOD,
        };
        let init = web_sys::ResponseInit::new();
        init.set_status(status);
        web_sys::Response::new_with_opt_str_and_init(None, &init)
    }

    /// The token is over, by the clock that refuses it from now on.
    pub async fn alarm(&self) -> Result<(), JsValue> {
        JsFuture::from(self.storage.delete_all()?).await.map(drop)
    }

    async fn reserve(&self, holder: &str, until: Timestamp) -> Result<u16, JsValue> {
        let now = super::now().ok_or("the clock shows no date")?;
        // Nothing is awaited from here to the alarm, so the entry and the alarm are written together or not at all.
        let storage = self.storage.kv();
        let verdict = reservation::reserve(storage.read(HOLDER)?.as_string().as_deref(), holder, until, now);
        match verdict {
            Verdict::Reserved => {
                storage.put(HOLDER, holder)?;
                let unix_millis = js_sys::Date::parse(&until.to_rfc3339());
                JsFuture::from(self.storage.set_alarm(unix_millis)?).await?;
                Ok(RESERVED)
            }
            Verdict::Taken => Ok(TAKEN),
            Verdict::Over => Ok(OVER),
        }
    }

    async fn release(&self, holder: &str) -> Result<u16, JsValue> {
        if reservation::releases(self.storage.kv().read(HOLDER)?.as_string().as_deref(), holder) {
            let (alarm, entry) = (self.storage.delete_alarm()?, self.storage.delete_all()?);
            JsFuture::from(alarm).await?;
            JsFuture::from(entry).await?;
        }
        Ok(RELEASED)
    }
}
