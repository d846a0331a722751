#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| octo_sts_worker_fuzz::run("policy", data));
