//! Sessions of workers: hello and reconciliation, heartbeats, credits, offers, goodbye (docs/rules.md, "Heard, silent, lost").

use std::collections::BTreeMap;

use roundtable_shared::{AttemptKey, BackendOffer, HeldLease, Introduction, LeasePhase, LeaseRef, Reconciled, WorkerId};

use crate::change::{Rejection, Reply};
use crate::command::{Now, WorkerHello};
use crate::effect::Effect;
use crate::fleet::{LeaseWatch, Offer, Worker};
use crate::moves::{cordon, lease, loss, peer};
use crate::planted::{Bug, planted};
use crate::state::{Attempt, LostCause};
use crate::txn::Txn;

/// Heartbeats in a row that must miss a lease before it counts as gone: one may have crossed the grant.
const MISSING_BEATS_MAX: u32 = 2;

/// Starts of a worker within the time in which the last one that was heard counts as alive.
const STARTS_MAX: u64 = 1_000;

/// A session begins: both sides say what they hold and converge.
pub(crate) fn hello(d: &mut Txn<'_>, hello: WorkerHello) -> Result<(), Rejection> {
    let WorkerHello { worker: id, session, introduction } = hello;
    if let Some(known) = d.fleet.workers.get(&id)
        && known.introduced
    {
        admit(known, &introduction, d.now)?;
        if session <= known.session {
            return Err(Rejection::stale(format!("worker {id} has a newer session already")));
        }
        if known.connected {
            d.effect(Effect::EndSession { worker: id.clone(), session: known.session });
        }
    }
    let is_drained = d.state().drained.contains_key(&id);
    let restarted = d
        .fleet
        .workers
        .get(&id)
        .is_none_or(|known| introduction.incarnation != known.incarnation || !introduction.origin.is_same_start(&known.origin));
    let held = introduction.held;
    let now = d.now;
    let offered: Vec<_> = introduction.backends.iter().map(|offer| &offer.name).collect();
    let is_known = |known: &Worker| {
        known.is_here(now) && known.offers.len() == offered.len() && offered.iter().all(|name| known.offers.contains_key(*name))
    };
    if !d.fleet.workers.get(&id).is_some_and(is_known) {
        d.fleet.joined_ms = Some(now.mono_ms);
    }
    // What the token gave it counts more than what it says of itself.
    let granted_labels = d.state().access.worker(&id).map(|peer| peer.labels.clone()).unwrap_or_default();
    let worker = d.fleet.workers.entry(&id, || Worker::unseen(id.clone(), now));
    worker.session = session;
    worker.connected = true;
    worker.introduced = true;
    worker.incarnation = introduction.incarnation;
    worker.origin = introduction.origin;
    worker.name = introduction.name;
    worker.version = introduction.version;
    worker.labels = introduction.labels;
    worker.labels.extend(granted_labels);
    worker.credits.clear();
    worker.warm.clear();
    introduction.repositories.iter().for_each(|repository| worker.keeps(repository));
    if restarted {
        worker.leaving = false;
    }
    worker.drained_ms = (is_drained && !planted(Bug::DrainForgottenAtHello)).then(|| worker.drained_ms.unwrap_or(now.mono_ms));
    // A new hello is a good probe: credentials that were refused may have been renewed.
    worker.offers = introduction.backends.into_iter().map(|offer| (offer.name.clone(), Offer::new(offer))).collect();
    let names: Vec<_> = worker.offers.keys().cloned().collect();
    worker.saw(now);
    d.fleet.seen.extend(names);
    if restarted {
        cordon::forgive(d, &id);
    }
    let reconciled = reconcile(d, &id, &held);
    remember_held(d, &id, held);
    d.reply(Reply::Welcome { reconciled });
    Ok(())
}

