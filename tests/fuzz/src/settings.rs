//! The operator's settings.

use octo_sts_worker::config::Config;
use octo_sts_worker::github::{BaseUrl, parse_private_key};

use super::text;

/// Settings: [lines of `NAME=value`; the private key may go on over several lines].
pub fn settings(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let setting = |name: &str| {
        let at = text.find(&format!("{name}="))?;
        let value = text.get(at + name.len() + 1..)?;
        let end = if name == "GITHUB_APP_PRIVATE_KEY" { value.find("\n\n") } else { value.find('\n') };
        Some(value.get(..end.unwrap_or(value.len()))?.to_owned())
    };
    let config = Config::parse(&setting, &|_| true);
    // A missing setting disables whatever needs it.
    let needs = ["DOMAIN", "GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY"];
    if config.exchange.is_ok() {
        assert!(needs.iter().all(|name| setting(name).is_some_and(|value| !value.is_empty())));
        assert!(!needs.iter().any(|name| config.missing.contains(name) || config.malformed.contains(name)));
    } else {
        assert!(!config.missing.is_empty() || !config.malformed.is_empty());
    }
    if let Ok(webhook) = &config.webhook {
        assert!(
            !webhook.secrets.is_empty() && webhook.secrets.iter().all(|secret| !secret.expose().is_empty())
        );
    }
    if let Some(ingress) = &config.event_ingress {
        assert!(matches!(ingress.scheme_str(), Some("https" | "http")));
        assert!(!ingress.authority().expect("a host").as_str().contains('@'));
    }
    if let Ok(base) = BaseUrl::parse(text) {
        assert_eq!(BaseUrl::parse(base.as_str()).as_ref(), Ok(&base));
        assert!(base.as_str().starts_with("https://") || base.as_str().starts_with("http://"));
        assert!(base.as_str().bytes().all(|b| b.is_ascii_graphic()) && !base.as_str().ends_with('/'));
    }
    if let Ok(key) = parse_private_key(text) {
        assert_eq!(key.expose()[0], 0x30);
    }
}
