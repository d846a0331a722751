//! Trust policies: YAML to [`CompiledPolicy`] to [`Grant`] or [`Denial`]; and the organization's trusted issuers.
//!
//! Pure and synchronous: no clock, no network, no environment. The exchange, the check run and the command line run
//! this same code, so a green check cannot disagree with the exchange.

pub mod names;

mod accept;
mod admission;
mod codes;
mod compiled;
#[cfg(debug_assertions)]
pub mod cost;
#[cfg(not(debug_assertions))]
mod cost;
mod decision;
mod denial;
mod diagnostic;
mod dialect;
mod document;
mod entry;
mod fields;
mod file_name;
mod lint;
mod load;
mod narrowing;
mod nobody;
mod node;
mod pattern;
mod permissions;
mod permissions_list;
mod scalar;
#[cfg(not(target_arch = "wasm32"))]
pub mod schema;
mod shape;
mod source;
mod subject;
pub mod trusted_issuers;
mod weight;

pub use accept::Accepted;
pub use admission::{AdmissionRule, RuleProblem, admit, load_rule};
pub use codes::{
    Code, FILE_IS_LINK, FILE_MISNAMED, IDENTITY_NAME, PERMISSION_NOT_INSTALLED, diagnostic_code,
    diagnostic_codes,
};
pub use compiled::{AppIdentity, AppRule, AudienceRule, CompiledPolicy, Matcher, PolicyHome};
pub use decision::{
    Actual, Evaluation, Expectation, Grant, RepositorySelection, Rule, Step, authorize, evaluate,
};
pub use denial::Denial;
pub use diagnostic::{Diagnostic, Report, Severity, nearest};
pub use entry::{EntryRule, admit_entry, load_entry_rule};
pub use file_name::{FileName, Misnamed, POLICY_FOLDER, TRUSTED_ISSUERS_FILE};
pub use load::{check, load};
pub use narrowing::{Narrowing, NarrowingError, NotGranted};
pub use pattern::{MAX_PATTERN_CHARACTERS, Pattern, PatternError, PatternErrorKind};
pub use permissions::{
    Known, Level, LevelError, Permissions, Source, Subject, known_permission, known_permissions,
};
pub use subject::{GITHUB_ACTIONS, RunContext, RunRepository, RunSubject, is_github_actions};
