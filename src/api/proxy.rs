//! Requests through the proxy. This is not a route like the others, because bodies never come here and answers are the
//! upstream's. It takes the head of a request, and returns an answer or a plan.

use std::rc::Rc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::api::answer::complete;
use crate::api::{App, Arrival, error};
use crate::context::Context;
use crate::ports::Ports;
use crate::problem::Problem;
use crate::proxy::{self, Admission, AnswerHeaders, Edits, Head, Inquiry, NoHead, Plan, Surroundings};

const X_OCTO_STS_ERROR: HeaderName = HeaderName::from_static("x-octo-sts-error");
const CF_CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");

/// What happens to a request through the proxy.
#[derive(Debug)]
pub enum Outcome {
    /// Our own answer.
    Answer(Response<Bytes>),
    /// The platform forwards it.
    Forward(Box<Forward>),
}

/// A request to forward, and what to do with the answer.
#[derive(Debug)]
pub struct Forward {
    /// What to send.
    pub plan: Plan,
    context: Context,
}

impl Forward {
    /// Takes the head of the upstream's answer, or the reason why there is none, and ends the request. Returns the
    /// changes to make to the answer before it is passed on.
    ///
    /// # Errors
    /// Our own answer, in place of the upstream's.
    pub fn settle(self, answer: Result<Head<'_>, NoHead>) -> Result<Edits, Box<Response<Bytes>>> {
        let Self { plan, context } = self;
        let cors = plan.cors();
        let outcome = plan.settle(answer, &context);
        context.release();
        outcome.map_err(|problem| Box::new(refused(&problem, &cors, &context)))
    }
}

/// Decides about one request below [`crate::proxy::is_proxied`]. Never fails: every failure is an answer.
///
/// The platform keeps the request alive until everything is done, so this does not have to.
pub async fn forward(app: &Rc<App>, inquiry: &Inquiry<'_>, arrival: Arrival, ports: Ports) -> Outcome {
    let config = &app.service.config;
    let context = Context::new(arrival.now, &arrival.request_id, config.log_level, ports);
    app.tell_settings(&context);
    // The time limits of a request to an upstream are its own.
    context.lift_time_limit();
    let Some(part) = &config.proxy.part else {
        context.release();
        return Outcome::Answer(refused(&Problem::NotFound, &AnswerHeaders::default(), &context));
    };
    let ingress = config.event_ingress.as_ref();
    let surroundings = Surroundings {
        part,
        authn: &app.service.authn,
        issuer: &config.issuer,
        federation: &app.federation,
        sessions: &app.service.sessions,
        ingress,
    };
    match Box::pin(proxy::decide(inquiry, &surroundings, &context)).await {
        Admission::Admitted(plan) => Outcome::Forward(Box::new(Forward { plan: *plan, context })),
        Admission::Preflight(headers) => {
            context.release();
            Outcome::Answer(preflight(&headers, &context))
        }
        Admission::Refused(mut refusal) => {
            let address = address(inquiry);
            let limits = &app.service.limits;
            let told = limits.limit_refusals::<()>(Err(refusal.problem), &address, &context).await;
            refusal.problem = told.err().unwrap_or(Problem::Internal);
            let (problem, cors) = refusal.close(ingress, &context);
            app.tell_misconfigured(&problem, &context);
            context.release();
            Outcome::Answer(refused(&problem, &cors, &context))
        }
    }
}

fn address(inquiry: &Inquiry<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let address = inquiry.headers.value(CF_CONNECTING_IP.as_str());
    if let Some(address) = address.and_then(|address| HeaderValue::try_from(address).ok()) {
        headers.insert(CF_CONNECTING_IP, address);
    }
    headers
}

/// An upstream's answer never has the header that ours have, so a client can tell them apart.
fn refused(problem: &Problem, cors: &AnswerHeaders, context: &Context) -> Response<Bytes> {
    let mut response = error::response(problem, &context.request_id);
    response.headers_mut().insert(X_OCTO_STS_ERROR, HeaderValue::from_static(problem.code()));
    own(response, cors, context)
}

fn preflight(headers: &AnswerHeaders, context: &Context) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    own(response, headers, context)
}

fn own(mut response: Response<Bytes>, more: &AnswerHeaders, context: &Context) -> Response<Bytes> {
    complete(&mut response, &context.request_id);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in more.iter() {
        if let Ok(value) = HeaderValue::try_from(value.as_str()) {
            headers.insert(*name, value);
        }
    }
    response
}
