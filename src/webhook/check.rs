//! From changed files to a check run: one for each commit, which every delivery about the commit adds to.
//!
//! The run is written when its end is known, so none is ever left "in progress". What it is made of stands in its own
//! text (see [`Record`]): GitHub sends `push`, `pull_request` and `check_suite` for the same commit in any order, and a
//! push of one file must not hide what the pull request found in another.

use std::cmp::Reverse;

use crate::github::{
    self, Annotation, CheckRun, CompletedCheckRun, Conclusion, Failure, MAX_ANNOTATIONS_PER_REQUEST, Output,
};
use crate::webhook::changes::{Change, Changes, State};
use crate::webhook::commit::{Base, Before, Commit, FileReport, Target};
use crate::webhook::listing::TooMany;
use crate::webhook::paths::Kind;
use crate::webhook::record::{Record, fingerprint};
use crate::webhook::report::Report;
use crate::webhook::together::Together;

/// The Go service's name, so that rules which require it keep working.
pub(super) const NAME: &str = "Trust Policy Validation";

/// One delivery reads at most so many files.
pub(super) const MAX_FILES: usize = 32;

/// One delivery sends at most so many requests: what the platform's smallest plan allows.
/// <https://developers.cloudflare.com/workers/platform/limits/#subrequests>
const MAX_REQUESTS: u32 = 50;

/// What is needed after the files were read: the installation, the check run, a look at whether it still says what it
/// should, the token's end.
const RESERVED_REQUESTS: u32 = 3 + 4;

/// The look at the runs that there are.
const LOOK: usize = 1;

/// More annotations than this are only counted: four requests for one check run.
const MAX_ANNOTATIONS: usize = 4 * MAX_ANNOTATIONS_PER_REQUEST;

/// Of several runs for one commit only the newest are written: more than one come of deliveries at the same moment, and
/// GitHub shows the newest.
const MAX_RUNS: usize = 3;

/// So often a delivery looks whether others wrote over what it found, and writes it again.
const ROUNDS: u32 = 2;

/// What came of it.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) conclusion: Conclusion,
    pub(super) files: usize,
    pub(super) written: Written,
}

/// What was written.
#[derive(Debug)]
pub(super) struct Written {
    /// The run that was created, if none was there.
    created: Option<u64>,
    /// Every run, and which annotations are in it by now.
    runs: Vec<(u64, Vec<String>)>,
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
    // 1. the files, as far as there is room for them
    let room = room(commit).saturating_sub(LOOK);
    let read = match &found {
        Ok(changes) if changes.to_read() <= room.min(MAX_FILES) => {
            read_all(commit, changes, Vec::new(), &base, room).await?
        }
        Ok(_) | Err(_) => Vec::new(),
    };

    // 2. the runs that there are: as late as possible, because what another delivery writes from here on is lost
    let runs = runs(commit).await?;
    write_all(commit, &runs, records(&runs), Found { found, base, read }, anew).await
}

/// What a delivery found, and what of it was read.
struct Found {
    found: Result<Changes, TooMany>,
    base: Base,
    read: Vec<FileReport>,
}

/// Looks whether what was found is still said. GitHub sends several deliveries about one commit at the same moment, and
/// a run cannot be written on condition that it is unchanged: two of them may each have created a run, or the later one
/// may have written over a file of the earlier. Who lost adds what it found to what is there now.
pub(super) async fn reconcile(
    commit: &Commit<'_>,
    mut written: Written,
    found: Result<Changes, TooMany>,
    base: Base,
) -> Result<(), Failure> {
    for _ in 0..ROUNDS {
        let runs = runs(commit).await?;
        let mut records = records(&runs);
        // Of two that each created a run, one is enough to make them say the same: the newest one's creator sees all.
        let newest = runs.first().map(|run| run.id);
        let is_anothers = written.created.is_some() && written.created != newest;
        let is_said = records.iter().all(|record| says(record, &found)) && say_the_same(&records);
        if is_anothers || is_said {
            return Ok(());
        }
        // A record that was written over does not count the annotations that are there nevertheless.
        for (run, record) in runs.iter().zip(&mut records) {
            let ours =
                written.runs.iter().filter(|(id, _)| *id == run.id).flat_map(|(_, annotated)| annotated);
            let lost: Vec<String> = ours.filter(|one| !record.annotated.contains(one)).cloned().collect();
            record.annotated.extend(lost);
        }
        let found = Found { found: found.clone(), base: base.clone(), read: Vec::new() };
        written = write_all(commit, &runs, records, found, false).await?.written;
    }
    Ok(())
}

