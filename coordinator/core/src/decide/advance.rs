//! What follows by itself once something has changed in a run: freed paths are claimed, blocked units released, rounds consolidated, the train
//! judged, moved and joined, the run ended. Derived from the state alone, so that nothing is ever forgotten (I7).

use roundtable_shared::{Role, RunId, UnitId, UnitState};

use super::{Deciding, close, contend, integrate, judge, land, merge, review, step};
use crate::planted::{Bug, planted};
use crate::state::{FixCause, Release};
use crate::transition::Fact;

/// Goes on until nothing more follows.
pub(crate) fn advance(d: &mut Deciding<'_>, run: &RunId) {
    loop {
        let before = d.state().seq;
        if d.run(run).is_ended() {
            return;
        }
        if d.run(run).ending.is_some() {
            close::finish_ending(d, run);
        } else {
            contend::claim_freed(d, run);
            release_blocked(d, run);
            review::consolidate_ready(d, run);
            land::intend(d, run);
            judge::judge_head(d, run);
            integrate::start_next(d, run);
            step::close_when_done(d, run);
            close::end_when_done(d, run);
        }
        if d.state().seq == before {
            return;
        }
    }
}

/// Units that a person has answered for leave `blocked` once nobody else holds their writes, in plan order.
fn release_blocked(d: &mut Deciding<'_>, run: &RunId) {
    let is_waiting = |release: &Option<Release>| matches!(release, Some(Release::Fix | Release::Review { .. }));
    let now = d.run(run);
    let waiting: Vec<UnitId> =
        now.in_order().filter(|unit| unit.state == UnitState::Blocked && is_waiting(&unit.release)).map(|unit| unit.id.clone()).collect();
    for id in waiting {
        if !d.run(run).hold_is_free(d.unit(run, &id)) || planted(Bug::ReleaseForgotten) {
            continue;
        }
        let release = d.unit(run, &id).release.clone();
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