/// Whether this hello may come in place of the worker that is known by the name: a later start of it may, and any other once that is gone. Of two that
/// live the first keeps the name: they would displace each other for ever. What a worker says of its own start counts only while that start is heard, so
/// that no number, however large, keeps the name from the others for good.
fn admit(known: &Worker, new: &Introduction, now: Now) -> Result<(), Rejection> {
    if !known.is_alive(now) {
        return Ok(());
    }
    if new.origin.is_same_worker(&known.origin) {
        match new.incarnation.checked_sub(known.incarnation) {
            None => {
                return Err(Rejection::conflict(format!(
                    "a newer start of worker {} has said hello already (start {} after {}); end one of the two, or give them different names",
                    known.id, known.incarnation, new.incarnation
                )));
            }
            Some(0) if new.origin.is_same_start(&known.origin) => return Ok(()),
            Some(1..=STARTS_MAX) => return Ok(()),
            Some(0) => {}
            Some(_) => {
                return Err(Rejection::conflict(format!(
                    "worker {} is heard as start {}, and none comes {} starts later while that lives; if it is gone, this one is let in within a minute",
                    known.id,
                    known.incarnation,
                    new.incarnation - known.incarnation
                )));
            }
        }
    }
    let place = if known.origin.place.is_empty() { "it does not say where".to_owned() } else { known.origin.place.clone() };
    Err(Rejection::conflict(format!("another worker is joined as {} ({place}); choose another --name, or end that one first", known.id)))
}

/// What this worker should hold and does not is handed back at once; what it holds and should not it is told to drop.
fn reconcile(d: &mut Txn<'_>, id: &WorkerId, held: &[HeldLease]) -> Vec<Reconciled> {
    let gone: Vec<AttemptKey> = d
        .state()
        .live_of(id)
        .filter(|(key, attempt)| !held.iter().any(|each| each.lease.key == **key && each.lease.lease_id == attempt.granted.lease_id))
        .map(|(key, _)| key.clone())
        .collect();
    for key in gone.into_iter().filter(|_| !planted(Bug::ReconcileForgotten)) {
        loss::lose(d, &key, LostCause::HandedBack, "the worker came back without it");
    }
    held.iter()
        .map(|each| {
            let is_current = d.state().current(&each.lease).is_some_and(|attempt| attempt.granted.worker == *id);
            if is_current {
                note_phase(d, each);
            }
            // An outcome that was accepted is reported again and gets the same verdict: the worker may not have heard it.
            let keep = is_current || planted(Bug::StaleKept) || (each.phase == LeasePhase::Reported && is_recorded(d, id, &each.lease));
            let reason = if keep { String::new() } else { "the seat is no longer held by this attempt".to_owned() };
            Reconciled { lease: each.lease.clone(), keep, acked_seq: 0, reason }
        })
        .collect()
}

fn is_recorded(d: &Txn<'_>, id: &WorkerId, lease: &LeaseRef) -> bool {
    let attempt =
        d.state().attempt(&lease.key).filter(|attempt| attempt.granted.lease_id == lease.lease_id && attempt.granted.worker == *id);
    attempt.is_some_and(|attempt| attempt.digest().is_some())
}

/// A worker says how far a lease is, without that being progress.
fn note_phase(d: &mut Txn<'_>, held: &HeldLease) {
    let Some((limits, worker)) = d
        .state()
        .run(&held.lease.key.run)
        .map(|run| run.options.limits.clone())
        .zip(d.state().current(&held.lease).map(|attempt| attempt.granted.worker.clone()))
    else {
        return;
    };
    let now = d.now;
    let watch = d.fleet.leases.entry(&held.lease.key, || LeaseWatch::granted(worker, &limits, now));
    watch.missing_beats = 0;
    watch.reached(held.phase, false, &limits, now);
    watch.waits(&held.waiting);
    if held.phase >= LeasePhase::Running {
        lease::note_started(d, &held.lease);
    }
}

/// Of runs that are not known here (this may be a coordinator that was restored from a backup) nothing is remembered.
fn remember_held(d: &mut Txn<'_>, id: &WorkerId, held: Vec<HeldLease>) {
    let known: Vec<HeldLease> = held.into_iter().filter(|each| d.state().run(&each.lease.key.run).is_some()).collect();
    if let Some(worker) = d.fleet.workers.get_mut(id) {
        worker.held = known.into_iter().map(|each| (each.lease, each.phase)).collect::<BTreeMap<_, _>>();
    }
}

/// A stream ended. Its leases stay until the worker is back or silent too long.
pub(crate) fn gone(d: &mut Txn<'_>, id: &WorkerId, session: u64) {
    if let Some(worker) = d.fleet.session(id, session) {
        worker.connected = false;
        worker.credits.clear();
    }
}

/// A worker leaves for good: what it still holds is handed back.
pub(crate) fn goodbye(d: &mut Txn<'_>, id: &WorkerId, session: u64) {
    if d.fleet.session(id, session).is_none() {
        return;
    }
    let held: Vec<AttemptKey> = d.state().live_of(id).map(|(key, _)| key.clone()).collect();
    for key in held {
        loss::lose(d, &key, LostCause::HandedBack, "the worker left");
    }
    peer::left(d, id);
    d.fleet.workers.remove(id);
}

