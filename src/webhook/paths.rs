//! Which files are relevant. Paths are case-sensitive, and the folder has one level.

use crate::names::IdentityName;
pub(super) use crate::policy::POLICY_FOLDER as FOLDER;
use crate::policy::{FileName, PolicyHome};

/// What a file in the folder is, by its name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// The policy of that name.
    Policy(IdentityName),
    /// The organization's list of trusted issuers.
    TrustedIssuers,
    /// It ends like a policy, but no caller can name it.
    IllegalName,
    /// It looks like one of them, but nothing reads it.
    Misnamed,
}

impl Kind {
    /// What the path is; `None` for irrelevant paths.
    pub(super) fn of(path: &str, home: PolicyHome) -> Option<Self> {
        let name = path.strip_prefix(FOLDER)?.strip_prefix('/')?;
        if name.contains('/') {
            return None;
        }
        match FileName::of(name) {
            FileName::Policy(identity) => Some(Self::Policy(identity)),
            FileName::TrustedIssuers if home == PolicyHome::OrganizationPolicyRepository => {
                Some(Self::TrustedIssuers)
            }
            FileName::TrustedIssuers | FileName::Misnamed(_) => Some(Self::Misnamed),
            FileName::NoIdentity(_) => Some(Self::IllegalName),
            FileName::Other => None,
        }
    }

    /// Whether an exchange reads the file.
    pub(super) fn is_read(&self) -> bool {
        matches!(self, Self::Policy(_) | Self::TrustedIssuers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_name_says() {
        let repository = |path: &str| Kind::of(path, PolicyHome::Repository);
        let organization = |path: &str| Kind::of(path, PolicyHome::OrganizationPolicyRepository);
        let deploy = Some(Kind::Policy("deploy".parse().unwrap()));
        assert_eq!(repository(".github/chainguard/deploy.sts.yaml"), deploy);
        assert_eq!(organization(".github/chainguard/deploy.sts.yaml"), deploy);
        assert_eq!(organization(".github/chainguard/trusted-token-issuers.yaml"), Some(Kind::TrustedIssuers));
        assert_eq!(repository(".github/chainguard/trusted-token-issuers.yaml"), Some(Kind::Misnamed));
        for illegal in
            [".sts.yaml", "a b.sts.yaml", "..sts.yaml", "a..b.sts.yaml", "ü.sts.yaml", ".hidden.sts.yaml"]
        {
            assert_eq!(repository(&format!("{FOLDER}/{illegal}")), Some(Kind::IllegalName), "{illegal}");
        }
        for misnamed in
            ["deploy.yaml", "deploy.sts.yml", "deploy.yml", "Deploy.STS.YAML", "trusted-token-issuers.yml"]
        {
            assert_eq!(organization(&format!("{FOLDER}/{misnamed}")), Some(Kind::Misnamed), "{misnamed}");
        }
        for nothing in [
            "",
            "README.md",
            ".github/chainguard",
            ".github/chainguard/",
            ".github/chainguard/README.md",
            ".github/chainguard/sub/deploy.sts.yaml",
            ".github/chainguardx/deploy.sts.yaml",
            ".GitHub/chainguard/deploy.sts.yaml",
            "x/.github/chainguard/deploy.sts.yaml",
            ".github/workflows/ci.yaml",
        ] {
            assert_eq!(organization(nothing), None, "{nothing}");
        }
    }
}
