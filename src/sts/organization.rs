//! Step 9: may this issuer federate with the organization at all? Ignorance is never permission: [`Ruling`] has no
//! permissive default, and every fact that cannot be established is a [`Problem`].

use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::apps::{Access, MintFailure};
use crate::cache::{Entry, Fact, Found, Key, Lifetime};
use crate::config::ExchangeConfig;
use crate::context::Context;
use crate::github::{Failure, File};
use crate::names::{Owner, Repository};
use crate::policy::trusted_issuers::{self, Mode, TrustedIssuers};
use crate::ports::Level;
use crate::problem::Problem;
use crate::sts::audit::OrganizationDecision;
use crate::sts::{Remembered, Service};
use crate::time::Timestamp;

const MEMORY: Duration = Duration::from_secs(30);
const FRESH: Duration = Duration::from_secs(5 * 60);
/// A broken list is read again sooner, because everyone in the organization waits for its repair.
const INVALID_FRESH: Duration = Duration::from_secs(60);
/// A list that GitHub refuses to show the App is read again as soon.
const REFUSED_FRESH: Duration = Duration::from_secs(60);
const LAST_KNOWN_GOOD: Duration = Duration::from_secs(3600);

/// A state of the audit event.
const UNREADABLE: &str = "unreadable";

/// Where the list is in the policy repository.
pub(crate) const PATH: &str = ".github/chainguard/trusted-token-issuers.yaml";

// The texts are fixed: whoever holds any verified token must not learn an organization's identity providers from them.
const NOT_PERMITTED: &str = "issuer not permitted by organization policy";
const INVALID: &str = "organization trusted-issuer configuration is invalid";
const UNAVAILABLE: &str = "organization trusted-issuer lookup unavailable";
const RATE_LIMITED: &str = "organization trusted-issuer lookup rate limited";
const REFUSED: &str = "organization trusted-issuer lookup refused";

/// What is known about an organization's list.
#[derive(Debug)]
pub(super) struct OrganizationIssuers {
    state: State,
    record: Record,
}

#[derive(Debug)]
enum State {
    /// A readable repository without the file.
    Absent,
    /// The App cannot read the policy repository, and a fresh look at the installation confirmed it.
    Unreadable,
    /// GitHub refuses to show the App the file, for example because of an IP allow list, so nobody knows whether there
    /// is a list.
    Refused,
    Listed(Rc<TrustedIssuers>),
    /// The file is not valid; with the last valid list, if there was one.
    Invalid(Option<Rc<TrustedIssuers>>),
}

octo_sts_verifier::json_object! {
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(super) struct Record {
        file: FileRecord => take,
        /// The text of the last valid list and when it was read; only with an invalid file.
        last_good: Option<(String, i64)> => take_nullable,
    }
}

octo_sts_verifier::json_alternatives! {
    #[derive(Debug, Clone, PartialEq, Eq)]
    enum FileRecord {
        Absent = "Absent",
        Unreadable = "Unreadable",
        Refused = "Refused",
        Text(String) = "Text",
        NotAFile = "NotAFile",
    }
}

impl Fact for OrganizationIssuers {
    type Record = Record;
    type Surroundings = ();

    fn from_record(record: Record, (): &()) -> Option<Self> {
        let parse = |text: &str| trusted_issuers::load(text.as_bytes()).value.map(Rc::new);
        let last_good = || record.last_good.as_ref().and_then(|(text, _)| parse(text));
        let state = match &record.file {
            FileRecord::Absent => State::Absent,
            FileRecord::Unreadable => State::Unreadable,
            FileRecord::Refused => State::Refused,
            FileRecord::Text(text) => parse(text).map_or_else(|| State::Invalid(last_good()), State::Listed),
            FileRecord::NotAFile => State::Invalid(last_good()),
        };
        Some(Self { state, record })
    }

