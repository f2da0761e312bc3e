//! Who pays for an end that is not the agent's doing: hand-backs, infra failures with backoff, budget and quarantine (docs/rules.md, "Attempts"). What it says of
//! the worker is `cordon`'s.

use roundtable_shared::time::WallMs;
use roundtable_shared::{DecisionKind, RunId, RunLimits, Seat, UnitId, WorkerId};

use crate::moves::unit::{Block, block};
use crate::moves::{base_check, cordon, orchestrator, plan, unit};
use crate::planted::{Bug, planted};
use crate::rules::setback::{Blame, Cost, Setback};
use crate::schedule::place;
use crate::transition::{Counter, Fact};
use crate::txn::Txn;

/// Hand-backs in a row that cost nothing. A unit that brings its worker down each time would otherwise go round for ever; far more than a person who
/// stops and starts a run in the middle of a long turn comes to.
pub(crate) const HAND_BACKS_FREE: u32 = 24;

/// Infra ends of one unit before a person is asked.
const INFRA_MAX: u32 = 5;

/// Different workers lost while running a unit before a person is asked.
const LOST_WORKERS_MAX: usize = 2;

/// Counts it and lets the unit, or the run's own seat, go on.
pub(crate) fn setback(d: &mut Txn<'_>, run: &RunId, unit: Option<&UnitId>, setback: &Setback) {
    let Some(unit) = unit else { return of_run(d, run, setback) };
    let mut cost = if planted(Bug::HandBackCosts) { Cost::Infra { lost: None } } else { setback.cost.clone() };
    if cost == Cost::HandBack {
        d.emit(run, Fact::Counted { unit: unit.clone(), what: Counter::HandBack });
        forfeit_credits(d, &setback.worker, &setback.pool);
        if d.unit(run, unit).counters.hand_backs > HAND_BACKS_FREE {
            cost = Cost::Infra { lost: None };
        }
    }
    let Cost::Infra { lost } = cost else { return unit::back_to_waiting(d, run, unit) };
    if !planted(Bug::SetbackFree) {
        d.emit(run, Fact::Counted { unit: unit.clone(), what: Counter::Infra });
    }
    if let Some(worker) = lost {
        d.emit(run, Fact::Counted { unit: unit.clone(), what: Counter::LostWorker(worker) });
    }
    cordon::blame(d, run, Some(unit), setback);
    if let Some(context) = quarantine_reason(d, run, unit, setback) {
        unit::back_to_waiting(d, run, unit);
        block(d, run, unit, Block { kind: DecisionKind::Quarantine, reason: "quarantined".to_owned(), context });
        return;
    }
    let infra = d.unit(run, unit).counters.infra;
    let until = backoff(&d.run(run).options.limits, d.now.wall, infra);
    d.emit(run, Fact::BackoffSet { unit: unit.clone(), until, avoid: Some(setback.worker.clone()) });
    unit::back_to_waiting(d, run, unit);
}

fn of_run(d: &mut Txn<'_>, run: &RunId, setback: &Setback) {
    match setback.cost {
        Cost::HandBack => forfeit_credits(d, &setback.worker, &setback.pool),
        Cost::Infra { .. } => cordon::blame(d, run, None, setback),
    }
    match setback.seat {
        Seat::Assign => plan::assigner_lost(d, run, &setback.worker, &setback.reason),
        Seat::Orchestrate => orchestrator::failed(d, run, &setback.reason),
        Seat::Check => base_check::base_lost(d, run, &setback.reason),
        Seat::Work | Seat::Review(_) => {}
    }
}

/// First infra retry at once, then 5 s doubling up to 5 min.
fn backoff(limits: &RunLimits, now: WallMs, infra: u32) -> Option<WallMs> {
    let doublings = infra.checked_sub(2)?.min(32);
    let wait_ms = limits.backoff_ms.saturating_mul(1 << doublings).min(limits.backoff_max_ms);
    Some(WallMs(now.0.saturating_add(wait_ms)))
}

/// Why the unit waits for a person. What failed on some workers only is no fault of the unit while another is there that has not failed it; the loss of
/// workers that ran it is.
fn quarantine_reason(d: &Txn<'_>, run: &RunId, unit: &UnitId, setback: &Setback) -> Option<String> {
    let (run, unit) = (d.run(run), d.unit(run, unit));
    let (counters, last) = (&unit.counters, &setback.reason);
    if counters.lost_workers.len() >= LOST_WORKERS_MAX && !planted(Bug::LossesEndless) {
        let workers: Vec<&str> = counters.lost_workers.iter().map(WorkerId::as_str).collect();
        return Some(format!("unit {}: {} workers were lost while running it ({})", unit.id, workers.len(), workers.join(", ")));
    }
    let budget = run.infra_budget();
    let context = if counters.infra >= INFRA_MAX {
        format!("unit {}: {} attempts ended for reasons of workers or tools, last: {last}", unit.id, counters.infra)
    } else if run.progress.infra_used > budget {
        format!("unit {}: the run has used up its {budget} retries for reasons of workers or tools, last: {last}", unit.id)
    } else {
        return None;
    };
    let failed = |worker: &WorkerId| *worker == setback.worker || unit.counters.avoid.contains(worker);
    let others = setback.blame != Blame::Nobody && place::is_played_by_others(d.state(), d.fleet, run, unit, setback.seat, failed, d.now);
    (!others).then_some(context)
}

/// Grants never exceed credits, so a worker that gave something back must ask again before that pool gets more.
fn forfeit_credits(d: &mut Txn<'_>, worker: &WorkerId, pool: &str) {
    if let Some(worker) = d.fleet.workers.get_mut(worker) {
        worker.credits.remove(pool);
    }
}