/// Free capacity of a pool.
pub(crate) fn want(d: &mut Txn<'_>, id: &WorkerId, session: u64, pool: String, credits: u32) -> Result<(), Rejection> {
    let now = d.now;
    let worker = d.fleet.session(id, session).ok_or_else(|| unknown_session(id))?;
    worker.saw(now);
    if worker.credits.len() >= 1024 && !worker.credits.contains_key(&pool) {
        return Err(Rejection::invalid(format!("worker {id} names too many pools")));
    }
    worker.credits.insert(pool, credits);
    Ok(())
}

/// A worker takes nothing more, by its own decision. It is told to people alone: its credits are nothing, and its backends count as offered until it has
/// left, so that nobody is asked for another because of one that is about to come again.
pub(crate) fn leaving(d: &mut Txn<'_>, id: &WorkerId, session: u64) -> Result<(), Rejection> {
    let now = d.now;
    let worker = d.fleet.session(id, session).ok_or_else(|| unknown_session(id))?;
    worker.saw(now);
    worker.leaving = true;
    Ok(())
}

/// An offer changed: logged in or out, or probed.
pub(crate) fn backend_changed(d: &mut Txn<'_>, id: &WorkerId, session: u64, offer: BackendOffer) -> Result<(), Rejection> {
    let now = d.now;
    let worker = d.fleet.session(id, session).ok_or_else(|| unknown_session(id))?;
    worker.saw(now);
    let name = offer.name.clone();
    let was_out = worker.offers.get(&name).is_some_and(|known| !known.offer.unavailable.is_empty());
    let is_mended = was_out && offer.unavailable.is_empty();
    let refused = worker.offers.get(&name).and_then(|known| known.refused.clone()).filter(|_| !offer.unavailable.is_empty());
    if offer.unavailable.is_empty() {
        let others = worker.offers.values_mut().filter(|other| other.offer.shares_login(&offer) && !other.is_misconfigured());
        others.for_each(|other| *other = Offer::new(other.offer.clone()));
    }
    worker.offers.insert(name.clone(), Offer { refused, ..Offer::new(offer) });
    d.fleet.seen.insert(name);
    if is_mended {
        cordon::forgive(d, id);
    }
    Ok(())
}

/// A sign of life with all the worker holds; the answer lists what it must drop, again and again until it has.
pub(crate) fn heartbeat(d: &mut Txn<'_>, id: &WorkerId, session: u64, held: Vec<HeldLease>) -> Result<(), Rejection> {
    let now = d.now;
    let worker = d.fleet.session(id, session).ok_or_else(|| unknown_session(id))?;
    worker.saw(now);
    let drain = worker.drained_ms.is_some();
    let mut revoke = Vec::new();
    for each in &held {
        let is_current = d.state().current(&each.lease).is_some_and(|attempt| attempt.granted.worker == *id);
        if is_current && !planted(Bug::CurrentRevoked) {
            note_phase(d, each);
        } else if each.phase != LeasePhase::Reported && !planted(Bug::RevokeForgotten) {
            revoke.push((each.lease.clone(), "the seat is no longer held by this attempt".to_owned()));
        }
    }
    drop_missing(d, id, &held);
    remember_held(d, id, held);
    d.reply(Reply::Heartbeat { revoke, drain });
    Ok(())
}

/// Leases the worker had taken and no longer lists are gone.
fn drop_missing(d: &mut Txn<'_>, id: &WorkerId, held: &[HeldLease]) {
    let lease = |(key, attempt): (&AttemptKey, &Attempt)| LeaseRef { key: key.clone(), lease_id: attempt.granted.lease_id };
    let live: Vec<LeaseRef> = d.state().live_of(id).map(lease).collect();
    for lease in live {
        if held.iter().any(|each| each.lease == lease) {
            continue;
        }
        let key = lease.key;
        let Some(watch) = d.fleet.leases.get_mut(&key).filter(|watch| watch.phase.is_some()) else { continue };
        watch.missing_beats += 1;
        if watch.missing_beats >= MISSING_BEATS_MAX {
            loss::lose(d, &key, LostCause::HandedBack, "the worker does not hold it any more");
        }
    }
}

fn unknown_session(id: &WorkerId) -> Rejection {
    Rejection::stale(format!("this is not the present session of worker {id}; say hello again"))
}
