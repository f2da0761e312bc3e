//! Signs of a lease on its way: taken, preparing, started, its work saved, given back. A frame about a lease that is not current is answered with a revoke.

use roundtable_shared::{LeasePhase, LeaseRef, WorkerId};

use crate::moves::lease::revoke_unknown;
use crate::moves::{lease, loss, park};
use crate::rules::subtasks;
use crate::state::{LostCause, Saved};
use crate::transition::Fact;
use crate::txn::Txn;

/// The worker took it.
pub(crate) fn accepted(d: &mut Txn<'_>, worker: &WorkerId, lease: &LeaseRef) {
    reached(d, worker, lease, LeasePhase::Accepted);
}

/// The worker prepares.
pub(crate) fn preparing(d: &mut Txn<'_>, worker: &WorkerId, lease: &LeaseRef) {
    reached(d, worker, lease, LeasePhase::Preparing);
}

/// The agent runs: durable, because a worker lost while running counts otherwise.
pub(crate) fn started(d: &mut Txn<'_>, worker: &WorkerId, lease: &LeaseRef) {
    if reached(d, worker, lease, LeasePhase::Running) {
        lease::note_started(d, lease);
    }
}

/// The model has answered: what its provider refused before is served again. Late, it says nothing any more.
pub(crate) fn served(d: &mut Txn<'_>, worker: &WorkerId, lease: &LeaseRef) {
    if lease::is_current(d, worker, lease) {
        park::served(d, &lease.key);
    }
}

/// What it has done so far is kept: if it is lost, the next attempt goes on from there. Too late, it says nothing any more.
pub(crate) fn saved(d: &mut Txn<'_>, worker: &WorkerId, lease: &LeaseRef, saved: Saved) {
    let key = &lease.key;
    let Some(unit) = key.unit.as_ref().filter(|_| lease::is_current(d, worker, lease)) else { return };
    let Some(attempt) = d.state().current(lease).filter(|attempt| attempt.granted.role.writes()) else { return };
    let saved = Saved { done: subtasks::leaves_among(d.run(&key.run), d.unit(&key.run, unit), &saved.done), ..saved };
    if attempt.saved.as_deref() == Some(&saved) {
        return;
    }
    d.emit(&key.run, Fact::AttemptSaved { unit: Some(unit.clone()), attempt: key.attempt, saved: Box::new(saved) });
}

/// Nothing of the agent runs any more: its slot may be filled while its work is handed in.
pub(crate) fn ending(d: &mut Txn<'_>, worker: &WorkerId, lease: &LeaseRef) {
    reached(d, worker, lease, LeasePhase::Ending);
}

/// The worker gives it back.
pub(crate) fn hand_back(d: &mut Txn<'_>, worker: &WorkerId, lease: &LeaseRef, reason: &str, fault: bool) {
    if !lease::is_current(d, worker, lease) {
        return revoke_unknown(d, worker, lease);
    }
    lease::saw(d, worker);
    let cause = if fault { LostCause::Fault } else { LostCause::HandedBack };
    loss::lose(d, &lease.key, cause, reason);
}

fn reached(d: &mut Txn<'_>, worker: &WorkerId, lease: &LeaseRef, phase: LeasePhase) -> bool {
    if !lease::is_current(d, worker, lease) {
        revoke_unknown(d, worker, lease);
        return false;
    }
    lease::saw(d, worker);
    let limits = d.run(&lease.key.run).options.limits.clone();
    let now = d.now;
    if let Some(watch) = d.fleet.leases.get_mut(&lease.key) {
        watch.reached(phase, true, &limits, now);
    }
    true
}
