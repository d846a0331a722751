//! The check runs of a commit: looked up, and written whole.
//!
//! A run is written when its end is known, so none is ever left "in progress". There is one for each commit; that there
//! can be more comes of deliveries at the same moment.

use std::cmp::Reverse;

use crate::github::{
    self, Annotation, CheckRun, CheckRuns, CompletedCheckRun, Failure, MAX_ANNOTATIONS_PER_REQUEST, Output,
};
use crate::webhook::commit::{Commit, Target};
use crate::webhook::record::{Record, fingerprint};
use crate::webhook::report::Report;

/// The Go service's name, so that rules which require it keep working.
pub(super) const NAME: &str = "Trust Policy Validation";

/// Of several runs only the newest are written: GitHub shows the newest.
pub(super) const MAX_RUNS: usize = 3;

/// More annotations than this are only counted: four requests for one check run.
const MAX_ANNOTATIONS: usize = 4 * MAX_ANNOTATIONS_PER_REQUEST;

/// A run that was written, and which annotations are in it by now.
#[derive(Debug)]
pub(super) struct WrittenRun {
    pub(super) id: u64,
    pub(super) annotated: Vec<String>,
}

/// Our runs for a commit, the newest first.
#[derive(Debug)]
pub(super) struct Runs {
    ids: Vec<u64>,
    /// What each knows.
    pub(super) records: Vec<Record>,
    /// Ours cannot be among others that GitHub did not list.
    pub(super) complete: bool,
}

impl Runs {
    /// Looks them up. The name and external id could be another App's (the Go service, while people move here).
    pub(super) async fn of(commit: &Commit<'_>) -> Result<Self, Failure> {
        let Target { owner, repository, .. } = commit.target;
        let (base, app) = (commit.base_url(), commit.config.app.id.as_str());
        let call = github::check_runs(base, owner, repository, commit.head, NAME, app, commit.token);
        let CheckRuns { mut listed, complete } = call.send(&*commit.context.ports.fetch).await?;
        listed.retain(|run| {
            run.name == NAME
                && run.external_id.as_deref() == Some(commit.head.as_str())
                && run.app.as_ref().is_none_or(|owner| owner.is(app))
        });
        listed.sort_unstable_by_key(|run| Reverse(run.id));
        listed.truncate(MAX_RUNS);
        let record =
            |run: &CheckRun| Record::find(run.output.text.as_deref().unwrap_or_default()).unwrap_or_default();
        Ok(Self {
            ids: listed.iter().map(|run| run.id).collect(),
            records: listed.iter().map(record).collect(),
            complete,
        })
    }

    pub(super) fn are_none(&self) -> bool {
        self.ids.is_empty()
    }

    pub(super) fn newest(&self) -> Option<u64> {
        self.ids.first().copied()
    }

    /// A record that somebody wrote over does not count the annotations that are there nevertheless.
    pub(super) fn restore(&mut self, written: &[WrittenRun]) {
        for (id, record) in self.ids.iter().zip(&mut self.records) {
            let ours = written.iter().filter(|run| run.id == *id).flat_map(|run| &run.annotated);
            let lost: Vec<String> = ours.filter(|one| !record.annotated.contains(one)).cloned().collect();
            record.annotated.extend(lost);
        }
    }

    /// Makes every run say this, or makes one.
    pub(super) async fn write(
        self,
        commit: &Commit<'_>,
        report: &Report,
        mut record: Record,
    ) -> Result<Vec<WrittenRun>, Failure> {
        let mut written = Vec::new();
        if self.ids.is_empty() {
            let id = write(commit, None, report, &mut record).await?;
            return Ok(vec![WrittenRun { id, annotated: record.annotated }]);
        }
        for (id, earlier) in self.ids.into_iter().zip(self.records) {
            record.annotated = earlier.annotated;
            write(commit, Some(id), report, &mut record).await?;
            written.push(WrittenRun { id, annotated: std::mem::take(&mut record.annotated) });
        }
        Ok(written)
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
