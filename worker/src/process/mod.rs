//! Process trees that leave nothing behind: `Supervisor::run` starts a program under a supervisor process, reads all it prints in bounded
//! memory, enforces limits, and returns when every process of the tree is gone. Redaction is here too. Does not know
//! what the output means (`backend`), where it is kept (`spool`) or what a worktree is (`host/tree.rs`).

mod cgroup;
mod descendants;
mod detect;
mod error;
mod exec_in;
mod leftovers;
mod limits;
mod lines;
mod mark;
mod output;
mod pem;
mod progress;
mod redact;
mod run;
pub mod secrets;
mod sink;
mod spawn;
mod strategy;
mod supervise;
mod supervisor;
mod tree;
mod wire;

pub use error::ProcessError;
pub use exec_in::{dispatch_exec_in, exec_in_main};
pub use leftovers::Leftovers;
pub use limits::Limits;
pub use mark::MARK_VARIABLE;
pub use progress::Progress;
pub use redact::{REDACTED, RedactStream, Redactor};
pub use run::{Ended, Exit, ProcessSpec, Run, Stop};
pub use sink::{LineSink, Stream};
pub use strategy::{Strategy, StrategyReport};
pub use supervisor::{Supervisor, SupervisorOptions};
