//! The used members of `check_suite` and `check_run`.
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads#check_suite>

use crate::webhook::payload::{Sha, Tip};

octo_sts_verifier::json_members! {
    /// `check_suite`
    #[derive(Debug)]
    pub(super) struct CheckSuiteEvent {
        pub(super) check_suite: CheckSuite => take,
    }
}

octo_sts_verifier::json_members! {
    /// `check_run`
    #[derive(Debug)]
    pub(super) struct CheckRunEvent {
        pub(super) check_run: CheckRunMember => take,
    }
}

octo_sts_verifier::json_members! {
    #[derive(Debug)]
    pub(super) struct CheckRunMember {
        pub(super) name: Option<String> => take_optional,
        pub(super) check_suite: CheckSuite => take,
    }
}

octo_sts_verifier::json_members! {
    #[derive(Debug)]
    pub(super) struct CheckSuite {
        pub(super) head_sha: Sha => take,
        /// `None` for a commit that is only on a fork.
        pub(super) head_branch: Option<String> => take_optional,
        /// `None` if GitHub does not know it; zeros for a new branch.
        pub(super) before: Option<Sha> => take_optional,
        pub(super) pull_requests: Vec<LinkedPullRequest> => take_or_default,
    }
}

octo_sts_verifier::json_members! {
    /// A pull request whose head is the suite's commit. It may be one of another repository of the network.
    #[derive(Debug)]
    pub(super) struct LinkedPullRequest {
        pub(super) number: u64 => take,
        pub(super) base: Option<Tip> => take_optional,
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
