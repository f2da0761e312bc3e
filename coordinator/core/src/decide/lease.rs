//! Signs of a lease on its way: taken, preparing, started, its work saved, given back. A frame about a lease that is not current is answered with a revoke.

use roundtable_shared::{LeasePhase, LeaseRef, WorkerId};

use super::report::revoke_unknown;
use super::{Deciding, attempt, cordon, park, work};
use crate::state::{LostCause, Saved};
use crate::transition::Fact;

/// The worker took it.
pub(super) fn accepted(d: &mut Deciding<'_>, worker: &WorkerId, lease: &LeaseRef) {
    reached(d, worker, lease, LeasePhase::Accepted);
}

/// The worker prepares.
pub(super) fn preparing(d: &mut Deciding<'_>, worker: &WorkerId, lease: &LeaseRef) {
    reached(d, worker, lease, LeasePhase::Preparing);
}

/// The agent runs: durable, because a worker lost while running counts otherwise.
pub(super) fn started(d: &mut Deciding<'_>, worker: &WorkerId, lease: &LeaseRef) {
    if reached(d, worker, lease, LeasePhase::Running) {
        note_started(d, lease);
    }
}

/// The model has answered: what its provider refused before is served again. Late, it says nothing any more.
pub(super) fn served(d: &mut Deciding<'_>, worker: &WorkerId, lease: &LeaseRef) {
    if is_current(d, worker, lease) {
        park::served(d, &lease.key);
    }
}

/// What it has done so far is kept: if it is lost, the next attempt goes on from there. Too late, it says nothing any more.
pub(super) fn saved(d: &mut Deciding<'_>, worker: &WorkerId, lease: &LeaseRef, saved: Saved) {
    let key = &lease.key;
    let Some(unit) = key.unit.as_ref().filter(|_| is_current(d, worker, lease)) else { return };
    let Some(attempt) = d.state().current(lease).filter(|attempt| attempt.role.writes()) else { return };
    let saved = Saved { done: work::leaves_among(d.run(&key.run), d.unit(&key.run, unit), &saved.done), ..saved };
    if attempt.saved.as_ref() == Some(&saved) {
        return;
    }
    d.emit(&key.run, Fact::AttemptSaved { unit: Some(unit.clone()), attempt: key.attempt, saved: Box::new(saved) });
}

/// Nothing of the agent runs any more: its slot may be filled while its work is handed in.
pub(super) fn ending(d: &mut Deciding<'_>, worker: &WorkerId, lease: &LeaseRef) {
    reached(d, worker, lease, LeasePhase::Ending);
}

/// The worker gives it back.
pub(super) fn hand_back(d: &mut Deciding<'_>, worker: &WorkerId, lease: &LeaseRef, reason: &str, fault: bool) {
    if !is_current(d, worker, lease) {
        return revoke_unknown(d, worker, lease);
    }
    saw(d, worker);
    let cause = if fault { LostCause::Fault } else { LostCause::HandedBack };
    attempt::lose(d, &lease.key, cause, reason);
}

/// Records that the agent runs, once.
pub(super) fn note_started(d: &mut Deciding<'_>, lease: &LeaseRef) {
    let Some(attempt) = d.state().current(lease) else { return };
    let worker = attempt.worker.clone();
    if attempt.started_at.is_none() {
        let key = &lease.key;
        d.emit(&key.run, Fact::AttemptStarted { unit: key.unit.clone(), attempt: key.attempt });
        cordon::prepared(d, &worker);
        let repository = d.run(&key.run).source.repository.clone();
        if let Some(worker) = d.fleet.workers.get_mut(&worker) {
            worker.keeps(&repository);
        }
    }
}

fn reached(d: &mut Deciding<'_>, worker: &WorkerId, lease: &LeaseRef, phase: LeasePhase) -> bool {
    if !is_current(d, worker, lease) {
        revoke_unknown(d, worker, lease);
        return false;
    }
    saw(d, worker);
    let limits = d.run(&lease.key.run).options.limits.clone();
    let now = d.now;
    if let Some(watch) = d.fleet.leases.get_mut(&lease.key) {
        watch.reached(phase, true, &limits, now);
    }
    true
}

fn is_current(d: &Deciding<'_>, worker: &WorkerId, lease: &LeaseRef) -> bool {
    d.state().current(lease).is_some_and(|attempt| attempt.worker == *worker)
}

fn saw(d: &mut Deciding<'_>, worker: &WorkerId) {
    let now = d.now;
    if let Some(worker) = d.fleet.workers.get_mut(worker) {
        worker.saw(now);
    }
}
