//! Credentials for upstreams: strict stand-ins for the providers behind the port, assertions that are really signed.

mod errors;
mod exchanges;
mod kept;
mod proxied;
mod setting;
mod stage;
