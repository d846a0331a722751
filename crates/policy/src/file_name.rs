//! What a file of `.github/chainguard` is, by its name alone.

use std::fmt;

use crate::names::{IdentityName, NameError};

/// The folder of a repository that directly contains policies.
pub const POLICY_FOLDER: &str = ".github/chainguard";

/// The list of trusted issuers, in the policy folder of the organization's policy repository.
pub const TRUSTED_ISSUERS_FILE: &str = "trusted-token-issuers.yaml";

const POLICY_SUFFIX: &str = ".sts.yaml";

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileName {
    /// A trust policy.
    Policy(IdentityName),
    /// The list of trusted issuers.
    TrustedIssuers,
    /// Named like a policy, but with a name that no exchange can ask for.
    NoIdentity(NameError),
    /// YAML that nothing reads.
    Misnamed(Misnamed),
    /// Something else, such as a README.
    Other,
}

/// A file that probably should be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misnamed {
    /// The name that would be read.
    pub better: Option<String>,
}

impl fmt::Display for Misnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the file is not read: the name of a policy's file ends in `.sts.yaml`")
    }
}

impl FileName {
    /// Looks at a bare file name.
    ///
    /// ```
    /// use octo_sts_policy::FileName;
    /// assert!(matches!(FileName::of("deploy.sts.yaml"), FileName::Policy(_)));
    /// assert!(matches!(FileName::of("deploy.yaml"), FileName::Misnamed(_)));
    /// assert_eq!(FileName::of("README.md"), FileName::Other);
    /// ```
    #[must_use]
    pub fn of(name: &str) -> Self {
        if name == TRUSTED_ISSUERS_FILE {
            return Self::TrustedIssuers;
        }
        if let Some(identity) = name.strip_suffix(POLICY_SUFFIX) {
            return match identity.parse() {
                Ok(identity) => Self::Policy(identity),
                Err(error) => Self::NoIdentity(error),
            };
        }
        let lower = name.to_ascii_lowercase();
        let Some(stem) = lower.strip_suffix(".yaml").or_else(|| lower.strip_suffix(".yml")) else {
            return Self::Other;
        };
        let is_about_issuers = stem.contains("issuer") && stem.contains("trust");
        let better = if is_about_issuers {
            Some(TRUSTED_ISSUERS_FILE.to_owned())
        } else {
            // The identity keeps its case; only the rest is corrected.
            let stem = stem.strip_suffix(".sts").or_else(|| stem.strip_suffix("-sts")).unwrap_or(stem);
            name.get(..stem.len())
                .filter(|identity| identity.parse::<IdentityName>().is_ok())
                .map(|identity| format!("{identity}{POLICY_SUFFIX}"))
        };
        Self::Misnamed(Misnamed { better })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_a_file_is() {
        let identity = |name: &str| FileName::Policy(name.parse().unwrap());
        let misnamed =
            |better: Option<&str>| FileName::Misnamed(Misnamed { better: better.map(str::to_owned) });
        for (name, expected) in [
            ("deploy.sts.yaml", identity("deploy")),
            ("Deploy.prod.sts.yaml", identity("Deploy.prod")),
            ("trusted-token-issuers.yaml", FileName::TrustedIssuers),
            ("trusted-token-issuers.sts.yaml", identity("trusted-token-issuers")),
            (".sts.yaml", FileName::NoIdentity(NameError::Identity)),
            ("a b.sts.yaml", FileName::NoIdentity(NameError::Identity)),
            ("a..b.sts.yaml", FileName::NoIdentity(NameError::Identity)),
            ("deploy.yaml", misnamed(Some("deploy.sts.yaml"))),
            ("Deploy.YML", misnamed(Some("Deploy.sts.yaml"))),
            ("deploy.sts.yml", misnamed(Some("deploy.sts.yaml"))),
            ("deploy.STS.yaml", misnamed(Some("deploy.sts.yaml"))),
            ("deploy-sts.yaml", misnamed(Some("deploy.sts.yaml"))),
            ("trusted-token-issuers.yml", misnamed(Some("trusted-token-issuers.yaml"))),
            ("trusted_issuers.yaml", misnamed(Some("trusted-token-issuers.yaml"))),
            (".yaml", misnamed(None)),
            ("a b.yaml", misnamed(None)),
            ("README.md", FileName::Other),
            ("deploy.sts.yaml.bak", FileName::Other),
            ("yaml", FileName::Other),
            ("", FileName::Other),
        ] {
            assert_eq!(FileName::of(name), expected, "{name}");
        }
    }
}
