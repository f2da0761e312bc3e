//! Parks: what is refused by its provider, for which backend, account and model, and how that is told. Questions only.

use roundtable_shared::text::one_line;
use roundtable_shared::time::WallMs;
use roundtable_shared::{AttemptKey, BackendName, FailureKind, WorkerId, login_command, login_of};

use crate::command::{Now, Report};
use crate::fleet::{Fleet, Refused};
use crate::planted::{Bug, planted};
use crate::state::{Attempt, Park, ParkKey, Run, State};
use crate::txn::Txn;

/// A probe that has run this long without being refused counts as served, if its CLI does not show what its model says.
const PROBE_GOOD_MS: u64 = 60_000;

/// Characters of what a CLI says of a refusal.
const REASON_CHARS_MAX: usize = 200;

/// How a park stands against a grant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Parked {
    /// Nothing is granted before that.
    Until(WallMs),
    /// This attempt probes; the others wait for what comes of it.
    Probed(AttemptKey),
}

/// What an attempt's park is keyed by: accounts nobody knows are each worker's own.
pub(crate) fn key_of(attempt: &Attempt) -> ParkKey {
    key(&attempt.granted.backend, &attempt.granted.account, &attempt.granted.worker, attempt.granted.model.clone())
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
pub(crate) fn where_not(run: &Run, fleet: &Fleet, worker: &WorkerId, backend: &BackendName) -> String {
    format!("{} on {} is not logged in", login_of(backend), place_of(run, fleet, worker))
}

fn place_of<'a>(run: &Run, fleet: &'a Fleet, worker: &'a WorkerId) -> &'a str {
    if run.options.embedded { "this host" } else { fleet.name_of(worker) }
}

/// How its end is told.
pub(crate) fn mended(complaint: &str) -> String {
    complaint.replace("is not logged in", "is logged in again")
}

/// Whether the last that was told of that login is that it works again.
pub(crate) fn is_told_mended(run: &Run, complaint: &str) -> bool {
    let about = run.people.notices.iter().rev().find(|notice| notice.text.starts_with(complaint) || notice.text == mended(complaint));
    about.is_some_and(|notice| !notice.text.starts_with(complaint))
}

/// Whether the end shows that the model has answered: one for reasons of the worker may have come before anything was asked.
pub(crate) fn was_served(report: &Report) -> bool {
    let failure = report.facts.failure.as_ref().map(|failure| &failure.kind);
    let by_model = |kind: &FailureKind| {
        matches!(kind, FailureKind::BadAnswer | FailureKind::ContextOverflow | FailureKind::WallLimit | FailureKind::OutputLimit)
    };
    failure.is_none_or(by_model) || report.facts.usage.output_tokens > 0
}

/// Whether an attempt that was let through after the park has run long enough to count as served.
pub(crate) fn has_good_probe(d: &Txn<'_>, key: &ParkKey) -> bool {
    let Some(park) = d.state().parks.get(key) else { return false };
    let mut probes = d.state().live_attempts().filter(|(_, attempt)| is_probe(attempt, key, park));
    probes.any(|(_, attempt)| attempt.started_at.is_some_and(|started| d.now.wall.since(started) >= PROBE_GOOD_MS))
}
