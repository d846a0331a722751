//! GitHub's webhook: a signed delivery in; the caches told, and a check run for every change of a policy. [`deliver`] is
//! the order of things; the other files are its steps.
//!
//! The verdict of a check run comes from `policy::load` and `policy::trusted_issuers::load`, which the exchange uses, so
//! a green check cannot differ from the exchange.

mod changes;
mod check;
mod commit;
mod effect;
mod event;
mod listing;
mod markdown;
mod paths;
mod payload;
mod record;
mod report;
mod signature;
mod words;

use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Request};
use serde::{Deserialize, Serialize};

use crate::cache::{Bounds, Cache, Fact, Found, Lifetime};
use crate::config::ExchangeConfig;
use crate::context::Context;
use crate::github::mint::MintRequest;
use crate::github::{CommitSha, Conclusion, Failure};
use crate::names::Owner;
use crate::policy::PolicyHome;
use crate::ports::{KeyValueError, Level};
use crate::secret::Secret;
use crate::sts::{MintFailure, Problem, Service, check_run_token, revoke_now};
use crate::webhook::changes::{Changes, State, touched_by_commits, touched_by_files};
use crate::webhook::check::Checked;
use crate::webhook::commit::{Base, Commit, Target, remembered};
use crate::webhook::event::{CommitEvent, Event, Files, Pushed, PushedFiles};
use crate::webhook::listing::TooMany;
use crate::webhook::paths::Kind;

/// GitHub sends no larger payload.
/// <https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap>
pub const MAX_BODY: usize = 25 * 1024 * 1024;

/// Says that a request is a delivery, and of what.
pub const X_GITHUB_EVENT: HeaderName = HeaderName::from_static("x-github-event");
const X_GITHUB_DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");

/// A delivery that was handled is not handled again.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// In one isolate; KV knows of more.
const DELIVERIES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// What is shown of names in log lines.
const MAX_LOGGED_CHARACTERS: usize = 100;

/// What came of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It means nothing to us, and why.
    Ignored(&'static str),
    /// It was looked at, and nothing that matters changed.
    Unaffected,
    /// What was known of an installation is forgotten.
    Forgotten,
    /// A check run says what came of it.
    Validated {
        /// How the check ended.
        conclusion: Conclusion,
        /// How many files it is about.
        files: usize,
    },
    /// GitHub limits our rate, so there is no check run. A failure would only make it send more.
    RateLimited,
}

impl Outcome {
    /// Stable, for logs and the answer.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Ignored(_) => "ignored",
            Self::Unaffected => "unaffected",
            Self::Forgotten => "forgotten",
            Self::Validated { .. } => "validated",
            Self::RateLimited => "rate_limited",
        }
    }
}

/// The deliveries that were handled.
pub struct Deliveries(Cache<Handled>);

impl Default for Deliveries {
    fn default() -> Self {
        Self(Cache::new(Bounds { entries: DELIVERIES, weight: usize::MAX }))
    }
}

/// A delivery that was handled.
#[derive(Debug, Serialize, Deserialize)]
struct Handled;

impl Fact for Handled {
    type Record = Self;
    type Surroundings = ();

    fn from_record(record: Self, (): &()) -> Option<Self> {
        Some(record)
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime { memory: REMEMBERED, fresh: REMEMBERED, kept: REMEMBERED }
    }
}

/// Handles one delivery.
///
/// # Errors
/// [`Problem`]: the delivery is not one, or GitHub or KV failed; sending it again makes sense then, because a delivery
/// that failed is not remembered.
pub async fn deliver(
    request: &Request<Bytes>,
    service: &Rc<Service>,
    deliveries: &Deliveries,
    context: &Context,
) -> Result<Outcome, Problem> {
    let mut line = Line::of(request);
    let outcome = handle(request, service, deliveries, context, &mut line).await;
    line.write(&outcome, context);
    outcome
}

