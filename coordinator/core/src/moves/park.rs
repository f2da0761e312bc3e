//! Parks begin and end: a provider that refuses is waited for, and probed with one attempt at a time.

use roundtable_shared::time::WallMs;
use roundtable_shared::{AttemptKey, FailureKind, login_of};

use crate::command::Report;
use crate::fleet::{Offer, Refused};
use crate::planted::{Bug, planted};
use crate::rules::park;
use crate::state::ParkKey;
use crate::transition::Fact;
use crate::txn::Txn;

/// Longest wait before the first probe where the provider named no time; it doubles with each refusal, up to the run's limit.
const PROBE_FIRST_MS: u64 = 15_000;

/// Nothing is parked for less than this where the provider names a time: one that names no time to speak of would be asked again and again.
const KNOWN_MIN_MS: u64 = 5_000;

/// And for less than this where it names none.
const JITTER_MIN_MS: u64 = 1_000;

/// Doublings that are counted.
const STEP_MAX: u32 = 24;

/// A provider refused that attempt.
pub(crate) fn park(d: &mut Txn<'_>, attempt: &AttemptKey, kind: &FailureKind, reason: &str) {
    match kind {
        FailureKind::Auth | FailureKind::Misconfigured => refuse_on_worker(d, attempt, kind, reason),
        FailureKind::RateLimit { retry_after_ms: Some(after) } | FailureKind::Quota { retry_after_ms: Some(after) } => {
            park_until(d, attempt, *after, reason);
        }
        FailureKind::Quota { .. } => park_for_probe(d, attempt, true, reason),
        _ => park_for_probe(d, attempt, false, reason),
    }
}

/// What is wrong there is wrong for all that uses the same login there.
fn refuse_on_worker(d: &mut Txn<'_>, attempt: &AttemptKey, kind: &FailureKind, reason: &str) {
    let Some(of) = d.state().attempt(attempt) else { return };
    let (id, backend) = (of.granted.worker.clone(), of.granted.backend.clone());
    let until = d.now.mono_ms.saturating_add(d.run(&attempt.run).options.limits.park_probe_ms);
    let refused = Refused { kind: kind.clone(), reason: reason.to_owned(), model: of.granted.model.clone() };
    if let Some(worker) = d.fleet.workers.get_mut(&id)
        && let Some(offer) = worker.offers.get(&backend).map(|offer| offer.offer.clone())
    {
        let is_same = |other: &Offer| other.offer.name == backend || (*kind == FailureKind::Auth && other.offer.shares_login(&offer));
        for other in worker.offers.values_mut().filter(|other| is_same(other)) {
            other.parked_until_ms = Some(until);
            other.refused = Some(refused.clone());
        }
    }
    let text = park::refusal(d.run(&attempt.run), d.fleet, &id, &backend, &refused);
    if park::is_told_mended(d.run(&attempt.run), &park::where_not(d.run(&attempt.run), d.fleet, &id, &backend)) {
        d.say_again(&attempt.run, text);
    } else {
        d.notice(&attempt.run, text);
    }
}

/// A login that was refused has served an attempt: where the refusal was told, this is told too, also in a later life of the run.
fn tell_mended(d: &mut Txn<'_>, attempt: &AttemptKey) {
    let Some(of) = d.state().attempt(attempt) else { return };
    let (id, backend) = (of.granted.worker.clone(), of.granted.backend.clone());
    if let Some(worker) = d.fleet.workers.get_mut(&id) {
        let has_served =
            |other: &Offer| other.offer.name == backend || (login_of(&other.offer.name) == login_of(&backend) && !other.is_misconfigured());
        worker.offers.values_mut().filter(|other| has_served(other)).for_each(|other| other.refused = None);
    }
    let run = d.run(&attempt.run);
    let complaint = park::where_not(run, d.fleet, &id, &backend);
    let was_told = run.people.notices.iter().any(|notice| notice.text.starts_with(&complaint));
    if was_told && !park::is_told_mended(run, &complaint) {
        d.say_again(&attempt.run, park::mended(&complaint));
    }
}

/// The provider named its reset.
fn park_until(d: &mut Txn<'_>, attempt: &AttemptKey, after_ms: u64, reason: &str) {
    let Some(of) = d.state().attempt(attempt) else { return };
    let (park, worker) = (park::key_of(of), of.granted.worker.clone());
    let before = d.state().parks.get(&park);
    let (step, earlier) = before.map_or((0, None), |before| (before.step, before.known.then_some(before.until)));
    let until = WallMs(d.now.wall.0.saturating_add(after_ms.max(KNOWN_MIN_MS)));
    let until = earlier.map_or(until, |earlier| until.max(earlier));
    d.emit_fleet(Fact::BackendParked { park, until, known: true, reason: reason.to_owned(), worker: Some(worker), step });
}

/// It named none: the next probe comes after a wait drawn from up to 15 s, doubled with each probe that is refused too. A quota lasts: there the wait
/// begins at the limit.
fn park_for_probe(d: &mut Txn<'_>, attempt: &AttemptKey, is_quota: bool, reason: &str) {
    let Some(of) = d.state().attempt(attempt) else { return };
    let (park, worker) = (park::key_of(of), of.granted.worker.clone());
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

/// The model has answered in that attempt. If it is the probe, grants go on; the step stays until an attempt has come to its end.
pub(crate) fn served(d: &mut Txn<'_>, attempt: &AttemptKey) {
    let Some(of) = d.state().attempt(attempt) else { return };
    let key = park::key_of(of);
    let park = d.state().parks.get(&key);
    if park.is_some_and(|park| !park.known && !park.answered && of.granted_at >= park.until) {
        d.emit_fleet(Fact::BackendAnswered { park: key });
    }
}

/// An attempt ended without being refused. Where its provider has served it, the park and its step are over; a reset that was named is believed over
/// attempts from before it.
pub(crate) fn worked(d: &mut Txn<'_>, report: &Report) {
    if !park::was_served(report) {
        return;
    }
    tell_mended(d, &report.lease.key);
    let Some(of) = d.state().attempt(&report.lease.key) else { return };
    let key = park::key_of(of);
    let Some(park) = d.state().parks.get(&key) else { return };
    if !park.known || of.granted_at >= park.until {
        d.emit_fleet(Fact::BackendUnparked { park: key });
    }
}

/// Parks whose time is over: a known reset lifts them; otherwise a probe that has run for a while lets grants go on.
pub(crate) fn lift_due(d: &mut Txn<'_>) {
    let now = d.now.wall;
    let due = d.state().parks.iter().filter(|(_, park)| park.until <= now && !park.answered);
    let due: Vec<(ParkKey, bool)> = due.map(|(key, park)| (key.clone(), park.known)).collect();
    for (park, known) in due {
        if planted(Bug::ParkForever) {
            continue;
        }
        if known {
            d.emit_fleet(Fact::BackendUnparked { park });
        } else if park::has_good_probe(d, &park) {
            d.emit_fleet(Fact::BackendAnswered { park });
        }
    }
}
