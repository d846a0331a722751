//! Every diagnostic code, with its meaning and how to fix the file: for the command line, for SARIF and for
//! `docs/policies.md`, which a test compares with this list. A message of the loader describes the specific case; these
//! texts apply to all cases.

/// What a diagnostic code means.
#[derive(Debug)]
pub struct Code {
    /// The code, as in [`super::Diagnostic::code`].
    pub name: &'static str,
    /// What is wrong, for all cases.
    pub meaning: &'static str,
    /// How to fix it, if the specific case has no suggestion.
    pub fix: &'static str,
    /// It is about something missing, or about the whole file, so it has no position.
    pub about_the_file: bool,
}

/// A file of `.github/chainguard` that nothing reads, because of its name or location.
pub const FILE_MISNAMED: &str = "file-misnamed";
/// A link in the policy folder that leads out of it.
pub const FILE_IS_LINK: &str = "file-is-link";
/// A policy file whose name is not an identity, so nobody can ask for it.
pub const IDENTITY_NAME: &str = "identity-name";
/// A permission that the policy grants and the installation does not have; only the check run can know.
pub const PERMISSION_NOT_INSTALLED: &str = "permission-not-installed";

/// Every code, sorted.
#[must_use]
pub fn diagnostic_codes() -> &'static [Code] {
    CODES
}

/// The code with this name.
#[must_use]
pub fn diagnostic_code(name: &str) -> Option<&'static Code> {
    let index = CODES.binary_search_by(|code| code.name.cmp(name)).ok()?;
    CODES.get(index)
}

const fn inside(name: &'static str, meaning: &'static str, fix: &'static str) -> Code {
    Code { name, meaning, fix, about_the_file: false }
}

const fn whole(name: &'static str, meaning: &'static str, fix: &'static str) -> Code {
    Code { name, meaning, fix, about_the_file: true }
}

