//! The claims that a policy is checked against: from a file of claims, or from a token, which is decoded and, if
//! requested, verified. The token itself goes nowhere else.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use octo_sts_native::{NativeFetch, NativeSignatures};
use octo_sts_verifier::jose::CompactJws;
use octo_sts_verifier::json;
use octo_sts_verifier::oidc::{
    Claims, Issuer, IssuerRules, Quoted, UnverifiedToken, VerifyRules, fetch_keys, verify,
};
use octo_sts_verifier::secret::Secret;
use octo_sts_verifier::time::Timestamp;

use super::arguments::Explain;
use super::escape;
use super::files;
use super::outcome::Failure;

/// The server's default for `MAX_TOKEN_LIFETIME_SECONDS`.
const MAX_LIFETIME: Duration = Duration::from_secs(86_400);

/// How far claims can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The caller wrote them.
    Given,
    /// Decoded from a token that nobody verified; whether it has expired.
    Decoded { expired: bool },
    /// The issuer signed them, and they are valid now.
    Verified,
}

/// Claims, and how far they can be trusted.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) claims: Claims,
    pub(crate) standing: Standing,
}

pub(crate) fn evidence(arguments: &Explain) -> Result<Evidence, Failure> {
    match (&arguments.evidence.claims, &arguments.evidence.token) {
        (Some(path), _) => given(path),
        (None, Some(place)) => {
            let token = read_token(place, &|name| std::env::var(name).ok())?;
            decoded(&token, arguments)
        }
        (None, None) => Err(Failure::Usage("give `--claims` or `--token`".to_owned())),
    }
}

fn given(path: &Path) -> Result<Evidence, Failure> {
    let bytes = files::read(path)?;
    if escape::is_token(&String::from_utf8_lossy(&bytes)) {
        return Err(Failure::Usage("`--claims` got a token; give it with `--token`".to_owned()));
    }
    let object = json::parse_object(&bytes, json::MAX_DEPTH)
        .map_err(|error| Failure::Failed(format!("the claims are not a JSON object: {error}")))?;
    let claims = Claims::from_object(object).map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(Evidence { claims, standing: Standing::Given })
}

/// The token from its source. No message here repeats what was read, or an argument that might be the token.
pub(crate) fn read_token(place: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Secret, Failure> {
    if escape::has_token(place) || escape::is_token(place) {
        let message =
            "a token on the command line can be read by every process; give a file, `-` or `env:NAME`";
        return Err(Failure::Usage(message.to_owned()));
    }
    let text = match place.strip_prefix("env:") {
        Some(name) => variable(name)
            .ok_or_else(|| Failure::Usage(format!("the environment has no variable {}", Quoted(name))))?,
        None => String::from_utf8_lossy(&files::read(Path::new(place))?).into_owned(),
    };
    // The complete answer of GitHub's token endpoint, or a whole header.
    let text = escape::answer(&text).unwrap_or_else(|| text.trim().to_owned());
    let scheme = text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("bearer "));
    let token = scheme.and_then(|_| text.get(7..)).map_or(text.as_str(), str::trim);
    if token.starts_with("gh") && escape::has_token(token) {
        let message = "this is a token of GitHub's; a policy is checked against the OIDC token that is exchanged for it";
        return Err(Failure::Usage(message.to_owned()));
    }
    Ok(Secret::new(token.to_owned()))
}

fn decoded(token: &Secret, arguments: &Explain) -> Result<Evidence, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
    let unverified = UnverifiedToken::parse(token.expose()).map_err(|error| failed(&error))?;
    let now = now()?;
    if arguments.verify {
        return verified(&unverified, arguments, now);
    }
    let jws = CompactJws::parse(token.expose()).map_err(|error| failed(&error))?;
    let claims = Claims::from_object(jws.payload()).map_err(|error| failed(&error))?;
    let expired = unverified.check_not_expired(now).is_err();
    Ok(Evidence { claims, standing: Standing::Decoded { expired } })
}

/// Like the exchange, in the same order.
fn verified(token: &UnverifiedToken, arguments: &Explain, now: Timestamp) -> Result<Evidence, Failure> {
    let not_verified =
        |error: &dyn std::fmt::Display| Failure::Failed(format!("the token is not verified: {error}"));
    let rules = IssuerRules {
        allowed: None,
        own_domain: arguments.domain.clone().unwrap_or_default(),
        allow_loopback_http: arguments.allow_loopback_http,
    };
    let issuer = token.issuer().map_err(|error| not_verified(&error))?;
    let issuer = Issuer::parse(issuer, &rules).map_err(|error| not_verified(&error))?;
    token.check_not_expired(now).map_err(|error| not_verified(&error))?;
    let fetched = pollster::block_on(fetch_keys(&issuer, &rules, &NativeFetch::new()))
        .map_err(|error| not_verified(&error))?;
    let rules = VerifyRules { max_lifetime: MAX_LIFETIME };
    let claims = pollster::block_on(verify(token, &issuer, &fetched.keys, &rules, now, &NativeSignatures))
        .map_err(|error| not_verified(&error))?;
    Ok(Evidence { claims: claims.claims().clone(), standing: Standing::Verified })
}

pub(crate) fn now() -> Result<Timestamp, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    since
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .and_then(Timestamp::from_unix_millis)
        .ok_or_else(|| Failure::Failed("the machine's clock is not set".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_on_the_command_line_is_refused_and_not_repeated() {
        let failure = read_token("eyJhbGciOiJub25lIn0.e30.c2ln", &|_| None).unwrap_err();
        let Failure::Usage(message) = failure else { panic!("usage") };
        assert!(message.contains("env:NAME") && !message.contains("eyJ"), "{message}");
    }

    #[test]
    fn a_token_may_be_in_a_variable_and_in_githubs_answer() {
        for text in ["abc", " abc\n", "Bearer abc", "bearer  abc\n", r#"{"count": 4, "value": "abc"}"#] {
            let token = read_token("env:TOKEN", &|name| (name == "TOKEN").then(|| text.to_owned())).unwrap();
            assert_eq!(token.expose(), "abc");
        }
        assert!(matches!(read_token("env:TOKEN", &|_| None), Err(Failure::Usage(_))));
        let minted = "ghs_0123456789abcdefghijABCDEFGHIJ012345";
        let failure = read_token("env:TOKEN", &|_| Some(minted.to_owned())).unwrap_err();
        let Failure::Usage(message) = failure else { panic!("usage") };
        assert!(message.contains("OIDC token") && !message.contains("ghs_"), "{message}");
    }
}
