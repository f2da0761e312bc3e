//! Manual mode: nothing moves but by a step, which lets one phase run for the units that are ready for it (SEMANTICS §10).

use std::collections::BTreeSet;

use roundtable_shared::{Mode, RunId, UnitId, UnitState};

use super::{Deciding, assign};
use crate::change::Rejection;
use crate::command::Phase;
use crate::schedule;
use crate::state::{PlanSource, Run, Stage, Unit};
use crate::transition::Fact;

/// Whether a phase may move a unit now. Only manual mode says no.
pub(crate) fn allows(run: &Run, phase: Phase, unit: &UnitId) -> bool {
    run.options.mode != Mode::Manual || run.step.as_ref().is_some_and(|step| step.phase == phase && step.units.contains(unit))
}

/// Opens a phase.
pub(super) fn open(d: &mut Deciding<'_>, run: &RunId, phase: Phase) -> Result<(), Rejection> {
    let now = d.run(run);
    if now.options.mode != Mode::Manual {
        return Err(Rejection::conflict(format!("run {run} is not in manual mode: it moves by itself")));
    }
    if let Some(step) = &now.step {
        let units: Vec<&str> = step.units.iter().map(UnitId::as_str).collect();
        return Err(Rejection::conflict(format!("a step is under way (units {}); wait for it", units.join(", "))));
    }
    if now.stage != Stage::Working || now.halted.is_some() || now.paused.is_some() {
        return Err(Rejection::conflict(format!("run {run} does not take steps now: it is assigning, paused, halted or ending")));
    }
    match phase {
        Phase::Assign => assign_step(d, run),
        Phase::SyncPulse => d.done("the mirror files follow the state by themselves"),
        Phase::Dispatch => {
            refuse_unassigned(now)?;
            let ready = |unit: &Unit| unit.runs && schedule::wants_work(unit) && schedule::is_ready_for_step(d.state(), now, unit, d.now);
            let units: Vec<UnitId> = now.in_order().filter(|unit| ready(unit)).map(|unit| unit.id.clone()).collect();
            begin(d, run, phase, units, "ready for work");
        }
        Phase::Reviews => {
            let waits = |unit: &&Unit| matches!(unit.state, UnitState::PendingReview | UnitState::UnderReview) && unit.merging.is_none();
            let units: Vec<UnitId> = now.in_order().filter(waits).map(|unit| unit.id.clone()).collect();
            begin(d, run, phase, units, "waiting for review");
        }
        Phase::Consolidate => {
            let waits = |unit: &&Unit| {
                unit.state == UnitState::FinalReview || (unit.state == UnitState::UnderReview && unit.missing_reviews().next().is_none())
            };
            let units: Vec<UnitId> = now.in_order().filter(waits).map(|unit| unit.id.clone()).collect();
            begin(d, run, phase, units, "reviewed");
        }
    }
    Ok(())
}

fn begin(d: &mut Deciding<'_>, run: &RunId, phase: Phase, units: Vec<UnitId>, what: &str) {
    if units.is_empty() {
        return d.unchanged(format!("no unit is {what}"));
    }
    let listed: Vec<&str> = units.iter().map(UnitId::as_str).collect();
    let text = format!("units {what}: {}", listed.join(", "));
    d.emit(run, Fact::StepOpened { phase, units });
    d.done(text);
}

fn assign_step(d: &mut Deciding<'_>, run: &RunId) {
    let open = |unit: &&Unit| unit.runs && !unit.state.is_terminal() && (unit.owner.is_none() || unit.window.is_none());
    let units: Vec<UnitId> = d.run(run).in_order().filter(open).map(|unit| unit.id.clone()).collect();
    if units.is_empty() {
        return d.unchanged("every unit has an owner and a window");
    }
    assign::plan_units(d, run, &units, PlanSource::Rules, &[]);
    d.done(format!("{} units assigned", units.len()));
}

/// Manual mode alone refuses to dispatch while something is missing, naming unit and field.
fn refuse_unassigned(run: &Run) -> Result<(), Rejection> {
    // A unit a person is asked about waits for that, and nobody else with it.
    let is_asked = |unit: &Unit| unit.state == UnitState::Blocked && unit.release.is_none();
    for unit in run.in_order().filter(|unit| unit.runs && !unit.state.is_terminal() && !is_asked(unit)) {
        let missing = match (&unit.owner, &unit.window) {
            (None, _) => "owner_agent",
            (_, None) => "target_window",
            _ => continue,
        };
        return Err(Rejection::conflict(format!(
            "unit {} has no {missing}; run `orchctl step {} assign` or `orchctl assign {} {}`",
            unit.id, run.id, run.id, unit.id
        )));
    }
    Ok(())
}

/// A unit has had its turn in the phase.
pub(super) fn unit_done(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId) {
    if d.run(run).step.as_ref().is_some_and(|step| step.units.contains(unit)) {
        d.emit(run, Fact::StepUnitDone { unit: unit.clone() });
    }
}

/// Units that have left the states of the phase are done with it; without units it is over.
pub(super) fn close_when_done(d: &mut Deciding<'_>, run: &RunId) {
    let Some(step) = d.run(run).step.clone() else { return };
    let gone: BTreeSet<&UnitId> = step.units.iter().filter(|unit| !is_in(d, run, d.unit(run, unit), step.phase)).collect();
    let all = gone.len() == step.units.len();
    for unit in gone {
        d.emit(run, Fact::StepUnitDone { unit: unit.clone() });
    }
    if all {
        d.emit(run, Fact::StepClosed);
    }
}

fn is_in(d: &Deciding<'_>, run: &RunId, unit: &Unit, phase: Phase) -> bool {
    match phase {
        // Work that ended had its turn (`unit_done`); work that was lost is granted again. What is not ready any more, because a neighbour of
        // the same step took what it needs, waits for a later step.
        Phase::Dispatch => {
            unit.state == UnitState::InProgress
                || (schedule::wants_work(unit) && schedule::is_ready_but_for_time(d.state(), d.run(run), unit, d.now))
        }
        Phase::Reviews => {
            matches!(unit.state, UnitState::PendingReview | UnitState::UnderReview) && unit.missing_reviews().next().is_some()
        }
        Phase::Consolidate => unit.state == UnitState::FinalReview || unit.state == UnitState::UnderReview,
        Phase::Assign | Phase::SyncPulse => false,
    }
}
