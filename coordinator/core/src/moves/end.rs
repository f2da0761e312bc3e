//! A unit ends without being completed, alone or with those that depend on it; or the run does.

use roundtable_shared::{Dependants, RunId, UnitId, UnitState};

use crate::moves::ask::withdraw_of_unit;
use crate::moves::unit::clear_waits;
use crate::moves::{attempt, flight, orchestrator, review, step};
use crate::planted::{Bug, planted};
use crate::rules::dependants;
use crate::transition::Fact;
use crate::txn::Txn;

/// The run ends as soon as its branch rests.
pub(crate) fn abort(d: &mut Txn<'_>, run: &RunId, reason: String, by: String) {
    if d.run(run).life.ending.is_none() && !d.run(run).is_ended() {
        d.emit(run, Fact::RunEnding { reason, by });
    }
}

/// Skips a unit; dependants go on without it, or are skipped too.
pub(crate) fn skip(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, dependants: Dependants) {
    let units = match dependants {
        Dependants::GoOn => vec![unit.clone()],
        Dependants::Skip => dependants::with_dependants(d.run(run), unit),
    };
    for id in &units {
        let reason = if id == unit { "skipped by a person".to_owned() } else { format!("skipped with unit {unit}, on which it depends") };
        end_unit(d, run, id, UnitState::Skipped, reason);
    }
}

/// Ends one unit: what it has under way is stopped, what was asked about it is asked no more.
pub(crate) fn end_unit(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, to: UnitState, reason: String) {
    if d.unit(run, unit).state().is_terminal() {
        return;
    }
    if !planted(Bug::SkipKeepsWorking) {
        attempt::revoke_unit(d, run, unit, &reason);
    }
    if !planted(Bug::CancelKeepsFlight) {
        flight::drop_flight_of(d, run, unit, &reason);
    }
    clear_waits(d, run, unit);
    if !planted(Bug::DecisionKept) {
        withdraw_of_unit(d, run, unit, &reason);
    }
    review::clear_blocked_item(d, run, unit);
    d.move_unit(run, unit, to, Some(reason));
    step::unit_done(d, run, unit);
    orchestrator::due(d, run, &format!("unit {unit} is {to}"));
}
