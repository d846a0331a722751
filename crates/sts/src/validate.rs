//! `sts validate`.

use octo_sts_policy::Severity;

use super::arguments::{Format, Validate};
use super::files::{self, Checked};
use super::outcome::{Failure, Outcome, Style};
use super::report::{self, Counts};

pub(crate) fn run(arguments: &Validate, style: &Style) -> Result<Outcome, Failure> {
    let mut files = files::check_all(&arguments.paths, &arguments.home)?;
    if arguments.strict {
        count_warnings_as_errors(&mut files);
    }
    let is_fine = Counts::of(&files).errors == 0;
    Ok(match arguments.format {
        Format::Human => Outcome::verdict(report::human::all(&files, *style), is_fine),
        Format::Json => Outcome::document(report::json::all(&files), is_fine),
        Format::Sarif => Outcome::document(report::sarif::all(&files), is_fine),
        Format::Github => Outcome::commands(report::github::all(&files), is_fine),
    })
}

fn count_warnings_as_errors(files: &mut [Checked]) {
    for diagnostic in files.iter_mut().flat_map(|file| &mut file.diagnostics) {
        diagnostic.severity = Severity::Error;
    }
}
