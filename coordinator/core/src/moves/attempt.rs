//! An attempt loses its seat: it is ended, or told to stop.

use roundtable_shared::{AttemptKey, LeaseRef, OutcomeClass, RunId, UnitId};

use crate::effect::Effect;
use crate::state::{LostCause, Unit};
use crate::transition::Fact;
use crate::txn::Txn;

/// We end it. What becomes of its seat is the caller's to say.
pub(crate) fn revoke(d: &mut Txn<'_>, key: &AttemptKey, reason: &str) {
    let Some(attempt) = d.state().attempt(key).filter(|attempt| attempt.is_live()) else { return };
    let lease = LeaseRef { key: key.clone(), lease_id: attempt.granted.lease_id };
    let worker = attempt.granted.worker.clone();
    finish(d, key, LostCause::Revoked, None, reason);
    d.effect(Effect::Revoke { worker, lease, reason: reason.to_owned() });
}

/// Ends all live attempts of a unit.
pub(crate) fn revoke_unit(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, reason: &str) {
    let live: Vec<AttemptKey> = d.unit(run, unit).live_attempts().map(|attempt| attempt.granted.key(run)).collect();
    for key in live {
        revoke(d, &key, reason);
    }
}

/// Ends all live attempts of a run, its own and its units'.
pub(crate) fn revoke_run(d: &mut Txn<'_>, run: &RunId, reason: &str) {
    let now = d.run(run);
    let own = now.live.values().filter_map(|no| now.attempt(*no));
    let live: Vec<AttemptKey> = own.chain(now.begun().flat_map(Unit::live_attempts)).map(|attempt| attempt.granted.key(run)).collect();
    for key in live {
        revoke(d, &key, reason);
    }
}

/// Its seat is empty: the attempt ends without an outcome, and its deadline goes.
pub(crate) fn finish(d: &mut Txn<'_>, key: &AttemptKey, cause: LostCause, class: Option<OutcomeClass>, reason: &str) {
    d.fleet.leases.remove(key);
    let fact = Fact::AttemptLost { unit: key.unit.clone(), attempt: key.attempt, cause, class, reason: reason.to_owned() };
    d.emit(&key.run, fact);
}
