//! Time passes: silent workers, leases over their deadlines, parks and holds that end, effects to be repeated, consultations without an answer.

use roundtable_shared::{AttemptKey, RunId, Seat, WorkerId};

use crate::fleet::{LOST_MS, TICK_GAP_MS};
use crate::moves::{attempt, cordon, drain, errand, loss, orchestrator, park, peer};
use crate::planted::{Bug, planted};
use crate::state::LostCause;
use crate::transition::Fact;
use crate::txn::Txn;

/// How long a worker without leases is remembered after its last sign of life.
const FORGET_MS: u64 = 3_600_000;

/// Judges everything that waits for time.
pub(crate) fn tick(d: &mut Txn<'_>) {
    let now = d.now.mono_ms;
    let gap_ms = d.fleet.ticked_ms.map_or(0, |last| now.saturating_sub(last));
    d.fleet.ticked_ms = Some(now);
    if gap_ms > TICK_GAP_MS && !planted(Bug::StallBlamed) {
        d.fleet.extend_all(gap_ms);
    }
    lose_silent(d);
    peer::end_lost(d);
    lose_overdue(d);
    drain::hand_back_due(d);
    park::lift_due(d);
    cordon::lift_due(d);
    errand::repeat_due(d);
    let unfinished: Vec<RunId> = d.state().unfinished().map(|run| run.id.clone()).collect();
    for run in unfinished {
        fail_slow_consultation(d, &run);
        let held = d.run(&run).agents.orchestrator.held.as_ref().is_some_and(|held| held.until <= d.now.wall);
        if held && !planted(Bug::HoldBackForever) {
            d.emit(&run, Fact::PhasesHeld { phases: Vec::new(), until: d.now.wall });
        }
        d.touch(&run);
    }
}

fn lose_silent(d: &mut Txn<'_>) {
    let lost_ms = if planted(Bug::LostEarly) { LOST_MS / 2 } else { LOST_MS };
    let silent = d.fleet.workers.values().filter(|worker| worker.is_silent(d.now, lost_ms) && !planted(Bug::SilentForever));
    let silent: Vec<(WorkerId, bool)> = silent.map(|worker| (worker.id.clone(), worker.is_silent(d.now, FORGET_MS))).collect();
    for (worker, forget) in silent {
        let lost: Vec<AttemptKey> = d.state().live_of(&worker).map(|(key, _)| key.clone()).collect();
        for key in lost {
            loss::lose(d, &key, LostCause::Silent, "its worker was silent for too long");
        }
        if forget {
            d.fleet.workers.remove(&worker);
        }
    }
}

fn lose_overdue(d: &mut Txn<'_>) {
    let now = d.now.mono_ms;
    let overdue: Vec<(AttemptKey, bool)> = d
        .fleet
        .leases
        .iter()
        .filter(|(_, watch)| watch.deadline_ms < now && !planted(Bug::OverdueForever))
        .map(|(key, watch)| (key.clone(), watch.phase.is_none()))
        .collect();
    for (key, never_taken) in overdue {
        d.fleet.leases.remove(&key);
        if never_taken {
            loss::lose(d, &key, LostCause::NotAccepted, "the worker did not take it in time");
        } else {
            loss::lose(d, &key, LostCause::Wedged, "it is far over its limits and its worker does not end it");
        }
    }
}

fn fail_slow_consultation(d: &mut Txn<'_>, run: &RunId) {
    let now = d.run(run);
    let Some(attempt) = now.live(Seat::Orchestrate).filter(|_| !planted(Bug::ConsultationForever)) else { return };
    if d.now.wall.since(attempt.granted_at) <= now.options.limits.consult_ms {
        return;
    }
    let key = attempt.granted.key(run);
    attempt::revoke(d, &key, "no answer in time");
    orchestrator::no_answer(d, run);
}
