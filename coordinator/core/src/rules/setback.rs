//! An attempt that ended badly: what it cost, and who is to blame.

use roundtable_shared::{FailureKind, OutcomeClass, Seat, WorkerId};

use crate::command::Report;
use crate::state::{Attempt, State};

/// What an end costs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Cost {
    /// Nothing.
    HandBack,
    /// One infra failure, and a worker lost while it ran.
    Infra { lost: Option<WorkerId> },
}

/// What an end says of its worker's disk and tools.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Blame {
    /// Nothing.
    Nobody,
    /// They failed under an agent.
    Running,
    /// They failed before the agent ran.
    Preparing,
}

impl Blame {
    /// Of an attempt that failed for reasons of its worker.
    pub(crate) fn of(attempt: &Attempt) -> Self {
        if attempt.started_at.is_some() { Self::Running } else { Self::Preparing }
    }
}

/// An end that is not the agent's doing.
pub(crate) struct Setback {
    pub seat: Seat,
    pub worker: WorkerId,
    /// Whose slot it took there.
    pub pool: String,
    pub cost: Cost,
    /// What it says of the worker.
    pub blame: Blame,
    pub reason: String,
}

impl Setback {
    /// Of an outcome that failed for reasons of the worker or its tools; `None` if it did not.
    pub(crate) fn of(state: &State, report: &Report) -> Option<Self> {
        let (attempt, failure) = (state.attempt(&report.lease.key)?, report.facts.failure.as_ref()?);
        let (cost, blame) = match failure.kind.class() {
            _ if failure.kind == FailureKind::Interrupted => (Cost::HandBack, Blame::Nobody),
            OutcomeClass::Infra | OutcomeClass::Internal => (Cost::Infra { lost: None }, Blame::of(attempt)),
            OutcomeClass::Unit | OutcomeClass::Provider => return None,
        };
        let (seat, worker, pool) = (attempt.granted.seat, attempt.granted.worker.clone(), attempt.granted.pool.clone());
        Some(Self { seat, worker, pool, cost, blame, reason: failure.message.clone() })
    }
}
