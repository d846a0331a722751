//! Asking for less than a policy grants. A narrowed grant is a subset of the grant that it was made from; there is no
//! other way to make one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::decision::{Grant, RepositorySelection};
use crate::names::Repository;
use crate::permissions::{Level, Permissions, known_permission};

/// GitHub accepts no more in one request for a token.
/// <https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app>
const MAX_REPOSITORIES: usize = 500;

/// More than any real request: GitHub has about a hundred permissions.
const MAX_PERMISSIONS: usize = 500;

/// What a caller asks for. An absent part means what the policy grants.
#[derive(Debug, Clone, Default)]
pub struct Narrowing {
    permissions: Option<BTreeMap<String, Level>>,
    repositories: Option<Vec<Repository>>,
}

/// A request that no policy can satisfy as written. The text names the caller's own item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NarrowingError {
    /// A set without an item.
    Empty(&'static str),
    /// More items than GitHub accepts.
    TooMany(&'static str, usize),
    /// Not `permission:level`.
    Form(String),
    /// The same permission or repository twice.
    Twice(String),
    /// GitHub has no such level, at all or for this permission.
    Level(String),
    /// Not a repository's name.
    Repository(String),
}

impl fmt::Display for NarrowingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty(what) => write!(f, "{what} are asked for, but none is named"),
            Self::TooMany(what, most) => write!(f, "more than {most} {what} are asked for"),
            Self::Form(item) => write!(f, "`{item}` is not of the form `permission:level`"),
            Self::Twice(item) => write!(f, "`{item}` is asked for twice"),
            Self::Level(item) => write!(f, "`{item}` asks for a level that github does not have for it"),
            Self::Repository(item) => write!(f, "`{item}` is not the name of a repository"),
        }
    }
}

impl std::error::Error for NarrowingError {}

/// Something that the policy does not grant. The text names the caller's own item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotGranted {
    /// A permission that is not granted, or not at that level, as `permission:level`.
    Permission(String),
    /// A repository that the policy does not cover.
    Repository(String),
}

impl fmt::Display for NotGranted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permission(item) => write!(f, "the policy does not grant `{item}`"),
            Self::Repository(name) => write!(f, "the policy does not cover the repository `{name}`"),
        }
    }
}

impl std::error::Error for NotGranted {}

impl Narrowing {
    /// Asks only for these permissions: pairs of a name and a level.
    ///
    /// # Errors
    /// An empty set, a name twice (case ignored), or a level that GitHub does not have for a permission that it knows.
    /// A permission that GitHub does not know is not granted, which [`Grant::narrowed`] reports.
    pub fn permissions<'a>(
        mut self,
        asked: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, NarrowingError> {
        let (mut levels, mut seen) = (BTreeMap::new(), BTreeSet::new());
        for (name, text) in asked {
            let item = || shown(&format!("{name}:{text}"));
            if name.is_empty() {
                return Err(NarrowingError::Form(item()));
            }
            let level: Level = text.parse().map_err(|_| NarrowingError::Level(item()))?;
            if known_permission(name).is_some_and(|known| !known.levels.contains(&level)) {
                return Err(NarrowingError::Level(item()));
            }
            if !seen.insert(name.to_ascii_lowercase()) {
                return Err(NarrowingError::Twice(shown(name)));
            }
            if seen.len() > MAX_PERMISSIONS {
                return Err(NarrowingError::TooMany("permissions", MAX_PERMISSIONS));
            }
            levels.insert(name.to_owned(), level);
        }
        if levels.is_empty() {
            return Err(NarrowingError::Empty("permissions"));
        }
        self.permissions = Some(levels);
        Ok(self)
    }

    /// The same for texts of the form `permission:level`.
    ///
    /// # Errors
    /// As [`Narrowing::permissions`], and for another form.
    pub fn permission_items<'a>(
        self,
        items: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, NarrowingError> {
        let mut pairs = Vec::new();
        for item in items {
            pairs.push(item.split_once(':').ok_or_else(|| NarrowingError::Form(shown(item)))?);
        }
        self.permissions(pairs)
    }

    /// Asks only for these repositories.
    ///
    /// # Errors
    /// An empty list, more than 500, a repeated one (case ignored), or an invalid name.
    pub fn repositories<'a>(
        mut self,
        asked: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, NarrowingError> {
        let (mut names, mut seen) = (Vec::new(), BTreeSet::new());
        for text in asked {
            let name: Repository = text.parse().map_err(|_| NarrowingError::Repository(shown(text)))?;
            if !seen.insert(name.key()) {
                return Err(NarrowingError::Twice(shown(text)));
            }
            if seen.len() > MAX_REPOSITORIES {
                return Err(NarrowingError::TooMany("repositories", MAX_REPOSITORIES));
            }
            names.push(name);
        }
        if names.is_empty() {
            return Err(NarrowingError::Empty("repositories"));
        }
        self.repositories = Some(names);
        Ok(self)
    }

