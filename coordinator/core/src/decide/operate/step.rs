//! Manual mode: nothing moves but by a step, which lets one phase run for the units that are ready for it (docs/rules.md, "Modes").

use std::collections::BTreeSet;

use roundtable_shared::{Mode, RunId, UnitId, UnitState};

use crate::change::Rejection;
use crate::command::Phase;
use crate::moves::plan;
use crate::moves::step::abandon;
use crate::rules::step;
use crate::schedule::ready;
use crate::state::{PlanSource, Run, Stage, Unit};
use crate::transition::Fact;
use crate::txn::Txn;

/// Opens a phase, or joins the one under way.
pub(crate) fn open(d: &mut Txn<'_>, run: &RunId, phase: Phase) -> Result<(), Rejection> {
    let now = d.run(run);
    if now.options.mode != Mode::Manual {
        return Err(Rejection::conflict(format!("run {run} is not in manual mode: it moves by itself")));
    }
    if phase == Phase::SyncPulse {
        d.done("the mirror files follow the state by themselves");
        return Ok(());
    }
    if now.stage() != Stage::Working || now.life.halted.is_some() || now.life.paused.is_some() {
        return Err(Rejection::conflict(format!("run {run} does not take steps now: it is assigning, paused, halted or ending")));
    }
    if phase == Phase::Dispatch {
        refuse_unassigned(now)?;
    }
    make_way(d, run, phase)?;
    match phase {
        Phase::Assign | Phase::SyncPulse => assign_step(d, run),
        Phase::Dispatch => begin(d, run, phase, "ready for work"),
        Phase::Reviews => begin(d, run, phase, "waiting for review"),
        Phase::Consolidate => begin(d, run, phase, "reviewed"),
    }
    Ok(())
}

/// Another phase that is open ends if nothing of it runs any more: whoever opened it has left, and nobody else would ever end it.
fn make_way(d: &mut Txn<'_>, run: &RunId, phase: Phase) -> Result<(), Rejection> {
    let Some(step) = d.run(run).life.step.as_ref().filter(|step| step.phase != phase) else { return Ok(()) };
    if step::is_busy(d.run(run)) {
        let (units, word) = (listed(&step.units), step.phase.as_str());
        return Err(Rejection::conflict(format!("step {word} is under way (units {units}); wait for its agents, or go on with it")));
    }
    abandon(d, run);
    Ok(())
}

/// Takes up what is ready for the phase, beside what is under way in it already.
fn begin(d: &mut Txn<'_>, run: &RunId, phase: Phase, what: &str) {
    let now = d.run(run);
    let under_way: BTreeSet<UnitId> = now.life.step.as_ref().map(|step| step.units.clone()).unwrap_or_default();
    let ready = |unit: &&Unit| is_ready_for(d, now, unit, phase);
    let mut units: Vec<UnitId> = now.in_order().filter(ready).map(|unit| unit.id.clone()).filter(|id| !under_way.contains(id)).collect();
    if units.is_empty() {
        return match under_way.is_empty() {
            true => d.unchanged(format!("no unit is {what}")),
            false => d.unchanged(format!("going on with the step under way: units {}", listed(&under_way))),
        };
    }
    let text = format!("units {what}: {}", listed(&units));
    units.extend(under_way);
    d.emit(run, Fact::StepOpened { phase, units });
    d.done(text);
}

fn is_ready_for(d: &Txn<'_>, run: &Run, unit: &Unit, phase: Phase) -> bool {
    match phase {
        Phase::Dispatch => unit.spec.runs && ready::wants_work(unit) && ready::is_ready_for_step(d.state(), run, unit, d.now),
        Phase::Reviews => matches!(unit.state(), UnitState::PendingReview | UnitState::UnderReview),
        Phase::Consolidate => {
            unit.state() == UnitState::FinalReview || (unit.state() == UnitState::UnderReview && unit.missing_reviews().next().is_none())
        }
        Phase::Assign | Phase::SyncPulse => false,
    }
}

fn listed<'a>(units: impl IntoIterator<Item = &'a UnitId>) -> String {
    units.into_iter().map(UnitId::as_str).collect::<Vec<_>>().join(", ")
}

fn assign_step(d: &mut Txn<'_>, run: &RunId) {
    let open = |unit: &&Unit| {
        unit.spec.runs && !unit.state().is_terminal() && (unit.assignment.owner.is_none() || unit.assignment.window.is_none())
    };
    let units: Vec<UnitId> = d.run(run).in_order().filter(open).map(|unit| unit.id.clone()).collect();
    if units.is_empty() {
        return d.unchanged("every unit has an owner and a window");
    }
    plan::plan_units(d, run, &units, PlanSource::Rules, &[]);
    d.done(format!("{} units assigned", units.len()));
}

/// Manual mode alone refuses to dispatch while something is missing, naming unit and field.
fn refuse_unassigned(run: &Run) -> Result<(), Rejection> {
    // A unit a person is asked about waits for that, and nobody else with it.
    for unit in run.in_order().filter(|unit| unit.spec.runs && !unit.state().is_terminal() && !unit.waits_for_person()) {
        let missing = match (&unit.assignment.owner, &unit.assignment.window) {
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
