//! How far a run is, how it ends, and what keeps it meanwhile.

use roundtable_shared::CommitId;
use roundtable_shared::time::WallMs;
use serde::{Deserialize, Serialize};

use super::removal::Removed;
use super::rest::{Rested, Resting};
use super::step::Step;

/// How far a run is, and what keeps it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Life {
    /// How far it is.
    pub phase: RunPhase,
    /// Asked to end, as soon as the branch rests.
    pub ending: Option<Ending>,
    /// Nothing is granted.
    pub paused: Option<Remark>,
    /// Stopped for now; running again goes on.
    pub halted: Option<Remark>,
    /// Manual mode: the phase under way.
    pub step: Option<Step>,
    /// Rests that are over.
    pub rested: Rested,
    /// The rest that goes on, once that is told.
    pub resting: Option<Resting>,
    /// Where it was accepted into.
    pub accepted: Option<Accepted>,
    /// Its files are gone, or go.
    pub removed: Option<Removed>,
}

/// How far a run is, with what is valid there.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum RunPhase {
    /// Owners and manifests are being found.
    #[default]
    Assigning,
    /// Units are worked on.
    Working,
    /// The closing commit is being made.
    Closing,
    /// Over, and how.
    Ended(Ended),
}

impl RunPhase {
    /// The outside word.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Assigning => Stage::Assigning,
            Self::Working => Stage::Working,
            Self::Closing => Stage::Closing,
            Self::Ended(_) => Stage::Ended,
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Owners and manifests are being found.
    Assigning,
    /// Units are worked on.
    Working,
    /// The closing commit is being made.
    Closing,
    /// Over.
    Ended,
}

/// A person's word with who and when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Remark {
    /// What.
    pub text: String,
    /// Who.
    pub by: String,
    /// When.
    pub at: WallMs,
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// 0 or 1.
    pub exit: u8,
    /// In words; empty for a normal end.
    pub reason: String,
    /// When.
    pub at: WallMs,
}

/// A run that is to end before its units have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ending {
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
}

/// The user's branch was moved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Accepted {
    /// Which branch.
    pub branch: String,
    /// To which commit.
    pub commit: CommitId,
    /// The run's tip then.
    pub tip: CommitId,
    /// Who.
    pub by: String,
    /// When.
    pub at: WallMs,
}
