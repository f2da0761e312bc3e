//! The fuzzer's entry to `requests`.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roundtable_fuzz::requests::check(data));
