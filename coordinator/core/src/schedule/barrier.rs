//! Units without a manifest that only wait for holds (`--hazards writes`): while there is one, nothing new of its run starts.

use roundtable_shared::{HazardRule, RunId, Seat, UnitId, UnitState};

use crate::command::Now;
use crate::fleet::Fleet;
use crate::schedule::backend::{Resolved, resolve};
use crate::schedule::candidate::Candidate;
use crate::schedule::need::need;
use crate::schedule::place::place;
use crate::schedule::ready;
use crate::schedule::waiting::WaitKind;
use crate::state::{Run, State, Unit};

/// Units without a manifest that only wait for holds (`--hazards writes`): while there is one, nothing new of its run starts.
pub(crate) fn barriers(state: &State, fleet: &Fleet, now: Now) -> Vec<(RunId, UnitId)> {
    let mut barriers = Vec::new();
    for run in state.unfinished().filter(|run| run.options.hazards == HazardRule::Writes) {
        let waits = |unit: &&Unit| unit.state() == UnitState::NotStarted && unit.spec.runs && unit.claims_all() && !unit.work.started;
        let barrier = run.unfinished().filter(waits).find(|unit| {
            let reasons = ready::gates(state, run, unit, now);
            let only_holds = reasons.iter().all(|reason| reason.kind == WaitKind::Hold);
            only_holds && has_slot(state, fleet, run, unit, now)
        });
        barriers.extend(barrier.map(|unit| (run.id.clone(), unit.id.clone())));
    }
    barriers
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
    let Some((_, barrier)) = barriers.iter().find(|(run, _)| *run == candidate.run) else { return false };
    let Some(unit) = candidate.unit.as_ref().filter(|unit| *unit != barrier) else { return false };
    candidate.seat == Seat::Work && state.unit(&candidate.run, unit).is_some_and(|unit| !unit.work.started)
}
