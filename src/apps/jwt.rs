//! Requests with the App's own credential. During a rotation the App has two private keys, and GitHub may know either.

use std::rc::Rc;

use futures_util::FutureExt as _;

use crate::apps::Apps;
use crate::config::{AppConfig, GITHUB_APP_PRIVATE_KEY, GITHUB_APP_PRIVATE_KEY_PREVIOUS};
use crate::context::Context;
use crate::github::{AppJwtError, AppKey, Call, Failure};
use crate::ports::Level;
use crate::problem::Problem;
use crate::secret::{Secret, SecretBytes};

impl AppKey {
    const fn setting(self) -> &'static str {
        match self {
            Self::Current => GITHUB_APP_PRIVATE_KEY,
            Self::Previous => GITHUB_APP_PRIVATE_KEY_PREVIOUS,
        }
    }
}

impl AppConfig {
    fn key(&self, key: AppKey) -> Option<&SecretBytes> {
        match key {
            AppKey::Current => Some(&self.private_key),
            AppKey::Previous => self.previous_private_key.as_ref(),
        }
    }
}

/// Sends a request as the App. If GitHub answers 401 to the JWT of one key, the other one is tried once, and its answer
/// counts. The accepted key is used for ten minutes.
pub(super) async fn as_app<T>(
    call: impl Fn(&Secret) -> Call<T>,
    apps: &Apps,
    config: &AppConfig,
    context: &Context,
) -> Result<Result<T, Failure>, Problem> {
    let fetch = &*context.ports.fetch;
    let preferred = apps.identity.preferred(context.now);
    let (key, private) = match config.key(preferred) {
        Some(private) => (preferred, private),
        None => (AppKey::Current, &config.private_key),
    };
    let jwt = jwt(key, private, apps, config, context)
        .await
        .map_err(|AppJwtError| Problem::Misconfigured(vec![key.setting()]))?;
    let answer = call(&jwt).send(fetch).boxed_local().await;
    let other = match key {
        AppKey::Current => AppKey::Previous,
        AppKey::Previous => AppKey::Current,
    };
    let (Err(Failure::Unauthorized), Some(private)) = (&answer, config.key(other)) else { return Ok(answer) };
    let Ok(jwt) = self::jwt(other, private, apps, config, context).boxed_local().await else {
        return Ok(answer);
    };
    let answer = call(&jwt).send(fetch).boxed_local().await;
    if is_of_one_who_is_known(&answer) {
        apps.identity.remember(other, context.now);
        let fields = [("refused", key.setting()), ("taken", other.setting())];
        context.log(Level::Warn, "github accepts a different private key of the app", &fields);
    }
    Ok(answer)
}

/// Whether GitHub processed the request, and so accepted the credential.
const fn is_of_one_who_is_known<T>(answer: &Result<T, Failure>) -> bool {
    match answer {
        Ok(_) => true,
        Err(failure) => matches!(
            failure,
            Failure::Forbidden
                | Failure::NotFound
                | Failure::Unprocessable
                | Failure::BrokenOff
                | Failure::Unreadable
                | Failure::TooLarge
        ),
    }
}

/// A key's JWT, from the isolate's memory or signed now.
async fn jwt(
    key: AppKey,
    private: &SecretBytes,
    apps: &Apps,
    config: &AppConfig,
    context: &Context,
) -> Result<Rc<Secret>, AppJwtError> {
    let jwt = apps.identity.jwt(key, &config.id, private, context.now, &*context.ports.signatures).await;
    if jwt.is_err() {
        let fields = [("setting", key.setting())];
        context.log(Level::Error, "the platform cannot sign with the app's private key", &fields);
    }
    jwt
}
