//! The used members of `check_suite` and `check_run`.
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads#check_suite>

use serde_json::Value;

use crate::json::{FromJson, Object, Shape, Unfit};
use crate::webhook::payload::{Payload, Sha, TIP, Tip};

/// `check_suite`
#[derive(Debug)]
pub(super) struct CheckSuiteEvent {
    pub(super) check_suite: CheckSuite,
}

impl Payload for CheckSuiteEvent {
    const SHAPE: Shape = Shape(&[("check_suite", SUITE)]);
}

const SUITE: Shape = Shape(&[
    ("head_sha", Shape::ALL),
    ("head_branch", Shape::ALL),
    ("before", Shape::ALL),
    ("pull_requests", Shape(&[("number", Shape::ALL), ("base", TIP)])),
]);

impl FromJson for CheckSuiteEvent {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut event = Object::from_json(json)?;
        Ok(Self { check_suite: event.take("check_suite")? })
    }
}

/// `check_run`
#[derive(Debug)]
pub(super) struct CheckRunEvent {
    pub(super) check_run: CheckRunMember,
}

impl Payload for CheckRunEvent {
    const SHAPE: Shape = Shape(&[("check_run", Shape(&[("name", Shape::ALL), ("check_suite", SUITE)]))]);
}

impl FromJson for CheckRunEvent {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut event = Object::from_json(json)?;
        Ok(Self { check_run: event.take("check_run")? })
    }
}

#[derive(Debug)]
pub(super) struct CheckRunMember {
    pub(super) name: Option<String>,
    pub(super) check_suite: CheckSuite,
}

impl FromJson for CheckRunMember {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut run = Object::from_json(json)?;
        Ok(Self { name: run.take_optional("name")?, check_suite: run.take("check_suite")? })
    }
}

#[derive(Debug)]
pub(super) struct CheckSuite {
    pub(super) head_sha: Sha,
    /// `None` for a commit that is only on a fork.
    pub(super) head_branch: Option<String>,
    /// `None` if GitHub does not know it; zeros for a new branch.
    pub(super) before: Option<Sha>,
    pub(super) pull_requests: Vec<LinkedPullRequest>,
}

impl FromJson for CheckSuite {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut suite = Object::from_json(json)?;
        Ok(Self {
            head_sha: suite.take("head_sha")?,
            head_branch: suite.take_optional("head_branch")?,
            before: suite.take_optional("before")?,
            pull_requests: suite.take_or_default("pull_requests")?,
        })
    }
}

/// A pull request whose head is the suite's commit. It may be one of another repository of the network.
#[derive(Debug)]
pub(super) struct LinkedPullRequest {
    pub(super) number: u64,
    pub(super) base: Option<Tip>,
}

impl FromJson for LinkedPullRequest {
    fn from_json(json: Value) -> Result<Self, Unfit> {
        let mut pull = Object::from_json(json)?;
        Ok(Self { number: pull.take("number")?, base: pull.take_optional("base")? })
    }
}

impl LinkedPullRequest {
    /// Whether it is a pull request of that repository, as far as either is known.
    pub(super) fn is_of(&self, repository: Option<u64>) -> bool {
        let base = self.base.as_ref().and_then(|base| base.repo.as_ref()?.id);
        match (base, repository) {
            (Some(base), Some(repository)) => base == repository,
            (None, _) | (_, None) => true,
        }
    }
}
