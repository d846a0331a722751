//! What a check run remembers of how it came about, in a comment at the end of its own text: so that another delivery
//! about the same commit, whichever comes first, adds to it and takes nothing away.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::github::{Annotation, CommitSha};
use crate::json::{FromJson, Object, Shape, Unfit, read_members};
use crate::policy::PolicyHome;
use crate::webhook::changes::{Changes, State};

/// GitHub's bound on the text is 65,535 characters, and 200 annotations take 3000 of them.
const MAX_CHARACTERS: usize = 60_000;

const OPENING: &str = "<!-- octo-sts: ";
const CLOSING: &str = " -->";

/// What a check run is made of.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Record {
    /// Paths and what became of them.
    pub(super) files: Vec<(String, State)>,
    /// The commit that they were compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) base: Option<String>,
    /// That commit is the base of a pull request.
    pub(super) of_pull_request: bool,
    /// There were too many files, so what is here is not all.
    pub(super) too_many: bool,
    /// Annotations that are there already: GitHub only ever adds some.
    pub(super) annotated: Vec<String>,
}

impl FromJson for Record {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut record = Object::from_json(json)?;
        Ok(Self {
            files: record.take("files")?,
            base: record.take_optional("base")?,
            of_pull_request: record.take_or_default("of_pull_request")?,
            too_many: record.take_or_default("too_many")?,
            annotated: record.take_or_default("annotated")?,
        })
    }
}

impl Record {
    /// The record in a check run's text. Texts without one, and records of another version of us, are none.
    pub(super) fn find(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(OPENING)?;
        let json = STANDARD.decode(rest.split_once(CLOSING)?.0).ok()?;
        read_members(&json, Shape::ALL).ok()
    }

    /// Whether it can be written, with all the annotations that may come.
    pub(super) fn fits(&self) -> bool {
        self.encoded().len() <= MAX_CHARACTERS
    }

    /// A comment that nothing in it can end early: base64 has no `-`.
    pub(super) fn to_comment(&self) -> String {
        self.encoded()
    }

    fn encoded(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        format!("{OPENING}{}{CLOSING}", STANDARD.encode(json))
    }

    /// The files, as far as their paths still mean something.
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
    use super::*;

    #[test]
    fn a_record_survives_in_markdown() {
        let record = Record {
            files: vec![
                (".github/chainguard/-->.sts.yaml".to_owned(), State::Added),
                (".github/chainguard/a.sts.yaml".to_owned(), State::Modified { from: Some("x".to_owned()) }),
                (".github/chainguard/b.sts.yaml".to_owned(), State::Removed),
            ],
            base: Some("a".repeat(40)),
            of_pull_request: true,
            too_many: true,
            annotated: vec!["abcd".to_owned()],
        };
        let comment = record.to_comment();
        assert_eq!(comment.matches("--").count(), 2);
        assert_eq!(Record::find(&format!("text {comment}")), Some(record));
    }

    #[test]
    fn what_is_no_record_is_none() {
        for text in [
            "",
            "text",
            "<!-- octo-sts:  -->",
            "<!-- octo-sts: e30= -->",
            "<!-- octo-sts: e30=",
            "<!-- octo-sts: * -->",
        ] {
            assert_eq!(Record::find(text), None, "{text}");
        }
    }
}
