//! What a delivery found, together with what the check runs of its commit know already. GitHub sends several events about
//! one commit in any order, and none may hide what another found.

use crate::policy::PolicyHome;
use crate::webhook::changes::Changes;
use crate::webhook::commit::Base;
use crate::webhook::listing::TooMany;
use crate::webhook::record::Record;

/// Names that nothing reads are pointed out, not collected.
const MAX_MISNAMED: usize = 50;

/// All that is known of a commit.
#[derive(Debug)]
pub(super) struct Together {
    pub(super) changes: Changes,
    pub(super) base: Base,
    /// `base` is an earlier delivery's, and what became of a file is said relative to that.
    pub(super) base_is_earlier: bool,
    pub(super) too_many: Option<TooMany>,
}

impl Together {
    /// `anew`: somebody asked for a new answer, so what an earlier delivery could not do is forgotten.
    pub(super) fn new(
        found: Result<Changes, TooMany>,
        base: Base,
        records: &[Record],
        home: PolicyHome,
        anew: bool,
    ) -> Self {
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
        // What became of a file is said relative to a base, so both come from the same delivery: a pull request's, else
        // the first one's.
        let earlier = ordered().find_map(Record::base).filter(|_| !base.of_pull_request);
        let base_is_earlier = earlier.is_some();
        let base = match earlier {
            Some(commit) => {
                known.extend(std::mem::take(&mut changes));
                changes = known;
                let of_pull_request = !of_pull_requests.is_empty();
                Base { commit: Some(commit), of_pull_request, remembered: None }
            }
            None => {
                changes.extend(known);
                base
            }
        };
        changes.keep_misnamed(MAX_MISNAMED);
        Self { changes, base, base_is_earlier, too_many }
    }
}
