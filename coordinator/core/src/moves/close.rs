//! A run is over.

use roundtable_shared::{DecisionId, RunId};

use crate::moves::ask::withdraw;
use crate::planted::{Bug, planted};
use crate::transition::Fact;
use crate::txn::Txn;

/// The closing commit cannot be made: the run has done its work all the same.
pub(crate) fn end_without_closing(d: &mut Txn<'_>, run: &RunId, reason: &str) {
    d.notice(run, format!("the closing commit (learnings, boxes) could not be made: {reason}"));
    let exit = d.run(run).exit_when_done();
    end(d, run, exit, String::new());
}

/// It ends with that exit code; what was asked is asked no more.
pub(crate) fn end(d: &mut Txn<'_>, run: &RunId, exit: u8, reason: String) {
    let open: Vec<DecisionId> = d.run(run).people.decisions.keys().cloned().collect();
    for id in open {
        withdraw(d, run, &id, "the run has ended");
    }
    d.fleet.missing.retain(|(other, _), _| other != run);
    d.fleet.rests.remove(run);
    d.fleet.errands.retain(|(other, _), _| other != run);
    let exit = if planted(Bug::EndsWell) { 0 } else { exit };
    d.emit(run, Fact::RunEnded { exit, reason });
}
