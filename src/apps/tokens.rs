//! Installation tokens of one exchange: the tokens that read files, the retry after an installation was replaced, and
//! the check of the account before a token without a named owner is delivered. Every token that is not delivered is
//! revoked after the answer.

use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::apps::Apps;
use crate::apps::installation::{self, Located};
use crate::apps::jwt::as_app;
use crate::authn::Counted;
use crate::config::AppConfig;
use crate::context::Context;
use crate::github::mint::{MintAnswer, MintRequest, MintedToken};
use crate::github::{self, BaseUrl, Failure, File};
use crate::names::{Owner, Repository, Scope};
use crate::ports::Level;
use crate::problem::Problem;
use crate::secret::Secret;

/// Why there is no token.
#[derive(Debug)]
pub(crate) enum MintFailure {
    /// What GitHub answered to the request for a token.
    GitHub(Failure),
    /// What GitHub answered to the preceding look-up of the installation.
    LookUp(Failure),
    /// There is no installation to mint with (any more), or no way to find out.
    Installation(Problem),
}

impl From<Problem> for MintFailure {
    fn from(problem: Problem) -> Self {
        Self::Installation(problem)
    }
}

/// For some seconds after a token is minted, GitHub sometimes answers it with 401, 403 or 404. While a token is younger
/// than this, such a request is repeated once.
const YOUNG: Duration = Duration::from_secs(5);

/// The pause before a request with a young token is repeated.
const SECOND: Duration = Duration::from_secs(1);

/// A token that reads one repository's files, and nothing else.
struct Reader {
    repository: Repository,
    token: Rc<Secret>,
    /// By the request's stopwatch.
    minted_at: Duration,
}

/// One exchange's access to the installation.
pub(crate) struct Access<'a> {
    pub(crate) apps: &'a Apps,
    pub(crate) config: &'a AppConfig,
    pub(crate) context: &'a Context,
    pub(crate) scope: &'a Scope,
    located: Located,
    /// For the audit event, which names the installation that was used last, however the exchange ends.
    audited: &'a mut Option<u64>,
    /// Two files in one repository are read with one token.
    readers: Vec<Reader>,
}

impl<'a> Access<'a> {
    pub(crate) fn new(
        scope: &'a Scope,
        located: Located,
        apps: &'a Apps,
        config: &'a AppConfig,
        context: &'a Context,
        audited: &'a mut Option<u64>,
    ) -> Self {
        *audited = Some(located.id);
        Self { apps, config, context, scope, located, audited, readers: Vec::new() }
    }

    /// Requests a token. With a cached installation, a 401 or 404 may only mean that it was replaced, so it is looked
    /// up again and the request is repeated once.
    pub(crate) async fn mint(&mut self, request: &MintRequest) -> Result<MintAnswer, MintFailure> {
        let answer = self.mint_once(request).boxed_local().await;
        if !(self.located.cached
            && matches!(answer, Err(MintFailure::GitHub(Failure::Unauthorized | Failure::NotFound))))
        {
            return answer;
        }
        // The look-up overwrites the cached fact. If it fails, the next request comes here again.
        self.confirm().boxed_local().await?;
        self.mint_once(request).boxed_local().await
    }

    /// [`Access::mint`] for a token that is delivered. GitHub names the repositories of a selection with their owner.
    /// If the answer names none, it does not say whose the token is, and the owner may have been renamed since the
    /// installation was cached. So the account is looked up again before the token is delivered.
    pub(crate) async fn mint_to_deliver(&mut self, request: &MintRequest) -> Result<MintAnswer, MintFailure> {
        let minted = match self.mint(request).await? {
            MintAnswer::Token(minted) if !minted.names_owner() && self.located.is_old(self.context.now) => {
                minted
            }
            answer @ (MintAnswer::Token(_) | MintAnswer::Unreadable(_)) => return Ok(answer),
        };
        match self.confirm().boxed_local().await {
            Ok(false) => Ok(MintAnswer::Token(minted)),
            Ok(true) => {
                self.context.log(Level::Error, "the installation now belongs to another owner", &[]);
                self.discard(minted);
                self.mint_once(request).boxed_local().await
            }
            Err(failure) => {
                self.discard(minted);
                Err(failure)
            }
        }
    }

