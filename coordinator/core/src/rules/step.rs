//! Manual mode: what an open step lets move.

use roundtable_shared::{Mode, UnitId};

use crate::command::Phase;
use crate::planted::{Bug, planted};
use crate::state::{Run, Step};

/// Whether a phase may move a unit now. Only manual mode says no.
pub(crate) fn allows(run: &Run, phase: Phase, unit: &UnitId) -> bool {
    run.options.mode != Mode::Manual
        || planted(Bug::StepIgnored)
        || run.life.step.as_ref().is_some_and(|step| step.phase == phase && step.units.contains(unit))
}

/// Whether agents, or a move of the branch, are under way for the open phase.
pub(crate) fn is_busy(run: &Run) -> bool {
    let moves = run.branch.train.is_moving();
    let works = |step: &Step| step.units.iter().filter_map(|id| run.unit(id)).any(|unit| !unit.live.is_empty() || unit.merging().is_some());
    moves || run.life.step.as_ref().is_some_and(works)
}
