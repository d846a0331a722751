//! One JSON object, for programs. Members are only ever added.

use octo_sts_policy::{Accepted, Diagnostic};
use serde_json::{Value, json};

use super::super::files::Checked;
use super::{Counts, end_column, has_place, help, severity};

pub(crate) fn all(files: &[Checked]) -> String {
    let counts = Counts::of(files);
    let document = json!({
        "version": 1,
        "files": files.iter().map(file).collect::<Vec<_>>(),
        "summary": { "files": counts.files, "errors": counts.errors, "warnings": counts.warnings, "accepted": counts.accepted },
    });
    format!("{document:#}\n")
}

fn file(file: &Checked) -> Value {
    json!({
        "path": file.path,
        "kind": file.kind.name(),
        "diagnostics": problems(file),
        "accepted": file.accepted.iter().map(|accepted| self::accepted(file, accepted)).collect::<Vec<_>>(),
    })
}

/// Every problem of a file.
pub(crate) fn problems(file: &Checked) -> Vec<Value> {
    file.diagnostics.iter().map(|diagnostic| problem(file, diagnostic)).collect()
}

fn problem(file: &Checked, diagnostic: &Diagnostic) -> Value {
    let mut problem = json!({
        "code": diagnostic.code,
        "severity": severity(diagnostic),
        "message": diagnostic.message,
        "help": help(diagnostic),
    });
    if let (true, Value::Object(members)) = (has_place(diagnostic), &mut problem) {
        members.insert("line".to_owned(), diagnostic.line.into());
        members.insert("column".to_owned(), diagnostic.column.into());
        members.insert("end_column".to_owned(), end_column(file, diagnostic).into());
    }
    problem
}

fn accepted(file: &Checked, accepted: &Accepted) -> Value {
    let mut problem = problem(file, &accepted.diagnostic);
    if let Value::Object(members) = &mut problem {
        members.insert("reason".to_owned(), accepted.reason.clone().into());
        members.insert("comment_line".to_owned(), accepted.comment_line.into());
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn programs_read_one_object() {
        insta::assert_snapshot!(all(&sample::files()));
    }
}
