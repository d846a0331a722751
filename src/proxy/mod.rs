//! The proxy (docs/proxy.md): decides everything about a request, and never touches a stream.
//! [`decide`] is the order of checks; the platform carries out the [`Plan`].

mod admission;
mod audit;
pub mod budget;
mod budgets;
mod headers;
mod lines;
mod outgoing;
mod plan;
mod redirect;
mod route;
mod session;

pub use admission::{Admission, AnswerHeaders, Inquiry, Refusal, Surroundings, check_age, decide};
pub use budgets::put;
pub use lines::{BrokenLine, EditLines, HeadLines};
pub use plan::{Collect, Edits, Head, NoHead, Plan};
pub use route::is_proxied;
pub use session::Sessions;
