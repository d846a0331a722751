//! The budgets of the proxy: a Durable Object for each. [`ProxyBudget`] is the object and [`Budgets`] its caller; they
//! exchange an ask in an address and a verdict in a body ([`crate::proxy::budget`]).
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
use crate::config::PROXY_BUDGETS;
use crate::ports::{self, BUDGET_TIMEOUT, BudgetError};
use crate::proxy::budget::{self, Alarm, Ask};

/// Objects have no address. The name is reserved, in case this ever leaves the runtime (RFC 6761). The ask is in the
/// query, percent-encoded, so that there is no body to read.
const ORIGIN: &str = "https://proxy-budget.invalid/?";

/// The only entry of an object's storage.
const STATE: &str = "state";

const NOT_UNDERSTOOD: u16 = 400;

/// The namespace of this request. If none is bound, every use of it fails.
pub(super) struct Budgets(pub(super) Rc<Env>);

impl Budgets {
    async fn ask(&self, object: &str, ask: &str) -> Result<String, BudgetError> {
        let namespace = Namespace::bound(&self.0, PROXY_BUDGETS);
        let namespace = namespace.ok_or_else(|| BudgetError("no object is bound".to_owned()))?;
        let address = format!("{ORIGIN}{}", String::from(js_sys::encode_uri_component(ask)));
        let told = |error| BudgetError(failure(error));
        let answer = async {
            let answer =
                JsFuture::from(namespace.call(object, &address).map_err(told)?).await.map_err(told)?;
            let answer: web_sys::Response = answer.unchecked_into();
            if !answer.ok() {
                return Err(BudgetError(format!("the object answered {}", answer.status())));
            }
            let text = JsFuture::from(answer.text().map_err(told)?).await.map_err(told)?;
            text.as_string().ok_or_else(|| BudgetError("the object answered no text".to_owned()))
        };
        within(BUDGET_TIMEOUT, answer, BudgetError).await
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
    pub async fn fetch(&self, request: web_sys::Request) -> Result<web_sys::Response, JsValue> {
        let address = request.url();
        let ask = address.strip_prefix(ORIGIN).and_then(|ask| js_sys::decode_uri_component(ask).ok());
        let Some(ask) = ask.and_then(|ask| Ask::parse(&String::from(ask)).ok()) else {
            let init = web_sys::ResponseInit::new();
            init.set_status(NOT_UNDERSTOOD);
            return web_sys::Response::new_with_opt_str_and_init(None, &init);
        };
        let now = super::now().ok_or("the clock shows no date")?;
        // There is no await from here to the alarm, so the entry and the alarm are written together or not at all.
        let kv = self.storage.kv();
        let stored = kv.read(STATE)?.as_string();
        let decision =
            budget::decide(stored.as_deref(), &ask, now).map_err(|_| "the budget cannot be read")?;
        if let Some(text) = &decision.write {
            kv.put(STATE, text)?;
        }
        if let Some(moment) = decision.alarm {
            self.storage.wake_at(moment).await?;
        }
        web_sys::Response::new_with_opt_str(Some(&decision.verdict.to_text()))
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
