//! The budgets of the proxy: a Durable Object for each. [`ProxyBudget`] is the object and [`Budgets`] its caller; they
//! exchange an ask in an address and a verdict in a header ([`crate::proxy::budget`]).
//!
//! A panic in an object would leave its caller hanging, so nothing here can panic.

use std::rc::Rc;

use futures_util::future::{FutureExt, LocalBoxFuture};
use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;
use worker::Env;

use super::durable_object::{DurableObjectState, Storage, failure};
use super::settings::Settings;
use crate::config::PROXY_BUDGETS;
use crate::ports::{self, BUDGET_TIMEOUT, BudgetError};
use crate::proxy::budget::{self, Alarm, Ask};

#[wasm_bindgen(module = "/src/cloudflare/forward.js")]
extern "C" {
    fn ask(namespace: &JsValue, object: &str, address: &str, limit: f64) -> Promise;
    #[wasm_bindgen(catch)]
    fn verdict(text: &str) -> Result<web_sys::Response, JsValue>;
}

/// Objects have no address. The name is reserved, in case this ever leaves the runtime (RFC 6761). The ask is in the
/// query, so that there is no body to read; it needs no percent-encoding.
const ORIGIN: &str = "https://proxy-budget.invalid/?";

/// The only entry of an object's storage.
const STATE: &str = "state";

const NOT_UNDERSTOOD: u16 = 400;

/// The namespace of this request. If none is bound, every use of it fails.
pub(super) struct Budgets(pub(super) Rc<Env>);

impl Budgets {
    async fn ask(&self, object: &str, text: &str) -> Result<String, BudgetError> {
        let namespace = Settings(&self.0).binding(PROXY_BUDGETS);
        let namespace = namespace.ok_or_else(|| BudgetError("no object is bound".to_owned()))?;
        let address = format!("{ORIGIN}{text}");
        let answer = ask(&namespace, object, &address, BUDGET_TIMEOUT.as_secs_f64() * 1000.0);
        let verdict = JsFuture::from(answer).await.map_err(|error| BudgetError(failure(error)))?;
        verdict.as_string().ok_or_else(|| BudgetError("the object answered no text".to_owned()))
    }
}

impl ports::Budgets for Budgets {
    fn call<'a>(&'a self, object: &'a str, ask: &'a str) -> LocalBoxFuture<'a, Result<String, BudgetError>> {
        self.ask(object, ask).boxed_local()
    }
}

/// The Durable Object of one budget. Its only link to its owner is its own name, a hash.
#[wasm_bindgen]
pub struct ProxyBudget {
    storage: Storage,
}

#[wasm_bindgen]
impl ProxyBudget {
    /// For the runtime.
    #[wasm_bindgen(constructor)]
    pub fn new(state: &DurableObjectState) -> Self {
        super::panic::install_hook();
        Self { storage: state.storage() }
    }

    /// Answers one ask. The runtime sends no answer before the write is durable.
    pub fn fetch(&self, request: &web_sys::Request) -> Result<web_sys::Response, JsValue> {
        let address = request.url();
        let Some(ask) = address.strip_prefix(ORIGIN).and_then(|ask| Ask::parse(ask).ok()) else {
            let init = web_sys::ResponseInit::new();
            init.set_status(NOT_UNDERSTOOD);
            return web_sys::Response::new_with_opt_str_and_init(None, &init);
        };
        let now = super::now().ok_or("the clock shows no date")?;
        // There is no await here, so the entry and the alarm are written together or not at all.
        let kv = self.storage.kv();
        let stored = kv.read(STATE)?.as_string();
        let decision =
            budget::decide(stored.as_deref(), &ask, now).map_err(|_| "the budget cannot be read")?;
        if let Some(text) = &decision.write {
            kv.put(STATE, text)?;
        }
        if let Some(moment) = decision.alarm {
            // The runtime waits for it too before it sends the answer.
            drop(self.storage.set_alarm_at(moment)?);
        }
        verdict(&decision.verdict.to_text())
    }

    /// Deletes the budget, unless it is too early for that.
    pub async fn alarm(&self) -> Result<(), JsValue> {
        let now = super::now().ok_or("the clock shows no date")?;
        match budget::ring(self.storage.kv().read(STATE)?.as_string().as_deref(), now) {
            Alarm::Forget => JsFuture::from(self.storage.delete_all()?).await.map(drop),
            Alarm::RingAgain(moment) => self.storage.wake_at(moment).await,
        }
    }
}
