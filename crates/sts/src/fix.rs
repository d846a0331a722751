//! `sts validate --fix`: repairs what can have only one meaning, and shows what it did. No repair makes a policy grant
//! more: a name gets its `_`, a scalar its quotes, a file its extension.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use octo_sts_policy::{Diagnostic, FILE_MISNAMED, FileName, PolicyHome, Severity, known_permission, load};

use super::arguments::Home;
use super::files::{self, Checked, Kind};
use super::outcome::Failure;
use super::report;

/// What was repaired.
#[derive(Debug, Default)]
pub(crate) struct Repair {
    /// The paths to check now: a renamed file has a new one.
    pub(crate) paths: Vec<PathBuf>,
    /// What changed, line by line.
    pub(crate) diff: String,
}

pub(crate) fn run(paths: &[PathBuf], home: &Home) -> Result<Repair, Failure> {
    if paths.iter().any(|path| path.as_os_str() == "-") {
        return Err(Failure::Usage("`--fix` writes files; standard input is not a file".to_owned()));
    }
    let mut repair = Repair { paths: paths.to_vec(), diff: String::new() };
    for file in files::check_all(paths, home)? {
        let path = PathBuf::from(&file.path);
        // A name that is not text is shown with other characters; and nothing is written through a link.
        if !std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
            continue;
        }
        let misnamed = file.diagnostics.iter().any(|diagnostic| diagnostic.code == FILE_MISNAMED);
        match file.kind {
            Kind::Policy(policy_home) => {
                repair_content(&path, &file.source, policy_home, &mut repair)?;
            }
            Kind::NotRead if misnamed => {
                let Some(better) = better_name(&path) else { continue };
                let policy_home = files::home_of(home, Some(&path));
                let source = files::read_policy(&path)?;
                let source = repair_content(&path, &source, policy_home, &mut repair)?;
                // A file that is not a policy yet stays where nothing reads it.
                if load(&source, policy_home).value.is_some() {
                    rename(&path, &better, &mut repair)?;
                }
            }
            Kind::NotRead | Kind::TrustedIssuers | Kind::Wrangler => {}
        }
    }
    Ok(repair)
}

/// The name of a policy that lacks its `.sts`.
fn better_name(path: &Path) -> Option<PathBuf> {
    match FileName::of(path.file_name()?.to_str()?) {
        FileName::Misnamed(misnamed) => {
            let better = misnamed.better.filter(|name| matches!(FileName::of(name), FileName::Policy(_)))?;
            Some(path.with_file_name(better))
        }
        FileName::Policy(_) | FileName::TrustedIssuers | FileName::NoIdentity(_) | FileName::Other => None,
    }
}

fn rename(path: &Path, better: &Path, repair: &mut Repair) -> Result<(), Failure> {
    let (from, to) = (shown(path), shown(better));
    // Not even a broken link is overwritten.
    if std::fs::symlink_metadata(better).is_ok() {
        repair.diff.push_str(&format!("kept {from}: {to} exists\n"));
        return Ok(());
    }
    std::fs::rename(path, better)
        .map_err(|error| Failure::Usage(format!("cannot rename `{from}` to `{to}`: {error}")))?;
    repair.diff.push_str(&format!("renamed {from} to {to}\n"));
    for named in repair.paths.iter_mut().filter(|named| named.as_path() == path) {
        better.clone_into(named);
    }
    Ok(())
}

/// Repairs a file in place, and returns its new text.
fn repair_content(
    path: &Path,
    source: &[u8],
    home: PolicyHome,
    repair: &mut Repair,
) -> Result<Vec<u8>, Failure> {
    let Some(repaired) = repaired(source, home) else { return Ok(source.to_vec()) };
    write(path, repaired.as_bytes())
        .map_err(|error| Failure::Usage(format!("cannot write `{}`: {error}", shown(path))))?;
    let name = shown(path);
    repair.diff.push_str(&format!("--- {name}\n+++ {name}\n"));
    let before = String::from_utf8_lossy(source);
    for ((old, new), number) in before.split('\n').zip(repaired.split('\n')).zip(1u32..) {
        if old != new {
            let (old, new) = (report::shown(old.trim_end()), report::shown(new.trim_end()));
            repair.diff.push_str(&format!("@@ -{number} +{number} @@\n-{old}\n+{new}\n"));
        }
    }
    Ok(repaired.into_bytes())
}

/// Written next to the file first, so that nobody sees half of it.
fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("sts-fix");
    let permissions = std::fs::metadata(path)?.permissions();
    let mut file = OpenOptions::new().write(true).create_new(true).open(&beside)?;
    let written = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::set_permissions(&beside, permissions))
        .and_then(|()| std::fs::rename(&beside, path));
    match written {
        Ok(()) => Ok(()),
        Err(error) => {
            std::fs::remove_file(&beside)?;
            Err(error)
        }
    }
}

