//! The check runs of a commit: looked up, started, and written completely.
//!
//! Each commit has one; simultaneous deliveries may create more. None is green before its verdict is complete: a new
//! run is in progress, and a run that has already ended fails until then.

use std::cmp::Reverse;

use crate::github::{
    self, Annotation, CHECK_RUNS_PER_PAGE, CheckRun, CheckRunBody, CheckRunsQuery, Conclusion, Failure,
    MAX_ANNOTATIONS_PER_REQUEST, Output,
};
use crate::webhook::commit::{Commit, Target};
use crate::webhook::record::{Record, fingerprint};
use crate::webhook::report::Report;

/// The Go service's name, so that rules which require it keep working.
pub(super) const NAME: &str = "Trust Policy Validation";

/// Of several runs, only the newest are written, because GitHub shows the newest.
pub(super) const MAX_RUNS: usize = 3;

/// How many pages of other Apps' runs with our name are searched. GitHub filters them itself if the App is configured
/// by its number; otherwise ours could come after them, and the run says that it was not found.
const MAX_PAGES: usize = 10;

/// More annotations than this are only counted: four requests for one check run.
pub(super) const MAX_ANNOTATIONS: usize = 4 * MAX_ANNOTATIONS_PER_REQUEST;

/// A run that was written, and which annotations are in it by now.
#[derive(Debug)]
pub(super) struct WrittenRun {
    pub(super) id: u64,
    pub(super) annotated: Vec<String>,
}

/// Our runs for a commit, the newest first.
#[derive(Debug, Clone)]
pub(super) struct Runs {
    runs: Vec<OurRun>,
    /// Ours cannot be among unread runs of others.
    pub(super) complete: bool,
}

#[derive(Debug, Clone)]
struct OurRun {
    id: u64,
    has_ended: bool,
    /// It has text, so this service wrote it.
    has_text: bool,
    /// What other deliveries know.
    record: Record,
    /// What this delivery wrote when it began, if the run still says that, is not news.
    begun: Option<Record>,
}

impl Runs {
    /// Looks them up. The name and external id could belong to another App (the Go service, during a migration).
    pub(super) async fn of(commit: &Commit<'_>) -> Result<Self, Failure> {
        let Target { owner, repository, .. } = commit.target;
        let (base, app) = (commit.base_url(), commit.config.app.id.as_str());
        let (mut runs, mut seen, mut complete) = (Vec::new(), 0_usize, false);
        for page in 1..=MAX_PAGES {
            let query = CheckRunsQuery { head: commit.head, name: NAME, app, page };
            let call = github::check_runs(base, owner, repository, query, commit.token);
            let found = call.send(&*commit.context.ports.fetch).await?;
            seen = seen.saturating_add(found.listed.len());
            complete = found.listed.len() < CHECK_RUNS_PER_PAGE || seen >= found.total;
            // The text of other Apps' runs is dropped at once, because it may be long.
            runs.extend(found.listed.into_iter().filter(|run| is_ours(run, commit)).map(OurRun::from));
            if complete {
                break;
            }
        }
        runs.sort_unstable_by_key(|run| Reverse(run.id));
        runs.truncate(MAX_RUNS);
        Ok(Self { runs, complete })
    }

    /// The runs after an earlier look-up. What this delivery wrote itself in between is not news, and a run that it
    /// created exists even if GitHub does not list it yet.
    pub(super) fn after(mut self, earlier: Self) -> Self {
        for known in earlier.runs {
            match self.runs.iter_mut().find(|run| run.id == known.id) {
                Some(run) if known.begun.as_ref() == Some(&run.record) => *run = known,
                Some(_) => {}
                None => self.runs.push(known),
            }
        }
        self.runs.sort_unstable_by_key(|run| Reverse(run.id));
        self.runs.truncate(MAX_RUNS);
        self
    }

    /// If the look-up is impossible, a new run is written, which GitHub shows instead of older ones.
    pub(super) const fn unknown() -> Self {
        Self { runs: Vec::new(), complete: true }
    }

    pub(super) fn are_none(&self) -> bool {
        self.runs.is_empty()
    }

    /// None comes from another service with our name and App.
    pub(super) fn have_records(&self) -> bool {
        self.runs.iter().all(|run| run.has_text)
    }

    /// Somebody started a run and did not end it.
    pub(super) fn are_begun(&self) -> bool {
        self.runs.iter().any(|run| !run.has_ended)
    }

    /// Somebody ended one, maybe successfully.
    pub(super) fn may_be_green(&self) -> bool {
        self.runs.iter().any(|run| run.has_ended)
    }

    pub(super) fn newest(&self) -> Option<u64> {
        self.runs.first().map(|run| run.id)
    }

    pub(super) fn records(&self) -> impl DoubleEndedIterator<Item = &Record> + Clone {
        self.runs.iter().map(|run| &run.record)
    }

    /// An overwritten record does not count annotations that still exist.
    pub(super) fn restore(&mut self, written: &[WrittenRun]) {
        for run in &mut self.runs {
            let ours = written.iter().filter(|known| known.id == run.id).flat_map(|known| &known.annotated);
            let annotated = &mut run.record.annotated;
            let lost: Vec<String> = ours.filter(|one| !annotated.contains(one)).cloned().collect();
            annotated.extend(lost);
        }
    }

