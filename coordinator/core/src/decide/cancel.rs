//! Units and runs that end because a person says so: skip, cancel, abort (docs/rules.md, "Decisions").

use std::collections::BTreeSet;

use roundtable_shared::{Dependants, RunId, UnitId, UnitState};

use super::blocking::{clear_waits, withdraw_of_unit};
use super::operate::known_unit;
use super::{Deciding, attempt, consult, integrate, review, step};
use crate::change::Rejection;
use crate::planted::{Bug, planted};
use crate::state::Run;
use crate::transition::Fact;

/// A person goes on without a unit.
pub(super) fn skip_act(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, dependants: Dependants) -> Result<(), Rejection> {
    if known_unit(d, run, unit)?.state == UnitState::Skipped {
        d.unchanged(format!("unit {unit} is skipped already"));
        return Ok(());
    }
    check_can_end(d, run, unit, dependants == Dependants::Skip)?;
    skip(d, run, unit, dependants);
    d.done(format!("unit {unit} is skipped"));
    Ok(())
}

/// A person ends a unit, and with it those that depend on it.
pub(super) fn cancel_act(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId) -> Result<(), Rejection> {
    if known_unit(d, run, unit)?.state == UnitState::Cancelled {
        d.unchanged(format!("unit {unit} is cancelled already"));
        return Ok(());
    }
    check_can_end(d, run, unit, true)?;
    let units = with_dependants(d.run(run), unit);
    for id in &units {
        let reason =
            if id == unit { "cancelled by a person".to_owned() } else { format!("cancelled with unit {unit}, on which it depends") };
        end_unit(d, run, id, UnitState::Cancelled, reason);
    }
    let listed: Vec<&str> = units.iter().map(UnitId::as_str).collect();
    d.done(format!("cancelled: {}", listed.join(", ")));
    Ok(())
}

/// A person ends the run.
pub(super) fn cancel_run(d: &mut Deciding<'_>, run: &RunId, by: String) -> Result<(), Rejection> {
    let now = d.run(run);
    let open = now.units().filter(|unit| unit.runs && !unit.state.is_terminal() && !now.train.is_intended(&unit.id));
    let open: Vec<UnitId> = open.map(|unit| unit.id.clone()).collect();
    for unit in open {
        end_unit(d, run, &unit, UnitState::Cancelled, "the run was cancelled".to_owned());
    }
    abort(d, run, "cancelled by a person".to_owned(), by);
    d.done(format!("run {run} is cancelled"));
    Ok(())
}

/// The run ends as soon as its branch rests.
pub(super) fn abort(d: &mut Deciding<'_>, run: &RunId, reason: String, by: String) {
    if d.run(run).ending.is_none() && !d.run(run).is_ended() {
        d.emit(run, Fact::RunEnding { reason, by });
    }
}

/// Skips a unit; dependants go on without it, or are skipped too.
pub(super) fn skip(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, dependants: Dependants) {
    let units = match dependants {
        Dependants::GoOn => vec![unit.clone()],
        Dependants::Skip => with_dependants(d.run(run), unit),
    };
    for id in &units {
        let reason = if id == unit { "skipped by a person".to_owned() } else { format!("skipped with unit {unit}, on which it depends") };
        end_unit(d, run, id, UnitState::Skipped, reason);
    }
}

fn end_unit(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, to: UnitState, reason: String) {
    if d.unit(run, unit).state.is_terminal() {
        return;
    }
    if !planted(Bug::SkipKeepsWorking) {
        attempt::revoke_unit(d, run, unit, &reason);
    }
    if !planted(Bug::CancelKeepsFlight) {
        integrate::drop_flight_of(d, run, unit, &reason);
    }
    clear_waits(d, run, unit);
    if !planted(Bug::DecisionKept) {
        withdraw_of_unit(d, run, unit, &reason);
    }
    review::clear_blocked_item(d, run, unit);
    d.move_unit(run, unit, to, Some(reason));
    step::unit_done(d, run, unit);
    consult::due(d, run, &format!("unit {unit} is {to}"));
}

/// A unit whose branch move is under way cannot be ended: it is completed in a moment.
fn check_can_end(d: &Deciding<'_>, run: &RunId, unit: &UnitId, and_dependants: bool) -> Result<(), Rejection> {
    let now = known_unit(d, run, unit)?;
    if now.state.is_terminal() || !now.runs {
        return Err(Rejection::conflict(format!("unit {unit} is {} already", now.state)));
    }
    let run_now = d.run(run);
    let units = if and_dependants { with_dependants(run_now, unit) } else { vec![unit.clone()] };
    match run_now.train.intended().find(|flight| units.contains(&flight.unit)) {
        Some(flight) => Err(Rejection::conflict(format!("unit {} is being integrated at this moment; ask again", flight.unit))),
        None => Ok(()),
    }
}

/// A unit and all that depend on it, however indirectly; checkpoints go on without it.
fn with_dependants(run: &Run, unit: &UnitId) -> Vec<UnitId> {
    let mut ended: BTreeSet<&UnitId> = BTreeSet::from([unit]);
    // Plan order is topological, so one pass meets every dependant after what it depends on.
    for other in run.in_order().filter(|other| other.runs && !other.state.is_terminal()) {
        if other.depends_on.iter().any(|on| ended.contains(on)) {
            ended.insert(&other.id);
        }
    }
    let dependants = run.in_order().filter(|other| other.id != *unit && ended.contains(&other.id)).map(|other| other.id.clone());
    std::iter::once(unit.clone()).chain(dependants).collect()
}
