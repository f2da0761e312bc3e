//! Where a unit is, with exactly what is valid there. The fold alone makes these (`apply::phase`); the outside word of each is derived here.

use std::collections::BTreeSet;

use roundtable_shared::time::WallMs;
use roundtable_shared::{BackendName, CommitId, Role, Seat, UnitState, WorkerId};
use serde::{Deserialize, Serialize};

use super::work::Work;

/// Where a unit is.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub enum UnitPhase {
    /// Waits for its first turn, or for another of the same kind.
    #[default]
    NotStarted,
    /// Its work seat is held.
    InProgress {
        /// What the turn is to put right or to do again; none = it implements.
        fix: Option<Box<FixCause>>,
    },
    /// Its round waits for the first reviewer.
    PendingReview,
    /// Its round's seats are held, or wait for another try.
    UnderReview {
        /// Who failed a seat of this round.
        failed: Vec<FailedReview>,
    },
    /// In the integration queue.
    FinalReview {
        /// Its place in the order of final review.
        queued: u64,
        /// Its round was consolidated.
        consolidated: bool,
    },
    /// A fix, a repeated turn, or a merge with the tip is owed.
    FixRequired(Box<FixOwed>),
    /// It cannot go on by itself.
    Blocked(Box<Blocked>),
    /// Its work is in the run's branch, or it changed nothing.
    Completed {
        /// When; none = the plan says that it was done before the run.
        at: Option<WallMs>,
        /// The commit of the branch; none where it changed nothing in this run.
        commit: Option<CommitId>,
    },
    /// Left out by a person.
    Skipped {
        /// Why.
        reason: Option<String>,
    },
    /// Ended by a person, or with what it depends on.
    Cancelled {
        /// Why.
        reason: Option<String>,
    },
}

/// A review seat, and who filled it without a finding: tried elsewhere first.
pub type FailedReview = (Seat, WorkerId, BackendName);

/// What a unit in `fix_required` owes and waits for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FixOwed {
    /// Why.
    pub cause: FixCause,
    /// Paths it changed that another unit holds.
    pub contended: BTreeSet<String>,
    /// A merge with the tip that comes first.
    pub merging: Option<Merging>,
}

/// A fix of which not all is said yet: the unit's move to it is to come, or its cause.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ComingFix {
    /// Why, where that is said before the move.
    pub cause: Option<FixCause>,
    /// Paths that are said before the move to be another unit's.
    pub contended: BTreeSet<String>,
}

/// Why a unit is blocked and how it leaves that.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Blocked {
    /// Why, as it is shown.
    pub reason: Option<String>,
    /// How it leaves, once its hold is free; none = a person is asked.
    pub release: Option<Release>,
    /// The fix it owed, or had under way.
    pub fix: Option<FixCause>,
}

/// Why a unit is in `fix_required`, and so what its next work attempt is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "cause")]
pub enum FixCause {
    /// Critical or major findings of that round.
    Findings {
        /// The round.
        round: u32,
    },
    /// It conflicts with the tip.
    Conflict {
        /// Paths in conflict.
        paths: Vec<String>,
        /// What git said.
        evidence: String,
    },
    /// The check is red on tip + candidate; also recorded as a finding.
    CheckRed {
        /// The end of its output.
        evidence: String,
    },
    /// The same turn again: its work went outside the manifest, would have waited for ever, or is not to be waited with.
    Repeat {
        /// The role to repeat.
        role: Role,
    },
    /// Carried over by `import`.
    Imported,
    /// No fix yet: waits for contended paths or for a merge with the tip.
    Waiting {
        /// The role to repeat if it comes to that.
        role: Role,
        /// The work is a person's.
        by_person: bool,
    },
}

/// A merge with the tip that is owed before the unit goes to review.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Merging {
    /// The tip.
    pub tip: CommitId,
    /// What is merged with it.
    pub work: Work,
    /// A person's: paths outside the manifest are claimed, not a breach.
    pub by_person: bool,
}

/// How a unit leaves `blocked`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "release")]
pub enum Release {
    /// At the failed subtask, by a grant.
    Subtask,
    /// To a fix.
    Fix,
    /// To a review of that commit, merged with the tip.
    Review {
        /// The commit.
        work: Work,
    },
}

impl UnitPhase {
    /// The outside word.
    pub fn state(&self) -> UnitState {
        match self {
            Self::NotStarted => UnitState::NotStarted,
            Self::InProgress { .. } => UnitState::InProgress,
            Self::PendingReview => UnitState::PendingReview,
            Self::UnderReview { .. } => UnitState::UnderReview,
            Self::FinalReview { .. } => UnitState::FinalReview,
            Self::FixRequired(_) => UnitState::FixRequired,
            Self::Blocked(_) => UnitState::Blocked,
            Self::Completed { .. } => UnitState::Completed,
            Self::Skipped { .. } => UnitState::Skipped,
            Self::Cancelled { .. } => UnitState::Cancelled,
        }
    }

    /// Why a fix (or a repeated turn) is owed or under way.
    pub fn fix(&self) -> Option<&FixCause> {
        match self {
            Self::InProgress { fix } => fix.as_deref(),
            Self::FixRequired(owed) => Some(&owed.cause),
            Self::Blocked(blocked) => blocked.fix.as_ref(),
            _ => None,
        }
    }
}
