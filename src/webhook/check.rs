//! From changed files to a check run: one for each commit, which every delivery about the commit adds to.
//!
//! The run is written when its end is known, so none is ever left "in progress". What it is made of stands in its own
//! text (see [`Record`]): GitHub sends `push`, `pull_request` and `check_suite` for the same commit in any order, and a
//! push of one file must not hide what the pull request found in another.

use crate::github::{
    self, Annotation, CheckRun, CompletedCheckRun, Conclusion, Failure, MAX_ANNOTATIONS_PER_REQUEST, Output,
};
use crate::webhook::changes::{Change, Changes, State};
use crate::webhook::commit::{Base, Commit, Target};
use crate::webhook::listing::TooMany;
use crate::webhook::record::{Record, fingerprint};
use crate::webhook::report::Report;

/// The Go service's name, so that rules which require it keep working.
pub(super) const NAME: &str = "Trust Policy Validation";

/// One delivery reads at most so many files.
pub(super) const MAX_FILES: usize = 32;

/// Names that nothing reads are pointed out, not collected.
const MAX_MISNAMED: usize = 50;

/// One delivery sends at most so many requests: what the platform's smallest plan allows.
/// <https://developers.cloudflare.com/workers/platform/limits/#subrequests>
const MAX_REQUESTS: u32 = 50;

/// What is needed after the files were read: the installation, the check run, a look at whether there are two, the
/// token's end.
const RESERVED_REQUESTS: u32 = 3 + 4;

/// More annotations than this are only counted: four requests for one check run.
const MAX_ANNOTATIONS: usize = 4 * MAX_ANNOTATIONS_PER_REQUEST;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) conclusion: Conclusion,
    pub(super) files: usize,
    /// The run that was created; another delivery may have done the same at this moment.
    pub(super) created: Option<u64>,
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
    // 1. the runs that there are
    let runs = runs(commit).await?;
    write_all(commit, &runs, found, base, anew).await
}

/// Two deliveries may each have created a run for the commit at the same time, knowing their own files only. The one
/// whose run is the newest sees all of them now, and makes them say the same.
pub(super) async fn reconcile(
    commit: &Commit<'_>,
    created: u64,
    found: Result<Changes, TooMany>,
    base: Base,
) -> Result<(), Failure> {
    let runs = runs(commit).await?;
    let is_newest = runs.iter().map(|run| run.id).max() == Some(created);
    if !is_newest || say_the_same(&records(&runs)) {
        return Ok(());
    }
    write_all(commit, &runs, found, base, false).await.map(drop)
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
    found: Result<Changes, TooMany>,
    base: Base,
    anew: bool,
) -> Result<Checked, Failure> {
    // 2. together with what they know
    let home = commit.target.home;
    let records = records(runs);
    let (mut changes, mut too_many) = match found {
        Ok(changes) => (changes, None),
        Err(too_many) => (Changes::default(), Some(too_many)),
    };
    // What a pull request says comes first: it knows more than a push.
    let (of_pull_requests, others): (Vec<&Record>, Vec<&Record>) =
        records.iter().partition(|record| record.of_pull_request);
    let ordered = || of_pull_requests.iter().chain(&others).copied();
    let mut known = Changes::default();
    for record in ordered() {
        known.extend(record.changes(home));
        if record.too_many && !anew {
            too_many = too_many.or(Some(TooMany::Earlier));
        }
    }
    // What became of a file is said relative to a base, so both come from the same delivery: a pull request's, else the
    // first one's.
    let of_pull_request = !of_pull_requests.is_empty();
    let earlier = ordered().find_map(Record::base).filter(|_| !base.of_pull_request);
    let base = match earlier {
        Some(commit) => {
            known.extend(std::mem::take(&mut changes));
            changes = known;
            Base { commit: Some(commit), of_pull_request, remembered: None }
        }
        None => {
            changes.extend(known);
            base
        }
    };
    changes.keep_misnamed(MAX_MISNAMED);

    // 3. the files, as far as there is room for them
    let room = room(commit);
    let limit = room.min(MAX_FILES);
    let found = changes.to_read();
    if found > limit {
        too_many = too_many.or(Some(TooMany::Policies { found, limit }));
    }
    let all: Vec<&Change> = changes.iter().collect();
    let report = match too_many {
        Some(too_many) => Report::of_too_many(too_many),
        None => {
            let is_affordable = changes.to_read().saturating_add(compared(&base, &all)) <= room;
            let compared_with = if is_affordable { &base } else { &Base::default() };
            Report::of_files(&commit.files(&all, compared_with).await?, commit.setting())
        }
    };

    // 4. the run, or every run that there is
    let mut record = Record {
        files: all.iter().map(|change| (change.path.clone(), change.state.clone())).collect(),
        of_pull_request: base.of_pull_request,
        base: base.commit.map(|sha| sha.as_str().to_owned()),
        too_many: too_many.is_some(),
        annotated: Vec::new(),
    };
    let created = match runs {
        [] => Some(write(commit, None, &report, &mut record).await?),
        _ => None,
    };
    for (run, earlier) in runs.iter().zip(records) {
        record.annotated = earlier.annotated;
        write(commit, Some(run.id), &report, &mut record).await?;
    }
    Ok(Checked { conclusion: report.conclusion, files: all.len(), created })
}

/// Our runs for the commit: the name and external id could be another App's (the Go service, while people move here).
async fn runs(commit: &Commit<'_>) -> Result<Vec<CheckRun>, Failure> {
    let Target { owner, repository, .. } = commit.target;
    let call = github::check_runs(commit.base_url(), owner, repository, commit.head, NAME, commit.token);
    let mut runs = call.send(&*commit.context.ports.fetch).await?;
    runs.retain(|run| {
        run.name == NAME
            && run.external_id.as_deref() == Some(commit.head.as_str())
            && run.app.as_ref().is_none_or(|app| app.is(&commit.config.app.id))
    });
    Ok(runs)
}

/// How many requests may be sent to read files.
fn room(commit: &Commit<'_>) -> usize {
    let left = MAX_REQUESTS.saturating_sub(commit.context.subrequests()).saturating_sub(RESERVED_REQUESTS);
    usize::try_from(left).unwrap_or(0)
}

/// How many requests the comparison takes.
fn compared(base: &Base, changes: &[&Change]) -> usize {
    if base.remembered.is_some() || base.commit.is_none() {
        return 0;
    }
    let is_compared = |state: &State| matches!(state, State::Modified { .. } | State::Removed);
    changes.iter().filter(|change| change.kind.is_read() && is_compared(&change.state)).count()
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
