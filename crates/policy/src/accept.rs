//! Warnings that the author has accepted: `# sts: accept CODE because REASON`, at the end of the line or in comment
//! lines above it. Linear in the file, and in the warnings times the logarithm of the comments.

use super::diagnostic::{Diagnostic, Place, Problems, Severity, nearest, quoted};
use super::document::Source;

/// What can be accepted: every warning about a file alone. Not derived from the list of codes, whose texts would then
/// be part of the Worker.
const WARNINGS: [&str; 17] = [
    "audience-shape",
    "email-unverified",
    "event-name-unrestricted",
    "exact-looks-like-pattern",
    "issuer-shape",
    "names-can-be-registered-anew",
    "organization-wide",
    "pattern-glob",
    "pattern-line-feed",
    "pattern-top-level-alternation",
    "pattern-unescaped-dot",
    "pull-request-write",
    "subject-pattern-open-end",
    "subject-pattern-open-repository",
    "subject-shape",
    "workflow-ref-any",
    "write-on-policy-repository",
];

/// Further comments are ignored, because each is compared with every code.
const MAX_COMMENTS: usize = 64;

/// The length of a reason that is kept.
const MAX_REASON: usize = 300;

/// One comment.
struct Acceptance {
    code: String,
    reason: String,
    place: Place,
    /// The line whose warnings are accepted.
    line: u32,
    used: bool,
}

/// Removes the accepted warnings, and warns about comments that accept nothing. The latter only if the file has no
/// errors: with errors, some warnings are not checked.
pub(super) fn settle(source: &Source, problems: &mut Problems) {
    let (mut acceptances, malformed) = comments(source);
    problems.accept(|diagnostic| {
        if diagnostic.severity == Severity::Error {
            return None;
        }
        let from = acceptances.partition_point(|acceptance| acceptance.line < diagnostic.line);
        let here = acceptances.iter_mut().skip(from).take_while(|one| one.line == diagnostic.line);
        let accepted = here.into_iter().find(|one| one.code == diagnostic.code)?;
        accepted.used = true;
        Some((accepted.reason.clone(), accepted.place.line))
    });
    for (place, what) in malformed {
        let form = "write `# sts: accept CODE because REASON`, with the code of one warning".to_owned();
        problems.warning("acceptance-malformed", place, what, Some(form));
    }
    if problems.has_errors() {
        return;
    }
    for acceptance in acceptances.into_iter().filter(|acceptance| !acceptance.used) {
        let message =
            format!("the comment accepts {}, but this line has no such warning", quoted(&acceptance.code));
        let suggestion = match nearest(&acceptance.code, WARNINGS) {
            Some(known) if known != acceptance.code => format!("did you mean `{known}`?"),
            Some(_) | None => "remove it, or move it to the line of the warning".to_owned(),
        };
        problems.warning("acceptance-unused", acceptance.place, message, Some(suggestion));
    }
}

/// A comment of the file.
struct Comment {
    place: Place,
    /// From `#` on.
    text: String,
    /// There is something before it on its line.
    has_text: bool,
}

/// The comments of a file. A `#` inside a scalar does not start one. Linear.
fn all(source: &Source) -> Vec<Comment> {
    let mut scalars = source.scalars().iter().peekable();
    let mut found: Vec<Comment> = Vec::new();
    let (mut place, mut before, mut has_text, mut in_comment) = (Place::START, ' ', false, false);
    for character in source.characters() {
        if character == '\n' {
            place = Place { line: place.line.saturating_add(1), column: 1 };
            (before, has_text, in_comment) = (' ', false, false);
            continue;
        }
        if in_comment {
            if let Some(comment) = found.last_mut() {
                comment.text.push(character);
            }
        } else {
            while scalars.next_if(|(_, end)| *end <= place).is_some() {}
            let is_inside = scalars.peek().is_some_and(|(start, _)| *start <= place);
            if character == '#' && matches!(before, ' ' | '\t') && !is_inside {
                in_comment = true;
                found.push(Comment { place, text: String::from('#'), has_text });
            }
            has_text |= !matches!(character, ' ' | '\t');
            before = character;
        }
        place = place.right(1);
    }
    found
}