/// Whether a run knows what a delivery found. One that could not be told everything fails, so it hides nothing.
fn says(record: &Record, found: &Result<Changes, TooMany>) -> bool {
    record.too_many
        || found.as_ref().is_ok_and(|changes| {
            let mut told = changes.iter().filter(|change| change.kind != Kind::Misnamed);
            told.all(|change| record.files.iter().any(|(path, _)| *path == change.path))
        })
}

fn say_the_same(records: &[Record]) -> bool {
    let Some((first, rest)) = records.split_first() else { return true };
    rest.iter().all(|record| {
        let names = |one: &Record, other: &Record| {
            one.files.iter().all(|(path, _)| other.files.iter().any(|(known, _)| known == path))
        };
        names(record, first)
            && names(first, record)
            && record.base == first.base
            && record.too_many == first.too_many
    })
}

/// What the runs know.
fn records(runs: &[CheckRun]) -> Vec<Record> {
    let text =
        |run: &CheckRun| Record::find(run.output.text.as_deref().unwrap_or_default()).unwrap_or_default();
    runs.iter().map(text).collect()
}

async fn write_all(
    commit: &Commit<'_>,
    runs: &[CheckRun],
    records: Vec<Record>,
    Found { found, base, mut read }: Found,
    anew: bool,
) -> Result<Checked, Failure> {
    // 3. together with what they know, as far as there is room for that
    let Together { changes, base, base_is_earlier, mut too_many } =
        Together::new(found, base, &records, commit.target.home, anew);
    if base_is_earlier {
        read.iter_mut().for_each(FileReport::forget_before);
    }
    let room = room(commit);
    let (found, unread) = (changes.to_read(), unread(&changes, &read));
    if unread > room || found > MAX_FILES {
        let limit = found.saturating_sub(unread).saturating_add(room).min(MAX_FILES);
        too_many = too_many.or(Some(TooMany::Policies { found, limit }));
    }
    let report = match too_many {
        Some(too_many) => Report::of_too_many(too_many),
        None => {
            let mut files = read_all(commit, &changes, read, &base, room).await?;
            commit.compare_with_installation(&mut files).await;
            Report::of_files(&files, commit.setting())
        }
    };

    // 4. the run, or every run that there is
    let mut record = Record {
        files: changes.iter().map(|change| (change.path.clone(), change.state.clone())).collect(),
        of_pull_request: base.of_pull_request,
        base: base.commit.map(|sha| sha.as_str().to_owned()),
        too_many: too_many.is_some(),
        annotated: Vec::new(),
    };
    let mut written = Written { created: None, runs: Vec::new() };
    if runs.is_empty() {
        let id = write(commit, None, &report, &mut record).await?;
        written.created = Some(id);
        written.runs.push((id, std::mem::take(&mut record.annotated)));
    }
    for (run, earlier) in runs.iter().zip(records) {
        record.annotated = earlier.annotated;
        write(commit, Some(run.id), &report, &mut record).await?;
        written.runs.push((run.id, std::mem::take(&mut record.annotated)));
    }
    Ok(Checked { conclusion: report.conclusion, files: changes.iter().count(), written })
}

