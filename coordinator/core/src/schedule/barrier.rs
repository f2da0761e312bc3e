//! Units without a manifest that only wait for holds (`--hazards writes`): while there is one, nothing new of its run starts.

use roundtable_shared::{HazardRule, RunId, Seat, UnitId, UnitState};

use crate::command::Now;
use crate::fleet::Fleet;
use crate::schedule::backend::{Resolved, resolve};
use crate::schedule::candidate::Candidate;
use crate::schedule::need::need;
use crate::schedule::place::place;
use crate::schedule::ready;
use crate::state::{Run, State, Unit};

/// The barrier of each run that has one.
pub(crate) fn barriers(state: &State, fleet: &Fleet, now: Now) -> Vec<(RunId, UnitId)> {
    state.unfinished().filter_map(|run| Some((run.id.clone(), barrier(state, fleet, run, now)?.id.clone()))).collect()
}

/// The first such unit of this run.
pub(crate) fn barrier<'a>(state: &State, fleet: &Fleet, run: &'a Run, now: Now) -> Option<&'a Unit> {
    if run.options.hazards != HazardRule::Writes || run.is_ended() {
        return None;
    }
    let waits = |unit: &&Unit| unit.state() == UnitState::NotStarted && unit.spec.runs && unit.claims_all() && !unit.work.started;
    let is_barrier = |unit: &&Unit| ready::waits_for_holds_alone(state, run, unit, now) && has_slot(state, fleet, run, unit, now);
    run.unfinished().filter(waits).find(is_barrier)
}

/// Whether a slot is free for the unit's work.
fn has_slot(state: &State, fleet: &Fleet, run: &Run, unit: &Unit, now: Now) -> bool {
    let need = need(run, Some(&unit.id), Seat::Work);
    let candidate = Candidate::work_of(run, unit);
    match resolve(state, fleet, run, &need, now) {
        Resolved::Use { backends, .. } => place(state, fleet, run, &candidate, &backends, now).is_some(),
        Resolved::Parked(_) | Resolved::Missing => false,
    }
}

/// Whether a first grant waits for such a unit.
pub(crate) fn is_barred(state: &State, barriers: &[(RunId, UnitId)], candidate: &Candidate) -> bool {
    let barrier = barriers.iter().find(|(run, _)| *run == candidate.run);
    barrier.is_some_and(|(_, barrier)| is_barred_by(state, barrier, candidate))
}

/// Whether a first grant waits for that unit of its run.
pub(crate) fn is_barred_by(state: &State, barrier: &UnitId, candidate: &Candidate) -> bool {
    let Some(unit) = candidate.unit.as_ref().filter(|unit| *unit != barrier) else { return false };
    candidate.seat == Seat::Work && state.unit(&candidate.run, unit).is_some_and(|unit| !unit.work.started)
}
