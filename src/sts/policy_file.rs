//! Step 10: the trust policy, from memory, KV or its repository.

use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::apps::{Access, MintFailure, installation};
use crate::cache::{Entry, Fact, Found, Key, Lifetime};
use crate::context::Context;
use crate::github::{Failure, File};
use crate::names::{IdentityName, Owner, Repository};
use crate::policy::{self, CompiledPolicy, Diagnostic, PolicyHome, Severity};
use crate::ports::Level;
use crate::problem::Problem;
use crate::sts::{Remembered, Service};

const MEMORY: Duration = Duration::from_secs(30);
const FRESH: Duration = Duration::from_secs(5 * 60);
const NEGATIVE: Duration = Duration::from_secs(60);
/// A policy this old may still decide while GitHub limits our rate or gives 5xx.
const STALE: Duration = Duration::from_secs(3600);

/// A log line is not a report.
const MISTAKES_IN_LOG: usize = 5;

/// What is at a policy's path.
#[derive(Debug)]
pub(super) enum PolicyFile {
    /// A policy.
    Valid {
        /// The git blob.
        sha: String,
        /// Shared with the comparison of a change.
        policy: Rc<CompiledPolicy>,
    },
    /// Something other than a valid policy. For the caller the same as nothing.
    Broken {
        /// Where and what the first mistakes are, as codes: `4:13 permission-level`.
        mistakes: String,
    },
    /// Nothing.
    Absent,
}

octo_sts_verifier::json_alternatives! {
    #[derive(Debug)]
    pub(super) enum Record {
        File {
            sha: String => take,
            text: String => take,
        } = "File",
        NotAFile = "NotAFile",
        Absent = "Absent",
    }
}

impl Fact for PolicyFile {
    type Record = Record;
    type Surroundings = PolicyHome;

    fn from_record(record: Record, home: &PolicyHome) -> Option<Self> {
        Some(match record {
            Record::File { sha, text } => {
                let report = policy::load(text.as_bytes(), *home);
                match report.value {
                    Some(policy) => Self::Valid { sha, policy: Rc::new(policy) },
                    None => Self::Broken { mistakes: mistakes(&report.diagnostics) },
                }
            }
            Record::NotAFile => Self::Broken { mistakes: "1:1 not-a-text-file".to_owned() },
            Record::Absent => Self::Absent,
        })
    }

    fn weight(&self) -> usize {
        match self {
            Self::Valid { sha, policy } => {
                size_of::<Self>().saturating_add(sha.len()).saturating_add(policy.weight_bytes())
            }
            Self::Broken { mistakes } => size_of::<Self>().saturating_add(mistakes.len()),
            Self::Absent => size_of::<Self>(),
        }
    }

    fn lifetime(&self) -> Lifetime {
        match self {
            Self::Valid { .. } => Lifetime { memory: MEMORY, fresh: FRESH, kept: STALE },
            // Stored for as long as another isolate's memory may hold an older, stale policy: the absence is the newer
            // fact and must win there.
            Self::Broken { .. } | Self::Absent => {
                Lifetime { memory: MEMORY, fresh: NEGATIVE, kept: STALE + FRESH }
            }
        }
    }
}

/// Which policy, and under which key it is cached.
pub(super) struct Wanted<'a> {
    pub(super) owner: &'a Owner,
    pub(super) repository: &'a Repository,
    pub(super) identity: &'a IdentityName,
    pub(super) home: PolicyHome,
    pub(super) key: Key,
}

/// The policy's revision that decides.
pub(super) struct Decisive {
    entry: Rc<Entry<PolicyFile>>,
}

impl Decisive {
    fn of(entry: Rc<Entry<PolicyFile>>) -> Result<Self, Problem> {
        match entry.fact {
            PolicyFile::Valid { .. } => Ok(Self { entry }),
            PolicyFile::Broken { .. } | PolicyFile::Absent => Err(not_found()),
        }
    }

    /// The policy and its blob.
    pub(super) fn policy(&self) -> Option<(&str, &CompiledPolicy)> {
        match &self.entry.fact {
            PolicyFile::Valid { sha, policy } => Some((sha, policy)),
            PolicyFile::Broken { .. } | PolicyFile::Absent => None,
        }
    }

    /// How old the copy is.
    pub(super) fn age(&self, context: &Context) -> Duration {
        self.entry.age(context.now)
    }
}

/// Absent, unreadable and broken files get this one text.
fn not_found() -> Problem {
    Problem::PolicyNotFound("there is no readable, valid trust policy of this name".to_owned())
}

