//! Providers that refuse. The backend, account and model are parked on the whole fleet until the reset; where none is named, one attempt at a time
//! probes, after waits that double. What is a worker's own fault (refused credentials or configuration) is parked on that worker only.

use roundtable_shared::text::one_line;
use roundtable_shared::time::WallMs;
use roundtable_shared::{AttemptKey, BackendName, FailureKind, RunId, WorkerId, login_command, login_of};

use super::Deciding;
use crate::command::{Now, Report};
use crate::fleet::{Fleet, Offer, Refused};
use crate::planted::{Bug, planted};
use crate::state::{Attempt, Park, ParkKey, Run, State};
use crate::transition::Fact;

/// A probe that has run this long without being refused counts as served, if its CLI does not show what its model says.
pub(super) const PROBE_GOOD_MS: u64 = 60_000;
/// Longest wait before the first probe where the provider named no time; it doubles with each refusal, up to the run's limit.
const PROBE_FIRST_MS: u64 = 15_000;
/// Nothing is parked for less than this where the provider names a time: one that names no time to speak of would be asked again and again.
const KNOWN_MIN_MS: u64 = 5_000;
/// And for less than this where it names none.
const JITTER_MIN_MS: u64 = 1_000;
/// Characters of what a CLI says of a refusal.
const REASON_CHARS_MAX: usize = 200;
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
pub(crate) fn key(backend: &BackendName, account: &str, worker: &WorkerId, model: String) -> ParkKey {
    ParkKey { backend: backend.clone(), account: parked_account(account, worker), model }
}

/// The account of a park's key, of what a worker says of its login.
pub fn parked_account(account: &str, worker: &WorkerId) -> String {
    if account.is_empty() { format!("worker:{worker}") } else { account.to_owned() }
}

/// Whether, and how, that is parked now. A park whose time has come lets one attempt through.
pub fn parked<'a>(state: &'a State, key: &ParkKey, now: Now) -> Option<(&'a Park, Parked)> {
    let park = state.parks.get(key).filter(|park| !park.answered)?;
    if park.until > now.wall && !planted(Bug::ParkIgnored) {
        return Some((park, Parked::Until(park.until)));
    }
    let (probe, _) = state.live_attempts().find(|(_, attempt)| is_probe(attempt, key, park) && !planted(Bug::SecondProbe))?;
    Some((park, Parked::Probed(probe.clone())))
}

/// Whether that attempt was let through after the park.
fn is_probe(attempt: &Attempt, key: &ParkKey, park: &Park) -> bool {
    attempt.granted_at >= park.until && key_of(attempt) == *key
}

/// A provider refused that attempt.
pub(super) fn park(d: &mut Deciding<'_>, attempt: &AttemptKey, kind: &FailureKind, reason: &str) {
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
fn refuse_on_worker(d: &mut Deciding<'_>, attempt: &AttemptKey, kind: &FailureKind, reason: &str) {
    let Some(of) = d.state().attempt(attempt) else { return };
    let (id, backend) = (of.worker.clone(), of.backend.clone());
    let until = d.now.mono_ms.saturating_add(d.run(&attempt.run).options.limits.park_probe_ms);
    let refused = Refused { kind: kind.clone(), reason: reason.to_owned(), model: of.model.clone() };
    if let Some(worker) = d.fleet.workers.get_mut(&id)
        && let Some(offer) = worker.offers.get(&backend).map(|offer| offer.offer.clone())
    {
        let is_same = |other: &Offer| other.offer.name == backend || (*kind == FailureKind::Auth && other.offer.shares_login(&offer));
        for other in worker.offers.values_mut().filter(|other| is_same(other)) {
            other.parked_until_ms = Some(until);
            other.refused = Some(refused.clone());
        }
    }
    let text = refusal(d.run(&attempt.run), d.fleet, &id, &backend, &refused);
    if is_told_mended(d.run(&attempt.run), &where_not(d.run(&attempt.run), d.fleet, &id, &backend)) {
        d.say_again(&attempt.run, text);
    } else {
        d.notice(&attempt.run, text);
    }
}

/// `codex on this host is not logged in: `codex login`, then run again (what its CLI says)`.
pub(crate) fn refusal(run: &Run, fleet: &Fleet, worker: &WorkerId, backend: &BackendName, refused: &Refused) -> String {
    let says = one_line(&refused.reason);
    let says = match says.char_indices().nth(REASON_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &says[..at]),
        None => says,
    };
    if refused.kind != FailureKind::Auth {
        let worker = fleet.name_of(worker);
        let what = match refused.model.as_str() {
            "" => "its model, arguments or configuration there".to_owned(),
            // Nobody finds that in the configuration of the worker.
            model => format!("the model its run asks for ({model}) and run again, or its arguments or configuration there"),
        };
        return format!("{backend} cannot be used on worker {worker}: {says}; correct {what} (`worker doctor` checks it)");
    }
    let login = login_command(backend).map_or_else(|| "log in with its CLI".to_owned(), |command| format!("`{command}`"));
    let then = if run.options.embedded { "then run again" } else { "there; it is tried again by itself" };
    let comma = if run.options.embedded { "," } else { "" };
    format!("{}: {login}{comma} {then} ({says})", where_not(run, fleet, worker, backend))
}