    /// Looks the installation up again, unless this request already did. Returns whether it is a different one.
    pub(crate) async fn confirm(&mut self) -> Result<bool, MintFailure> {
        if !self.located.cached {
            return Ok(false);
        }
        let located = installation::look_up(self.scope, self.apps, self.config, self.context).await?;
        let changed = located.id != self.located.id;
        self.located = located;
        *self.audited = Some(located.id);
        Ok(changed)
    }

    async fn mint_once(&self, request: &MintRequest) -> Result<MintAnswer, MintFailure> {
        let call = |jwt: &Secret| request.call(&self.config.base, self.located.id, jwt);
        match as_app(call, self.apps, self.config, self.context).await? {
            // The owner was renamed, and somebody else has the name now, so facts cached under the name belong to
            // somebody else.
            Ok(MintAnswer::Token(minted)) if !minted.is_of(self.scope.owner()) => {
                self.context.log(Level::Error, "the installation now belongs to another owner", &[]);
                self.discard(minted);
                Err(MintFailure::GitHub(Failure::NotFound))
            }
            answer => answer.map_err(MintFailure::GitHub),
        }
    }

    /// A token that reads one repository's files, and nothing else.
    pub(crate) async fn reader(&mut self, repository: &Repository) -> Result<Rc<Secret>, MintFailure> {
        if let Some(known) = self.readers.iter().find(|known| known.repository.is(repository.as_str())) {
            return Ok(Rc::clone(&known.token));
        }
        let counted = Counted::Read(self.scope.owner(), &self.config.keys);
        self.apps.limits.count(counted, self.context).await?;
        let request = MintRequest::for_policy_read(repository);
        let answer = self.mint(&request).boxed_local().await;
        if matches!(answer, Err(MintFailure::GitHub(Failure::Forbidden))) {
            // An installation that was suspended after it was cached is refused as suspended, not as an absent policy.
            self.confirm().boxed_local().await?;
        }
        let token = checked(answer?, &request, self.scope.owner(), self.config, self.context)
            .map_err(MintFailure::GitHub)?;
        revoke_later(&self.config.base, Rc::clone(&token), self.context);
        let minted_at = self.context.elapsed();
        self.readers.push(Reader { repository: repository.clone(), token: Rc::clone(&token), minted_at });
        Ok(token)
    }

    /// A file on the default branch. If the answer may only mean that the token is young, the request is repeated once,
    /// a second later.
    pub(crate) async fn file(&mut self, repository: &Repository, path: &str) -> Result<File, MintFailure> {
        match self.file_now(repository, path).boxed_local().await {
            Err(MintFailure::GitHub(Failure::Unauthorized | Failure::Forbidden | Failure::NotFound))
                if self.is_young(repository) =>
            {
                self.wait().await?;
                self.file_now(repository, path).boxed_local().await
            }
            answer => answer,
        }
    }