    fn weight(&self) -> usize {
        let compiled = match &self.state {
            State::Listed(list) | State::Invalid(Some(list)) => list.weight_bytes(),
            State::Absent | State::Unreadable | State::Refused | State::Invalid(None) => 0,
        };
        let file = match &self.record.file {
            FileRecord::Text(text) => text.len(),
            FileRecord::Absent | FileRecord::Unreadable | FileRecord::Refused | FileRecord::NotAFile => 0,
        };
        let last_good = self.record.last_good.as_ref().map_or(0, |(text, _)| text.len());
        size_of::<Self>().saturating_add(compiled).saturating_add(file).saturating_add(last_good)
    }

    fn lifetime(&self) -> Lifetime {
        let fresh = match self.state {
            State::Absent | State::Unreadable | State::Listed(_) => FRESH,
            State::Refused => REFUSED_FRESH,
            State::Invalid(_) => INVALID_FRESH,
        };
        Lifetime { memory: MEMORY, fresh, kept: LAST_KNOWN_GOOD + FRESH }
    }
}

/// Why the issuer is permitted.
struct Ruling {
    state: &'static str,
    list: Option<Rc<TrustedIssuers>>,
    stale: bool,
}

/// Permits the issuer or says why not. `decision` gets the decision in both cases.
pub(super) async fn check(
    issuer: &str,
    found: Found<OrganizationIssuers>,
    service: &Service,
    config: &ExchangeConfig,
    access: &mut Access<'_>,
    decision: &mut Option<OrganizationDecision>,
) -> Result<(), Problem> {
    let ruling = match rule(found, service, config, access).boxed_local().await {
        Ok(ruling) => ruling,
        Err(problem) => {
            let state = if problem == invalid() { "invalid" } else { "unknown" };
            *decision =
                Some(OrganizationDecision { state, mode: None, listed: None, allowed: false, stale: false });
            return Err(problem);
        }
    };
    if ruling.state == UNREADABLE {
        access.context.log(
            Level::Warn,
            "the app cannot read the policy repository, so every issuer is permitted",
            &[("owner", access.scope.owner().as_str())],
        );
    }
    let listed = ruling.list.as_ref().map(|list| list.permits(issuer));
    let mode = ruling.list.as_ref().map(|list| list.mode());
    let allowed = match (listed, mode) {
        // There is no list.
        (None, _) | (_, None) => true,
        (Some(listed), Some(Mode::Enforce)) => listed,
        (Some(_), Some(Mode::Audit)) => true,
    };
    *decision = Some(OrganizationDecision {
        state: ruling.state,
        mode: mode.map(|mode| match mode {
            Mode::Enforce => "enforce",
            Mode::Audit => "audit",
        }),
        listed,
        allowed,
        stale: ruling.stale,
    });
    if allowed { Ok(()) } else { Err(Problem::PermissionDenied(NOT_PERMITTED.to_owned())) }
}

fn invalid() -> Problem {
    Problem::PermissionDenied(INVALID.to_owned())
}

async fn rule(
    found: Found<OrganizationIssuers>,
    service: &Service,
    config: &ExchangeConfig,
    access: &mut Access<'_>,
) -> Result<Ruling, Problem> {
    let (context, owner) = (access.context, access.scope.owner());
    let previous = match found {
        Found::Fresh(entry) => return rule_by(&entry, false, context.now),
        // GitHub refused a moment ago.
        Found::Held(entry) if entry.age(context.now) <= LAST_KNOWN_GOOD => {
            return rule_by(&entry, true, context.now);
        }
        Found::Stale(entry) | Found::Held(entry) => Some(entry),
        Found::Missing => None,
    };
    let key = key(owner, config);
    let file = match read(&config.policy_repository, access).boxed_local().await {
        Ok(FileRecord::Refused) => match last_known_good(Failure::Forbidden, previous.as_deref(), context) {
            Ok(ruling) => {
                // No longer than memory answers alone, so that a change known to another isolate is noticed as soon.
                service.organizations.hold(&key, context.now.plus(MEMORY));
                return Ok(ruling);
            }
            Err(_) => FileRecord::Refused,
        },
        Ok(file) => file,
        // There is no installation any more, or it is suspended, so the list does not matter.
        Err(MintFailure::Installation(problem)) => return Err(problem),
        Err(MintFailure::GitHub(failure) | MintFailure::LookUp(failure)) => {
            return last_known_good(failure, previous.as_deref(), context);
        }
    };
    let last_good = previous.as_deref().and_then(last_good_text);
    let entry = service
        .organizations
        .keep(&key, Record { file, last_good }, context.now, &(), context)
        .ok_or(Problem::Internal)?;
    if matches!(entry.fact.state, State::Invalid(_)) {
        context.log(Level::Warn, "trusted issuers are invalid", &[("owner", owner.as_str())]);
    }
    rule_by(&entry, false, context.now)
}

