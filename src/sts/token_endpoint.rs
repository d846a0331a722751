//! `POST /sts/token`: OAuth 2.0 Token Exchange (RFC 8693). The same checks in the same order as `/sts/exchange`, with
//! the same engine. Only the form of the request and the error for a bad token differ.

use bytes::Bytes;
use http::Request;

use crate::config::Config;
use crate::context::Context;
use crate::github::BaseUrl;
use crate::problem::Problem;
use crate::sts::audit::Event;
use crate::sts::exchange::{Granted, grant};
use crate::sts::service::Service;
use crate::sts::session::{self, SessionToken};
use crate::sts::token_request::{Form, Places, Target, TokenRequest};

/// What the caller gets.
pub enum Issued {
    /// An installation token, and the requested identity.
    Installation {
        /// The token and what it may do.
        granted: Granted,
        /// The policy's name.
        identity: String,
    },
    /// A session of the proxy.
    Session(SessionToken),
}

/// Exchanges the form's subject token for a token of its target.
///
/// # Errors
/// The [`Problem`] of the first step that fails, in the token endpoint's words.
pub async fn token(
    request: &Request<Bytes>,
    service: &Service,
    context: &Context,
    event: &mut Event,
) -> Result<Issued, Problem> {
    issued(request, service, context, event).await.map_err(told)
}

async fn issued(
    request: &Request<Bytes>,
    service: &Service,
    context: &Context,
    event: &mut Event,
) -> Result<Issued, Problem> {
    // 1. the form, and in it the target
    let places = places(&service.config)?;
    let form = Form::read(request)?;
    if let Some(upstream) = form.upstream(&places) {
        event.session_for(upstream);
    }
    let TokenRequest { subject_token, target } = form.check(&places)?;

    // 2. only the subject token: no header is read here
    match target {
        Target::GitHub(asked) => {
            event.asked(&asked);
            let config = service.config.exchange.as_ref()?;
            let identity = asked.identity.to_string();
            let granted = grant(&asked, &subject_token, service, config, context, event).await?;
            Ok(Issued::Installation { granted, identity })
        }
        Target::Upstream(name) => {
            session::begin(&subject_token, &name, service, context, event).await.map(Issued::Session)
        }
    }
}

/// Where targets are. Without a domain no target can be told from another.
fn places(config: &Config) -> Result<Places, Problem> {
    let domain = config.domain.as_ref()?;
    let web = config.revoke.as_ref().map(BaseUrl::web).map_err(Clone::clone);
    Ok(Places { web, proxy: format!("https://{domain}/proxy/") })
}

/// Here a bad token is an invalid grant (RFC 6749, 5.2), so that a client can distinguish it from a bad request.
fn told(problem: Problem) -> Problem {
    if let Problem::InvalidToken(text) = problem { Problem::InvalidGrant(text) } else { problem }
}