async fn handle(
    request: &Request<Bytes>,
    service: &Rc<Service>,
    deliveries: &Deliveries,
    context: &Context,
    line: &mut Line,
) -> Result<Outcome, Problem> {
    // 1. the size
    let body = request.body();
    if body.len() > MAX_BODY {
        return Err(Problem::PayloadTooLarge(MAX_BODY));
    }

    // 2. the signature, over the raw bytes
    let webhook = service.config.webhook.as_ref()?;
    signature::verify(request.headers(), body, &webhook.secrets)
        .map_err(|_| Problem::InvalidToken("the delivery's signature is missing or wrong".to_owned()))?;
    let config = service.config.exchange.as_ref()?;

    // 3. what it says
    let Some(name) = request.headers().get(X_GITHUB_EVENT).and_then(|name| name.to_str().ok()) else {
        return Err(Problem::InvalidRequest("the header `x-github-event` is missing".to_owned()));
    };
    let json = payload::json(request.headers(), body)?;
    let event = Event::read(name, &json, webhook, config)?;
    drop(json);
    let work = match event {
        Event::Ignored(reason) => return Ok(Outcome::Ignored(reason)),
        Event::Commit(commit) if commit.means_nothing() => return Ok(Outcome::Unaffected),
        Event::Commit(commit) => {
            line.commit(&commit);
            Work::Commit(commit)
        }
        Event::Installation(owner) => Work::Installation(owner),
    };

    // 4. whether it was handled already
    let delivery = request.headers().get(X_GITHUB_DELIVERY).and_then(|id| id.to_str().ok());
    let key = delivery.map(|id| config.keys.delivery(id));
    if let Some(key) = &key
        && let Found::Fresh(_) = deliveries.0.find(key, &(), context).await
    {
        return Ok(Outcome::Ignored("the delivery was handled already"));
    }

    // 5. the caches, and 6. the check run
    let outcome = match work {
        Work::Installation(owner) => forget_installation(&owner, service, config, context).await?,
        Work::Commit(event) => commit(*event, service, config, context).await?,
    };

    // 7. only what succeeded is remembered, so that a redelivery completes what did not
    let is_final = !matches!(outcome, Outcome::RateLimited);
    if let Some(key) = key.filter(|_| is_final) {
        deliveries.0.keep(&key, Handled, context.now, &(), context);
    }
    Ok(outcome)
}

enum Work {
    Installation(Owner),
    Commit(Box<CommitEvent>),
}

/// The permissions, repositories or very existence of an installation changed. Whether the policy repository can be
/// read may have changed with it.
async fn forget_installation(
    owner: &Owner,
    service: &Service,
    config: &ExchangeConfig,
    context: &Context,
) -> Result<Outcome, Problem> {
    let installations = service.forget_installations(owner, config, context).await;
    let issuers = service.forget_trusted_issuers(owner, config, context).await;
    told(installations.and(issuers), context)?;
    Ok(Outcome::Forgotten)
}

/// KV is to forget what is void, or an exchange could go by it: the one failure of KV that is not only a line in the log.
fn told(forgotten: Result<(), KeyValueError>, context: &Context) -> Result<(), Problem> {
    forgotten.map_err(|KeyValueError(error)| {
        context.log(Level::Error, "the caches could not be told of a change", &[("error", &error)]);
        Problem::Unavailable("the caches could not be told of the change".to_owned(), Duration::from_secs(5))
    })
}

/// Which of a repository's files a push touched, as far as that is known.
enum Touched {
    These(Vec<Kind>),
    Unknown,
}

/// What a delivery is about, as GitHub or the delivery itself listed it.
struct Listed {
    found: Result<Changes, TooMany>,
    touched: Touched,
    base: Base,
}