/// The repaired policy; `None` if there is nothing to repair, or if something else would then be wrong.
fn repaired(source: &[u8], home: PolicyHome) -> Option<String> {
    let text = std::str::from_utf8(source).ok()?;
    let before = load(source, home);
    let mut lines: Vec<Vec<char>> = text.split('\n').map(|line| line.chars().collect()).collect();
    let file = Checked {
        path: String::new(),
        kind: Kind::Policy(home),
        source: source.to_vec(),
        diagnostics: Vec::new(),
        accepted: Vec::new(),
    };
    // From the end, so that positions stay valid.
    let mut repairs = 0usize;
    for diagnostic in before.diagnostics.iter().rev() {
        let end = report::end_column(&file, diagnostic);
        let Some((from, written)) = replacement(&lines, diagnostic, end) else { continue };
        let line = usize::try_from(diagnostic.line.checked_sub(1)?).ok()?;
        let to = from + usize::try_from(end.checked_sub(diagnostic.column)?).ok()?;
        lines.get_mut(line)?.splice(from..to, written.chars());
        repairs += 1;
    }
    let lines: Vec<String> = lines.into_iter().map(String::from_iter).collect();
    let repaired = lines.join("\n");
    let after = load(repaired.as_bytes(), home);
    let errors = |diagnostics: &[Diagnostic]| {
        diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    };
    // The repair may reveal hidden problems, but each repair must fix its own.
    let is_known =
        |diagnostic: &Diagnostic| before.diagnostics.iter().any(|known| known.code == diagnostic.code);
    let is_one =
        after.errors().all(is_known) && errors(&after.diagnostics) + repairs <= errors(&before.diagnostics);
    (repairs > 0 && is_one).then_some(repaired)
}

/// Where on its line a problem begins, and the replacement.
fn replacement(lines: &[Vec<char>], diagnostic: &Diagnostic, end: u32) -> Option<(usize, String)> {
    let line = lines.get(usize::try_from(diagnostic.line.checked_sub(1)?).ok()?)?;
    // Columns do not count a byte order mark.
    let mark = usize::from(diagnostic.line == 1 && line.first() == Some(&'\u{feff}'));
    let from = usize::try_from(diagnostic.column.checked_sub(1)?).ok()? + mark;
    let to = usize::try_from(end.checked_sub(1)?).ok()? + mark;
    let written: String = line.get(from..to)?.iter().collect();
    let better = match diagnostic.code {
        "permission-unknown" => {
            let better = written.replace('-', "_").to_ascii_lowercase();
            known_permission(better.trim_matches(['\'', '"']))?;
            better
        }
        "yaml-ambiguous-scalar" => {
            let is_null = matches!(written.as_str(), "" | "~" | "null" | "Null" | "NULL");
            let is_plain = !written.contains(['\'', '"', '[', ']', '{', '}', ',', '#', ':', ' ']);
            (is_plain && !is_null).then(|| format!("'{written}'"))?
        }
        _ => return None,
    };
    (better != written).then_some((from, better))
}

fn shown(path: &Path) -> String {
    report::shown(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "issuer: https://token.actions.githubusercontent.com\nsubject: s\n";

    fn fixed(rest: &str) -> Option<String> {
        let source = format!("{HEAD}{rest}");
        let repaired = repaired(source.as_bytes(), PolicyHome::Repository)?;
        Some(repaired.strip_prefix(HEAD).unwrap().to_owned())
    }

    #[test]
    fn what_has_one_meaning_is_repaired() {
        for (rest, expected) in [
            ("permissions:\n  pull-requests: read\n", "permissions:\n  pull_requests: read\n"),
            (
                "permissions:\n  'pull-requests': read # x\r\n",
                "permissions:\n  'pull_requests': read # x\r\n",
            ),
            (
                "permissions: {Contents: read, pull-requests: write}\n",
                "permissions: {contents: read, pull_requests: write}\n",
            ),
            (
                "claim_pattern: {run: 1.10, zone: on, é: 0x10}\npermissions: {contents: read}\n",
                "claim_pattern: {run: '1.10', zone: 'on', é: '0x10'}\npermissions: {contents: read}\n",
            ),
            (
                "claim_pattern:\n  ref_protected: yes   # c\npermissions:\n  pull-requests: read\nrepositories: []\n",
                "claim_pattern:\n  ref_protected: 'yes'   # c\npermissions:\n  pull_requests: read\nrepositories: []\n",
            ),
        ] {
            assert_eq!(fixed(rest).as_deref(), Some(expected), "{rest}");
        }
        let marked = "\u{feff}issuer: on\nsubject: s\npermissions: {contents: read}\n";
        let repaired = repaired(marked.as_bytes(), PolicyHome::Repository).unwrap();
        assert!(repaired.starts_with("\u{feff}issuer: 'on'\n"), "{repaired}");
    }

    #[test]
    fn what_could_mean_something_else_stays() {
        for rest in [
            "permissions: {contents: read}\n",
            "permissions: {content: read}\n",
            "permissions: {contents: ~}\n",
            "permissions: {contents: }\n",
            "permissions: {contents: 'read, write'}\n",
            "permissions: {contents: read}\nclaim_patterns: {ref: x}\n",
            "permissions: {}\n",
            // The repaired name already exists.
            "permissions: {pull-requests: write, pull_requests: read}\n",
            // The problem hidden behind it would surface.
            "permissions: {Workflows: read}\n",
            "permissions: {contents: no}\n",
        ] {
            assert_eq!(fixed(rest), None, "{rest}");
        }
    }
}
