//! Requests through the proxy: the bodies are the runtime's own streams in both directions and never pass through wasm.
//! The outgoing request is derived from the incoming one, and the answer from the upstream's; headers are edited in
//! place.
//!
//! Nothing here reads, tees or wraps a body, and nothing sets `encodeBody`: any of these would send the bytes through
//! wasm, or keep unread bytes in memory.

use std::pin::pin;
use std::rc::Rc;

use futures_util::future::{Either, select};
use js_sys::{Array, Function, Promise};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, AbortSignal, Request, RequestCache, RequestInit, RequestRedirect, Response};
use worker::{Context, Delay};

use super::collect::{Collected, collect};
use super::{bridge, now};
use crate::api::{self, App, Arrival, Forward, Outcome};
use crate::federation::Signer;
use crate::ports::{Headers, Ports};
use crate::proxy::{Collect, Edits, Head, Inquiry, NoHead, Plan};

/// Keeps the invocation alive until it is dropped. Otherwise, a caller that hangs up would freeze the waiting handler:
/// its event would not be written, and its memory never freed.
pub(super) struct Alive(Function);

impl Alive {
    /// `None` if the runtime refuses; the request is answered nevertheless.
    pub(super) fn keep(context: &Context) -> Option<Self> {
        let mut resolve = None;
        let ended = Promise::new(&mut |done, _| resolve = Some(done));
        context.as_ref().wait_until(&ended).ok()?;
        resolve.map(Self)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.call0(&JsValue::UNDEFINED).map(drop).unwrap_or_default();
    }
}

/// The headers of a message. All names enter wasm as one text, and values one by one.
struct MessageHeaders(web_sys::Headers);

impl Headers for MessageHeaders {
    fn names(&self) -> Vec<String> {
        let names = String::from(Array::from(&self.0.keys()).join("\n"));
        // `Set-Cookie` appears once for each cookie.
        let mut names: Vec<String> =
            names.split('\n').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        names.dedup();
        names
    }

    fn value(&self, name: &str) -> Option<String> {
        self.0.get(name).ok().flatten()
    }
}

/// Answers a request below the proxy.
pub(super) async fn answer(
    request: &Request,
    app: &Rc<App>,
    arrival: Arrival,
    ports: Ports,
) -> Result<Response, JsValue> {
    let (method, url) = (request.method(), request.url());
    let headers = MessageHeaders(request.headers());
    let inquiry = Inquiry { method: &method, url: &url, headers: &headers };
    match api::forward(app, &inquiry, arrival, ports).await {
        Outcome::Answer(answer) => bridge::write_response(&answer),
        Outcome::Forward(forward) => pass(request, *forward).await,
    }
}

async fn pass(request: &Request, forward: Forward) -> Result<Response, JsValue> {
    let answer = match send(request, &forward.plan).await {
        Ok(answer) => answer,
        Err(why) => return given_up(forward, why),
    };
    let headers = MessageHeaders(answer.headers());
    let head = Head { status: answer.status(), headers: &headers };
    match forward.settle(Ok(head)) {
        Ok(edits) => edited(&answer, &edits),
        Err(instead) => bridge::write_response(&instead),
    }
}

fn given_up(forward: Forward, why: NoHead) -> Result<Response, JsValue> {
    match forward.settle(Err(why)) {
        Ok(_) => Err(JsValue::from_str("there is no answer")),
        Err(instead) => bridge::write_response(&instead),
    }
}

/// Sends the request, and waits for the head of an answer.
async fn send(request: &Request, plan: &Plan) -> Result<Response, NoHead> {
    let late = AbortController::new().map_err(|_| NoHead::Failed)?;
    // Held until there is an answer: until then the runtime may need the bytes.
    let collected = match &plan.collect {
        Some(Collect { most, .. }) => Some(collect(request, *most).await?),
        None => None,
    };
    let out = outgoing(request, plan, collected.as_ref()).map_err(|_| NoHead::Failed)?;
    let init = request_init(request, &late);
    let sent = JsFuture::from(bridge::global().fetch_with_request_and_init(&out, &init));
    match select(pin!(sent), pin!(Delay::from(plan.first_byte_timeout))).await {
        Either::Left((Ok(answer), _)) => Ok(answer.unchecked_into()),
        Either::Left((Err(_), _)) if request.signal().aborted() => Err(NoHead::HungUp),
        Either::Left((Err(_), _)) => Err(NoHead::Failed),
        Either::Right(_) => {
            late.abort();
            Err(NoHead::Late)
        }
    }
}

fn outgoing(request: &Request, plan: &Plan, collected: Option<&Collected>) -> Result<Request, JsValue> {
    let out = match collected {
        // The request itself instead of an init, so that the method, the headers and the body with its length are kept.
        None => Request::new_with_str_and_init(&plan.url, request.unchecked_ref())?,
        Some(collected) => {
            let init = RequestInit::new();
            init.set_method(&request.method());
            init.set_headers_headers(&request.headers());
            if let Some(bytes) = &collected.bytes {
                init.set_body(bytes);
            }
            Request::new_with_str_and_init(&plan.url, &init)?
        }
    };
    let headers = out.headers();
    for name in &plan.remove {
        headers.delete(name)?;
    }
    for (name, value) in &plan.set {
        headers.set(name, value.expose())?;
    }
    if let (Some(Collect { signer, .. }), Some(collected)) = (&plan.collect, collected) {
        sign(&out, signer, &collected.sha256)?;
    }
    Ok(out)
}

/// Signs what is sent, with the address as the runtime has rewritten it.
fn sign(out: &Request, signer: &Signer, sha256: &str) -> Result<(), JsValue> {
    let headers = MessageHeaders(out.headers());
    let names = headers.names();
    let values: Vec<String> = names.iter().map(|name| headers.value(name).unwrap_or_default()).collect();
    let sent: Vec<(&str, &str)> =
        names.iter().zip(&values).map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let now = now().ok_or("the clock shows no date")?;
    let signed =
        signer.sign(&out.method(), &out.url(), &sent, sha256, now).ok_or("the address is invalid")?;
    for (name, value) in signed {
        out.headers().set(name.as_str(), value.expose())?;
    }
    Ok(())
}

fn request_init(request: &Request, late: &AbortController) -> RequestInit {
    let init = RequestInit::new();
    init.set_redirect(RequestRedirect::Manual);
    init.set_cache(RequestCache::NoStore);
    // The runtime ignores the request's own signal, but obeys one derived from it.
    let signals = Array::of2(&request.signal(), &late.signal());
    init.set_signal(Some(&AbortSignal::any(&signals)));
    init
}

/// The answer with its stream, its status and its edited headers.
fn edited(answer: &Response, edits: &Edits) -> Result<Response, JsValue> {
    // The runtime accepts no body with these statuses.
    let body = answer.body().filter(|_| !matches!(answer.status(), 204 | 205 | 304));
    let out = Response::new_with_opt_readable_stream_and_init(body.as_ref(), answer.unchecked_ref())?;
    let headers = out.headers();
    for name in &edits.remove {
        headers.delete(name)?;
    }
    for (name, value) in &edits.set {
        headers.set(name, value)?;
    }
    for (name, value) in &edits.append {
        headers.append(name, value)?;
    }
    Ok(out)
}
