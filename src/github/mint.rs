//! Installation access tokens. A request can be made only from a [`Grant`] or as one of the fixed kinds, so no code
//! path can ask for more by mistake: GitHub reads an absent `permissions` as everything the App has and an absent
//! `repositories` as every repository.
//! <https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app>

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Serialize;

use crate::github::{BaseUrl, Call, Failure};
use crate::json::{FromJson as _, Shape, parse_members_leniently, read_members};
use crate::names::{Owner, Repository};
use crate::policy::{Grant, RepositorySelection};
use crate::secret::Secret;

/// 500 repositories of 7 KB each, as the answer describes them.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// The request for a token. `permissions` is never absent and never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MintRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    repositories: Option<Vec<String>>,
    permissions: BTreeMap<String, String>,
}

impl MintRequest {
    /// What a policy granted.
    #[must_use]
    pub fn from_grant(grant: &Grant) -> Self {
        let repositories = match grant.repositories() {
            RepositorySelection::All => None,
            RepositorySelection::These(names) => Some(names.iter().map(|n| n.as_str().to_owned()).collect()),
        };
        let asked = grant.permissions().iter().map(|(name, level)| (name, level.as_str()));
        Self { repositories, permissions: permissions(asked) }
    }

    /// Reading a policy: one repository, `contents: read`.
    #[must_use]
    pub fn for_policy_read(repository: &Repository) -> Self {
        Self {
            repositories: Some(vec![repository.as_str().to_owned()]),
            permissions: permissions([("contents", "read")]),
        }
    }

    /// Checking a commit: one repository, `contents: read`, `checks: write`, and `pull_requests: read` if a pull
    /// request's files are listed.
    #[must_use]
    pub fn for_check_run(repository: &Repository, lists_pull_requests: bool) -> Self {
        let listing = lists_pull_requests.then_some(("pull_requests", "read"));
        Self {
            repositories: Some(vec![repository.as_str().to_owned()]),
            permissions: permissions([("contents", "read"), ("checks", "write")].into_iter().chain(listing)),
        }
    }

    /// `POST /app/installations/{installation_id}/access_tokens`
    #[must_use]
    pub fn call(&self, base: &BaseUrl, installation_id: u64, app_jwt: &Secret) -> Call<MintAnswer> {
        // A map of strings always serializes. GitHub would refuse an empty body rather than grant everything, because
        // the content type says JSON.
        let body = serde_json::to_vec(self).unwrap_or_default();
        let path = format!("/app/installations/{installation_id}/access_tokens");
        Call::new(base, Method::POST, &path, app_jwt, Some(body), MAX_BODY, read)
    }

    /// Whether a minted token is no wider than requested. GitHub adds `metadata: read` by itself.
    #[must_use]
    pub fn covers(&self, token: &MintedToken) -> bool {
        let permissions_covered =
            token.permissions.iter().all(|(name, level)| match self.permissions.get(name) {
                Some(asked) => rank(level).is_some_and(|level| Some(level) <= rank(asked)),
                None => name == "metadata" && level == "read",
            });
        let repositories_covered = match (&self.repositories, &token.repositories) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(asked), Some(given)) => {
                // Up to 500 of each: comparing all with all would take milliseconds.
                let mut names = BTreeSet::new();
                names.extend(asked.iter().map(|name| name.to_ascii_lowercase()));
                !given.is_empty() && given.iter().all(|name| names.contains(&name.to_ascii_lowercase()))
            }
        };
        permissions_covered && repositories_covered
    }

    /// What the token may do, without `metadata: read` unless that was requested.
    #[must_use]
    pub fn asked_of(&self, token: &MintedToken) -> BTreeMap<String, String> {
        let asked = token.permissions.iter().filter(|(name, _)| self.permissions.contains_key(*name));
        permissions(asked.map(|(name, level)| (name.as_str(), level.as_str())))
    }

    /// Whether the request names its repositories.
    #[must_use]
    pub fn is_selective(&self) -> bool {
        self.repositories.is_some()
    }
}

fn permissions<'a>(of: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    let mut permissions = BTreeMap::new();
    permissions.extend(of.into_iter().map(|(name, level)| (name.to_owned(), level.to_owned())));
    permissions
}