/// The comments that accept something, by line, and the problems of the others.
fn comments(source: &Source) -> (Vec<Acceptance>, Vec<(Place, String)>) {
    let (mut found, mut malformed) = (Vec::new(), Vec::new());
    // Those on separate lines, which are about the next line that is not a comment.
    let mut above: Vec<Acceptance> = Vec::new();
    for Comment { place, text, has_text } in all(source) {
        if above.last().is_some_and(|one| one.line < place.line) {
            found.append(&mut above);
        }
        let said = accept(&text);
        if !has_text {
            for one in above.iter_mut().filter(|one| one.line == place.line) {
                one.line = place.line.saturating_add(1);
            }
        }
        let Some(said) = said else { continue };
        if found.len() + above.len() + malformed.len() >= MAX_COMMENTS {
            malformed.push((
                place,
                format!("more than {MAX_COMMENTS} comments accept warnings; the rest are ignored"),
            ));
            break;
        }
        match said {
            Ok((code, reason)) => {
                let reason = reason.chars().take(MAX_REASON).collect();
                let line = if has_text { place.line } else { place.line.saturating_add(1) };
                let one = Acceptance { code: code.to_owned(), reason, place, line, used: false };
                if has_text {
                    found.append(&mut above);
                    found.push(one);
                } else {
                    above.push(one);
                }
            }
            Err(what) => malformed.push((place, what)),
        }
    }
    found.append(&mut above);
    (found, malformed)
}

/// Code and reason, or the problem; `None` for any other comment.
fn accept(comment: &str) -> Option<Result<(&str, &str), String>> {
    let rest = comment.trim_start_matches('#').trim_start().strip_prefix("sts:")?.trim_start();
    let rest = rest.strip_prefix("accept").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))?;
    let (code, rest) = rest.trim().split_once([' ', '\t']).unwrap_or((rest.trim(), ""));
    if code.is_empty() || code == "because" {
        return Some(Err("a comment that accepts a warning names no code".to_owned()));
    }
    let reason = rest.trim().strip_prefix("because").filter(|reason| reason.starts_with([' ', '\t']));
    Some(match reason.map(str::trim) {
        Some(reason) if !reason.is_empty() => Ok((code, reason)),
        Some(_) | None => Err(format!("the comment that accepts {} gives no reason", quoted(code))),
    })
}

/// A warning that the author has accepted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Accepted {
    /// The warning, as it would have been reported.
    pub diagnostic: Diagnostic,
    /// Why, in the author's words; at most 300 characters.
    pub reason: String,
    /// The line of the comment.
    pub comment_line: u32,
}

#[cfg(test)]
mod tests {
    use super::super::{PolicyHome, Report, check};

    const POLICY: &str = "issuer: https://token.actions.githubusercontent.com\n\
                          subject: repo:acme@1/app@2:ref:refs/tags/v1\n";

    fn report(rest: &str) -> Report<super::super::CompiledPolicy> {
        let report = check(format!("{POLICY}{rest}").as_bytes(), PolicyHome::Repository);
        assert!(report.value.is_some(), "{rest}{:?}", report.diagnostics);
        report
    }

