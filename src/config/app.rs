//! The GitHub App and where its GitHub is.

use crate::cache::KeySpace;
use crate::config::reader::{FallBack as _, Reader, Setting, misconfigured};
use crate::config::{
    GITHUB_APP_ID, GITHUB_APP_NAME, GITHUB_APP_PRIVATE_KEY, GITHUB_APP_PRIVATE_KEY_PREVIOUS, Misconfigured,
};
use crate::github::{BaseUrl, PrivateKeyError, parse_private_key};
use crate::secret::SecretBytes;

/// The GitHub App.
pub struct AppConfig {
    /// Where GitHub is.
    pub base: BaseUrl,
    /// App id or client id.
    pub id: String,
    /// The name that policies use to pin this App.
    pub name: Option<String>,
    /// PKCS#8 DER.
    pub private_key: SecretBytes,
    /// During a rotation, the key that GitHub may still or already know.
    pub previous_private_key: Option<SecretBytes>,
    /// The owner of the cached facts.
    pub keys: KeySpace,
}

pub(super) fn parse(reader: &mut Reader<'_>, base: Setting<BaseUrl>) -> Result<AppConfig, Misconfigured> {
    let id = reader.required(GITHUB_APP_ID, parse_app_id);
    let name = reader.optional(GITHUB_APP_NAME, |text| Some(text.to_owned())).flatten();
    let private_key = reader.required_because(GITHUB_APP_PRIVATE_KEY, parse_key);
    let previous_private_key = reader.optional_because(GITHUB_APP_PRIVATE_KEY_PREVIOUS, parse_key).flatten();
    match (id, private_key, base) {
        (Ok(id), Ok(private_key), Ok(base)) => {
            let keys = KeySpace::new(base.as_str(), &id);
            Ok(AppConfig { base, id, name, private_key, previous_private_key, keys })
        }
        (a, b, c) => Err(misconfigured(&[a.err(), b.err(), c.err()])),
    }
}

#[inline(never)] // Two settings have one.
fn parse_key(pem: &str) -> Result<SecretBytes, &'static str> {
    parse_private_key(pem).map_err(PrivateKeyError::reason)
}

/// An App id is a number, a client id looks like `Iv23liAbCdEf`. Both go into a JWT and into cache keys.
fn parse_app_id(text: &str) -> Option<String> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
    (plain && text.len() <= 64).then(|| text.to_owned())
}
