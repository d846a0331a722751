//! The record of a check run, in a comment at the end of its own text. With it, another delivery about the same commit,
//! in any order, adds to the run and removes nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::github::{Annotation, CommitSha};
use crate::json::{Shape, ToJson as _, read_members};
use crate::policy::PolicyHome;
use crate::webhook::changes::{Changes, State};

/// GitHub's bound on the text is 65,535 bytes, and 200 annotations take 3000 of them.
const MAX_BYTES: usize = 60_000;

const OPENING: &str = "<!-- octo-sts: ";
const CLOSING: &str = " -->";

octo_sts_verifier::json_object! {
    /// The content of the record. Members of earlier versions keep their meaning; this version ignores members that a
    /// later one adds.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub(super) struct Record {
        /// Paths and what happened to them.
        pub(super) files: Vec<(String, State)> => take,
        /// The commit that they were compared with.
        pub(super) base: Option<String> => take_optional,
        /// That commit is the base of a pull request.
        pub(super) of_pull_request: bool => take_or_default,
        /// The number of that pull request: GitHub does not send it with a re-run of a fork's commit.
        pub(super) pull_request: Option<u64> => take_optional,
        /// There were too many files, so this record is incomplete.
        pub(super) too_many: bool => take_or_default,
        /// An event's files could not be listed, so this record is incomplete.
        pub(super) unlisted: Option<Unlisted> => take_optional,
        /// An earlier record could not be read, so this record is incomplete.
        pub(super) damaged: bool => take_or_default,
        /// Existing annotations: GitHub only ever adds some.
        pub(super) annotated: Vec<String> => take_or_default,
    }
}

octo_sts_verifier::json_alternatives! {
    /// Whose files could not be listed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Unlisted {
        /// A pull request's: only a pull request's list makes up for it.
        PullRequest = "pull_request",
        /// Those between two commits, or of the folder.
        Commits = "commits",
    }
}

impl Record {
    /// The record in a check run's text. A run without any text comes from another service with our name and App (the
    /// Go service, during a migration), and has no record. Text without a readable record was ours, and its record is
    /// lost, so it proves nothing.
    pub(super) fn of(text: Option<&str>) -> Self {
        match text.filter(|text| !text.is_empty()) {
            None => Self::default(),
            Some(text) => Self::find(text).unwrap_or(Self { damaged: true, ..Self::default() }),
        }
    }

    /// `None`: there is no readable record.
    fn find(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(OPENING)?;
        let json = STANDARD.decode(rest.split_once(CLOSING)?.0).ok()?;
        read_members(&json, Shape::ALL).ok()
    }

    /// Whether it can be written, with all the annotations that may follow.
    pub(super) fn fits(&self) -> bool {
        self.encoded().len() <= MAX_BYTES
    }

    /// The shortest record that says that it is incomplete.
    pub(super) fn emptied(&self) -> Self {
        Self { too_many: true, annotated: Vec::new(), files: Vec::new(), ..self.clone() }
    }

    /// Nothing can end the comment early, because base64 has no `-`.
    pub(super) fn to_comment(&self) -> String {
        self.encoded()
    }

    fn encoded(&self) -> String {
        let json = self.to_json().to_string();
        format!("{OPENING}{}{CLOSING}", STANDARD.encode(json))
    }

    /// The files whose paths are still relevant.
    pub(super) fn changes(&self, home: PolicyHome) -> Changes {
        let mut changes = Changes::default();
        for (path, state) in &self.files {
            changes.set(path, state.clone(), home);
        }
        changes
    }

    /// The commit that the files were compared with.
    pub(super) fn base(&self) -> Option<CommitSha> {
        self.base.as_deref()?.parse().ok()
    }
}

/// A short name for an annotation.
pub(super) fn fingerprint(annotation: &Annotation) -> String {
    let text = serde_json::to_vec(annotation).unwrap_or_default();
    let hash = Sha256::digest(&text);
    STANDARD.encode(hash.iter().copied().take(6).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    use serde_json::json;

    use super::*;
    use crate::json::FromJson as _;

    fn states() -> impl Strategy<Value = State> {
        prop_oneof![
            Just(State::Added),
            Just(State::Present),
            option::of(any::<String>()).prop_map(|from| State::Modified { from }),
            Just(State::Removed),
            Just(State::Contested),
            Just(State::Withdrawn),
        ]
    }

    fn unlisted() -> impl Strategy<Value = Unlisted> {
        prop_oneof![Just(Unlisted::PullRequest), Just(Unlisted::Commits)]
    }

    fn records() -> impl Strategy<Value = Record> {
        let files = vec((any::<String>(), states()), 0..8);
        let flags = any::<(bool, bool, bool)>();
        let optional = (option::of("[0-9a-f]{40}"), option::of(any::<u64>()), option::of(unlisted()));
        (files, flags, optional, vec("[A-Za-z0-9+/]{8}", 0..4)).prop_map(
            |(files, (of_pull_request, too_many, damaged), (base, pull_request, unlisted), annotated)| {
                Record { files, base, of_pull_request, pull_request, too_many, unlisted, damaged, annotated }
            },
        )
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_as_it_was(record in records(), before in any::<String>()) {
            let comment = record.to_comment();
            prop_assert_eq!(comment.matches("--").count(), 2, "nothing in it ends the comment");
            prop_assert_eq!(Record::of(Some(&format!("{before}{comment}\n"))), record);
        }

        #[test]
        fn a_damaged_record_proves_nothing(record in records(), at in any::<prop::sample::Index>(), with in any::<char>()) {
            let mut text: Vec<char> = record.to_comment().chars().collect();
            let at = at.index(text.len());
            text[at] = with;
            let found = Record::of(Some(&text.into_iter().collect::<String>()));
            // A flipped base64 letter may give a different record: it is reported as damaged, or it is valid.
            prop_assert!(found.damaged || Record::from_json(found.to_json()).is_ok_and(|again| again == found));
        }
    }

    #[test]
    fn the_property_goes_through_every_alternative() {
        let mut runner = TestRunner::deterministic();
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let (state, list) = (states(), unlisted());
            seen.insert(word(&state.new_tree(&mut runner).unwrap().current().to_json()));
            seen.insert(word(&list.new_tree(&mut runner).unwrap().current().to_json()));
        }
        for word in State::WORDS.iter().chain(Unlisted::WORDS) {
            assert!(seen.contains(*word), "{word}");
        }
    }

    fn word(json: &serde_json::Value) -> String {
        let member = json.as_object().and_then(|object| object.keys().next()).cloned();
        member.unwrap_or_else(|| json.as_str().unwrap().to_owned())
    }

    #[test]
    fn records_of_the_version_before_are_read() {
        let json = json!({
            "files": [["a", "added"], ["b", { "modified": { "from": "c" } }], ["d", { "modified": {} }], ["e", "contested"]],
            "of_pull_request": true, "too_many": false, "annotated": ["x"], "novel": 1,
        });
        let record = Record::from_json(json).unwrap();
        assert_eq!((record.files.len(), record.of_pull_request, record.damaged), (4, true, false));
    }

    #[test]
    fn a_text_without_a_readable_record_is_a_damaged_one() {
        for text in [
            "text",
            "<!-- octo-sts:  -->",
            "<!-- octo-sts: e30= -->",
            "<!-- octo-sts: e30=",
            "<!-- octo-sts: * -->",
        ] {
            assert!(Record::of(Some(text)).damaged, "{text}");
        }
        // Nothing was written here.
        for text in [None, Some("")] {
            assert_eq!(Record::of(text), Record::default());
        }
    }
}