    /// Makes sure that none is green while the files are read: a new one is in progress, and one that has ended fails
    /// until there is a verdict. Each has a record, so that the next delivery can continue from here.
    pub(super) async fn begin(&mut self, commit: &Commit<'_>, record: &Record) -> Result<(), Failure> {
        if self.runs.is_empty() {
            let (id, begun) = begin(commit, None, None, record.clone()).await?;
            self.runs.push(OurRun {
                id,
                has_ended: false,
                has_text: true,
                record: Record::default(),
                begun: Some(begun),
            });
            return Ok(());
        }
        for run in &mut self.runs {
            let record = Record { annotated: run.record.annotated.clone(), ..record.clone() };
            let said = run.begun.as_ref().unwrap_or(&run.record);
            if run.has_ended || *said != record {
                let conclusion = run.has_ended.then_some(Conclusion::Failure);
                let (_, begun) = begin(commit, Some(run.id), conclusion, record).await?;
                (run.has_ended, run.begun) = (false, Some(begun));
            } else {
                run.begun = Some(record);
            }
        }
        Ok(())
    }

    /// Writes this to every run, or creates one.
    pub(super) async fn write(
        self,
        commit: &Commit<'_>,
        report: &Report,
        mut record: Record,
    ) -> Result<Vec<WrittenRun>, Failure> {
        let mut written = Vec::new();
        if self.runs.is_empty() {
            let id = write(commit, None, report, &mut record).await?;
            return Ok(vec![WrittenRun { id, annotated: record.annotated }]);
        }
        for OurRun { id, record: earlier, .. } in self.runs {
            record.annotated = earlier.annotated;
            write(commit, Some(id), report, &mut record).await?;
            written.push(WrittenRun { id, annotated: std::mem::take(&mut record.annotated) });
        }
        Ok(written)
    }
}

impl From<CheckRun> for OurRun {
    fn from(run: CheckRun) -> Self {
        Self {
            id: run.id,
            has_ended: run.conclusion.is_some(),
            has_text: run.output.text.as_deref().is_some_and(|text| !text.is_empty()),
            record: Record::of(run.output.text.as_deref()),
            begun: None,
        }
    }
}

/// Starts a run, and returns its record. If GitHub refuses the record, the run says that it is incomplete.
async fn begin(
    commit: &Commit<'_>,
    id: Option<u64>,
    conclusion: Option<Conclusion>,
    record: Record,
) -> Result<(u64, Record), Failure> {
    let report = if conclusion.is_some() { Report::begun_again() } else { Report::begun() };
    match put(commit, id, conclusion, &report, &record).await {
        Err(Failure::Unprocessable) => {
            let record = record.emptied();
            put(commit, id, conclusion, &report, &record).await.map(|id| (id, record))
        }
        written => written.map(|id| (id, record)),
    }
}

fn is_ours(run: &CheckRun, commit: &Commit<'_>) -> bool {
    run.name == NAME
        && run.external_id.as_deref() == Some(commit.head.as_str())
        && run.app.as_ref().is_none_or(|owner| owner.is(&commit.config.app.id))
}

/// Writes one run. Annotations are sent fifty at a time, and each only once, because GitHub adds those of an update to
/// the existing ones. The record is part of the same request, so an interrupted delivery can be continued.
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
    // Even without annotations, the run has to be written.
    let mut batches = pending.chunks(MAX_ANNOTATIONS_PER_REQUEST);
    let mut batch = batches.next().unwrap_or_default();
    loop {
        let before = record.annotated.len();
        record.annotated.extend(batch.iter().map(|(_, fingerprint)| fingerprint.clone()));
        let annotations: Vec<Annotation> = batch.iter().map(|(annotation, _)| annotation.clone()).collect();
        let part = Report { annotations, ..report.without_annotations() };
        match put(commit, id, Some(report.conclusion), &part, record).await {
            Ok(written) => match batches.next() {
                Some(next) => (batch, id) = (next, Some(written)),
                None => return Ok(written),
            },
            Err(Failure::Unprocessable) => {
                record.annotated.truncate(before);
                return smallest(commit, id, report, record).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// GitHub refuses the report, probably for its size. This writes only the verdict and the record; if that is refused
/// too, a failure with hardly any text.
async fn smallest(
    commit: &Commit<'_>,
    id: Option<u64>,
    report: &Report,
    record: &Record,
) -> Result<u64, Failure> {
    match put(commit, id, Some(report.conclusion), &report.shortened(), record).await {
        Err(Failure::Unprocessable) => {}
        written => return written,
    }
    put(commit, id, Some(Conclusion::Failure), &Report::refused(), &record.emptied()).await
}

/// One request. Without a conclusion the run is in progress.
async fn put(
    commit: &Commit<'_>,
    id: Option<u64>,
    conclusion: Option<Conclusion>,
    report: &Report,
    record: &Record,
) -> Result<u64, Failure> {
    let Target { owner, repository, .. } = commit.target;
    let text = format!("{}\n\n{}\n", footer(report), record.to_comment());
    let at = whole_seconds(&commit.context.now.to_rfc3339());
    let Report { title, summary, annotations, .. } = report;
    let output = Output { title, summary, text: &text, annotations };
    let run = CheckRunBody::new(NAME, commit.head, conclusion, &at, output);
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
    if report.problems > MAX_ANNOTATIONS {
        let more = report.problems.saturating_sub(MAX_ANNOTATIONS);
        footer.push_str(&format!(" {more} more problems are omitted from the annotations."));
    }
    footer
}

/// GitHub's form of an instant.
fn whole_seconds(rfc3339: &str) -> String {
    rfc3339.split_once('.').map_or_else(|| rfc3339.to_owned(), |(seconds, _)| format!("{seconds}Z"))
}
