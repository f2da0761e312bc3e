//! Why a process tree could not be run, or its end not be seen.

use super::strategy::Strategy;

/// Why a program could not be run or its end not be seen. All but `NotStarted` and `BadInput` are this host's fault, not the program's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// None of the strategies works here.
    #[error("no way to keep process trees together works on this host: {}", .0.iter().map(|(strategy, why)| format!("{strategy}: {why}")).collect::<Vec<_>>().join("; "))]
    NoStrategy(Vec<(Strategy, String)>),
    /// Processes of an earlier worker of this workspace cannot be killed.
    #[error("processes of an earlier run of this worker cannot be killed: {}; end them, then start again", .0.join(", "))]
    LeftoversSurvive(Vec<String>),
    /// The supervisor process cannot be started or set itself up.
    #[error("cannot start a supervisor process: {0}")]
    Launch(#[source] std::io::Error),
    /// The program cannot be started.
    #[error("cannot start {why}")]
    NotStarted {
        /// What and why.
        why: String,
        /// The program's file does not exist.
        missing: bool,
    },
    /// What should be run cannot be passed on.
    #[error("cannot run this: {0}")]
    BadInput(#[source] std::io::Error),
    /// The supervisor died or hung; the tree was killed by force.
    #[error("the supervisor process was lost and the tree killed{}", if .survivors.is_empty() { String::new() } else { format!("; still running: {}", .survivors.join(", ")) })]
    SupervisorLost {
        /// Processes that could not be killed.
        survivors: Vec<String>,
    },
    /// The sink panicked; the tree was killed.
    #[error("the reader of the program's output failed; the program was killed")]
    SinkFailed,
}
