//! Step 8: the App's installation for the requested scope, from memory, KV or GitHub.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::apps::Apps;
use crate::apps::jwt::as_app;
use crate::apps::tokens::MintFailure;
use crate::cache::{Entry, Fact, Found, Key, Lifetime};
use crate::config::AppConfig;
use crate::context::{Context, Knowledge, Tier};
use crate::github::{self, Failure, Installation};
use crate::names::Scope;
use crate::ports::Level;
use crate::problem::Problem;
use crate::secret::Secret;
use crate::time::Timestamp;

const MEMORY: Duration = Duration::from_secs(600);
const FRESH: Duration = Duration::from_secs(3600);
const NEGATIVE: Duration = Duration::from_secs(60);

/// How long after a look-up an account's name is trusted. An isolate uses policies and lists, which decide about
/// permission, for as long without asking anybody.
const CONFIRMED: Duration = Duration::from_secs(30);

octo_sts_verifier::json_alternatives! {
    /// What GitHub says about the App's installation.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) enum InstallationFact {
        /// Tokens can be minted.
        Installed {
            id: u64 => take,
            /// What the account granted the App.
            permissions: BTreeMap<String, String> => take,
        } = "Installed",
        /// The account suspended it.
        Suspended = "Suspended",
        /// Not installed, or not on that repository.
        Absent = "Absent",
    }
}

impl Fact for InstallationFact {
    type Record = Self;
    type Surroundings = ();

    fn from_record(record: Self, (): &()) -> Option<Self> {
        Some(record)
    }

    fn weight(&self) -> usize {
        // The size of a text and its entry in the map, in addition to its bytes.
        const EACH: usize = 64;
        let permissions = match self {
            Self::Installed { permissions, .. } => {
                permissions.iter().map(|(name, level)| name.len() + level.len() + EACH).sum()
            }
            Self::Suspended | Self::Absent => 0,
        };
        size_of::<Self>().saturating_add(permissions)
    }

    fn lifetime(&self) -> Lifetime {
        match self {
            Self::Installed { .. } => Lifetime { memory: MEMORY, fresh: FRESH, kept: FRESH },
            Self::Suspended | Self::Absent => Lifetime { memory: NEGATIVE, fresh: NEGATIVE, kept: NEGATIVE },
        }
    }
}

/// An installation to mint with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Located {
    pub(crate) id: u64,
    /// Cached before this request, so it may have been replaced since.
    pub(crate) cached: bool,
    learnt_at: Timestamp,
}

impl Located {
    /// Whether GitHub said so longer ago than an isolate alone may use facts that decide about permission.
    pub(crate) fn is_old(&self, now: Timestamp) -> bool {
        now.since(self.learnt_at) > CONFIRMED
    }
}

/// Refuses an owner without an installation from memory, without reading anything else.
pub(crate) fn refuse_if_known_absent(key: &Key, apps: &Apps, context: &Context) -> Result<(), Problem> {
    let Some(entry) = apps.installations.known(key, context.now) else { return Ok(()) };
    context.notes.knew(Knowledge::Installation, Tier::Memory);
    judge(&entry, true).map(drop)
}

/// The installation, if both tiers together know it, else GitHub.
pub(crate) async fn locate(
    found: Found<InstallationFact>,
    scope: &Scope,
    apps: &Apps,
    config: &AppConfig,
    context: &Context,
) -> Result<Located, Problem> {
    let is_newcomer = match found {
        Found::Fresh(entry) => return judge(&entry, true),
        Found::Stale(_) | Found::Held(_) => false,
        Found::Missing => true,
    };
    match learn(scope, is_newcomer, apps, config, context).boxed_local().await {
        Ok(entry) => judge(&entry, false),
        Err(failure) => Err(problem(failure, context)),
    }
}

/// The installation as GitHub has it now.
pub(crate) async fn look_up(
    scope: &Scope,
    apps: &Apps,
    config: &AppConfig,
    context: &Context,
) -> Result<Located, MintFailure> {
    let entry = learn(scope, false, apps, config, context).boxed_local().await?;
    judge(&entry, false).map_err(MintFailure::Installation)
}

/// What the account granted the App; the check run compares a policy with it. From memory, KV or GitHub; `None` if none
/// of them says.
pub(crate) async fn granted_permissions(
    scope: &Scope,
    apps: &Apps,
    config: &AppConfig,
    context: &Context,
) -> Option<BTreeMap<String, String>> {
    let found = apps.installations.find(&config.keys.installation(scope), &(), context).await;
    let entry = match found {
        Found::Fresh(entry) => entry,
        Found::Stale(_) | Found::Held(_) | Found::Missing => {
            learn(scope, false, apps, config, context).boxed_local().await.ok()?
        }
    };
    match &entry.fact {
        InstallationFact::Installed { permissions, .. } => Some(permissions.clone()),
        InstallationFact::Suspended | InstallationFact::Absent => None,
    }
}

