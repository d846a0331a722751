//! From changed files to a check run: one for each commit, which every delivery about the commit adds to.
//!
//! What a run is made of stands in its own text (see [`Record`](crate::webhook::record::Record)): GitHub sends `push`,
//! `pull_request` and `check_suite` for the same commit in any order, and a push of one file must not hide what the pull
//! request found in another.

use crate::github::{Conclusion, Failure};
use crate::webhook::changes::{Change, Changes, State};
use crate::webhook::commit::{Base, Commit, FileReport};
use crate::webhook::listing::TooMany;
use crate::webhook::report::Report;
use crate::webhook::runs::{Runs, WrittenRun};
use crate::webhook::together::{Together, say_the_same, says};

pub(super) use crate::webhook::runs::NAME;

/// One delivery reads at most so many files.
pub(super) const MAX_FILES: usize = 256;

/// One delivery sends at most so many requests. The platform's smallest plan has 50, which is enough for some 40
/// policies; the others have 10,000. <https://developers.cloudflare.com/workers/platform/limits/#subrequests>
const MAX_REQUESTS: u32 = 1000;

/// What is needed after the files were read: the installation, looks, twice every run with all its annotations, the
/// token's end.
const RESERVED_REQUESTS: u32 = 8 + 2 * 12;

/// So often the runs are looked at before they are written, if others write all the time.
const LOOKS: u32 = 3;

/// So often a delivery looks afterwards whether others wrote over what it found, and writes it again.
const ROUNDS: u32 = 2;

/// What came of it.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) conclusion: Conclusion,
    pub(super) files: usize,
    finding: Finding,
    /// There was no run before.
    created: bool,
    runs: Vec<WrittenRun>,
}

/// What a delivery found, and what was read so far.
#[derive(Debug)]
struct Finding {
    found: Result<Changes, TooMany>,
    base: Base,
    read: Vec<FileReport>,
}

/// Validates what changed in a commit and says so in its check run.
///
/// `anew`: somebody asked for a new answer, so what an earlier one could not do is forgotten.
pub(super) async fn check(
    commit: &Commit<'_>,
    found: Result<Changes, TooMany>,
    base: Base,
    anew: bool,
) -> Result<Checked, Failure> {
    // 1. the files, as far as there is room for them: what is read before the look at the runs does not keep the write
    // that follows it waiting
    let mut read = Vec::new();
    if let Ok(changes) = &found
        && changes.to_read() <= room(commit).min(MAX_FILES)
    {
        read = read_all(commit, changes, read, &|_| &base).await?;
        commit.compare_with_installation(&mut read).await;
    }
    let finding = Finding { found, base, read };

    // 2. the runs that there are
    let runs = Runs::of(commit).await?;
    write(commit, runs, finding, anew, &[]).await
}

/// Looks whether what was found is still said. GitHub sends several deliveries about one commit at the same moment, and
/// a run cannot be written on condition that it is unchanged: two of them may each have created a run, or the later one
/// may have written over a file of the earlier. Who lost adds what it found to what is there now.
pub(super) async fn reconcile(commit: &Commit<'_>, mut checked: Checked) -> Result<(), Failure> {
    for _ in 0..ROUNDS {
        let runs = Runs::of(commit).await?;
        // Of two that each created a run, one is enough to make them say the same: the newest one's creator sees all.
        let is_newest = checked.runs.iter().any(|run| Some(run.id) == runs.newest());
        let is_said = runs.records.iter().all(|record| says(record, &checked.finding.found));
        if checked.created && !is_newest || is_said && say_the_same(&runs.records) {
            return Ok(());
        }
        checked = write(commit, runs, checked.finding, false, &checked.runs).await?;
    }
    Ok(())
}

/// Says in every run what is known altogether. `written`: what this delivery wrote before.
async fn write(
    commit: &Commit<'_>,
    mut runs: Runs,
    mut finding: Finding,
    anew: bool,
    written: &[WrittenRun],
) -> Result<Checked, Failure> {
    let mut looks = 1;
    loop {
        runs.restore(written);
        let sent = commit.context.subrequests();

        // 3. together with what they know, as far as there is room for that
        let mut together =
            Together::new(&finding.found, &finding.base, &runs.records, commit.target.home, anew);
        if !runs.complete {
            together.too_many = together.too_many.or(Some(TooMany::CheckRuns));
        }
        let (found, room) = (together.changes.to_read(), room(commit));
        let unread = unread(&together.changes, &finding.read);
        if unread > room || found > MAX_FILES {
            let limit = found.saturating_sub(unread).saturating_add(room).min(MAX_FILES);
            together.too_many = together.too_many.or(Some(TooMany::Policies { found, limit }));
        }
        let record = together.record();
        let report = match together.too_many {
            Some(too_many) => Report::of_too_many(too_many),
            None => {
                let base_of = |change: &Change| together.base_of(change);
                finding.read = read_all(commit, &together.changes, finding.read, &base_of).await?;
                commit.compare_with_installation(&mut finding.read).await;
                Report::of_files(&finding.read, commit.setting())
            }
        };
        // Meanwhile another delivery may have written.
        if commit.context.subrequests() > sent && looks < LOOKS {
            looks += 1;
            runs = Runs::of(commit).await?;
            continue;
        }

        // 4. the run, or every run that there is
        let created = runs.are_none();
        let runs = runs.write(commit, &report, record).await?;
        let (conclusion, files) = (report.conclusion, together.changes.iter().count());
        return Ok(Checked { conclusion, files, finding, created, runs });
    }
}

/// How many requests may be sent to read files.
fn room(commit: &Commit<'_>) -> usize {
    let left = MAX_REQUESTS.saturating_sub(commit.context.subrequests()).saturating_sub(RESERVED_REQUESTS);
    usize::try_from(left).unwrap_or(0)
}

/// How many files are still to be read.
fn unread(changes: &Changes, read: &[FileReport]) -> usize {
    let is_read = |change: &Change| read.iter().any(|report| report.is_of(change));
    let to_read = |change: &&Change| change.kind.is_read() && change.state.may_be_there();
    changes.iter().filter(to_read).filter(|change| !is_read(change)).count()
}

/// Reads what is not read yet. What the files are compared with is read as well, where there is room for that.
async fn read_all<'a>(
    commit: &Commit<'_>,
    changes: &Changes,
    read: Vec<FileReport>,
    base_of: &dyn Fn(&Change) -> &'a Base,
) -> Result<Vec<FileReport>, Failure> {
    let by_request = |change: &&Change| {
        let is_compared = read.iter().any(|report| report.is_compared(change, base_of(change)));
        let has_before = !matches!(change.state, State::Added | State::Present);
        change.kind.is_read() && has_before && base_of(change).is_asked_for() && !is_compared
    };
    let comparisons = changes.iter().filter(by_request).count();
    if unread(changes, &read).saturating_add(comparisons) <= room(commit) {
        commit.files(changes, read, base_of).await
    } else {
        let none = Base::default();
        commit.files(changes, read, &|_| &none).await
    }
}
