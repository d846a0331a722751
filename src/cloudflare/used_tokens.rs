//! Which tokens are used: a Durable Object for each, named by the token's fingerprint. [`UsedToken`] is the object and
//! [`UsedTokens`] its caller; they exchange an [`Ask`] in an address and a status.
//!
//! A panic in an object would leave its caller hanging, so nothing here can panic.

use std::rc::Rc;

use futures_util::future::{FutureExt, LocalBoxFuture};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::Env;

use super::durable_object::{DurableObjectState, Namespace, Storage, failure};
use super::time_limit::within;
use crate::config::USED_TOKENS;
use crate::ports::{RESERVATION_TIMEOUT, ReservationError, Reservations};
use crate::reservation::{self, Ask, Verdict};
use crate::time::Timestamp;

/// Objects have no address. The name is reserved, in case this ever leaves the runtime (RFC 6761).
const ORIGIN: &str = "https://used-token.invalid/";

/// The only entry of an object's storage: who holds the token.
const HOLDER: &str = "holder";

const RESERVED: u16 = 201;
const RELEASED: u16 = 204;
const NOT_UNDERSTOOD: u16 = 400;
const TAKEN: u16 = 409;
const OVER: u16 = 410;

/// Where no namespace is bound, every use of it fails.
pub(super) struct UsedTokens(pub(super) Rc<Env>);

impl UsedTokens {
    async fn ask(&self, name: &str, ask: Ask<'_>) -> Result<u16, ReservationError> {
        let namespace = Namespace::bound(&self.0, USED_TOKENS);
        let namespace = namespace.ok_or_else(|| ReservationError("no object is bound".to_owned()))?;
        let told = |error| ReservationError(failure(error));
        let call = namespace.call(name, &format!("{ORIGIN}{ask}")).map_err(told)?;
        let answer = JsFuture::from(call).map(|answer| answer.map_err(told));
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

/// The Durable Object of one token. Its only link to the token is its own name. It stores the holder (the id of a
/// request) until an alarm deletes it.
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

    /// The token has expired, by the clock that refuses it from now on.
    pub async fn alarm(&self) -> Result<(), JsValue> {
        JsFuture::from(self.storage.delete_all()?).await.map(drop)
    }

    async fn reserve(&self, holder: &str, until: Timestamp) -> Result<u16, JsValue> {
        let now = super::now().ok_or("the clock shows no date")?;
        // There is no await from here to the alarm, so the entry and the alarm are written together or not at all.
        let storage = self.storage.kv();
        let verdict = reservation::reserve(storage.read(HOLDER)?.as_string().as_deref(), holder, until, now);
        match verdict {
            Verdict::Reserved => {
                storage.put(HOLDER, holder)?;
                self.storage.wake_at(until).await?;
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
