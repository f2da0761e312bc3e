//! `workers --json`.

use std::collections::BTreeMap;

use roundtable_core::command::Now;
use roundtable_core::fleet::{Fleet, LOST_MS, Offer, SUSPECT_MS, Worker};
use roundtable_core::schedule::{parked, parked_account};
use roundtable_core::state::State;
use roundtable_shared::view::{BackendView, WorkerView};
use roundtable_shared::{AttemptKey, BackendOffer, WorkerStatus};

/// All workers this process knows, and those that are drained and not here.
pub fn workers(state: &State, fleet: &Fleet, now: Now) -> Vec<WorkerView> {
    let here = fleet.workers.values().map(|each| worker(state, fleet, each, now));
    let elsewhere = state.drained.iter().filter(|(id, _)| !fleet.workers.contains_key(*id)).map(|(id, remark)| WorkerView {
        id: id.to_string(),
        name: id.to_string(),
        status: WorkerStatus::Gone.into(),
        last_seen_ms: now.wall.since(remark.at),
        drained_by: Some(remark.by.clone()),
        ..WorkerView::default()
    });
    here.chain(elsewhere).collect()
}

fn worker(state: &State, fleet: &Fleet, worker: &Worker, now: Now) -> WorkerView {
    let leases: Vec<String> = state.live_of(&worker.id).map(|(key, _)| key.to_string()).collect();
    let handed_in = |key: &AttemptKey| Some((key.to_string(), fleet.delivering(key)?.to_owned()));
    let delivering = state.live_of(&worker.id).filter_map(|(key, _)| handed_in(key)).collect();
    let status = if !worker.introduced || worker.is_silent(now, LOST_MS) {
        WorkerStatus::Gone
    } else if !worker.connected || worker.is_silent(now, SUSPECT_MS) {
        WorkerStatus::Silent
    } else if worker.drained_ms.is_some() && leases.is_empty() {
        WorkerStatus::Drained
    } else if worker.drained_ms.is_some() || worker.leaving {
        WorkerStatus::Draining
    } else if worker.cordoned.is_some() {
        WorkerStatus::Cordoned
    } else if leases.is_empty() {
        WorkerStatus::Ready
    } else {
        WorkerStatus::Busy
    };
    let mut busy: BTreeMap<&str, u32> = BTreeMap::new();
    for (_, attempt) in state.live_of(&worker.id) {
        *busy.entry(attempt.granted.pool.as_str()).or_default() += 1;
    }
    let backend = |offer: &Offer| BackendView {
        slots: offer.offer.slots,
        busy: busy.get(offer.offer.pool.as_str()).copied().unwrap_or(0),
        unavailable: unavailable(state, fleet, worker, offer, now),
        version: offer.offer.version.clone(),
    };
    WorkerView {
        id: worker.id.to_string(),
        name: worker.name.clone(),
        status: status.into(),
        backends: worker.offers.iter().map(|(name, offer)| (name.to_string(), backend(offer))).collect(),
        labels: worker.labels.clone(),
        last_seen_ms: now.mono_ms.saturating_sub(worker.seen_ms),
        delivering,
        version: worker.version.clone(),
        leases,
        drained_by: state.drained.get(&worker.id).map(|remark| remark.by.clone()),
    }
}

/// Why a backend takes nothing here now.
fn unavailable(state: &State, fleet: &Fleet, worker: &Worker, offer: &Offer, now: Now) -> Option<String> {
    if let Some(cordon) = &worker.cordoned {
        let seconds = cordon.until_ms.saturating_sub(now.mono_ms).div_ceil(1000);
        return Some(format!("cordoned: {}; tried again in {seconds} s", cordon.reason));
    }
    if !offer.offer.unavailable.is_empty() {
        return Some(offer.offer.unavailable.clone());
    }
    if let Some(until) = offer.parked_until_ms.filter(|until| *until > now.mono_ms) {
        return Some(format!("its login or configuration was refused; tried again in {} s", (until - now.mono_ms).div_ceil(1000)));
    }
    let BackendOffer { name, account, .. } = &offer.offer;
    let account = parked_account(account, &worker.id);
    let mut keys = state.parks.keys().filter(|key| key.backend == *name && key.account == account);
    let (key, (park, how)) = keys.find_map(|key| Some((key, parked(state, key, now)?)))?;
    let model = if key.model.is_empty() { String::new() } else { format!("with model {}: ", key.model) };
    Some(format!("{model}{}", super::parks::text(fleet, now, park, &how)))
}
