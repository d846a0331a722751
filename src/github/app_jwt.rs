//! The App's own credential: a JWT signed with its private key, made once and reused by the isolate.
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::ports::{CryptoError, Signatures};
use crate::secret::{Secret, SecretBytes};
use crate::time::Timestamp;

/// GitHub's clock may be behind ours by this much.
const BACKDATED: Duration = Duration::from_secs(60);

/// GitHub takes at most ten minutes from `iat`.
const LIFETIME: Duration = Duration::from_secs(600);

/// A JWT this close to its end is made anew.
const MARGIN: Duration = Duration::from_secs(60);

/// The platform refuses to sign with the configured key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppJwtError;

impl From<CryptoError> for AppJwtError {
    fn from(CryptoError: CryptoError) -> Self {
        Self
    }
}

/// Holds the current JWT for the life of the isolate. It never leaves memory.
#[derive(Default)]
pub struct AppIdentity {
    current: RefCell<Option<(Rc<Secret>, Timestamp)>>,
}

impl AppIdentity {
    /// The JWT, signed only if there is none that lasts for another minute.
    ///
    /// # Errors
    /// [`AppJwtError`] if the platform cannot use the key.
    pub async fn jwt(
        &self,
        app_id: &str,
        private_key: &SecretBytes,
        now: Timestamp,
        signatures: &dyn Signatures,
    ) -> Result<Rc<Secret>, AppJwtError> {
        if let Some((jwt, expires_at)) = &*self.current.borrow()
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
        let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"RS256","typ":"JWT"}"#);
        let signing_input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = signatures.sign_rs256(private_key, signing_input.as_bytes()).await?;
        let jwt = Rc::new(Secret::new(format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature))));
        *self.current.borrow_mut() = Some((Rc::clone(&jwt), expires_at));
        Ok(jwt)
    }
}
