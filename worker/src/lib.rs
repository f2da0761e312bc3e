//! The worker: takes leases, runs agents in worktrees, reports what came of it.

pub mod backend;
pub mod process;
pub mod session;
pub mod spool;
