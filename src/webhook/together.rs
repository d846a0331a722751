//! Combines what a delivery found with what the check runs of its commit already know. GitHub sends several events
//! about one commit in any order, and none may hide what another found.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::PolicyHome;
use crate::webhook::changes::{Change, Changes};
use crate::webhook::commit::Base;
use crate::webhook::listing::Unvalidated;
use crate::webhook::paths::Kind;
use crate::webhook::record::{Record, Unlisted};

/// Files that nothing reads are only pointed out, so few are kept.
const MAX_MISNAMED: usize = 50;

/// Which open questions of earlier deliveries this one settles, because somebody requested a re-run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settles {
    /// None: no one requested one, and the delivery itself says what changed.
    Nothing,
    /// The failure to list something: GitHub has now given a list.
    Unlisted,
    /// None, although somebody requested it: the delivery knows only what the runs know.
    Again,
    /// Those of deliveries that knew as much as this one.
    Some,
    /// All: this one has a pull request's list, or the whole folder.
    Everything,
}

/// Everything that is known about a commit.
#[derive(Debug)]
pub(super) struct Together {
    pub(super) changes: Changes,
    pub(super) unvalidated: Option<Unvalidated>,
    /// The base of the check run from here on: a pull request's base, or else the first delivery's.
    pub(super) base: Base,
    own: Base,
    /// The paths that are known relative to `base`.
    of_base: BTreeSet<String>,
    pull_request: Option<u64>,
    unlisted: Option<Unlisted>,
    damaged: bool,
    too_many: bool,
}

impl Together {
    pub(super) fn new<'r>(
        found: &Result<Changes, Unvalidated>,
        own: &Base,
        records: impl Iterator<Item = &'r Record>,
        home: PolicyHome,
        settles: Settles,
    ) -> Self {
        let ours = found.clone().unwrap_or_default();
        // A pull request takes precedence, because it knows more than a push.
        let (of_pull_requests, others): (Vec<&Record>, Vec<&Record>) =
            records.partition(|record| record.of_pull_request);
        let ordered = || of_pull_requests.iter().chain(&others).copied();
        let mut known = Changes::default();
        let open = Open::of(found, own, ordered(), settles);
        for record in ordered() {
            known.extend(record.changes(home));
        }
        let of_base = known.iter().map(|change| change.path.clone()).collect();
        let earlier = ordered().find_map(Record::base).filter(|_| !own.of_pull_request);
        let (changes, base, of_base) = match earlier {
            Some(commit) => {
                known.extend(ours);
                let of_pull_request = !of_pull_requests.is_empty();
                (known, Base { commit: Some(commit), of_pull_request, ..Base::default() }, of_base)
            }
            None => {
                let mut changes = ours;
                changes.extend(known);
                (changes, own.clone(), BTreeSet::new())
            }
        };
        let pull_request = own.pull_request.or_else(|| ordered().find_map(|record| record.pull_request));
        let Open { unvalidated, unlisted, damaged, too_many } = open;
        let own = own.clone();
        let mut together =
            Self { changes, unvalidated, base, own, of_base, pull_request, unlisted, damaged, too_many };
        together.changes.keep_misnamed(MAX_MISNAMED);
        together
    }

    /// Says why the commit is not validated, unless that is known already.
    pub(super) fn is_unvalidated(&mut self, why: Unvalidated) {
        self.unvalidated = self.unvalidated.or(Some(why));
        self.too_many = true;
    }

    /// What a file is compared with; its state is relative to that.
    pub(super) fn base_of(&self, change: &Change) -> &Base {
        if self.of_base.contains(&change.path) { &self.base } else { &self.own }
    }

    /// The record of the check run. If the names are too long in total, files that nothing reads are left out. If that
    /// is not enough, the run must not pass, because the next delivery could not know what this one found.
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
        self.is_unvalidated(Unvalidated::Names);
        Record { too_many: true, files: Vec::new(), ..record }
    }

    fn record_of_all(&self) -> Record {
        Record {
            files: self.changes.iter().map(|change| (change.path.clone(), change.state.clone())).collect(),
            base: self.base.commit.as_ref().map(|sha| sha.as_str().to_owned()),
            of_pull_request: self.base.of_pull_request,
            pull_request: self.pull_request,
            too_many: self.too_many,
            unlisted: self.unlisted,
            damaged: self.damaged,
            annotated: Vec::new(),
        }
    }
}

/// Why the commit cannot be validated, now and for later deliveries.
struct Open {
    unvalidated: Option<Unvalidated>,
    unlisted: Option<Unlisted>,
    damaged: bool,
    too_many: bool,
}

