//! Signs of life of a lease and its worker.

use roundtable_shared::{LeaseRef, WorkerId};

use crate::effect::Effect;
use crate::moves::cordon;
use crate::transition::Fact;
use crate::txn::Txn;

/// Records that the agent runs, once.
pub(crate) fn note_started(d: &mut Txn<'_>, lease: &LeaseRef) {
    let Some(attempt) = d.state().current(lease) else { return };
    let worker = attempt.granted.worker.clone();
    if attempt.started_at.is_none() {
        let key = &lease.key;
        d.emit(&key.run, Fact::AttemptStarted { unit: key.unit.clone(), attempt: key.attempt });
        cordon::prepared(d, &worker);
        let repository = d.run(&key.run).origin.source.repository.clone();
        if let Some(worker) = d.fleet.workers.get_mut(&worker) {
            worker.keeps(&repository);
        }
    }
}

/// Whether the lease is the one its seat holds, and that worker's.
pub(crate) fn is_current(d: &Txn<'_>, worker: &WorkerId, lease: &LeaseRef) -> bool {
    d.state().current(lease).is_some_and(|attempt| attempt.granted.worker == *worker)
}

/// A sign of life of the worker.
pub(crate) fn saw(d: &mut Txn<'_>, worker: &WorkerId) {
    let now = d.now;
    if let Some(worker) = d.fleet.workers.get_mut(worker) {
        worker.saw(now);
    }
}

/// The verdict of a lease frame that no longer fits: its worker is told to stop.
pub(crate) fn revoke_unknown(d: &mut Txn<'_>, worker: &WorkerId, lease: &LeaseRef) {
    let reason = "the seat is no longer held by this attempt".to_owned();
    d.effect(Effect::Revoke { worker: worker.clone(), lease: lease.clone(), reason });
}
