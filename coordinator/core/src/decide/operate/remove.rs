//! An ended run's files are no longer wanted. Only the fact is decided here: from then on they may be gone, and the shell removes them.

use roundtable_shared::RunId;

use crate::change::Rejection;
use crate::planted::{Bug, planted};
use crate::state::{Attempt, Remains};
use crate::transition::Fact;
use crate::txn::Txn;

/// Refuses what would lose something: a run under way, and with `force` left out a complete one whose commits are nowhere else yet.
pub(crate) fn remove(d: &mut Txn<'_>, run: &RunId, force: bool, by: String) -> Result<(), Rejection> {
    let now = d.run(run);
    if now.life.removed.is_some() && !planted(Bug::RemovedTwice) {
        d.unchanged(format!("run {run} is removed already; its summary is kept"));
        return Ok(());
    }
    if now.ended().is_none() && !planted(Bug::RemovedEarly) {
        return Err(Rejection::invalid(format!("run {run} has not ended; end it first with `orchctl cancel {run}`")));
    }
    let is_complete = now.ended().is_some_and(|ended| ended.exit == 0);
    if is_complete && now.has_more_to_accept() && !force {
        return Err(Rejection::invalid(format!(
            "run {run} is complete and nobody has accepted its commits; accept them with `orchctl accept {run}`, or give --force to lose them"
        )));
    }
    let attempts = u32::try_from(now.all_attempts().count()).unwrap_or(u32::MAX);
    let events = now.all_attempts().map(Attempt::events).sum();
    let remains = Remains { tip: now.branch.tip.clone(), attempts, events };
    d.emit(run, Fact::RunRemoved { by, remains: Box::new(remains) });
    d.done(format!("run {run} is removed; its summary is kept"));
    Ok(())
}
