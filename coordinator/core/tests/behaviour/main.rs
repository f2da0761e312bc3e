//! What the core does in cases that were once got wrong. Each is as small as it can be.
#![allow(missing_docs)]

mod access;
mod assign;
mod attach;
mod check;
mod consult;
mod contend;
mod converse;
mod cordon;
mod credit;
mod drain;
mod end;
mod import;
mod label;
mod late;
mod left_out;
mod look;
mod manifest;
mod merge;
mod missing;
mod names;
mod park;
mod refusal;
mod remove;
mod rest;
mod restart;
mod rounds;
mod saved;
mod schedule;
mod shell;
mod silence;
mod standing;
mod step;
mod table;
mod train;
mod warm;
