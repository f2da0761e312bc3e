//! What the core does in cases that were once got wrong. Each is as small as it can be.
#![allow(missing_docs)]

mod contend;
mod table;
mod import;
mod step;
mod shell;
mod end;
