//! What a lease entitles to, as it was granted: one record for the log's row, the attempt and what is sent to the worker.

use roundtable_shared::{
    AgentSessionId, AttemptKey, AttemptNo, BackendName, CommitId, LeaseId, LeaseRef, Role, RunId, Seat, UnitId, WorkerId,
};
use serde::{Deserialize, Serialize};

use super::start::Start;

/// What an attempt was granted: the row of the log, the attempt and the lease that is sent have it in common.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Granted {
    /// The unit; `None` for the run's own seats.
    pub unit: Option<UnitId>,
    /// Number of the attempt.
    pub attempt: AttemptNo,
    /// The lease.
    pub lease_id: LeaseId,
    /// The seat.
    pub seat: Seat,
    /// The role.
    pub role: Role,
    /// Which turn of the role.
    pub turn: u32,
    /// Review round; 0 outside reviews.
    pub round: u32,
    /// Who runs it.
    pub worker: WorkerId,
    /// The backend that plays it.
    pub backend: BackendName,
    /// The pool.
    pub pool: String,
    /// The account.
    pub account: String,
    /// The model asked for with the run; empty = the backend's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Manifest and reviews look at base..result.
    pub base: CommitId,
    /// What the worktree is made of.
    pub start: Start,
    /// The attempt it goes on from.
    pub resumed_from: Option<AttemptNo>,
    /// Agent session to resume.
    pub resume: Option<AgentSessionId>,
    /// The third fix, played elsewhere.
    pub escalated: bool,
}

impl Granted {
    /// The key of the attempt, which is of that run.
    pub fn key(&self, run: &RunId) -> AttemptKey {
        AttemptKey { run: run.clone(), unit: self.unit.clone(), attempt: self.attempt }
    }

    /// The lease, of an attempt of that run.
    pub fn lease(&self, run: &RunId) -> LeaseRef {
        LeaseRef { key: self.key(run), lease_id: self.lease_id }
    }
}
