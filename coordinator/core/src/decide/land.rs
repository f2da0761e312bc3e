//! Moving the run's branch past the longest prefix of the train that is green: one intent covers it, and nothing takes that back (I1).

use roundtable_shared::{CommitId, RunId, UnitId, UnitState};

use super::integrate::is_gated_by_check;
use super::{Deciding, close, consult, review, step};
use crate::effect::Effect;
use crate::planted::{Bug, planted};
use crate::state::{BaseCheck, InFlight, Run};
use crate::transition::Fact;

/// Intends to integrate all that may be, unless the branch is on its way already.
pub(super) fn intend(d: &mut Deciding<'_>, run: &RunId) {
    let now = d.run(run);
    let is_again = planted(Bug::IntentAgain) && now.passing() > now.train.intended().count();
    if now.train.is_moving() && !is_again {
        return pass_where_it_is(d, run);
    }
    let count = now.passing();
    if count == 0 || is_gated_by_check(now) {
        return;
    }
    let passing: Vec<InFlight> = now.train.flights[..count].to_vec();
    let was_waived = now.base_check == BaseCheck::Waived;
    let Some(last) = passing.last().map(|flight| flight.unit.clone()) else { return };
    d.emit(run, Fact::IntegrationIntended { unit: last });
    if was_waived {
        for flight in passing.iter().take_while(|flight| !flight.checks.green) {
            let unit = &flight.unit;
            d.notice(run, format!("the check is red after unit {unit}, as it was before the first: not held against it"));
        }
        if passing.iter().any(|flight| flight.checks.green) {
            d.emit(run, Fact::BaseChecked { result: BaseCheck::Green });
        }
    }
    if let Some(effect) = effect(d.run(run)) {
        d.effect(effect);
    }
    pass_where_it_is(d, run);
}

/// Where all that is intended changes nothing, the branch need not move.
fn pass_where_it_is(d: &mut Deciding<'_>, run: &RunId) {
    let now = d.run(run);
    if now.train.destination() == Some(&now.tip) {
        pass(d, run);
    }
}

/// The move of the branch that is owed.
pub(super) fn effect(run: &Run) -> Option<Effect> {
    let new = run.train.destination().filter(|new| **new != run.tip)?;
    Some(Effect::MoveBranch { run: run.id.clone(), old: run.tip.clone(), new: new.clone() })
}

/// The branch has moved, or was found where it should be.
pub(super) fn branch_moved(d: &mut Deciding<'_>, run: &RunId, tip: &CommitId) {
    let Some(now) = d.state().run(run) else { return };
    let Some(destination) = now.train.destination() else { return };
    let old = now.tip.clone();
    if tip == destination {
        pass(d, run);
    } else if *tip == old {
        if let Some(effect) = effect(d.run(run)) {
            d.effect(effect);
        }
    } else {
        let reason = format!("the run's branch is at {tip}, which this coordinator did not put there; put it back to {old} and run again");
        close::halt(d, run, reason, "coordinator".to_owned());
    }
}

/// All that was intended is integrated, in order.
fn pass(d: &mut Deciding<'_>, run: &RunId) {
    let intended: Vec<InFlight> = d.run(run).train.intended().cloned().collect();
    for InFlight { unit, candidate, .. } in intended {
        match candidate {
            Some(candidate) if !candidate.empty => {
                d.emit(run, Fact::Integrated { unit: unit.clone(), commit: candidate.commit, changed: candidate.changed });
            }
            _ => d.emit(run, Fact::CompletedWithoutChange { unit: unit.clone() }),
        }
        complete(d, run, &unit);
    }
}

/// A unit has come to its end.
fn complete(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId) {
    review::defer_minor(d, run, unit);
    review::clear_blocked_item(d, run, unit);
    close::keep_learnings(d, run, unit);
    d.move_unit(run, unit, UnitState::Completed, None);
    step::unit_done(d, run, unit);
    consult::due(d, run, &format!("unit {unit} is completed"));
}
