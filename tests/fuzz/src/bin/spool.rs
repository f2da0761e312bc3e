//! The fuzzer's entry to `spool`.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roundtable_fuzz::spool::check(data));
