//! What a delivery found, together with what the check runs of its commit know already. GitHub sends several events about
//! one commit in any order, and none may hide what another found.

use crate::policy::PolicyHome;
use crate::webhook::changes::{Change, Changes};
use crate::webhook::commit::Base;
use crate::webhook::listing::TooMany;
use crate::webhook::paths::Kind;
use crate::webhook::record::Record;

/// Names that nothing reads are pointed out, not collected.
const MAX_MISNAMED: usize = 50;

/// All that is known of a commit.
#[derive(Debug)]
pub(super) struct Together {
    pub(super) changes: Changes,
    pub(super) too_many: Option<TooMany>,
    /// What the check run is said to be about from here on: a pull request's base, else the first delivery's.
    pub(super) base: Base,
    own: Base,
    /// The paths that are known by `base`.
    of_base: Vec<String>,
}

impl Together {
    /// `anew`: somebody asked for a new answer, so what an earlier delivery could not do is forgotten, unless that one
    /// knew more than this one does.
    pub(super) fn new(
        found: &Result<Changes, TooMany>,
        own: &Base,
        records: &[Record],
        home: PolicyHome,
        anew: bool,
    ) -> Self {
        let (ours, mut too_many) = match found {
            Ok(changes) => (changes.clone(), None),
            Err(too_many) => (Changes::default(), Some(*too_many)),
        };
        // What a pull request says comes first: it knows more than a push.
        let (of_pull_requests, others): (Vec<&Record>, Vec<&Record>) =
            records.iter().partition(|record| record.of_pull_request);
        let ordered = || of_pull_requests.iter().chain(&others).copied();
        let mut known = Changes::default();
        for record in ordered() {
            known.extend(record.changes(home));
            let is_lifted = anew && (own.of_pull_request || !record.of_pull_request);
            if record.too_many && !is_lifted {
                too_many = too_many.or(Some(TooMany::Earlier));
            }
        }
        let of_base = known.iter().map(|change| change.path.clone()).collect();
        let earlier = ordered().find_map(Record::base).filter(|_| !own.of_pull_request);
        let mut together = match earlier {
            Some(commit) => {
                known.extend(ours);
                let of_pull_request = !of_pull_requests.is_empty();
                let base = Base { commit: Some(commit), of_pull_request, remembered: None };
                Self { changes: known, too_many, base, own: own.clone(), of_base }
            }
            None => {
                let mut changes = ours;
                changes.extend(known);
                Self { changes, too_many, base: own.clone(), own: own.clone(), of_base: Vec::new() }
            }
        };
        together.changes.keep_misnamed(MAX_MISNAMED);
        together
    }

    /// What a file is compared with. What became of it was said relative to that.
    pub(super) fn base_of(&self, change: &Change) -> &Base {
        if self.of_base.contains(&change.path) { &self.base } else { &self.own }
    }

    /// What the check run is to remember. Of names that are too long in all, those that nothing reads are left out; if
    /// that is not enough, the run must not pass, because the next delivery could not know what this one found.
    pub(super) fn record(&mut self) -> Record {
        let record = self.record_of_all();
        if record.fits() {
            return record;
        }
        self.changes.keep_misnamed(0);
        let record = self.record_of_all();
        if record.fits() {
            return record;
        }
        self.too_many = self.too_many.or(Some(TooMany::Names));
        Record { too_many: true, files: Vec::new(), ..record }
    }

    fn record_of_all(&self) -> Record {
        Record {
            files: self.changes.iter().map(|change| (change.path.clone(), change.state.clone())).collect(),
            of_pull_request: self.base.of_pull_request,
            base: self.base.commit.as_ref().map(|sha| sha.as_str().to_owned()),
            too_many: self.too_many.is_some(),
            annotated: Vec::new(),
        }
    }
}

/// Whether a run still says what a delivery found. One that could not be told everything fails, so it hides nothing.
pub(super) fn says(record: &Record, found: &Result<Changes, TooMany>) -> bool {
    let is_said = |change: &Change| {
        let mut known = record.files.iter().filter(|(path, _)| *path == change.path);
        known.any(|(_, state)| state.may_be_there() || !change.state.may_be_there())
    };
    record.too_many
        || found
            .as_ref()
            .is_ok_and(|changes| changes.iter().filter(|change| change.kind != Kind::Misnamed).all(is_said))
}

/// Whether several runs of a commit say the same.
pub(super) fn say_the_same(records: &[Record]) -> bool {
    let Some((first, rest)) = records.split_first() else { return true };
    let is_part = |one: &Record, other: &Record| {
        one.files.iter().all(|(path, state)| {
            let mut known = other.files.iter().filter(|(known, _)| known == path);
            known.any(|(_, known)| known.may_be_there() == state.may_be_there())
        })
    };
    rest.iter().all(|record| {
        is_part(record, first)
            && is_part(first, record)
            && record.base == first.base
            && record.too_many == first.too_many
    })
}
