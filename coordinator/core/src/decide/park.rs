//! Providers that refuse: their backend and account are parked fleet-wide until the reset, refused credentials on one worker only.

use roundtable_shared::time::WallMs;
use roundtable_shared::{AttemptKey, FailureKind};

use super::Deciding;
use crate::state::{Attempt, ParkKey};
use crate::transition::Fact;

/// A probe that has run this long without being refused has shown that the provider works.
pub(super) const PROBE_GOOD_MS: u64 = 60_000;
/// Nothing is parked for less, so that a provider that names no time to speak of is not asked again and again.
const PARK_MIN_MS: u64 = 5_000;

/// What an attempt's park is keyed by: accounts nobody knows are each worker's own.
pub(crate) fn key_of(attempt: &Attempt) -> ParkKey {
    key(&attempt.backend, &attempt.account, &attempt.worker)
}

/// The key of a backend on a worker.
pub(crate) fn key(backend: &roundtable_shared::BackendName, account: &str, worker: &roundtable_shared::WorkerId) -> ParkKey {
    let account = if account.is_empty() { format!("worker:{worker}") } else { account.to_owned() };
    ParkKey { backend: backend.clone(), account }
}

/// A provider refused that attempt.
pub(super) fn park(d: &mut Deciding<'_>, attempt: &AttemptKey, kind: &FailureKind, reason: &str) {
    let Some(of) = d.state().attempt(attempt) else { return };
    let (park, worker, backend) = (key_of(of), of.worker.clone(), of.backend.clone());
    let probe_ms = d.run(&attempt.run).options.limits.park_probe_ms;
    let retry_after_ms = match kind {
        FailureKind::Auth => {
            let until = d.now.mono_ms.saturating_add(probe_ms);
            let offer = d.fleet.workers.get_mut(&worker).and_then(|worker| worker.offers.get_mut(&backend));
            if let Some(offer) = offer {
                offer.parked_until_ms = Some(until);
            }
            let text = format!("{backend} is not logged in on worker {worker}: {reason}; log in there (`worker doctor` checks it)");
            return d.notice(&attempt.run, text);
        }
        FailureKind::RateLimit { retry_after_ms } | FailureKind::Quota { retry_after_ms } => *retry_after_ms,
        _ => None,
    };
    let until = WallMs(d.now.wall.0.saturating_add(retry_after_ms.unwrap_or(probe_ms).max(PARK_MIN_MS)));
    d.emit_fleet(Fact::BackendParked { park, until, known: retry_after_ms.is_some(), reason: reason.to_owned() });
}

/// An attempt ended without being refused: if it was the probe, the park is over.
pub(super) fn worked(d: &mut Deciding<'_>, attempt: &AttemptKey) {
    let Some(of) = d.state().attempt(attempt) else { return };
    let key = key_of(of);
    if d.state().parks.get(&key).is_some_and(|park| of.granted_at >= park.until) {
        d.emit_fleet(Fact::BackendUnparked { park: key });
    }
}

/// Parks whose time is over: a known reset lifts them; otherwise a probe that has run for a while does.
pub(super) fn lift_due(d: &mut Deciding<'_>) {
    let now = d.now.wall;
    let due: Vec<ParkKey> = d
        .state()
        .parks
        .iter()
        .filter(|(key, park)| park.until <= now && (park.known || has_good_probe(d, key, park.until)))
        .map(|(key, _)| key.clone())
        .collect();
    for park in due {
        d.emit_fleet(Fact::BackendUnparked { park });
    }
}

fn has_good_probe(d: &Deciding<'_>, key: &ParkKey, since: WallMs) -> bool {
    let mut probes = d.state().live_attempts().filter(|(_, attempt)| attempt.granted_at >= since && key_of(attempt) == *key);
    probes.any(|(_, attempt)| attempt.started_at.is_some_and(|started| d.now.wall.since(started) >= PROBE_GOOD_MS))
}

/// A run's needs have changed: what it waits for is noted anew.
pub(super) fn forget_missing(d: &mut Deciding<'_>, run: &roundtable_shared::RunId) {
    d.fleet.missing.retain(|(other, _), _| other != run);
}
