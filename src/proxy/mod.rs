//! The proxy (docs/proxy.md): decides everything about a request, and never touches a stream.
//! [`decide`] is the order of checks; the platform carries out the [`Plan`].

mod admission;
mod audit;
pub mod budget;
mod headers;
mod outgoing;
mod plan;
mod redirect;
mod route;
mod session;

pub use admission::{Admission, AnswerHeaders, Inquiry, Refusal, Surroundings, decide};
pub use admission::{check_age, put};
pub use plan::{Collect, Edits, Head, NoHead, Plan};
pub use route::is_proxied;
pub use session::Sessions;