/// Our runs for the commit, the newest first: the name and external id could be another App's (the Go service, while people move here).
async fn runs(commit: &Commit<'_>) -> Result<Vec<CheckRun>, Failure> {
    let Target { owner, repository, .. } = commit.target;
    let call = github::check_runs(commit.base_url(), owner, repository, commit.head, NAME, commit.token);
    let mut runs = call.send(&*commit.context.ports.fetch).await?;
    runs.retain(|run| {
        run.name == NAME
            && run.external_id.as_deref() == Some(commit.head.as_str())
            && run.app.as_ref().is_none_or(|app| app.is(&commit.config.app.id))
    });
    runs.sort_unstable_by_key(|run| Reverse(run.id));
    runs.truncate(MAX_RUNS);
    Ok(runs)
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
async fn read_all(
    commit: &Commit<'_>,
    changes: &Changes,
    read: Vec<FileReport>,
    base: &Base,
    room: usize,
) -> Result<Vec<FileReport>, Failure> {
    let is_compared = |change: &Change| {
        read.iter().any(|report| report.is_of(change) && !matches!(report.before, Before::Unknown))
    };
    let to_compare = |change: &&Change| {
        change.kind.is_read()
            && !matches!(change.state, State::Added | State::Present)
            && !is_compared(change)
    };
    let by_requests = base.remembered.is_none() && base.commit.is_some();
    let comparisons = if by_requests { changes.iter().filter(to_compare).count() } else { 0 };
    if unread(changes, &read).saturating_add(comparisons) <= room {
        commit.files(changes, read, base).await
    } else {
        commit.files(changes, read, &Base::default()).await
    }
}

/// Writes one run. Annotations go fifty at a time, and each only once: GitHub adds those of an update to those that are
/// there. The record is part of the same request, so whatever breaks off can go on from there.
async fn write(
    commit: &Commit<'_>,
    id: Option<u64>,
    report: &Report,
    record: &mut Record,
) -> Result<u64, Failure> {
    let mut id = id;
    let room = MAX_ANNOTATIONS.saturating_sub(record.annotated.len());
    let pending: Vec<(Annotation, String)> = report
        .annotations
        .iter()
        .map(|annotation| (annotation.clone(), fingerprint(annotation)))
        .filter(|(_, fingerprint)| !record.annotated.contains(fingerprint))
        .take(room)
        .collect();
    // Without annotations there is still a run to write.
    let mut batches = pending.chunks(MAX_ANNOTATIONS_PER_REQUEST);
    let mut batch = batches.next().unwrap_or_default();
    loop {
        record.annotated.extend(batch.iter().map(|(_, fingerprint)| fingerprint.clone()));
        let annotations: Vec<Annotation> = batch.iter().map(|(annotation, _)| annotation.clone()).collect();
        let written = write_once(commit, id, report, record, &annotations).await?;
        match batches.next() {
            Some(next) => (batch, id) = (next, Some(written)),
            None => return Ok(written),
        }
    }
}

async fn write_once(
    commit: &Commit<'_>,
    id: Option<u64>,
    report: &Report,
    record: &Record,
    annotations: &[Annotation],
) -> Result<u64, Failure> {
    let Target { owner, repository, .. } = commit.target;
    let text = format!("{}\n\n{}\n", footer(report), record.to_comment());
    let at = whole_seconds(&commit.context.now.to_rfc3339());
    let output = Output { title: &report.title, summary: &report.summary, text: &text, annotations };
    let run = CompletedCheckRun::new(NAME, commit.head, report.conclusion, &at, output);
    let (base, token) = (commit.base_url(), commit.token);
    let call = match id {
        None => github::create_check_run(base, owner, repository, commit.head, &run, token),
        Some(id) => github::update_check_run(base, owner, repository, id, &run, token),
    };
    call.send(&*commit.context.ports.fetch).await
}

fn footer(report: &Report) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut footer =
        format!("Checked by octo-sts-worker {version}, with the same code that decides every exchange.");
    let more = report.annotations.len().saturating_sub(MAX_ANNOTATIONS);
    if more > 0 {
        footer.push_str(&format!(" {more} more problems are not shown at their places."));
    }
    footer
}

/// GitHub's form of an instant.
fn whole_seconds(rfc3339: &str) -> String {
    rfc3339.split_once('.').map_or_else(|| rfc3339.to_owned(), |(seconds, _)| format!("{seconds}Z"))
}
