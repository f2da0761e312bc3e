//! The fuzzer's entry to `paths`.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roundtable_fuzz::paths::check(data));