/// The key of an organization's list.
pub(super) fn key(owner: &Owner, config: &ExchangeConfig) -> Key {
    config.app.keys.trusted_issuers(owner, &config.policy_repository)
}

/// The cached list of an organization.
pub(super) async fn remembered(
    owner: &Owner,
    service: &Service,
    config: &ExchangeConfig,
    context: &Context,
) -> Remembered<TrustedIssuers> {
    match service.organizations.find(&key(owner, config), &(), context).await {
        Found::Fresh(entry) | Found::Stale(entry) | Found::Held(entry) => match &entry.fact.state {
            State::Listed(list) => Remembered::Valid(Rc::clone(list)),
            State::Invalid(_) => Remembered::Broken,
            State::Absent => Remembered::Absent,
            State::Unreadable | State::Refused => Remembered::Nothing,
        },
        Found::Missing => Remembered::Nothing,
    }
}

fn rule_by(entry: &Entry<OrganizationIssuers>, stale: bool, now: Timestamp) -> Result<Ruling, Problem> {
    match &entry.fact.state {
        State::Absent => Ok(Ruling { state: "absent", list: None, stale }),
        State::Unreadable => Ok(Ruling { state: UNREADABLE, list: None, stale }),
        State::Listed(list) => Ok(Ruling { state: "present", list: Some(Rc::clone(list)), stale }),
        State::Invalid(Some(list))
            if last_good_age(&entry.fact, now).is_some_and(|age| age <= LAST_KNOWN_GOOD) =>
        {
            Ok(Ruling { state: "invalid", list: Some(Rc::clone(list)), stale: true })
        }
        State::Invalid(_) => Err(invalid()),
        State::Refused => Err(Problem::PermissionDenied(REFUSED.to_owned())),
    }
}

fn last_good_age(fact: &OrganizationIssuers, now: Timestamp) -> Option<Duration> {
    let (_, learnt_at) = fact.record.last_good.as_ref()?;
    Some(now.since(Timestamp::from_unix_millis(*learnt_at)?))
}

/// The valid list that a broken file must not erase. An absent file is not a list.
fn last_good_text(entry: &Entry<OrganizationIssuers>) -> Option<(String, i64)> {
    match (&entry.fact.state, &entry.fact.record.file) {
        (State::Listed(_), FileRecord::Text(text)) => Some((text.clone(), entry.learnt_at.unix_millis())),
        (State::Invalid(_), _) => entry.fact.record.last_good.clone(),
        _ => None,
    }
}

/// GitHub did not say what the list is, so its last answer counts for an hour.
fn last_known_good(
    failure: Failure,
    previous: Option<&Entry<OrganizationIssuers>>,
    context: &Context,
) -> Result<Ruling, Problem> {
    context.log(Level::Warn, "trusted issuers not read", &[("reason", failure.code())]);
    let may_be_used = matches!(
        failure,
        Failure::RateLimited(_)
            | Failure::ServerError
            | Failure::NoAnswer
            | Failure::BrokenOff
            | Failure::Forbidden
    );
    if let Some(entry) = previous.filter(|_| may_be_used)
        && (entry.age(context.now) <= LAST_KNOWN_GOOD || matches!(entry.fact.state, State::Invalid(_)))
        && let Ok(ruling) = rule_by(entry, true, context.now)
    {
        return Ok(ruling);
    }
    let after = failure.retry_after(context.now);
    Err(if matches!(failure, Failure::RateLimited(_)) {
        Problem::RateLimited(RATE_LIMITED.to_owned(), after)
    } else {
        Problem::Unavailable(UNAVAILABLE.to_owned(), after)
    })
}

