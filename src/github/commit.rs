//! A commit's id, as it goes into paths and queries.

use std::fmt;
use std::str::FromStr;

/// The id of a git commit: 40 or 64 lower-case hexadecimal digits (SHA-1, SHA-256).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitSha(String);

/// Not a commit's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitShaError;

impl FromStr for CommitSha {
    type Err = CommitShaError;

    fn from_str(text: &str) -> Result<Self, CommitShaError> {
        let well_formed =
            matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if well_formed { Ok(Self(text.to_owned())) } else { Err(CommitShaError) }
    }
}

impl CommitSha {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this stands for "no commit": before a branch existed, or after it.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.bytes().all(|b| b == b'0')
    }
}

impl fmt::Display for CommitSha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_forty_or_sixty_four_digits() {
        for good in ["0123456789abcdef0123456789abcdef01234567", &"a".repeat(64), &"0".repeat(40)] {
            assert_eq!(good.parse::<CommitSha>().map(|sha| sha.to_string()).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "main",
            &"A".repeat(40),
            &"a".repeat(39),
            &"a".repeat(41),
            "../../../../../../../../../../../../../x",
        ] {
            assert_eq!(bad.parse::<CommitSha>(), Err(CommitShaError), "{bad}");
        }
    }

    #[test]
    fn no_commit_is_all_zeros() {
        assert!("0".repeat(40).parse::<CommitSha>().is_ok_and(|sha| sha.is_zero()));
        assert!(format!("{}1", "0".repeat(39)).parse::<CommitSha>().is_ok_and(|sha| !sha.is_zero()));
    }
}
