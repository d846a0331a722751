//! Cache keys: an injective encoding of a tuple, so that no two tuples share a key.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::context::Knowledge;
use crate::names::{IdentityName, Owner, Repository, Scope};

/// Raised whenever a record's meaning changes, so that an old value is never read as a new one.
const SCHEMA_VERSION: &str = "v1";

/// Workers KV takes keys of at most 512 bytes.
const MAX_KEY_BYTES: usize = 512;

/// A key in both tiers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    text: String,
    group: Option<Group>,
    alone: Option<Group>,
    knowledge: Option<Knowledge>,
}

/// Keys that are invalidated together. All are checked against one generation in KV, so one write invalidates them,
/// however many there are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Group(String);

impl Group {
    /// The key of the group's generation, as KV sees it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Key {
    /// As KV sees it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The group whose generation it is checked against.
    #[must_use]
    pub const fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    /// A group of this key alone, where it may be forgotten by itself while somebody looks it up: deleting it does not keep
    /// whoever read its origin before from writing it after.
    #[must_use]
    pub const fn alone(&self) -> Option<&Group> {
        self.alone.as_ref()
    }

    /// The kind of fact, if data points mention it.
    #[must_use]
    pub(super) const fn knowledge(&self) -> Option<Knowledge> {
        self.knowledge
    }

    fn of_knowledge(self, knowledge: Knowledge) -> Self {
        Self { knowledge: Some(knowledge), ..self }
    }

    fn in_group(self, group: Group) -> Self {
        Self { group: Some(group), ..self }
    }

    fn also_alone(self, alone: Self) -> Self {
        Self { alone: Some(Group(alone.text)), ..self }
    }

    /// Percent-encodes everything in each part except RFC 3986's unreserved characters, and joins the parts by `/`,
    /// which no part can contain. A key too long for KV becomes its own SHA-256 under another version prefix.
    fn of(parts: &[&str]) -> Self {
        let mut key = String::from(SCHEMA_VERSION);
        for part in parts {
            key.push('/');
            encode_into(&mut key, part);
        }
        let key = Self { text: key, group: None, alone: None, knowledge: None };
        if key.text.len() > MAX_KEY_BYTES { key.hashed() } else { key }
    }

    /// The keys of an issuer, which are the same for every App.
    #[must_use]
    pub fn issuer_keys(issuer: &str) -> Self {
        Self::of(&["issuer-keys", issuer]).of_knowledge(Knowledge::IssuerKeys)
    }

    /// The name of a rate limit counter that does not depend on an App. Always a hash, so that every name has the same
    /// length, and no subject or address goes to a counter that others in the account may share.
    #[must_use]
    pub fn counter(kind: &str, parts: &[&str]) -> Self {
        let mut all = vec!["rate-limit", kind];
        all.extend(parts);
        Self::of(&all).hashed()
    }

    fn hashed(&self) -> Self {
        let hash = hex::encode(Sha256::digest(self.text.as_bytes()));
        Self { text: format!("{SCHEMA_VERSION}-sha256/{hash}"), group: None, alone: None, knowledge: None }
    }
}

fn encode_into(key: &mut String, part: &str) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            key.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            write!(key, "%{byte:02X}").unwrap_or_default();
        }
    }
}

/// Separates this deployment's facts from another's in a shared namespace.
#[derive(Debug, Clone)]
pub struct KeySpace {
    github: String,
    app_id: String,
}

impl KeySpace {
    /// For one GitHub (its base URL) and one App.
    #[must_use]
    pub fn new(github: &str, app_id: &str) -> Self {
        Self { github: github.to_owned(), app_id: app_id.to_owned() }
    }

    /// The App's installation for a repository or an owner.
    #[must_use]
    pub fn installation(&self, scope: &Scope) -> Key {
        let key = match scope {
            // No repository has an empty name.
            Scope::Owner(owner) => self.key("installation", &[&owner.key(), ""]),
            Scope::Repository { owner, repository } => {
                self.key("installation", &[&owner.key(), &repository.key()])
            }
        };
        key.in_group(self.installations_of(scope.owner())).of_knowledge(Knowledge::Installation)
    }

    /// All of an owner's installation facts.
    #[must_use]
    pub fn installations_of(&self, owner: &Owner) -> Group {
        Group(self.key("installations", &[&owner.key()]).text)
    }

    /// A trust policy. Identities are file names and keep their case.
    #[must_use]
    pub fn policy(&self, owner: &Owner, repository: &Repository, identity: &IdentityName) -> Key {
        let (owner_key, repository_key) = (owner.key(), repository.key());
        let parts = [owner_key.as_str(), repository_key.as_str(), identity.as_str()];
        let key = self.key("policy", &parts).also_alone(self.key("policy-generation", &parts));
        key.in_group(self.policies_of(owner, repository)).of_knowledge(Knowledge::Policy)
    }

    /// All of a repository's policies.
    #[must_use]
    pub fn policies_of(&self, owner: &Owner, repository: &Repository) -> Group {
        Group(self.key("policies", &[&owner.key(), &repository.key()]).text)
    }

