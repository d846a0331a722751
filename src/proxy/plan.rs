//! What happens to an admitted request: a [`Plan`] that the platform carries out with its own streams, and
//! [`Plan::settle`] once there is the head of an answer, or none.

use std::rc::Rc;
use std::time::Duration;

use http::Uri;

use super::audit::Event;
use super::headers::removed_of_answer;
use super::lines::{BrokenLine, EditLines};
use super::redirect::{self, Location};
use crate::config::{Address, Redirects};
use crate::context::Context;
use crate::federation::{ERROR_TYPE, Federation, Sent, Signer};
use crate::ports::{Headers, Level};
use crate::problem::Problem;
use crate::secret::Secret;

/// Whether callers get this status of an upstream. The runtime mistakes an interim answer for the answer and cannot
/// pass it on; with 520 to 527 and 530, the edge says that the upstream did not answer.
fn is_an_answer(status: u16) -> bool {
    (200..=599).contains(&status) && !(520..=527).contains(&status) && status != 530
}

const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Changes to an answer's headers, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Headers to remove.
    pub remove: Vec<String>,
    /// Headers to set to this value.
    pub set: Vec<(&'static str, String)>,
    /// Headers to append this value to.
    pub append: Vec<(&'static str, String)>,
}

/// An answer's head.
pub struct Head<'a> {
    /// As the upstream sent it, whatever its value.
    pub status: u16,
    /// As the upstream sent them.
    pub headers: &'a dyn Headers,
}

/// Why there is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoHead {
    /// Not reachable, refused, reset, or not HTTP.
    Failed,
    /// Nothing in [`Plan::first_byte_timeout`].
    Late,
    /// The caller hung up.
    HungUp,
    /// Nothing was sent: the body, which has to be complete first, has more than this many bytes.
    BodyTooLarge(usize),
    /// Nothing was sent: the body was not complete in time, or was cut off.
    BodyIncomplete,
    /// Nothing was sent: other buffered bodies occupy all the space.
    NoRoom,
}

/// A request to send. Only the admission makes it.
#[derive(Debug)]
pub struct Plan {
    /// The destination, independent of the caller's request.
    pub url: String,
    /// The caller's headers that are not forwarded, in lower case.
    pub remove: Vec<String>,
    /// Headers that are set after that, never appended.
    pub set: Vec<(String, Rc<Secret>)>,
    /// From sending to the answer's head.
    pub first_byte_timeout: Duration,
    /// The body has to be buffered and signed before it is sent; otherwise it is streamed.
    pub collect: Option<Collect>,
    pub(super) settlement: Settlement,
}

/// A body that is sent only when it is complete: the platform keeps it, outside wasm, and gives the signer its hash.
#[derive(Debug)]
pub struct Collect {
    /// The maximum size in bytes.
    pub most: usize,
    /// The signer, whose headers are set last and override all others.
    pub signer: Signer,
}

/// What is left to do when the upstream answers.
#[derive(Debug)]
pub(super) struct Settlement {
    pub(super) event: Event,
    pub(super) ingress: Option<Uri>,
    pub(super) upstream: String,
    pub(super) url: Address,
    /// The requested path after the upstream's `url`, without the query.
    pub(super) path: String,
    pub(super) redirects: Redirects,
    /// Headers for a page in a browser, on every answer.
    pub(super) cors: Rc<[(&'static str, String)]>,
    pub(super) remaining: u32,
    /// When it was sent, by the request's stopwatch.
    pub(super) sent_at: Duration,
    pub(super) federation: Federation,
    /// Which credential it was sent with.
    pub(super) sent: Sent,
}

impl Edits {
    /// The changes as lines.
    ///
    /// # Errors
    /// [`BrokenLine`]
    pub fn lines(&self) -> Result<EditLines, BrokenLine> {
        let mut lines = EditLines::default();
        self.remove.iter().try_for_each(|name| lines.remove(name))?;
        self.set.iter().try_for_each(|(name, value)| lines.set(name, value))?;
        self.append.iter().try_for_each(|(name, value)| lines.append(name, value))?;
        Ok(lines)
    }
}

impl Plan {
    /// The changes to the caller's headers as lines.
    ///
    /// # Errors
    /// [`BrokenLine`]: a credential has a line break, and nothing is sent.
    pub fn edits(&self) -> Result<EditLines, BrokenLine> {
        let mut lines = EditLines::default();
        self.remove.iter().try_for_each(|name| lines.remove(name))?;
        self.set.iter().try_for_each(|(name, value)| lines.set(name, value.expose()))?;
        Ok(lines)
    }

    /// The headers of every answer, the upstream's or ours, that a page in a browser needs.
    #[must_use]
    pub fn cors(&self) -> Rc<[(&'static str, String)]> {
        Rc::clone(&self.settlement.cors)
    }

    /// Ends the request with its event: the changes to the upstream's answer before it is passed on, or why there is
    /// none.
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
            remove: removed_of_answer(head.headers.names(), connection.as_deref()),
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
            // The upstream's own `Vary` applies as well.
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
