//! Which files are checked, what each of them is, and which rules apply to it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use octo_sts_policy::{
    Accepted, Diagnostic, FILE_IS_LINK, FILE_MISNAMED, FileName, IDENTITY_NAME, POLICY_FOLDER, PolicyHome,
    Severity, TRUSTED_ISSUERS_FILE, check as check_policy, trusted_issuers,
};

use super::arguments::Home;
use super::escape;
use super::outcome::Failure;
use super::{report, wrangler};

/// Enough for the loader to say that a file is too large, without reading a disk image to the end.
const MAX_READ: u64 = 1024 * 1024;

/// What a file is checked as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Policy(PolicyHome),
    TrustedIssuers,
    /// The Worker's settings, of which the proxy's upstreams are checked.
    Wrangler,
    /// Nothing reads it.
    NotRead,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Policy(PolicyHome::Repository) => "trust-policy",
            Self::Policy(PolicyHome::OrganizationPolicyRepository) => "organization-trust-policy",
            Self::TrustedIssuers => "trusted-token-issuers",
            Self::Wrangler => "wrangler",
            Self::NotRead => "not-read",
        }
    }
}

/// A file and the findings about it.
#[derive(Debug)]
pub(crate) struct Checked {
    /// As the caller named it.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    pub(crate) source: Vec<u8>,
    /// In the order of the file.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Warnings that the author has accepted.
    pub(crate) accepted: Vec<Accepted>,
}

/// Reads and checks everything in the paths.
pub(crate) fn check_all(paths: &[PathBuf], home: &Home) -> Result<Vec<Checked>, Failure> {
    let mut checked = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let kind = Kind::Policy(home_of(home, None));
            let source = read_stream(&mut std::io::stdin().lock(), path)?;
            checked.push(check("<stdin>".to_owned(), kind, not_a_token(path, source)?));
        } else if path.is_dir() {
            checked.extend(check_folder(path, home)?);
        } else {
            checked.push(check_file(path, home)?);
        }
    }
    Ok(checked)
}

/// Like [`read`], for a policy: it does not follow a link out of the policy folder, and does not process a token given
/// instead of a policy.
pub(crate) fn read_policy(path: &Path) -> Result<Vec<u8>, Failure> {
    if leads_out(path) {
        let message =
            format!("`{}` is a link that leads out of the policy folder", report::shown(&shown(path)));
        return Err(Failure::Usage(message));
    }
    not_a_token(path, read(path)?)
}

fn not_a_token(path: &Path, source: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if escape::is_token(&String::from_utf8_lossy(&source)) {
        let message = format!(
            "`{}` holds a token, not a policy; `sts explain` takes a token with `--token`",
            report::shown(&shown(path))
        );
        return Err(Failure::Usage(message));
    }
    Ok(source)
}

/// Whether a file in a policy folder is really elsewhere. The service reads what the repository has at the path, and
/// nothing that a link points to outside the folder.
fn leads_out(path: &Path) -> bool {
    let is_link = |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    let Some(folder) = std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_owned))
    else {
        return false;
    };
    if !folder.ends_with(POLICY_FOLDER) {
        return false;
    }
    let folder_is_link = folder.ancestors().take(2).any(is_link);
    let inside = || Some(path.canonicalize().ok()?.parent()? == folder.canonicalize().ok()?);
    folder_is_link || (is_link(path) && inside() != Some(true))
}

/// Reads a file of at most [`MAX_READ`] bytes; `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    if path.as_os_str() == "-" {
        return read_stream(&mut std::io::stdin().lock(), path);
    }
    let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
    read_stream(&mut file, path)
}

fn read_stream(stream: &mut impl Read, path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    stream.take(MAX_READ).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("cannot read `{}`: {error}", report::shown(&shown(path))))
}

/// The home of a policy given by its path.
pub(crate) fn home_of(home: &Home, file: Option<&Path>) -> PolicyHome {
    let is_in_policy_repository = file.is_some_and(|file| {
        repository_of(file).is_some_and(|name| name.eq_ignore_ascii_case(&home.policy_repository))
    });
    if home.org || is_in_policy_repository {
        PolicyHome::OrganizationPolicyRepository
    } else {
        PolicyHome::Repository
    }
}

/// The name of the folder that holds `.github/chainguard/{file}`.
fn repository_of(file: &Path) -> Option<String> {
    let file = std::path::absolute(file).ok()?;
    let folder = file.parent()?;
    let root = folder.ends_with(POLICY_FOLDER).then(|| folder.parent()?.parent())??;
    // A root such as `.` has a name only after resolving links and dots.
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    Some(root.file_name()?.to_string_lossy().into_owned())
}

fn check_folder(path: &Path, home: &Home) -> Result<Vec<Checked>, Failure> {
    let inside = path.join(POLICY_FOLDER);
    let is_policy_folder = path.canonicalize().is_ok_and(|path| path.ends_with(POLICY_FOLDER));
    let folder = if inside.is_dir() {
        // `./` before every path adds nothing.
        if path.as_os_str() == "." { PathBuf::from(POLICY_FOLDER) } else { inside }
    } else if is_policy_folder {
        path.to_owned()
    } else {
        let message = format!(
            "there is no `{POLICY_FOLDER}` in `{}`; name a repository that has policies, or a file",
            report::shown(&shown(path))
        );
        return Err(Failure::Usage(message));
    };
    let mut checked = Vec::new();
    for entry in sorted_entries(&folder)? {
        if leads_out(&entry) {
            checked.extend((name_of(&entry) != FileName::Other).then(|| link(&entry)));
        } else if entry.is_dir() {
            checked.extend(misplaced(&entry)?);
        } else if name_of(&entry) != FileName::Other {
            checked.push(check_file(&entry, home)?);
        }
    }
    if checked.is_empty() {
        return Err(Failure::Usage(format!("there is no policy in `{}`", report::shown(&shown(&folder)))));
    }
    Ok(checked)
}

