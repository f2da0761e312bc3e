//! The worker: takes leases, runs agents in worktrees, reports what came of it.

pub mod args;
pub mod backend;
pub mod doctor;
mod error;
pub mod host;
pub mod identity;
pub mod install;
pub mod join;
mod options;
mod place;
pub mod process;
pub mod session;
pub mod spool;
pub mod tmux;

use std::process::ExitCode;

/// Version, commit and protocol range, as `--version` prints them.
pub const VERSION_LONG: &str = roundtable_runtime::VERSION_LONG;

/// Runs a hidden subcommand of this executable (`exec-in`: supervise a process tree; `play`: play a turn from a playbook), if that is what it was
/// started for. Every binary that can run agents calls this before anything else.
pub fn dispatch_hidden() -> Option<ExitCode> {
    if let Some(code) = process::dispatch_exec_in() {
        return Some(code);
    }
    let mut args = std::env::args_os();
    let _program = args.next();
    (args.next()? == "play").then(|| backend::play_main(args))
}
