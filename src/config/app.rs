//! The GitHub App and where its GitHub is.

use crate::cache::KeySpace;
use crate::config::reader::{Reader, Setting, misconfigured};
use crate::config::{GITHUB_APP_ID, GITHUB_APP_PRIVATE_KEY, Misconfigured};
use crate::github::{BaseUrl, parse_private_key};
use crate::secret::SecretBytes;

/// The GitHub App.
pub struct AppConfig {
    /// Where GitHub is.
    pub base: BaseUrl,
    /// App id or client id.
    pub id: String,
    /// PKCS#8 DER.
    pub private_key: SecretBytes,
    /// Whose facts the caches hold.
    pub keys: KeySpace,
}

pub(super) fn parse(reader: &mut Reader<'_>, base: Setting<BaseUrl>) -> Result<AppConfig, Misconfigured> {
    let id = reader.required(GITHUB_APP_ID, parse_app_id);
    let private_key = reader.required(GITHUB_APP_PRIVATE_KEY, |pem| parse_private_key(pem).ok());
    match (id, private_key, base) {
        (Ok(id), Ok(private_key), Ok(base)) => {
            Ok(AppConfig { keys: KeySpace::new(base.as_str(), &id), base, id, private_key })
        }
        (a, b, c) => Err(misconfigured([a.err(), b.err(), c.err()])),
    }
}

/// An App id is a number, a client id looks like `Iv23liAbCdEf`. Both go into a JWT and into cache keys.
fn parse_app_id(text: &str) -> Option<String> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
    (plain && text.len() <= 64).then(|| text.to_owned())
}
