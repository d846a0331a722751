//! What becomes of a request that is let through: a [`Plan`] that the platform carries out with its own streams, and
//! [`Plan::settle`] when there is an answer's head, or none.

use std::rc::Rc;
use std::time::Duration;

use http::Uri;

use super::audit::Event;
use super::headers::removed_of_answer;
use super::redirect::{self, Location};
use crate::config::{Address, Redirects};
use crate::context::Context;
use crate::federation::{ERROR_TYPE, Federation, Sent, Signer};
use crate::ports::{Headers, Level};
use crate::problem::Problem;
use crate::secret::Secret;

/// A status of an upstream's that callers get. The runtime takes an interim answer for the answer and cannot pass it on;
/// 520 to 527 and 530 are the edge's words for an upstream that did not answer.
fn is_an_answer(status: u16) -> bool {
    (200..=599).contains(&status) && !(520..=527).contains(&status) && status != 530
}

const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Changes of an answer's headers, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Headers that go.
    pub remove: Vec<String>,
    /// Headers that get this one value.
    pub set: Vec<(&'static str, String)>,
    /// Headers that get this value besides those that they have.
    pub append: Vec<(&'static str, String)>,
}

/// An answer's head.
pub struct Head<'a> {
    /// As the upstream sent it, whatever it is.
    pub status: u16,
    /// As the upstream sent them.
    pub headers: &'a dyn Headers,
}

/// Why there is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoHead {
    /// Not reachable, refused, reset, or no HTTP.
    Failed,
    /// Nothing in [`Plan::first_byte_timeout`].
    Late,
    /// The caller hung up.
    HungUp,
    /// Nothing was sent: the body, which had to be whole before, has more than so many bytes.
    BodyTooLarge(usize),
    /// Nothing was sent: the body was not whole in time, or broke off.
    BodyIncomplete,
    /// Nothing was sent: other bodies that are collected take all the room that there is.
    NoRoom,
}

/// A request to send. Made by the admission alone.
#[derive(Debug)]
pub struct Plan {
    /// Where to; whatever the caller's request said.
    pub url: String,
    /// Headers of the caller's that do not go on, in lower case.
    pub remove: Vec<String>,
    /// Headers that are set after that, never appended.
    pub set: Vec<(String, Rc<Secret>)>,
    /// From sending to the answer's head.
    pub first_byte_timeout: Duration,
    /// The body has to be collected and signed before it is sent; else it streams.
    pub collect: Option<Collect>,
    pub(super) settlement: Settlement,
}

/// A body that is sent only when it is whole: the platform keeps it, outside wasm, and tells the signer its hash.
#[derive(Debug)]
pub struct Collect {
    /// So many bytes, and no more.
    pub most: usize,
    /// Whose headers are set last, over all others.
    pub signer: Signer,
}

/// What is left to do when the upstream answers.
#[derive(Debug)]
pub(super) struct Settlement {
    pub(super) event: Event,
    pub(super) ingress: Option<Uri>,
    pub(super) upstream: String,
    pub(super) url: Address,
    /// What was asked for behind the upstream's `url`, without the query.
    pub(super) path: String,
    pub(super) redirects: Redirects,
    /// Headers for a page in a browser, of every answer.
    pub(super) cors: Rc<[(&'static str, String)]>,
    pub(super) remaining: u32,
    /// When it was sent, by the request's stopwatch.
    pub(super) sent_at: Duration,
    pub(super) federation: Federation,
    /// Which credential it was sent with.
    pub(super) sent: Sent,
}

impl Plan {
    /// The headers of every answer, the upstream's or ours, that a page in a browser needs.
    #[must_use]
    pub fn cors(&self) -> Rc<[(&'static str, String)]> {
        Rc::clone(&self.settlement.cors)
    }

    /// Ends the request with its event: what to change of the upstream's answer before it is passed on, or why none is.
    ///
    /// # Errors
    /// [`Problem::Unavailable`]
    pub fn settle(self, answer: Result<Head<'_>, NoHead>, context: &Context) -> Result<Edits, Problem> {
        let mut settlement = self.settlement;
        settlement.event.first_byte(context.ports.stopwatch.elapsed().saturating_sub(settlement.sent_at));
        let outcome = settlement.pass(answer, context);
        let code = outcome.as_ref().map_or_else(Problem::code, |_| "forwarded");
        settlement.event.close(code, settlement.ingress.as_ref(), context);
        outcome
    }
}

impl Settlement {
    fn pass(&mut self, answer: Result<Head<'_>, NoHead>, context: &Context) -> Result<Edits, Problem> {
        let head = match answer {
            Ok(head) => head,
            Err(why) => return Err(self.no_head(why, context)),
        };
        self.event.status = Some(head.status);
        if !is_an_answer(head.status) {
            return Err(self.no_head(NoHead::Failed, context));
        }
        let error_type = head.headers.value(ERROR_TYPE);
        self.federation.upstream_answered(&self.sent, head.status, error_type.as_deref(), context.now);
        let connection = head.headers.value("connection");
        let mut edits = Edits {
            remove: removed_of_answer(&head.headers.names(), connection.as_deref()),
            set: vec![
                ("x-octo-sts-request-id", context.request_id.to_string()),
                ("x-octo-sts-remaining", self.remaining.to_string()),
            ],
            append: Vec::new(),
        };
        if (300..=399).contains(&head.status) && self.redirects == Redirects::Upstream {
            self.redirect(head.headers, &mut edits, context);
        }
        for (name, value) in self.cors.iter() {
            // The upstream's own `Vary` holds as well.
            let list = if *name == "vary" { &mut edits.append } else { &mut edits.set };
            list.push((name, value.clone()));
        }
        Ok(edits)
    }

    fn redirect(&self, headers: &dyn Headers, edits: &mut Edits, context: &Context) {
        let Some(location) = headers.value("location") else { return };
        match redirect::follow(&location, &self.upstream, &self.url, &self.path) {
            Location::Within(path) => edits.set.push(("location", path)),
            Location::Elsewhere(host) => {
                edits.remove.push("location".to_owned());
                let fields = [("upstream", self.upstream.as_str()), ("host", &host)];
                context.log(Level::Warn, "upstream redirects elsewhere", &fields);
            }
        }
    }

    fn no_head(&self, why: NoHead, context: &Context) -> Problem {
        let (level, reason) = match why {
            NoHead::Failed => (Level::Warn, "no_answer"),
            NoHead::Late => (Level::Warn, "timed_out"),
            NoHead::HungUp => (Level::Info, "hung_up"),
            NoHead::BodyTooLarge(most) => return Problem::PayloadTooLarge(most),
            NoHead::BodyIncomplete => {
                return Problem::InvalidRequest("the whole body did not arrive in time".to_owned());
            }
            NoHead::NoRoom => {
                let text = "too many large bodies arrive at once".to_owned();
                return Problem::Unavailable(text, Duration::from_secs(1));
            }
        };
        context.log(level, "upstream not reached", &[("upstream", &self.upstream), ("reason", reason)]);
        Problem::Unavailable(format!("the upstream `{}` did not answer", self.upstream), RETRY_AFTER)
    }
}