async fn commit(
    event: CommitEvent,
    service: &Rc<Service>,
    config: &ExchangeConfig,
    context: &Context,
) -> Result<Outcome, Problem> {
    let CommitEvent { target, installation_id, head, files, anew } = event;
    let push = match &files {
        Files::Push(push) => Some(push),
        Files::PullRequests { .. } | Files::Directory { .. } | Files::Since(_) => None,
    };
    let to_default_branch = push.is_some_and(|push| push.to_default_branch);
    let tell = Tell { target: &target, to_default_branch, service, config, context };

    // 5. what the delivery itself lists is told to the caches before GitHub is asked for anything
    let mut listed = push.and_then(|push| listed_by(push, &target));
    let mut caches = Ok(());
    if let Some(listed) = &mut listed {
        caches = tell.of(listed).await;
        if listed.found.as_ref().is_ok_and(Changes::is_empty) {
            return caches.map(|()| Outcome::Unaffected);
        }
    }
    let Some(installation_id) = installation_id else {
        if listed.is_none() {
            caches = tell.of_anything().await;
        }
        return caches.map(|()| Outcome::Ignored("the delivery is not of an app's installation"));
    };
    let request = MintRequest::for_check_run(&target.repository, matches!(files, Files::PullRequests { .. }));
    let token = match check_run_token(installation_id, &request, service, config, context).await {
        Ok(token) => token,
        Err(failure) => {
            if listed.is_none() {
                caches = tell.of_anything().await;
            }
            caches?;
            return match failure {
                MintFailure::Installation(problem) => Err(problem),
                MintFailure::GitHub(failure) | MintFailure::LookUp(failure) => {
                    failed(failure, "no token to check the commit", context)
                }
            };
        }
    };
    let commit = Commit { target: &target, head: &head, token: &token, service, config, context };
    let listed = match listed {
        Some(listed) => Ok(listed),
        None => {
            let mut listed = list(&commit, files).await;
            caches = match &mut listed {
                Ok(listed) => tell.of(listed).await,
                Err(_) => tell.of_anything().await,
            };
            listed
        }
    };

    // 6. the check run
    let checked = match &listed {
        Ok(Listed { found: Ok(changes), .. }) if changes.is_empty() => Ok(None),
        Ok(Listed { found, base, .. }) => {
            check::check(&commit, found.clone(), base.clone(), anew).await.map(Some)
        }
        Err(failure) => Err(*failure),
    };
    let rival = listed.ok().filter(|_| matches!(checked, Ok(Some(Checked { created: true, .. }))));
    let (service, after) = (Rc::clone(service), context.clone());
    context.defer(async move { conclude(rival, &target, &head, &token, &service, &after).await });
    caches?;
    match checked {
        Ok(None) => Ok(Outcome::Unaffected),
        Ok(Some(Checked { conclusion, files, .. })) => Ok(Outcome::Validated { conclusion, files }),
        Err(failure) => failed(failure, "the commit is not checked", context),
    }
}

/// After the answer: a look at whether another delivery created a check run at the same moment, and the token's end.
async fn conclude(
    rival: Option<Listed>,
    target: &Target,
    head: &CommitSha,
    token: &Secret,
    service: &Service,
    context: &Context,
) {
    let Ok(config) = &service.config.exchange else { return };
    if let Some(Listed { found, base, .. }) = rival {
        let commit = Commit { target, head, token, service, config, context };
        if let Err(failure) = check::reconcile(&commit, found, base).await {
            context.log(Level::Warn, "check runs not compared", &[("reason", failure.code())]);
        }
    }
    revoke_now(&config.app.base, token, context).await;
}

/// GitHub failed.
fn failed(failure: Failure, message: &str, context: &Context) -> Result<Outcome, Problem> {
    context.log(Level::Warn, message, &[("reason", failure.code())]);
    match failure {
        Failure::RateLimited(_) => Ok(Outcome::RateLimited),
        Failure::Unreadable | Failure::TooLarge | Failure::BrokenOff => {
            Err(Problem::Upstream("github answered what cannot be read".to_owned()))
        }
        other => Err(Problem::github_unavailable(other, context.now)),
    }
}

/// What a push lists by itself; `None` where GitHub has to be asked.
fn listed_by(push: &PushedFiles, target: &Target) -> Option<Listed> {
    let Pushed::Commits(commits) = &push.listed else { return None };
    let touched =
        if push.moved { Touched::Unknown } else { Touched::These(touched_by_commits(commits, target.home)) };
    Some(Listed { found: Ok(Changes::of_commits(commits, target.home)), touched, base: push.base() })
}

