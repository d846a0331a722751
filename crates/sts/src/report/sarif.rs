//! SARIF 2.1.0 (OASIS), for GitHub code scanning and editors.

use octo_sts_policy::{Accepted, Code, Diagnostic, diagnostic_codes};
use serde_json::{Value, json};

use super::super::files::Checked;
use super::{end_column, has_place, help, severity};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

pub(crate) fn all(files: &[Checked]) -> String {
    let told = |file: &Checked| -> Vec<Value> {
        let problems = file.diagnostics.iter().map(|diagnostic| result(file, diagnostic));
        problems.chain(file.accepted.iter().map(|accepted| suppressed(file, accepted))).collect()
    };
    let results: Vec<Value> = files.iter().flat_map(told).collect();
    let document = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "sts",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": diagnostic_codes().iter().map(rule).collect::<Vec<_>>(),
            } },
            // Columns are characters, as everywhere here; the default would be UTF-16 units.
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{document:#}\n")
}

fn rule(code: &Code) -> Value {
    json!({
        "id": code.name,
        "shortDescription": { "text": code.meaning },
        "help": { "text": code.fix },
        "helpUri": format!("{}/blob/main/docs/policies.md#{}", env!("CARGO_PKG_REPOSITORY"), code.name),
    })
}

fn result(file: &Checked, diagnostic: &Diagnostic) -> Value {
    let text = match help(diagnostic) {
        Some(help) => format!("{}; {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    let mut place = json!({ "artifactLocation": { "uri": uri(&file.path) } });
    if let (true, Value::Object(place)) = (has_place(diagnostic), &mut place) {
        let region = json!({
            "startLine": diagnostic.line,
            "startColumn": diagnostic.column,
            "endColumn": end_column(file, diagnostic),
        });
        place.insert("region".to_owned(), region);
    }
    json!({
        "ruleId": diagnostic.code,
        "ruleIndex": diagnostic_codes().iter().position(|code| code.name == diagnostic.code),
        "level": severity(diagnostic),
        "message": { "text": text },
        "locations": [{ "physicalLocation": place }],
    })
}

/// Warnings that the author accepted are reported as suppressed, with the reason.
fn suppressed(file: &Checked, accepted: &Accepted) -> Value {
    let mut result = result(file, &accepted.diagnostic);
    if let Value::Object(members) = &mut result {
        let suppression =
            json!({ "kind": "inSource", "status": "accepted", "justification": accepted.reason });
        members.insert("suppressions".to_owned(), json!([suppression]));
    }
    result
}

/// A path as a URI reference (RFC 3986): relative paths stay relative to where the command ran.
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let mut out = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn results_name_their_rules() {
        let mut document: Value = serde_json::from_str(&all(&sample::files())).unwrap();
        let run = &mut document["runs"][0];
        let rules = run["tool"]["driver"]["rules"].take();
        assert_eq!(rules.as_array().unwrap().len(), diagnostic_codes().len());
        for result in run["results"].as_array_mut().unwrap() {
            // Left out of the snapshot: it changes with every new code.
            let index = usize::try_from(result["ruleIndex"].take().as_u64().unwrap()).unwrap();
            assert_eq!(result["ruleId"], rules[index]["id"]);
        }
        insta::assert_snapshot!(format!("{document:#}"));
    }

    #[test]
    fn a_path_becomes_a_reference() {
        assert_eq!(
            uri("./.github/chainguard/a b,100%.sts.yaml"),
            ".github/chainguard/a%20b%2C100%25.sts.yaml"
        );
        assert_eq!(uri("/tmp/ü.yaml"), "file:///tmp/%C3%BC.yaml");
    }
}
