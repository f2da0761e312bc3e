//! Manual mode: a step ends when all its units have had their turn.

use std::collections::BTreeSet;

use roundtable_shared::{RunId, UnitId, UnitState};

use crate::command::Phase;
use crate::schedule::ready;
use crate::state::Unit;
use crate::transition::Fact;
use crate::txn::Txn;

/// Units that have left the states of the phase are done with it; without units it is over.
pub(crate) fn close_when_done(d: &mut Txn<'_>, run: &RunId) {
    let Some(step) = d.run(run).life.step.clone() else { return };
    let gone: BTreeSet<&UnitId> = step.units.iter().filter(|unit| !is_in(d, run, d.unit(run, unit), step.phase)).collect();
    let all = gone.len() == step.units.len();
    for unit in gone {
        d.emit(run, Fact::StepUnitDone { unit: unit.clone() });
    }
    if all {
        d.emit(run, Fact::StepClosed);
    }
}

fn is_in(d: &Txn<'_>, run: &RunId, unit: &Unit, phase: Phase) -> bool {
    match phase {
        // Work that ended had its turn (`unit_done`); work that was lost is granted again. What is not ready any more, because a neighbour of
        // the same step took what it needs, waits for a later step.
        Phase::Dispatch => {
            unit.state() == UnitState::InProgress
                || (ready::wants_work(unit) && ready::is_ready_but_for_time(d.state(), d.run(run), unit, d.now))
        }
        Phase::Reviews => {
            matches!(unit.state(), UnitState::PendingReview | UnitState::UnderReview) && unit.missing_reviews().next().is_some()
        }
        Phase::Consolidate => unit.state() == UnitState::FinalReview || unit.state() == UnitState::UnderReview,
        Phase::Assign | Phase::SyncPulse => false,
    }
}
