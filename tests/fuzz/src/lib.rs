//! What fuzzers ask of everything that reads bytes from outside: one function per target, which panics if its property does not hold.
//! Finding inputs is libFuzzer's (`bin/`); what was found once is in `corpus/`, by target.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod agent;
pub mod frames;
pub mod packs;
pub mod paths;
pub mod requests;
pub mod spec;
pub mod spool;

/// The first byte chooses, the rest is what is read.
fn chosen(data: &[u8], of: u8) -> Option<(u8, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((first % of, rest))
}