    /// The requested permissions, unchanged.
    #[must_use]
    pub const fn asked_permissions(&self) -> Option<&BTreeMap<String, Level>> {
        self.permissions.as_ref()
    }

    /// The requested repositories, unchanged.
    #[must_use]
    pub fn asked_repositories(&self) -> Option<&[Repository]> {
        self.repositories.as_deref()
    }

    /// Whether another request asks for the same, in whatever order and case of repositories.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        let keys = |narrowing: &Self| -> Option<BTreeSet<String>> {
            Some(narrowing.repositories.as_ref()?.iter().map(Repository::key).collect())
        };
        self.permissions == other.permissions && keys(self) == keys(other)
    }

    /// Whether the request is for everything that the policy grants.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.permissions.is_none() && self.repositories.is_none()
    }
}

/// An item as a message may show it: short, and on one line.
fn shown(item: &str) -> String {
    crate::diagnostic::quoted_up_to(item, 80).trim_matches('`').to_owned()
}

impl Grant {
    /// The requested part of the grant.
    ///
    /// # Errors
    /// [`NotGranted`]: the first item that is not part of the grant.
    pub fn narrowed(self, narrowing: &Narrowing) -> Result<Self, NotGranted> {
        if narrowing.is_none() { Ok(self) } else { self.part(narrowing) }
    }

    #[inline(never)] // A Worker's isolate compiles what it calls, and most callers want all that is granted.
    fn part(self, narrowing: &Narrowing) -> Result<Self, NotGranted> {
        let permissions = match &narrowing.permissions {
            None => self.permissions,
            Some(asked) => subset(&self.permissions, asked)?,
        };
        let repositories = match &narrowing.repositories {
            None => self.repositories,
            Some(asked) => RepositorySelection::These(covered(&self.repositories, asked)?),
        };
        Ok(Self { permissions, repositories, ..self })
    }
}

fn subset(granted: &Permissions, asked: &BTreeMap<String, Level>) -> Result<Permissions, NotGranted> {
    let not_granted = |name: &str, level: Level| NotGranted::Permission(shown(&format!("{name}:{level}")));
    for (name, level) in asked {
        if granted.level(name).is_none_or(|most| *level > most) {
            return Err(not_granted(name, *level));
        }
    }
    // Every name is in the policy, and GitHub has its level, so the set is valid.
    Permissions::new(asked.clone()).ok_or_else(|| NotGranted::Permission(String::new()))
}

/// In the policy's spelling, if it names them.
fn covered(granted: &RepositorySelection, asked: &[Repository]) -> Result<Vec<Repository>, NotGranted> {
    match granted {
        RepositorySelection::All => Ok(asked.to_vec()),
        RepositorySelection::These(names) => {
            let mut known = BTreeMap::new();
            known.extend(names.iter().map(|name| (name.key(), name)));
            let of_the_policy = |name: &Repository| {
                let found = known.get(&name.key()).map(|found| (*found).clone());
                found.ok_or_else(|| NotGranted::Repository(shown(name.as_str())))
            };
            asked.iter().map(of_the_policy).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(items: &[&str]) -> Result<Narrowing, NarrowingError> {
        Narrowing::default().permission_items(items.iter().copied())
    }

    #[test]
    fn what_can_be_asked_for() {
        let narrowing = asking(&["contents:read", "issues:write", "no_such_thing:admin"]).unwrap();
        assert_eq!(narrowing.asked_permissions().unwrap().len(), 3);
        let names = Narrowing::default().repositories(["app", "Docs"]).unwrap();
        assert_eq!(names.asked_repositories().unwrap().len(), 2);
        assert!(Narrowing::default().is_none() && !names.is_none());
    }

    #[test]
    fn what_cannot_says_which_item_it_is() {
        let long = "x".repeat(5000);
        for (items, error) in [
            (&[][..], "permissions are asked for, but none is named"),
            (&["contents"], "`contents` is not of the form `permission:level`"),
            (&[":read"], "`:read` is not of the form `permission:level`"),
            (&["contents:"], "`contents:` asks for a level that github does not have for it"),
            (&["contents:Read"], "`contents:Read` asks for a level that github does not have for it"),
            (&["workflows:read"], "`workflows:read` asks for a level that github does not have for it"),
            (&["contents:read", "Contents:write"], "`Contents` is asked for twice"),
        ] {
            assert_eq!(asking(items).unwrap_err().to_string(), error);
        }
        assert!(asking(&[&long]).unwrap_err().to_string().len() < 400);
        let many: Vec<String> = (0..501).map(|n| format!("r{n}")).collect();
        let repositories =
            |names: &[&str]| Narrowing::default().repositories(names.iter().copied()).unwrap_err();
        assert_eq!(repositories(&[]).to_string(), "repositories are asked for, but none is named");
        assert_eq!(repositories(&["app", "APP"]).to_string(), "`APP` is asked for twice");
        assert_eq!(repositories(&["a/b"]).to_string(), "`a/b` is not the name of a repository");
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(repositories(&many).to_string(), "more than 500 repositories are asked for");
    }
}
