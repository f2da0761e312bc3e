//! A unit leaves `blocked` once its hold is free.

use roundtable_shared::{Role, RunId, UnitId, UnitState};

use crate::moves::{merge, review};
use crate::planted::{Bug, planted};
use crate::state::{FixCause, Release};
use crate::transition::Fact;
use crate::txn::Txn;

/// Units that a person has answered for leave `blocked` once nobody else holds their writes, in plan order.
pub(crate) fn release_blocked(d: &mut Txn<'_>, run: &RunId) {
    let is_waiting = |release: Option<&Release>| matches!(release, Some(Release::Fix | Release::Review { .. }));
    let now = d.run(run);
    let waiting: Vec<UnitId> =
        now.begun().filter(|unit| unit.state() == UnitState::Blocked && is_waiting(unit.release())).map(|unit| unit.id.clone()).collect();
    for id in waiting {
        if !d.run(run).plan.hold_is_free(&d.run(run).units, d.unit(run, &id)) || planted(Bug::ReleaseForgotten) {
            continue;
        }
        let release = d.unit(run, &id).release().cloned();
        review::clear_blocked_item(d, run, &id);
        match release {
            Some(Release::Fix) => {
                d.move_unit(run, &id, UnitState::FixRequired, None);
            }
            Some(Release::Review { work }) => {
                let cause = FixCause::Waiting { role: Role::Fix, by_person: true };
                d.emit(run, Fact::FixSet { unit: id.clone(), cause: Some(cause) });
                d.move_unit(run, &id, UnitState::FixRequired, None);
                merge::begin(d, run, &id, work, true);
            }
            Some(Release::Subtask) | None => {}
        }
    }
}
