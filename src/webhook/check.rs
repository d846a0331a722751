//! From changed files to a check run: one for each commit, which every delivery about the commit adds to.
//!
//! A run's record is in its own text (see [`Record`](crate::webhook::record::Record)): GitHub sends `push`,
//! `pull_request` and `check_suite` for the same commit in any order, and a push of one file must not hide what the
//! pull request found in another.
//!
//! No run is green by accident: it is started before anything is read, only a complete verdict makes it green, and any
//! failure on the way ends it as a failure ([`end_as_failure`]).

use std::collections::BTreeMap;

use futures_util::FutureExt as _;

use crate::github::{Conclusion, Failure};
use crate::ports::Level;
use crate::webhook::changes::{Change, Changes, State};
use crate::webhook::commit::{Base, Commit, FileReport};
use crate::webhook::listing::Unvalidated;
use crate::webhook::record::Record;
use crate::webhook::report::Report;
use crate::webhook::runs::{Runs, WrittenRun};
use crate::webhook::together::{Settles, Together, say_the_same, says};

pub(super) use crate::webhook::runs::NAME;

/// One delivery reads at most this many files.
pub(super) const MAX_FILES: usize = 256;

/// Requests for purposes other than reading files: the installation, look-ups, every run twice with all its
/// annotations, the token's revocation.
const RESERVED_REQUESTS: u32 = 8 + 2 * 12;

/// How often the runs are checked before they are written, if others keep writing.
const LOOKS: u32 = 4;

/// How often a delivery rechecks for a concurrent overwrite, and writes again.
const ROUNDS: u32 = 2;

/// The outcome.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) conclusion: Conclusion,
    pub(super) files: usize,
    finding: Finding,
    /// There was no run before.
    created: bool,
    runs: Vec<WrittenRun>,
}

/// What a delivery found, and the files read so far.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) found: Result<Changes, Unvalidated>,
    pub(super) base: Base,
    pub(super) settles: Settles,
    read: Vec<FileReport>,
    /// The started, unfinished runs.
    begun: Option<Runs>,
}

impl Finding {
    pub(super) const fn new(found: Result<Changes, Unvalidated>, base: Base, settles: Settles) -> Self {
        Self { found, base, settles, read: Vec::new(), begun: None }
    }

    /// What remains after it is reported.
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(Ok(Changes::default()), Base::default(), Settles::Nothing))
    }

    fn with(&self, runs: &Runs, commit: &Commit<'_>) -> Together {
        Together::new(&self.found, &self.base, runs.records(), commit.target.home, self.settles)
    }
}

/// Validates what changed in a commit and says so in its check run. On failure [`end_as_failure`] has to follow.
pub(super) async fn check(commit: &Commit<'_>, finding: &mut Finding) -> Result<Checked, Failure> {
    let runs = Runs::of(commit).await?;
    write(commit, runs, finding, &[]).await
}

/// For a delivery that is not about a policy. `None`: there is nothing to report.
///
/// `is_reported`: the commit still gets a run that says so, unless there is a more informative one.
pub(super) async fn check_known(
    commit: &Commit<'_>,
    finding: &mut Finding,
    is_reported: bool,
) -> Result<Option<Checked>, Failure> {
    let runs = Runs::of(commit).await?;
    let is_due = if runs.are_none() {
        is_reported
    } else {
        // Somebody asked again, failed, is still working on it, or could not report before. Nobody knows what a run
        // without a record is about.
        let is_asked = !matches!(finding.settles, Settles::Nothing | Settles::Unlisted) || runs.are_begun();
        runs.have_records()
            && (is_asked || is_reported && runs.records().all(|record| record.files.is_empty()))
    };
    if is_due { write(commit, runs, finding, &[]).await.map(Some) } else { Ok(None) }
}

/// Checks that the run still shows the findings. GitHub sends several deliveries about one commit at the same moment,
/// and a run cannot be written only if it is unchanged. Two deliveries may each have created a run, or the later one
/// may have overwritten a file of the earlier one. Whoever lost adds its findings to what is there now.
pub(super) async fn reconcile(commit: &Commit<'_>, mut checked: Checked) -> Result<(), Failure> {
    for _ in 0..ROUNDS {
        let runs = Runs::of(commit).await?;
        // If two deliveries each created a run, one of them can make both say the same: the creator of the newest run
        // sees all.
        let is_newest = checked.runs.iter().any(|run| Some(run.id) == runs.newest());
        let is_said = runs.records().all(|record| says(record, &checked.finding.found));
        if checked.created && !is_newest || is_said && say_the_same(runs.records()) {
            return Ok(());
        }
        checked.finding.settles = Settles::Nothing;
        checked = match write(commit, runs, &mut checked.finding, &checked.runs).await {
            Ok(checked) => checked,
            Err(failure) => {
                if checked.finding.begun.is_some() {
                    end_as_failure(commit, &mut checked.finding, failure).await;
                }
                return Err(failure);
            }
        };
    }
    Ok(())
}

