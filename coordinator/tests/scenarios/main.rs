//! What users of the single-host program relied on, and what it should have done where it did not: each test names the behaviour. Deviations are
//! listed in `docs/migrating.md`.
#![allow(clippy::unwrap_used, missing_docs)]

mod intake;
mod mirror;
mod modes;
mod people;
mod review;
mod told;
mod views;
mod work;
mod world;
