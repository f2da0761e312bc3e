//! The fuzzer's entry to `spec`.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roundtable_fuzz::spec::check(data));
