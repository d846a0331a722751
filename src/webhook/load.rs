//! What a file is, with the same functions that the exchange uses.

use std::rc::Rc;

use crate::policy::{self, Accepted, Diagnostic, PolicyHome, trusted_issuers};
use crate::webhook::commit::Verdict;
use crate::webhook::paths::Kind;

/// What loading a file says.
pub(super) struct Loaded {
    pub(super) verdict: Verdict,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) accepted: Vec<Accepted>,
}

/// The verdict, with the same functions that the exchange uses.
pub(super) fn load(kind: &Kind, content: &[u8], home: PolicyHome) -> Loaded {
    match kind {
        Kind::TrustedIssuers => {
            loaded(trusted_issuers::load(content), |issuers| Verdict::Issuers(Rc::new(issuers)))
        }
        Kind::Policy(_) | Kind::IllegalName | Kind::Misnamed => {
            loaded(policy::check(content, home), |policy| Verdict::Policy(Rc::new(policy)))
        }
    }
}

fn loaded<T>(report: policy::Report<T>, valid: impl FnOnce(T) -> Verdict) -> Loaded {
    let policy::Report { value, diagnostics, accepted } = report;
    Loaded { verdict: value.map_or(Verdict::Invalid, valid), diagnostics, accepted }
}
