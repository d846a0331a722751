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
    let text = match arguments.format {
        Format::Human => report::human::all(&files, *style),
        Format::Json => report::json::all(&files),
        Format::Sarif => report::sarif::all(&files),
        Format::Github => report::github::all(&files),
    };
    Ok(Outcome::verdict(text, Counts::of(&files).errors == 0))
}

fn count_warnings_as_errors(files: &mut [Checked]) {
    for diagnostic in files.iter_mut().flat_map(|file| &mut file.diagnostics) {
        diagnostic.severity = Severity::Error;
    }
}
