//! What the shell does after the append. Effects are data; each is idempotent, and those that are owed can be derived from the state again after
//! a crash (`outstanding`), so none is ever lost.

use std::sync::Arc;

use roundtable_shared::{AttemptNo, BackendName, CommitId, LeaseRef, RunId, TaskId, UnitId, WorkerId};

use crate::state::Granted;
pub use crate::state::Start;

/// One thing to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Send a lease to its worker: the shell makes the start commit and the prompt. Failure: `ShellAnswer::GrantFailed`.
    Grant(Box<Grant>),
    /// Tell a worker to stop an attempt (also repeated in every heartbeat ack until it is gone).
    Revoke {
        /// The worker.
        worker: WorkerId,
        /// The lease.
        lease: LeaseRef,
        /// For a person.
        reason: String,
    },
    /// End a worker's older stream.
    EndSession {
        /// The worker.
        worker: WorkerId,
        /// The session to end.
        session: u64,
    },
    /// Make the unit's commit on the tip. Answer: `ShellAnswer::IntegrationPrepared`.
    PrepareIntegration(Box<PrepareIntegration>),
    /// Move the run's branch from `old` to `new`, idempotently. Answer: `ShellAnswer::BranchMoved`.
    MoveBranch {
        /// The run.
        run: RunId,
        /// Where it is.
        old: CommitId,
        /// Where it goes.
        new: CommitId,
    },
    /// Merge a unit's last commit with the tip without integrating it (contended paths freed; resume by a person). Answer: `ShellAnswer::Merged`.
    MergeWithTip {
        /// The run.
        run: RunId,
        /// The unit.
        unit: UnitId,
        /// Its base.
        base: CommitId,
        /// Its commit.
        commit: CommitId,
        /// The tip.
        tip: CommitId,
    },
    /// Make the closing commit (learnings, boxes not yet ticked) and move the branch. Answer: `ShellAnswer::RunClosed`.
    CloseRun {
        /// The run.
        run: RunId,
        /// The tip.
        tip: CommitId,
        /// Boxes to tick: tasks of units completed without a commit of their own.
        ticks: Vec<TaskId>,
        /// Learnings with the paths of the unit they come from.
        learnings: Vec<(String, Vec<String>)>,
    },
    /// Notice for whoever watches the run (also recorded in the state).
    Notice {
        /// The run.
        run: RunId,
        /// For a person.
        text: String,
    },
}

/// A lease to send.
#[derive(Clone, PartialEq, Debug)]
pub struct Grant {
    /// The lease.
    pub lease: LeaseRef,
    /// Its worker's session.
    pub session: u64,
    /// What it entitles to.
    pub granted: Arc<Granted>,
}

/// What an integration commit is made of (docs/rules.md, "Integration").
#[derive(Clone, PartialEq, Debug)]
pub struct PrepareIntegration {
    /// The run.
    pub run: RunId,
    /// The unit.
    pub unit: UnitId,
    /// The unit's base.
    pub base: CommitId,
    /// The tip it goes on.
    pub tip: CommitId,
    /// The attempt's commit.
    pub commit: CommitId,
    /// That attempt.
    pub attempt: AttemptNo,
    /// Title of the unit.
    pub title: String,
    /// Boxes to tick in the same commit (the unit's, and those owed by units without a commit).
    pub ticks: Vec<TaskId>,
    /// Backends that reviewed it.
    pub reviewed_by: Vec<BackendName>,
    /// Whether the unit's writes name `AGENTS.md` files (else edits of them are learnings and dropped).
    pub keeps_agents_md: bool,
    /// Author and committer date, milliseconds: from the record, so that a redo gives the same commit.
    pub date_ms: u64,
}
