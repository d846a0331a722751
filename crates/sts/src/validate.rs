//! `sts validate`.

use octo_sts_policy::Severity;

use super::arguments::{Format, Validate};
use super::files::{self, Checked};
use super::fix;
use super::outcome::{Failure, Outcome, Style};
use super::report::{self, Counts};

pub(crate) fn run(arguments: &Validate, style: &Style) -> Result<Outcome, Failure> {
    let repair = if arguments.fix { Some(fix::run(&arguments.paths, &arguments.home)?) } else { None };
    let (paths, diff) = repair.map_or((None, String::new()), |repair| (Some(repair.paths), repair.diff));
    let mut files = files::check_all(paths.as_deref().unwrap_or(&arguments.paths), &arguments.home)?;
    if arguments.strict {
        count_warnings_as_errors(&mut files);
    }
    let is_fine = Counts::of(&files).errors == 0;
    Ok(match arguments.format {
        Format::Human => {
            let gap = if diff.is_empty() { "" } else { "\n" };
            Outcome::verdict(format!("{diff}{gap}{}", report::human::all(&files, *style)), is_fine)
        }
        // The output for programs does not change.
        Format::Json => Outcome::document(report::json::all(&files), is_fine).with_notes(diff),
        Format::Sarif => Outcome::document(report::sarif::all(&files), is_fine).with_notes(diff),
        Format::Github => Outcome::commands(report::github::all(&files), is_fine).with_notes(diff),
    })
}

fn count_warnings_as_errors(files: &mut [Checked]) {
    for diagnostic in files.iter_mut().flat_map(|file| &mut file.diagnostics) {
        diagnostic.severity = Severity::Error;
    }
}
