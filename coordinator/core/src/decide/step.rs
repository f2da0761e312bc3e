//! Manual mode: nothing moves but by a step, which lets one phase run for the units that are ready for it (docs/rules.md, "Modes").

use std::collections::BTreeSet;

use roundtable_shared::{Mode, RunId, UnitId, UnitState};

use super::{Deciding, assign, integrate};
use crate::change::Rejection;
use crate::command::Phase;
use crate::planted::{Bug, planted};
use crate::schedule;
use crate::state::{PlanSource, Run, Stage, Step, Unit};
use crate::transition::Fact;

impl Phase {
    /// The word of `orchctl step`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Assign => "assign",
            Self::Dispatch => "dispatch",
            Self::Reviews => "reviews",
            Self::Consolidate => "consolidate",
            Self::SyncPulse => "sync-pulse",
        }
    }
}

/// Whether a phase may move a unit now. Only manual mode says no.
pub(crate) fn allows(run: &Run, phase: Phase, unit: &UnitId) -> bool {
    run.options.mode != Mode::Manual
        || planted(Bug::StepIgnored)
        || run.step.as_ref().is_some_and(|step| step.phase == phase && step.units.contains(unit))
}

/// Opens a phase, or joins the one under way.
pub(super) fn open(d: &mut Deciding<'_>, run: &RunId, phase: Phase) -> Result<(), Rejection> {
    let now = d.run(run);
    if now.options.mode != Mode::Manual {
        return Err(Rejection::conflict(format!("run {run} is not in manual mode: it moves by itself")));
    }
    if phase == Phase::SyncPulse {
        d.done("the mirror files follow the state by themselves");
        return Ok(());
    }
    if now.stage != Stage::Working || now.halted.is_some() || now.paused.is_some() {
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
fn make_way(d: &mut Deciding<'_>, run: &RunId, phase: Phase) -> Result<(), Rejection> {
    let Some(step) = d.run(run).step.as_ref().filter(|step| step.phase != phase) else { return Ok(()) };
    if is_busy(d.run(run)) {
        let (units, word) = (listed(&step.units), step.phase.as_str());
        return Err(Rejection::conflict(format!("step {word} is under way (units {units}); wait for its agents, or go on with it")));
    }
    abandon(d, run);
    Ok(())
}

/// Whether agents, or a move of the branch, are under way for the open phase.
fn is_busy(run: &Run) -> bool {
    let moves = run.train.is_moving();
    let works = |step: &Step| step.units.iter().filter_map(|id| run.unit(id)).any(|unit| !unit.live.is_empty() || unit.merging.is_some());
    moves || run.step.as_ref().is_some_and(works)
}

/// The open phase ends where it stands, unless something of it runs: what it had under way is for the next step to take up.
pub(super) fn abandon(d: &mut Deciding<'_>, run: &RunId) {
    if d.run(run).step.is_none() || is_busy(d.run(run)) {
        return;
    }
    integrate::drop_all(d, run, "its step was left");
    d.emit(run, Fact::StepClosed);
}

/// Takes up what is ready for the phase, beside what is under way in it already.
fn begin(d: &mut Deciding<'_>, run: &RunId, phase: Phase, what: &str) {
    let now = d.run(run);
    let under_way: BTreeSet<UnitId> = now.step.as_ref().map(|step| step.units.clone()).unwrap_or_default();
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

fn is_ready_for(d: &Deciding<'_>, run: &Run, unit: &Unit, phase: Phase) -> bool {
    match phase {
        Phase::Dispatch => unit.runs && schedule::wants_work(unit) && schedule::is_ready_for_step(d.state(), run, unit, d.now),
        Phase::Reviews => matches!(unit.state, UnitState::PendingReview | UnitState::UnderReview) && unit.merging.is_none(),
        Phase::Consolidate => {
            unit.state == UnitState::FinalReview || (unit.state == UnitState::UnderReview && unit.missing_reviews().next().is_none())
        }
        Phase::Assign | Phase::SyncPulse => false,
    }
}

fn listed<'a>(units: impl IntoIterator<Item = &'a UnitId>) -> String {
    units.into_iter().map(UnitId::as_str).collect::<Vec<_>>().join(", ")
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
