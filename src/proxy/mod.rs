//! The proxy (docs/proxy.md): decides everything about a request that goes through, and never touches a stream.

pub mod budget;

/// The name of the Durable Object binding; needed only where there are upstreams.
pub const PROXY_BUDGETS: &str = "PROXY_BUDGETS";