/// `is_newcomer`: neither tier knew anything, so an absence has nothing in KV to replace.
async fn learn(
    scope: &Scope,
    is_newcomer: bool,
    apps: &Apps,
    config: &AppConfig,
    context: &Context,
) -> Result<Rc<Entry<InstallationFact>>, MintFailure> {
    let fact = match ask_github(scope, apps, config, context).await? {
        Ok(Some(installation)) if !scope.owner().is(&installation.account.login) => {
            // GitHub answers for a renamed or transferred repository with its new owner's installation, which is not
            // the requested one.
            context.log(
                Level::Warn,
                "the installation belongs to another owner",
                &[("scope", &scope.to_string())],
            );
            InstallationFact::Absent
        }
        Ok(Some(Installation { suspended_at: Some(_), .. })) => InstallationFact::Suspended,
        Ok(Some(Installation { id, permissions, .. })) => InstallationFact::Installed { id, permissions },
        Ok(None) => InstallationFact::Absent,
        Err(failure) => {
            context.log(Level::Error, "installation not looked up", &[("reason", failure.code())]);
            return Err(MintFailure::LookUp(failure));
        }
    };
    let key = config.keys.installation(scope);
    if matches!(fact, InstallationFact::Absent) && is_newcomer && !apps.newcomers.may_be_written(context.now)
    {
        return Ok(apps.installations.note(&key, fact, context.now, context));
    }
    let is_known = apps.installations.remembered(&key).is_some_and(|known| known.fact == fact);
    if is_known && matches!(fact, InstallationFact::Installed { .. }) {
        // Only its age is new. KV is not written for that, because it would cost a write every half minute.
        return Ok(apps.installations.note(&key, fact, context.now, context));
    }
    let kept = apps.installations.keep(&key, fact, context.now, &(), context);
    kept.ok_or(MintFailure::Installation(Problem::Internal))
}

/// A failed look-up, as an answer to the caller.
pub(crate) fn problem(failure: MintFailure, context: &Context) -> Problem {
    match failure {
        MintFailure::Installation(problem) => problem,
        MintFailure::LookUp(Failure::Forbidden) | MintFailure::GitHub(Failure::Forbidden) => {
            Problem::PermissionDenied("github refuses to look up the app's installation".to_owned())
        }
        MintFailure::LookUp(failure) | MintFailure::GitHub(failure) => {
            Problem::github_unavailable(failure, context.now)
        }
    }
}

fn judge(entry: &Entry<InstallationFact>, cached: bool) -> Result<Located, Problem> {
    match &entry.fact {
        InstallationFact::Installed { id, .. } => Ok(Located { id: *id, cached, learnt_at: entry.learnt_at }),
        InstallationFact::Suspended => {
            Err(Problem::PermissionDenied("the app's installation is suspended".to_owned()))
        }
        InstallationFact::Absent => Err(Problem::InstallationNotFound(
            "the app is not installed for the owner, or not on the repository".to_owned(),
        )),
    }
}

async fn ask_github(
    scope: &Scope,
    apps: &Apps,
    config: &AppConfig,
    context: &Context,
) -> Result<Result<Option<Installation>, Failure>, Problem> {
    let base = &config.base;
    let owner = match scope {
        Scope::Repository { owner, repository } => {
            let call = |jwt: &Secret| github::installation_of_repository(base, owner, repository, jwt);
            return as_app(call, apps, config, context).await.map(found);
        }
        Scope::Owner(owner) => owner,
    };
    // An owner is an organization more often than a user; GitHub has no call for either.
    let of_organization = |jwt: &Secret| github::installation_of_organization(base, owner, jwt);
    match found(as_app(of_organization, apps, config, context).await?) {
        Ok(None) => {
            let of_user = |jwt: &Secret| github::installation_of_user(base, owner, jwt);
            as_app(of_user, apps, config, context).await.map(found)
        }
        known => Ok(known),
    }
}

fn found(answer: Result<Installation, Failure>) -> Result<Option<Installation>, Failure> {
    match answer {
        Ok(installation) => Ok(Some(installation)),
        Err(Failure::NotFound | Failure::Redirected) => Ok(None),
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Shape, ToJson as _, Unfit, read_members};

    fn read(text: &str) -> Result<String, Unfit> {
        read_members::<InstallationFact>(text.as_bytes(), Shape::ALL)
            .map(|record| record.to_json().to_string())
    }

    /// KV has records that an earlier version wrote.
    #[test]
    fn a_record_is_written_as_it_always_was() {
        for text in [
            r#"{"Installed":{"id":7,"permissions":{"checks":"write","contents":"read"}}}"#,
            r#"{"Installed":{"id":18446744073709551615,"permissions":{}}}"#,
            r#""Suspended""#,
            r#""Absent""#,
        ] {
            assert_eq!(read(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_no_version_wrote_is_no_record() {
        for text in [
            r#"null"#,
            r#"{}"#,
            r#""Installed""#,
            r#""installed""#,
            r#""Gone""#,
            r#"{"Absent":{}}"#,
            r#"{"Installed":null}"#,
            r#"{"Installed":{"id":7}}"#,
            r#"{"Installed":{"permissions":{}}}"#,
            r#"{"Installed":{"id":-7,"permissions":{}}}"#,
            r#"{"Installed":{"id":7,"permissions":{"contents":1}}}"#,
            r#"{"Installed":{"id":7,"permissions":{}},"Absent":null}"#,
        ] {
            assert_eq!(read(text), Err(Unfit), "{text}");
        }
    }
}
