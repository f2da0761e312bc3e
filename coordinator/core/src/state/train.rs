//! The integration train: units in the order of their final review, each prepared as a candidate on the one ahead of it.

use roundtable_shared::time::WallMs;
use roundtable_shared::{CommitId, TaskId, UnitId};
use serde::{Deserialize, Serialize};

use super::run::{BaseCheck, Run};
use crate::planted::{Bug, planted};

/// Red checks of one candidate before it counts as red: one retry.
const RED_MAX: u32 = 2;

/// Units on their way onto the run's branch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
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
    #[serde(skip)]
    pub misfit: Option<Misfit>,
    /// What checks of the candidate said.
    #[serde(skip)]
    pub checks: Checks,
    /// The same unit without those that were integrated since the train started.
    #[serde(skip)]
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
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Checks {
    /// One was green.
    pub green: bool,
    /// So many were red.
    pub red: u32,
    /// The end of the last red one's output.
    pub evidence: String,
}

/// A unit checked without those integrated ahead of it: green so, its check is red with them only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alone {
    /// The commit it is put on.
    pub tip: CommitId,
    /// What comes of that, once it is made.
    pub commit: Option<CommitId>,
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

impl Run {
    /// How many at the front may be integrated now: the longest prefix whose checks are green. While checks are held against nobody a red one does too, up
    /// to the first green one, which ends that.
    pub fn passing(&self) -> usize {
        let mut waived = self.base_check == BaseCheck::Waived;
        let passes = |flight: &&InFlight| {
            let good = !self.has_checks() || planted(Bug::CheckSkipped) || flight.checks.green || (waived && flight.checks.red > 0);
            waived &= !flight.checks.green;
            flight.candidate.is_some() && good
        };
        self.train.flights.iter().take_while(passes).count()
    }

    /// Whether a check is to be run for the unit's candidate, or for the unit alone.
    pub fn is_check_due(&self, unit: &UnitId) -> bool {
        let Some(place) = self.train.place(unit).filter(|_| self.has_checks()) else { return false };
        let (ahead, flight) = (&self.train.flights[..place], &self.train.flights[place]);
        let waived = self.base_check == BaseCheck::Waived;
        // Whoever stands behind a red one is prepared again once that has left.
        if flight.intended || flight.candidate.is_none() || (!waived && ahead.iter().any(InFlight::is_red)) {
            return false;
        }
        match &flight.alone {
            Some(alone) => alone.commit.is_some(),
            None => !flight.checks.green && flight.checks.red < if waived { 1 } else { RED_MAX },
        }
    }

    /// How many moves of the branch lie behind a commit of it.
    pub fn moves_before(&self, commit: &CommitId) -> Option<usize> {
        let integrated = self.integrations.iter().rposition(|integration| integration.commit == *commit).map(|at| at + 1);
        integrated.or((*commit == self.base).then_some(0))
    }

    /// What a unit is checked on alone: the tip its train started from, or its own base where that came later. `None` if nothing was integrated since.
    pub fn alone_tip(&self, unit: &UnitId) -> Option<CommitId> {
        let start = self.train.from.as_ref().and_then(|from| self.moves_before(from));
        let base = self.unit(unit)?.accepted.as_ref().and_then(|work| self.moves_before(&work.base));
        let since = start?.max(base.unwrap_or(0));
        let has_units = self.integrations[since..].iter().any(|integration| integration.unit.is_some());
        let tip = since.checked_sub(1).map_or(&self.base, |last| &self.integrations[last].commit);
        let tip = if planted(Bug::AloneOnTip) { &self.tip } else { tip };
        has_units.then(|| tip.clone())
    }

    /// Units that were integrated after that commit.
    pub fn integrated_since(&self, commit: &CommitId) -> Vec<UnitId> {
        let from = self.moves_before(commit).unwrap_or(self.integrations.len());
        self.integrations[from..].iter().filter_map(|integration| integration.unit.clone()).collect()
    }
}
