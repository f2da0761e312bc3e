//! Who pays for an end that is not the agent's doing: hand-backs, infra failures with backoff, budget and quarantine (SEMANTICS §5).

use std::collections::BTreeSet;

use roundtable_shared::time::WallMs;
use roundtable_shared::{DecisionKind, RunId, RunLimits, Seat, UnitId, UnitState, WorkerId};

use super::blocking::{Block, block};
use super::{Deciding, assign, check, consult};
use crate::state::Run;
use crate::transition::{Counter, Fact};

/// Hand-backs in a row that cost nothing. A unit that brings its worker down each time would otherwise go round for ever; far more than a person who
/// stops and starts a run in the middle of a long turn comes to.
pub(super) const HAND_BACKS_FREE: u32 = 24;
/// Infra ends of one unit before a person is asked.
const INFRA_MAX: u32 = 5;
/// Different workers lost while running a unit before a person is asked.
const LOST_WORKERS_MAX: usize = 2;
/// Infra ends of different units in a row after which a worker gets nothing more.
const WORKER_STREAK_MAX: usize = 3;

/// What an end costs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Cost {
    /// Nothing.
    HandBack,
    /// One infra failure, and a worker lost while it ran.
    Infra { lost: Option<WorkerId> },
}

/// An end that is not the agent's doing.
pub(super) struct Setback {
    pub seat: Seat,
    pub worker: WorkerId,
    /// Whose slot it took there.
    pub pool: String,
    pub cost: Cost,
    pub reason: String,
}

/// Counts it and lets the unit, or the run's own seat, go on.
pub(super) fn setback(d: &mut Deciding<'_>, run: &RunId, unit: Option<&UnitId>, setback: &Setback) {
    let Some(unit) = unit else { return of_run(d, run, setback) };
    let mut cost = setback.cost.clone();
    if cost == Cost::HandBack {
        d.emit(run, Fact::Counted { unit: unit.clone(), what: Counter::HandBack });
        forfeit_credits(d, &setback.worker, &setback.pool);
        if d.unit(run, unit).counters.hand_backs > HAND_BACKS_FREE {
            cost = Cost::Infra { lost: None };
        }
    }
    let Cost::Infra { lost } = cost else { return back_to_waiting(d, run, unit) };
    d.emit(run, Fact::Counted { unit: unit.clone(), what: Counter::Infra });
    if let Some(worker) = lost {
        d.emit(run, Fact::Counted { unit: unit.clone(), what: Counter::LostWorker(worker) });
    }
    // Restarts say nothing of a worker's disk and tools, however many there were.
    if setback.cost != Cost::HandBack {
        blame_worker(d, run, unit, &setback.worker);
    }
    if let Some(context) = quarantine_reason(d, run, unit, &setback.reason) {
        back_to_waiting(d, run, unit);
        block(d, run, unit, Block { kind: DecisionKind::Quarantine, reason: "quarantined".to_owned(), context });
        return;
    }
    let infra = d.unit(run, unit).counters.infra;
    let until = backoff(&d.run(run).options.limits, d.now.wall, infra);
    d.emit(run, Fact::BackoffSet { unit: unit.clone(), until, avoid: Some(setback.worker.clone()) });
    back_to_waiting(d, run, unit);
}

fn of_run(d: &mut Deciding<'_>, run: &RunId, setback: &Setback) {
    if setback.cost == Cost::HandBack {
        forfeit_credits(d, &setback.worker, &setback.pool);
    }
    match setback.seat {
        Seat::Assign => assign::lost(d, run, &setback.worker, &setback.reason),
        Seat::Orchestrate => consult::failed(d, run, &setback.reason),
        Seat::Check => check::base_lost(d, run, &setback.reason),
        Seat::Work | Seat::Review(_) => {}
    }
}

/// A unit whose work seat is empty again waits for the next grant in the state it was granted from.
pub(super) fn back_to_waiting(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId) {
    let now = d.unit(run, unit);
    if now.state == UnitState::InProgress {
        let to = if now.fix.is_some() { UnitState::FixRequired } else { UnitState::NotStarted };
        d.move_unit(run, unit, to, None);
    }
}