async fn read(repository: &Repository, access: &mut Access<'_>) -> Result<FileRecord, MintFailure> {
    let token = match access.reader(repository).await {
        // GitHub says 422 if the repository is not in the installation. A cached installation may have been replaced by
        // one that has it, so only a fresh look-up makes "unreadable" a fact.
        Err(MintFailure::GitHub(Failure::Unprocessable)) if access.confirm().boxed_local().await? => {
            access.reader(repository).await
        }
        other => other,
    };
    match token {
        Ok(_) => {}
        Err(MintFailure::GitHub(Failure::Unprocessable)) => {
            return Ok(FileRecord::Unreadable);
        }
        Err(failure) => return Err(failure),
    }
    if let Some(file) = described(access.file_or_none(repository, PATH).boxed_local().await)? {
        return Ok(file);
    }
    // A token that is not yet known everywhere at GitHub also gets 404. Only a token that sees the repository proves
    // that the file is absent.
    if !access.sees(repository).boxed_local().await? {
        return Err(MintFailure::GitHub(Failure::NoAnswer));
    }
    Ok(described(access.file_or_none(repository, PATH).boxed_local().await)?.unwrap_or(FileRecord::Absent))
}

/// The list according to GitHub's answer; `None` for an absence that is not yet confirmed.
fn described(answer: Result<Option<File>, MintFailure>) -> Result<Option<FileRecord>, MintFailure> {
    Ok(Some(match answer {
        Ok(Some(File::Regular { content, .. })) => {
            String::from_utf8(content).map_or(FileRecord::NotAFile, FileRecord::Text)
        }
        Ok(Some(File::Other)) | Err(MintFailure::GitHub(Failure::TooLarge)) => FileRecord::NotAFile,
        Err(MintFailure::GitHub(Failure::Forbidden)) => FileRecord::Refused,
        Ok(None) => return Ok(None),
        Err(failure) => return Err(failure),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Shape, ToJson as _, Unfit, read_members};

    fn read(text: &str) -> Result<String, Unfit> {
        read_members::<Record>(text.as_bytes(), Shape::ALL).map(|record| record.to_json().to_string())
    }

    /// KV has records that an earlier version wrote.
    #[test]
    fn a_record_is_written_as_it_always_was() {
        for text in [
            r#"{"file":"Absent","last_good":null}"#,
            r#"{"file":"Unreadable","last_good":null}"#,
            r#"{"file":"Refused","last_good":null}"#,
            r#"{"file":{"Text":"issuers: []"},"last_good":null}"#,
            r#"{"file":"NotAFile","last_good":["issuers: []",1795194000]}"#,
            r#"{"file":{"Text":""},"last_good":["",-1]}"#,
        ] {
            assert_eq!(read(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_no_version_wrote_is_no_record() {
        for text in [
            r#"null"#,
            r#"{}"#,
            r#"{"last_good":null}"#,
            r#"{"file":null}"#,
            r#"{"file":"Text"}"#,
            r#"{"file":{"Text":null}}"#,
            r#"{"file":{"Text":{}}}"#,
            r#"{"file":{"Absent":1}}"#,
            r#"{"file":"Everything","last_good":null}"#,
            r#"{"file":"Absent","last_good":["a"]}"#,
            r#"{"file":"Absent","last_good":["a","1"]}"#,
        ] {
            assert_eq!(read(text), Err(Unfit), "{text}");
        }
    }
}
