//! The end of a run (docs/rules.md, "The end of a run"): one that is to end before its units have, and one whose units all have. Ending it is
//! `moves::close`.

use roundtable_shared::{RunId, UnitId};

use crate::moves::{attempt, close, flight, orchestrator, unit};
use crate::planted::{Bug, planted};
use crate::rules::owed;
use crate::state::Stage;
use crate::transition::Fact;
use crate::txn::Txn;

/// A run that is to end before its units have: everything is stopped, and it ends once the branch rests.
pub(crate) fn finish_ending(d: &mut Txn<'_>, run: &RunId) {
    let Some(reason) = d.run(run).life.ending.as_ref().map(|ending| ending.reason.clone()) else { return };
    attempt::revoke_run(d, run, &reason);
    let working: Vec<UnitId> = d.run(run).holders().map(|unit| unit.id.clone()).collect();
    for unit in working {
        unit::back_to_waiting(d, run, &unit);
    }
    flight::drop_all(d, run, &reason);
    let merging: Vec<UnitId> = d.run(run).begun().filter(|unit| unit.merging().is_some()).map(|unit| unit.id.clone()).collect();
    for unit in merging {
        d.emit(run, Fact::MergeSet { unit, merging: None });
    }
    if d.run(run).branch.train.flights.is_empty() || planted(Bug::EndsInMove) {
        close::end(d, run, 1, reason);
    }
}

/// Every unit that runs is at its end: hear the orchestrator, make the closing commit, end.
pub(crate) fn end_when_done(d: &mut Txn<'_>, run: &RunId) {
    let now = d.run(run);
    let may_end = now.stage() == Stage::Working && now.is_done() && now.branch.train.flights.is_empty() && now.life.halted.is_none();
    if !may_end || now.is_asked_as_a_whole() {
        return;
    }
    if orchestrator::is_owed_at_end(now) {
        return orchestrator::due_at_end(d, run);
    }
    // What is still running now is a consultation or a check of the base that nobody needs any more.
    if !planted(Bug::EndsLive) {
        attempt::revoke_run(d, run, "every unit is at its end");
    }
    match owed::closing(d.run(run)) {
        Some(effect) => {
            d.emit(run, Fact::RunClosing);
            d.effect(effect);
        }
        None => {
            let exit = d.run(run).exit_when_done();
            close::end(d, run, exit, String::new());
        }
    }
}