/// First infra retry at once, then 5 s doubling up to 5 min.
fn backoff(limits: &RunLimits, now: WallMs, infra: u32) -> Option<WallMs> {
    let doublings = infra.checked_sub(2)?.min(32);
    let wait_ms = limits.backoff_ms.saturating_mul(1 << doublings).min(limits.backoff_max_ms);
    Some(WallMs(now.0.saturating_add(wait_ms)))
}

fn quarantine_reason(d: &Deciding<'_>, run: &RunId, unit: &UnitId, last: &str) -> Option<String> {
    let (run, unit) = (d.run(run), d.unit(run, unit));
    let counters = &unit.counters;
    if counters.lost_workers.len() >= LOST_WORKERS_MAX {
        let workers: Vec<&str> = counters.lost_workers.iter().map(WorkerId::as_str).collect();
        return Some(format!("unit {}: {} workers were lost while running it ({})", unit.id, workers.len(), workers.join(", ")));
    }
    if counters.infra >= INFRA_MAX {
        return Some(format!("unit {}: {} attempts ended for reasons of workers or tools, last: {last}", unit.id, counters.infra));
    }
    let budget = run.infra_budget();
    (run.infra_used > budget)
        .then(|| format!("unit {}: the run has used up its {budget} retries for reasons of workers or tools, last: {last}", unit.id))
}

/// Grants never exceed credits, so a worker that gave something back must ask again before that pool gets more.
fn forfeit_credits(d: &mut Deciding<'_>, worker: &WorkerId, pool: &str) {
    if let Some(worker) = d.fleet.workers.get_mut(worker) {
        worker.credits.remove(pool);
    }
}

/// A worker on which several units in a row end for infra reasons takes nothing more.
fn blame_worker(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, worker: &WorkerId) {
    let Some(worker) = d.fleet.workers.get_mut(worker) else { return };
    worker.infra_streak.insert((run.clone(), unit.clone()));
    if worker.infra_streak.len() < WORKER_STREAK_MAX || worker.cordoned.is_some() {
        return;
    }
    let units: BTreeSet<&str> = worker.infra_streak.iter().map(|(_, unit)| unit.as_str()).collect();
    let units: Vec<&str> = units.into_iter().collect();
    let text = format!("attempts of units {} failed there one after the other for reasons of the worker or its tools", units.join(", "));
    worker.cordoned = Some(text.clone());
    let name = worker.name.clone();
    d.say_again(run, format!("{}: {text}; look at its disk and tools, then restart it", barred(&name)));
}

/// How it is told that a worker gets nothing more.
fn barred(name: &str) -> String {
    format!("worker {name} gets nothing more")
}

/// A worker was started again, or has mended by itself what it said was wrong: what was concluded from its failures is over, and where that was told,
/// this is told too.
pub(super) fn forgive(d: &mut Deciding<'_>, id: &WorkerId) {
    let Some(worker) = d.fleet.workers.get_mut(id) else { return };
    worker.cordoned = None;
    worker.infra_streak.clear();
    let (barred, back) = (barred(&worker.name), format!("worker {} is back: it gets work again", worker.name));
    let is_told_last = |run: &Run| {
        let about = run.notices.iter().rev().find(|notice| notice.text.starts_with(&barred) || notice.text == back);
        run.ended.is_none() && about.is_some_and(|notice| notice.text != back)
    };
    let told: Vec<RunId> = d.state().runs.values().filter(|run| is_told_last(run)).map(|run| run.id.clone()).collect();
    for run in told {
        d.say_again(&run, back.clone());
    }
}

/// An attempt there ended otherwise: its streak is over.
pub(super) fn clear_streak(d: &mut Deciding<'_>, worker: &WorkerId) {
    if let Some(worker) = d.fleet.workers.get_mut(worker) {
        worker.infra_streak.clear();
    }
}