    /// A file that is likely to be absent. Before the caller believes that, it checks the repository: [`Access::sees`].
    pub(crate) async fn file_or_none(
        &mut self,
        repository: &Repository,
        path: &str,
    ) -> Result<Option<File>, MintFailure> {
        let answer = match self.file_now(repository, path).boxed_local().await {
            Err(MintFailure::GitHub(Failure::Unauthorized | Failure::Forbidden)) => {
                self.wait().await?;
                self.file_now(repository, path).boxed_local().await
            }
            answer => answer,
        };
        match answer {
            Err(MintFailure::GitHub(Failure::NotFound)) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Whether the token that reads the repository's files sees the repository itself. A negative answer is checked
    /// twice more, a second apart.
    pub(crate) async fn sees(&mut self, repository: &Repository) -> Result<bool, MintFailure> {
        let token = self.reader(repository).boxed_local().await?;
        let owner = self.scope.owner();
        for is_again in [false, true, true] {
            if is_again {
                self.wait().await?;
            }
            let call = github::see_repository(&self.config.base, owner, repository, &token);
            match call.send(&*self.context.ports.fetch).await {
                Ok(name) => return Ok(name.eq_ignore_ascii_case(&format!("{owner}/{repository}"))),
                Err(Failure::Unauthorized | Failure::Forbidden | Failure::NotFound | Failure::Redirected) => {
                }
                Err(failure) => return Err(MintFailure::GitHub(failure)),
            }
        }
        Ok(false)
    }

    async fn file_now(&mut self, repository: &Repository, path: &str) -> Result<File, MintFailure> {
        let token = self.reader(repository).boxed_local().await?;
        let call = github::read_file(&self.config.base, self.scope.owner(), repository, path, &token);
        call.send(&*self.context.ports.fetch).await.map_err(MintFailure::GitHub)
    }

    fn is_young(&self, repository: &Repository) -> bool {
        let reader = self.readers.iter().find(|known| known.repository.is(repository.as_str()));
        reader.is_some_and(|reader| self.context.elapsed().saturating_sub(reader.minted_at) < YOUNG)
    }

    /// Waits a second. If there is no time for that, the answer counts as missing, because it could not be checked.
    async fn wait(&self) -> Result<(), MintFailure> {
        let waited = self.context.pause(SECOND).await;
        if waited { Ok(()) } else { Err(MintFailure::GitHub(Failure::NoAnswer)) }
    }

    /// Revokes a token that must not be delivered.
    pub(crate) fn discard(&self, token: MintedToken) {
        revoke_later(&self.config.base, Rc::new(token.token), self.context);
    }

    /// Revokes a token about which nothing else is known.
    pub(crate) fn discard_unread(&self, token: Secret) {
        revoke_later(&self.config.base, Rc::new(token), self.context);
    }
}

/// A token of a fixed kind, for our own use. If it is or may be wider than requested, it is revoked.
fn checked(
    answer: MintAnswer,
    request: &MintRequest,
    owner: &Owner,
    config: &AppConfig,
    context: &Context,
) -> Result<Rc<Secret>, Failure> {
    let refused = match answer {
        MintAnswer::Token(minted) if request.covers(&minted) && minted.is_of(owner) => {
            return Ok(Rc::new(minted.token));
        }
        MintAnswer::Token(minted) => {
            context.log(Level::Error, "github minted a wider token than asked", &[]);
            Some(minted.token)
        }
        MintAnswer::Unreadable(token) => token,
    };
    if let Some(token) = refused {
        revoke_later(&config.base, Rc::new(token), context);
    }
    Err(Failure::Unreadable)
}

/// A token to check a commit with, in the installation that a signed delivery names. The caller has to revoke it.
pub(crate) async fn check_run_token(
    installation_id: u64,
    request: &MintRequest,
    owner: &Owner,
    apps: &Apps,
    config: &AppConfig,
    context: &Context,
) -> Result<Rc<Secret>, MintFailure> {
    let call = |jwt: &Secret| request.call(&config.base, installation_id, jwt);
    let answer = as_app(call, apps, config, context).await?.map_err(MintFailure::GitHub)?;
    checked(answer, request, owner, config, context).map_err(MintFailure::GitHub)
}

/// Revokes a token after the answer.
fn revoke_later(base: &BaseUrl, token: Rc<Secret>, context: &Context) {
    let (base, after) = (base.clone(), context.clone());
    context.defer(async move { revoke_now(&base, &token, &after).await });
}

/// Revokes a token. It expires within the hour anyway, so a failure is only a line in the log. The attempt does not
/// depend on how long the rest has taken.
pub(crate) async fn revoke_now(base: &BaseUrl, token: &Secret, context: &Context) {
    match github::revoke(base, token).send(&*context.clean_up).await {
        Ok(()) | Err(Failure::Unauthorized | Failure::NotFound) => {}
        Err(failure) => context.log(Level::Warn, "token not revoked", &[("reason", failure.code())]),
    }
}
