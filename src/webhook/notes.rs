//! Notes about a file in addition to those from loading it: about its name, and about permissions that the installation
//! lacks.

use std::collections::BTreeMap;

use crate::names::NameError;
use crate::policy::{Diagnostic, Level, Severity};
use crate::sts::TRUSTED_ISSUERS_PATH;
use crate::webhook::commit::Verdict;

/// The code of the note that [`not_installed`] makes.
pub(super) const NOT_INSTALLED: &str = "permission-not-installed";

/// Our own token proves that the installation has these.
pub(super) fn is_proven(name: &str, level: Level) -> bool {
    match name {
        "metadata" | "contents" => level == Level::Read,
        "checks" => level <= Level::Write,
        _ => false,
    }
}

pub(super) fn has(granted: &BTreeMap<String, String>, name: &str, level: Level) -> bool {
    is_proven(name, level)
        || granted.get(name).and_then(|has| has.parse::<Level>().ok()).is_some_and(|has| has >= level)
}

pub(super) fn not_installed(name: &str, level: Level, (line, column): (u32, u32)) -> Diagnostic {
    Diagnostic {
        code: NOT_INSTALLED,
        severity: Severity::Warning,
        message: format!(
            "the installation does not have `{name}: {level}`: github will refuse every exchange"
        ),
        line,
        column,
        suggestion: Some("grant it to the app, or accept it in the installation's settings".to_owned()),
    }
}

pub(super) fn illegal_name() -> Diagnostic {
    Diagnostic {
        code: "identity-name",
        severity: Severity::Error,
        message: format!("no caller can name this policy: {}", NameError::Identity),
        line: 1,
        column: 1,
        suggestion: Some("rename the file".to_owned()),
    }
}

pub(super) fn misnamed(path: &str) -> Diagnostic {
    let (message, suggestion) = if path == TRUSTED_ISSUERS_PATH {
        let message = "the list of trusted issuers counts only in the organization's policy repository";
        (message, "move the file there")
    } else {
        ("nothing reads a file of this name", "a policy's name ends in `.sts.yaml`")
    };
    Diagnostic {
        code: "file-misnamed",
        severity: Severity::Warning,
        message: message.to_owned(),
        line: 1,
        column: 1,
        suggestion: Some(suggestion.to_owned()),
    }
}

/// Where each permission of a valid policy is: the first place of its name as a key outside comments. It only decides
/// where a note is shown.
pub(super) fn places(verdict: &Verdict, content: &[u8]) -> BTreeMap<String, (u32, u32)> {
    let (Verdict::Policy(policy), Ok(text)) = (verdict, std::str::from_utf8(content)) else {
        return BTreeMap::new();
    };
    let place = |name: &str| {
        (1..).zip(text.lines()).find_map(|(line, text)| {
            let code = text.split(" #").next().filter(|code| !code.trim_start().starts_with('#'))?;
            let (before, _) = code.match_indices(name).find_map(|(at, name)| {
                let (before, rest) = code.split_at_checked(at)?;
                let is_key = rest.get(name.len()..)?.trim_start_matches(['\'', '"']).starts_with(':');
                let is_whole = !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
                (is_key && is_whole).then_some((before, rest))
            })?;
            Some((line, u32::try_from(before.chars().count()).ok()?.saturating_add(1)))
        })
    };
    let mut places = BTreeMap::new();
    places.extend(policy.permissions().iter().filter_map(|(name, _)| Some((name.to_owned(), place(name)?))));
    places
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::policy::{self, PolicyHome};

    #[test]
    fn a_permission_stands_where_its_key_is() {
        let content = b"# issues: no\nissuer: https://a.example.com\nsubject: 'issues: x' # issues: x\npermissions: {contents: read, \"issues\": write,\n  statuses: write}\n";
        let report = policy::load(content, PolicyHome::Repository);
        let verdict = Verdict::Policy(Rc::new(report.value.unwrap()));
        let places = places(&verdict, content);
        assert_eq!(places.get("contents"), Some(&(4, 15)));
        assert_eq!(places.get("statuses"), Some(&(5, 3)));
        // Good enough for a test: the first text that looks like the key.
        assert_eq!(places.get("issues"), Some(&(3, 11)));
    }

    #[test]
    fn a_lower_level_is_part_of_a_higher_one() {
        let granted = BTreeMap::from([
            ("issues".to_owned(), "write".to_owned()),
            ("pages".to_owned(), "novel".to_owned()),
        ]);
        assert!(has(&granted, "issues", Level::Read) && has(&granted, "issues", Level::Write));
        assert!(!has(&granted, "issues", Level::Admin) && !has(&granted, "pages", Level::Read));
        assert!(has(&granted, "contents", Level::Read) && !has(&granted, "contents", Level::Write));
        assert!(has(&granted, "metadata", Level::Read) && has(&granted, "checks", Level::Write));
    }
}