    /// Codes still reported, and codes accepted with their reasons.
    fn told(rest: &str) -> (Vec<&'static str>, Vec<(&'static str, String)>) {
        let report = report(rest);
        (
            report.diagnostics.iter().map(|diagnostic| diagnostic.code).collect(),
            report.accepted.into_iter().map(|one| (one.diagnostic.code, one.reason)).collect(),
        )
    }

    #[test]
    fn a_warning_is_accepted_on_its_line_or_above_it() {
        const CODE: &str = "write-on-policy-repository";
        let accepted = (vec![], vec![(CODE, "it is the bot".to_owned())]);
        for rest in [
            "permissions:\n  contents: write # sts: accept write-on-policy-repository because it is the bot\n",
            "permissions:\n  # sts: accept write-on-policy-repository because it is the bot\n  contents: write\n",
            "permissions:\n# sts:  accept\twrite-on-policy-repository  because  it is the bot  \n  contents: write\n",
            "permissions:\n  ## sts: accept write-on-policy-repository because it is the bot\r\n  # more\n  contents: write\n",
            "# sts: accept write-on-policy-repository because it is the bot\npermissions: {contents: write}\n",
        ] {
            assert_eq!(told(rest), accepted, "{rest}");
        }
        let one =
            report("permissions:\n  # sts: accept write-on-policy-repository because x\n  contents: write\n");
        let one = one.accepted.first().unwrap();
        assert_eq!((one.comment_line, one.diagnostic.line), (4, 5));
    }

    #[test]
    fn several_comments_stand_above_one_line() {
        let rest = "claim_pattern:\n  # sts: accept pattern-unescaped-dot because a\n  # sts: accept pattern-top-level-alternation because b\n  ref: a.b|c\n\
                    permissions: {contents: read}\n";
        let (codes, accepted) = told(rest);
        assert_eq!(codes, Vec::<&str>::new());
        assert_eq!(accepted.len(), 2);
    }

    #[test]
    fn a_comment_that_accepts_nothing_is_warned_of() {
        for (rest, codes) in [
            // Behind another line, above another line, another code.
            (
                "permissions: # sts: accept write-on-policy-repository because x\n  contents: write\n",
                &["acceptance-unused", "write-on-policy-repository"][..],
            ),
            (
                "permissions:\n  # sts: accept write-on-policy-repository because x\n\n  contents: write\n",
                &["acceptance-unused", "write-on-policy-repository"],
            ),
            (
                "permissions:\n  contents: write # sts: accept organization-wide because x\n",
                &["write-on-policy-repository", "acceptance-unused"],
            ),
            (
                "permissions: {contents: read} # sts: accept organization-wide because x\n",
                &["acceptance-unused"],
            ),
            (
                "permissions: {contents: read}\n# sts: accept organization-wide because x\n",
                &["acceptance-unused"],
            ),
            // One line's comment is not the next one's.
            (
                "permissions:\n  contents: write # sts: accept write-on-policy-repository because x\n  workflows: write\n",
                &["write-on-policy-repository"],
            ),
            // No reason, no code.
            (
                "permissions:\n  contents: write # sts: accept write-on-policy-repository\n",
                &["write-on-policy-repository", "acceptance-malformed"],
            ),
            (
                "permissions:\n  contents: write # sts: accept write-on-policy-repository because \n",
                &["write-on-policy-repository", "acceptance-malformed"],
            ),
            ("permissions: {contents: read} # sts: accept because x\n", &["acceptance-malformed"]),
            // An error is never accepted, and neither is this warning.
            (
                "permissions: {contents: read} # sts: accept acceptance-unused because x\n",
                &["acceptance-unused"],
            ),
            // Other comments.
            ("permissions: {contents: read} # sts: acceptable because x\n# sts.example.com\n", &[]),
        ] {
            let (told, accepted) = told(rest);
            assert_eq!(told, codes, "{rest}");
            assert!(accepted.is_empty() || codes == ["write-on-policy-repository"], "{rest}");
        }
        let near = report("permissions: {contents: read} # sts: accept organisation-wide because x\n");
        let suggestion = near.diagnostics.first().and_then(|one| one.suggestion.clone());
        assert_eq!(suggestion.as_deref(), Some("did you mean `organization-wide`?"));
    }

    #[test]
    fn what_is_no_comment_accepts_nothing() {
        for rest in [
            "permissions: {contents: write}\naudience: 'a # sts: accept write-on-policy-repository because x'\n",
            "audience: \"a\n  # sts: accept write-on-policy-repository because x\"\npermissions: {contents: write}\n",
            "audience: |\n  a\n  # sts: accept write-on-policy-repository because x\npermissions: {contents: write}\n",
            "audience: a#sts:accept\npermissions: {contents: write}\n",
        ] {
            let report = report(rest);
            assert!(report.accepted.is_empty(), "{rest}");
            assert!(report.diagnostics.iter().any(|one| one.code == "write-on-policy-repository"), "{rest}");
            assert!(!report.diagnostics.iter().any(|one| one.code.starts_with("acceptance")), "{rest}");
        }
    }

    #[test]
    fn every_warning_of_a_file_can_be_accepted() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut told = std::collections::BTreeSet::new();
        for file in ["lint.rs", "nobody.rs"] {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            told.extend(code.split('"').filter_map(crate::diagnostic_code).map(|code| code.name));
        }
        assert_eq!(told, super::WARNINGS.into_iter().collect());
    }

    #[test]
    fn the_comments_are_bounded() {
        let rest = format!(
            "permissions: {{contents: read}}\n{}",
            "# sts: accept nothing-known because x\n".repeat(1500)
        );
        let report = report(&rest);
        assert_eq!(report.diagnostics.len(), super::MAX_COMMENTS + 1);
        assert_eq!(report.diagnostics.iter().filter(|one| one.code == "acceptance-malformed").count(), 1);
    }

    #[test]
    fn a_broken_file_is_not_said_to_have_unused_comments() {
        let yaml = format!(
            "{POLICY}permissions:\n  contents: write # sts: accept write-on-policy-repository because x\nx: z\n"
        );
        let report = check(yaml.as_bytes(), PolicyHome::Repository);
        assert_eq!(report.diagnostics.iter().map(|one| one.code).collect::<Vec<_>>(), ["unknown-key"]);
    }
}
