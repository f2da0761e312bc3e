//! The integration train: units in the order of their final review, each prepared as a candidate on the one ahead of it.

use roundtable_shared::time::WallMs;
use roundtable_shared::{CommitId, TaskId, UnitId};
use serde::{Deserialize, Serialize};

/// Red checks of one candidate before it counts as red: one retry.
pub(super) const RED_MAX: u32 = 2;

/// Units on their way onto the run's branch.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Train {
    /// Their integrations, the first ahead.
    pub flights: Vec<InFlight>,
    /// The tip it started from; it goes on as long as somebody is in it, or is prepared again behind one that has left.
    pub from: Option<CommitId>,
}

/// An integration under way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InFlight {
    /// The unit.
    pub unit: UnitId,
    /// What it goes on: the candidate ahead of it, for the first the tip.
    pub tip: CommitId,
    /// When it began: date of the commit, so that a redo gives the same.
    pub at: WallMs,
    /// Boxes its commit ticks.
    pub ticks: Vec<TaskId>,
    /// Units whose boxes those are, beside its own.
    pub owed: Vec<UnitId>,
    /// The prepared commit, once there is one.
    pub candidate: Option<Candidate>,
    /// The branch may have moved: nothing takes this back.
    pub intended: bool,
    /// Why there is no candidate. It counts once everything ahead is integrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub misfit: Option<Misfit>,
    /// What checks of the candidate said.
    #[serde(default, skip_serializing_if = "Checks::is_none")]
    pub checks: Checks,
    /// The same unit without those that were integrated since the train started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone: Option<Alone>,
}

/// A commit on top of what it goes on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// The commit; what it goes on itself if the unit changes nothing.
    pub commit: CommitId,
    /// What it changes against that.
    pub changed: Vec<String>,
    /// It changes nothing: no commit is made.
    pub empty: bool,
}

/// Why a unit's work does not go onto what is ahead of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "misfit")]
pub enum Misfit {
    /// It conflicts.
    Conflict {
        /// Paths in conflict.
        paths: Vec<String>,
        /// What git said.
        evidence: String,
    },
    /// Its commit would change what is not in its manifest.
    Outside {
        /// Those paths.
        paths: Vec<String>,
    },
}

/// What the checks of one candidate said.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Checks {
    /// One was green.
    pub green: bool,
    /// So many were red.
    pub red: u32,
    /// The end of the last red one's output.
    pub evidence: String,
}

/// A unit checked without those integrated ahead of it: green so, its check is red with them only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alone {
    /// The commit it is put on.
    pub tip: CommitId,
    /// What comes of that, once it is made.
    pub commit: Option<CommitId>,
}

impl Checks {
    /// Whether there were none.
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl InFlight {
    /// One that begins.
    pub fn new(unit: UnitId, tip: CommitId, at: WallMs) -> Self {
        Self {
            unit,
            tip,
            at,
            ticks: Vec::new(),
            owed: Vec::new(),
            candidate: None,
            intended: false,
            misfit: None,
            checks: Checks::default(),
            alone: None,
        }
    }

    /// Whether its check was red, and again.
    pub fn is_red(&self) -> bool {
        !self.checks.green && self.checks.red >= RED_MAX
    }

    /// Whether its commit is still to be made.
    pub fn is_preparing(&self) -> bool {
        self.candidate.is_none() && self.misfit.is_none()
    }
}

impl Train {
    /// The integration of that unit.
    pub fn flight(&self, unit: &UnitId) -> Option<&InFlight> {
        self.flights.iter().find(|flight| flight.unit == *unit)
    }

    /// Its place, from 0.
    pub fn place(&self, unit: &UnitId) -> Option<usize> {
        self.flights.iter().position(|flight| flight.unit == *unit)
    }

    /// Integrations the branch is being moved past.
    pub fn intended(&self) -> impl Iterator<Item = &InFlight> {
        self.flights.iter().take_while(|flight| flight.intended)
    }

    /// Whether the branch is being moved.
    pub fn is_moving(&self) -> bool {
        self.intended().next().is_some()
    }

    /// Whether the unit's integration cannot be taken back any more.
    pub fn is_intended(&self, unit: &UnitId) -> bool {
        self.intended().any(|flight| flight.unit == *unit)
    }

    /// The first one, if the branch is not being moved past it: it alone is judged.
    pub fn head(&self) -> Option<&InFlight> {
        self.flights.first().filter(|flight| !flight.intended)
    }

    /// Where the branch is being moved to.
    pub fn destination(&self) -> Option<&CommitId> {
        self.intended().last()?.candidate.as_ref().map(|candidate| &candidate.commit)
    }
}
