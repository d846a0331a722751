//! The one line that each delivery leaves in the log. It is not an audit event, because a delivery grants nothing.

use bytes::Bytes;
use http::Request;

use crate::context::Context;
use crate::ports::Level;
use crate::problem::Problem;
use crate::webhook::event::CommitEvent;
use crate::webhook::{Outcome, X_GITHUB_DELIVERY, X_GITHUB_EVENT};

/// What is shown of a header.
const MAX_LOGGED_CHARACTERS: usize = 100;

/// The one line that each delivery leaves in the log.
pub(super) struct Line {
    delivery: String,
    event: String,
    repository: String,
    head: String,
}

impl Line {
    pub(super) fn of(request: &Request<Bytes>) -> Self {
        let header = |name| {
            let value = request.headers().get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
            value.unwrap_or_default().chars().take(MAX_LOGGED_CHARACTERS).collect()
        };
        Self {
            delivery: header(X_GITHUB_DELIVERY),
            event: header(X_GITHUB_EVENT),
            repository: String::new(),
            head: String::new(),
        }
    }

    pub(super) fn commit(&mut self, event: &CommitEvent) {
        self.repository = format!("{}/{}", event.target.owner, event.target.repository);
        event.head.as_str().clone_into(&mut self.head);
    }

    pub(super) fn write(&self, outcome: &Result<Outcome, Problem>, context: &Context) {
        let (conclusion, files) = match outcome {
            Ok(Outcome::Validated { conclusion, files }) => (conclusion.as_str(), files.to_string()),
            _ => ("", String::new()),
        };
        let reason = match outcome {
            Ok(Outcome::Ignored(reason)) => (*reason).to_owned(),
            Ok(_) => String::new(),
            Err(problem) => problem.message(),
        };
        let subrequests = context.subrequests().to_string();
        let fields = [
            ("delivery", self.delivery.as_str()),
            ("github_event", &self.event),
            ("repository", &self.repository),
            ("head_sha", &self.head),
            ("outcome", outcome.as_ref().map_or_else(Problem::code, Outcome::code)),
            ("reason", &reason),
            ("conclusion", conclusion),
            ("files", &files),
            ("subrequests", &subrequests),
        ];
        let known: Vec<(&str, &str)> = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        context.log(Level::Info, "webhook delivery", &known);
    }
}