/// How a refused login is named: by the CLI that has it.
fn where_not(run: &Run, fleet: &Fleet, worker: &WorkerId, backend: &BackendName) -> String {
    format!("{} on {} is not logged in", login_of(backend), place_of(run, fleet, worker))
}

fn place_of<'a>(run: &Run, fleet: &'a Fleet, worker: &'a WorkerId) -> &'a str {
    if run.options.embedded { "this host" } else { fleet.name_of(worker) }
}

/// How its end is told.
fn mended(complaint: &str) -> String {
    complaint.replace("is not logged in", "is logged in again")
}

/// Whether the last that was told of that login is that it works again.
fn is_told_mended(run: &Run, complaint: &str) -> bool {
    let about = run.notices.iter().rev().find(|notice| notice.text.starts_with(complaint) || notice.text == mended(complaint));
    about.is_some_and(|notice| !notice.text.starts_with(complaint))
}

/// A login that was refused has served an attempt: where the refusal was told, this is told too, also in a later life of the run.
fn tell_mended(d: &mut Deciding<'_>, attempt: &AttemptKey) {
    let Some(of) = d.state().attempt(attempt) else { return };
    let (id, backend) = (of.worker.clone(), of.backend.clone());
    if let Some(worker) = d.fleet.workers.get_mut(&id) {
        let has_served =
            |other: &Offer| other.offer.name == backend || (login_of(&other.offer.name) == login_of(&backend) && !other.is_misconfigured());
        worker.offers.values_mut().filter(|other| has_served(other)).for_each(|other| other.refused = None);
    }
    let run = d.run(&attempt.run);
    let complaint = where_not(run, d.fleet, &id, &backend);
    let was_told = run.notices.iter().any(|notice| notice.text.starts_with(&complaint));
    if was_told && !is_told_mended(run, &complaint) {
        d.say_again(&attempt.run, mended(&complaint));
    }
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

/// The model has answered in that attempt. If it is the probe, grants go on; the step stays until an attempt has come to its end.
pub(super) fn served(d: &mut Deciding<'_>, attempt: &AttemptKey) {
    let Some(of) = d.state().attempt(attempt) else { return };
    let key = key_of(of);
    let park = d.state().parks.get(&key);
    if park.is_some_and(|park| !park.known && !park.answered && of.granted_at >= park.until) {
        d.emit_fleet(Fact::BackendAnswered { park: key });
    }
}

/// An attempt ended without being refused. Where its provider has served it, the park and its step are over; a reset that was named is believed over
/// attempts from before it.
pub(super) fn worked(d: &mut Deciding<'_>, report: &Report) {
    if !was_served(report) {
        return;
    }
    tell_mended(d, &report.lease.key);
    let Some(of) = d.state().attempt(&report.lease.key) else { return };
    let key = key_of(of);
    let Some(park) = d.state().parks.get(&key) else { return };
    if !park.known || of.granted_at >= park.until {
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
        if planted(Bug::ParkForever) {
            continue;
        }
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
pub(super) fn forget_missing(d: &mut Deciding<'_>, run: &RunId) {
    d.fleet.missing.retain(|(other, _), _| other != run);
}