/// What GitHub lists.
async fn list(commit: &Commit<'_>, files: Files) -> Result<Listed, Failure> {
    let home = commit.target.home;
    match files {
        Files::Push(push) => {
            let base = push.base();
            let compared = match &push.listed {
                Pushed::Since(before) => commit.comparison(before).await?,
                Pushed::Commits(_) | Pushed::New => None,
            };
            let touched = match &compared {
                Some(files) if !push.moved => Touched::These(touched_by_files(files, home)),
                _ => Touched::Unknown,
            };
            let found = match compared {
                Some(files) => Ok(Changes::of_files(&files, home)),
                None => commit.directory().await?,
            };
            Ok(Listed { found, touched, base })
        }
        Files::PullRequests { files, base } => {
            let mut found = Ok(Changes::default());
            for files in files {
                found = match (found, commit.pull_request(files).await?) {
                    (Ok(mut all), Ok(changes)) => {
                        all.extend(changes);
                        Ok(all)
                    }
                    (Err(too_many), _) | (_, Err(too_many)) => Err(too_many),
                };
            }
            let base = Base { commit: base, of_pull_request: true, remembered: None };
            Ok(Listed { found, touched: Touched::Unknown, base })
        }
        Files::Since(before) => {
            let found = match commit.comparison(&before).await? {
                Some(files) => Ok(Changes::of_files(&files, home)),
                None => commit.directory().await?,
            };
            let base = Base { commit: Some(before), ..Base::default() };
            Ok(Listed { found, touched: Touched::Unknown, base })
        }
        Files::Directory { before } => {
            let mut found = commit.directory().await?;
            let is_large = match &found {
                Ok(changes) => changes.to_read() > check::MAX_FILES,
                Err(_) => true,
            };
            // Of a folder that is too large for one delivery, what this suite changed is looked at.
            if let Some(before) = before.as_ref().filter(|_| is_large)
                && let Some(files) = commit.comparison(before).await?
            {
                found = Ok(Changes::of_files(&files, home));
            }
            Ok(Listed { found, touched: Touched::Unknown, base: Base { commit: before, ..Base::default() } })
        }
    }
}

/// Tells the caches what changed on the default branch.
struct Tell<'a> {
    target: &'a Target,
    to_default_branch: bool,
    service: &'a Service,
    config: &'a ExchangeConfig,
    context: &'a Context,
}

impl Tell<'_> {
    /// Makes the caches forget what a push touched. What they held is kept for the comparison.
    async fn of(&self, listed: &mut Listed) -> Result<(), Problem> {
        let Self { target, service, config, context, .. } = self;
        if let (true, Ok(changes)) = (listed.base.remembered.is_some(), &listed.found) {
            let mut held = Vec::new();
            for change in changes.iter().take(check::MAX_FILES) {
                let from = match &change.state {
                    State::Modified { from: Some(from) } => from,
                    State::Modified { from: None } | State::Removed => &change.path,
                    State::Added | State::Present => continue,
                };
                if let Some(kind) = Kind::of(from, target.home) {
                    held.push((from.clone(), remembered(&kind, target, service, config, context).await));
                }
            }
            listed.base.remembered = Some(held);
        }
        match &listed.touched {
            Touched::These(kinds) => self.of_these(kinds).await,
            Touched::Unknown => self.of_anything().await,
        }
    }

    async fn of_these(&self, kinds: &[Kind]) -> Result<(), Problem> {
        let Self { target: Target { owner, repository, .. }, service, config, context, .. } = self;
        let mut result = Ok(());
        for kind in kinds.iter().filter(|_| self.to_default_branch) {
            let forgotten = match kind {
                Kind::Policy(identity) => {
                    service.forget_policy(owner, repository, identity, config, context).await
                }
                Kind::TrustedIssuers => service.forget_trusted_issuers(owner, config, context).await,
                Kind::IllegalName | Kind::Misnamed => Ok(()),
            };
            // One that fails does not keep the others.
            result = result.and(forgotten);
        }
        told(result, context)
    }

    /// Nobody knows what was touched: everything of the repository.
    async fn of_anything(&self) -> Result<(), Problem> {
        let Self { target: Target { owner, repository, home }, service, config, context, .. } = self;
        if !self.to_default_branch {
            return Ok(());
        }
        let policies = service.forget_policies(owner, repository, config, context).await;
        let issuers = match home {
            PolicyHome::OrganizationPolicyRepository => {
                service.forget_trusted_issuers(owner, config, context).await
            }
            PolicyHome::Repository => Ok(()),
        };
        told(policies.and(issuers), context)
    }
}

/// The one line that each delivery leaves in the log.
struct Line {
    delivery: String,
    event: String,
    repository: String,
    head: String,
}

impl Line {
    fn of(request: &Request<Bytes>) -> Self {
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

    fn commit(&mut self, event: &CommitEvent) {
        self.repository = format!("{}/{}", event.target.owner, event.target.repository);
        event.head.as_str().clone_into(&mut self.head);
    }

    fn write(&self, outcome: &Result<Outcome, Problem>, context: &Context) {
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