    /// A webhook delivery.
    #[must_use]
    pub fn delivery(&self, id: &str) -> Key {
        self.key("delivery", &[id])
    }

    /// An organization's trusted issuers.
    #[must_use]
    pub fn trusted_issuers(&self, owner: &Owner, repository: &Repository) -> Key {
        let (owner, repository) = (owner.key(), repository.key());
        let parts = [owner.as_str(), repository.as_str()];
        let key = self.key("trusted-issuers", &parts);
        key.also_alone(self.key("trusted-issuers-generation", &parts)).of_knowledge(Knowledge::TrustedIssuers)
    }

    /// The name of a rate limit counter for an owner. Always a hash, as [`Key::counter`].
    #[must_use]
    pub fn counter(&self, kind: &str, parts: &[&str]) -> Key {
        let mut all = vec![kind];
        all.extend(parts);
        self.key("rate-limit", &all).hashed()
    }

    fn key(&self, kind: &str, parts: &[&str]) -> Key {
        let mut all = vec![kind, &self.github, &self.app_id];
        all.extend(parts);
        Key::of(&all)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn different_tuples_never_share_a_key(
            a in prop::collection::vec(".{0,40}", 1..6),
            b in prop::collection::vec(".{0,40}", 1..6),
        ) {
            let key = |parts: &[String]| Key::of(&parts.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(a == b, key(&a) == key(&b));
        }

        #[test]
        fn separators_inside_of_parts_do_not_move_borders(a in "[a/%2F]{0,6}", b in "[a/%2F]{0,6}", c in "[a/%2F]{0,6}", d in "[a/%2F]{0,6}") {
            let same = (&a, &b) == (&c, &d);
            prop_assert_eq!(same, Key::of(&[&a, &b]) == Key::of(&[&c, &d]));
        }

        #[test]
        fn different_callers_never_share_a_counter(
            a in prop::collection::vec("[a/%|]{0,6}|.{0,600}", 1..4),
            b in prop::collection::vec("[a/%|]{0,6}|.{0,600}", 1..4),
        ) {
            let space = KeySpace::new("https://api.github.com", "1");
            let counter = |parts: &[String]| {
                space.counter("identity", &parts.iter().map(String::as_str).collect::<Vec<_>>())
            };
            prop_assert_eq!(a == b, counter(&a) == counter(&b));
            prop_assert_eq!(counter(&a).as_str().len(), "v1-sha256/".len() + 64);
            prop_assert!(counter(&a) != space.counter("owner", &a.iter().map(String::as_str).collect::<Vec<_>>()));
        }

        #[test]
        fn keys_fit_into_kv(part in ".{0,600}") {
            prop_assert!(Key::of(&["policy", &part]).as_str().len() <= MAX_KEY_BYTES);
        }
    }

    #[test]
    fn names_are_keyed_without_case_and_identities_with() {
        let space = KeySpace::new("https://api.github.com", "1");
        let policy = |owner: &str, repository: &str, identity: &str| {
            space.policy(&owner.parse().unwrap(), &repository.parse().unwrap(), &identity.parse().unwrap())
        };
        assert_eq!(policy("Acme", "App", "deploy"), policy("acme", "APP", "deploy"));
        assert_ne!(policy("acme", "app", "Deploy"), policy("acme", "app", "deploy"));
        assert_eq!(
            policy("acme", "app", "deploy").as_str(),
            "v1/policy/https%3A%2F%2Fapi.github.com/1/acme/app/deploy"
        );
    }

    #[test]
    fn a_repositorys_group_covers_exactly_its_policies() {
        let space = KeySpace::new("https://api.github.com", "1");
        let group = space.policies_of(&"Acme".parse().unwrap(), &"App".parse().unwrap());
        assert_eq!(group.as_str(), "v1/policies/https%3A%2F%2Fapi.github.com/1/acme/app");
        for (repository, covered) in [("app", true), ("APP", true), ("app2", false), ("ap", false)] {
            let key = space.policy(
                &"acme".parse().unwrap(),
                &repository.parse().unwrap(),
                &"deploy".parse().unwrap(),
            );
            assert_eq!(key.group() == Some(&group), covered, "{repository}");
        }
    }

    #[test]
    fn an_owners_group_covers_exactly_that_owner() {
        let space = KeySpace::new("https://api.github.com", "1");
        let group = space.installations_of(&"acme".parse().unwrap());
        for (scope, covered) in [("acme", true), ("ACME/app", true), ("acme2", false), ("acme2/app", false)] {
            let key = space.installation(&scope.parse().unwrap());
            assert_eq!(key.group() == Some(&group), covered, "{scope}");
        }
    }

    /// A key that is its own hash is checked against its group like any other.
    #[test]
    fn a_long_key_has_its_group() {
        let space = KeySpace::new(&format!("https://{}.example.com", "x".repeat(500)), "1");
        let (owner, repository) = ("acme".parse().unwrap(), "app".parse().unwrap());
        let key = space.policy(&owner, &repository, &"deploy".parse().unwrap());
        assert!(key.as_str().starts_with("v1-sha256/"));
        assert_eq!(key.group(), Some(&space.policies_of(&owner, &repository)));
    }
}