/// Ends started runs: existing runs become failures that say what happened. The findings stay in their records, so that
/// the next delivery about the commit takes them over. Without a run, there is nothing to end.
pub(super) async fn end_as_failure(commit: &Commit<'_>, finding: &mut Finding, failure: Failure) {
    let begun = finding.begun.take();
    let known = match (Runs::of(commit).await, begun) {
        (Ok(runs), Some(begun)) => Some(runs.after(begun)),
        (Ok(runs), None) => Some(runs),
        (Err(_), Some(begun)) => Some(begun).filter(|begun| !begun.are_none()),
        (Err(_), None) => None,
    };
    let may_be_green = known.as_ref().is_none_or(Runs::may_be_green);
    let is_found = known.is_some();
    let mut ended = match known {
        Some(runs) if runs.are_none() => Ok(()),
        Some(runs) => end(commit, runs, finding, failure).await,
        None => Err(failure),
    };
    // There may be a green run that cannot be found or changed, so a new one hides it. If our rate is limited, only if
    // such a run certainly exists.
    let is_limited = matches!(ended, Err(Failure::RateLimited(_)));
    if ended.is_err() && may_be_green && (is_found || !is_limited) {
        ended = end(commit, Runs::unknown(), finding, failure).await;
    }
    if let Err(failure) = ended {
        commit.context.log(Level::Error, "a check run was left unfinished", &[("reason", failure.code())]);
    }
}

async fn end(commit: &Commit<'_>, runs: Runs, finding: &Finding, failure: Failure) -> Result<(), Failure> {
    let record = finding.with(&runs, commit).record();
    runs.write(commit, &Report::of_failure(failure), record).await.map(drop)
}

/// Writes everything that is known to every run. `written`: what this delivery wrote before.
async fn write(
    commit: &Commit<'_>,
    mut runs: Runs,
    finding: &mut Finding,
    written: &[WrittenRun],
) -> Result<Checked, Failure> {
    let (mut looks, mut created) = (1, false);
    loop {
        runs.restore(written);
        let sent = commit.context.subrequests();

        // 1. together with what the runs know, as far as there is room
        let mut together = finding.with(&runs, commit);
        limit(commit, &runs, &finding.read, &mut together);
        let record = together.record();
        let report = match together.unvalidated {
            Some(why) => Report::of_unvalidated(why),
            None if together.changes.is_empty() => Report::skipped(),
            None => {
                created |= runs.are_none();
                read(commit, &mut runs, &together, &record, finding).boxed_local().await?;
                Report::of_files(&finding.read, commit.setting())
            }
        };
        // Meanwhile another delivery may have written.
        if commit.context.subrequests() > sent && looks < LOOKS {
            looks += 1;
            runs = Runs::of(commit).boxed_local().await?.after(runs);
            continue;
        }

        // 4. the run, or every existing run
        created |= runs.are_none();
        let runs = runs.write(commit, &report, record).boxed_local().await?;
        let finding = Finding { begun: None, ..finding.take() };
        let (conclusion, files) = (report.conclusion, together.changes.len());
        return Ok(Checked { conclusion, files, finding, created, runs });
    }
}

/// Reads the files that are not read yet, after starting the runs.
async fn read(
    commit: &Commit<'_>,
    runs: &mut Runs,
    together: &Together,
    record: &Record,
    finding: &mut Finding,
) -> Result<(), Failure> {
    let known = Known::of(&finding.read);
    let unread = known.unread(&together.changes);
    let all = unread.saturating_add(known.uncompared(together));
    // 2. started before anything is read
    if all > 0 {
        let begun = runs.begin(commit, record).await;
        finding.begun = Some(runs.clone());
        begun?;
        commit.reserve(all);
    }
    // 3. the files, and their previous versions, if there is room.
    let none = Base::default();
    let has_room = all <= room(commit);
    let base_of = |change: &Change| if has_room { together.base_of(change) } else { &none };
    let read = std::mem::take(&mut finding.read);
    finding.read = commit.files(&together.changes, read, &base_of).await?;
    commit.compare_with_installation(&mut finding.read).await;
    Ok(())
}

/// If there are too many files, nothing is validated, and the run says so.
fn limit(commit: &Commit<'_>, runs: &Runs, read: &[FileReport], together: &mut Together) {
    if !runs.complete {
        together.is_unvalidated(Unvalidated::CheckRuns);
    }
    let (found, room) = (together.changes.to_read(), room(commit));
    let unread = Known::of(read).unread(&together.changes);
    if found > MAX_FILES {
        together.is_unvalidated(Unvalidated::Policies { found, limit: MAX_FILES });
    } else if unread > room {
        together.is_unvalidated(Unvalidated::Quota);
    }
}

/// How many requests may be sent to read files.
fn room(commit: &Commit<'_>) -> usize {
    let left =
        commit.allowance().saturating_sub(commit.context.subrequests()).saturating_sub(RESERVED_REQUESTS);
    usize::try_from(left).unwrap_or(0)
}

/// The files that were read, by their paths.
struct Known<'a>(BTreeMap<&'a str, &'a FileReport>);

impl<'a> Known<'a> {
    fn of(read: &'a [FileReport]) -> Self {
        Self(read.iter().map(|report| (report.path.as_str(), report)).collect())
    }

    /// How many files are still to be read.
    fn unread(&self, changes: &Changes) -> usize {
        let is_read =
            |change: &Change| self.0.get(change.path.as_str()).is_some_and(|report| report.is_of(change));
        let to_read = |change: &&Change| change.kind.is_read() && change.state.may_be_there();
        changes.iter().filter(to_read).filter(|change| !is_read(change)).count()
    }

    /// How many previous versions are still to be read.
    fn uncompared(&self, together: &Together) -> usize {
        let by_request = |change: &&Change| {
            let base = together.base_of(change);
            let known = self.0.get(change.path.as_str());
            let is_compared = known.is_some_and(|report| report.is_compared(change, base));
            let has_before = !matches!(change.state, State::Added | State::Present);
            change.kind.is_read() && has_before && base.is_asked_for() && !is_compared
        };
        together.changes.iter().filter(by_request).count()
    }
}
