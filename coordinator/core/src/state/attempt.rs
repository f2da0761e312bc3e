//! One execution of a seat, as it is remembered. Numbering and fencing are in `settle::dispatch::grant` and `decide::report`.

use roundtable_shared::time::WallMs;
use roundtable_shared::{
    AgentSessionId, AttemptKey, AttemptNo, BackendName, CommitId, LeaseId, OutcomeClass, Role, RunId, Seat, TaskId, UnitId, Usage, WorkerId,
};
use serde::{Deserialize, Serialize};

use super::start::Start;

/// An attempt of a unit or, at run level, of a run.
#[derive(Clone, PartialEq, Debug)]
pub struct Attempt {
    /// Its number.
    pub no: AttemptNo,
    /// The seat it fills.
    pub seat: Seat,
    /// What it is asked to do.
    pub role: Role,
    /// Which turn of its role it is, for playbooks.
    pub turn: u32,
    /// Review round it belongs to; 0 outside reviews.
    pub round: u32,
    /// The lease that entitles to it.
    pub lease_id: LeaseId,
    /// Who runs it.
    pub worker: WorkerId,
    /// The backend that plays it.
    pub backend: BackendName,
    /// The pool whose slot it takes.
    pub pool: String,
    /// The account, for parking.
    pub account: String,
    /// The model asked for with the run, for parking; empty = the backend's own.
    pub model: String,
    /// Manifest and reviews look at base..commit.
    pub base: CommitId,
    /// What its worktree is made of.
    pub start: Start,
    /// The attempt whose commit or agent session it goes on from.
    pub resumed_from: Option<AttemptNo>,
    /// Agent session it was asked to resume.
    pub resume: Option<AgentSessionId>,
    /// The third fix, played elsewhere.
    pub escalated: bool,
    /// When it was granted.
    pub granted_at: WallMs,
    /// When the agent ran.
    pub started_at: Option<WallMs>,
    /// When it ended.
    pub ended_at: Option<WallMs>,
    /// How it ended; `None` while it is live.
    pub end: Option<AttemptEnd>,
    /// Who pays for its failure.
    pub class: Option<OutcomeClass>,
    /// What failed, for a person.
    pub error: Option<String>,
    /// The CLI's exit code.
    pub exit_code: Option<i32>,
    /// Digest of the outcome that was accepted: the same again gets the same verdict.
    pub digest: Option<String>,
    /// What it left.
    pub commit: Option<CommitId>,
    /// The last its worker handed in on the way.
    pub saved: Option<Saved>,
    /// The CLI's conversation, by which it can be resumed.
    pub agent_session: Option<AgentSessionId>,
    /// Tokens and cost.
    pub usage: Usage,
    /// How many events it had, once it has ended.
    pub events: u64,
    /// Its outcome came when another attempt already held the seat.
    pub late: bool,
}

/// The key of an attempt: of a unit, or of the run itself.
pub(crate) fn key_of(run: &RunId, unit: Option<&UnitId>, attempt: AttemptNo) -> AttemptKey {
    AttemptKey { run: run.clone(), unit: unit.cloned(), attempt }
}

impl Attempt {
    /// Whether it holds its seat.
    pub fn is_live(&self) -> bool {
        self.end.is_none()
    }

    /// Whether its agent said something, good or bad. Where it could not, for reasons of its worker or provider, the next attempt is the same turn again.
    pub fn is_played(&self) -> bool {
        self.end == Some(AttemptEnd::Completed) || self.class == Some(OutcomeClass::Unit)
    }

    /// What the next attempt can go on from: its commit, or, where it ended without one, what was handed in on the way.
    pub fn left(&self) -> Option<&CommitId> {
        let saved = self.saved.as_ref().filter(|_| !self.is_live() && self.end != Some(AttemptEnd::Completed));
        self.commit.as_ref().or(saved.map(|saved| &saved.commit))
    }

    /// The word of `attempts --json`.
    pub fn outcome_word(&self) -> &'static str {
        match self.end {
            _ if self.late => "stale",
            None => "running",
            Some(AttemptEnd::Completed) => "completed",
            Some(AttemptEnd::Failed) => "failed",
            Some(AttemptEnd::Lost(cause)) => match cause {
                LostCause::Silent | LostCause::Wedged => "lost",
                LostCause::HandedBack | LostCause::NotAccepted | LostCause::GrantFailed | LostCause::Fault => "handed_back",
                LostCause::Revoked => "revoked",
            },
        }
    }
}

/// Work in progress, as its worker handed it in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Saved {
    /// A commit of what lay in the worktree.
    pub commit: CommitId,
    /// Subtasks that had been reported as done by then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<TaskId>,
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// Its outcome was accepted and is what was asked for.
    Completed,
    /// Its outcome was accepted and is a failure.
    Failed,
    /// It ended without an outcome.
    Lost(LostCause),
}

/// Why an attempt ended without an outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostCause {
    /// The worker was silent too long.
    Silent,
    /// The worker lives, but the attempt is far over its limits.
    Wedged,
    /// Handed back, or not there any more after a restart: costs nothing.
    HandedBack,
    /// The worker did not take it in time.
    NotAccepted,
    /// It could not be sent.
    GrantFailed,
    /// Handed back because of the worker's disk or tools.
    Fault,
    /// We ended it.
    Revoked,
}
