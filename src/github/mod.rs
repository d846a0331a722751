//! GitHub's REST API as values: each call is built, sent and read in one place, and every failure is a variant of
//! [`Failure`]. A request for a token can be built only from a [`crate::policy::Grant`] or as one of the fixed kinds in
//! [`mint`].

mod answer;
mod app_jwt;
mod base_url;
mod changed_files;
mod check_run;
mod commit;
mod contents;
mod installation;
pub mod mint;
mod private_key;
mod request;
mod revoke;

pub use answer::Failure;
pub use app_jwt::{AppIdentity, AppJwtError, AppKey};
pub use base_url::{BaseUrl, BaseUrlError, is_loopback};
pub use changed_files::{
    ChangedFile, FileStatus, MAX_COMPARED_FILES, MAX_PULL_REQUEST_FILES, PULL_REQUEST_FILES_PER_PAGE,
    compare, pull_request_files,
};
pub use check_run::{
    Annotation, AnnotationLevel, CHECK_RUNS_PER_PAGE, CheckRun, CheckRunApp, CheckRunBody, CheckRuns,
    CheckRunsQuery, Conclusion, ExistingOutput, MAX_ANNOTATIONS_PER_REQUEST, Output, check_runs,
    create_check_run, update_check_run,
};
pub use commit::{CommitSha, CommitShaError};
pub use contents::{File, MAX_DIRECTORY_ENTRIES, list_directory_at, read_file, read_file_at, see_repository};
pub use installation::{
    Installation, installation_of_organization, installation_of_repository, installation_of_user,
};
pub use private_key::{PrivateKeyError, parse_private_key, rsa_public_parts};
pub use request::Call;
pub use revoke::revoke;
