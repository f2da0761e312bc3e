//! A lease is lost: its attempt ends without an outcome, at the cost of whoever is to blame.

use roundtable_shared::{AttemptKey, LeaseRef, OutcomeClass};

use crate::effect::Effect;
use crate::moves::{attempt, setback, subtasks};
use crate::rules::setback::{Blame, Cost, Setback};
use crate::state::LostCause;
use crate::txn::Txn;

/// An attempt ended without an outcome, and not because we wanted it: records it and lets its unit (or run) go on.
pub(crate) fn lose(d: &mut Txn<'_>, key: &AttemptKey, cause: LostCause, reason: &str) {
    let Some(attempt) = d.state().attempt(key).filter(|attempt| attempt.is_live()) else { return };
    let (seat, worker, pool, started) =
        (attempt.granted.seat, attempt.granted.worker.clone(), attempt.granted.pool.clone(), attempt.started_at.is_some());
    let lease = LeaseRef { key: key.clone(), lease_id: attempt.granted.lease_id };
    let cost = match cause {
        LostCause::HandedBack | LostCause::NotAccepted | LostCause::Revoked => Cost::HandBack,
        LostCause::Silent => Cost::Infra { lost: started.then(|| worker.clone()) },
        LostCause::Wedged | LostCause::GrantFailed | LostCause::Fault => Cost::Infra { lost: None },
    };
    let blame = match cause {
        LostCause::Wedged | LostCause::Fault => Blame::of(attempt),
        // Restarts, the way to it and what is ours say nothing of its disk and tools.
        LostCause::HandedBack | LostCause::NotAccepted | LostCause::Revoked | LostCause::Silent | LostCause::GrantFailed => Blame::Nobody,
    };
    let class = match cause {
        LostCause::GrantFailed => Some(OutcomeClass::Internal),
        _ => matches!(cost, Cost::Infra { .. }).then_some(OutcomeClass::Infra),
    };
    attempt::finish(d, key, cause, class, reason);
    // The next attempt goes on from what was handed in on the way, also where we took the seat back.
    if let Some(unit) = &key.unit {
        subtasks::close_saved(d, &key.run, unit, key.attempt);
    }
    if matches!(cause, LostCause::Wedged | LostCause::NotAccepted | LostCause::Silent) {
        d.effect(Effect::Revoke { worker: worker.clone(), lease, reason: reason.to_owned() });
    }
    let setback = Setback { seat, worker, pool, cost, blame, reason: reason.to_owned() };
    setback::setback(d, &key.run, key.unit.as_ref(), &setback);
}

/// We take it back, and nobody is to blame: its unit (or run) goes on elsewhere. What its worker still hands in is kept, as of every late outcome.
pub(crate) fn take_back(d: &mut Txn<'_>, key: &AttemptKey, reason: &str) {
    let Some(attempt) = d.state().attempt(key).filter(|attempt| attempt.is_live()) else { return };
    let lease = LeaseRef { key: key.clone(), lease_id: attempt.granted.lease_id };
    let effect = Effect::Revoke { worker: attempt.granted.worker.clone(), lease, reason: reason.to_owned() };
    lose(d, key, LostCause::Revoked, reason);
    d.effect(effect);
}