const CODES: &[Code] = &[
    inside(
        "acceptance-malformed",
        "a comment that would accept a warning has no code or no reason",
        "write `# sts: accept CODE because REASON`, with the code of one warning",
    ),
    inside(
        "acceptance-unused",
        "a comment accepts a warning that its line does not have",
        "remove it, or move it to the line of the warning or the one above",
    ),
    inside(
        "app-conflict",
        "both `app` and `app_pattern` are given",
        "keep one of the two; without either, any of the service's Apps may mint",
    ),
    inside(
        "audience-conflict",
        "both `audience` and `audience_pattern` are given",
        "keep one of the two; without either, the service's own domain is the audience",
    ),
    inside(
        "audience-shape",
        "no token can have such an audience",
        "write exactly the audience that the tokens are requested for",
    ),
    whole("document-empty", "there is nothing in the file", "write the policy, or delete the file"),
    inside(
        "email-unverified",
        "`email` is restricted and `email_verified` is not",
        "add `email_verified: 'true'` to `claim_pattern`",
    ),
    inside("empty-value", "a value or name is empty", "write the value, or remove the line"),
    inside(
        "event-name-unrestricted",
        "a policy for GitHub Actions grants write access to runs of any event",
        "add `event_name` to `claim_pattern`, for example `event_name: push`",
    ),
    inside(
        "exact-looks-like-pattern",
        "a value that is compared byte for byte looks like a pattern or glob, so the policy admits nobody",
        "use the key that ends in `_pattern`, or write the whole value",
    ),
    whole(
        FILE_IS_LINK,
        "the file is a link that leads out of the policy folder, so nothing reads it",
        "put the policy itself there",
    ),
    whole(
        FILE_MISNAMED,
        "the file looks like it should be read, but its name or location prevents that",
        "name it `.github/chainguard/{identity}.sts.yaml`, or move it elsewhere",
    ),
    whole(
        "file-too-large",
        "the file has more than 64 KiB",
        "split it into several policies, or remove comments",
    ),
    whole(
        IDENTITY_NAME,
        "the file's name is not a valid identity, so no exchange can ask for the policy",
        "rename the file: an identity is 1 to 100 letters, digits, `.`, `_` or `-`, does not start with `.` and has no `..`",
    ),
    inside(
        "issuer-case",
        "the scheme or host of a trusted issuer has capital letters",
        "write scheme and host in lower case, as the issuer's tokens do",
    ),
    inside(
        "issuer-conflict",
        "both `issuer` and `issuer_pattern` are given",
        "keep one of the two; prefer `issuer`",
    ),
    whole(
        "issuer-missing",
        "neither `issuer` nor `issuer_pattern` is given",
        "add `issuer`, for GitHub Actions `issuer: https://token.actions.githubusercontent.com`",
    ),
    inside(
        "issuer-shape",
        "no token can have such an issuer: an error in a list of trusted issuers, a warning in a policy",
        "write exactly what the tokens have in the claim `iss`",
    ),
    inside(
        "mode-unknown",
        "the mode of a list of trusted issuers is neither `enforce` nor `audit`",
        "write `mode: enforce`, or `mode: audit` to permit and record",
    ),
    inside(
        "names-can-be-registered-anew",
        "a policy for GitHub Actions grants write access by names that can change hands",
        "add `repository_id` or `repository_owner_id` to `claim_pattern`",
    ),
    whole(
        "no-issuers",
        "the list of trusted issuers is empty",
        "list at least one under `issuers`, or delete the file to permit every issuer",
    ),
    inside(
        "not-a-mapping",
        "the document is text or a list, not a mapping",
        "write keys and values: `issuer: …`, `subject: …`, `permissions: …`",
    ),
    inside("not-utf8", "the file is not valid UTF-8", "save the file as UTF-8"),
    whole(
        "organization-wide",
        "an organization's policy covers every repository of the installation",
        "list the repositories that the job needs under `repositories`",
    ),
    inside(
        "pattern-glob",
        "a `*` after `/` or `:` in a pattern, which only repeats that character",
        "write `.*` for any text, `[^/]*` for any text without a `/`",
    ),
    inside(
        "pattern-line-feed",
        "a pattern has a line feed, so it matches only values that have one there",
        "write it in one line, or fold it with `>-`, which ends without a line feed",
    ),
    inside(
        "pattern-slash",
        "a pattern of a trusted issuer can match `/` at a place that varies, so it could reach past the host",
        "keep every `/` at a fixed place, and write a label of a host as `[a-z0-9-]+`",
    ),
    inside(
        "pattern-syntax",
        "a pattern is not a regular expression",
        "correct the pattern; escape with `\\` what is meant literally",
    ),
    inside(
        "pattern-too-expensive",
        "a pattern has more than 8192 states when its repetitions are written out, so matching it would take too long",
        "write a simpler pattern, or several policies",
    ),
    inside(
        "pattern-too-large",
        "a pattern repeats more than 1000 times, or nests too many groups",
        "write a simpler pattern, or several policies",
    ),
    inside(
        "pattern-too-long",
        "a pattern has more than 1024 characters, in a list of trusted issuers more than 256",
        "write a simpler pattern, or several",
    ),
    inside(
        "pattern-top-level-alternation",
        "a pattern has a `|` outside any group",
        "write `(a|b)` around exactly what varies",
    ),
    inside(
        "pattern-unescaped-dot",
        "a `.` between literals, which matches any character",
        "write `\\.` if you mean a dot",
    ),
    inside(
        "pattern-unsupported",
        "a pattern uses something that engines read differently, or that cannot run in linear time",
        "use only the constructs in the reference: classes, groups, alternatives, repetitions",
    ),
    inside(
        "permission-level",
        "a permission does not have that level",
        "use a level that GitHub offers for the permission",
    ),
    inside(
        "permission-not-here",
        "a repository's own policy grants a permission on the organization or enterprise",
        "move the policy to the organization's policy repository; if this is that repository, pass `--org`",
    ),
    inside(
        PERMISSION_NOT_INSTALLED,
        "the App's installation does not have a permission that the policy grants",
        "grant it to the App and accept it in the installation's settings, or remove it from the policy",
    ),
    inside(
        "permission-unknown",
        "the name is not in GitHub's published list of permissions, nor known to the Go service's library",
        "use a name from the list in docs/policies.md; names contain `_`, never `-`",
    ),
    inside(
        "permissions-empty",
        "`permissions` is empty, which GitHub reads as everything that the App has",
        "list what the job needs, for example `contents: read`",
    ),
    whole(
        "permissions-missing",
        "`permissions` is missing, which GitHub would read as everything that the App has",
        "add `permissions` with what the job needs, for example `contents: read`",
    ),
    inside(
        "pull-request-write",
        "a policy for GitHub Actions grants write access to pull request runs",
        "use a subject with a branch or an environment",
    ),
    inside(
        "repositories-empty",
        "`repositories` is an empty list, which the Go service reads as every repository",
        "list the repositories, or remove the key if you mean every one",
    ),
    inside(
        "repositories-not-here",
        "`repositories` in a repository's own policy",
        "remove it: this policy covers its own repository; if this is the policy repository, pass `--org`",
    ),
    inside("repository-duplicate", "a repository is listed twice", "remove one of the entries"),
    inside(
        "repository-name",
        "an entry of `repositories` is not the bare name of a repository",
        "write the name without owner, path or address",
    ),
    inside(
        "subject-conflict",
        "both `subject` and `subject_pattern` are given",
        "keep one of the two; prefer `subject`",
    ),
    whole(
        "subject-missing",
        "neither `subject` nor `subject_pattern` is given",
        "add `subject`, for GitHub Actions for example `subject: repo:acme/app:ref:refs/heads/main`",
    ),
    inside(
        "subject-pattern-open-end",
        "a subject pattern does not fix where the repository's name ends",
        "write `:` after the name: `repo:acme/app:`",
    ),
    inside(
        "subject-pattern-open-repository",
        "a subject pattern has a wildcard before the repository is fixed",
        "begin with the whole name: `repo:acme/app:`",
    ),
    inside(
        "subject-shape",
        "no token can have such a subject",
        "write exactly what the tokens have in the claim `sub`",
    ),
    inside(
        "too-many-claim-patterns",
        "`claim_pattern` has more than 32 entries",
        "keep the claims that decide; each additional one costs time in every exchange",
    ),
    inside(
        "too-many-issuer-patterns",
        "`issuer_patterns` has more than 16 entries",
        "put several into one pattern, or list issuers under `issuers`",
    ),
    inside(
        "too-many-issuers",
        "`issuers` has more than 64 entries",
        "put issuers that differ in one label into a pattern under `issuer_patterns`",
    ),
    inside(
        "too-many-repositories",
        "`repositories` has more than 500 entries, which is GitHub's limit for one token",
        "split the policy into several",
    ),
    inside("unknown-key", "the file has a key that is not known", "correct or remove the key"),
    inside(
        "workflow-ref-any",
        "a workflow is accepted from any branch or tag",
        "pin the ref: `@refs/heads/main`",
    ),
    inside(
        "write-on-policy-repository",
        "the policy lets its holder change the repository that holds the policy",
        "grant it on another repository, by an organization policy with `repositories`; or protect `.github/chainguard` with a ruleset or code owners",
    ),
    inside(
        "wrong-type",
        "a value is a list or mapping where text belongs, or the other way round",
        "write the value as the reference shows it",
    ),
    inside("yaml-alias", "a YAML alias (`*name`)", "repeat the value"),
    inside(
        "yaml-ambiguous-scalar",
        "unquoted text that YAML 1.1 parsers read as something else",
        "put the value in quotes",
    ),
    inside(
        "yaml-anchor",
        "a YAML anchor (`&name`)",
        "remove the anchor, and repeat the value where it is needed",
    ),
    inside(
        "yaml-character",
        "a character that YAML parsers disagree about",
        "remove the character; it may be invisible in the editor",
    ),
    inside("yaml-complex-key", "a key that is not text on one line with its `:`", "write `key: value`"),
    inside("yaml-directive", "a YAML directive (`%YAML`, `%TAG`)", "remove the line"),
    inside(
        "yaml-document-end",
        "something follows the end marker `...`, or on its line",
        "remove what follows it, or the marker",
    ),
    inside("yaml-duplicate-key", "a key is given twice", "remove one of them"),
    inside("yaml-merge-key", "a YAML merge key (`<<`)", "write the entries out"),
    inside("yaml-multiple-documents", "a second document after `---`", "give each policy a file of its own"),
    inside("yaml-nesting", "more than 20 levels of nesting", "a policy needs two levels"),
    inside("yaml-syntax", "the file is not YAML", "correct indentation, quotes and brackets at this place"),
    inside("yaml-tab", "a tab indents a line", "indent with spaces"),
    inside("yaml-tag", "a YAML tag (`!!str`)", "remove the tag, and quote the value if it must be text"),
    inside("yaml-too-many-keys", "a mapping with more than 256 keys", "split the file into several policies"),
    inside(
        "yaml-too-many-values",
        "a file with more than 2048 values, keys, lists and mappings, or 4096 commas",
        "split the file into several policies",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Every quoted text at the places where the loader reports a problem. A code fills its quotes and contains a dash,
    /// which no key of a file does.
    fn codes_in_the_sources() -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = BTreeSet::new();
        for file in [
            "accept.rs",
            "nobody.rs",
            "document.rs",
            "document/faults.rs",
            "dialect.rs",
            "fields.rs",
            "load.rs",
            "lint.rs",
            "trusted_issuers.rs",
            "pattern/error.rs",
        ] {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let is_code = |text: &&str| {
                text.contains('-')
                    && !text.starts_with('-')
                    && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            };
            found.extend(code.split('"').filter(is_code).map(str::to_owned));
        }
        found
    }

    #[test]
    fn the_list_has_exactly_the_codes_that_are_told() {
        assert!(CODES.windows(2).all(|pair| pair[0].name < pair[1].name), "sorted");
        let mut told = codes_in_the_sources();
        told.extend(
            [FILE_IS_LINK, FILE_MISNAMED, IDENTITY_NAME, PERMISSION_NOT_INSTALLED].map(str::to_owned),
        );
        let listed: BTreeSet<String> = CODES.iter().map(|code| code.name.to_owned()).collect();
        assert_eq!(told, listed);
    }

    #[test]
    fn the_check_run_tells_no_other_codes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src/webhook");
        let mut told = BTreeSet::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for start in ["code: \"", "const NOT_INSTALLED: &str = \""] {
                told.extend(
                    code.split(start).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())),
                );
            }
        }
        assert!(told.len() >= 3, "{told:?}");
        for code in told {
            assert!(diagnostic_code(&code).is_some(), "{code}");
        }
    }

    #[test]
    fn texts_are_one_line_without_a_period() {
        for code in CODES {
            for text in [code.meaning, code.fix] {
                assert!(!text.is_empty() && !text.contains('\n') && !text.ends_with('.'), "{text}");
                assert!(
                    !text.starts_with(|c: char| c.is_uppercase() && !text.starts_with("GitHub")),
                    "{text}"
                );
            }
        }
    }
}
