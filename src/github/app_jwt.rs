//! The App's own credential: a JWT signed with one of its private keys, made once for each and reused by the isolate.
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::jose;
use crate::ports::{CryptoError, Signatures};
use crate::secret::{Secret, SecretBytes};
use crate::time::Timestamp;

/// GitHub's clock may be behind ours by this much.
const BACKDATED: Duration = Duration::from_secs(60);

/// GitHub accepts at most ten minutes from `iat`.
const LIFETIME: Duration = Duration::from_secs(600);

/// A JWT this close to its expiry is replaced.
const MARGIN: Duration = Duration::from_secs(60);

/// The platform refuses to sign with the configured key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppJwtError;

impl From<CryptoError> for AppJwtError {
    fn from(CryptoError: CryptoError) -> Self {
        Self
    }
}

/// How long the isolate continues with the key that GitHub accepted, before it tries the current one again.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Which of the App's private keys. During a rotation there are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppKey {
    /// `GITHUB_APP_PRIVATE_KEY`
    Current,
    /// `GITHUB_APP_PRIVATE_KEY_PREVIOUS`
    Previous,
}

/// Holds a JWT of each key for the life of the isolate. They never leave memory.
#[derive(Default)]
pub struct AppIdentity {
    current: Slot,
    previous: Slot,
    /// The key that GitHub accepted after it refused the other one, and when.
    taken: Cell<Option<(AppKey, Timestamp)>>,
}

/// A JWT and when it expires.
type Slot = RefCell<Option<(Rc<Secret>, Timestamp)>>;

impl AppIdentity {
    /// The key to try first.
    #[must_use]
    pub fn preferred(&self, now: Timestamp) -> AppKey {
        match self.taken.get() {
            Some((key, at)) if now.since(at) < REMEMBERED => key,
            Some(_) | None => AppKey::Current,
        }
    }

    /// GitHub accepted this key and refused the other one.
    pub fn remember(&self, key: AppKey, now: Timestamp) {
        self.taken.set(Some((key, now)));
    }

    /// The JWT of a key, signed only if there is none that is valid for another minute.
    ///
    /// # Errors
    /// [`AppJwtError`] if the platform cannot use the key.
    pub async fn jwt(
        &self,
        key: AppKey,
        app_id: &str,
        private_key: &SecretBytes,
        now: Timestamp,
        signatures: &dyn Signatures,
    ) -> Result<Rc<Secret>, AppJwtError> {
        let slot = match key {
            AppKey::Current => &self.current,
            AppKey::Previous => &self.previous,
        };
        if let Some((jwt, expires_at)) = &*slot.borrow()
            && now.plus(MARGIN) < *expires_at
            && now.plus(LIFETIME) >= *expires_at
        {
            return Ok(Rc::clone(jwt));
        }
        let issued_at = now.minus(BACKDATED);
        let expires_at = issued_at.plus(LIFETIME);
        let claims = serde_json::json!({
            "iat": issued_at.unix_seconds(),
            "exp": expires_at.unix_seconds(),
            "iss": app_id,
        });
        let header = serde_json::json!({ "alg": "RS256", "typ": "JWT" });
        let jwt = Rc::new(jose::sign_rs256(&header, &claims, private_key, signatures).await?);
        *slot.borrow_mut() = Some((Rc::clone(&jwt), expires_at));
        Ok(jwt)
    }
}
