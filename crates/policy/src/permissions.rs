//! What a token may do: GitHub's names and levels. The list is GitHub's own plus, because that lags, the other names
//! that the Go service's library knows; see `scripts/generate-permissions.mjs`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::permissions_list::KNOWN;
use super::weight;

/// How much a permission allows. A higher level includes the lower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// See it.
    Read,
    /// Change it.
    Write,
    /// Manage it.
    Admin,
}

impl Level {
    /// GitHub's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LevelError;

impl fmt::Display for LevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a level is `read`, `write` or `admin`")
    }
}

impl std::error::Error for LevelError {}

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(text: &str) -> Result<Self, LevelError> {
        match text {
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            "admin" => Ok(Self::Admin),
            _ => Err(LevelError),
        }
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A permission that GitHub Apps know.
#[derive(Debug)]
pub struct Known {
    /// GitHub's name.
    pub name: &'static str,
    /// The levels it has, lowest first.
    pub levels: &'static [Level],
    /// What it is for, in GitHub's words. Only for schemas and the command line, because the Worker pays for every
    /// byte.
    #[cfg(not(target_arch = "wasm32"))]
    pub purpose: &'static str,
    /// Who says that there is such a permission.
    pub source: Source,
}

/// Who says that there is a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// GitHub's published list, with its levels.
    GitHub,
    /// Only the Go service's library. GitHub's list is known to lag; if there is no such permission, GitHub refuses the
    /// token.
    GoGitHub,
}

/// What a permission is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A repository (GitHub also lists a few of a user here, which no installation has).
    Repository,
    /// The organization: it affects every member, not one repository.
    Organization,
    /// The enterprise.
    Enterprise,
}

impl Known {
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) const fn new(name: &'static str, levels: &'static [Level], purpose: &'static str) -> Self {
        Self { name, levels, purpose, source: Source::GitHub }
    }

    #[cfg(target_arch = "wasm32")]
    pub(super) const fn new(name: &'static str, levels: &'static [Level], _purpose: &'static str) -> Self {
        Self { name, levels, source: Source::GitHub }
    }

    /// A name that only go-github knows. It does not define levels; these are the usual ones.
    pub(super) const fn of_go_github(name: &'static str) -> Self {
        let known = Self::new(name, &[Level::Read, Level::Write], "not in GitHub's published list");
        Self { source: Source::GoGitHub, ..known }
    }

    /// What the permission is about.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self.name {
            "members" | "custom_properties_for_organizations" | "team_discussions" => Subject::Organization,
            name if name.starts_with("organization_") => Subject::Organization,
            name if name.starts_with("enterprise_") => Subject::Enterprise,
            _ => Subject::Repository,
        }
    }
}

/// Every permission, sorted by name.
#[must_use]
pub fn known_permissions() -> &'static [Known] {
    KNOWN
}

/// The permission with this name.
///
/// ```
/// use octo_sts_policy::known_permission;
/// assert!(known_permission("contents").is_some() && known_permission("content").is_none());
/// ```
#[must_use]
pub fn known_permission(name: &str) -> Option<&'static Known> {
    let index = KNOWN.binary_search_by(|known| known.name.cmp(name)).ok()?;
    KNOWN.get(index)
}

/// A set of permissions with their levels; never empty, because GitHub reads an empty set as everything the App has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions(BTreeMap<String, Level>);

impl Permissions {
    /// `None` for an empty set, an unknown name, or a level that the permission does not have.
    #[must_use]
    pub fn new(levels: BTreeMap<String, Level>) -> Option<Self> {
        let all_known = levels
            .iter()
            .all(|(name, level)| known_permission(name).is_some_and(|known| known.levels.contains(level)));
        if levels.is_empty() || !all_known { None } else { Some(Self(levels)) }
    }

    /// The level granted, if any.
    #[must_use]
    pub fn level(&self, name: &str) -> Option<Level> {
        self.0.get(name).copied()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let names: usize = self.0.keys().map(|name| weight::block(name.capacity())).sum();
        weight::map::<String, Level>(self.0.len()) + names
    }

    /// Sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Level)> {
        self.0.iter().map(|(name, level)| (name.as_str(), *level))
    }

    /// Whether anything can be changed with it.
    #[must_use]
    pub fn allow_changes(&self) -> bool {
        self.0.values().any(|level| *level > Level::Read)
    }
}

/// As in GitHub's requests: `{"contents":"read"}`.
impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, level)) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{name}: {level}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_complete_enough() {
        assert!(KNOWN.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(KNOWN.len() >= 50);
        for known in KNOWN {
            assert!(!known.levels.is_empty() && known.levels.is_sorted(), "{}", known.name);
            assert!(!known.purpose.is_empty(), "{}", known.name);
        }
        assert_eq!(known_permission("workflows").unwrap().levels, [Level::Write]);
        assert_eq!(known_permission("organization_plan").unwrap().levels, [Level::Read]);
        assert!(known_permission("pull-requests").is_none());
        for name in ["organization_api_insights", "actions_variables", "organization_actions_variables"] {
            let known = known_permission(name).unwrap();
            assert_eq!(
                (known.source, known.levels),
                (Source::GoGitHub, &[Level::Read, Level::Write][..]),
                "{name}"
            );
        }
        // Where both describe a permission, GitHub's description wins.
        let plan = known_permission("organization_plan").unwrap();
        assert_eq!((plan.source, plan.levels), (Source::GitHub, &[Level::Read][..]));
    }

    #[test]
    fn organization_and_enterprise_permissions_are_told_apart() {
        for (name, subject) in [
            ("contents", Subject::Repository),
            ("members", Subject::Organization),
            ("team_discussions", Subject::Organization),
            ("organization_api_insights", Subject::Organization),
            ("enterprise_teams", Subject::Enterprise),
            ("actions_variables", Subject::Repository),
            ("organization_hooks", Subject::Organization),
            ("custom_properties_for_organizations", Subject::Organization),
            ("repository_custom_properties", Subject::Repository),
            ("enterprise_custom_properties_for_organizations", Subject::Enterprise),
        ] {
            assert_eq!(known_permission(name).unwrap().subject(), subject, "{name}");
        }
    }

    #[test]
    fn a_set_is_never_empty_and_serializes_as_github_wants_it() {
        assert_eq!(Permissions::new(BTreeMap::new()), None);
        let one = |name: &str, level| Permissions::new(BTreeMap::from([(name.to_owned(), level)]));
        assert_eq!(one("contentz", Level::Read), None);
        assert_eq!(one("workflows", Level::Read), None);
        let read = one("contents", Level::Read).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"{"contents":"read"}"#);
        assert!(!read.allow_changes());
        assert!(one("contents", Level::Write).unwrap().allow_changes());
    }
}
