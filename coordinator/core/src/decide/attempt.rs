//! The end of an attempt without an outcome: lost, handed back, revoked. Outcomes are in `report`.

use roundtable_shared::{AttemptKey, AttemptNo, LeaseRef, OutcomeClass, RunId, UnitId};

use super::failure::{self, Blame, Cost, Setback};
use super::{Deciding, work};
use crate::effect::Effect;
use crate::state::LostCause;
use crate::transition::Fact;

/// Names an attempt.
pub(crate) fn key_of(run: &RunId, unit: Option<&UnitId>, attempt: AttemptNo) -> AttemptKey {
    AttemptKey { run: run.clone(), unit: unit.cloned(), attempt }
}

/// An attempt ended without an outcome, and not because we wanted it: records it and lets its unit (or run) go on.
pub(super) fn lose(d: &mut Deciding<'_>, key: &AttemptKey, cause: LostCause, reason: &str) {
    let Some(attempt) = d.state().attempt(key).filter(|attempt| attempt.is_live()) else { return };
    let (seat, worker, pool, started) = (attempt.seat, attempt.worker.clone(), attempt.pool.clone(), attempt.started_at.is_some());
    let lease = LeaseRef { key: key.clone(), lease_id: attempt.lease_id };
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
    finish(d, key, cause, class, reason);
    // The next attempt goes on from what was handed in on the way, also where we took the seat back.
    if let Some(unit) = &key.unit {
        work::close_saved(d, &key.run, unit, key.attempt);
    }
    if matches!(cause, LostCause::Wedged | LostCause::NotAccepted | LostCause::Silent) {
        d.effect(Effect::Revoke { worker: worker.clone(), lease, reason: reason.to_owned() });
    }
    let setback = Setback { seat, worker, pool, cost, blame, reason: reason.to_owned() };
    failure::setback(d, &key.run, key.unit.as_ref(), &setback);
}

/// We take it back, and nobody is to blame: its unit (or run) goes on elsewhere. What its worker still hands in is kept, as of every late outcome.
pub(super) fn take_back(d: &mut Deciding<'_>, key: &AttemptKey, reason: &str) {
    let Some(attempt) = d.state().attempt(key).filter(|attempt| attempt.is_live()) else { return };
    let lease = LeaseRef { key: key.clone(), lease_id: attempt.lease_id };
    let effect = Effect::Revoke { worker: attempt.worker.clone(), lease, reason: reason.to_owned() };
    lose(d, key, LostCause::Revoked, reason);
    d.effect(effect);
}

/// We end it. What becomes of its seat is the caller's to say.
pub(super) fn revoke(d: &mut Deciding<'_>, key: &AttemptKey, reason: &str) {
    let Some(attempt) = d.state().attempt(key).filter(|attempt| attempt.is_live()) else { return };
    let lease = LeaseRef { key: key.clone(), lease_id: attempt.lease_id };
    let worker = attempt.worker.clone();
    finish(d, key, LostCause::Revoked, None, reason);
    d.effect(Effect::Revoke { worker, lease, reason: reason.to_owned() });
}

/// Ends all live attempts of a unit.
pub(super) fn revoke_unit(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, reason: &str) {
    let live: Vec<AttemptNo> = d.unit(run, unit).live.values().copied().collect();
    for attempt in live {
        revoke(d, &key_of(run, Some(unit), attempt), reason);
    }
}

/// Ends all live attempts of a run, its own and its units'.
pub(super) fn revoke_run(d: &mut Deciding<'_>, run: &RunId, reason: &str) {
    let own = d.run(run).live.values().map(|attempt| key_of(run, None, *attempt));
    let units = d.run(run).units().flat_map(|unit| unit.live.values().map(|attempt| key_of(run, Some(&unit.id), *attempt)));
    let live: Vec<AttemptKey> = own.chain(units).collect();
    for key in live {
        revoke(d, &key, reason);
    }
}

fn finish(d: &mut Deciding<'_>, key: &AttemptKey, cause: LostCause, class: Option<OutcomeClass>, reason: &str) {
    d.fleet.leases.remove(key);
    let fact = Fact::AttemptLost { unit: key.unit.clone(), attempt: key.attempt, cause, class, reason: reason.to_owned() };
    d.emit(&key.run, fact);
}
