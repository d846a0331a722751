//! The Worker: turns the runtime's request into the arguments of [`api::handle`], and its answer back. It owns the
//! ports and nothing else, and makes no decision about a request.
//!
//! What lives as long as the isolate is in `thread_local`s: the [`App`] (settings and memory caches) and imported
//! `CryptoKey`s. Bindings, promises and streams belong to the request that made them (the runtime forbids to use them in
//! another) and are therefore looked up in each request, where it uses them: most use none.
//!
//! `Request` and `Response` are `web_sys`'s: `worker::Request::url` links the `url` crate (79 KB of gzip), and
//! `worker::Method` reads an unknown method as `GET`.

mod background;
mod body;
mod bridge;
mod collect;
mod durable_object;
mod fetch;
mod forward;
mod head;
mod kv;
mod log;
mod metrics;
mod panic;
mod proxy_budget;
mod rate_limits;
mod settings;
mod signatures;
mod time_limit;
mod used_tokens;
#[cfg(feature = "vectors")]
mod vectors;

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{FutureExt as _, LocalBoxFuture};
use worker::{Context, Delay, Env, event};

use self::background::WaitUntil;
use self::durable_object::Namespace;
use self::fetch::GlobalFetch;
use self::kv::Store;
use self::log::Console;
use self::proxy_budget::Budgets;
use self::rate_limits::RateLimiters;
use self::settings::Settings;
use self::signatures::WebCrypto;
use self::used_tokens::UsedTokens;
use crate::api::{self, App, Arrival};
use crate::config::{Config, OCTO_STS_KV, PROXY_BUDGETS, USED_TOKENS};
use crate::ports::{Ids, Ports, Stopwatch, Timer};
use crate::proxy::is_proxied;
use crate::time::Timestamp;

/// Where data points go.
const METRICS: &str = "METRICS";

thread_local! {
    /// Settings and memory caches, built by the isolate's first request.
    static APP: OnceCell<Rc<App>> = const { OnceCell::new() };
}

#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> worker::Result<web_sys::Response> {
    #[cfg(feature = "vectors")]
    if let Some(response) = vectors::answer(&request).await? {
        return Ok(response);
    }
    let env = Rc::new(env);
    let app = APP.with(|app| Rc::clone(app.get_or_init(|| started(&env))));
    #[cfg(feature = "vectors")]
    vectors::panic_on_request(&request).await;
    let now = now().ok_or("the clock shows no date")?;
    let arrival = Arrival { now, request_id: bridge::random_uuid() };
    let clock = Rc::new(RuntimeClock { started: now });
    let store = Rc::new(Store(Rc::clone(&env)));
    let url = request.url();
    let ports = Ports {
        fetch: Rc::new(GlobalFetch),
        kv_read: store.clone(),
        kv_write: store,
        reservations: Rc::new(UsedTokens(Rc::clone(&env))),
        budgets: Rc::new(Budgets(Rc::clone(&env))),
        signatures: Rc::new(WebCrypto),
        metrics: Settings(&env).binding(METRICS).map(metrics::dataset),
        rate_limits: Rc::new(RateLimiters(env)),
        ids: Rc::new(RandomIds),
        log: Rc::new(Console),
        stopwatch: clock.clone(),
        timer: clock,
        background: Rc::new(WaitUntil(context)),
    };
    if is_proxied(&url) {
        // Boxed, so that an exchange does not compile it.
        return Ok(forward::answer(&request, &url, &app, arrival, ports).boxed_local().await?);
    }
    let response = match bridge::read_request(&request, &url).await {
        Ok(request) => api::handle(&app, request, arrival, ports).await,
        Err(bridge::Unreadable) => api::unreadable_request(&arrival),
    };
    Ok(bridge::write_response(&response)?)
}

/// An isolate's state. Apart from [`fetch`], which stays hot.
#[inline(never)]
fn started(env: &Rc<Env>) -> Rc<App> {
    panic::install_hook();
    let settings = Settings(env);
    let is_bound = |name: &str| match name {
        OCTO_STS_KV => Store(Rc::clone(env)).namespace().is_ok(),
        USED_TOKENS | PROXY_BUDGETS => Namespace::bound(env, name).is_some(),
        _ => false,
    };
    let config = Config::parse(&|name| settings.text(name), &is_bound);
    Rc::new(App::new(config.limited_by(&|name| rate_limits::is_limiter(&settings, name))))
}

/// The runtime's own random UUIDs.
struct RandomIds;

impl Ids for RandomIds {
    fn uuid(&self) -> String {
        bridge::random_uuid()
    }
}

/// The runtime's clock, starting when the request arrived.
struct RuntimeClock {
    started: Timestamp,
}

impl Stopwatch for RuntimeClock {
    fn elapsed(&self) -> Duration {
        now().map_or(Duration::ZERO, |now| now.since(self.started))
    }
}

impl Timer for RuntimeClock {
    fn sleep(&self, time: Duration) -> LocalBoxFuture<'_, ()> {
        Delay::from(time).boxed_local()
    }
}

/// The runtime's clock, which stands still between two I/O operations. `None` before the year 1 or after 9999.
fn now() -> Option<Timestamp> {
    // One call where a `Date` takes two.
    #[expect(clippy::as_conversions, reason = "a whole number; a float that is none would saturate")]
    let millis = js_sys::Date::now() as i64;
    Timestamp::from_unix_millis(millis)
}
