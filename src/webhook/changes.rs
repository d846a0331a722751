//! What a delivery changed among the relevant files: the final state, not the steps.

use std::collections::{BTreeMap, BTreeSet};

use crate::github::{ChangedFile, FileStatus};
use crate::policy::PolicyHome;
use crate::webhook::paths::{FOLDER, Kind};
use crate::webhook::payload::PushedCommit;

octo_sts_verifier::json_alternatives! {
    /// What happened to a file.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(super) enum State {
        /// It exists, and did not before.
        Added = "added",
        /// It exists. The delivery does not say whether it changed.
        Present = "present",
        /// It exists and existed before, perhaps at another path.
        Modified {
            /// Its previous path, if different.
            from: Option<String> => take_optional,
        } = "modified",
        /// It existed before.
        Removed = "removed",
        /// Removed and also touched otherwise. The commits of a push need not form a line, so the last one in the list
        /// does not always decide: the head does.
        Contested = "contested",
        /// Added and removed again by one push: like [`State::Contested`], but not relevant by itself.
        Withdrawn = "withdrawn",
    }
}

impl State {
    /// The state of a file after two statements about it.
    fn then(self, later: Self) -> Self {
        match (self, later) {
            (Self::Added | Self::Withdrawn, Self::Removed | Self::Contested) => Self::Withdrawn,
            (Self::Removed | Self::Contested | Self::Withdrawn, _) | (_, Self::Removed | Self::Contested) => {
                Self::Contested
            }
            (Self::Added, _) => Self::Added,
            (Self::Modified { from: Some(from) }, Self::Modified { from: None }) => {
                Self::Modified { from: Some(from) }
            }
            (_, later) => later,
        }
    }

    /// Somebody says that it is there.
    pub(super) const fn is_there(&self) -> bool {
        matches!(self, Self::Added | Self::Present | Self::Modified { .. })
    }

    /// The path has to be read.
    pub(super) const fn may_be_there(&self) -> bool {
        !matches!(self, Self::Removed)
    }
}

/// A relevant file, and what happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) state: State,
}

/// Every relevant file once, in the order of its first mention. A delivery may name ten thousand, so noting one takes
/// logarithmic time. (Not a hash map: the platform gives it no secret, so a stranger could choose names that collide.)
#[derive(Debug, Clone, Default)]
pub(super) struct Changes(BTreeMap<String, Noted>);

#[derive(Debug, Clone)]
struct Noted {
    order: usize,
    /// `None`: no longer relevant.
    change: Option<Change>,
}

impl Changes {
    /// From a push: its commits one after the other.
    pub(super) fn of_commits(commits: &[PushedCommit], home: PolicyHome) -> Self {
        let mut changes = Self::default();
        for commit in commits {
            for path in &commit.removed {
                changes.set(path, State::Removed, home);
            }
            for path in &commit.added {
                changes.set(path, State::Added, home);
            }
            for path in &commit.modified {
                changes.set(path, State::Modified { from: None }, home);
            }
        }
        if changes.iter().all(|change| change.state == State::Withdrawn) {
            return Self::default();
        }
        changes
    }

    /// From a comparison or pull request. A renamed file is gone from its old path.
    pub(super) fn of_files(files: &[ChangedFile], home: PolicyHome) -> Self {
        let mut changes = Self::default();
        for file in files {
            let state = match file.status {
                FileStatus::Added => State::Added,
                FileStatus::Removed => State::Removed,
                FileStatus::Unchanged => continue,
                FileStatus::Renamed => {
                    let from = file.previous_filename.as_deref().filter(|from| is_read(from, home));
                    if let Some(from) = from {
                        changes.set(from, State::Removed, home);
                    }
                    from.map_or(State::Added, |from| State::Modified { from: Some(from.to_owned()) })
                }
                FileStatus::Present => State::Modified { from: None },
            };
            changes.set(&file.filename, state, home);
        }
        changes
    }

    /// From a directory: everything in it.
    pub(super) fn of_names(names: &[String], home: PolicyHome) -> Self {
        let mut changes = Self::default();
        for name in names {
            changes.set(&format!("{FOLDER}/{name}"), State::Present, home);
        }
        changes
    }

    /// Notes what happened to a file, after earlier notes.
    pub(super) fn set(&mut self, path: &str, state: State, home: PolicyHome) {
        let Some(kind) = Kind::of(path, home) else { return };
        let slot = self.slot(path);
        let earlier = slot.take();
        // A file that nothing reads is mentioned only while it exists.
        if !kind.is_read() && matches!(state, State::Removed | State::Contested) {
            return;
        }
        let state = match earlier {
            Some(earlier) => earlier.state.then(state),
            None => state,
        };
        *slot = Some(Change { path: path.to_owned(), kind, state });
    }

