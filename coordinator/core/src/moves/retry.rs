//! A unit goes on after a decision.

use roundtable_shared::{RunId, UnitId, UnitState};

use crate::moves::ask::withdraw_of_unit;
use crate::moves::unit::clear_waits;
use crate::moves::{attempt, review, unit};
use crate::planted::{Bug, planted};
use crate::state::{FixCause, Release};
use crate::transition::Fact;
use crate::txn::Txn;

/// The work seat again, all counters 0.
pub(crate) fn retry(d: &mut Txn<'_>, run: &RunId, unit: &UnitId) {
    attempt::revoke_unit(d, run, unit, "a person had it tried again");
    withdraw_of_unit(d, run, unit, "it is tried again");
    if !planted(Bug::CountersKept) {
        d.emit(run, Fact::CountersReset { unit: unit.clone(), fixes: true });
    }
    match d.unit(run, unit).state() {
        UnitState::InProgress => unit::back_to_waiting(d, run, unit),
        UnitState::FixRequired => {
            // Work that waits for another's paths, or for its merge, is done over rather than waited with.
            if let Some(&FixCause::Waiting { role, .. }) = d.unit(run, unit).fix() {
                clear_waits(d, run, unit);
                d.emit(run, Fact::FixSet { unit: unit.clone(), cause: Some(FixCause::Repeat { role }) });
            }
        }
        UnitState::Blocked => {
            let is_fix = matches!(
                d.unit(run, unit).fix(),
                Some(FixCause::Findings { .. } | FixCause::Conflict { .. } | FixCause::CheckRed { .. } | FixCause::Imported)
            );
            if is_fix {
                return release_to_fix(d, run, unit);
            }
            if d.unit(run, unit).fix().is_some() {
                d.emit(run, Fact::FixSet { unit: unit.clone(), cause: None });
            }
            review::clear_blocked_item(d, run, unit);
            d.move_unit(run, unit, UnitState::NotStarted, None);
        }
        _ => {}
    }
}

/// A blocked unit goes to its fix once its hold is free.
fn release_to_fix(d: &mut Txn<'_>, run: &RunId, unit: &UnitId) {
    d.emit(run, Fact::ReleaseSet { unit: unit.clone(), release: Some(Release::Fix) });
}

/// The unit a question was about goes on from where it stood, with its fix, the review of its work or its first turn, once nothing else is asked
/// about it.
pub(crate) fn go_on(d: &mut Txn<'_>, run: &RunId, id: &UnitId) {
    let is_asked = d.run(run).people.decisions.values().any(|decision| decision.unit.as_ref() == Some(id));
    let unit = d.unit(run, id);
    if is_asked || !unit.waits_for_person() {
        return;
    }
    match (unit.fix().is_some(), unit.work.last.clone()) {
        (true, _) => release_to_fix(d, run, id),
        (false, Some(work)) => d.emit(run, Fact::ReleaseSet { unit: id.clone(), release: Some(Release::Review { work }) }),
        (false, None) => {
            d.move_unit(run, id, UnitState::NotStarted, None);
        }
    }
}
