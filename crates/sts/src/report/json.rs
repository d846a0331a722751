//! One JSON object, for programs. Members are only ever added.

use octo_sts_policy::Diagnostic;
use serde_json::{Value, json};

use super::super::files::Checked;
use super::{Counts, end_column, has_place, help, severity};

pub(crate) fn all(files: &[Checked]) -> String {
    let counts = Counts::of(files);
    let document = json!({
        "version": 1,
        "files": files.iter().map(file).collect::<Vec<_>>(),
        "summary": { "files": counts.files, "errors": counts.errors, "warnings": counts.warnings },
    });
    format!("{document:#}\n")
}

fn file(file: &Checked) -> Value {
    json!({ "path": file.path, "kind": file.kind.name(), "diagnostics": problems(file) })
}

/// Every problem of a file.
pub(crate) fn problems(file: &Checked) -> Vec<Value> {
    let problem = |diagnostic: &Diagnostic| {
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
    };
    file.diagnostics.iter().map(problem).collect()
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
