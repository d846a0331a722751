//! The names that a caller may send, parsed once: every value of these types is safe in a URL path and in a cache key.
//! Grammar: docs/api.md, "Parameters". Names are compared without case, so each type has a `key()`.

use std::fmt;
use std::str::FromStr;

/// Why text is not a name of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// Not an owner.
    Owner,
    /// Not a repository.
    Repository,
    /// Not an identity.
    Identity,
    /// Neither `owner` nor `owner/repo`.
    Scope,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => {
                "an owner is 1 to 99 letters, digits, `-` or `_`, starts with a letter or digit and does not end in `-`"
            }
            Self::Repository => {
                "a repository is 1 to 100 letters, digits, `.`, `_` or `-`, is not `.` or `..` and does not end in `.git`"
            }
            Self::Identity => {
                "an identity is 1 to 100 letters, digits, `.`, `_` or `-`, does not start with `.` and has no `..`"
            }
            Self::Scope => "a scope is `owner/repo` or `owner`",
        })
    }
}

impl std::error::Error for NameError {}

/// A GitHub user or organization login.
#[derive(Debug, Clone)]
pub struct Owner(String);

/// A repository's bare name.
#[derive(Debug, Clone)]
pub struct Repository(String);

/// The name of a trust policy: the file is `.github/chainguard/{identity}.sts.yaml`. Like file names, it is
/// case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityName(String);

impl FromStr for Owner {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut bytes = text.bytes();
        let starts_well = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
        let goes_on_well = bytes.all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let well_formed = starts_well && goes_on_well && !text.ends_with('-') && text.len() <= 99;
        if well_formed { Ok(Self(text.to_owned())) } else { Err(NameError::Owner) }
    }
}

fn is_file_name_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

impl FromStr for Repository {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let well_formed = (1..=100).contains(&text.len())
            && text.bytes().all(is_file_name_character)
            && text != "."
            && text != ".."
            && !text.to_ascii_lowercase().ends_with(".git");
        if well_formed { Ok(Self(text.to_owned())) } else { Err(NameError::Repository) }
    }
}

impl FromStr for IdentityName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let well_formed = (1..=100).contains(&text.len())
            && text.bytes().all(is_file_name_character)
            && !text.starts_with('.')
            && !text.contains("..");
        if well_formed { Ok(Self(text.to_owned())) } else { Err(NameError::Identity) }
    }
}

impl Owner {
    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name for comparisons: lower case.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// Whether both name the same owner.
    #[must_use]
    pub fn is(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl Repository {
    /// `.github`, which has an organization's own files.
    #[must_use]
    pub fn dot_github() -> Self {
        Self(".github".to_owned())
    }

    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name for comparisons: lower case.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// Whether both name the same repository (of one owner).
    #[must_use]
    pub fn is(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl IdentityName {
    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the policy is in its repository.
    #[must_use]
    pub fn policy_path(&self) -> String {
        format!(".github/chainguard/{}.sts.yaml", self.0)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for IdentityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a token is requested for.
///
/// ```
/// use octo_sts_policy::names::Scope;
/// assert!(matches!("acme/app".parse(), Ok(Scope::Repository { .. })));
/// assert!(matches!("acme".parse(), Ok(Scope::Owner(_))));
/// assert!("acme/../app".parse::<Scope>().is_err());
/// ```
#[derive(Debug, Clone)]
pub enum Scope {
    /// `owner`: the policy is in the owner's policy repository.
    Owner(Owner),
    /// `owner/repo`: the policy is in that repository.
    Repository {
        /// Whose repository.
        owner: Owner,
        /// Its bare name.
        repository: Repository,
    },
}

impl Scope {
    /// The owner, which every scope has.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        match self {
            Self::Owner(owner) | Self::Repository { owner, .. } => owner,
        }
    }
}

impl FromStr for Scope {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('/') {
            None => Ok(Self::Owner(text.parse()?)),
            Some((_, rest)) if rest.contains('/') => Err(NameError::Scope),
            Some((owner, repository)) => {
                Ok(Self::Repository { owner: owner.parse()?, repository: repository.parse()? })
            }
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(owner) => write!(f, "{owner}"),
            Self::Repository { owner, repository } => write!(f, "{owner}/{repository}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_one_or_two_names() {
        for good in ["acme", "acme/app", "a", "A-1_b/x.y-z_", "acme/.github", "0/0", "acme/.gitx"] {
            assert_eq!(good.parse::<Scope>().map(|s| s.to_string()).as_deref(), Ok(good));
        }
        let long_owner = "a".repeat(100);
        let long_repository = format!("acme/{}", "r".repeat(101));
        for bad in [
            "",
            "/",
            "acme/",
            "/app",
            "a/b/c",
            "a/../b",
            "acme/.",
            "acme/..",
            "acme/app.git",
            "acme/APP.GIT",
            "acme/.git",
            "-acme",
            "acme-",
            "_acme",
            "ac me",
            "acme/a pp",
            "acme/a?b",
            "acme/a#b",
            "acme\\app",
            "acme/a%2fb",
            "acmé",
            "acme/app\n",
            "\u{0}",
            "acme/\u{7f}",
            &long_owner,
            &long_repository,
        ] {
            assert!(bad.parse::<Scope>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn limits_are_inclusive() {
        assert!("a".repeat(99).parse::<Owner>().is_ok());
        assert!("r".repeat(100).parse::<Repository>().is_ok());
        assert!("i".repeat(100).parse::<IdentityName>().is_ok());
        assert!("i".repeat(101).parse::<IdentityName>().is_err());
    }

    #[test]
    fn identities_are_plain_file_names() {
        for good in ["deploy", "a.b", "_x", "-x", "A1"] {
            assert!(good.parse::<IdentityName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "a..b", "a/b", "a b", "a\tb", "ü"] {
            assert!(bad.parse::<IdentityName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_are_compared_without_case() {
        assert!("Acme".parse::<Owner>().unwrap().is("aCME"));
        assert_eq!("App".parse::<Repository>().unwrap().key(), "app");
    }
}
