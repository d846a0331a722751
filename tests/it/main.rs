//! The service over `api::handle`, with stateful fakes behind its ports: GitHub, issuers, KV, a log and a clock that are
//! inspected afterwards. Signatures are real.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

#[global_allocator]
static ALLOCATOR: octo_sts_test_allocator::Counting = octo_sts_test_allocator::Counting;

mod caches;
mod cases;
mod configuration;
mod exchange;
mod faults;
mod federation;
mod floods;
mod issuers;
mod leaks;
mod limits;
mod metadata;
mod metrics;
mod narrowing;
mod organization;
mod proxy;
mod proxy_headers;
mod proxy_order;
mod proxy_sessions;
mod replay;
mod requests;
mod revocation;
mod sessions;
mod token_endpoint;
mod webhook;
mod webhook_caches;
mod webhook_cases;
mod webhook_files;
mod webhook_green;
mod webhook_quota;
mod webhook_report;
