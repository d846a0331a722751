//! The floor of `make bench`: verifies one RS256 token with a cached key, sends one POST, and answers what came back.
//! It checks no claim, no policy and no answer, reads no header but one, and has no time limit and no log. Not for use.

#![forbid(unsafe_code)]

#[cfg(not(feature = "empty"))]
mod exchange;

use worker::{Context, Env, Result, event};

/// A constant.
#[cfg(feature = "empty")]
#[event(fetch)]
async fn fetch(_: web_sys::Request, _: Env, _: Context) -> Result<web_sys::Response> {
    Ok(web_sys::Response::new_with_opt_str(Some("{}"))?)
}

/// One exchange, as little of it as there can be.
#[cfg(not(feature = "empty"))]
#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, _: Context) -> Result<web_sys::Response> {
    Ok(exchange::exchange(&request, &env).await?)
}
