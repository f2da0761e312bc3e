//! What the core does in cases that were once got wrong. Each is as small as it can be.
#![allow(missing_docs)]

mod attach;
mod contend;
mod credit;
mod end;
mod import;
mod left_out;
mod merge;
mod names;
mod schedule;
mod shell;
mod standing;
mod step;
mod table;
