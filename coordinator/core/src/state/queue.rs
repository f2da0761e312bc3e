//! What a run asks of its train: which units may be integrated now, whose check is due, and what has been integrated since.

use roundtable_shared::{CommitId, UnitId};

use super::branch::BaseCheck;
use super::run::Run;
use super::train::{InFlight, RED_MAX};
use crate::planted::{Bug, planted};

impl Run {
    /// How many at the front may be integrated now: the longest prefix whose checks are green. While checks are held against nobody a red one does too, up
    /// to the first green one, which ends that.
    pub fn passing(&self) -> usize {
        let mut waived = self.branch.base_check == BaseCheck::Waived;
        let passes = |flight: &&InFlight| {
            let good = !self.has_checks() || planted(Bug::CheckSkipped) || flight.checks.green || (waived && flight.checks.red > 0);
            waived &= !flight.checks.green;
            flight.candidate.is_some() && good
        };
        self.branch.train.flights.iter().take_while(passes).count()
    }

    /// Whether a check is to be run for the unit's candidate, or for the unit alone.
    pub fn is_check_due(&self, unit: &UnitId) -> bool {
        let Some(place) = self.branch.train.place(unit).filter(|_| self.has_checks()) else { return false };
        let (ahead, flight) = (&self.branch.train.flights[..place], &self.branch.train.flights[place]);
        let waived = self.branch.base_check == BaseCheck::Waived;
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
        let integrated = self.branch.integrations.iter().rposition(|integration| integration.commit == *commit).map(|at| at + 1);
        integrated.or((*commit == self.origin.base).then_some(0))
    }

    /// What a unit is checked on alone: the tip its train started from, or its own base where that came later. `None` if nothing was integrated since.
    pub fn alone_tip(&self, unit: &UnitId) -> Option<CommitId> {
        let start = self.branch.train.from.as_ref().and_then(|from| self.moves_before(from));
        let base = self.unit(unit)?.work.accepted.as_ref().and_then(|work| self.moves_before(&work.base));
        let since = start?.max(base.unwrap_or(0));
        let has_units = self.branch.integrations.range(since..).any(|integration| integration.unit.is_some());
        let tip = since.checked_sub(1).map_or(&self.origin.base, |last| &self.branch.integrations[last].commit);
        let tip = if planted(Bug::AloneOnTip) { &self.branch.tip } else { tip };
        has_units.then(|| tip.clone())
    }

    /// Units that were integrated after that commit.
    pub fn integrated_since(&self, commit: &CommitId) -> Vec<UnitId> {
        let from = self.moves_before(commit).unwrap_or(self.branch.integrations.len());
        self.branch.integrations.range(from..).filter_map(|integration| integration.unit.clone()).collect()
    }
}
