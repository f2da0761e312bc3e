//! The run's branch has moved.

use roundtable_shared::{CommitId, RunId};

use crate::moves::{land, run};
use crate::rules::owed;
use crate::txn::Txn;

/// The branch has moved, or was found where it should be.
pub(crate) fn branch_moved(d: &mut Txn<'_>, run: &RunId, tip: &CommitId) {
    let Some(now) = d.state().run(run) else { return };
    let Some(destination) = now.branch.train.destination() else { return };
    let old = now.branch.tip.clone();
    if tip == destination {
        land::pass(d, run);
    } else if *tip == old {
        if let Some(effect) = owed::branch_move(d.run(run)) {
            d.effect(effect);
        }
    } else {
        let reason = format!("the run's branch is at {tip}, which this coordinator did not put there; put it back to {old} and run again");
        run::halt(d, run, reason, "coordinator".to_owned());
    }
}
