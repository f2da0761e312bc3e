//! A unit stands still: blocked with a question to a person, or back to where it waits.

use roundtable_shared::{BlockedItem, DecisionKind, RunId, UnitId, UnitState};

use crate::moves::{ask, attempt, flight};
use crate::planted::{Bug, planted};
use crate::transition::Fact;
use crate::txn::Txn;

/// Why a unit is blocked and what is asked.
pub(crate) struct Block {
    pub kind: DecisionKind,
    /// As the unit shows it.
    pub reason: String,
    /// As the decision shows it.
    pub context: String,
}

/// Blocks a unit and asks a person. Its other live seats are ended; its hold is free from here on.
pub(crate) fn block(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, block: Block) {
    attempt::revoke_unit(d, run, unit, "the unit is blocked");
    flight::drop_flight_of(d, run, unit, "the unit is blocked");
    clear_waits(d, run, unit);
    if !d.move_unit(run, unit, UnitState::Blocked, Some(block.reason.clone())) {
        return;
    }
    let item = BlockedItem {
        task_id: unit.task(),
        blocking_reason: block.context.clone(),
        required_resolution: Some(format!("answer decision {}", block.kind.id(Some(unit.as_str())))),
        created_at: d.now.wall,
    };
    d.emit(run, Fact::BlockedItemAdded { item: Box::new(item) });
    if !planted(Bug::DecisionUnasked) {
        ask::raise(d, run, block.kind, Some(unit), block.context);
    }
}

/// Ends waits of a unit that leaves the automatic states: contended paths, merges.
pub(crate) fn clear_waits(d: &mut Txn<'_>, run: &RunId, unit: &UnitId) {
    let now = d.unit(run, unit);
    let (contended, merging) = (!now.contended().is_empty(), now.merging().is_some());
    if contended {
        d.emit(run, Fact::ContendedSet { unit: unit.clone(), paths: Vec::new() });
    }
    if merging {
        d.emit(run, Fact::MergeSet { unit: unit.clone(), merging: None });
    }
}

/// A unit whose work seat is empty again waits for the next grant in the state it was granted from.
pub(crate) fn back_to_waiting(d: &mut Txn<'_>, run: &RunId, unit: &UnitId) {
    let now = d.unit(run, unit);
    if now.state() == UnitState::InProgress {
        let to = if now.fix().is_some() { UnitState::FixRequired } else { UnitState::NotStarted };
        d.move_unit(run, unit, to, None);
    }
}
