//! How runs, attempts, workers and tokens stand, and why units wait: derived when somebody looks, told in read models, never stored.

use serde::{Deserialize, Serialize};

use super::unit::enum_text;

/// How a run stands as a whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Owners and manifests are being found.
    Assigning,
    /// Something moves, or will by itself.
    Running,
    /// Nothing more is granted until somebody resumes it.
    Paused,
    /// Only a person can move it: by a decision, or by the next step in manual mode.
    Waiting,
    /// Stopped for now, and at rest.
    Halted,
    /// Over: every unit that runs is completed or skipped.
    Complete,
    /// Over otherwise.
    Incomplete,
}

enum_text!(RunStatus {
    Assigning => "assigning",
    Running => "running",
    Paused => "paused",
    Waiting => "waiting",
    Halted => "halted",
    Complete => "complete",
    Incomplete => "incomplete",
});

/// How an attempt stands or ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// It holds its seat.
    Running,
    /// It is over and being handed in.
    Delivering,
    /// It did what was asked.
    Completed,
    /// It failed.
    Failed,
    /// Its worker was silent, or it was far over its limits.
    Lost,
    /// Its worker gave it back, or never took it.
    HandedBack,
    /// We ended it.
    Revoked,
    /// Its outcome came when another attempt already held the seat.
    Stale,
}

enum_text!(AttemptOutcome {
    Running => "running",
    Delivering => "delivering",
    Completed => "completed",
    Failed => "failed",
    Lost => "lost",
    HandedBack => "handed_back",
    Revoked => "revoked",
    Stale => "stale",
});

/// How a worker stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerStatus {
    /// It is here and has nothing to do.
    Ready,
    /// It is at work.
    Busy,
    /// It gets nothing more and ends what it has.
    Draining,
    /// It gets nothing, by a person's word.
    Drained,
    /// It is broken and gets nothing for a while.
    Cordoned,
    /// It has not been heard of for a moment.
    Silent,
    /// It is not here.
    Gone,
}

enum_text!(WorkerStatus {
    Ready => "ready",
    Busy => "busy",
    Draining => "draining",
    Drained => "drained",
    Cordoned => "cordoned",
    Silent => "silent",
    Gone => "gone",
});

/// Whether a token still lets somebody in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenStatus {
    /// It does.
    Open,
    /// As many as may have come in by it.
    Used,
    /// Its time is over.
    Expired,
    /// Somebody revoked it.
    Revoked,
}

enum_text!(TokenStatus { Open => "open", Used => "used", Expired => "expired", Revoked => "revoked" });

/// Kinds of reasons for which a unit waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is its own word, explained where the reason is raised")]
pub enum WaitKind {
    Dependency,
    Hazard,
    Hold,
    Exclusive,
    Contended,
    Slot,
    Backend,
    Label,
    Parked,
    Backoff,
    Decision,
    Assignment,
    Integration,
    Check,
    Review,
    Paused,
    Step,
    Orchestrator,
    Attempt,
    Ended,
}

enum_text!(WaitKind {
    Dependency => "dependency",
    Hazard => "hazard",
    Hold => "hold",
    Exclusive => "exclusive",
    Contended => "contended",
    Slot => "slot",
    Backend => "backend",
    Label => "label",
    Parked => "parked",
    Backoff => "backoff",
    Decision => "decision",
    Assignment => "assignment",
    Integration => "integration",
    Check => "check",
    Review => "review",
    Paused => "paused",
    Step => "step",
    Orchestrator => "orchestrator",
    Attempt => "attempt",
    Ended => "ended",
});

/// Why a unit of a plan comes after an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanReason {
    /// It says so.
    Dependency,
    /// It is a checkpoint.
    Checkpoint,
    /// The earlier one writes what it reads or writes.
    Hazard,
    /// One of the two has no manifest.
    Exclusive,
}

enum_text!(PlanReason { Dependency => "dependency", Checkpoint => "checkpoint", Hazard => "hazard", Exclusive => "exclusive" });
