//! One execution of a seat, as it is remembered. Numbering and fencing are in `settle::dispatch::grant` and `decide::report`.

use std::sync::Arc;

use roundtable_shared::time::WallMs;
use roundtable_shared::{AgentSessionId, AttemptOutcome, CommitId, OutcomeClass, TaskId, Usage};
use serde::{Deserialize, Serialize};

use super::granted::Granted;

/// An attempt of a unit or, at run level, of a run. What is fixed once is shared by copies of the state.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// What it was granted.
    pub granted: Arc<Granted>,
    /// When it was granted.
    pub granted_at: WallMs,
    /// When the agent ran.
    pub started_at: Option<WallMs>,
    /// The last its worker handed in on the way.
    pub saved: Option<Box<Saved>>,
    /// How it ended; `None` while it holds its seat.
    pub ended: Option<Arc<AttemptEnded>>,
}

/// The end of an attempt and what it left.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AttemptEnded {
    /// When it ended.
    pub at: WallMs,
    /// How.
    pub end: AttemptEnd,
    /// Who pays for its failure.
    pub class: Option<OutcomeClass>,
    /// What failed, for a person.
    pub error: Option<String>,
    /// The CLI's exit code.
    pub exit_code: Option<i32>,
    /// Digest of the outcome that was accepted: the same again gets the same verdict. None where there is none.
    pub digest: Option<String>,
    /// What it left.
    pub commit: Option<CommitId>,
    /// The CLI's conversation, by which it can be resumed.
    pub agent_session: Option<AgentSessionId>,
    /// Tokens and cost.
    pub usage: Usage,
    /// How many events it had.
    pub events: u64,
    /// Its outcome came when it held its seat no more.
    pub late: bool,
}

impl Attempt {
    /// Whether it holds its seat.
    pub fn is_live(&self) -> bool {
        self.ended.is_none()
    }

    /// How it ended; `None` while it is live.
    pub fn end(&self) -> Option<AttemptEnd> {
        self.ended.as_ref().map(|ended| ended.end)
    }

    /// When it ended.
    pub fn ended_at(&self) -> Option<WallMs> {
        self.ended.as_ref().map(|ended| ended.at)
    }

    /// The CLI's exit code.
    pub fn exit_code(&self) -> Option<i32> {
        self.ended.as_ref()?.exit_code
    }

    /// Tokens and cost; nothing while it is live.
    pub fn usage(&self) -> Usage {
        self.ended.as_ref().map(|ended| ended.usage).unwrap_or_default()
    }

    /// How many events it had, once it has ended.
    pub fn events(&self) -> u64 {
        self.ended.as_ref().map_or(0, |ended| ended.events)
    }

    /// Who pays for its failure, if it ended in one.
    pub fn class(&self) -> Option<OutcomeClass> {
        self.ended.as_ref()?.class
    }

    /// What failed, for a person.
    pub fn error(&self) -> Option<&str> {
        self.ended.as_ref()?.error.as_deref()
    }

    /// Digest of the outcome that was accepted.
    pub fn digest(&self) -> Option<&str> {
        self.ended.as_ref()?.digest.as_deref()
    }

    /// What it left, once it has ended.
    pub fn commit(&self) -> Option<&CommitId> {
        self.ended.as_ref()?.commit.as_ref()
    }

    /// The CLI's conversation, by which it can be resumed.
    pub fn agent_session(&self) -> Option<&AgentSessionId> {
        self.ended.as_ref()?.agent_session.as_ref()
    }

    /// Whether its outcome came when it held its seat no more.
    pub fn is_late(&self) -> bool {
        self.ended.as_ref().is_some_and(|ended| ended.late)
    }

    /// Whether its agent said something, good or bad. Where it could not, for reasons of its worker or provider, the next attempt is the same turn again.
    pub fn is_played(&self) -> bool {
        self.end() == Some(AttemptEnd::Completed) || self.class() == Some(OutcomeClass::Unit)
    }

    /// What the next attempt can go on from: its commit, or, where it ended without one, what was handed in on the way.
    pub fn left(&self) -> Option<&CommitId> {
        let ended = self.ended.as_ref()?;
        let saved = self.saved.as_ref().filter(|_| ended.end != AttemptEnd::Completed);
        ended.commit.as_ref().or(saved.map(|saved| &saved.commit))
    }

    /// How it stands or ended, as far as the state knows: whether it is being handed in is the fleet's to say.
    pub fn outcome(&self) -> AttemptOutcome {
        match self.end() {
            _ if self.is_late() => AttemptOutcome::Stale,
            None => AttemptOutcome::Running,
            Some(AttemptEnd::Completed) => AttemptOutcome::Completed,
            Some(AttemptEnd::Failed) => AttemptOutcome::Failed,
            Some(AttemptEnd::Lost(cause)) => match cause {
                LostCause::Silent | LostCause::Wedged => AttemptOutcome::Lost,
                LostCause::HandedBack | LostCause::NotAccepted | LostCause::GrantFailed | LostCause::Fault => AttemptOutcome::HandedBack,
                LostCause::Revoked => AttemptOutcome::Revoked,
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