fn link(path: &Path) -> Checked {
    let message = "the file is a link that leads out of the policy folder, and is not read".to_owned();
    let problem = about_the_file(FILE_IS_LINK, Severity::Error, message, None);
    Checked {
        path: shown(path),
        kind: Kind::NotRead,
        source: Vec::new(),
        diagnostics: vec![problem],
        accepted: Vec::new(),
    }
}

fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>());
    let mut entries = entries.map_err(|error| unreadable(folder, &error))?;
    entries.sort();
    Ok(entries)
}

/// Policies in a subfolder of the policy folder, one level deep.
fn misplaced(folder: &Path) -> Result<Vec<Checked>, Failure> {
    let is_policy = |path: &PathBuf| {
        matches!(name_of(path), FileName::Policy(_) | FileName::TrustedIssuers) && path.is_file()
    };
    Ok(sorted_entries(folder)?
        .into_iter()
        .filter(is_policy)
        .map(|path| {
            let message = format!("the file is not read: policies lie directly in `{POLICY_FOLDER}`");
            let suggestion = Some("move it one folder up".to_owned());
            let problem = about_the_file(FILE_MISNAMED, Severity::Warning, message, suggestion);
            Checked {
                path: shown(&path),
                kind: Kind::NotRead,
                source: Vec::new(),
                diagnostics: vec![problem],
                accepted: Vec::new(),
            }
        })
        .collect())
}

fn name_of(path: &Path) -> FileName {
    path.file_name().map_or(FileName::Other, |name| FileName::of(&name.to_string_lossy()))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn check_file(path: &Path, home: &Home) -> Result<Checked, Failure> {
    if leads_out(path) {
        return Ok(link(path));
    }
    if path.file_name().is_some_and(|name| name == wrangler::FILE) {
        return Ok(check(shown(path), Kind::Wrangler, read(path)?));
    }
    let in_policy_folder =
        path.canonicalize().is_ok_and(|path| path.parent().is_some_and(|f| f.ends_with(POLICY_FOLDER)));
    let policy_home = home_of(home, Some(path));
    let kind = match name_of(path) {
        FileName::TrustedIssuers => Kind::TrustedIssuers,
        FileName::Misnamed(misnamed) if in_policy_folder => {
            let suggestion = misnamed.better.as_ref().map(|name| format!("rename it to `{name}`"));
            let problem = about_the_file(FILE_MISNAMED, Severity::Warning, misnamed.to_string(), suggestion);
            return Ok(Checked {
                path: shown(path),
                kind: Kind::NotRead,
                source: Vec::new(),
                diagnostics: vec![problem],
                accepted: Vec::new(),
            });
        }
        // A file elsewhere may have any name.
        FileName::Policy(_) | FileName::NoIdentity(_) | FileName::Misnamed(_) | FileName::Other => {
            Kind::Policy(policy_home)
        }
    };
    let mut checked = check(shown(path), kind, read_policy(path)?);
    let about_the_name = match name_of(path) {
        FileName::NoIdentity(error) if in_policy_folder => {
            let message = format!("no exchange can ask for this policy: {error}");
            Some(about_the_file(IDENTITY_NAME, Severity::Error, message, None))
        }
        FileName::TrustedIssuers if policy_home == PolicyHome::Repository => {
            let message = format!(
                "`{TRUSTED_ISSUERS_FILE}` counts only in the organization's policy repository (`{}`)",
                home.policy_repository
            );
            let suggestion = "move it there; if this is that repository, pass `--org`".to_owned();
            Some(about_the_file(FILE_MISNAMED, Severity::Warning, message, Some(suggestion)))
        }
        FileName::Policy(_)
        | FileName::NoIdentity(_)
        | FileName::TrustedIssuers
        | FileName::Misnamed(_)
        | FileName::Other => None,
    };
    checked.diagnostics.splice(0..0, about_the_name);
    Ok(checked)
}

fn check(path: String, kind: Kind, source: Vec<u8>) -> Checked {
    let (diagnostics, accepted) = match kind {
        Kind::Policy(home) => {
            let report = check_policy(&source, home);
            (report.diagnostics, report.accepted)
        }
        Kind::TrustedIssuers => {
            let report = trusted_issuers::load(&source);
            (report.diagnostics, report.accepted)
        }
        Kind::Wrangler => (wrangler::check(&source), Vec::new()),
        Kind::NotRead => (Vec::new(), Vec::new()),
    };
    Checked { path, kind, source, diagnostics, accepted }
}

fn about_the_file(
    code: &'static str,
    severity: Severity,
    message: String,
    suggestion: Option<String>,
) -> Diagnostic {
    Diagnostic { code, severity, message, line: 1, column: 1, suggestion }
}