/// The policy, if both tiers together know it, else its repository.
pub(super) async fn policy(
    found: Found<PolicyFile>,
    wanted: &Wanted<'_>,
    service: &Service,
    access: &mut Access<'_>,
) -> Result<Decisive, Problem> {
    let context = access.context;
    let stale = match found {
        Found::Fresh(entry) => return Decisive::of(entry),
        Found::Held(entry) if entry.age(context.now) <= STALE => return Decisive::of(entry),
        Found::Stale(entry) | Found::Held(entry) => {
            Some(entry).filter(|entry| matches!(entry.fact, PolicyFile::Valid { .. }))
        }
        Found::Missing => None,
    };
    let record = match read(wanted, access).boxed_local().await {
        Ok(record) => record,
        Err(failure @ (MintFailure::Installation(_) | MintFailure::LookUp(_))) => {
            return Err(installation::problem(failure, context));
        }
        Err(MintFailure::GitHub(failure)) => return fall_back(failure, stale, wanted, service, context),
    };
    let is_absent = matches!(record, Record::Absent);
    let entry = service
        .policies
        .keep(&wanted.key, record, context.now, &wanted.home, context)
        .ok_or(Problem::Internal)?;
    if is_absent && !matches!(entry.fact, PolicyFile::Absent) {
        // A later request found a file. Nobody knows which of the two asked GitHub later, so the absence no longer
        // decides, and GitHub is asked again.
        service.policies.forget(&wanted.key, context);
        return Err(not_found());
    }
    if let PolicyFile::Broken { mistakes } = &entry.fact {
        log_broken(mistakes, wanted, context);
    }
    Decisive::of(entry)
}

async fn read(wanted: &Wanted<'_>, access: &mut Access<'_>) -> Result<Record, MintFailure> {
    match access.reader(wanted.repository).await {
        Ok(_) => {}
        // The repository is not in the installation, or the App may not read contents: nobody can read this policy.
        Err(MintFailure::GitHub(Failure::Unprocessable | Failure::Forbidden)) => return Ok(Record::Absent),
        Err(failure) => return Err(failure),
    }
    match access.file(wanted.repository, &wanted.identity.policy_path()).boxed_local().await {
        Ok(File::Regular { sha, content }) => Ok(match String::from_utf8(content) {
            Ok(text) => Record::File { sha, text },
            Err(_) => Record::NotAFile,
        }),
        Ok(File::Other) | Err(MintFailure::GitHub(Failure::TooLarge)) => Ok(Record::NotAFile),
        Err(MintFailure::GitHub(Failure::NotFound | Failure::Redirected | Failure::Forbidden)) => {
            Ok(Record::Absent)
        }
        Err(failure) => Err(failure),
    }
}

/// The cached policy, for comparing a change without another request to GitHub.
pub(super) async fn remembered(
    wanted: &Wanted<'_>,
    service: &Service,
    context: &Context,
) -> Remembered<CompiledPolicy> {
    match service.policies.find(&wanted.key, &wanted.home, context).await {
        Found::Fresh(entry) | Found::Stale(entry) | Found::Held(entry) => match &entry.fact {
            PolicyFile::Valid { policy, .. } => Remembered::Valid(Rc::clone(policy)),
            PolicyFile::Broken { .. } => Remembered::Broken,
            PolicyFile::Absent => Remembered::Absent,
        },
        Found::Missing => Remembered::Nothing,
    }
}

/// GitHub did not say what the policy is. Only its rate limit and 5xx let an older copy decide.
fn fall_back(
    failure: Failure,
    stale: Option<Rc<Entry<PolicyFile>>>,
    wanted: &Wanted<'_>,
    service: &Service,
    context: &Context,
) -> Result<Decisive, Problem> {
    context.log(Level::Warn, "policy not read", &[("reason", failure.code()), ("key", wanted.key.as_str())]);
    match (failure, stale) {
        (Failure::RateLimited(_) | Failure::ServerError, Some(entry)) if entry.age(context.now) <= STALE => {
            service.policies.hold(&wanted.key, context.now.plus(MEMORY));
            Decisive::of(entry)
        }
        // The installation was looked up in this request and is absent, so there is no policy.
        (Failure::NotFound | Failure::Redirected, _) => Err(not_found()),
        (failure, _) => Err(Problem::github_unavailable(failure, context.now)),
    }
}

/// The caller learns nothing about a broken file. Its authors find the mistakes here, in their check run, and with
/// `sts validate`. Its text stays out of the log, because tenants may have pasted anything into it.
fn log_broken(mistakes: &str, wanted: &Wanted<'_>, context: &Context) {
    let repository = format!("{}/{}", wanted.owner, wanted.repository);
    let path = wanted.identity.policy_path();
    let fields = [("repository", repository.as_str()), ("path", &path), ("mistakes", mistakes)];
    context.log(Level::Warn, "policy is broken", &fields);
}

/// The first few errors as `line:column code`.
fn mistakes(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|found| found.severity == Severity::Error).take(MISTAKES_IN_LOG);
    let told: Vec<String> =
        errors.map(|found| format!("{}:{} {}", found.line, found.column, found.code)).collect();
    told.join(", ")
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
        for text in [r#"{"File":{"sha":"aa","text":"issuer: a\n"}}"#, r#""NotAFile""#, r#""Absent""#] {
            assert_eq!(read(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_no_version_wrote_is_no_record() {
        for text in [
            r#"null"#,
            r#""File""#,
            r#""Gone""#,
            r#"{"File":null}"#,
            r#"{"File":{"sha":"aa"}}"#,
            r#"{"File":{"text":"a"}}"#,
            r#"{"File":{"sha":1,"text":"a"}}"#,
            r#"{"NotAFile":{}}"#,
        ] {
            assert_eq!(read(text), Err(Unfit), "{text}");
        }
    }
}
