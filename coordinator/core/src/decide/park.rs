//! Providers that refuse. The backend, account and model are parked on the whole fleet until the reset; where none is named, one attempt at a time
//! probes, after waits that double. What is a worker's own fault (refused credentials) is parked on that worker only.

use roundtable_shared::time::WallMs;
use roundtable_shared::{AttemptKey, FailureKind};

use super::Deciding;
use crate::command::{Now, Report};
use crate::state::{Attempt, Park, ParkKey, State};
use crate::transition::Fact;

/// A probe that has run this long without being refused is being served.
pub(super) const PROBE_GOOD_MS: u64 = 60_000;
/// Longest wait before the first probe where the provider named no time; it doubles with each refusal, up to the run's limit.
const PROBE_FIRST_MS: u64 = 15_000;
/// Nothing is parked for less than this where the provider names a time: one that names no time to speak of would be asked again and again.
const KNOWN_MIN_MS: u64 = 5_000;
/// And for less than this where it names none.
const JITTER_MIN_MS: u64 = 1_000;
/// Doublings that are counted.
const STEP_MAX: u32 = 24;

/// How a park stands against a grant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Parked {
    /// Nothing is granted before that.
    Until(WallMs),
    /// This attempt probes; the others wait for what comes of it.
    Probed(AttemptKey),
}

/// What an attempt's park is keyed by: accounts nobody knows are each worker's own.
fn key_of(attempt: &Attempt) -> ParkKey {
    key(&attempt.backend, &attempt.account, &attempt.worker, attempt.model.clone())
}

/// The key of a backend on a worker.
pub(crate) fn key(backend: &roundtable_shared::BackendName, account: &str, worker: &roundtable_shared::WorkerId, model: String) -> ParkKey {
    let account = if account.is_empty() { format!("worker:{worker}") } else { account.to_owned() };
    ParkKey { backend: backend.clone(), account, model }
}

/// Whether, and how, that is parked now. A park whose time has come lets one attempt through.
pub fn parked<'a>(state: &'a State, key: &ParkKey, now: Now) -> Option<(&'a Park, Parked)> {
    let park = state.parks.get(key).filter(|park| !park.answered)?;
    if park.until > now.wall {
        return Some((park, Parked::Until(park.until)));
    }
    let (probe, _) = state.live_attempts().find(|(_, attempt)| is_probe(attempt, key, park))?;
    Some((park, Parked::Probed(probe.clone())))
}

/// Whether that attempt was let through after the park.
fn is_probe(attempt: &Attempt, key: &ParkKey, park: &Park) -> bool {
    attempt.granted_at >= park.until && key_of(attempt) == *key
}

/// A provider refused that attempt.
pub(super) fn park(d: &mut Deciding<'_>, attempt: &AttemptKey, kind: &FailureKind, reason: &str) {
    match kind {
        FailureKind::Auth => refuse_on_worker(d, attempt, reason),
        FailureKind::RateLimit { retry_after_ms: Some(after) } | FailureKind::Quota { retry_after_ms: Some(after) } => {
            park_until(d, attempt, *after, reason);
        }
        FailureKind::Quota { .. } => park_for_probe(d, attempt, true, reason),
        _ => park_for_probe(d, attempt, false, reason),
    }
}

fn refuse_on_worker(d: &mut Deciding<'_>, attempt: &AttemptKey, reason: &str) {
    let Some(of) = d.state().attempt(attempt) else { return };
    let (worker, backend) = (of.worker.clone(), of.backend.clone());
    let until = d.now.mono_ms.saturating_add(d.run(&attempt.run).options.limits.park_probe_ms);
    if let Some(offer) = d.fleet.workers.get_mut(&worker).and_then(|worker| worker.offers.get_mut(&backend)) {
        offer.parked_until_ms = Some(until);
    }
    let text = format!("{backend} is not logged in on worker {worker}: {reason}; log in there (`worker doctor` checks it)");
    d.notice(&attempt.run, text);
}

