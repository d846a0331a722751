//! Installation tokens of one exchange: the App's JWT, the tokens that read files, and the retry after an installation
//! was replaced. Every token that is not delivered is revoked after the answer.

use std::rc::Rc;

use crate::apps::Apps;
use crate::apps::installation::{self, Located};
use crate::authn::Counted;
use crate::config::{AppConfig, GITHUB_APP_PRIVATE_KEY};
use crate::context::Context;
use crate::github::mint::{MintAnswer, MintRequest, MintedToken};
use crate::github::{self, BaseUrl, Failure};
use crate::names::{Owner, Repository, Scope};
use crate::ports::Level;
use crate::problem::Problem;
use crate::secret::Secret;

/// The App's JWT, from the isolate's memory or signed now.
pub(crate) async fn app_jwt(
    apps: &Apps,
    config: &AppConfig,
    context: &Context,
) -> Result<Rc<Secret>, Problem> {
    apps.identity.jwt(&config.id, &config.private_key, context.now, &*context.ports.signatures).await.map_err(
        |_| {
            context.log(Level::Error, "the platform cannot sign with the app's private key", &[]);
            Problem::Misconfigured(vec![GITHUB_APP_PRIVATE_KEY])
        },
    )
}

/// Why there is no token.
#[derive(Debug)]
pub(crate) enum MintFailure {
    /// What GitHub answered to the request for a token.
    GitHub(Failure),
    /// What GitHub answered to the look-up of the installation that came before it.
    LookUp(Failure),
    /// There is no installation to mint with (any more), or no way to ask.
    Installation(Problem),
}

impl From<Problem> for MintFailure {
    fn from(problem: Problem) -> Self {
        Self::Installation(problem)
    }
}

/// One exchange's access to the installation.
pub(crate) struct Access<'a> {
    pub(crate) apps: &'a Apps,
    pub(crate) config: &'a AppConfig,
    pub(crate) context: &'a Context,
    pub(crate) scope: &'a Scope,
    located: Located,
    /// The audit event's: it names the installation that was used last, however the exchange ends.
    audited: &'a mut Option<u64>,
    /// Two files in one repository are read with one token.
    readers: Vec<(Repository, Rc<Secret>)>,
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

    /// Asks for a token. With an installation learnt earlier, a 401 or 404 may only mean that it was replaced: it is
    /// looked up again, and the request is made once more.
    pub(crate) async fn mint(&mut self, request: &MintRequest) -> Result<MintAnswer, MintFailure> {
        let answer = self.mint_once(request).await;
        if !(self.located.cached
            && matches!(answer, Err(MintFailure::GitHub(Failure::Unauthorized | Failure::NotFound))))
        {
            return answer;
        }
        // The look-up overwrites what was known. Should it fail, the next request is led here again.
        self.confirm().await?;
        self.mint_once(request).await
    }

    /// Looks the installation up again unless this request did. Whether it is another one than before.
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
        let jwt = app_jwt(self.apps, self.config, self.context).await?;
        let call = request.call(&self.config.base, self.located.id, &jwt);
        match call.send(&*self.context.ports.fetch).await {
            // The owner was renamed, and somebody else has the name now: what was learnt under it is another's.
            Ok(MintAnswer::Token(minted)) if !minted.is_of(self.scope.owner()) => {
                self.context.log(Level::Error, "the installation is another owner's by now", &[]);
                self.discard(minted);
                Err(MintFailure::GitHub(Failure::NotFound))
            }
            answer => answer.map_err(MintFailure::GitHub),
        }
    }

    /// A token that reads one repository's files, and nothing else.
    pub(crate) async fn reader(&mut self, repository: &Repository) -> Result<Rc<Secret>, MintFailure> {
        if let Some((_, token)) = self.readers.iter().find(|(known, _)| known.is(repository.as_str())) {
            return Ok(Rc::clone(token));
        }
        let counted = Counted::Read(self.scope.owner(), &self.config.keys);
        self.apps.limits.count(counted, self.context).await?;
        let request = MintRequest::for_policy_read(repository);
        let answer = self.mint(&request).await;
        if matches!(answer, Err(MintFailure::GitHub(Failure::Forbidden))) {
            // An installation that was suspended since it was learnt is refused as one, not as an absent policy.
            self.confirm().await?;
        }
        let token = checked(answer?, &request, self.scope.owner(), self.config, self.context)
            .map_err(MintFailure::GitHub)?;
        revoke_later(&self.config.base, Rc::clone(&token), self.context);
        self.readers.push((repository.clone(), Rc::clone(&token)));
        Ok(token)
    }

    /// Revokes a token that must not be delivered.
    pub(crate) fn discard(&self, token: MintedToken) {
        revoke_later(&self.config.base, Rc::new(token.token), self.context);
    }

    /// Revokes a token of which nothing else is known.
    pub(crate) fn discard_unread(&self, token: Secret) {
        revoke_later(&self.config.base, Rc::new(token), self.context);
    }
}

/// A token of a fixed kind, for our own use. One that is wider than asked, or of which that cannot be told, is revoked.
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

/// A token to check a commit with, in the installation that a signed delivery names. Whoever gets it revokes it.
pub(crate) async fn check_run_token(
    installation_id: u64,
    request: &MintRequest,
    owner: &Owner,
    apps: &Apps,
    config: &AppConfig,
    context: &Context,
) -> Result<Rc<Secret>, MintFailure> {
    let jwt = app_jwt(apps, config, context).await?;
    let call = request.call(&config.base, installation_id, &jwt);
    let answer = call.send(&*context.ports.fetch).await.map_err(MintFailure::GitHub)?;
    checked(answer, request, owner, config, context).map_err(MintFailure::GitHub)
}

/// Revokes a token after the answer.
fn revoke_later(base: &BaseUrl, token: Rc<Secret>, context: &Context) {
    let (base, after) = (base.clone(), context.clone());
    context.defer(async move { revoke_now(&base, &token, &after).await });
}

/// Revokes a token. It dies by itself within the hour, so a failure is a line in the log. It is tried however long the
/// rest has taken.
pub(crate) async fn revoke_now(base: &BaseUrl, token: &Secret, context: &Context) {
    match github::revoke(base, token).send(&*context.clean_up).await {
        Ok(()) | Err(Failure::Unauthorized | Failure::NotFound) => {}
        Err(failure) => context.log(Level::Warn, "token not revoked", &[("reason", failure.code())]),
    }
}