    /// Adds what another delivery about the same commit found. If both know a file, this one takes precedence, unless
    /// they disagree on whether it exists.
    pub(super) fn extend(&mut self, other: Self) {
        let mut others: Vec<Noted> = other.0.into_values().collect();
        others.sort_unstable_by_key(|noted| noted.order);
        for change in others.into_iter().filter_map(|noted| noted.change) {
            let slot = self.slot(&change.path);
            let Some(known) = slot else {
                *slot = Some(change);
                continue;
            };
            if (known.state == State::Removed) != (change.state == State::Removed) {
                known.state = State::Contested;
            } else if known.state == State::Present {
                // It was only known that it exists.
                *known = change;
            }
        }
    }

    /// Where a path is noted, or belongs.
    fn slot(&mut self, path: &str) -> &mut Option<Change> {
        let order = self.0.len();
        &mut self.0.entry(path.to_owned()).or_insert(Noted { order, change: None }).change
    }

    /// Drops all but this many of the files that nothing reads.
    pub(super) fn keep_misnamed(&mut self, limit: usize) {
        let misnamed = self.iter().filter(|change| change.kind == Kind::Misnamed);
        let dropped: Vec<String> = misnamed.skip(limit).map(|change| change.path.clone()).collect();
        for path in dropped {
            *self.slot(&path) = None;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Change> {
        let mut noted: Vec<&Noted> = self.0.values().collect();
        noted.sort_unstable_by_key(|noted| noted.order);
        noted.into_iter().filter_map(|noted| noted.change.as_ref())
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().filter(|noted| noted.change.is_some()).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many files have to be read.
    pub(super) fn to_read(&self) -> usize {
        self.iter().filter(|change| change.kind.is_read() && change.state.may_be_there()).count()
    }
}

fn is_read(path: &str, home: PolicyHome) -> bool {
    Kind::of(path, home).is_some_and(|kind| kind.is_read())
}

/// Every relevant file that any commit of a push touched, whatever happened to it: the caches have to drop these.
pub(super) fn touched_by_commits(commits: &[PushedCommit], home: PolicyHome) -> Vec<Kind> {
    let paths =
        commits.iter().flat_map(|commit| [&commit.added, &commit.modified, &commit.removed]).flatten();
    distinct(paths.map(String::as_str), home)
}

/// The same for a comparison: a renamed file has two names.
pub(super) fn touched_by_files(files: &[ChangedFile], home: PolicyHome) -> Vec<Kind> {
    let paths =
        files.iter().flat_map(|file| [Some(&file.filename), file.previous_filename.as_ref()]).flatten();
    distinct(paths.map(String::as_str), home)
}

fn distinct<'a>(paths: impl Iterator<Item = &'a str>, home: PolicyHome) -> Vec<Kind> {
    let mut seen = BTreeSet::new();
    let of_interest = paths.filter_map(|path| Some((path, Kind::of(path, home).filter(Kind::is_read)?)));
    of_interest.filter(|(path, _)| seen.insert(*path)).map(|(_, kind)| kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = ".github/chainguard/a.sts.yaml";
    const B: &str = ".github/chainguard/b.sts.yaml";

    fn commit(added: &[&str], modified: &[&str], removed: &[&str]) -> PushedCommit {
        let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        PushedCommit { added: owned(added), modified: owned(modified), removed: owned(removed) }
    }

    fn file(filename: &str, status: FileStatus, previous: Option<&str>) -> ChangedFile {
        ChangedFile { filename: filename.to_owned(), status, previous_filename: previous.map(str::to_owned) }
    }

    fn states(changes: &Changes) -> Vec<(&str, State)> {
        changes.iter().map(|change| (change.path.as_str(), change.state.clone())).collect()
    }

    #[test]
    fn the_end_state_of_a_push_counts() {
        let home = PolicyHome::Repository;
        let modified = || State::Modified { from: None };
        for (commits, end) in [
            (vec![commit(&[A], &[], &[]), commit(&[], &[], &[A])], vec![]),
            (vec![commit(&[], &[], &[A])], vec![(A, State::Removed)]),
            (vec![commit(&[], &[A], &[]), commit(&[], &[], &[A])], vec![(A, State::Contested)]),
            (vec![commit(&[], &[], &[A]), commit(&[A], &[], &[])], vec![(A, State::Contested)]),
            (
                vec![commit(&[A], &[], &[]), commit(&[], &[], &[A]), commit(&[A], &[], &[])],
                vec![(A, State::Contested)],
            ),
            (vec![commit(&[A], &[], &[]), commit(&[], &[A], &[])], vec![(A, State::Added)]),
            (vec![commit(&[B], &[A], &[]), commit(&[], &[B], &[])], vec![(B, State::Added), (A, modified())]),
            (
                vec![commit(&[B], &[A], &[]), commit(&[], &[], &[B])],
                vec![(B, State::Withdrawn), (A, modified())],
            ),
            (vec![commit(&["x", ".github/chainguard/x.md"], &[], &[])], vec![]),
        ] {
            assert_eq!(states(&Changes::of_commits(&commits, home)), end, "{commits:?}");
        }
    }

    /// An algorithm with quadratic steps would take hours here.
    #[test]
    fn a_hundred_thousand_files_are_noted() {
        let paths: Vec<String> = (0..100_000).map(|index| format!("{FOLDER}/p{index}.sts.yaml")).collect();
        let commits = [PushedCommit { added: paths.clone(), modified: paths.clone(), removed: Vec::new() }];
        let mut changes = Changes::of_commits(&commits, PolicyHome::Repository);
        changes.extend(Changes::of_commits(&commits, PolicyHome::Repository));
        assert_eq!((changes.len(), changes.to_read()), (100_000, 100_000));
        assert_eq!(changes.iter().next().map(|change| &change.path), paths.first());
        assert_eq!(touched_by_commits(&commits, PolicyHome::Repository).len(), 100_000);
    }

    #[test]
    fn whatever_a_push_touched_is_forgotten() {
        let commits = [commit(&[A], &[], &[]), commit(&[], &[B], &[A]), commit(&[], &[], &["x"])];
        let kinds = touched_by_commits(&commits, PolicyHome::Repository);
        assert_eq!(kinds, [Kind::Policy("a".parse().unwrap()), Kind::Policy("b".parse().unwrap())]);
    }

    #[test]
    fn a_renamed_policy_is_gone_from_where_it_was() {
        let files = [file(B, FileStatus::Renamed, Some(A))];
        let changes = Changes::of_files(&files, PolicyHome::Repository);
        let from_a = State::Modified { from: Some(A.to_owned()) };
        assert_eq!(states(&changes), [(A, State::Removed), (B, from_a)]);
        assert_eq!(touched_by_files(&files, PolicyHome::Repository).len(), 2);

        // Two files that swap names are both listed.
        let files = [file(A, FileStatus::Renamed, Some(B)), file(B, FileStatus::Renamed, Some(A))];
        let changes = Changes::of_files(&files, PolicyHome::Repository);
        assert_eq!(states(&changes), [(B, State::Contested), (A, State::Contested)]);

        let files = [file(B, FileStatus::Renamed, Some("README.md")), file(A, FileStatus::Unchanged, None)];
        assert_eq!(states(&Changes::of_files(&files, PolicyHome::Repository)), [(B, State::Added)]);
    }

    #[test]
    fn a_misnamed_file_matters_only_while_it_is_there() {
        let path = ".github/chainguard/a.yml";
        let changes = Changes::of_commits(&[commit(&[], &[], &[path])], PolicyHome::Repository);
        assert!(changes.is_empty());
        let changes =
            Changes::of_names(&["a.yml".to_owned(), "b.sts.yaml".to_owned()], PolicyHome::Repository);
        assert_eq!((changes.iter().count(), changes.to_read()), (2, 1));

        let names: Vec<String> = ["a.yml", "b.yml", "c.sts.yaml", "d.yml"].map(str::to_owned).to_vec();
        let mut changes = Changes::of_names(&names, PolicyHome::Repository);
        changes.keep_misnamed(2);
        assert_eq!((changes.iter().count(), changes.to_read()), (3, 1));
    }

    #[test]
    fn another_delivery_adds_files_and_changes_none() {
        let home = PolicyHome::Repository;
        let mut changes = Changes::of_commits(&[commit(&[A], &[], &[])], home);
        changes.extend(Changes::of_commits(&[commit(&[B], &[A], &[])], home));
        assert_eq!(states(&changes), [(A, State::Added), (B, State::Added)]);

        let mut all = Changes::of_names(&["a.sts.yaml".to_owned()], home);
        all.extend(changes);
        assert_eq!(states(&all), [(A, State::Added), (B, State::Added)]);
    }

    #[test]
    fn a_file_that_one_delivery_takes_for_removed_and_another_does_not_is_looked_at() {
        let home = PolicyHome::Repository;
        let removed = || Changes::of_commits(&[commit(&[], &[], &[A])], home);
        for other in [
            Changes::of_commits(&[commit(&[A], &[], &[])], home),
            Changes::of_commits(&[commit(&[], &[A], &[])], home),
            Changes::of_names(&["a.sts.yaml".to_owned()], home),
        ] {
            for (mut first, second) in [(removed(), other.clone()), (other, removed())] {
                first.extend(second);
                assert_eq!(states(&first), [(A, State::Contested)]);
                assert_eq!(first.to_read(), 1);
            }
        }
        let mut twice = removed();
        twice.extend(removed());
        assert_eq!(states(&twice), [(A, State::Removed)]);
    }
}