impl Open {
    fn of<'r>(
        found: &Result<Changes, Unvalidated>,
        own: &Base,
        records: impl Iterator<Item = &'r Record>,
        settles: Settles,
    ) -> Self {
        let mut open = Self {
            unvalidated: found.as_ref().err().copied(),
            unlisted: None,
            damaged: false,
            too_many: false,
        };
        match found {
            Err(Unvalidated::Unlisted(unlisted)) => open.unlisted = Some(*unlisted),
            Err(_) => open.too_many = true,
            Ok(_) => {}
        }
        for record in records {
            let is_settled = match settles {
                Settles::Nothing | Settles::Unlisted | Settles::Again => false,
                Settles::Some => !record.of_pull_request,
                Settles::Everything => true,
            };
            if record.too_many && !is_settled {
                open.too_many = true;
                open.unvalidated = open.unvalidated.or(Some(Unvalidated::Earlier));
            }
            if record.damaged && settles != Settles::Everything {
                open.damaged = true;
                open.unvalidated = open.unvalidated.or(Some(Unvalidated::Damaged));
            }
            if let Some(unlisted) = record.unlisted {
                // A successful list makes up for an earlier failure.
                let is_listed = match unlisted {
                    Unlisted::PullRequest => own.of_pull_request,
                    Unlisted::Commits => !matches!(settles, Settles::Nothing | Settles::Again),
                };
                if !(is_listed && found.is_ok()) {
                    open.unlisted = open.unlisted.or(Some(unlisted));
                    open.unvalidated = open.unvalidated.or(Some(Unvalidated::Unlisted(unlisted)));
                }
            }
        }
        open
    }
}

/// Whether a run still shows the findings of a delivery. An incomplete run fails, so it hides nothing.
pub(super) fn says(record: &Record, found: &Result<Changes, Unvalidated>) -> bool {
    let known = may_be_there(record);
    let is_said = |change: &Change| {
        known
            .get(change.path.as_str())
            .is_some_and(|may_be_there| *may_be_there || !change.state.may_be_there())
    };
    record.too_many
        || found
            .as_ref()
            .is_ok_and(|changes| changes.iter().filter(|change| change.kind != Kind::Misnamed).all(is_said))
}

/// Whether several runs of a commit agree.
pub(super) fn say_the_same<'r>(mut records: impl Iterator<Item = &'r Record>) -> bool {
    let Some(first) = records.next() else { return true };
    let files = may_be_there(first);
    records.all(|record| {
        may_be_there(record) == files
            && record.base == first.base
            && (record.too_many, record.unlisted, record.damaged)
                == (first.too_many, first.unlisted, first.damaged)
    })
}

/// Every path of a record, and whether something may be there.
fn may_be_there(record: &Record) -> BTreeMap<&str, bool> {
    let mut known = BTreeMap::new();
    for (path, state) in &record.files {
        let may_be_there = known.entry(path.as_str()).or_insert(false);
        *may_be_there |= state.may_be_there();
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::changes::State;

    fn files(count: usize) -> Vec<(String, State)> {
        (0..count).map(|index| (format!(".github/chainguard/p{index}.sts.yaml"), State::Added)).collect()
    }

    /// An algorithm with quadratic steps would take hours here.
    #[test]
    fn a_hundred_thousand_files_are_compared() {
        let record = Record { files: files(100_000), ..Record::default() };
        let found = Ok(record.changes(PolicyHome::Repository));
        let own = Base::default();
        let together =
            Together::new(&found, &own, [&record].into_iter(), PolicyHome::Repository, Settles::Nothing);
        assert_eq!(together.changes.len(), 100_000);
        assert!(says(&record, &found) && say_the_same([&record, &record].into_iter()));
        assert!(!says(&Record { files: files(99_999), ..Record::default() }, &found));
    }

    #[test]
    fn what_is_open_is_settled_by_who_knows_as_much() {
        let own = |of_pull_request| Base { of_pull_request, ..Base::default() };
        let found = Ok(Changes::default());
        let open = |record: Record, of_pull_request, settles| {
            Together::new(
                &found,
                &own(of_pull_request),
                [&record].into_iter(),
                PolicyHome::Repository,
                settles,
            )
            .unvalidated
        };
        let too_many = |of_pull_request| Record { too_many: true, of_pull_request, ..Record::default() };
        let damaged = || Record { damaged: true, ..Record::default() };
        let unlisted = |unlisted| Record { unlisted: Some(unlisted), ..Record::default() };
        for (record, of_pull_request, settles, expected) in [
            (Record::default(), false, Settles::Nothing, None),
            (too_many(false), false, Settles::Nothing, Some(Unvalidated::Earlier)),
            (too_many(false), false, Settles::Again, Some(Unvalidated::Earlier)),
            (too_many(false), false, Settles::Some, None),
            (too_many(true), false, Settles::Some, Some(Unvalidated::Earlier)),
            (too_many(true), true, Settles::Everything, None),
            (damaged(), false, Settles::Some, Some(Unvalidated::Damaged)),
            (damaged(), false, Settles::Everything, None),
            (
                unlisted(Unlisted::PullRequest),
                false,
                Settles::Some,
                Some(Unvalidated::Unlisted(Unlisted::PullRequest)),
            ),
            (unlisted(Unlisted::PullRequest), true, Settles::Nothing, None),
            (
                unlisted(Unlisted::Commits),
                false,
                Settles::Nothing,
                Some(Unvalidated::Unlisted(Unlisted::Commits)),
            ),
            (
                unlisted(Unlisted::Commits),
                false,
                Settles::Again,
                Some(Unvalidated::Unlisted(Unlisted::Commits)),
            ),
            (unlisted(Unlisted::Commits), false, Settles::Unlisted, None),
            (unlisted(Unlisted::Commits), false, Settles::Some, None),
        ] {
            assert_eq!(open(record.clone(), of_pull_request, settles), expected, "{record:?} {settles:?}");
        }
    }
}