fn rank(level: &str) -> Option<u8> {
    match level {
        "read" => Some(1),
        "write" => Some(2),
        "admin" => Some(3),
        _ => None,
    }
}

/// A token that GitHub minted.
#[derive(Debug)]
pub struct MintedToken {
    /// The token.
    pub token: Secret,
    /// As GitHub wrote it, RFC 3339.
    pub expires_at: String,
    /// What it may do, `metadata` included.
    pub permissions: BTreeMap<String, String>,
    /// The selected repositories; absent if the token covers all.
    pub repositories: Option<Vec<String>>,
    /// Their owners, if GitHub names them.
    owners: Vec<String>,
}

impl MintedToken {
    /// Whether the answer says whose the token is.
    #[must_use]
    pub fn names_owner(&self) -> bool {
        !self.owners.is_empty()
    }

    /// Whether the answer does not say that the repositories belong to somebody else.
    #[must_use]
    pub fn is_of(&self, owner: &Owner) -> bool {
        self.owners.iter().all(|login| owner.is(login))
    }
}

/// The content of a 2xx from the mint. An existing token must be revoked even if the rest cannot be read.
#[derive(Debug)]
pub enum MintAnswer {
    /// All of it.
    Token(MintedToken),
    /// A token, but not its permissions or its expiry.
    Unreadable(Option<Secret>),
}

octo_sts_verifier::json_members! {
    struct Answer {
        token: String => take,
        expires_at: String => take,
        permissions: BTreeMap<String, String> => take,
        repositories: Option<Vec<Named>> => take_optional,
        repository_selection: Option<String> => take_optional,
    }
}

octo_sts_verifier::json_members! {
    struct Named {
        name: String => take,
        /// `owner/name`
        full_name: Option<String> => take_optional,
    }
}

fn read(_: StatusCode, body: &Bytes) -> Result<MintAnswer, Failure> {
    let Ok(answer) = read_members::<Answer>(body, Answer::SHAPE) else {
        return Ok(MintAnswer::Unreadable(token_alone(body)));
    };
    let Some(token) = printable(answer.token) else {
        return Ok(MintAnswer::Unreadable(None));
    };
    let everything = answer.repository_selection.as_deref() == Some("all");
    let owner_of = |named: &Named| Some(named.full_name.as_deref()?.split_once('/')?.0.to_owned());
    let owners = answer.repositories.iter().flatten().filter_map(owner_of).collect();
    Ok(MintAnswer::Token(MintedToken {
        token,
        expires_at: answer.expires_at,
        permissions: answer.permissions,
        repositories: answer
            .repositories
            .filter(|_| !everything)
            .map(|named| named.into_iter().map(|repository| repository.name).collect()),
        owners,
    }))
}

/// The token in an invalid answer. It is read as leniently as possible, even from a duplicate member, because it is
/// only used to revoke the token.
fn token_alone(body: &[u8]) -> Option<Secret> {
    let answer = parse_members_leniently(body, Shape(&[("token", Shape::ALL)])).ok()?;
    printable(answer.get("token")?.as_str()?.to_owned())
}

/// Nothing else is assumed about a token, because GitHub changes their form.
fn printable(token: String) -> Option<Secret> {
    let is_token = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    is_token.then(|| Secret::new(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_in_an_answer_that_is_not_as_it_should_be() {
        let found = |body: &'static str| match read(StatusCode::CREATED, &Bytes::from_static(body.as_bytes()))
        {
            Ok(MintAnswer::Unreadable(token)) => token.map(|token| token.expose().to_owned()),
            other => panic!("{other:?}"),
        };
        for body in [
            r#"{"token":"ghs_1"}"#,
            r#"{"token":"ghs_1","expires_at":1,"permissions":[]}"#,
            r#"{"token":"ghs_1","expires_at":"x","permissions":{},"token":"ghs_1"}"#,
        ] {
            assert_eq!(found(body).as_deref(), Some("ghs_1"), "{body}");
        }
        for body in ["", "{", "null", r#"["ghs_1"]"#, r#"{"token":1}"#, r#"{"token":"two words"}"#] {
            assert_eq!(found(body), None, "{body}");
        }
    }
}
