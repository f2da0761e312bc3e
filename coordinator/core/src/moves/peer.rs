//! An identity ends, with what it still holds.

use roundtable_shared::{AccessRole, AttemptKey, PeerName, WorkerId};

use crate::effect::Effect;
use crate::fleet::{GRACE_MS, LOST_MS};
use crate::moves::loss;
use crate::state::LostCause;
use crate::transition::Fact;
use crate::txn::Txn;

/// From here on certificates of that name are refused; what a worker holds is given to others.
pub(crate) fn end(d: &mut Txn<'_>, peer: &PeerName, by: String, reason: String) {
    d.emit_fleet(Fact::PeerRevoked { peer: peer.clone(), by: by.clone(), reason: reason.clone() });
    if peer.role != AccessRole::Worker {
        return;
    }
    let worker = WorkerId::new(peer.id.as_str());
    // Who gets the name next is another, of whom nobody has said anything.
    if d.state().drained.contains_key(&worker) {
        d.emit_fleet(Fact::WorkerUndrained { worker: worker.clone(), by });
    }
    let held: Vec<AttemptKey> = d.state().live_of(&worker).map(|(key, _)| key.clone()).collect();
    for key in held {
        loss::lose(d, &key, LostCause::HandedBack, &format!("its worker's identity ended: {reason}"));
    }
    if let Some(known) = d.fleet.workers.remove(&worker)
        && known.connected
    {
        d.effect(Effect::EndSession { worker, session: known.session });
    }
}

/// A worker left for good: an identity that was lent to it for that time ends.
pub(crate) fn left(d: &mut Txn<'_>, worker: &WorkerId) {
    if d.state().access.worker(worker).is_some_and(|peer| peer.ephemeral) {
        end(d, &PeerName::worker(worker.as_str()), String::new(), "it left".to_owned());
    }
}

/// Ends identities that were lent to workers which are lost. One whose link broke a moment ago is not, nor one that has not had the time to say hello, to
/// this process or at all.
pub(crate) fn end_lost(d: &mut Txn<'_>) {
    let now = d.now;
    if now.mono_ms.saturating_sub(d.fleet.began_ms) <= GRACE_MS {
        return;
    }
    let peers = d.state().access.peers.iter().filter(|(name, peer)| {
        let is_gone = || d.fleet.workers.get(name.id.as_str()).is_none_or(|known| known.is_silent(now, LOST_MS));
        peer.ephemeral && name.role == AccessRole::Worker && now.wall.since(peer.since) > LOST_MS && is_gone()
    });
    let lost: Vec<PeerName> = peers.map(|(name, _)| name.clone()).collect();
    for peer in lost {
        end(d, &peer, String::new(), "it was silent for too long".to_owned());
    }
}