/// The provider named its reset.
fn park_until(d: &mut Deciding<'_>, attempt: &AttemptKey, after_ms: u64, reason: &str) {
    let Some(of) = d.state().attempt(attempt) else { return };
    let (park, worker) = (key_of(of), of.worker.clone());
    let before = d.state().parks.get(&park);
    let (step, earlier) = before.map_or((0, None), |before| (before.step, before.known.then_some(before.until)));
    let until = WallMs(d.now.wall.0.saturating_add(after_ms.max(KNOWN_MIN_MS)));
    let until = earlier.map_or(until, |earlier| until.max(earlier));
    d.emit_fleet(Fact::BackendParked { park, until, known: true, reason: reason.to_owned(), worker: Some(worker), step });
}

/// It named none: the next probe comes after a wait drawn from up to 15 s, doubled with each probe that is refused too. A quota lasts: there the wait
/// begins at the limit.
fn park_for_probe(d: &mut Deciding<'_>, attempt: &AttemptKey, is_quota: bool, reason: &str) {
    let Some(of) = d.state().attempt(attempt) else { return };
    let (park, worker) = (key_of(of), of.worker.clone());
    let limit_ms = d.run(&attempt.run).options.limits.park_probe_ms;
    let first = if is_quota { STEP_MAX } else { 0 };
    let step = match d.state().parks.get(&park) {
        None => first,
        Some(before) if of.granted_at >= before.until => before.step.saturating_add(1).clamp(first, STEP_MAX),
        // Granted before the park: what it says was known, unless grants have gone on since.
        Some(before) if before.answered => before.step.max(first),
        Some(before) if is_quota && !before.known && before.step < first => first,
        Some(_) => return,
    };
    let longest_ms = PROBE_FIRST_MS.saturating_mul(1 << step).min(limit_ms);
    let wait_ms = d.entropy.below(longest_ms.saturating_add(1)).max(JITTER_MIN_MS).min(longest_ms);
    let until = WallMs(d.now.wall.0.saturating_add(wait_ms));
    d.emit_fleet(Fact::BackendParked { park, until, known: false, reason: reason.to_owned(), worker: Some(worker), step });
}

/// An attempt ended without being refused. Where its provider has served it, the park and its step are over; a reset that was named is believed over
/// attempts from before it.
pub(super) fn worked(d: &mut Deciding<'_>, report: &Report) {
    let Some(of) = d.state().attempt(&report.lease.key) else { return };
    let key = key_of(of);
    let Some(park) = d.state().parks.get(&key) else { return };
    if was_served(report) && (!park.known || of.granted_at >= park.until) {
        d.emit_fleet(Fact::BackendUnparked { park: key });
    }
}

/// Whether the end shows that the model has answered: one for reasons of the worker may have come before anything was asked.
fn was_served(report: &Report) -> bool {
    let failure = report.facts.failure.as_ref().map(|failure| &failure.kind);
    let by_model = |kind: &FailureKind| {
        matches!(kind, FailureKind::BadAnswer | FailureKind::ContextOverflow | FailureKind::WallLimit | FailureKind::OutputLimit)
    };
    failure.is_none_or(by_model) || report.facts.usage.output_tokens > 0
}

/// Parks whose time is over: a known reset lifts them; otherwise a probe that has run for a while lets grants go on.
pub(super) fn lift_due(d: &mut Deciding<'_>) {
    let now = d.now.wall;
    let due = d.state().parks.iter().filter(|(_, park)| park.until <= now && !park.answered);
    let due: Vec<(ParkKey, bool)> = due.map(|(key, park)| (key.clone(), park.known)).collect();
    for (park, known) in due {
        if known {
            d.emit_fleet(Fact::BackendUnparked { park });
        } else if has_good_probe(d, &park) {
            d.emit_fleet(Fact::BackendAnswered { park });
        }
    }
}

fn has_good_probe(d: &Deciding<'_>, key: &ParkKey) -> bool {
    let Some(park) = d.state().parks.get(key) else { return false };
    let mut probes = d.state().live_attempts().filter(|(_, attempt)| is_probe(attempt, key, park));
    probes.any(|(_, attempt)| attempt.started_at.is_some_and(|started| d.now.wall.since(started) >= PROBE_GOOD_MS))
}

/// A run's needs have changed: what it waits for is noted anew.
pub(super) fn forget_missing(d: &mut Deciding<'_>, run: &roundtable_shared::RunId) {
    d.fleet.missing.retain(|(other, _), _| other != run);
}
