//! A unit leaves `blocked` once its hold is free.

use roundtable_shared::{Role, RunId, UnitId, UnitState};

use crate::moves::{merge, review};
use crate::planted::{Bug, planted};
use crate::state::{FixCause, Release, Unit, Work};
use crate::transition::Fact;
use crate::txn::Txn;

/// Units that a person has answered for leave `blocked` once nobody else holds their writes, in plan order.
pub(crate) fn release_blocked(d: &mut Txn<'_>, run: &RunId) {
    let released = |unit: &Unit| match unit.release()? {
        Release::Fix => Some((unit.id.clone(), None)),
        Release::Review { work } => Some((unit.id.clone(), Some(work.clone()))),
        Release::Subtask => None,
    };
    let waiting: Vec<(UnitId, Option<Work>)> = d.run(run).active().filter_map(released).collect();
    for (id, work) in waiting {
        if !d.run(run).plan.hold_is_free(&d.run(run).units, d.unit(run, &id)) || planted(Bug::ReleaseForgotten) {
            continue;
        }
        review::clear_blocked_item(d, run, &id);
        if work.is_some() {
            let cause = FixCause::Waiting { role: Role::Fix, by_person: true };
            d.emit(run, Fact::FixSet { unit: id.clone(), cause: Some(cause) });
        }
        d.move_unit(run, &id, UnitState::FixRequired, None);
        if let Some(work) = work {
            merge::begin(d, run, &id, work, true);
        }
    }
}
