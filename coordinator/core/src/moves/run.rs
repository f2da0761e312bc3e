//! A run as a whole: it is stopped, or its needs have changed.

use roundtable_shared::RunId;

use crate::transition::Fact;
use crate::txn::Txn;

/// Stops a run for now; running again goes on.
pub(crate) fn halt(d: &mut Txn<'_>, run: &RunId, reason: String, by: String) {
    if d.run(run).life.halted.is_none() && !d.run(run).is_ended() {
        d.emit(run, Fact::RunHalted { reason, by });
    }
}

/// A run's needs have changed: what it waits for is noted anew.
pub(crate) fn forget_missing(d: &mut Txn<'_>, run: &RunId) {
    d.fleet.missing.retain(|(other, _), _| other != run);
}
